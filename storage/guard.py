"""Guarded rows: a MAC over the whole row, and a revision that the audit log repeats.

A database administrator can write every row.  He cannot make a row's MAC, and an older row with
its older MAC does not match the revision of the row's last change entry.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, bindparam, func, select

from domain.errors import Broken, Conflict
from domain.framing import LATE_COLUMNS, Scalar
from storage.engine import as_bytes
from storage.schema import audit_entries
from storage.sight import Sight, key_of

Mac = Callable[[str, Mapping[str, Scalar]], bytes]
Row = Mapping[str, Any] | RowMapping  # a database row: each column has its own type
Condition = ColumnElement[bool]
T = TypeVar("T")


class Guard:
    """Makes and checks the MACs of one unit of work, and remembers what it changed."""

    def __init__(self, connection: Connection, mac: Mac) -> None:
        self._connection = connection
        self._mac = mac
        self._sight: Sight | None = None
        self._trusted = False
        self.changed: list[tuple[str, str, int]] = []

    def see(self, sight: Sight, *, trusted: bool = False) -> None:
        """Takes rows that were read already; they are checked when they are asked for, like any other.

        `trusted`: an earlier act of this process has checked these very rows, byte for byte, and
        found them well; a MAC that fitted then fits now.
        """
        self._sight, self._trusted = sight, trusted

    def forget(self) -> None:
        """Drops what was seen, because it is written to."""
        self._sight = None

    @property
    def sight(self) -> Sight | None:
        """What was read already, for those who need the rest of it; None once anything was written."""
        return self._sight

    def insert(self, table: Table, subject_type: str, key: str, values: Row) -> None:
        """Inserts a guarded row as revision 1."""
        self._sight = None
        self._connection.execute(table.insert().values(self._sealed(table, values, 1)))
        self.changed.append((subject_type, str(values[key]), 1))

    def update(self, table: Table, subject_type: str, key: str, values: Row, revision: int) -> bool:
        """Replaces the whole row where it still has `revision`.  False where it has not."""
        self._sight = None
        after = self._sealed(table, values, revision + 1)
        done = self._connection.execute(
            table.update().where(table.c[key] == values[key], table.c.revision == revision).values(after)
        )
        if done.rowcount != 1:
            return False
        self.changed.append((subject_type, str(values[key]), revision + 1))
        return True

    def _sealed(self, table: Table, values: Row, revision: int) -> dict[str, Any]:
        row = {**values, "revision": revision}
        return {**row, "mac": self.mac_of(table, row)}

    def mac_of(self, table: Table, row: Row) -> bytes:
        """The MAC that this row must carry."""
        late = LATE_COLUMNS.get(table.name, frozenset())
        names = [c.name for c in table.c if c.name != "mac" and (c.name not in late or c.name in row)]
        return self._mac(table.name, {name: row[name] for name in names})

    def check(self, table: Table, row: Row, subject_type: str, key: str) -> None:
        """Checks the row's MAC.  Raises Broken, naming the row."""
        if not hmac.compare_digest(as_bytes(row["mac"]), self.mac_of(table, row)):
            raise Broken(
                f"{subject_type} {row[key]} is not as it was written (modified)",
                hint="claudetools audit verify",
            )

    def check_revision(self, row: Row, logged: int | None, subject_type: str, key: str) -> None:
        """Checks the row's revision against the audit log's.  Raises Broken."""
        if logged is None or logged != row["revision"]:
            raise Broken(
                f"{subject_type} {row[key]} is not the one the audit log knows (rolled back)",
                hint="claudetools audit verify",
            )

    def must_be_new(self, subject_type: str, subject_id: str) -> None:
        """For a row that is not there and that nobody ever deletes: the audit log must not know it.  Raises Broken."""
        query = select(func.max(audit_entries.c.subject_revision)).where(
            audit_entries.c.subject_type == subject_type, audit_entries.c.subject_id == subject_id
        )
        if self._connection.execute(query).scalar() is not None:
            raise Broken(f"{subject_type} {subject_id} is missing", hint="claudetools audit verify")

    def made(
        self, table: Table, make: Callable[[Mapping[str, Any]], T], row: Mapping[str, Any], **columns: str | int
    ) -> T:
        """What `make` makes of a row that `one` gave for these columns; once for rows that are trusted."""
        if self._sight is None or not self._trusted:
            return make(row)
        asked = key_of(table.name, columns)
        found: T | None = self._sight.made.get(asked)
        if found is None:
            found = self._sight.made[asked] = make(row)
        return found

    def one(self, table: Table, subject_type: str, key: str, **columns: str | int) -> Mapping[str, Any] | None:
        """The one row whose columns have these values, with its MAC and revision checked.

        Reads the row and the last revision that the audit log knows in one statement, where they
        were not seen already.
        """
        asked = key_of(table.name, columns)
        if self._sight is not None and asked in self._sight.rows:
            found = self._sight.rows[asked]
            if self._trusted:
                return found
        else:
            query = _one_query(table, subject_type, key, tuple(columns))
            read = self._connection.execute(query, columns).mappings().first()
            found = None if read is None else dict(read)
        if found is None:
            return None
        self.check(table, found, subject_type, key)
        self.check_revision(found, found["logged_revision"], subject_type, key)
        return found


def first_come(message: str, hint: str) -> Conflict:
    """What to raise where a guarded row was changed between looking and writing."""
    error = Conflict(message, hint=hint)
    error.again = True
    return error


@lru_cache
def _one_query(table: Table, subject_type: str, key: str, columns: tuple[str, ...]) -> Select[Any]:
    # Made once: putting a statement together costs more than running it, and every act reads four such rows.
    logged = (
        select(func.max(audit_entries.c.subject_revision))
        .where(audit_entries.c.subject_type == subject_type, audit_entries.c.subject_id == table.c[key])
        .scalar_subquery()
        .label("logged_revision")
    )
    return select(table, logged).where(*(table.c[name] == bindparam(name) for name in columns))
