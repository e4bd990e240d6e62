"""What a rotation of keys reads and rewrites: wrapped keys, blobs, blind indexes and MACs, many rows at a time.

Nothing here checks a MAC or opens anything.  Who rewrites says what he has seen, and a row that is another one by now
stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, String, Table, and_, func, or_, select

from domain.credentials import SealedField, SealedKey, SealedVersion
from storage.credentials import sealed_field, sealed_query
from storage.engine import as_bytes, is_mariadb
from storage.guard import Condition
from storage.inspect import GUARDED
from storage.keys import WrappedClientKey
from storage.schema import client_keys, credential_versions, credentials, marks, sealed_fields, second_factors
from storage.sight import ROOT, root_query

AT_ONCE = 250
"""Rows of one statement."""
_BYTES_AT_ONCE = 1_000_000

Place = tuple[str, int]
"""A version's place in the order of working through: credential id and version."""
START: Place = ("", 0)


@dataclass(frozen=True, slots=True)
class GuardedRow:
    """One guarded row as it stands, and the last revision that the audit log knows of it."""

    table: Table
    subject: str
    key: str
    row: Mapping[str, Any]
    logged: int | None


class Rekeying:
    """The keys below the root, in one unit of work."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # Client keys and data keys.

    def clients_with_keys(self, after: str = "") -> list[str]:
        """The ids of all clients that have a key, in order, from the one after `after` on."""
        query = select(client_keys.c.client_id).where(client_keys.c.client_id > after).distinct()
        return list(self._connection.execute(query.order_by(client_keys.c.client_id)).scalars())

    def count(self, scope: str = "", below: int | None = None) -> int:
        """How many versions there are of a client (or credential, or of all), those under an older client key alone."""
        query = _versions(func.count()).where(*_of(scope), *_below(below))
        return int(self._connection.execute(query).scalar_one())

    def data_keys(self, client_id: str, below: int, after: Place, most: int) -> list[SealedKey]:
        """The next data keys of a client that are wrapped under a key older than `below`."""
        v = credential_versions.c
        query = (
            _versions(
                *(v.credential_id, v.version, v.wrapped_key, v.client_key_version),
                client_keys.c.wrapped.label("wrapped_client_key"),
            )
            .join(
                client_keys,
                and_(client_keys.c.client_id == credentials.c.client_id, client_keys.c.version == v.client_key_version),
            )
            .where(credentials.c.client_id == client_id, *_below(below), _after(after))
            .order_by(v.credential_id, v.version)
            .limit(most)
        )
        return [
            SealedKey(
                row["credential_id"],
                client_id,
                row["version"],
                as_bytes(row["wrapped_key"]),
                row["client_key_version"],
                as_bytes(row["wrapped_client_key"]),
            )
            for row in self._connection.execute(query).mappings()
        ]

    def fields_of_next(self, scope: str, after: Place, most: int) -> list[list[SealedField]]:
        """The sealed fields of the next versions, version by version."""
        v = credential_versions.c
        query = _versions(v.credential_id, v.version).where(*_of(scope), _after(after))
        places = [
            tuple(row) for row in self._connection.execute(query.order_by(v.credential_id, v.version).limit(most))
        ]
        if not places:
            return []
        first, last = places[0], places[-1]
        f = sealed_fields.c
        rows = self._connection.execute(
            sealed_query()
            .where(
                *_of(scope),
                _after(first, orequal=True),
                or_(v.credential_id < last[0], and_(v.credential_id == last[0], v.version <= last[1])),
            )
            .order_by(f.credential_id, f.version, f.field)
        ).mappings()
        found: dict[Place, list[SealedField]] = {}
        for row in rows:
            found.setdefault((row["credential_id"], row["version"]), []).append(sealed_field(row))
        return list(found.values())

    def last_place(self, scope: str, after: Place, most: int) -> Place | None:
        """Where the next `most` versions end; None where there are none."""
        v = credential_versions.c
        query = _versions(v.credential_id, v.version).where(*_of(scope), _after(after))
        places = list(self._connection.execute(query.order_by(v.credential_id, v.version).limit(most)))
        return (places[-1][0], places[-1][1]) if places else None

    def held(self, places: Sequence[Place]) -> dict[Place, bytes]:
        """The wrapped data keys of these versions as they are now, and from now on until the end of the unit."""
        v = credential_versions.c
        query = select(v.credential_id, v.version, v.wrapped_key).where(
            or_(*(and_(v.credential_id == credential, v.version == version) for credential, version in places))
        )
        if is_mariadb(self._connection):
            query = query.with_for_update()
        return {(row[0], row[1]): as_bytes(row[2]) for row in self._connection.execute(query)} if places else {}

    def put_data_keys(self, wrapped: Mapping[Place, tuple[int, bytes]]) -> None:
        """Stores data keys that were wrapped anew: the client key's version and the wrapped key."""
        rewrite(
            self._connection,
            credential_versions,
            ("credential_id", "version"),
            ("client_key_version", "wrapped_key"),
            [(*place, *new) for place, new in wrapped.items()],
        )

    def put_sealed(self, sealed: Mapping[Place, SealedVersion]) -> None:
        """Stores versions that were sealed anew."""
        self.put_data_keys({place: (new.client_key_version, new.wrapped_key) for place, new in sealed.items()})
        rewrite(
            self._connection,
            sealed_fields,
            ("credential_id", "version", "field"),
            ("blob", "blind"),
            [
                (*place, name, blob, new.blind[name])
                for place, new in sealed.items()
                for name, blob in new.blobs.items()
            ],
        )

    # The root key.

    def generation(self) -> int | None:
        """How often the root key was turned; None in tables of an older program, which turns none."""
        found = self._connection.exec_driver_sql(root_query()).scalar_one()
        return None if found is None else int(found)

    def hold_root(self) -> int:
        """The same; from now on until the end of the unit nobody else writes what hangs on the root key."""
        query = select(marks.c.value).where(marks.c.name == ROOT)
        if is_mariadb(self._connection):
            query = query.with_for_update()
        return int(self._connection.execute(query).scalar() or 0)

    def put_generation(self, generation: int) -> None:
        """Stores how often the root key was turned."""
        moved = self._connection.execute(marks.update().where(marks.c.name == ROOT).values(value=generation))
        if not moved.rowcount:
            self._connection.execute(marks.insert().values(name=ROOT, value=generation))

    def guarded(self) -> Iterator[GuardedRow]:
        """Every guarded row, for its MAC to be checked and made anew."""
        for table, subject, key in GUARDED:
            logged = self._logged(subject)
            for row in self._connection.execute(select(table)).mappings():
                yield GuardedRow(table, subject, key, dict(row), logged.get(str(row[key])))

    def macs(self) -> dict[tuple[str, str], bytes]:
        """The MAC of every guarded row as it is now, by table and key."""
        return {
            (table.name, str(key)): as_bytes(mac)
            for table, _, column in GUARDED
            for key, mac in self._connection.exec_driver_sql(f"SELECT {column}, mac FROM {table.name}")  # noqa: S608
        }

    def guarded_row(self, table_name: str, key: str) -> GuardedRow | None:
        """One of them."""
        for table, subject, column in GUARDED:
            if table.name == table_name:
                row = self._connection.execute(select(table).where(table.c[column] == key)).mappings().first()
                return None if row is None else GuardedRow(table, subject, column, dict(row), self._last(subject, key))
        return None

    def put_macs(self, macs: Mapping[tuple[str, str], bytes]) -> None:
        """Stores new MACs of guarded rows."""
        for table, _, column in GUARDED:
            rows = [(key, mac) for (name, key), mac in macs.items() if name == table.name]
            rewrite(self._connection, table, (column,), ("mac",), rows)

    def put_client_keys(self, keys: Mapping[str, bytes]) -> None:
        """Stores client keys that were wrapped anew, by their ids."""
        rewrite(self._connection, client_keys, ("client_key_id",), ("wrapped",), list(keys.items()))

    def put_factors(self, factors: Mapping[str, bytes]) -> None:
        """Stores second factors that were sealed anew, by their persons' ids."""
        rewrite(self._connection, second_factors, ("person_id",), ("sealed",), list(factors.items()))

    def client_keys(self) -> dict[str, WrappedClientKey]:
        """Every client key by its id, unchecked."""
        return {
            row["client_key_id"]: WrappedClientKey(
                row["client_id"], row["version"], row["state"], as_bytes(row["wrapped"])
            )
            for row in self._connection.execute(select(client_keys)).mappings()
        }

    def blinds(self) -> dict[tuple[str, int, str], bytes]:
        """The blind index of every sealed field as it is now."""
        query = "SELECT credential_id, version, field, blind FROM sealed_fields"
        return {(row[0], row[1], row[2]): as_bytes(row[3]) for row in self._connection.exec_driver_sql(query)}

    def put_blinds(self, blinds: Mapping[tuple[str, int, str], bytes]) -> None:
        """Stores a new blind index."""
        rows = [(*place, blind) for place, blind in blinds.items()]
        rewrite(self._connection, sealed_fields, ("credential_id", "version", "field"), ("blind",), rows)

    def fields_at(self, places: Sequence[tuple[str, int, str]]) -> list[SealedField]:
        """These sealed fields."""
        f = sealed_fields.c
        found: list[SealedField] = []
        for start in range(0, len(places), AT_ONCE):
            some = places[start : start + AT_ONCE]
            query = sealed_query().where(
                or_(*(and_(f.credential_id == c, f.version == v, f.field == name) for c, v, name in some))
            )
            found += [sealed_field(row) for row in self._connection.execute(query).mappings()]
        return found

    def _logged(self, subject: str) -> dict[str, int]:
        from storage.schema import audit_entries

        entry = audit_entries.c
        newest = self._connection.execute(
            select(entry.subject_id, func.max(entry.subject_revision))
            .where(entry.subject_type == subject, entry.subject_revision.is_not(None))
            .group_by(entry.subject_id)
        )
        return {str(subject_id): revision for subject_id, revision in newest}

    def _last(self, subject: str, key: str) -> int | None:
        from storage.schema import audit_entries

        entry = audit_entries.c
        query = select(func.max(entry.subject_revision)).where(entry.subject_type == subject, entry.subject_id == key)
        return self._connection.execute(query).scalar()


