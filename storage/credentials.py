"""Credential heads (guarded rows), their versions, and their sealed fields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, and_, func, or_, select

from domain.credentials import Head, SealedField, SealedVersion
from domain.errors import Broken
from domain.rules import stored_rules
from storage.engine import as_bytes, is_mariadb
from storage.guard import Condition, Guard, first_come
from storage.schema import (
    client_keys,
    clients,
    credential_versions,
    credentials,
    infrastructure,
    marks,
    sealed_fields,
    services,
)
from storage.sight import SEALED, key_of, mark_query

SUBJECT = "credential"
_KEY = "credential_id"
_AT_ONCE = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Names:
    """What the ids of a head are called, for showing."""

    client: str
    service: str
    infrastructure: str
    exposed: bool


class Credentials:
    """The credentials of one unit of work."""

    def __init__(self, connection: Connection, guard: Guard) -> None:
        self._connection = connection
        self._guard = guard

    def load(self, reference_or_id: str) -> Head | None:
        """One head by its reference or id, its MAC and revision checked.  Raises Broken."""
        column = "reference" if "/" in reference_or_id else _KEY
        row = self._guard.one(credentials, SUBJECT, _KEY, **{column: reference_or_id})
        return None if row is None else self._guard.made(credentials, _head, row, **{column: reference_or_id})

    def names(self, head: Head) -> Names:
        """The names behind a head's ids, and whether its current version was exposed."""
        sight = self._guard.sight
        if sight is not None and sight.names is not None and sight.is_about(head.credential_id):
            row = sight.names
            return Names(row["client"], row["service"], row["infrastructure"], row["exposed_us"] is not None)
        return self._names_of(head)

    def insert(self, head: Head) -> None:
        """Stores a new head.  Raises Conflict where its reference is taken."""
        self._guard.insert(credentials, SUBJECT, _KEY, _row(head))

    def replace(self, head: Head) -> None:
        """Stores a changed head.  Raises Conflict where another change came first."""
        if not self._guard.update(credentials, SUBJECT, _KEY, _row(head), head.revision):
            raise first_come(f"{head.reference} was changed meanwhile", f"claudetools credential show {head.reference}")

    def hold(self, head: Head) -> None:
        """Lets nobody else hold this credential until the end of the unit: what is counted of it meanwhile stays so."""
        if is_mariadb(self._connection):  # SQLite has one writer
            query = select(credentials.c.revision).where(credentials.c.credential_id == head.credential_id)
            self._connection.execute(query.with_for_update()).one()

    def reference_taken(self, reference: str) -> bool:
        """Whether any credential, deleted ones included, has this reference."""
        query = select(func.count()).where(credentials.c.reference == reference)
        return bool(self._connection.execute(query).scalar_one())

    def add_version(
        self, credential_id: str, version: int, sealed: SealedVersion, now_us: int, *, exposed: bool
    ) -> None:
        """Stores a new version: its wrapped data key and its sealed fields; then moves the mark of the values.

        The mark's one row is held from here to the commit, so this comes last in an act.
        """
        self._guard.forget()
        self._connection.execute(
            credential_versions.insert().values(
                credential_id=credential_id,
                version=version,
                client_key_version=sealed.client_key_version,
                wrapped_key=sealed.wrapped_key,
                created_us=now_us,
                exposed_us=now_us if exposed else None,
            )
        )
        if sealed.blobs:
            self._connection.execute(
                sealed_fields.insert(),
                [
                    {
                        "credential_id": credential_id,
                        "version": version,
                        "field": name,
                        "blob": blob,
                        "blind": sealed.blind[name],
                    }
                    for name, blob in sealed.blobs.items()
                ],
            )
        moved = self._connection.execute(marks.update().where(marks.c.name == SEALED).values(value=marks.c.value + 1))
        if not moved.rowcount:
            self._connection.execute(marks.insert().values(name=SEALED, value=1))

    def mark_exposed(self, credential_id: str, version: int, now_us: int) -> None:
        """Marks a version as seen by an agent, once; rotating is what makes it safe again."""
        self._guard.forget()
        self._connection.execute(
            credential_versions.update()
            .where(
                credential_versions.c.credential_id == credential_id,
                credential_versions.c.version == version,
                credential_versions.c.exposed_us.is_(None),
            )
            .values(exposed_us=now_us)
        )

    def version_of(self, credential_id: str, field: str, blind: bytes) -> int | None:
        """The newest version of a field whose value has this blind index."""
        query = select(func.max(sealed_fields.c.version)).where(
            sealed_fields.c.credential_id == credential_id,
            sealed_fields.c.field == field,
            sealed_fields.c.blind == blind,
        )
        found = self._connection.execute(query).scalar_one()
        return None if found is None else int(found)

    def sealed(self, head: Head, field: str) -> SealedField:
        """The sealed bytes of a field's version, with its wrapped keys.  Raises Broken."""
        seen = self._seen(head, field)
        if seen is not None:
            return seen
        row = (
            self._connection.execute(
                sealed_query().where(
                    credentials.c.credential_id == head.credential_id,
                    sealed_fields.c.field == field,
                    sealed_fields.c.version == head.fields[field],
                )
            )
            .mappings()
            .first()
        )
        if row is None:
            raise Broken(f"the sealed {field} of {head.reference} is missing", hint="claudetools audit verify")
        return sealed_field(row)

    def _seen(self, head: Head, field: str) -> SealedField | None:
        sight = self._guard.sight
        cell = sight.sealed if sight is not None else None
        if sight is None or cell is None:
            return None
        if (cell["credential_id"], cell["field"], cell["version"]) != (head.credential_id, field, head.fields[field]):
            return None
        by = {"client_id": head.client_id, "version": cell["client_key_version"]}
        client_key = sight.rows.get(key_of(client_keys.name, by))
        if client_key is None:
            return None
        return sealed_field(
            {
                **cell,
                "reference": head.reference,
                "client_id": head.client_id,
                "type": head.type,
                "username": head.username,
                "wrapped_client_key": client_key["wrapped"],
            }
        )

    def is_exposed(self, head: Head, sealed: SealedField) -> bool:
        """Whether that version is known to be marked as seen already."""
        cell = self._guard.sight.sealed if self._guard.sight is not None else None
        same = cell is not None and (cell["credential_id"], cell["version"]) == (head.credential_id, sealed.version)
        return cell is not None and same and cell["exposed_us"] is not None

    def every_sealed(self, *fields: str) -> Iterator[SealedField]:
        """Every sealed field of every version: what the redaction matcher is made from; or those of these names."""
        query = sealed_query()
        if fields:
            query = query.where(sealed_fields.c.field.in_(fields))
        for row in self._connection.execute(query).mappings():
            yield sealed_field(row)

    def sealed_state(self) -> tuple[int, int]:
        """How many sealed versions there are and when the newest came: changes with every value."""
        query = select(func.count(), func.coalesce(func.max(credential_versions.c.created_us), 0)).select_from(
            credential_versions
        )
        count, newest = self._connection.execute(query).one()
        return int(count), int(newest)

    def mark(self) -> int:
        """How far the vault's values have come: grows with every value."""
        return int(self._connection.exec_driver_sql(mark_query(self._connection)).scalar_one() or 0)

    def any_sealed(self) -> bool:
        """Whether there is any value at all."""
        return self._connection.execute(select(sealed_fields.c.version).limit(1)).first() is not None

    def search(
        self,
        words: list[str],
        *,
        client: str,
        type_: str,
        tag: str,
        state: str,
        after: str,
        limit: int,
    ) -> tuple[list[tuple[Head, Names]], int]:
        """Heads that hold every word in an open field, ordered by reference, and how many in all.

        `after` is the reference that the previous page ended with.
        """
        conditions = [_holds(word) for word in words]
        if client:
            conditions.append(or_(clients.c.slug == client, clients.c.name == client))
        if type_:
            conditions.append(credentials.c.type == type_)
        if tag:
            conditions.append(credentials.c.tags.contains(json.dumps(tag), autoescape=True))
        if state:
            conditions.append(credentials.c.state == state)
        matched = credentials.outerjoin(clients, clients.c.client_id == credentials.c.client_id)
        count = select(func.count()).select_from(matched).where(and_(True, *conditions))
        # How many in all comes with the page, in the same statement.
        rows = self._connection.execute(
            _named(credentials, count.scalar_subquery().label("total"))
            .where(and_(True, *conditions), credentials.c.reference > after)
            .order_by(credentials.c.reference)
            .limit(limit)
        ).mappings()
        found, total = [], None
        for row in rows:
            self._guard.check(credentials, row, SUBJECT, _KEY)
            found.append((_head(row), _names(row)))
            total = int(row["total"])
        if total is None:
            total = int(self._connection.execute(count).scalar_one()) if after else 0
        return found, total

    def matching(self, condition: Condition) -> list[tuple[Head, Names]]:
        """Every head of which that is so, checked, ordered by reference."""
        rows = self._connection.execute(_named(credentials).where(condition).order_by(credentials.c.reference))
        found = []
        for row in rows.mappings():
            self._guard.check(credentials, row, SUBJECT, _KEY)
            found.append((_head(row), _names(row)))
        return found

    def known(
        self, ids: Iterable[str], blinds: Iterable[bytes]
    ) -> tuple[dict[str, Head], list[tuple[str, bytes, Head]]]:
        """Heads by their ids, as far as they are there; and whichever had, in any version, a value of these blind indexes.

        Each of those with the field's name and the blind index.
        """
        marks: list[tuple[str, str, bytes]] = []
        for some in _parts(sorted(set(blinds))):
            query = select(sealed_fields.c.credential_id, sealed_fields.c.field, sealed_fields.c.blind).distinct()
            rows = self._connection.execute(query.where(sealed_fields.c.blind.in_(some)))
            marks += [(row.credential_id, row.field, as_bytes(row.blind)) for row in rows]
        heads: dict[str, Head] = {}
        for those in _parts(sorted({*ids, *(one for one, _, _ in marks)})):
            found = self.matching(credentials.c.credential_id.in_(those))
            heads.update({head.credential_id: head for head, _ in found})
        return heads, [(name, blind, heads[one]) for one, name, blind in marks if one in heads]

    def _names_of(self, head: Head) -> Names:
        query = _named(credentials.c.credential_id).where(credentials.c.credential_id == head.credential_id)
        return _names(self._connection.execute(query).mappings().one())


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[at : at + _AT_ONCE] for at in range(0, len(items), _AT_ONCE))


