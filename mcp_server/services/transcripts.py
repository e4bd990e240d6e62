"""A session's transcript files, the main one and those of its subagents, read as they grow.

A `Followed` session keeps what it has read of them: how far, the calls that wait for their results,
and the account of what was done.  All of it in memory, and struck; nothing of it is written
anywhere.  So a turn's end costs what is new, and a process that begins reads from the start.
"""

from __future__ import annotations

import copy
import heapq
import json
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from domain.digest import Account
from domain.lines import Lines
from domain.redaction import Redactor
from domain.striking import Striking
from domain.transcript import About, Reader, Silence, Transcript, Turn, microseconds

WRITE_LAG_S = 0.15
"""The client writes its transcript in batches, 100 ms after the fact."""
CHUNK = 1 << 16
_MOST_ASIDES = 2_000
_LOOKED_AT = 1 << 14
_TIME = re.compile(rb'"timestamp": ?"([^"]{1,40})"')
_FIRST_BYTES = 256


class Replaced(Exception):
    """A file is not the one that was read before, or has become shorter: the session is to be read anew."""


class Followed:
    """One session, read up to a point.  Everything of it was struck by one redactor."""

    def __init__(self, path: Path, redactor: Redactor, has_own_file: Callable[[str], bool] = lambda _: True) -> None:
        self.path = path
        self.redactor = redactor
        self._main = _File(path, Reader(has_own_file=has_own_file))
        self._asides: dict[Path, _File] = {}
        self._account = Account()
        self._striking = Striking(redactor.strike)
        self._silence = Silence()
        self.says_something = False
        """Whether anything was said in it, beside what tools did."""

    @property
    def about(self) -> About:
        """What the main file's rows say of the session.  Not struck."""
        return self._main.reader.about

    @property
    def counts(self) -> Counter[str]:
        """What was struck so far, by rule."""
        return Counter(self._striking.counts)

    @property
    def bytes_read(self) -> int:
        """The bytes that were read from the files since this began, those of unfinished lines as often as they were read."""
        return self._main.bytes_read + sum(aside.bytes_read for aside in self._asides.values())

    def catch_up(self) -> int:
        """Read what is new.  Returns the bytes that the session's files have, as far as they were read.

        Raises Replaced, or OSError where the main file cannot be read; then nothing more is to be
        asked of this.
        """
        if not self._main.size:
            self._follow(older_subagent_files(self.path), counts=False)
        self._follow(subagent_files(self.path))
        asides = list(self._asides.values())
        for turn in _in_order(self._main, asides):
            if turn is None:
                self._begin_anew()
            elif self._silence.lets(turn):
                self._told(self._striking.take(turn))
        self._told(self._striking.flush())
        return self._main.size + sum(aside.size for aside in asides if aside.counts)

    def account(self) -> Account:
        """What was done so far, the calls that wait for their results among it."""
        waiting = [turn for file in (self._main, *self._asides.values()) for turn in file.reader.unfinished()]
        if not waiting:
            return self._account
        # They will be told again, with their results.
        struck, account = Striking(self.redactor.strike), copy.deepcopy(self._account)
        silence = copy.copy(self._silence)
        told = [one for turn in waiting if silence.lets(turn) for one in struck.take(turn)]
        for turn in [*told, *struck.flush()]:
            account.take(turn)
        return account

    def _follow(self, paths: list[Path], *, counts: bool = True) -> None:
        for path in paths:
            if path not in self._asides and len(self._asides) < _MOST_ASIDES:
                self._asides[path] = _File(path, Reader(aside=True, has_own_file=lambda _: False), counts=counts)

    def _told(self, turns: list[Turn]) -> None:
        for turn in turns:
            if not self._account.folder:
                self._account.folder = self.about.folder
            self._account.take(turn)
            self.says_something = self.says_something or turn.kind != "tool"

    def _begin_anew(self) -> None:
        self._striking.drop()
        self._account, self._silence, self.says_something = Account(), Silence(), False


