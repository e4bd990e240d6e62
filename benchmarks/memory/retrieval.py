"""Whether the right record is among the first: the product on both databases, and what ranks beside it over the same texts."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.memory.dataset import Options
from benchmarks.memory.measures import Score, table
from benchmarks.memory.memory import MOST, Memory, memory
from benchmarks.memory.questions import Course, Question, Told, coding, conversations
from benchmarks.memory.rankers import MariaDBRelevance, PorterFTS5, RankBM25, Ranker
from domain import text as analyser
from domain.context import ContextRecord
from domain.digest import digest
from mcp_server.services.transcripts import read_session
from tests.kit.mariadb import MariaDB

OURS = ("claudetools on SQLite", "claudetools on MariaDB")
LONG, SHORT = "long form", "records"
ALIKE = 0.005
WORLD = 3
CATEGORIES = {1: "several sessions", 2: "when", 3: "knowledge of the world", 4: "one session"}


def main(options: Options) -> None:
    """Prints a table for each set of questions, and what is asked of each.  Raises FileNotFoundError where both are missing."""
    missing: list[FileNotFoundError] = []
    with tempfile.TemporaryDirectory(prefix="claudetools-bench-") as place, MariaDB() as server:
        for play in (_conversations, _coding):
            try:
                play(options, Path(place), server)
            except FileNotFoundError as error:
                missing.append(error)
    if len(missing) == 2:
        raise missing[0]
    for error in missing:
        print(f"left out: {error}")


def _conversations(options: Options, place: Path, server: MariaDB) -> None:
    course = conversations(options.locomo, place)
    print("Conversations: speaker A as the person, speaker B as Claude; all sessions in one pool.")
    with memory() as embedded, memory(server) as shared:
        scores = play(course, (embedded, shared), server, options)
    table(f"conversations, {len(course.told)} sessions", scores)
    ours = scores[: len(OURS)]
    _met("R@5 >= .88", all(one.recall(5) >= 0.88 for one in ours))
    _met("R@10 >= .93", all(one.recall(10) >= 0.93 for one in ours))
    _met("MRR >= .805", all(one.mrr() >= 0.805 for one in ours))
    _alike(ours)
    _by_category(course, ours[0])


def _by_category(course: Course, whole: Score) -> None:
    """Where the points are lost: by the data's categories, and without the one that words alone cannot answer."""
    parts: dict[str, Score] = {}
    for question, found in zip(course.questions, whole.found, strict=True):
        names = [CATEGORIES.get(question.category, "other")]
        if question.category != WORLD:
            names.append(f"all but {CATEGORIES[WORLD]}")
        for name in names:
            parts.setdefault(name, Score(name)).found.append(found)
    for name in sorted(parts):
        one = parts[name]
        print(
            f"  {name:34} n {len(one.found):5}  R@5 {one.recall(5):.3f}  R@10 {one.recall(10):.3f}  MRR {one.mrr():.3f}"
        )


def _coding(options: Options, _place: Path, server: MariaDB) -> None:
    course = coding(options)
    with memory() as embedded, memory(server) as shared:
        scores = play(course, (embedded, shared), server, options)
        table(f"coding sessions, {len(course.told)} sessions", scores)
        ours = scores[: len(OURS)]
        for plain in scores[len(OURS) :]:
            if plain.name.startswith("rank-bm25, plain"):
                gain = min(one.ndcg() for one in ours) / plain.ndcg() - 1
                points = 100 * (min(one.any(5) for one in ours) - plain.any(5))
                _met(f"NDCG@10 15 % above {plain.name}: {100 * gain:+.1f} %", gain >= 0.15)
                _met(f"any@5 8 points above {plain.name}: {points:+.1f}", points >= 8)
        _alike(ours)
        for name, one in zip(OURS, (embedded, shared), strict=True):
            print(f"  {name}: {_prompts(course, one)}")