def _named(*columns: Table | ColumnElement[Any]) -> Select[Any]:
    """A query for credentials with the names behind their ids, which do not hide the credentials' own columns."""
    joined = (
        credentials.outerjoin(clients, clients.c.client_id == credentials.c.client_id)
        .outerjoin(services, services.c.service_id == credentials.c.service_id)
        .outerjoin(
            infrastructure,
            infrastructure.c.infrastructure_id == credentials.c.infrastructure_id,
        )
        .outerjoin(
            credential_versions,
            and_(
                credential_versions.c.credential_id == credentials.c.credential_id,
                credential_versions.c.version == credentials.c.current_version,
            ),
        )
    )
    return select(
        *columns,
        func.coalesce(clients.c.slug, "").label("client"),
        func.coalesce(services.c.name, "").label("service"),
        func.coalesce(infrastructure.c.name, "").label("infrastructure"),
        credential_versions.c.exposed_us,
    ).select_from(joined)


def _names(row: Mapping[str, Any] | RowMapping) -> Names:
    return Names(row["client"], row["service"], row["infrastructure"], row["exposed_us"] is not None)


def _holds(word: str) -> Condition:
    columns = (
        credentials.c.reference,
        credentials.c.service_name,
        credentials.c.username,
        credentials.c.external_url,
        credentials.c.tags,
        credentials.c.type,
        clients.c.name,
    )
    return or_(*(column.icontains(word, autoescape=True) for column in columns))


