"""What a hook is told: the event on its standard input, and the settings file on its command line.

Everything here was said by somebody else and is checked: a session id becomes part of a file
name, a transcript path is later opened.
"""

from __future__ import annotations

import json
import os
import re

from hooks.files import number_of, read_object, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

LONGEST_INPUT = 8_000_000
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}\Z")
OFF = "off"
DEADLINE_MS = 800
BLOCK_CHARACTERS = 4_000
HARD_BLOCK_CHARACTERS = 9_000  # above 10,000 the client silently keeps 2 KB


class Refused(ValueError):
    """The input is not what Claude Code sends.  Carries no text of it."""


class Event:
    """One event: which, of which session, where; `folder` is where the session was started."""

    __slots__ = ("agent_id", "cwd", "folder", "name", "session_id", "source", "transcript_path")

    def __init__(self, name: str, said: dict[str, object]) -> None:
        self.name = name
        self.session_id = text_of(said, "session_id")
        self.transcript_path = text_of(said, "transcript_path")
        self.cwd = text_of(said, "cwd")
        self.source = text_of(said, "source")
        self.agent_id = text_of(said, "agent_id")
        # The working directory follows every `cd`; the project is where the session was started.
        self.folder = os.environ.get("CLAUDE_PROJECT_DIR") or self.cwd
        if not is_session_id(self.session_id):
            raise Refused("the session id is not one")


class Settings:
    """The flat settings that setup writes for hooks."""

    __slots__ = (
        "block_characters",
        "database",
        "deadline_ms",
        "home",
        "machine_id",
        "machine_name",
        "owner_id",
        "start_line",
    )

    def __init__(self, said: dict[str, object]) -> None:
        self.home = text_of(said, "home")
        if not os.path.isabs(self.home):
            raise Refused("the settings name no data directory")
        # A path, or a server's address with the name of the file that holds its password.
        server = said.get("database")
        self.database: str | dict[str, object] = (
            server
            if isinstance(server, dict)
            else text_of(said, "database") or os.path.join(self.home, "claudetools.db")
        )
        self.machine_id = text_of(said, "machine_id")
        self.machine_name = text_of(said, "machine_name")
        self.owner_id = text_of(said, "owner_id")
        self.deadline_ms = number_of(said, "deadline_ms") or DEADLINE_MS
        self.start_line = text_of(said, "start_line") != OFF
        self.block_characters = min(number_of(said, "block_characters") or BLOCK_CHARACTERS, HARD_BLOCK_CHARACTERS)

    def below(self, *names: str) -> str:
        """A path in the data directory."""
        return os.path.join(self.home, *names)


def is_session_id(text: str) -> bool:
    """Whether a text can be a session id: letters, digits, `-` and `_`, so that it is a safe file name."""
    return _SESSION.match(text) is not None


def is_transcript_path(text: str) -> bool:
    """Whether a text can be the path of a transcript: absolute, plain, a JSON lines file."""
    return os.path.isabs(text) and text.endswith(".jsonl") and "\0" not in text and len(text) < 4_096  # noqa: PLR2004 - PATH_MAX


def read_event(name: str, stream: BinaryIO) -> Event:
    """The event on a stream.  Raises Refused for what is none."""
    data = stream.read(LONGEST_INPUT + 1)
    if len(data) > LONGEST_INPUT:
        raise Refused("the event is too long")
    try:
        said = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise Refused("the event is not JSON") from None
    if not isinstance(said, dict):
        raise Refused("the event is no object")
    return Event(name, said)


def read_settings(path: str) -> Settings:
    """The settings in a file.  Raises Refused where they are missing or damaged."""
    return Settings(read_object(path))
