"""The shelf: the last good block of each project, for when the database does not answer in time.

And what each session has been given already, so that nothing is told twice.
"""

from __future__ import annotations

import os

from hooks.event import is_session_id, is_transcript_path
from hooks.files import log_trouble, now_us, number_of, read_object, remove, text_of, write_object
from hooks.telling import Figures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from domain.recall import Record
    from hooks.spool import Note
    from hooks.trust import Sight

SHELF = "shelf"
SEEN = "seen"
AWAY, SHUT_OUT = "away", "shut out"
"""What kept a session from being told anything: the database did not answer, or this machine was revoked."""
_MOST_SEEN = 400
_KEPT_US = 14 * 86_400_000_000
FORGOTTEN_FILE = "forgotten.json"
_OVERLAP_US = 900_000_000
"""An act that began a while ago may become visible only now; what is told twice does no harm."""
_NOTED_EVERY_US = 300_000_000
_MANY = 500
"""As many ids of forgotten records as one answer of the database holds (storage.direct.MOST_FORGOTTEN)."""


class Seen:
    """What a session was given, and where it is.

    `stamps` are the records that were there when it was last told something, each with its time
    stamp; `told` those that a prompt or a recall of it told; `figures` count what it was told.
    """

    __slots__ = (
        "client",
        "compacted",
        "figures",
        "folder",
        "project",
        "prompted",
        "session_id",
        "stamps",
        "told",
        "transcript_path",
        "trouble",
    )

    def __init__(self, said: dict[str, object]) -> None:
        self.stamps = _stamps(said.get("stamps"))
        told = said.get("told")
        self.told: dict[str, None] = dict.fromkeys(map(str, told)) if isinstance(told, list) else {}
        figures = said.get("figures")
        self.figures = Figures(figures if isinstance(figures, dict) else {})
        self.project = text_of(said, "project")
        self.folder = text_of(said, "folder")
        self.client = text_of(said, "client")
        # Where the session can be read from, should none of its hooks ever leave a note.
        self.session_id = text_of(said, "session_id")
        self.transcript_path = text_of(said, "transcript_path")
        # AWAY, SHUT_OUT, or "" where it was told what there is.
        self.trouble = text_of(said, "trouble")
        # Whether its first prompt was answered.
        self.prompted = said.get("prompted") is True
        # Whether it was compacted since: what it did itself is news to it again.
        self.compacted = said.get("compacted") is True

    def has(self, record_id: str, updated_us: int) -> bool:
        """Whether this state of a record was there already."""
        return self.stamps.get(record_id, -1) >= updated_us

    def add(self, there: Iterable[Record], told: Iterable[Record]) -> None:
        """Note which records were there, and which of them were told."""
        for record in there:
            self.stamps.pop(record.record_id, None)
            self.stamps[record.record_id] = record.updated_us
        for record in told:
            self.told.pop(record.record_id, None)
            self.told[record.record_id] = None
        for kept in (self.stamps, self.told):
            while len(kept) > _MOST_SEEN:
                kept.pop(next(iter(kept)))


def name_on_shelf(project: str, client: str, sight: Sight) -> str:
    """Under which name a block lies: what one folder may be told, another of the same project perhaps may not."""
    if sight.is_whole and not client:
        return project
    from zlib import crc32

    return f"{project}.{crc32(f'{client}/{sight.project:d}{sight.client:d}'.encode('utf-8', 'surrogatepass')):08x}"


class Shelved:
    """A block on the shelf: its text ("" for none), when it was made, and as `Seen` keeps them the records that it tells."""

    __slots__ = ("at_us", "figures", "stamps", "text")

    def __init__(self, said: dict[str, object]) -> None:
        self.text = text_of(said, "text")
        self.at_us = number_of(said, "at_us")
        self.stamps = _stamps(said.get("stamps"))
        figures = said.get("figures")
        self.figures = Figures(figures if isinstance(figures, dict) else {})


def put_on_shelf(home: str, name: str, text: str, told: Iterable[Record] = (), figures: Figures | None = None) -> None:
    """Keep a block under its name.  Raises OSError."""
    write_object(
        os.path.join(home, SHELF, f"{name}.json"),
        {
            "text": text,
            "at_us": now_us(),
            "stamps": {record.record_id: record.updated_us for record in told},
            "figures": figures.flat() if figures is not None else {},
        },
    )


