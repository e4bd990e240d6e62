"""Redaction: labelled texts, false strikes and speed over real sessions, and vault values through the product.

A labelled text is a hit where at least 90 % of each labelled span is struck.  At most eight variants of a scanner's rule
count, the first ones of the file.  The labels name what a scanner captures, which is now and then no secret (a host, a
user name); such a text counts as missed all the same.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import string
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.memory import vault_forms
from benchmarks.memory.dataset import Options, rows, sessions
from domain import recognition
from domain.masking import Matcher
from domain.redaction import Redactor, Struck
from domain.striking import strike_all
from domain.transcript import Transcript
from mcp_server.services.transcripts import read_session

VARIANTS = 8
SHARE = 0.9
UNSCRUBBED = {"entireio/cli": "2026-01-12"}
"""Until when a repository's sessions were published as they were: what is struck in later ones was put there."""
VAULTS = (50, 1_000, 5_000)
RUNS = 3
SLICE = 4 << 20  # bytes of text a timed run strikes

Strike = Callable[[str], Struck]
_MARK = re.compile(r"\[struck: [a-z0-9-]{1,64}\]")


def main(options: Options) -> None:
    """Prints the tables, then which targets are met.  Takes about two minutes."""
    met: list[tuple[str, float, str, bool]] = []
    labelled = _labelled(options.secrets)
    _recall(labelled, met)
    texts = list(_texts(options))
    _false_strikes(texts, met)
    _speed(texts, met)
    _forms(met)
    table = Table(title="targets", title_justify="left")
    for name in ("what", "measured", "target", "met"):
        table.add_column(name)
    for what, measured, target, good in met:
        table.add_row(what, f"{measured:.1f}", target, "yes" if good else "NO")
    Console(width=130).print(table)


# ---- labelled texts -----------------------------------------------------------------------------------------------------


def _labelled(path: Path) -> list[Mapping[str, object]]:
    seen: Counter[tuple[object, object]] = Counter()
    kept = []
    for row in rows(path):
        if row["kind"] == "pos":
            seen[row["src"], row["rule"]] += 1
            if seen[row["src"], row["rule"]] > VARIANTS:
                continue
        kept.append(row)
    return kept


def _recall(labelled: Sequence[Mapping[str, object]], met: list[tuple[str, float, str, bool]]) -> None:
    """Ours, the engine alone and our rules alone; by scanner, and what was struck of the texts that hold no secret."""
    whole = Redactor()
    kinds: dict[str, Strike] = {
        "all of it": whole.strike,
        "the engine alone": lambda text: _only(text, recognition.by_engine),
        "our rules alone": Redactor(engine=False).strike,
    }
    results = {name: _hits(labelled, strike) for name, strike in kinds.items()}
    table = Table(title="labelled texts: % of which every labelled span is struck", title_justify="left")
    table.add_column("what")
    for name in kinds:
        table.add_column(name, justify="right")
    for label in sorted({label for label in results["all of it"] if label[0] != "neg"}, key=_order):
        table.add_row(
            _said(label),
            *(f"{100 * hit / of:.1f} ({of})" for hit, of in (result[label] for result in results.values())),
        )
    negative = ("neg", "all")
    if negative in results["all of it"]:
        table.add_row(
            "texts without a secret: struck",
            *(f"{100 * hit / of:.1f} ({of})" for hit, of in (result[negative] for result in results.values())),
        )
    Console(width=130).print(table)
    for label, target in ((("pos", "self-identifying"), 95.0), (("pos", "all"), 85.0)):
        hit, of = results["all of it"][label]
        met.append((f"recall: {label[1]}, %", 100 * hit / of, f">= {target:.0f}", 100 * hit / of >= target))


