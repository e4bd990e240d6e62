"""Scan: what is kept, looked through with today's rules, and struck where that is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from domain.actors import Actor, Subject
from domain.context import ContextRecord
from domain.incidents import TEXTS
from domain.striking import Strike, strike_all
from hooks import shelf
from mcp_server.services.redaction import Redaction
from mcp_server.services.rescan import ONE_ACT, STRIKE_BATCH, struck_again
from mcp_server.work import AuditedUnit, Work

Tell = Callable[[str, int, int], None]
_NAMED = 200  # records that an audit entry names


@dataclass(slots=True)
class Scanned:
    """What was found: by record (or incident) the counts by rule.  Never what it is."""

    looked: int = 0
    records: dict[str, dict[str, int]] = field(default_factory=dict)
    incidents: dict[str, dict[str, int]] = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """How often each rule found something."""
        total: Counter[str] = Counter()
        for counts in (*self.records.values(), *self.incidents.values()):
            total.update(counts)
        return total

    @property
    def is_clean(self) -> bool:
        """Whether nothing that was found stands any more."""
        return not self.incidents and set(self.records) <= set(self.fixed)


class Scan:
    """Looks through the records and the incidents of one installation's vault."""

    def __init__(self, home: str, work: Work, redaction: Redaction) -> None:
        self._home = home
        self._work = work
        self._redaction = redaction

    def scan(self, actor: Actor, *, fix: bool = False, tell: Tell | None = None) -> Scanned:
        """Every record and incident, newest first.  `fix` strikes what is found from the records, in audited acts.

        Texts of incidents are evidence and only grow: what stands there is told and left to a person.
        Raises Denied without the right, Unavailable.
        """
        strike = self._redaction.current().strike
        found = Scanned()
        self._work.permit(actor, "context.strike" if fix else "context.scan")
        with self._work.reading(actor) as unit:
            total = sum(unit.context.counts().values())
        below: int | None = None
        while below != 0:
            with self._work.reading(actor) as unit:
                batch = unit.context.below(below, STRIKE_BATCH)
            here = {record.record_id: counts for _, record in batch if (counts := _counts(record, strike))}
            found.records |= here
            if fix and here:
                self._fix(actor, list(here), strike, found)
            found.looked += len(batch)
            if tell is not None:
                tell("", found.looked, max(total, found.looked))
            below = batch[-1][0] if len(batch) == STRIKE_BATCH else 0
        self._incidents(actor, strike, found)
        if not fix:
            with self._work.audited(actor, "context.scan", Subject("context")) as unit:
                unit.note(looked=found.looked, records=sorted(found.records)[:_NAMED], struck=dict(found.counts))
            found.entries.append(unit.entry_id)
        return found

    def _fix(self, actor: Actor, record_ids: Sequence[str], strike: Strike, found: Scanned) -> None:
        for start in range(0, len(record_ids), ONE_ACT):
            some = record_ids[start : start + ONE_ACT]
            done, unit = self._work.done(
                actor, "context.strike", partial(_strike, some, strike), subject=Subject("context")
            )
            found.fixed += done
            found.entries.append(unit.entry_id)
            for record_id in some:
                shelf.take_off_shelves(self._home, record_id)

    def _incidents(self, actor: Actor, strike: Strike, found: Scanned) -> None:
        before: tuple[int, str] | None = None
        while True:
            with self._work.reading(actor) as unit:
                some, _ = unit.incidents.search((), before=before, limit=STRIKE_BATCH)
                texts = {
                    one.incident_id: [
                        one.title,
                        *(getattr(one, name) for name in TEXTS),
                        *(entry.text for entry in unit.incidents.timeline(one.incident_id)),
                    ]
                    for one in some
                }
            for incident_id, said in texts.items():
                counts = strike_all(strike, said)[1]
                if counts:
                    found.incidents[incident_id] = dict(counts)
            if len(some) < STRIKE_BATCH:
                return
            before = (some[-1].opened_us, some[-1].incident_id)


def _strike(record_ids: Sequence[str], strike: Strike, unit: AuditedUnit) -> list[str]:
    counts: Counter[str] = Counter()
    for record_id in record_ids:
        record = unit.context.get(record_id, to_change=True)
        clean = struck_again(record, strike) if record is not None else None
        if record is not None and clean is not None:
            counts.update(Counter(clean.struck) - Counter(record.struck))
            unit.context.rewrite(clean)
    unit.note(records=list(record_ids), struck=dict(counts))
    return list(record_ids)


def _counts(record: ContextRecord, strike: Strike) -> dict[str, int]:
    clean = struck_again(record, strike)
    return dict(Counter(clean.struck) - Counter(record.struck)) if clean is not None else {}
