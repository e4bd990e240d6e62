"""Rescan: records that stand, struck of what came into the vault after they were written."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from functools import partial

from domain import text as analyser
from domain.actors import Actor
from domain.context import SESSION, ContextRecord
from domain.recall import term_counts
from domain.striking import Strike, strike_all
from hooks import shelf
from hooks.files import read_object, write_object
from mcp_server.config import Settings
from mcp_server.services.redaction import Redaction
from mcp_server.work import RecordingUnit, Work

PROGRESS_FILE = ".struck"
STRIKE_BATCH = 100
STRIKE_AGAIN_S = 2.0


class Rescan:
    """Walks what is kept, for one installation."""

    def __init__(self, settings: Settings, work: Work, redaction: Redaction, machine: Actor) -> None:
        self._settings = settings
        self._home = str(settings.home)
        self._work = work
        self._redaction = redaction
        self._machine = machine

    def strike_again(self, within: float = STRIKE_AGAIN_S) -> int:
        """Strike values that came into the vault after a record was written.  Returns how many records held one.

        One machine walks all records once for each state of the vault, newest first, at most
        `within` seconds at a time; where it stopped is noted in the spool, that it came to the end
        in the database.  Raises Unavailable.
        """
        progress = self._settings.spool_dir / PROGRESS_FILE
        redactor = self._redaction.current()
        mark = self._redaction.held().mark
        said = read_object(str(progress))
        below = said.get("below") if said.get("state") == mark else None
        if not mark or below == 0:
            return 0
        with self._work.reading(None) as unit:
            if unit.context.struck_mark() == mark:
                below = 0
        until = time.monotonic() + within
        held = 0
        while below != 0:
            with self._work.reading(None) as unit:
                batch = unit.context.below(below if isinstance(below, int) else None, STRIKE_BATCH)
            for _, record in batch:
                if struck_again(record, redactor.strike_values) is not None:
                    self._work.recorded(self._machine, partial(_rewrite, record.record_id, redactor.strike_values))
                    shelf.take_off_shelves(self._home, record.record_id)
                    held += 1
            below = batch[-1][0] if len(batch) == STRIKE_BATCH else 0
            if below == 0:
                self._work.recorded(self._machine, lambda recording: recording.context.note_struck(mark))
            elif time.monotonic() > until:
                break
        write_object(str(progress), {"state": mark, "below": below})
        return held


def _rewrite(record_id: str, strike: Strike, recording: RecordingUnit) -> None:
    """Strikes a record that is held for it: another machine may have kept more of its session meanwhile."""
    record = recording.context.get(record_id, to_change=True)
    clean = struck_again(record, strike) if record is not None else None
    if clean is not None:
        recording.context.rewrite(clean)


def struck_again(record: ContextRecord, strike: Strike) -> ContextRecord | None:
    """A record without what is struck from its texts now; None where nothing is."""
    texts = [
        record.title,
        record.outcome,
        record.digest,
        record.body_person,
        record.body_rest,
        *record.files,
        *record.tags,
    ]
    clean, counts = strike_all(strike, texts)
    if clean == texts:
        return None
    title, outcome, told, person, rest, *names = clean
    # A note's words are one field; a session's are what the person wrote, and the digest.
    spoken = person if record.kind == SESSION else f"{title}\n{person}\n{' '.join(names[len(record.files) :])}"
    person_terms = analyser.index_tokens(spoken)
    digest_terms = analyser.index_tokens(told) if record.kind == SESSION else []
    return replace(
        record,
        title=title[:300],
        outcome=outcome[:600],
        digest=told,
        body_person=person,
        body_rest=rest,
        files=tuple(names[: len(record.files)]),
        tags=tuple(names[len(record.files) :]),
        struck=dict(Counter(record.struck) + counts),
        person_length=len(person_terms),
        rest_length=len(digest_terms),
        terms=term_counts(person_terms, digest_terms, analyser.index_tokens(rest)),
    )
