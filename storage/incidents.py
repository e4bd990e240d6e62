"""Incidents, their timeline, indicators and links.  The timeline is only ever added to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from domain import indicators as rules
from domain.errors import Conflict
from domain.incidents import Incident, Link, TimelineEntry, When
from domain.indicators import Indicator
from storage.guard import Guard
from storage.schema import (
    clients,
    incident_indicators,
    incident_links,
    incident_timeline,
    incidents,
    infrastructure,
    services,
)

_COLUMNS = tuple(field.name for field in fields(Incident))


class Incidents:
    """The incidents of one unit of work."""

    def __init__(self, connection: Connection, guard: Guard) -> None:
        self._connection = connection
        self._guard = guard

    def load(self, incident_id: str) -> Incident | None:
        """One incident by its id."""
        query = select(incidents).where(incidents.c.incident_id == incident_id)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else _incident(row)

    def names(self, incident: Incident) -> tuple[str, str, str]:
        """The slugs of its client, service and infrastructure; "" where it has none."""
        return (
            self._slug(clients.c.slug, clients.c.client_id == incident.client_id),
            self._slug(services.c.slug, services.c.service_id == incident.service_id),
            self._slug(
                infrastructure.c.slug,
                infrastructure.c.infrastructure_id == incident.infrastructure_id,
            ),
        )

    def search(
        self,
        words: Sequence[str],
        *,
        client_id: str = "",
        type_: str = "",
        severity: str = "",
        states: Sequence[str] = (),
        indicators: Sequence[str] = (),
        credential_id: str = "",
        before: tuple[int, str] | None = None,
        limit: int,
    ) -> tuple[list[Incident], int]:
        """Incidents that hold every word, newest first, and how many there are in all.

        `indicators` are keys of an indicator's value (domain.indicators.key); one of them fits.
        """
        table = incidents.c
        conditions: list[ColumnElement[bool]] = []
        for word in words:
            columns = (table.title, table.description, table.findings, table.root_cause)
            conditions.append(or_(*(c.icontains(word, autoescape=True) for c in columns)))
        for column, wanted in (
            (table.client_id, client_id),
            (table.type, type_),
            (table.severity, severity),
        ):
            if wanted:
                conditions.append(column == wanted)
        if states:
            conditions.append(table.state.in_(states))
        if indicators:
            with_value = select(incident_indicators.c.incident_id).where(
                incident_indicators.c.value_key.in_(indicators)
            )
            conditions.append(table.incident_id.in_(with_value))
        if credential_id:
            linked = select(incident_links.c.incident_id).where(
                incident_links.c.kind == "credential", incident_links.c.target_id == credential_id
            )
            conditions.append(table.incident_id.in_(linked))
        total = self._connection.execute(select(func.count()).select_from(incidents).where(*conditions)).scalar_one()
        if before is not None:
            at, incident_id = before
            earlier = and_(table.opened_us == at, table.incident_id < incident_id)
            conditions.append(or_(table.opened_us < at, earlier))
        rows = self._connection.execute(
            select(incidents).where(*conditions).order_by(table.opened_us.desc(), table.incident_id.desc()).limit(limit)
        ).mappings()
        return [_incident(row) for row in rows], int(total)

    def add(self, incident: Incident) -> None:
        """Stores a new incident."""
        self._connection.execute(incidents.insert().values(_row(incident)))

    def replace(self, incident: Incident, revision: int) -> None:
        """Stores a changed incident where it still has `revision`.  Raises Conflict."""
        done = self._connection.execute(
            incidents.update()
            .where(incidents.c.incident_id == incident.incident_id, incidents.c.revision == revision)
            .values(_row(incident))
        )
        if done.rowcount != 1:
            raise Conflict(
                "the incident was changed meanwhile",
                hint=f"claudetools incident show {incident.incident_id}",
            )

    def timeline(self, incident_id: str) -> list[TimelineEntry]:
        """The whole timeline in the order it was recorded."""
        query = (
            select(incident_timeline)
            .where(incident_timeline.c.incident_id == incident_id)
            .order_by(incident_timeline.c.seq)
        )
        return [_entry(row) for row in self._connection.execute(query).mappings()]

    def append(self, entry: TimelineEntry) -> None:
        """Adds an entry to the timeline.  Raises Conflict where another took its place."""
        values = {field.name: getattr(entry, field.name) for field in fields(entry) if field.name != "occurred"}
        self._connection.execute(
            incident_timeline.insert().values(
                **values,
                occurred_us=entry.occurred.us,
                occurred_text=entry.occurred.text,
                precision=entry.occurred.precision,
            )
        )

    def length(self, incident_id: str) -> int:
        """How many entries the timeline has."""
        query = select(func.count()).where(incident_timeline.c.incident_id == incident_id)
        return int(self._connection.execute(query).scalar_one())

    def contained(self, incident_id: str) -> bool:
        """Whether the timeline holds a containment action."""
        query = select(func.count()).where(
            incident_timeline.c.incident_id == incident_id,
            incident_timeline.c.kind == "containment",
        )
        return bool(self._connection.execute(query).scalar_one())

    def indicators(self, incident_id: str) -> list[Indicator]:
        """The incident's indicators, oldest first."""
        table = incident_indicators.c
        query = (
            select(incident_indicators)
            .where(table.incident_id == incident_id)
            .order_by(table.added_us, table.indicator_id)
        )
        names = [field.name for field in fields(Indicator)]
        rows = self._connection.execute(query).mappings()
        return [Indicator(**{name: row[name] for name in names}) for row in rows]

    def add_indicator(self, indicator: Indicator) -> bool:
        """Adds an indicator; one that is there already is only seen again.  True when new."""
        value_key = rules.key(indicator.kind, indicator.value)
        table = incident_indicators.c
        seen = self._connection.execute(
            incident_indicators.update()
            .where(table.incident_id == indicator.incident_id, table.value_key == value_key)
            .values(last_seen_us=indicator.last_seen_us)
        )
        if seen.rowcount:
            return False
        values = {field.name: getattr(indicator, field.name) for field in fields(indicator)}
        self._connection.execute(incident_indicators.insert().values(**values, value_key=value_key))
        return True

    def links(self, incident_id: str) -> list[Link]:
        """What the incident is linked to."""
        table = incident_links.c
        query = (
            select(incident_links)
            .where(table.incident_id == incident_id)
            .order_by(table.kind, table.added_us, table.target_id)
        )
        return [Link(**row) for row in self._connection.execute(query).mappings()]

    def add_link(self, link: Link) -> bool:
        """Links something to the incident.  True when it was not linked yet."""
        table = incident_links.c
        present = self._connection.execute(
            select(func.count()).where(
                table.incident_id == link.incident_id,
                table.kind == link.kind,
                table.target_id == link.target_id,
            )
        ).scalar_one()
        if present:
            return False
        values = {field.name: getattr(link, field.name) for field in fields(link)}
        self._connection.execute(incident_links.insert().values(values))
        return True

    def waive(self, incident_id: str, credential_id: str, reason: str) -> bool:
        """Records why a linked credential needs no rotation.  False where it is not linked."""
        table = incident_links.c
        done = self._connection.execute(
            incident_links.update()
            .where(
                table.incident_id == incident_id,
                table.kind == "credential",
                table.target_id == credential_id,
            )
            .values(waived=reason)
        )
        return bool(done.rowcount)

    def _slug(self, column: ColumnElement[str], condition: ColumnElement[bool]) -> str:
        return str(self._connection.execute(select(column).where(condition)).scalar() or "")


def _row(incident: Incident) -> dict[str, Any]:
    return {name: getattr(incident, name) for name in _COLUMNS}


def _incident(row: Mapping[Any, Any]) -> Incident:
    return Incident(**{name: row[name] for name in _COLUMNS})


def _entry(row: Mapping[Any, Any]) -> TimelineEntry:
    names = [field.name for field in fields(TimelineEntry) if field.name != "occurred"]
    occurred = When(row["occurred_us"], row["occurred_text"], row["precision"])
    return TimelineEntry(occurred=occurred, **{name: row[name] for name in names})
