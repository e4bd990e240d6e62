"""The spool: notes of sessions that wait to be captured.  Pointers only, never content.

One note a session, replaced as the session goes on.  A note is taken out only when it still says
what was captured: a newer one that was put in its place meanwhile stays.
"""

from __future__ import annotations

import fcntl
import json
import os
import time

from hooks.event import is_session_id, is_transcript_path
from hooks.files import (
    NO_ROOM,
    age_us,
    now_us,
    number_of,
    read_object,
    read_small,
    remove,
    remove_parts,
    text_of,
    write_object,
)
from hooks.project import Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SPOOL = "spool"
ASIDE = ".aside"
DRAINED_FILE = "drained.json"
_TAKEN = ".taken."
_SUFFIX = ".json"
_LONGEST_NOTE = 20_000
_OVERDUE_US = 60_000_000
_WRITTEN = ("", SPOOL, "seen", "shelf", "log")
_DRAINING = ".draining"
_STARTING = ".starting"
_UNTIDY = ".untidy"
STARTING_VARIABLE = "CLAUDETOOLS_DRAIN_STARTS"
"""The environment variable that tells a drain which descriptor to close when it begins to look."""
_LOOK_EVERY_S = 0.01


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


class Aside:
    """A note that was set aside: of which session, why, when."""

    __slots__ = ("at_us", "project_name", "session_id", "transcript_path", "why")

    def __init__(self, session_id: str, said: dict[str, object]) -> None:
        self.session_id = session_id
        self.project_name = text_of(said, "project_name")
        self.transcript_path = text_of(said, "transcript_path")
        self.why = text_of(said, "why") or ("" if said else "the note is damaged")
        self.at_us = number_of(said, "aside_us")


class Drain:
    """The last drain: when (0 for never), how many sessions it captured, what kept it; and the last session captured by any."""

    __slots__ = (
        "at_us",
        "captured",
        "captured_project",
        "captured_session",
        "captured_us",
        "set_aside",
        "trouble",
        "waiting",
    )

    def __init__(self, said: dict[str, object]) -> None:
        self.at_us = number_of(said, "at_us")
        self.captured = number_of(said, "captured")
        self.waiting = number_of(said, "waiting")
        self.set_aside = number_of(said, "set_aside")
        self.trouble = text_of(said, "trouble")
        self.captured_us = number_of(said, "captured_us")
        self.captured_session = text_of(said, "captured_session")
        self.captured_project = text_of(said, "captured_project")


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


def mark_draining(home: str) -> int:
    """A descriptor that says, as long as any process has it open, that a drain is on its way.  Raises OSError.

    A lock that the kernel lets go with its last holder: a killed drain leaves no mark behind.
    """
    path = os.path.join(home, SPOOL, _DRAINING)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # whoever looks has it to itself for microseconds
    os.set_inheritable(descriptor, True)
    return descriptor


def claim_start(home: str) -> int | None:
    """A descriptor for the drain that is to be started; None where one is starting that has not looked yet.

    That one will find the caller's note: however many sessions end at once, one drain works and one waits for it.
    Raises OSError.
    """
    descriptor = os.open(
        os.path.join(home, SPOOL, _STARTING), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.set_inheritable(descriptor, True)
    return descriptor


def begin_to_look(home: str) -> None:
    """Let go of the claim under which this process was started: whoever leaves a note from now on starts another drain."""
    said = os.environ.pop(STARTING_VARIABLE, "")
    try:
        descriptor = int(said)
        if os.path.samestat(os.fstat(descriptor), os.stat(os.path.join(home, SPOOL, _STARTING))):
            os.close(descriptor)
    except (ValueError, OSError):
        return


def await_drain(home: str, project: str, within: float) -> None:
    """Wait until nothing of a project waits, or no drain is on its way, or `within` seconds have passed.  Raises OSError."""
    until = time.monotonic() + within
    while is_waiting(home) and any(pending(home, project)) and _is_draining(home) and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)