def _hits(labelled: Iterable[Mapping[str, object]], strike: Strike) -> dict[tuple[str, str], tuple[int, int]]:
    hits: Counter[tuple[str, str]] = Counter()
    of: Counter[tuple[str, str]] = Counter()
    for row in labelled:
        text, kind = str(row["text"]), str(row["kind"])
        struck = strike(text)
        good = bool(struck.counts) if kind == "neg" else _is_hit(row, covered(text, struck.text))
        own = "self-identifying" if row.get("self_ident") else "by its place"
        for label in ("all", str(row["src"])) if kind == "neg" else ("all", own, f"of {row['src']}"):
            of[kind, label] += 1
            hits[kind, label] += good
    return {label: (hits[label], number) for label, number in of.items()}


def _is_hit(row: Mapping[str, object], gone: bytearray) -> bool:
    secrets = row["secrets"]
    if not isinstance(secrets, list):
        return False
    spans = [(int(one["start"]), int(one["end"])) for one in secrets]
    return all(sum(gone[start:end]) >= SHARE * (end - start) for start, end in spans)


def covered(text: str, struck: str) -> bytearray:
    """For each character of a text whether it was struck: what stands between marks is found again in its order."""
    gone = bytearray(b"\1" * len(text))
    pieces = _MARK.split(struck)
    at = 0
    for number, piece in enumerate(pieces):
        start = 0 if number == 0 else len(text) - len(piece) if number == len(pieces) - 1 else text.find(piece, at + 1)
        if start >= 0:
            gone[start : start + len(piece)] = bytes(len(piece))
            at = start + len(piece)
    return gone


def _only(text: str, find: Callable[[str], Iterator[tuple[int, int, str]]]) -> Struck:
    """What one of the finders recognises, struck without what the redactor does besides."""
    parts, at, counts = [], 0, Counter[str]()
    for start, end, rule in sorted(find(text)):
        if start >= at:
            parts += [text[at:start], f"[struck: {rule}]"]
            counts[rule] += 1
        at = max(at, end)
    return Struck("".join([*parts, text[at:]]), dict(counts))


def _order(label: tuple[str, str]) -> tuple[bool, str]:
    return label[1].startswith("of "), label[1]


def _said(label: tuple[str, str]) -> str:
    return label[1]


# ---- real sessions ------------------------------------------------------------------------------------------------------


def _texts(options: Options) -> Iterator[tuple[Path, list[str]]]:
    """The texts of each session that was not scrubbed, as capture strikes them."""
    known = sessions(options)
    plain = [one for one in known if one.first < UNSCRUBBED.get(one.repo, "")]
    if not plain:
        print("no session is known as unscrubbed: strikes are counted over all of them, also what scrubbing left")
    for one in plain or known:
        transcript, _ = read_session(one.path)
        yield one.path, list(_said_in(transcript))


def _said_in(transcript: Transcript) -> Iterator[str]:
    yield transcript.title
    for turn in transcript.turns:
        yield turn.text
        yield from _strings(turn.arguments)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _false_strikes(texts: Sequence[tuple[Path, list[str]]], met: list[tuple[str, float, str, bool]]) -> None:
    redactor = Redactor()
    counts: Counter[str] = Counter()
    for _, said in texts:
        counts.update(strike_all(redactor.strike, said)[1])
    kept = _size(said for _, said in texts)
    files = sum(path.stat().st_size for path, _ in texts) / 1e6
    rate = sum(counts.values()) / kept
    print(
        f"\n{len(texts)} sessions: {sum(counts.values())} strikes in {kept:.1f} MB of text = {rate:.2f} a MB"
        f" ({sum(counts.values()) / files:.2f} a MB of their {files:.0f} MB of files)"
    )
    print("  " + ", ".join(f"{rule} {number}" for rule, number in counts.most_common(12)) + "\n")
    met.append(("false strikes a MB of text", rate, "<= 5", rate <= 5))


