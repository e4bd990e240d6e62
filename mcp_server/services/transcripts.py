"""A session's transcript files: the main one, and those of its subagents."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from domain.transcript import Transcript, join, read, split_lines

WRITE_LAG_S = 0.15
"""The client writes its transcript in batches, 100 ms after the fact."""


def read_session(path: Path) -> tuple[Transcript, int]:
    """A session's transcript with those of its subagents, and how many bytes were read.  Raises OSError."""
    main, size = read_file(path)
    asides: list[Transcript] = []
    for aside in subagent_files(path):
        try:
            told, more = read_file(aside, aside=True)
        except OSError:
            continue
        asides.append(told)
        size += more
    return (join(main, asides) if asides else main, size)


def read_file(path: Path, *, aside: bool = False) -> tuple[Transcript, int]:
    """One transcript file and its size as read.  Raises OSError, also for what is no regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("a transcript is a regular file")
        size = 0

        def chunks() -> Iterator[bytes]:
            nonlocal size
            while piece := stream.read(1 << 18):
                size += len(piece)
                yield piece

        return read(split_lines(chunks()), aside=aside), size


def subagent_files(path: Path) -> list[Path]:
    """The transcripts of a session's subagents, which lie in a folder of the session's name."""
    try:
        return sorted((path.with_suffix("") / "subagents").glob("agent-*.jsonl"))
    except OSError:
        return []


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
