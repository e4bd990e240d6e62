"""Security incidents: open, search, read, update.

Every move, change of owner and edit is one audit entry and a timeline entry, together or not at
all.  To an agent, text that came from outside is given back inside a fence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from domain import incidents as rules
from domain import indicators as marks
from domain.actors import Actor, Subject
from domain.errors import Conflict, Invalid, NotFound
from domain.ids import new_id
from domain.incidents import (
    Changes,
    EntryDraft,
    Incident,
    IncidentDraft,
    Link,
    TimelineEntry,
    When,
    Whole,
    fence,
)
from domain.indicators import Indicator, IndicatorDraft
from domain.playbooks import PLAYBOOKS, Playbook
from mcp_server.services.pages import Page, limit_of, make_cursor, read_cursor
from mcp_server.services.redaction import Redaction
from mcp_server.work import AuditedUnit, Unit, Work

OPEN_STATES = tuple(state for state in rules.STATES if state != "resolved")
_LIST_HINT = "claudetools incident list"


@dataclass(frozen=True, slots=True)
class Done:
    """What opening or changing an incident led to, and its audit entry."""

    whole: Whole
    entry: str
    playbook: Playbook
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """One incident in a list."""

    incident: Incident
    client: str
    service: str
    infrastructure: str


class Incidents:
    """The use cases around incidents."""

    def __init__(self, work: Work, redaction: Redaction) -> None:
        self._work = work
        self._redaction = redaction

    def open(self, actor: Actor, draft: IncidentDraft) -> Done:
        """Opens an incident as `investigating`, owned by the person behind the actor.

        Raises Invalid with every field that cannot be used, NotFound for an unknown client,
        service, infrastructure, credential or agent.
        """
        rules.check_draft(draft)
        occurred = rules.moment(draft.occurred_at, "occurred_at", self._work.clock())
        checked = [(marks.check(one), one) for one in draft.indicators]
        title, description, findings, remediation = (
            self._redaction.text(text) for text in (draft.title, draft.description, draft.findings, draft.remediation)
        )
        found = [(kind, self._safe(value), self._noted(one)) for (kind, value), one in checked]
        with self._work.audited(actor, "incident.open") as unit:
            client_id, service_id, infrastructure_id = _places(unit, draft)
            incident = Incident(
                incident_id=new_id("in"),
                client_id=client_id,
                service_id=service_id,
                infrastructure_id=infrastructure_id,
                type=draft.type,
                severity=draft.severity,
                state="investigating",
                title=title.strip()[: rules.MAX_TITLE],
                description=description,
                findings=findings,
                root_cause="",
                remediation=remediation,
                owner_id=actor.owner_id,
                owner_name=actor.owner_name,
                occurred_us=occurred.us,
                opened_us=unit.now_us,
                updated_us=unit.now_us,
            )
            unit.about(_subject(incident))
            unit.incidents.add(incident)
            line = Timeline(unit, incident)
            if draft.occurred_at:
                line.add("observation", f"It happened: {title.strip()}", occurred=occurred)
            line.add("move", "opened as investigating")
            _add_indicators(unit, incident, found)
            _add_credentials(unit, incident, draft.credentials)
            _add_agents(unit, incident, draft.agents)
            unit.note(type=incident.type, severity=incident.severity, indicators=len(found))
            whole = _whole(unit, incident)
        return Done(_shown(actor, whole), unit.entry_id, PLAYBOOKS[incident.type])

    def search(
        self,
        actor: Actor,
        query: str = "",
        *,
        client: str = "",
        type: str = "",  # noqa: A002  # the word that callers use
        severity: str = "",
        state: str = "",
        indicator: str = "",
        credential: str = "",
        limit: int = 20,
        cursor: str = "",
    ) -> Page[Summary]:
        """Incidents that hold every word of `query`, newest first.

        `state` may also be `open`: everything that is not resolved.  `indicator` finds incidents
        with that very value, `credential` those linked to that reference.
        """
        limit_of(limit)
        _known({"type": (type, rules.TYPES), "severity": (severity, rules.SEVERITIES)})
        _known({"state": (state, ("open", *rules.STATES))})
        place = read_cursor(cursor, int, str)
        before = (int(str(place[0])), str(place[1])) if place else None
        keys = _keys(indicator)
        asked = self._redaction.text(query)[:500]
        with self._work.audited(actor, "incident.search", purpose=asked) as unit:
            client_id = _client(unit, client) if client else ""
            credential_id = _credential(unit, credential)[0] if credential else ""
            found, total = unit.incidents.search(
                query.split()[:10],
                client_id=client_id,
                type_=type,
                severity=severity,
                states=OPEN_STATES if state == "open" else (state,) if state else (),
                indicators=keys,
                credential_id=credential_id,
                before=before,
                limit=limit + 1,
            )
            items = tuple(Summary(one, *unit.incidents.names(one)) for one in found[:limit])
            unit.note(found=len(items))
        if actor.kind != "person":
            items = tuple(replace(one, incident=_fenced(one.incident)) for one in items)
        more = ""
        if len(found) > limit:
            more = make_cursor(items[-1].incident.opened_us, items[-1].incident.incident_id)
        return Page(items, more, total)

    def get(self, actor: Actor, incident_id: str) -> Whole:
        """One incident with its timeline, indicators and links.  Raises NotFound."""
        with self._work.audited(actor, "incident.search", Subject("incident")) as unit:
            incident = _load(unit, incident_id)
            unit.about(_subject(incident))
            return _shown(actor, _whole(unit, incident))

    def update(self, actor: Actor, incident_id: str, changes: Changes) -> Done:
        """Moves, edits, adds to an incident: everything given, or nothing.

        Raises Invalid, NotFound, and Conflict for a move that its state does not allow or a
        revision that is not the present one any more.
        """
        rules.check_changes(changes)
        now = self._work.clock()
        changes, moments, found = self._prepared(changes, now)
        with self._work.audited(actor, "incident.update", Subject("incident")) as unit:
            before = _load(unit, incident_id)
            unit.about(_subject(before))
            expected = changes.expected_revision
            if expected is not None and expected != before.revision:
                raise Conflict(
                    f"the incident was changed meanwhile: it is at revision {before.revision}",
                    hint=f"claudetools incident show {before.incident_id}",
                )
            after = _edited(unit, before, changes)
            line = Timeline(unit, after)
            names = list(_difference(before, after))
            if names:
                line.add("change", _told(before, after, names))
            for entry, occurred in zip(changes.entries, moments, strict=True):
                line.add_draft(entry, occurred)
            if changes.entries:
                names.append("timeline")
            names += _linked(unit, after, changes, found, line)
            if changes.state and changes.state != before.state:
                after = _moved(unit, after, changes)
                reason = f": {changes.reason.strip()}" if changes.reason.strip() else ""
                line.add("move", f"{before.state} to {after.state}{reason}")
                unit.note(state=after.state, before=before.state)
                names.append("state")
            if not names:
                raise Invalid(
                    "nothing to change: all of it is so already",
                    fields={"changes": "name at least one thing that differs"},
                )
            after = replace(after, updated_us=unit.now_us, revision=before.revision + 1)
            unit.incidents.replace(after, before.revision)
            unit.note(changed=names, timeline=line.added)
            whole = _whole(unit, after)
        return Done(_shown(actor, whole), unit.entry_id, PLAYBOOKS[after.type], tuple(names))

    def _prepared(
        self, changes: Changes, now: int
    ) -> tuple[Changes, list[When], list[tuple[str, str, IndicatorDraft]]]:
        """The changes with every text struck, before any transaction is open."""
        moments = [rules.moment(one.occurred_at, "occurred_at", now) for one in changes.entries]
        checked = [(marks.check(one), one) for one in changes.indicators]
        found = [(kind, self._safe(value), self._noted(one)) for (kind, value), one in checked]
        text = self._redaction.text
        struck = replace(
            changes,
            title=text(changes.title).strip()[: rules.MAX_TITLE],
            reason=text(changes.reason),
            texts={name: text(value) for name, value in changes.texts.items()},
            entries=tuple(
                replace(one, text=text(one.text), source=text(one.source)[: rules.MAX_SOURCE])
                for one in changes.entries
            ),
            waive={name: text(reason) for name, reason in changes.waive.items()},
        )
        return struck, moments, found

    def _safe(self, value: str) -> str:
        return self._redaction.strike_values(value)

    def _noted(self, draft: IndicatorDraft) -> IndicatorDraft:
        return replace(draft, note=self._redaction.text(draft.note))


class Timeline:
    """Adds entries of one act to an incident's timeline."""

    def __init__(self, unit: AuditedUnit, incident: Incident) -> None:
        self._unit = unit
        self._incident = incident
        self._seq = unit.incidents.length(incident.incident_id)
        self.added: list[str] = []

    def add(self, kind: str, text: str, *, occurred: When | None = None) -> None:
        """Adds a line; it happened now, where nothing else is said."""
        self.add_draft(EntryDraft(text, kind), occurred or When(self._unit.now_us, "", "microsecond"))

    def add_draft(self, draft: EntryDraft, occurred: When) -> None:
        """Adds an entry.  Raises NotFound where what it corrects is not on this timeline."""
        unit, incident_id = self._unit, self._incident.incident_id
        if draft.corrects and draft.corrects not in {entry.entry_id for entry in unit.incidents.timeline(incident_id)}:
            raise NotFound(
                "the entry to be corrected is not on this timeline",
                hint=f"claudetools incident show {incident_id}",
            )
        self._seq += 1
        entry_id = new_id("tl")
        actor = unit.actor
        unit.incidents.append(
            TimelineEntry(
                entry_id=entry_id,
                incident_id=incident_id,
                seq=self._seq,
                kind=draft.kind,
                occurred=occurred,
                recorded_us=unit.now_us,
                source=draft.source,
                actor_kind=actor.kind,
                actor_id=actor.id,
                actor_name=actor.name,
                technique=draft.technique,
                corrects=draft.corrects,
                audit_entry=unit.entry_id,
                text=draft.text,
            )
        )
        self.added.append(entry_id)


