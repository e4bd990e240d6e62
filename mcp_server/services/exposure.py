"""A vault value that stood in the memory: struck from it in one audited act, with the incident that tells of it.

The records, the entry and the incident are committed together or not at all: killed at any moment, the next look finds
the value and does all of it.  The id of such an incident follows from its credential, so that two machines that come at
once meet at one row: the second finds it open and adds to its timeline.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from domain.actors import Actor, Subject
from domain.context import ContextRecord
from domain.credentials import Head
from domain.errors import Conflict
from domain.ids import fixed_id
from domain.incidents import SEVERITIES, EntryDraft, Incident, Link, When
from domain.recall import date
from mcp_server.services.incidents import Timeline
from mcp_server.work import AuditedUnit, Work

Clean = Callable[[ContextRecord], ContextRecord | None]
"""A record without what is struck from it now; None where nothing is."""

_REFERENCE = re.compile(r"\{\{credential:([a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+)#")
_KIND = "value in the memory"
_NAMED = 20  # records that a timeline entry names


@dataclass(frozen=True, slots=True)
class Told:
    """What one act led to: the records that were rewritten, and for each credential how many held it and its incident."""

    records: tuple[str, ...]
    found: dict[str, int]
    incidents: dict[str, str]
    entry: str


class _Nothing(Exception):
    """Another machine was faster; there is nothing to tell."""


@dataclass(slots=True)
class _Hit:
    records: list[ContextRecord] = field(default_factory=list)
    times: int = 0


def strike_and_tell(work: Work, machine: Actor, record_ids: Sequence[str], clean: Clean) -> Told | None:
    """Strikes vault values from records that hold some.  None where they hold none any more.  Raises Unavailable."""
    try:
        told, unit = work.done(
            machine, "redaction.strike", partial(_strike, record_ids, clean), subject=Subject("context")
        )
    except _Nothing:
        return None
    return replace(told, entry=unit.entry_id)


def _strike(record_ids: Sequence[str], clean: Clean, unit: AuditedUnit) -> Told:
    hits: dict[str, _Hit] = {}
    rewritten: list[str] = []
    for record_id in record_ids:
        record = unit.context.get(record_id, to_change=True)
        after = clean(record) if record is not None else None
        if record is None or after is None:
            continue
        rewritten.append(record_id)
        for reference, times in (_references(after) - _references(record)).items():
            hit = hits.setdefault(reference, _Hit())
            hit.records.append(after)
            hit.times += times
        unit.context.rewrite(after)
    if not rewritten:
        raise _Nothing
    incidents = {}
    for reference, hit in sorted(hits.items()):
        head = unit.credentials.load(reference)
        if head is not None:
            if not unit.subject.id:
                unit.about(Subject("credential", head.credential_id, head.reference, head.client_id))
            incidents[reference] = _tell(unit, head, hit)
    found = {reference: len(hit.records) for reference, hit in sorted(hits.items())}
    unit.note(records=rewritten, found=found, times={reference: hit.times for reference, hit in sorted(hits.items())})
    unit.note(incidents=sorted(incidents.values()))
    return Told(tuple(rewritten), found, incidents, "")


def _references(record: ContextRecord) -> Counter[str]:
    texts = (
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
    )
    return Counter(match for text in texts for match in _REFERENCE.findall(text))


def _tell(unit: AuditedUnit, head: Head, hit: _Hit) -> str:
    """Opens the incident of a credential, or adds to the one that is open.  Gives its id."""
    number = 0
    while (incident := unit.incidents.load(fixed_id("in", _KIND, head.credential_id, number))) is not None:
        if incident.state != "resolved":
            break
        number += 1
    severity = _severity(hit.records)
    if incident is None:
        incident = _opened(unit, head, hit, fixed_id("in", _KIND, head.credential_id, number), severity)
        unit.incidents.add(incident)
        line = Timeline(unit, incident)
        line.add("move", "opened as investigating, by the machine that found it")
    else:
        line = Timeline(unit, incident)
        after = replace(
            incident,
            severity=max(incident.severity, severity, key=SEVERITIES.index),
            updated_us=unit.now_us,
            revision=incident.revision + 1,
        )
        try:
            unit.incidents.replace(after, incident.revision)
        except Conflict as error:
            error.again = True
            raise
    first = min(record.created_us for record in hit.records)
    line.add("observation", _where(hit), occurred=When(first, "", "microsecond"))
    line.add_draft(
        EntryDraft(f"struck from {_records(len(hit.records))}; a live reference stands in its place", "containment"),
        When(unit.now_us, "", "microsecond"),
    )
    link = partial(Link, incident.incident_id)
    unit.incidents.add_link(link("credential", head.credential_id, head.reference, "", unit.now_us))
    for at_us, record in enumerate(hit.records, unit.now_us):
        unit.incidents.add_link(link("context", record.record_id, record.title[:200], "", at_us))
    return incident.incident_id


def _opened(unit: AuditedUnit, head: Head, hit: _Hit, incident_id: str, severity: str) -> Incident:
    first = min(hit.records, key=lambda record: record.created_us)
    return Incident(
        incident_id=incident_id,
        client_id=head.client_id,
        service_id=head.service_id,
        infrastructure_id=head.infrastructure_id,
        type="data_breach",
        severity=severity,
        state="investigating",
        title=f"A value of {head.reference} stood in the memory",
        description=(
            f"A value of {head.reference} was found in records of the memory that were written before the vault knew it. "
            "Who can read the memory's database, and every session that was told of these records, may have seen it; so "
            "may who has the transcript it came from. It was struck from the records; backups made before hold it still."
        ),
        findings="",
        root_cause="",
        remediation="Rotate it, or waive its rotation with a reason. Look where else its transcripts were copied to.",
        owner_id=first.owner_id,
        owner_name=first.owner_name,
        occurred_us=first.created_us,
        opened_us=unit.now_us,
        updated_us=unit.now_us,
    )


def _severity(records: Sequence[ContextRecord]) -> str:
    """More than one person or machine wrote it down: it has travelled."""
    seen = {(record.owner_id, record.machine_id) for record in records}
    return "high" if len(seen) > 1 else "medium"


def _where(hit: _Hit) -> str:
    parts = []
    for record in hit.records[:_NAMED]:
        day = date(record.created_us)[:10]
        session = f"session {record.session_id}" if record.session_id else record.kind
        parts.append(f"{record.record_id} ({session}, on {record.machine_name or 'an unknown machine'}, {day})")
    more = f", and {len(hit.records) - _NAMED} more" if len(hit.records) > _NAMED else ""
    return f"found {hit.times} times in {_records(len(hit.records))}: {', '.join(parts)}{more}"


def _records(number: int) -> str:
    return "1 record" if number == 1 else f"{number} records"
