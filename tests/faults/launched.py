"""Runs a module in a process to which something happens.  Run by its path; imports nothing of the project.

    python -I launched.py FATE MODULE [ARGUMENT ...]

FATE is JSON: `shift_s` (how far the clock is off), `room` (no file grows past so many bytes), `touch` (the how manieth
touch of the world outside is its last), `since` (a file name: touches count once a file of that name was opened), `after`
(whether that one still happens), `changes` (only touches count that change something), `holds` (whether it then stands
still instead of dying).  A touch is a call that opens, writes, renames, removes, locks, asks a database or speaks over a line;
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
CHANGES = frozenset({"write", "replace", "rename", "unlink", "link", "mkdir", "executemany", "commit"})
ASKS = frozenset({"execute", "sendall"})
STATEMENTS = ("INSERT", "UPDATE", "DELETE", "REPLACE", "COMMIT", "EXECUTE")


def main(fate: dict[str, Any], module: str) -> None:
    """Lays the fate on this process and becomes the module."""
    if shift := fate.get("shift_s", 0):
        now, now_ns = time.time, time.time_ns
        time.time, time.time_ns = lambda: now() + shift, lambda: now_ns() + shift * 1_000_000_000
    if "room" in fate:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fate["room"],) * 2)
    if touch := fate.get("touch", 0):
        count_touches(touch, fate)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def changes(frame: FrameType, name: str) -> bool:
    """Whether a call changes something: a file's name or content, or rows, by the statement that its caller holds."""
    if name in CHANGES:
        return True
    said = frame.f_locals.get("statement" if name == "execute" else "data", "") if name in ASKS else ""
    text = said.decode("latin-1") if isinstance(said, bytes) else str(said)
    return any(word in text[:64] for word in STATEMENTS)


def count_touches(last: int, fate: dict[str, Any]) -> None:
    """Ends this process, or lets it stand still, at its `last` touch: before it, or after.

    Counting slows a process down: with `since` only the thread that opens that file, and those that it starts, pay.
    """
    left, since = last, str(fate.get("since", ""))
    moment = "c_return" if fate.get("after") else "c_call"
    end = signal.SIGSTOP if fate.get("holds") else signal.SIGKILL
    only_changes = bool(fate.get("changes"))
    counting = False

    def look(frame: FrameType, event: str, what: object) -> None:
        nonlocal left
        name = getattr(what, "__name__", "")
        if event != moment or name not in TOUCHES:
            return
        if isinstance(getattr(what, "__self__", None), str) or frame.f_code.co_filename.startswith("<frozen"):
            return  # text, and modules
        if only_changes and not changes(frame, name):
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), end)

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