def _edited(unit: Unit, incident: Incident, changes: Changes) -> Incident:
    fields: dict[str, Any] = dict(changes.texts)  # all of them texts; replace() has a type for each
    if changes.title:
        fields["title"] = changes.title
    if changes.severity:
        fields["severity"] = changes.severity
    if changes.owner:
        person = unit.identity.person(changes.owner)
        if person is None:
            raise NotFound("there is no such person", fields={"owner": "not in this vault"})
        fields["owner_id"], fields["owner_name"] = person.person_id, person.name
    return replace(incident, **fields)


def _difference(before: Incident, after: Incident) -> Iterable[str]:
    for name in ("title", "severity", *rules.TEXTS):
        if getattr(before, name) != getattr(after, name):
            yield name
    if before.owner_id != after.owner_id:
        yield "owner"


def _told(before: Incident, after: Incident, names: Iterable[str]) -> str:
    short = {"severity": "severity", "owner": "owner_name"}
    parts = []
    for name in names:
        if name in short:
            old, new = getattr(before, short[name]), getattr(after, short[name])
            parts.append(f"{name} from {old or 'nobody'} to {new}")
        else:
            parts.append(f"{name} changed")
    return "; ".join(parts)


def _linked(
    unit: AuditedUnit,
    incident: Incident,
    changes: Changes,
    found: list[tuple[str, str, IndicatorDraft]],
    line: Timeline,
) -> list[str]:
    names: list[str] = []
    _add_indicators(unit, incident, found)
    if found:  # one that was there already is seen again now
        names.append("indicators")
    if _add_credentials(unit, incident, changes.credentials):
        names.append("credentials")
    if _add_agents(unit, incident, changes.agents):
        names.append("agents")
    if _add_audit_entries(unit, incident, changes.audit_entries):
        names.append("audit_entries")
    for reference, reason in changes.waive.items():
        credential_id, name, _ = _credential(unit, reference)
        if not unit.incidents.waive(incident.incident_id, credential_id, reason):
            raise NotFound(f"{name} is not linked to this incident", hint="link it first")
        line.add("change", f"rotation of {name} waived: {reason.strip()}")
        names.append("waived")
    return names


