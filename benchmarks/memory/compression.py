"""Compression: what a digest costs, and what it keeps of the session, beside what one could keep instead.

Ours goes the product's way: read, struck and digested as capture does it.  What a session holds and what a text tells
of it is found by this benchmark's own reading and its own expressions (seen.py, kept.py, future.py), from which nothing
of the product's is used; tokens are counted with OpenAI's o200k vocabulary, times 1.6 for current Claude models.

A fact that no text of the session names (a file that Git says was touched, by an editor or another session) cannot be
lost by compression: it is left out of `hard`, and counted in `all facts` below.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import bpe_openai

from benchmarks.memory.dataset import Options, Session, sessions
from benchmarks.memory.future import needs
from benchmarks.memory.kept import HARD, Fact, Told, facts, share_of_words, words
from benchmarks.memory.seen import Seen, read_seen
from domain.digest import BUDGET, Account
from domain.redaction import Redactor
from domain.tokens import estimate
from mcp_server.services.transcripts import Followed

CURRENT, BEFORE, A_BLOCK = 1.6, 1.10, 40
_TARGETS = (("reduction", 0.95), ("hard", 0.86), ("edited", 0.99), ("prompts", 0.93), ("future", 0.23))
_COLUMNS = ("n", "tokens", "p95", "reduction", "hard", "prompts", "last", "summaries", "future")
_FAMILIES = {
    "all": "x 1.6, all sessions",
    "4": "x 1.10 + 40, sessions of generation 4",
    "5": "x 1.6, sessions of generation 5",
}
_VOCABULARY = bpe_openai.get_encoding("o200k_base")

Found = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one session: its texts, its facts, those that its texts name, and what was needed later."""

    session: Session
    seen: Seen
    facts: list[Fact]
    held: list[Fact]
    needed: frozenset[str]
    tokens: int


def main(options: Options) -> None:
    """Prints the tables, and which targets are met.  Raises FileNotFoundError where the sessions are missing."""
    known = list(_known(options))
    if not known:
        raise FileNotFoundError(f"{options.transcripts} holds none of the sessions of {options.manifest}")
    accounts = [_account(one) for one in known]
    budget = options.budget
    told = {size: [account.digest(size).text for account in accounts] for size in sorted({budget, 2_000, BUDGET})}
    ours = told[budget]
    summaries = ["\n".join(one.session.summaries) or None for one in known]
    ends = [_ends("\n".join(one.seen.texts), budget) for one in known]
    prompts = [_ends("\n".join([*one.seen.prompts, *one.seen.answers[-1:]]), budget) for one in known]
    forms: dict[str, Sequence[str | None]] = {
        f"ours, {budget}": ours,
        **{f"ours, {size}": texts for size, texts in told.items() if size != budget},
        f"head and tail, {budget}": ends,
        f"prompts and last answer, {budget}": prompts,
        "the model's summary": summaries,
        "  ours, of the same sessions": [
            text if summary else None for text, summary in zip(ours, summaries, strict=True)
        ],
    }
    measured = {name: _measured(texts, known) for name, texts in forms.items()}
    size = statistics.mean(one.tokens for one in known)
    print(f"{len(known)} sessions, {size:,.0f} tokens each; means over sessions, in percent\n")
    _table(measured, _COLUMNS)
    print("\nhard facts by their class")
    _table(measured, HARD)
    print("\nours in other readings")
    _readings(ours, known)
    print("\nthe count of a digest divided by the product's own estimate")
    for size_, texts in told.items():
        _estimates(size_, texts, known)
    print()
    for name, least in _TARGETS:
        got = measured[f"ours, {budget}"].get(name) or 0.0
        print(f"{'met    ' if got >= least else 'NOT MET'} {name} >= {100 * least:.0f} %: {100 * got:.1f}")


def count(text: str) -> int:
    """Tokens of a text for current Claude models."""
    return round(len(_VOCABULARY.encode(text)) * CURRENT) if text else 0


def _known(options: Options) -> Iterable[Known]:
    found = sessions(options)
    seen = [read_seen(session.path) for session in found]
    for session, one, needed in zip(found, seen, needs(found, seen), strict=True):
        noted = facts(one, session.files)
        whole = Told("\n".join(one.texts))
        yield Known(
            session, one, noted, [fact for fact in noted if fact.lenient(whole)], needed, sum(map(count, one.texts))
        )


def _account(one: Known) -> Account:
    followed = Followed(one.session.path, Redactor())
    followed.catch_up()
    return followed.account()