def _is_draining(home: str) -> bool:
    try:
        descriptor = os.open(os.path.join(home, SPOOL, _DRAINING), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def mark_untidy(home: str) -> None:
    """Note that the database's index still holds words of a forgotten record.  Raises OSError."""
    write_object(os.path.join(home, SPOOL, _UNTIDY), {"at_us": now_us()})


def is_untidy(home: str) -> bool:
    """Whether that is still to be done."""
    return os.path.lexists(os.path.join(home, SPOOL, _UNTIDY))


def mark_tidy(home: str) -> None:
    """Note that it is done.  Never raises."""
    remove(os.path.join(home, SPOOL, _UNTIDY))


def is_waiting(home: str) -> bool:
    """Whether any note waits."""
    return bool(_names(home))


def overdue(home: str) -> int:
    """How many notes have waited for longer than a drain of a healthy database takes."""
    folder = os.path.join(home, SPOOL)
    return sum(1 for name in _names(home) if age_us(os.path.join(folder, name)) > _OVERDUE_US)


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
    """Put back notes that a process held in its hand when it was killed, and remove the half-written files of such.

    Those lie beside every small file of the data directory; one of the shelf holds text of records.
    """
    folder = os.path.join(home, SPOOL)
    for name in _listed(folder):
        path = os.path.join(folder, name)
        if name.startswith(_TAKEN):
            _put_back(path, os.path.join(folder, name.removeprefix(_TAKEN)))
    for place in _WRITTEN:
        remove_parts(os.path.join(home, place))


def set_aside(path: str, why: str = "") -> None:
    """Move a note that cannot be captured out of the way, with the reason, until a person has it tried again.

    Never raises.  On a disk that is full it stays where it is.
    """
    folder, name = os.path.split(path)
    try:
        os.makedirs(os.path.join(folder, ASIDE), mode=0o700, exist_ok=True)
        os.replace(path, os.path.join(folder, ASIDE, name))
    except OSError as error:
        if error.errno not in NO_ROOM:
            remove(path)
        return
    kept = os.path.join(folder, ASIDE, name)
    said = read_object(kept, _LONGEST_NOTE)
    if said:
        try:
            write_object(kept, {**said, "why": why, "aside_us": now_us()})
        except OSError:
            return  # without its reason


def aside(home: str) -> Iterator[Aside]:
    """The notes that were set aside."""
    folder = os.path.join(home, SPOOL, ASIDE)
    for name in sorted(_listed(folder)):
        if name.endswith(_SUFFIX) and not name.startswith("."):
            yield Aside(name.removesuffix(_SUFFIX), read_object(os.path.join(folder, name), _LONGEST_NOTE))


def retry(home: str) -> int:
    """Put the notes that were set aside back, but for those whose session has a newer one.  How many there were."""
    folder = os.path.join(home, SPOOL, ASIDE)
    names = [name for name in _listed(folder) if name.endswith(_SUFFIX) and not name.startswith(".")]
    for name in names:
        _put_back(os.path.join(folder, name), os.path.join(home, SPOOL, name))
    return len(names)


def note_drain(home: str, **said: object) -> None:
    """Keep what the last drain did, beside what was captured last.  Never raises."""
    path = os.path.join(home, DRAINED_FILE)
    known = {name: value for name, value in read_object(path).items() if name.startswith("captured_")}
    try:
        write_object(path, {**known, "at_us": now_us(), **said})
    except OSError:
        return


def last_drain(home: str) -> Drain:
    """What the last drain of this machine did."""
    return Drain(read_object(os.path.join(home, DRAINED_FILE)))


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
    except FileExistsError:
        remove(taken)  # a newer note stands there already
    except OSError:
        # No second names on this disk, or no room for one: moving needs none.
        if os.path.lexists(path):
            remove(taken)
        else:
            os.rename(taken, path)
    else:
        remove(taken)


def _names(home: str) -> list[str]:
    return sorted(name for name in _listed(os.path.join(home, SPOOL)) if name.endswith(_SUFFIX) and name[0] != ".")


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
