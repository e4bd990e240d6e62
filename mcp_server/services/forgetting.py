"""Forgetting for good: one record, or all that a person names by client, project, session, person, machine, time.

Many are worked off in small transactions, so that nobody else waits long.  The entry with their
number is committed first, as with a decrypt: nothing is forgotten that the audit log does not know of.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from domain.actors import Actor, Subject
from domain.context import Doomed, Filters, Wanted
from domain.errors import ClaudeToolsError, Invalid, NotFound, Unavailable
from domain.ids import is_id
from hooks import shelf, spool
from hooks.files import log_trouble
from hooks.project import Project, identify
from mcp_server.config import Settings
from mcp_server.services.recall import Recall
from mcp_server.services.redaction import Redaction
from mcp_server.work import RecordingUnit, Work

TIDY_WAIT_S = 1.0
"""How long forgetting waits for the index to be made anew."""
AT_ONCE = 20
"""Records of one transaction: the frequencies that it changes are everybody's, and locked until its end."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was removed for good, and the audit entry that says so.

    `record_id` is "" where it was more than one.  `index_tidied` is False where the server's
    full-text index could not be written anew: then its files hold single words until a later drain
    has done that.
    """

    record_id: str
    entry: str
    index_tidied: bool = True
    records: int = 1


class Forgetting:
    """Removes records."""

    def __init__(self, settings: Settings, work: Work, redaction: Redaction, machine: Actor, recall: Recall) -> None:
        self._settings = settings
        self._home = str(settings.home)
        self._work = work
        self._redaction = redaction
        self._machine = machine
        self._recall = recall

    def one(self, actor: Actor, record_id: str, purpose: str) -> Forgotten:
        """Remove a record: its row, its terms, kept blocks.  Its session is not captured again.  Raises NotFound."""
        said = self._purpose(purpose)
        known = record_id if is_id(record_id, "cx") else ""
        with self._work.audited(actor, "context.forget", Subject("context", known), purpose=said) as unit:
            if not known or not unit.context.forget(known, unit.now_us):
                raise NotFound(
                    "there is no such context record",
                    hint="context_recall (claudetools context recall) finds records and their ids",
                )
        shelf.take_off_shelves(self._home, known)
        return Forgotten(known, unit.receipt.entry_id, self._tidied())

    def doomed(self, actor: Actor, filters: Filters, *, cwd: str = "") -> tuple[Doomed, str]:
        """What `all_of` would remove, and in words what was asked for.  Changes nothing.  Raises Invalid."""
        wanted, scope = self._wanted(actor, filters, cwd)
        with self._work.reading(actor) as unit:
            return unit.context_erasure.doomed(wanted), scope

    def all_of(
        self,
        actor: Actor,
        filters: Filters,
        purpose: str,
        *,
        cwd: str = "",
        report: Callable[[int], object] = lambda _: None,
    ) -> Forgotten:
        """Remove every record that is all of what the filters say, telling `report` how many are gone.

        What changes after the beginning stays.  Where it is cut off, the same again removes the
        rest.  Raises Invalid without a filter, NotFound where there is nothing.
        """
        wanted, scope = self._wanted(actor, filters, cwd)
        said = self._purpose(f"{purpose.strip()} [{scope}]" if purpose.strip() else "")
        with self._work.audited(actor, "context.forget", Subject("context"), purpose=said) as unit:
            wanted = replace(wanted, until_us=min(wanted.until_us or unit.now_us, unit.now_us))
            records = unit.context_erasure.doomed(wanted).records
            if not records:
                raise NotFound("nothing is remembered of that", hint="claudetools context recall")
            unit.note(records=records)
        gone = 0
        try:
            while some := self._work.recorded(self._machine, partial(_forget, wanted)):
                shelf.take_off_shelves(self._home, *some)
                gone += len(some)
                report(gone)
        except ClaudeToolsError as error:
            raise Unavailable(
                f"{gone} of {records} records are gone: {error.message}", hint="the same again"
            ) from error
        return Forgotten("", unit.receipt.entry_id, self._tidied(), gone)

    def _wanted(self, actor: Actor, filters: Filters, cwd: str) -> tuple[Wanted, str]:
        filters.check()
        here = identify(cwd, self._settings.machine_id) if cwd else Project("", "", "")
        wanted, words = self._recall.wanted(actor, filters, here)
        if wanted == Wanted():
            raise Invalid(
                "say which records are to be forgotten",
                fields={"filters": "at least one: client, project, session, person, machine, kind, tag, a time"},
                hint="claudetools context forget --client NAME --preview",
            )
        return wanted, "; ".join(words)

    def _purpose(self, purpose: str) -> str:
        if not purpose.strip():
            raise Invalid("say why this is to be forgotten", fields={"purpose": "is empty"})
        return self._redaction.text(purpose.strip())

    def _tidied(self) -> bool:
        """Takes the words of what was forgotten out of the server's index files, after the act and outside of it.

        The server makes the whole index anew, which takes seconds for thousands of records: that goes on behind the
        answer.  Where it is not done when this process ends, a later drain does it.
        """
        try:
            spool.mark_untidy(self._home)
        except OSError as error:
            log_trouble(self._home, "forget", error)
        tidying = threading.Thread(target=self._tidy, name="claudetools-tidy", daemon=True)
        tidying.start()
        tidying.join(TIDY_WAIT_S)
        return not tidying.is_alive() and not spool.is_untidy(self._home)

    def _tidy(self) -> None:
        try:
            with self._work.reading(None) as unit:
                unit.context.tidy_index()
            spool.mark_tidy(self._home)
        except Exception as error:  # noqa: BLE001 - the mark stays, and a later drain tries again
            log_trouble(self._home, "forget", error)


def _forget(wanted: Wanted, recording: RecordingUnit) -> list[str]:
    some = recording.context_erasure.next(wanted, AT_ONCE)
    for record_id in some:
        recording.context.forget(record_id, recording.now_us)
    return some
