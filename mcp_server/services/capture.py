"""Capture: notes of the spool to context records.

The transcript is read, struck, and digested before any transaction; the finished record is struck
once more and written in one.  A process that lives on reads of a session what is new.  A note is
taken out only when what it points to is kept, and only if no newer note took its place: killed at
any moment, the next drain does the same again.  So the spool is the outbox: while the database is
away, or refuses this machine, notes stay where they are.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from domain.actors import Actor
from domain.context import ContextRecord
from domain.errors import Broken, ClaudeToolsError, Conflict, Denied, Unauthenticated, Unavailable
from domain.redaction import Redactor
from hooks import shelf, spool
from hooks.event import is_session_id
from hooks.files import log_trouble, now_us, tell_trouble
from hooks.project import identify
from mcp_server.config import Settings
from mcp_server.services.auto_memory import AutoMemory
from mcp_server.services.records import Records, Taken
from mcp_server.services.redaction import Redaction
from mcp_server.services.rescan import STRIKE_AGAIN_S, Rescan
from mcp_server.services.sessions import note_of, soon_deleted
from mcp_server.services.transcripts import Followed, Replaced, settle, total_size
from mcp_server.work import Work

GONE_US = 60_000_000
"""How long a transcript may not be there yet before its note is set aside."""
MOST_FAILURES = 3
PROJECTS = "projects"
"""What the client calls the folder that holds a folder of transcripts for each project."""
MOST_SAVED = 3
"""Sessions that one drain captures because the client will soon delete them."""
LOOK_AGAIN_S = 3_600.0
MOST_FOLLOWED = 4
"""Sessions of which this process remembers how far it has read them; a few megabytes each."""
LOCK_FILE = ".lock"
LOOK_EVERY_S = 0.02
INDEXED = 100
INDEX_S = 2.0
"""How many records are indexed in one transaction, and how long a drain goes on with that."""


@dataclass(frozen=True, slots=True)
class DrainOutcome:
    """What a drain did: sessions captured, notes whose session was already kept, notes that still wait, notes set aside.

    `busy` says that another drain was at work all the time; `troubles` are lines for a person.
    """

    captured: int = 0
    unchanged: int = 0
    waiting: int = 0
    set_aside: int = 0
    busy: bool = False
    troubles: tuple[str, ...] = ()


class Capture:
    """Drains the spool of one installation."""

    def __init__(self, settings: Settings, work: Work, redaction: Redaction, machine: Actor) -> None:
        self._settings = settings
        self._home = str(settings.home)
        self._work = work
        self._redaction = redaction
        self._machine = machine
        self._rescan = Rescan(settings, work, redaction, machine)
        self._records = Records(settings, work, redaction, machine)
        self._auto_memory = AutoMemory(settings, self._records)
        self._failures: Counter[str] = Counter()
        self._read: dict[str, int] = {}
        self._asked = False
        self._followed: dict[str, Followed] = {}
        self._projects: set[Path] = set()
        self._look_again = 0.0

    def drain(self, *, project: str = "", wait: float = 10.0) -> DrainOutcome:
        """Capture every session whose note waits (of one project, where it is named).

        Waits up to `wait` seconds for another process that drains.  Raises Unavailable where the
        database is away, Denied where this machine was revoked: then the notes stay.
        """
        with self._alone(wait) as alone:
            if not alone:
                return DrainOutcome(busy=True, waiting=sum(1 for _ in spool.pending(self._home, project)))
            spool.begin_to_look(self._home)
            spool.recover(self._home)
            try:
                return self._all(project)
            except Exception as error:
                spool.note_drain(
                    self._home, trouble=error.message if isinstance(error, ClaudeToolsError) else type(error).__name__
                )
                raise

    def _all(self, project: str) -> DrainOutcome:
        done: Counter[str] = Counter()
        troubles: list[str] = []
        last: dict[str, object] = {}
        folders: dict[Path, spool.Note] = {}
        for note, known in self._waiting(project):
            outcome = self._one(note, known, troubles)
            done[outcome] += 1
            folders[Path(note.transcript_path).parent] = note
            if outcome == "captured":
                last = {
                    "captured_us": now_us(),
                    "captured_session": note.session_id,
                    "captured_project": note.project_name,
                }
        for folder, note in folders.items():
            self._auto_memory.remember(folder, note)
        if not project and (saved := self._save_soon_deleted(set(folders))):  # a project's is waited for
            done["captured"] += saved
        if done or not self._asked:
            self._hear_of_forgotten()
            self._asked = True
        self.strike_again()
        self._index_missing()
        self._tidy()
        told = DrainOutcome(
            captured=done["captured"],
            unchanged=done["unchanged"],
            waiting=done["waiting"],
            set_aside=done["set aside"],
            troubles=tuple(troubles),
        )
        if done or spool.last_drain(self._home).trouble:
            numbers = {"captured": told.captured, "waiting": told.waiting, "set_aside": told.set_aside}
            spool.note_drain(self._home, **numbers, **last)
        return told

    def drain_for(self, project: str, within: float, *, but: str = "") -> bool:
        """Wait until nothing of a project waits any more, or `within` seconds have passed.  True where nothing waits.

        The drain runs in a thread of its own and goes on after the deadline.  The session `but` is
        not waited for.
        """
        if not project or not self._is_behind(project, but):
            return True
        until = time.monotonic() + within
        done = threading.Event()
        threading.Thread(target=self._drain_quietly, args=(project, within, done), daemon=True).start()
        while time.monotonic() < until:
            if done.wait(LOOK_EVERY_S):
                break
        return not any(note.session_id != but for note in spool.pending(self._home, project))

    def is_waiting(self) -> bool:
        """Whether any note waits."""
        return spool.is_waiting(self._home)

    def plan_by(self) -> tuple[Settings, Records]:
        """Where this installation lies, and what is known of its machine's sessions."""
        return self._settings, self._records

    def capture_one(self, note: spool.Note, wait: float) -> Taken:
        """Capture one session, with the notes that the client keeps of its project; no note of the spool is touched.

        Waits up to `wait` seconds for another process that drains.  Raises as `drain` does.
        """
        with self._alone(wait) as alone:
            if not alone:
                return Taken("busy")
            taken = self._alone_one(note)
            self._auto_memory.remember(Path(note.transcript_path).parent, note)
            return taken

    def _alone_one(self, note: spool.Note) -> Taken:
        try:
            return self._capture(note, self._records.known_sizes([note.session_id]).get(note.session_id))
        except (Unavailable, Denied, Unauthenticated, Broken):
            raise
        except Conflict:
            return Taken("unchanged")
        except Exception as error:  # noqa: BLE001 - one transcript must not keep the others waiting
            log_trouble(self._home, "capture", error)
            return Taken("failed", reason=type(error).__name__)
        finally:
            self._followed.pop(note.session_id, None)

    def _save_soon_deleted(self, folders: set[Path]) -> int:
        """Captures a few sessions that the client will soon delete and that no hook told of.  How many it captured.

        Those that were written since this machine was set up: what was there before is a person's to import.
        """
        if time.monotonic() < self._look_again:
            return 0
        places = {*folders, *(Path(seen.transcript_path).parent for seen in shelf.sessions(self._home))}
        self._projects |= {place.parent for place in places if place.parent.name == PROJECTS}
        try:
            since_s = self._settings.machine_key_file.stat().st_mtime
        except OSError:
            return 0
        found = soon_deleted(self._projects, time.time(), since_s)
        known = self._records.known_sizes(one.session_id for one in found)
        missing = [one for one in found if one.session_id not in known and one.session_id not in self._read]
        captured = 0
        for one in missing:
            if captured == MOST_SAVED:
                return captured
            taken = self._alone_one(note_of(one.path, self._home, self._settings.machine_id))
            self._read.setdefault(one.session_id, one.size)  # also what is empty or fails is tried once
            captured += taken.outcome == "captured"
        self._look_again = time.monotonic() + LOOK_AGAIN_S
        return captured

    def _tidy(self) -> None:
        """Does what a forgetting could not do: takes its words out of the server's index files."""
        if spool.is_untidy(self._home):
            with self._work.reading(None) as unit:
                unit.context.tidy_index()
            spool.mark_tidy(self._home)

    def _index_missing(self) -> None:
        """Indexes what machines with release 0.1.0 wrote or changed, some seconds at a time."""
        until = time.monotonic() + INDEX_S
        with self._work.reading(None) as unit:
            is_behind = unit.context.is_index_behind()
        while is_behind and time.monotonic() < until:
            is_behind = bool(
                self._work.recorded(self._machine, lambda recording: recording.context.index_missing(INDEXED))
            )

    def strike_again(self, within: float = STRIKE_AGAIN_S) -> int:
        """`Rescan.strike_again`: values that came into the vault after a record was written.  Raises Unavailable."""
        return self._rescan.strike_again(within)

    def _drain_quietly(self, project: str, wait: float, done: threading.Event) -> None:
        try:
            self.drain(project=project, wait=wait)
        except Denied as refused:
            tell_trouble(self._home, refused.message)
        except Exception as error:  # noqa: BLE001 - the note stays; a later drain tells what is wrong
            log_trouble(self._home, "drain", error)
        finally:
            done.set()

    def _is_behind(self, project: str, but: str) -> bool:
        if any(note.session_id != but for note in spool.pending(self._home, project)):
            return True
        grown = {key: seen for key, seen in self._grown(project).items() if seen.session_id != but}
        if not grown:
            return False
        with self._work.reading(None) as unit:
            known = unit.context.known_sizes(grown)
        return any(_is_orphan(seen, known.get(key)) for key, seen in grown.items())

    def _hear_of_forgotten(self) -> None:
        """Takes what was forgotten on other machines off this one's shelves."""
        asked_us = self._work.clock()
        with self._work.reading(None) as unit:
            forgotten = unit.context.forgotten(shelf.forgotten_since(self._home))
        shelf.heard_of_forgotten(self._home, (record_id for record_id, _ in forgotten), asked_us)

    def _waiting(self, project: str) -> Iterator[tuple[spool.Note, int | None]]:
        """The notes that wait, each with the size of its session's last capture.

        A note is left first for every session that grew without one: its client was killed, or its
        hooks never ran.
        """
        grown = self._grown(project)
        keys = {self._records.key(note.session_id) for note in spool.pending(self._home, project)} | set(grown)
        if not keys:
            return
        with self._work.reading(None) as unit:
            known = unit.context.known_sizes(keys)
        for key, seen in grown.items():
            if _is_orphan(seen, known.get(key)):
                self._adopt(seen)
        for note in spool.pending(self._home, project):
            key = self._records.key(note.session_id)
            if key not in known and key not in keys:  # it came in meanwhile
                with self._work.reading(None) as unit:
                    known |= unit.context.known_sizes([key])
            yield note, known.get(key)

    def _adopt(self, seen: shelf.Seen) -> None:
        spool.put(
            self._home,
            identify(seen.folder, self._settings.machine_id),
            session_id=seen.session_id,
            transcript_path=seen.transcript_path,
            folder=seen.folder,
            client=seen.client,
            event="orphan",
        )

    def _grown(self, project: str) -> dict[str, shelf.Seen]:
        """Sessions without a note whose files are longer than when they were last read here, by their keys."""
        grown: dict[str, shelf.Seen] = {}
        waiting = {note.session_id for note in spool.pending(self._home)}
        for seen in shelf.sessions(self._home):
            if (project and seen.project != project) or seen.session_id in waiting:
                continue
            if total_size(Path(seen.transcript_path)) > self._read.get(seen.session_id, 0):
                grown[self._records.key(seen.session_id)] = seen
        return grown

    def _one(self, note: spool.Note, known: int | None, troubles: list[str]) -> str:
        why = ""
        try:
            taken = self._capture(note, known)
            outcome = "unchanged" if taken.outcome in ("empty", "forgotten") else taken.outcome
        except (Unavailable, Denied, Unauthenticated, Broken):
            raise  # nothing of it lies in the note
        except Conflict:
            return "waiting"  # another drain kept this session meanwhile; the next look finds it so
        except Exception as error:  # noqa: BLE001 - one note must not keep the others waiting
            self._failures[note.path] += 1
            log_trouble(self._home, "capture", error)
            if self._failures[note.path] < MOST_FAILURES:
                return "waiting"
            why = f"cannot be captured ({type(error).__name__})"
            outcome = "set aside"
        if outcome == "gone":
            if now_us() - note.at_us < GONE_US:
                return "waiting"
            why = "its transcript is gone"
            outcome = "set aside"
        if outcome == "set aside":
            troubles.append(f"session {note.session_id}: {why}; its note was set aside")
            spool.set_aside(note.path, why)
            return outcome
        shelf.watch(self._home, note)
        return outcome if spool.take_out(note) else "waiting"

    def _capture(self, note: spool.Note, known: int | None) -> Taken:
        path = Path(note.transcript_path)
        settle(path)
        size = total_size(path)
        if size <= 0:
            return Taken("gone")
        if known is not None and (known < 0 or known >= size):
            return Taken("forgotten" if known < 0 else "unchanged")

        def made(redactor: Redactor) -> ContextRecord | None:
            followed, size = self._caught_up(note.session_id, path, redactor)
            self._read[note.session_id] = size
            return self.record(note, followed, size) if followed.says_something else None

        return self._records.keep(made, is_new=known is None)

    def record(self, note: spool.Note, followed: Followed, size: int) -> ContextRecord:
        """The finished record of a session as far as it was read."""
        return self._records.session(note, followed, size)

    def _caught_up(self, session_id: str, path: Path, redactor: Redactor) -> tuple[Followed, int]:
        """A session read up to now, and its size; from the start where it was not followed by this redactor."""
        followed = self._followed.pop(session_id, None)
        if followed is None or followed.redactor is not redactor or followed.path != path:
            followed = Followed(path, redactor, self._has_own_file(path.parent))
        try:
            size = followed.catch_up()
        except Replaced:
            followed = Followed(path, redactor, self._has_own_file(path.parent))
            size = followed.catch_up()
        self._followed[session_id] = followed
        while len(self._followed) > MOST_FOLLOWED:
            self._followed.pop(next(iter(self._followed)))
        return followed, size

    def _has_own_file(self, folder: Path) -> Callable[[str], bool]:
        """Whether another session is told by itself: its transcript lies in the same folder, or it was kept or forgotten."""

        @cache
        def told(session_id: str) -> bool:
            if not is_session_id(session_id):
                return False
            if (folder / f"{session_id}.jsonl").exists():
                return True
            key = self._records.key(session_id)
            with self._work.reading(None) as unit:
                return key in unit.context.known_sizes([key])

        return told

    @contextmanager
    def _alone(self, wait: float) -> Iterator[bool]:
        """The drain's lock, over all processes of this installation; False where it was not to be had in time."""
        self._settings.spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._settings.spool_dir / LOCK_FILE
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + wait
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() >= until:
                        yield False
                        return
                    time.sleep(LOOK_EVERY_S)
                else:
                    yield True
                    return
        finally:
            os.close(descriptor)


def _is_orphan(seen: shelf.Seen, kept: int | None) -> bool:
    return kept is None or 0 <= kept < total_size(Path(seen.transcript_path))