def sealed_query() -> Select[Any]:
    """Sealed fields with the wrapped keys that open them."""
    return (
        select(
            sealed_fields.c.credential_id,
            sealed_fields.c.version,
            sealed_fields.c.field,
            sealed_fields.c.blob,
            credentials.c.reference,
            credentials.c.client_id,
            credentials.c.type,
            credentials.c.username,
            credential_versions.c.wrapped_key,
            credential_versions.c.client_key_version,
            client_keys.c.wrapped.label("wrapped_client_key"),
        )
        .select_from(sealed_fields)
        .join(credentials, credentials.c.credential_id == sealed_fields.c.credential_id)
        .join(
            credential_versions,
            and_(
                credential_versions.c.credential_id == sealed_fields.c.credential_id,
                credential_versions.c.version == sealed_fields.c.version,
            ),
        )
        .join(
            client_keys,
            and_(
                client_keys.c.client_id == credentials.c.client_id,
                client_keys.c.version == credential_versions.c.client_key_version,
            ),
        )
    )


def sealed_field(row: RowMapping | Mapping[str, Any]) -> SealedField:
    """What `sealed_query` found, as it is opened."""
    return SealedField(
        credential_id=row["credential_id"],
        reference=row["reference"],
        client_id=row["client_id"],
        type=row["type"],
        field=row["field"],
        version=row["version"],
        blob=as_bytes(row["blob"]),
        wrapped_key=as_bytes(row["wrapped_key"]),
        client_key_version=row["client_key_version"],
        wrapped_client_key=as_bytes(row["wrapped_client_key"]),
        username=row["username"],
    )


def _row(head: Head) -> dict[str, Any]:
    same = (  # noqa: SIM905  # a long list of names reads better as words
        "credential_id reference type client_id service_id infrastructure_id service_name username "
        "external_url requires_vpn requires_2fa expires_us rotate_every_days last_rotated_us "
        "exposure state current_version created_us updated_us deleted_us"
    ).split()
    row = {name: getattr(head, name) for name in same}
    for name in ("open", "fields"):
        row[name] = json.dumps(dict(getattr(head, name)), sort_keys=True, ensure_ascii=False)
    for name in ("ports", "tags"):
        row[name] = json.dumps(list(getattr(head, name)), ensure_ascii=False)
    return {**row, "rules": head.rules.stored()}


def _head(row: RowMapping | Mapping[str, Any]) -> Head:
    values = {name: row[name] for name in Head.__dataclass_fields__}
    values["open"] = json.loads(row["open"])
    values["fields"] = json.loads(row["fields"])
    values["ports"] = tuple(json.loads(row["ports"]))
    values["tags"] = tuple(json.loads(row["tags"]))
    values["rules"] = stored_rules(row["rules"])
    return Head(**values)