def play(course: Course, memories: Sequence[Memory], server: MariaDB, options: Options) -> list[Score]:
    """Tells and asks everything in its order; the product first, then what ranks beside it.

    All rankers beside it have the texts of the product's own records: the long form (title, digest, body), and the
    records that a session starts with.  The arm "1,000 tokens" has digests of that budget alone.
    """
    words = "rank-bm25, our analyser"
    arms: list[tuple[str, Ranker]] = [
        (SHORT, RankBM25(f"rank-bm25, plain, {options.budget:,}-token records")),
        (LONG, RankBM25(f"rank-bm25, plain, {LONG}")),
        (SHORT, RankBM25(f"{words}, {options.budget:,}-token records", analyser.terms)),
        (LONG, RankBM25(f"{words}, {LONG}", analyser.terms)),
        (SHORT, PorterFTS5(f"FTS5 porter, {options.budget:,}-token records")),
        (LONG, PorterFTS5(f"FTS5 porter, {LONG}")),
    ]
    ours = [Score(name) for name in OURS]
    with contextlib.ExitStack() as ends:
        for form, said in ((SHORT, f"{options.budget:,}-token records"), (LONG, LONG)):
            arms.append((form, ends.enter_context(MariaDBRelevance(f"MariaDB's relevance, {said}", server))))
        beside = [Score(ranker.name) for _, ranker in arms]
        waiting: list[Told] = []
        for number, event in enumerate(course.events):
            if sys.stderr.isatty():
                print(f"\r  {number} of {len(course.events)}", end="", file=sys.stderr, flush=True)
            if isinstance(event, Told):
                waiting.append(event)
                continue
            if waiting:
                _keep(waiting, memories, arms, options)
                waiting = []
            _ask(event, memories, arms, ours, beside)
        if waiting:
            _keep(waiting, memories, arms, options)
    return [*ours, *beside]


def _keep(
    told: Sequence[Told], memories: Sequence[Memory], arms: Sequence[tuple[str, Ranker]], options: Options
) -> None:
    for one in memories:
        one.keep(*told)
    kept = memories[0].records()
    for session in told:
        if session.name not in kept:
            continue  # a session in which nobody said anything
        texts = {LONG: _long_form(kept[session.name]), SHORT: _short_form(session, options.budget)}
        for form, ranker in arms:
            ranker.add(session.repo, session.name, texts[form])


def _long_form(record: ContextRecord) -> str:
    return f"{record.title}\n{record.digest}\n{record.body_person}\n{record.body_rest}"


def _short_form(session: Told, budget: int) -> str:
    transcript, _ = read_session(session.path)
    short = digest(transcript, budget)
    return f"{short.title}\n{short.text}"


def _ask(
    question: Question,
    memories: Sequence[Memory],
    arms: Sequence[tuple[str, Ranker]],
    ours: Sequence[Score],
    beside: Sequence[Score],
) -> None:
    for one, score in zip(memories, ours, strict=True):
        order, taken = one.ask(question)
        score.add(order, question.gold, taken)
        if question.repo:
            one.prompted.append((question, one.prompt(question)))
    for (_, ranker), score in zip(arms, beside, strict=True):
        if isinstance(ranker, RankBM25):
            ranker.prepare(question.repo)
        begun = time.perf_counter()
        order = ranker.ask(question.repo, question.text, MOST)
        score.add(order, question.gold, (time.perf_counter() - begun) * 1000)


def _prompts(course: Course, kept: Memory) -> str:
    """How often a prompt is told of something: of its own repository's work, and in another repository, whose work it is not."""
    last = max(event.at_us for event in course.events)
    repos = {session.repo for session in course.told}
    right = sum(bool(question.gold.intersection(told)) for question, told in kept.prompted)
    foreign = [
        kept.prompt(Question(question.text, frozenset(), repo, "", last))
        for question in course.questions
        for repo in sorted(repos - {question.repo})
    ]
    own = [told for _, told in kept.prompted]
    return (
        f"prompts told of something: {_share(own)} of {len(own)} in their own repository "
        f"({right / max(1, len(own)):.0%} of a session that touched the same files), "
        f"{_share(foreign)} of {len(foreign)} in another one"
    )


def _share(told: Sequence[Sequence[str]]) -> str:
    return f"{sum(map(bool, told)) / max(1, len(told)):.0%}"


def _alike(ours: Sequence[Score]) -> None:
    one, other = ours
    apart = max(
        abs(one.recall(5) - other.recall(5)),
        abs(one.recall(10) - other.recall(10)),
        abs(one.any(5) - other.any(5)),
        abs(one.ndcg() - other.ndcg()),
        abs(one.mrr() - other.mrr()),
    )
    _met(f"both databases alike within half a point: {100 * apart:.2f} points apart", apart <= ALIKE)


def _met(what: str, met: bool) -> None:
    print(f"  {'met' if met else 'NOT MET':8} {what}")
