"""The spool: notes of sessions that wait to be captured.  Pointers only, never content.

One note a session, replaced as the session goes on.  A note is taken out only when it still says
what was captured: a newer one that was put in its place meanwhile stays.
"""

from __future__ import annotations

import json
import os

from hooks.event import is_session_id, is_transcript_path
from hooks.files import now_us, number_of, read_small, remove, text_of, write_object
from hooks.project import Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SPOOL = "spool"
ASIDE = ".aside"
_TAKEN = ".taken."
_SUFFIX = ".json"
_LONGEST_NOTE = 20_000


class Note:
    """A note as it lies in the spool; `content` is its very text, to tell whether it was replaced."""

    __slots__ = (
        "at_us",
        "branch",
        "client",
        "content",
        "cwd",
        "event",
        "path",
        "project",
        "project_name",
        "session_id",
        "size",
        "transcript_path",
    )

    def __init__(self, path: str, content: str, said: dict[str, object]) -> None:
        self.path = path
        self.content = content
        self.session_id = text_of(said, "session_id")
        self.transcript_path = text_of(said, "transcript_path")
        self.size = number_of(said, "size")
        self.cwd = text_of(said, "cwd")
        self.project = text_of(said, "project")
        self.project_name = text_of(said, "project_name")
        self.branch = text_of(said, "branch")
        self.client = text_of(said, "client")
        self.event = text_of(said, "event")
        self.at_us = number_of(said, "at_us")


def put(
    home: str,
    project: Project,
    *,
    session_id: str,
    transcript_path: str,
    folder: str,
    client: str,
    event: str,
) -> bool:
    """Write or replace the note of a session.  False where no transcript is named.  Raises OSError."""
    if not is_transcript_path(transcript_path) or not is_session_id(session_id):
        return False
    try:
        size = os.stat(transcript_path).st_size
    except OSError:
        size = 0
    write_object(
        os.path.join(home, SPOOL, session_id + _SUFFIX),
        {
            "at_us": now_us(),
            "branch": project.branch,
            "client": client,
            "cwd": folder,
            "event": event,
            "project": project.project_id,
            "project_name": project.name,
            "session_id": session_id,
            "size": size,
            "transcript_path": transcript_path,
        },
    )
    return True


def pending(home: str, project: str = "") -> Iterator[Note]:
    """The notes that wait, oldest first; of one project where it is named.  A damaged note is set aside."""
    notes: list[Note] = []
    for name in _names(home):
        path = os.path.join(home, SPOOL, name)
        content = read_small(path, _LONGEST_NOTE)
        note = _read(path, content)
        if note is None:
            if os.path.lexists(path):
                set_aside(path)
        elif not project or note.project == project:
            notes.append(note)
    notes.sort(key=lambda note: (note.at_us, note.session_id))
    yield from notes


def is_waiting(home: str) -> bool:
    """Whether any note waits."""
    return bool(_names(home))


def take_out(note: Note) -> bool:
    """Take a note out of the spool; False where a newer one has taken its place, which stays."""
    folder, name = os.path.split(note.path)
    taken = os.path.join(folder, _TAKEN + name)
    try:
        os.rename(note.path, taken)
    except FileNotFoundError:
        return True
    if read_small(taken, _LONGEST_NOTE) == note.content:
        remove(taken)
        return True
    _put_back(taken, note.path)
    return False


def recover(home: str) -> None:
    """Put back notes that a process held in its hand when it was killed, and remove its half-written files."""
    folder = os.path.join(home, SPOOL)
    for name in _listed(folder):
        path = os.path.join(folder, name)
        if name.startswith(_TAKEN):
            _put_back(path, os.path.join(folder, name.removeprefix(_TAKEN)))
        elif name.startswith(".") and name.endswith(".part") and _age_us(path) > 60_000_000:  # noqa: PLR2004 - a minute
            remove(path)


def set_aside(path: str) -> None:
    """Move a note that cannot be captured out of the way; it is kept for a person to look at.  Never raises."""
    folder, name = os.path.split(path)
    try:
        os.makedirs(os.path.join(folder, ASIDE), mode=0o700, exist_ok=True)
        os.replace(path, os.path.join(folder, ASIDE, name))
    except OSError:
        remove(path)


def _read(path: str, content: str) -> Note | None:
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    note = Note(path, content, said)
    named = os.path.basename(path).removesuffix(_SUFFIX)
    if note.session_id != named or not is_session_id(named) or not is_transcript_path(note.transcript_path):
        return None
    return note


def _put_back(taken: str, path: str) -> None:
    try:
        os.link(taken, path)
    except OSError:
        # A newer note stands there already.
        remove(taken)
    else:
        remove(taken)


def _names(home: str) -> list[str]:
    return sorted(name for name in _listed(os.path.join(home, SPOOL)) if name.endswith(_SUFFIX) and name[0] != ".")


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _age_us(path: str) -> int:
    try:
        return now_us() - os.stat(path).st_mtime_ns // 1000
    except OSError:
        return 0