def from_shelf(home: str, name: str) -> Shelved:
    """The last good block of this name."""
    return Shelved(read_object(os.path.join(home, SHELF, f"{name}.json")))


def _stamps(said: object) -> dict[str, int]:
    return {key: value for key, value in said.items() if isinstance(value, int)} if isinstance(said, dict) else {}


def read_seen(home: str, session_id: str) -> Seen | None:
    """What a session was given; None where nothing is known of it."""
    if not is_session_id(session_id):
        return None
    said = read_object(os.path.join(home, SEEN, f"{session_id}.json"))
    return Seen(said) if said else None


def write_seen(home: str, session_id: str, seen: Seen) -> None:
    """Keep what a session was given.  Raises OSError."""
    if not is_session_id(session_id):
        return
    write_object(
        os.path.join(home, SEEN, f"{session_id}.json"),
        {
            "at_us": now_us(),
            "client": seen.client,
            "compacted": seen.compacted,
            "figures": seen.figures.flat(),
            "folder": seen.folder,
            "project": seen.project,
            "prompted": seen.prompted,
            "session_id": session_id,
            "stamps": dict(seen.stamps),
            "told": list(seen.told),
            "transcript_path": seen.transcript_path,
            "trouble": seen.trouble,
        },
    )


def watch(home: str, note: Note) -> None:
    """Lead later drains to a session whose start no hook of ours saw, so that what it says after its last note is found.

    Never raises: on a full disk only its next note leads to it.
    """
    if read_seen(home, note.session_id) is not None:
        return
    seen = Seen({})
    seen.project, seen.client = note.project, note.client
    seen.folder, seen.transcript_path = note.cwd, note.transcript_path
    try:
        write_seen(home, note.session_id, seen)
    except OSError as error:
        log_trouble(home, "watch", error)


def sessions(home: str) -> Iterator[Seen]:
    """Every session that can be read from its transcript; what is known of those of more than two weeks ago is dropped."""
    folder = os.path.join(home, SEEN)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        said = read_object(path)
        if now_us() - number_of(said, "at_us") > _KEPT_US:
            remove(path)
        elif name == f"{text_of(said, 'session_id')}.json" and is_transcript_path(text_of(said, "transcript_path")):
            yield Seen(said)


def folders(home: str) -> Iterator[tuple[str, str]]:
    """Every folder that a session is known to have been started in, once, with its project's id."""
    known: set[tuple[str, str]] = set()
    folder = os.path.join(home, SEEN)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        said = read_object(os.path.join(folder, name))
        found = (text_of(said, "folder"), text_of(said, "project"))
        if all(found) and found not in known:
            known.add(found)
            yield found


def take_off_shelves(home: str, *record_ids: str) -> None:
    """Remove every kept block that tells of one of these records.  Never raises."""
    _clear(home, record_ids)


def clear_shelves(home: str) -> None:
    """Remove every kept block: this machine may not know any more what they tell.  Never raises."""
    _clear(home, ("",))


def _clear(home: str, held: Iterable[str]) -> None:
    folder = os.path.join(home, SHELF)
    try:
        names = os.listdir(folder)
    except OSError:
        return
    ids = tuple(held)
    for name in names:
        path = os.path.join(folder, name)
        block = text_of(read_object(path), "text") if ids else ""
        if any(record_id in block for record_id in ids):
            try:
                os.unlink(path)
            except OSError:
                continue


def forgotten_since(home: str) -> int:
    """From when on to ask which records were forgotten on other machines; 0 where that was never asked."""
    return max(0, number_of(read_object(os.path.join(home, FORGOTTEN_FILE)), "asked_us") - _OVERLAP_US)


def heard_of_forgotten(home: str, record_ids: Iterable[str], asked_us: int) -> None:
    """Take what was forgotten elsewhere off the shelves, and note up to when (by the database's clock) it is known.

    Raises OSError.
    """
    gone = tuple(record_ids)
    if len(gone) >= _MANY:
        clear_shelves(home)  # there may be more of them than were told
    else:
        take_off_shelves(home, *gone)
    path = os.path.join(home, FORGOTTEN_FILE)
    if asked_us - number_of(read_object(path), "asked_us") > _NOTED_EVERY_US:
        write_object(path, {"asked_us": asked_us})