def _speed(texts: Sequence[tuple[Path, list[str]]], met: list[tuple[str, float, str, bool]]) -> None:
    chosen: list[str] = []
    paths: list[Path] = []
    size = 0
    for path, said in texts:
        if size < SLICE:
            chosen += said
            paths.append(path)
            size += sum(map(len, said))
    amount = _size([chosen])
    table = Table(title=f"speed over {amount:.1f} MB of text, medians of {RUNS}", title_justify="left")
    for name in ("what", "MB/s", "MB/s of the processor's time", "matcher built in, s", "one value more, s"):
        table.add_column(name, justify="left" if name == "what" else "right")
    raw = sum(path.stat().st_size for path in paths) / 1e6
    floor = _rates(raw, lambda: [json.loads(line) for path in paths for line in path.open("rb")])
    table.add_row("floor: reading and parsing the same files (their bytes)", *_shown(floor))
    joined = "\n\n".join(chosen)
    table.add_row("the engine alone", *_shown(_rates(amount, lambda: list(recognition.by_engine(joined)))))
    own = Redactor(engine=False)
    table.add_row("our rules alone", *_shown(_rates(amount, lambda: own.strike(joined))))
    for number in (0, *VAULTS):
        values = made_up(number)
        begun = time.process_time()
        matcher = Matcher(values) if values else None
        built = time.process_time() - begun
        more = 0.0
        if matcher is not None:
            begun = time.process_time()
            matcher = matcher.with_values([("bench/new/one#password", b"a value that came just now 7!")])
            more = time.process_time() - begun
        redactor = Redactor(matcher)
        rates = _rates(amount, lambda redactor=redactor: strike_all(redactor.strike, chosen))
        cells = (f"{built:.2f}", f"{more:.3f}") if number else ()
        table.add_row(f"all of it, {number:,} credentials", *_shown(rates), *cells)
        if number in (0, 1_000):
            for rate, by in zip(rates, ("by the clock", "of the processor's time"), strict=True):
                met.append((f"MB/s with {number:,} credentials, {by}", rate, ">= 8", rate >= 8))
    Console(width=130).print(table)


def made_up(number: int) -> list[tuple[str, bytes]]:
    """Values as vaults have them: passwords, tokens and some keys of many lines.  The same for the same number."""
    draw = random.Random(number)
    letters = string.ascii_letters + string.digits
    values = []
    for which in range(number):
        size = (16, 24, 40, 64)[which % 4]
        text = "".join(draw.choices(letters + "!#$%&*+-=?@_" if which % 4 < 2 else letters, k=size))
        if which % 25 == 0:
            text = "\n".join("".join(draw.choices(letters + "+/", k=64)) for _ in range(24))
        values.append((f"bench/service-{which}/admin#password", text.encode()))
    return values


def _rates(amount: float, act: Callable[[], object]) -> tuple[float, float]:
    """Megabytes a second, by the clock and by the processor's time: a busy machine is told by their difference."""
    act()
    walls, busy = [], []
    for _ in range(RUNS):
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        walls.append(time.perf_counter() - wall)
        busy.append(time.process_time() - cpu)
    return amount / statistics.median(walls), amount / statistics.median(busy)


def _shown(rates: tuple[float, float]) -> tuple[str, str]:
    return f"{rates[0]:.1f}", f"{rates[1]:.1f}"


def _size(texts: Iterable[Iterable[str]]) -> float:
    """Millions of bytes of UTF-8."""
    return sum(len(text.encode("utf-8", "replace")) for said in texts for text in said) / 1e6


# ---- vault values through the product -----------------------------------------------------------------------------------


def _forms(met: list[tuple[str, float, str, bool]]) -> None:
    for kind, found in vault_forms.run().items():
        good = sum(1 for places in found.values() if not places)
        print(f"vault values through capture on {kind}: {good} of {len(found)} forms in no place")
        for form, places in found.items():
            if places:
                print(f"  {form}: found in {', '.join(places)}")
        share = 100 * good / len(found)
        met.append((f"vault values in the required forms, {kind}, %", share, "100", good == len(found)))