def _moved(unit: Unit, incident: Incident, changes: Changes) -> Incident:
    unsettled = []
    for link in unit.incidents.links(incident.incident_id):
        if link.kind == "credential":
            head = unit.credentials.load(link.target_id)
            gone = head is None or head.state == "deleted"
            rotated = head.last_rotated_us if head is not None else None
            if not rules.settled(link, rotated, incident.opened_us, gone=gone):
                unsettled.append(link.target_name)
    state = rules.check_move(
        incident,
        changes.state,
        containment=unit.incidents.contained(incident.incident_id),
        root_cause=incident.root_cause,
        unsettled=unsettled,
        reason=changes.reason,
    )
    contained = incident.contained_us
    if state == "contained":
        contained = unit.now_us
    resolved = unit.now_us if state == "resolved" else None
    return replace(incident, state=state, contained_us=contained, resolved_us=resolved)


def _add_indicators(unit: AuditedUnit, incident: Incident, found: list[tuple[str, str, IndicatorDraft]]) -> None:
    # A microsecond apart, so that they stay in the order in which they were given.
    for now, (kind, value, draft) in enumerate(found, unit.now_us):
        unit.incidents.add_indicator(
            Indicator(new_id("io"), incident.incident_id, kind, value, draft.tlp, draft.note, now, now, now)
        )


def _add_credentials(unit: AuditedUnit, incident: Incident, references: Iterable[str]) -> int:
    new = 0
    for now, reference in enumerate(references, unit.now_us):
        credential_id, name, _ = _credential(unit, reference)
        new += unit.incidents.add_link(Link(incident.incident_id, "credential", credential_id, name, "", now))
    return new


