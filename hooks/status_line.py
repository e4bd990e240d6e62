"""The status line: what this session was given of the memory, on one line below the prompt.

The client runs it after every answer, so it reads three small files and never the database, and
prints nothing where anything is wrong.  What it says of the database is what the session's start
or its last prompt met.
"""

from __future__ import annotations

import os
import sys

from hooks import shelf, spool
from hooks.event import Event, Settings

_NAME = "memory: "
_TROUBLES = {
    shelf.AWAY: "database away",
    shelf.SHUT_OUT: "this machine was revoked (claudetools doctor)",
}
_NOTHING_YET = "nothing of this project yet"


def run(event: Event, settings: Settings) -> None:
    """Print the line of a session; nothing for one that is not known here.  Raises OSError."""
    text = line(settings.home, event.session_id)
    data = text.encode("utf-8", "replace") + b"\n" if text else b""
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


def line(home: str, session_id: str) -> str:
    """`memory: 7 records · 58k tokens saved · newest laptopB 3 h ago`, and what is not well; "" for an unknown session."""
    seen = shelf.read_seen(home, session_id)
    if seen is None:
        return ""
    trouble = _TROUBLES.get(seen.trouble, "")
    waiting = spool.overdue(home)
    parts = [
        seen.figures.line() or ("" if trouble else _NOTHING_YET),
        trouble,
        f"{waiting} session{'s' if waiting > 1 else ''} waiting to be kept" if waiting else "",
    ]
    return _NAME + " · ".join(part for part in parts if part)