def _ends(text: str, budget: int) -> str:
    """The head and the tail of a text, as much as the budget holds."""
    if len(text) <= budget * 8 and count(text) <= budget:
        return text
    least, most = 0, min(len(text) // 2, budget * 4)
    while most - least > 1:
        half = (least + most) // 2
        least, most = (half, most) if count(f"{text[:half]}\n{text[-half:]}") <= budget else (least, half)
    return f"{text[:least]}\n{text[len(text) - least :]}"


def _measured(texts: Sequence[str | None], known: Sequence[Known]) -> Found:
    pairs = [(Told(text), one) for text, one in zip(texts, known, strict=True) if text is not None]
    if not pairs:
        return {"n": 0}
    costs = sorted(count(told.text) for told, _ in pairs)
    found: Found = {
        "n": len(pairs),
        "tokens": statistics.mean(costs),
        "p95": costs[round(0.95 * (len(costs) - 1))],
        "reduction": _mean(1 - count(told.text) / one.tokens for told, one in pairs if one.tokens),
        "hard": _mean(_kept(told, one.held) for told, one in pairs),
        "prompts": _mean(_mean(share_of_words(words(said), told) for said in one.seen.prompts) for told, one in pairs),
        "last": _mean(share_of_words(words(said), told) for told, one in pairs for said in one.seen.answers[-1:]),
        "summaries": _mean(share_of_words(words("\n".join(one.session.summaries)), told) for told, one in pairs),
        "future": _mean(_mean(float(name in told.text) for name in sorted(one.needed)) for told, one in pairs),
    }
    for kind in HARD:
        found[kind] = _mean(_kept(told, _of_kind(one, kind)) for told, one in pairs)
    return found


def _of_kind(one: Known, kind: str) -> list[Fact]:
    return [fact for fact in one.held if fact.kind == kind]


def _lenient(fact: Fact) -> Callable[[Told], bool]:
    return fact.lenient


def _strict(fact: Fact) -> Callable[[Told], bool]:
    return fact.strict


def _kept(told: Told, held: Sequence[Fact], test: Callable[[Fact], Callable[[Told], bool]] = _lenient) -> float | None:
    return _mean(float(test(fact)(told)) for fact in held)


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.mean(present) if present else None


def _table(measured: dict[str, Found], columns: Sequence[str]) -> None:
    print(f"  {'':34}" + "".join(f"{column:>10}" for column in columns))
    for name, found in measured.items():
        print(f"  {name:34}" + "".join(f"{_cell(column, found.get(column)):>10}" for column in columns))


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if column in ("n", "tokens", "p95") else f"{100 * value:.1f}"


def _readings(ours: Sequence[str], known: Sequence[Known]) -> None:
    pairs = [(Told(text), one) for text, one in zip(ours, known, strict=True)]
    lines: Found = {
        "hard, facts as they stand": _mean(_kept(told, one.held, _strict) for told, one in pairs),
        "edited, by their whole paths": _mean(_kept(told, _of_kind(one, "edited"), _strict) for told, one in pairs),
        "hard, all facts": _mean(_kept(told, one.facts) for told, one in pairs),
        "hard, mean of the classes": _mean(
            _mean(_kept(told, _of_kind(one, kind)) for told, one in pairs) for kind in HARD
        ),
        "hard, pooled": _mean(float(fact.lenient(told)) for told, one in pairs for fact in one.held),
        "prompts' words, pooled": _mean(
            share_of_words(words(said), told) for told, one in pairs for said in one.seen.prompts
        ),
        "future use, pooled": _mean(float(name in told.text) for told, one in pairs for name in one.needed),
        "reduction, pooled": 1 - sum(count(told.text) for told, _ in pairs) / sum(one.tokens for one in known),
        "reduction, models of generation 4": _mean(
            1 - (_before(told.text, 1) / _before_all(one)) for told, one in pairs if one.seen.texts
        ),
    }
    for name, value in lines.items():
        print(f"  {name:34}{_cell(name, value):>10}")
    for half in (0, 1):
        chosen = [place for place, one in enumerate(known) if sum(one.session.path.stem.encode()) % 2 == half]
        found = _measured([ours[place] for place in chosen], [known[place] for place in chosen])
        shares = ", ".join(f"{name} {_cell(name, found.get(name))}" for name, _ in _TARGETS)
        print(f"  half {half + 1} of the sessions ({len(chosen)}): {shares}")


def _before(text: str, blocks: int) -> float:
    return len(_VOCABULARY.encode(text)) * BEFORE + A_BLOCK * blocks


def _before_all(one: Known) -> float:
    return one.tokens / CURRENT * BEFORE + A_BLOCK * len(one.seen.texts)


def _estimates(budget: int, texts: Sequence[str], known: Sequence[Known]) -> None:
    for family, name in _FAMILIES.items():
        ratios = [
            (_before(text, 1) if family == "4" else count(text)) / estimate(text)
            for text, one in zip(texts, known, strict=True)
            if text and family in ("all", _family(one.seen.models))
        ]
        if len(ratios) > 1:
            cuts = statistics.quantiles(ratios, n=20)
            shares = f"p5 {cuts[0]:.2f}  median {cuts[9]:.2f}  p95 {cuts[18]:.2f}"
            print(f"  {budget:6} {name:40} n {len(ratios):4}  {shares}")


def _family(models: Sequence[str]) -> str:
    named = [model for model in models if model.startswith("claude")]
    most = max(named, key=named.count, default="")
    return ("4" if "-4-" in most else "5") if most else ""
