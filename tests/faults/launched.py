"""Runs a module in a process to which something happens.  Run by its path; imports nothing of the project.

    python -I launched.py FATE MODULE [ARGUMENT ...]

FATE is JSON: `shift_s` (how far the clock is off), `room` (no file grows past so many bytes), `touch` (the how manieth
touch of the world outside is its last), `since` (a file name: touches count once a file of that name was opened), `after`
(whether that one still happens), `holds` (whether it then stands still instead of dying).  A touch is a call that opens, writes, renames, removes, locks, asks a database or speaks over a line;
loading modules is none.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

TOUCHES = frozenset(
    {
        "open",
        "write",
        "replace",
        "rename",
        "unlink",
        "link",
        "mkdir",
        "fsync",
        "flock",
        "stat",
        "listdir",
        "posix_spawn",
        "connect",
        "sendall",
        "recv_into",
        "execute",
        "executemany",
        "fetchone",
        "fetchall",
        "commit",
        "rollback",
    }
)


def main(fate: dict[str, Any], module: str) -> None:
    """Lays the fate on this process and becomes the module."""
    if shift := fate.get("shift_s", 0):
        now, now_ns = time.time, time.time_ns
        time.time, time.time_ns = lambda: now() + shift, lambda: now_ns() + shift * 1_000_000_000
    if "room" in fate:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fate["room"],) * 2)
    if touch := fate.get("touch", 0):
        count_touches(
            touch, "c_return" if fate.get("after") else "c_call", bool(fate.get("holds")), str(fate.get("since", ""))
        )
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def count_touches(last: int, moment: str, holds: bool, since: str) -> None:
    """Ends this process, or lets it stand still, at its `last` touch: before it, or after.

    Counting slows a process down: with `since` only the thread that opens that file, and those that it starts, pay.
    """
    left = last
    counting = False

    def look(frame: FrameType, event: str, what: object) -> None:
        nonlocal left
        if event != moment or getattr(what, "__name__", "") not in TOUCHES:
            return
        if isinstance(getattr(what, "__self__", None), str) or frame.f_code.co_filename.startswith("<frozen"):
            return  # text, and modules
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGSTOP if holds else signal.SIGKILL)

    def begin() -> None:
        nonlocal counting
        counting = True
        threading.setprofile(look)
        sys.setprofile(look)

    def wait(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and not counting and str(arguments[0]).endswith("/" + since):
            begin()

    if since:
        sys.addaudithook(wait)
    else:
        begin()


if __name__ == "__main__":
    said, name = json.loads(sys.argv[1]), sys.argv[2]
    sys.argv = [name, *sys.argv[3:]]
    main(said, name)