def _add_agents(unit: AuditedUnit, incident: Incident, agents: Iterable[str]) -> int:
    new = 0
    for now, text in enumerate(agents, unit.now_us):
        agent = unit.identity.agent(text)
        if agent is None:
            raise NotFound("there is no such agent", hint="claudetools agent list")
        new += unit.incidents.add_link(Link(incident.incident_id, "agent", agent.agent_id, agent.name, "", now))
    return new


def _add_audit_entries(unit: AuditedUnit, incident: Incident, entries: Iterable[str]) -> int:
    new = 0
    for now, entry in enumerate(entries, unit.now_us):
        if unit.audit.hash_of(entry) is None:
            raise NotFound("there is no such audit entry", hint="claudetools audit search")
        new += unit.incidents.add_link(Link(incident.incident_id, "audit", entry, entry, "", now))
    return new


def _load(unit: Unit, incident_id: str) -> Incident:
    incident = unit.incidents.load(incident_id)
    if incident is None:
        raise NotFound("there is no such incident", hint=_LIST_HINT)
    return incident


def _credential(unit: Unit, reference: str) -> tuple[str, str, str]:
    head = unit.credentials.load(reference)
    if head is None:
        raise NotFound("there is no such credential", hint="claudetools credential list")
    return head.credential_id, head.reference, head.state


def _client(unit: Unit, text: str) -> str:
    client = unit.registry.client(text)
    if client is None:
        raise NotFound("there is no such client", hint="claudetools client add", fields={"client": "unknown"})
    return client.id


def _places(unit: Unit, draft: IncidentDraft) -> tuple[str, str, str]:
    """The ids of the client, service and infrastructure that a draft names."""
    client_id = _client(unit, draft.client) if draft.client else ""
    if not client_id and (draft.service or draft.infrastructure):
        raise Invalid(
            "a service or infrastructure belongs to a client: name the client too",
            fields={"client": "needed with service or infrastructure"},
        )
    found = {"service": "", "infrastructure": ""}
    if draft.service:
        item = unit.registry.belonging("service", draft.service, client_id)
        found["service"] = item.id if item else ""
    if draft.infrastructure:
        item = unit.registry.belonging("infrastructure", draft.infrastructure, client_id)
        found["infrastructure"] = item.id if item else ""
    for name, text in (("service", draft.service), ("infrastructure", draft.infrastructure)):
        if text and not found[name]:
            raise NotFound(
                f"that client has no such {name}",
                hint="claudetools client list",
                fields={name: "unknown: save it in the registry first"},
            )
    return client_id, found["service"], found["infrastructure"]


def _keys(indicator: str) -> tuple[str, ...]:
    """What the value may be stored under: the kind that it looks like, and those that take any text."""
    if not indicator.strip():
        return ()
    # `eve.exe` is a domain by its form, and may have been noted as a file.
    kinds = dict.fromkeys(kind for kind in (marks.guess(indicator), "file", "account") if kind)
    keys = []
    for kind in kinds:
        with suppress(Invalid):
            keys.append(marks.key(*marks.check(IndicatorDraft(indicator, kind))))
    if not keys:
        raise Invalid("that indicator cannot be looked for", fields={"indicator": "is of no known form"})
    return tuple(keys)


def _known(asked: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
    for name, (value, allowed) in asked.items():
        if value and value not in allowed:
            raise Invalid(f"no such {name}", fields={name: "one of: " + ", ".join(allowed)})


def _subject(incident: Incident) -> Subject:
    return Subject("incident", incident.incident_id, incident.title, incident.client_id)


def _whole(unit: Unit, incident: Incident) -> Whole:
    repository, incident_id = unit.incidents, incident.incident_id
    client, service, infrastructure = repository.names(incident)
    return Whole(
        incident,
        client,
        service,
        infrastructure,
        tuple(repository.timeline(incident_id)),
        tuple(repository.indicators(incident_id)),
        tuple(repository.links(incident_id)),
    )


def _shown(actor: Actor, whole: Whole) -> Whole:
    """For a person as it is; for an agent with every text from outside inside a fence."""
    if actor.kind == "person":
        return whole
    return replace(
        whole,
        incident=_fenced(whole.incident),
        timeline=tuple(replace(entry, text=fence(entry.text)) for entry in whole.timeline),
        indicators=tuple(replace(one, note=fence(one.note)) for one in whole.indicators),
    )


def _fenced(incident: Incident) -> Incident:
    return replace(
        incident,
        description=fence(incident.description),
        findings=fence(incident.findings),
        root_cause=fence(incident.root_cause),
        remediation=fence(incident.remediation),
    )
