"""Processes that a client left behind on purpose: detached drains.  A test waits for their end, and leaves none.

Linux gives the orphans of a process tree to the nearest ancestor that asked for them; while a `Nursery` is open that is
this process, so none gets lost whatever session or group it made for itself.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

PR_SET_CHILD_SUBREAPER = 36


@dataclass(slots=True)
class Nursery:
    """Takes in the orphans of what is started while it is open.  `exits` are the exit codes of those that ended."""

    exits: list[int] = field(default_factory=list)
    _before: frozenset[int] = field(default_factory=frozenset)
    _known: set[int] = field(default_factory=set)

    def __enter__(self) -> Self:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._before = frozenset(children())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for orphan in self.orphans():
            try:
                os.kill(orphan, signal.SIGKILL)
                os.waitpid(orphan, 0)
            except (ProcessLookupError, ChildProcessError):
                continue
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    def ours(self, process: int) -> None:
        """Names a child that is no orphan: whoever started it waits for it."""
        self._known.add(process)

    def orphans(self) -> list[int]:
        """The orphans that still run; those that have ended are reaped."""
        found = []
        for child in children():
            if child in self._before or child in self._known:
                continue
            try:
                ended, status = os.waitpid(child, os.WNOHANG)
            except ChildProcessError:
                continue
            if ended:
                self.exits.append(os.waitstatus_to_exitcode(status))
            else:
                found.append(child)
        return found

    def wait(self, seconds: float = 30) -> None:
        """Waits until every orphan has ended.  Raises TimeoutError that names them."""
        until = time.monotonic() + seconds
        while left := self.orphans():
            handles = [handle for orphan in left if (handle := _handle(orphan)) >= 0]
            try:
                ended = select.select(handles, [], [], max(0.0, until - time.monotonic()))[0] or not handles
            finally:
                for handle in handles:
                    os.close(handle)
            if not ended:
                told = [Path(f"/proc/{orphan}/cmdline").read_bytes().replace(b"\0", b" ")[:200] for orphan in left]
                raise TimeoutError(f"still running after {seconds} s: {told}")


def _handle(process: int) -> int:
    """Something that can be waited on for the end of a process; -1 when it is gone already."""
    try:
        return os.pidfd_open(process)
    except ProcessLookupError:
        return -1


def children() -> list[int]:
    """The direct children of this process."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        try:
            found += [int(word) for word in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
