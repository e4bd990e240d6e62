"""Rescan: records that stand, struck of what came into the vault after they were written."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial

from domain.actors import Actor
from domain.context import ContextRecord
from domain.indexing import indexed
from domain.striking import Strike, strike_all
from hooks import shelf
from hooks.files import read_object, write_object
from mcp_server.config import Settings
from mcp_server.services.exposure import Told, strike_and_tell
from mcp_server.services.redaction import Redaction
from mcp_server.work import Work

PROGRESS_FILE = ".struck"
STRIKE_BATCH = 100
ONE_ACT = 20
"""So many records are rewritten in one audited act, which others wait for."""
STRIKE_AGAIN_S = 2.0


@dataclass(slots=True)
class Rescanned:
    """The records that held a value, and by the reference of its credential how many did and which incident tells of it.

    `whole` says that all records were looked through.
    """

    records: list[str] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)
    incidents: dict[str, str] = field(default_factory=dict)
    whole: bool = True

    def add(self, told: Told) -> None:
        """Takes in what one act led to."""
        self.records += told.records
        self.found.update(told.found)
        self.incidents |= told.incidents


class Rescan:
    """Walks what is kept, for one installation."""

    def __init__(self, settings: Settings, work: Work, redaction: Redaction, machine: Actor) -> None:
        self._settings = settings
        self._home = str(settings.home)
        self._work = work
        self._redaction = redaction
        self._machine = machine

    def strike_again(self, within: float = STRIKE_AGAIN_S) -> int:
        """`look_again`; gives how many records held a value."""
        return len(self.look_again(within).records)

    def look_again(self, within: float = STRIKE_AGAIN_S) -> Rescanned:
        """Strike values that came into the vault after a record was written, and open an incident for each credential.

        One machine walks all records once for each state of the vault, newest first, at most
        `within` seconds at a time; where it stopped is noted in the spool, that it came to the end
        in the database.  Raises Unavailable.
        """
        progress = self._settings.spool_dir / PROGRESS_FILE
        redactor = self._redaction.current()
        mark = self._redaction.held().mark
        said = read_object(str(progress))
        below = said.get("below") if said.get("state") == mark else None
        found = Rescanned()
        if not mark or below == 0:
            return found
        with self._work.reading(None) as unit:
            if unit.context.struck_mark() == mark:
                below = 0
        until = time.monotonic() + within
        clean = partial(struck_again, strike=redactor.strike_values)
        while below != 0:
            with self._work.reading(None) as unit:
                batch = unit.context.below(below if isinstance(below, int) else None, STRIKE_BATCH)
            held = [record.record_id for _, record in batch if clean(record) is not None]
            for start in range(0, len(held), ONE_ACT):
                told = strike_and_tell(self._work, self._machine, held[start : start + ONE_ACT], clean)
                if told is not None:
                    found.add(told)
                for record_id in held[start : start + ONE_ACT]:
                    shelf.take_off_shelves(self._home, record_id)
            below = batch[-1][0] if len(batch) == STRIKE_BATCH else 0
            if below == 0:
                self._work.recorded(self._machine, lambda recording: recording.context.note_struck(mark))
            elif time.monotonic() > until:
                break
        found.whole = below == 0
        self._settings.spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_object(str(progress), {"state": mark, "below": below})
        return found


def struck_again(record: ContextRecord, strike: Strike) -> ContextRecord | None:
    """A record without what is struck from its texts now; None where nothing is."""
    texts = [
        record.title,
        record.outcome,
        record.digest,
        record.body_person,
        record.body_rest,
        record.project_name,
        record.client,
        record.branch,
        *record.files,
        *record.tags,
    ]
    clean, counts = strike_all(strike, texts)
    if clean == texts:
        return None
    title, outcome, told, person, rest, project_name, client, branch, *names = clean
    cleaned = replace(
        record,
        title=title[:300],
        outcome=outcome[:600],
        digest=told,
        body_person=person,
        body_rest=rest,
        project_name=project_name[:200],
        client=client[:200],
        branch=branch[:200],
        files=tuple(names[: len(record.files)]),
        tags=tuple(names[len(record.files) :]),
        struck=dict(Counter(record.struck) + counts),
    )
    return indexed(cleaned)