class _File:
    """One file, read up to a point.  `counts` says whether its bytes are counted as the session's."""

    def __init__(self, path: Path, reader: Reader, *, counts: bool = True) -> None:
        self.path = path
        self.reader = reader
        self.counts = counts
        self.size = 0
        self.bytes_read = 0
        self._offset = 0
        self._known: tuple[int, int] | None = None
        self._first = b""

    def turns(self) -> Iterator[tuple[int, Turn | None]]:
        """What is new, each turn with the time of its row; None where all before was copied from elsewhere."""
        with os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as stream:
            known = os.fstat(stream.fileno())
            if not stat.S_ISREG(known.st_mode):
                raise OSError("a transcript is a regular file")
            first = stream.read(_FIRST_BYTES)
            if (known.st_dev, known.st_ino) != (self._known or (known.st_dev, known.st_ino)):
                raise Replaced
            if known.st_size < self.size or not first.startswith(self._first):
                raise Replaced
            self._known, self._first = (known.st_dev, known.st_ino), first
            if known.st_size == self.size:
                return
            stream.seek(self._offset)
            began, lines, reader = self._offset, Lines(), self.reader
            while chunk := stream.read(CHUNK):
                self.bytes_read += len(chunk)
                for line in lines.feed(chunk):
                    yield from ((reader.about.last_us, turn) for turn in self._turns_of(line))
                    self._offset = began + lines.taken
            if lines.torn and _is_whole(lines.rest()):
                yield from ((reader.about.last_us, turn) for turn in self._turns_of(lines.rest()))
                lines.take_rest()
            self._offset = began + lines.taken
            self.size = self._offset + lines.torn

    def _turns_of(self, line: bytes) -> Iterator[Turn | None]:
        told = self.reader.take(line)
        if self.reader.begins_anew:
            yield None
        yield from told

    def begins_us(self) -> int:
        """The time of the first row that was not read yet; 0 where it does not tell."""
        found = _TIME.search(read_part(self.path, self._offset))
        return microseconds(found.group(1).decode("ascii", "replace")) if found else 0


def _in_order(main: _File, asides: list[_File]) -> Iterator[Turn | None]:
    """What is new in all files, by time.  A file is opened when its time has come: there may be hundreds.

    Raises Replaced, and OSError for the main file alone.
    """
    grown = [aside for aside in asides if _has_grown(aside)]
    waiting = sorted(((aside.begins_us(), number, aside) for number, aside in enumerate(grown, 1)), reverse=True)
    heap: list[tuple[int, int, Turn | None, Iterator[tuple[int, Turn | None]]]] = []

    def push(number: int, turns: Iterator[tuple[int, Turn | None]]) -> None:
        try:
            found = next(turns, None)
        except OSError:
            if number == 0:
                raise
            found = None  # a subagent's file that is gone takes nothing else with it
        if found is not None:
            heapq.heappush(heap, (found[0], number, found[1], turns))

    push(0, main.turns())
    while heap or waiting:
        while waiting and (not heap or waiting[-1][0] <= heap[0][0]):
            _, number, aside = waiting.pop()
            push(number, aside.turns())
        if heap:
            _, number, turn, turns = heapq.heappop(heap)
            yield turn
            push(number, turns)


def _has_grown(file: _File) -> bool:
    try:
        return file.path.stat().st_size != file.size
    except OSError:
        return False


def _is_whole(line: bytes) -> bool:
    """Whether a line without its end is a whole row: no part of an object is one."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def read_session(path: Path) -> tuple[Transcript, int]:
    """A session with what its subagents did, whole in memory and not struck, and its size: for measuring.

    Raises OSError.
    """
    main = _File(path, Reader())
    asides = [_File(aside, Reader(aside=True)) for aside in [*subagent_files(path), *older_subagent_files(path)]]
    silence, turns = Silence(), list[Turn]()
    for turn in _in_order(main, asides):
        if turn is None:
            turns.clear()
        elif silence.lets(turn):
            turns.append(turn)
    about = main.reader.about
    told = Transcript(
        turns=(*turns, *main.reader.unfinished()),
        title=about.title,
        folder=about.folder,
        branches=tuple(about.branches),
        first_us=about.first_us,
        last_us=about.last_us,
        rows=about.rows,
        unreadable=about.unreadable,
    )
    return told, main.size + sum(aside.size for aside in asides)


def subagent_files(path: Path) -> list[Path]:
    """The transcripts of a session's subagents, which lie in a folder of the session's name."""
    try:
        return sorted((path.with_suffix("") / "subagents").rglob("agent-*.jsonl"))
    except OSError:
        return []


def older_subagent_files(path: Path) -> list[Path]:
    """The same where clients of 2025 kept them: beside the session's own file, and naming it in their rows.

    They are not counted in the session's size: whoever looks at every session's does not read them.
    """
    try:
        beside = sorted(path.parent.glob("agent-*.jsonl"))[:_MOST_ASIDES]
    except OSError:
        return []
    named = re.compile(rb'"sessionId": ?"%s"' % re.escape(path.stem.encode()))
    return [aside for aside in beside if named.search(read_part(aside, 0))]


def read_part(path: Path, offset: int, most: int = _LOOKED_AT) -> bytes:
    """Some bytes of a regular file; b"" where there are none or they cannot be read.  Never waits for a pipe."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return b""
            stream.seek(offset)
            return stream.read(most)
    except OSError:
        return b""


def total_size(path: Path) -> int:
    """The bytes of a session's files; -1 where the main one is not there."""
    try:
        total = path.stat().st_size
    except (OSError, ValueError):
        return -1
    for aside in subagent_files(path):
        with suppress(OSError):
            total += aside.stat().st_size
    return total


def settle(path: Path) -> None:
    """Wait until the client has written what it had to say: a file that was just written is given its lag."""
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return
    if 0 <= age < WRITE_LAG_S:
        time.sleep(WRITE_LAG_S - age)
