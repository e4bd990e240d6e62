"""Questions over all credentials: which were seen, share a value, or were not used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection, Select, and_, exists, func, or_, select

from domain.credentials import Description
from domain.reports import Due, Shared, next_rotation_us
from storage.credentials import Credentials
from storage.guard import Condition
from storage.schema import audit_entries, clients, credential_versions, credentials, sealed_fields

Found = list[Description]
_AT_ONCE = 500


class Reports:
    """The questions of one unit of work.  Deleted credentials are in none; `client` "" means everybody's."""

    def __init__(self, connection: Connection, credentials: Credentials) -> None:
        self._connection = connection
        self._credentials = credentials

    def seen(self, client: str) -> tuple[Found, dict[tuple[str, int], int]]:
        """Credentials of which any version was seen, and when each version was."""
        rows = self._connection.execute(
            select(
                credential_versions.c.credential_id, credential_versions.c.version, credential_versions.c.exposed_us
            ).where(credential_versions.c.exposed_us.is_not(None))
        )
        times = {(row.credential_id, row.version): int(row.exposed_us) for row in rows}
        version = credential_versions.alias()  # the question itself joins the current one
        any_seen = exists(
            select(1).where(version.c.credential_id == credentials.c.credential_id, version.c.exposed_us.is_not(None))
        )
        return self._matching(client, any_seen), times

    def dated(self, client: str, until_us: int) -> Found:
        """Active credentials that expire before then, or have a rule for their rotation."""
        dated = or_(credentials.c.expires_us <= until_us, credentials.c.rotate_every_days.is_not(None))
        return self._matching(client, and_(credentials.c.state == "active", dated))

    def unused(self, client: str, since_us: int, uses: Iterable[str]) -> tuple[Found, dict[str, int]]:
        """Active credentials, older than that, that were not used since; and when each was used last."""
        used = and_(
            audit_entries.c.subject_type == "credential",
            audit_entries.c.outcome == "ok",
            audit_entries.c.action.in_(tuple(uses)),
        )
        lately = exists(
            select(1).where(
                used, audit_entries.c.subject_id == credentials.c.credential_id, audit_entries.c.at_us >= since_us
            )
        )
        found = self._matching(
            client, and_(credentials.c.state == "active", credentials.c.created_us < since_us, ~lately)
        )
        last: dict[str, int] = {}
        for some in _parts([it.head.credential_id for it in found]):
            query = select(audit_entries.c.subject_id, func.max(audit_entries.c.at_us)).where(
                used, audit_entries.c.subject_id.in_(some)
            )
            for subject_id, at_us in self._connection.execute(query.group_by(audit_entries.c.subject_id)):
                last[subject_id] = int(at_us)
        return found, last

    def shared(self) -> tuple[Found, list[Shared]]:
        """Credentials with a value that another one has or had, and those values' marks."""
        twice = _shared_marks().subquery()
        rows = self._connection.execute(
            select(
                sealed_fields.c.credential_id, sealed_fields.c.field, sealed_fields.c.version, sealed_fields.c.blind
            ).join(twice, twice.c.blind == sealed_fields.c.blind)
        ).all()
        marks = [Shared(row.credential_id, row.field, row.version, bytes(row.blind)) for row in rows]
        found: Found = []
        for some in _parts(sorted({one.credential_id for one in marks})):
            found += self._matching("", credentials.c.credential_id.in_(some))
        return found, marks

    def due(self, until_us: int) -> Iterator[Due]:
        """What expires or is to be rotated before then, by client; unchecked, because it only reminds."""
        own = credentials.c
        query = (
            select(clients.c.slug, own.expires_us, own.rotate_every_days, own.last_rotated_us, own.created_us)
            .join(clients, clients.c.client_id == own.client_id)
            .where(own.state == "active", or_(own.expires_us <= until_us, own.rotate_every_days.is_not(None)))
        )
        for client, expires_us, every_days, last_us, created_us in self._connection.execute(query):
            rotation_us = next_rotation_us(every_days, last_us, created_us)
            soon = [at_us if at_us is not None and at_us <= until_us else None for at_us in (expires_us, rotation_us)]
            if soon != [None, None]:
                yield Due(client, *soon)

    def active(self, client: str) -> Found:
        """Active credentials."""
        return self._matching(client, credentials.c.state == "active")

    def _matching(self, client: str, condition: Condition) -> Found:
        parts = [credentials.c.state != "deleted", condition]
        if client:
            parts.append(clients.c.slug == client)
        return [
            Description(
                reference=head.reference,
                head=head,
                client=names.client,
                service=names.service,
                infrastructure=names.infrastructure,
                exposed=names.exposed,
            )
            for head, names in self._credentials.matching(and_(*parts))
        ]


def _shared_marks() -> Select[tuple[bytes]]:
    """The marks that values of several credentials have.  Notes are texts: two alike are no reuse."""
    return (
        select(sealed_fields.c.blind)
        .where(sealed_fields.c.field != "notes")
        .group_by(sealed_fields.c.blind)
        .having(func.count(sealed_fields.c.credential_id.distinct()) > 1)
    )


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))
