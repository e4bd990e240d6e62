"""Whether this command was started by Claude Code, which then must not get at a value.

A workflow gate, not a boundary: who can run programs as this user can pretend to be a terminal.  The person's password,
which is asked for besides, is what stands in the way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from domain.errors import Denied

MARKS = (
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_CODE_SESSION_ATTENDED",
    "CLAUDE_CODE_MESSAGING_SOCKET",
    "CLAUDE_PID",
)
"""What the client puts into the environment of its children.  Others of its variables are settings that people export."""

_PROGRAM = "claude"
_PLACES = ("/@anthropic-ai/claude-code", "/.claude/local/", "/claude/versions/")
"""Where the client lies, as a package and as installed by itself (then the program is named by its version)."""


def refuse_under_claude(what: str) -> None:
    """Raises Denied where a Claude Code process stands anywhere above this one."""
    if under_claude():
        raise Denied(
            f"{what} is for a person at a terminal of their own, not for Claude Code",
            hint="open another terminal and type it there; Claude Code has its own tools for what it may do",
        )


def under_claude(environment: Mapping[str, str] | None = None, processes: Path = Path("/proc")) -> bool:
    """Whether the environment or the parent processes show a Claude Code above this process."""
    said = os.environ if environment is None else environment
    return any(name in said for name in MARKS) or any(_is_claude(place) for place in _above(processes))


def _above(processes: Path) -> Iterator[Path]:
    """The process folders from the parent upwards; ends where they cannot be read."""
    number = os.getppid()
    for _ in range(64):
        if number <= 1:
            return
        place = processes / str(number)
        yield place
        try:
            # The name stands in parentheses and may itself hold spaces and parentheses.
            rest = (place / "stat").read_text(errors="replace").rpartition(")")[2].split()
            number = int(rest[1])
        except (OSError, ValueError, IndexError):
            return


def _is_claude(place: Path) -> bool:
    try:
        if (place / "comm").read_text(errors="replace").strip() == _PROGRAM:
            return True
        words = (place / "cmdline").read_text(errors="replace").split("\0")[:2]
    except OSError:
        return False
    with suppress(OSError):  # not ours to read, where another user started it
        words.append(str((place / "exe").readlink()))
    return any(word.rpartition("/")[2] == _PROGRAM or any(part in word for part in _PLACES) for word in words)