def _versions(*columns: Any) -> Select[Any]:  # noqa: ANN401  # columns of any type
    return (
        select(*columns)
        .select_from(credential_versions)
        .join(credentials, credentials.c.credential_id == credential_versions.c.credential_id)
    )


def _of(scope: str) -> tuple[Condition, ...]:
    if not scope:
        return ()
    column = credentials.c.credential_id if scope.startswith("cr_") else credentials.c.client_id
    return (column == scope,)


def _below(client_key_version: int | None) -> tuple[Condition, ...]:
    return () if client_key_version is None else (credential_versions.c.client_key_version < client_key_version,)


def _after(place: Place, *, orequal: bool = False) -> Condition:
    v = credential_versions.c
    beyond = v.version >= place[1] if orequal else v.version > place[1]
    further = or_(v.credential_id > place[0], and_(v.credential_id == place[0], beyond))
    return and_(v.credential_id >= place[0], further)  # which finds its index


def rewrite(
    connection: Connection, table: Table, keys: Sequence[str], columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Writes `columns` of the rows with these keys; each of `rows` holds the keys and then the new values.

    On a server many rows in one statement: each statement costs a round trip there.
    """
    if not rows:
        return
    if not is_mariadb(connection):
        put = ", ".join(f'"{name}" = ?' for name in columns)
        mine = " AND ".join(f'"{name}" = ?' for name in keys)
        # By the driver itself: the file is held meanwhile.
        connection.exec_driver_sql(
            f"UPDATE {table.name} SET {put} WHERE {mine}",  # noqa: S608  # our own names
            [(*row[len(keys) :], *row[: len(keys)]) for row in rows],
        )
        return
    for some in _batches(rows):
        names = [*(f"k{n}" for n in range(len(keys))), *(f"v{n}" for n in range(len(columns)))]
        first = "SELECT " + ", ".join(f"%s AS {name}" for name in names)
        rest = "SELECT " + ", ".join(["%s"] * len(names))
        mine = " AND ".join(_same(table, name, f"s.k{n}") for n, name in enumerate(keys))
        put = ", ".join(f"t.`{name}` = s.v{n}" for n, name in enumerate(columns))
        given = " UNION ALL ".join([first] + [rest] * (len(some) - 1))
        update = f"UPDATE {table.name} t JOIN ({given}) s ON {mine} SET {put}"  # noqa: S608  # our own names
        connection.exec_driver_sql(update, tuple(value for row in some for value in row))


def _same(table: Table, name: str, given: str) -> str:
    text = isinstance(table.c[name].type, String)
    return f"t.`{name}` = {given}{' COLLATE utf8mb4_nopad_bin' if text else ''}"


def _batches(rows: Sequence[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    batch: list[tuple[Any, ...]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, bytes | str))
        if len(batch) >= AT_ONCE or size >= _BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
