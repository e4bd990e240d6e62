"""Records in the making: what was read of a session becomes one, and is kept once it is struck of all that the vault knows.

Times come from the transcript, and so from this machine's clock.  What is kept is by the
database's, which all machines share: moved by what the two differ, and never later than now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from domain.actors import Actor
from domain.context import SESSION, ContextRecord
from domain.digest import PROVENANCE
from domain.errors import Unavailable
from domain.ids import new_id
from domain.indexing import indexed
from domain.redaction import Redactor
from domain.striking import strike_all
from hooks import spool
from hooks.files import now_us
from hooks.project import is_default_branch
from mcp_server.config import Settings
from mcp_server.services.redaction import Redaction
from mcp_server.services.transcripts import Followed
from mcp_server.work import RecordingUnit, Work

MOST_TRIES = 3
SAME_CLOCK_US = 100_000
"""Clocks that differ by less than this are one clock: transcripts are written with their lag."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one session: captured, unchanged, forgotten, empty, gone, failed (with the error's kind), or busy.

    `record` is what was kept, where something was.
    """

    outcome: str
    record: ContextRecord | None = None
    reason: str = ""


class Records:
    """Makes and keeps the records of one machine."""

    def __init__(self, settings: Settings, work: Work, redaction: Redaction, machine: Actor) -> None:
        self._settings = settings
        self._work = work
        self._redaction = redaction
        self._machine = machine
        self._owner: tuple[str, str] | None = None

    def keep(self, made: Callable[[Redactor], ContextRecord | None], *, is_new: bool) -> Taken:
        """Keeps what is made with a redactor, once that is known to be up to the vault.  Raises Unavailable, Conflict."""
        for _ in range(MOST_TRIES):
            redactor = self._redaction.current()
            held = self._redaction.held()
            if held.redactor is not redactor:  # another thread has just loaded a newer one
                continue
            record = made(redactor)
            if record is None:
                return Taken("empty")
            try:
                kept = self._work.recorded(self._machine, partial(_keep, record, held.mark, is_new=is_new))
            except _Behind:
                continue
            return Taken("captured", record) if kept else Taken("unchanged")
        raise Unavailable("the vault's values keep changing", hint="try again")

    def withdraw(self, keys: list[str]) -> None:
        """Take out records whose sources are gone.  Raises Unavailable."""
        self._work.recorded(self._machine, partial(_withdraw, keys))

    def known_sizes(self, session_ids: Iterable[str]) -> dict[str, int]:
        """Of which size the transcripts of sessions of this machine were captured; -1 for forgotten ones."""
        keys = {self.key(session_id): session_id for session_id in session_ids}
        with self._work.reading(None) as unit:
            known = unit.context.known_sizes(keys)
        return {keys[key]: size for key, size in known.items()}

    def sizes_below(self, prefix: str) -> dict[str, int]:
        """The same by the keys that begin with `prefix`, for this machine's."""
        with self._work.reading(None) as unit:
            return unit.context.sizes_below(self.key(prefix))

    def session(self, note: spool.Note, followed: Followed, size: int) -> ContextRecord:
        """The finished record of a session as far as it was read: digested, and struck once more."""
        redactor, about = followed.redactor, followed.about
        strike = redactor.strike
        counts = followed.counts
        told_of = followed.account()
        short = told_of.digest(title=strike(about.title).text)
        long_form = told_of.body()
        texts, again = strike_all(
            strike,
            [short.title, short.outcome, short.text, long_form.person, long_form.rest, *short.files],
        )
        title, outcome, told, person, rest, *files = texts
        counts.update(again)
        # The names of folders, branches and clients are not written by us either.
        names = [note.project_name, note.client, branch_of(about.branches, note)]
        (project_name, client, branch), hidden = strike_all(strike, names)
        counts.update(hidden)
        owner_id, owner_name = self.owned_by()
        heads = {line.partition(":")[0] for line in told.splitlines()}
        first_us, last_us = (self.by_the_database(us) for us in (about.first_us, about.last_us))
        record = ContextRecord(
            record_id=new_id("cx"),
            kind=SESSION,
            title=title[:300],
            outcome=outcome[:600],
            digest=told,
            created_us=first_us,
            updated_us=last_us,
            session_key=self.key(note.session_id),
            project=note.project,
            project_name=project_name[:200],
            client=client[:200],
            branch=branch[:200],
            machine_id=self._settings.machine_id,
            machine_name=self._settings.machine_name,
            agent_id=self._settings.agent_id,
            session_id=note.session_id,
            owner_id=owner_id,
            owner_name=owner_name,
            transcript_size=size,
            raw_tokens=short.raw_tokens,
            digest_tokens=short.tokens,
            body_person=person,
            body_rest=rest,
            files=tuple(files),
            commits=short.commits,
            struck=dict(counts),
            provenance={head: whose for head, whose in PROVENANCE.items() if head in heads},
        )
        return indexed(record)

    def by_the_database(self, us: int) -> int:
        """A moment of this machine's clock by the database's, not later than now; now for none."""
        at_us = self._work.clock()
        behind_us = at_us - now_us()
        if abs(behind_us) < SAME_CLOCK_US:
            behind_us = 0
        return min(at_us, us + behind_us) if us else at_us

    def key(self, session_id: str) -> str:
        """By what a session, or another source, of this machine is known in the database."""
        return f"{self._settings.machine_id}:{session_id}"

    def owned_by(self) -> tuple[str, str]:
        """The person for whom this machine's agent works: id and name."""
        if self._owner is None:
            with self._work.reading(None) as unit:
                agent = unit.identity.agent(self._settings.agent_id) if self._settings.agent_id else None
                person = unit.identity.person(agent.owner_id) if agent is not None else None
            self._owner = (person.person_id, person.name) if person is not None else ("", "")
        return self._owner


class _Behind(Exception):
    """The vault has values that a record was not struck of; nothing was written."""


def _keep(record: ContextRecord, mark: int | None, recording: RecordingUnit, *, is_new: bool) -> str:
    kept = recording.context.keep(record, is_new=is_new)
    # Last, because who adds a value waits for it: from here on a new value is struck from this record as well.
    if recording.context.sealed_mark() != mark:
        raise _Behind
    return kept


def _withdraw(session_keys: list[str], recording: RecordingUnit) -> None:
    for key in session_keys:
        recording.context.withdraw(key)


def branch_of(branches: Iterable[str], note: spool.Note) -> str:
    """The branch that a session's work belongs to: the last that is not the default one; "" for none."""
    for branch in reversed(list(branches)):
        if not is_default_branch(branch, note.cwd):
            return branch
    return note.branch
