"""The digest: the short of one session, without a model, and the long form that is searched.

The digest is lines with a head (`Asked: ...`, `Edited: ...`), so that whoever packs it may leave
out a part by its head.  Which lines are taken is settled by a fixed order of worth, until the
budget is used; the same session gives the same digest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from domain.choosing import PROVENANCE, Tally, choose
from domain.facts import Gathering
from domain.shortening import one_line, shortened
from domain.tokens import estimate
from domain.transcript import Transcript, Turn, cost, is_own

__all__ = ["BUDGET", "PROVENANCE", "Account", "Body", "Digest", "Tally", "account", "condense", "digest"]

BUDGET = 1_000
"""Tokens; 2,600 characters, so that the newest digest fits whole into the block of a session's start, beside the list."""
LONGEST_PERSON = 60_000
LONGEST_REST = 200_000

_NAMES_SOMETHING = 15  # characters of a request; "hi" names nothing


@dataclass(frozen=True, slots=True)
class Digest:
    """The short of a session.  `text` is what may be injected; `outcome` is one line of it."""

    title: str
    outcome: str
    text: str
    files: tuple[str, ...]
    commits: tuple[str, ...]
    tokens: int
    raw_tokens: int


@dataclass(frozen=True, slots=True)
class Body:
    """The long form that is searched: what the person wrote, and the rest."""

    person: str
    rest: str


class Account:
    """What a session did so far, told as a digest and as a body at any moment.

    Turns come in order, struck of secrets, a tool's with its result; none is held after it was
    taken.  What is held is bounded, however long the session: a few megabytes.
    """

    def __init__(self, folder: str = "") -> None:
        self._gathering = Gathering(folder)
        self._person = _Stream("\n\n", LONGEST_PERSON)
        self._rest = _Stream("\n", LONGEST_REST)
        self._raw = 0
        self._title = ""

    @property
    def folder(self) -> str:
        """The session's folder, from which its files are told; set before the first turn that names one."""
        return self._gathering.folder

    @folder.setter
    def folder(self, folder: str) -> None:
        self._gathering.folder = folder

    def take(self, turn: Turn) -> None:
        """Takes one turn.  Never raises for what it holds."""
        self._gathering.take(turn)
        self._raw += cost(turn)
        if turn.kind == "prompt":
            self._person.add(turn.text)
            if not self._title and len(turn.text) >= _NAMES_SOMETHING:
                self._title = one_line(turn.text, 110)
        for told in _told(turn):
            self._rest.add(told)

    def digest(self, budget: int = BUDGET, *, title: str = "") -> Digest:
        """The digest in at most `budget` tokens by `domain.tokens`; `title` is the client's own, for want of a request."""
        facts = self._gathering.facts()
        text, _ = choose(facts, budget)
        return Digest(
            title=self._title or one_line(title or (facts.prompts[0] if facts.prompts else ""), 110),
            outcome=one_line(facts.outcome, 240),
            text=text,
            files=tuple(facts.edited),
            commits=tuple(commit for commit, _ in facts.commits),
            tokens=estimate(text),
            raw_tokens=self._raw,
        )

    def explain(self, budget: int = BUDGET) -> list[Tally]:
        """What became of every candidate of the digest of that budget, head by head."""
        return choose(self._gathering.facts(), budget)[1]

    def body(self) -> Body:
        """The searchable long form: prompts; answers, commands with outcome, failed output, files and commits."""
        facts = self._gathering.facts()
        answered = [line for line in facts.decisions if line.startswith("asked and answered")]
        commits = (f"{commit} {subject}" for commit, subject in facts.commits)
        names = "\n".join([" ".join(facts.edited), " ".join(facts.read), " ".join(facts.names), *commits])
        return Body(
            shortened("\n\n".join([*self._person.pieces(), *answered]), LONGEST_PERSON),
            shortened("\n".join([shortened(names, LONGEST_REST // 6), *self._rest.pieces()]), LONGEST_REST),
        )


def account(transcript: Transcript) -> Account:
    """The account of a session that was read whole."""
    made = Account(transcript.folder)
    for turn in transcript.turns:
        made.take(turn)
    return made


def digest(transcript: Transcript, budget: int = BUDGET) -> Digest:
    """The digest of a session in at most `budget` tokens by `domain.tokens`."""
    return account(transcript).digest(budget, title=transcript.title)


def condense(transcript: Transcript) -> Body:
    """The searchable long form of a session."""
    return account(transcript).body()


class _Stream:
    """Pieces of text, of which the head and the tail are held once they are longer than `longest` characters."""

    def __init__(self, joint: str, longest: int) -> None:
        self._joint = joint
        self._longest = longest
        self._head: list[str] = []
        self._head_size = 0
        self._tail: deque[str] = deque()
        self._tail_size = 0

    def add(self, text: str) -> None:
        """Adds one piece."""
        piece = shortened(text, self._longest)
        if not self._tail and self._head_size + len(piece) <= self._longest // 3:
            self._head.append(piece)
            self._head_size += len(piece) + len(self._joint)
            return
        self._tail.append(piece)
        self._tail_size += len(piece) + len(self._joint)
        while self._tail_size - len(self._tail[0]) > self._longest:
            self._tail_size -= len(self._tail.popleft()) + len(self._joint)

    def pieces(self) -> list[str]:
        """What is held of them, in order."""
        return [*self._head, *self._tail]


def _told(turn: Turn) -> Iterator[str]:
    """What the long form tells of a turn, beside the person's words."""
    if turn.kind in ("answer", "summary"):
        yield turn.text
    elif turn.kind == "task":
        yield turn.text[:2_000]
    elif turn.kind == "tool":
        yield from _call(turn.tool, {name: value for name, value in turn.arguments.items() if isinstance(value, str)})
        if turn.failed:
            yield f"failed: {turn.text[:1_500]}"


def _call(tool: str, given: dict[str, str]) -> Iterator[str]:
    if is_own(tool):
        yield f"{tool.rsplit('__', 1)[-1]} {given.get('reference', '')}"
        return
    for name in ("command", "description", "query", "url", "pattern", "prompt", "subject"):
        if given.get(name):
            yield given[name][:1_000]
