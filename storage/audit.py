"""The audit tables: append, search, and reading everything back for verify."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, RowMapping, func, or_, select
from sqlalchemy.exc import IntegrityError, OperationalError

from domain.audit import Link, Opening, columns_of
from domain.errors import Unavailable
from storage.engine import as_bytes, is_mariadb
from storage.schema import audit_chains, audit_entries
from storage.sight import ROOT, Part, Sight, while_unchanged

OPENINGS = ("credential.decrypt", "credential.use", "credential.export")
"""Acts by which a value leaves to somebody or to a program."""
_NOT_PREPARED = 1243  # ER_UNKNOWN_STMT_HANDLER
_COLUMNS = tuple(column.name for column in audit_entries.c)
_MARKS = ", ".join(["%s"] * len(_COLUMNS))


@contextmanager
def _as_sqlalchemy_tells(connection: Connection) -> Iterator[None]:
    """Errors of the driver as those of SQLAlchemy, which storage.transaction turns into ours."""
    kinds = connection.dialect.loaded_dbapi
    try:
        yield
    except kinds.IntegrityError as error:
        raise IntegrityError(None, None, error) from None
    except kinds.Error as error:
        if connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None):
            connection.invalidate()
        raise OperationalError(None, None, error) from None


@lru_cache
def _insert(packed: bool) -> str:
    # Ready-made: putting the statement together by SQLAlchemy takes longer than the database needs for it.
    marks = ", ".join(["%s" if packed else "?"] * len(_COLUMNS))
    return f"INSERT INTO audit_entries ({', '.join(_COLUMNS)}) VALUES ({marks})"  # noqa: S608  # our own names


@lru_cache
def _insert_under(packed: bool) -> str:
    mark = "%s" if packed else "?"
    marks = ", ".join([mark] * len(_COLUMNS))
    # The lock makes whoever turns the root key wait for what is written under the old one, and this wait for the turn.
    lock = " LOCK IN SHARE MODE" if packed else ""
    return (
        f"INSERT INTO audit_entries ({', '.join(_COLUMNS)}) SELECT {marks} FROM marks "  # noqa: S608  # our own names
        f"WHERE name = '{ROOT}' AND value = {mark}{lock}"
    )


@lru_cache
def _insert_while(parts: tuple[Part, ...]) -> tuple[str, str]:
    values = ", ".join("?" * len(_COLUMNS))
    name = "claudetools_entry_" + "".join(part.alias for part in parts)
    return name, f"INSERT INTO audit_entries ({', '.join(_COLUMNS)}) {while_unchanged(parts, values)}"


def _values(link: Link) -> tuple[str | int | bytes | None, ...]:
    row: dict[str, str | int | bytes | None] = {
        **columns_of(link.body),
        "chain_id": link.chain_id,
        "seq": link.seq,
        "body": link.body.decode(),
        "prev_hash": link.prev_hash,
        "hash": link.hash,
        "signature": link.signature,
    }
    return tuple([row[name] for name in _COLUMNS])


@dataclass(frozen=True, slots=True)
class StoredLink:
    """One row of the audit table: the link, and its columns for comparing."""

    link: Link
    columns: Mapping[str, Any]


class Audit:
    """The audit log of one unit of work.  There is no update and no delete."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def wait_at_most(self, seconds: float) -> None:
        """Sets how long a server may take for each of the statements that follow in this unit."""
        line = self._connection.connection.dbapi_connection
        if is_mariadb(self._connection) and line is not None:
            line.patient(seconds)

    def open_chain(self, opening: Opening) -> None:
        """Stores the signed opening of a chain."""
        self._connection.execute(
            audit_chains.insert().values(
                chain_id=opening.chain_id,
                machine_id=opening.machine_id,
                actor_id=opening.actor_id,
                process=opening.process,
                opened_us=opening.opened_us,
                body=opening.body.decode(),
                hash=opening.hash,
                signature=opening.signature,
            )
        )

    def append(self, link: Link) -> None:
        """Stores one entry in its place."""
        self._connection.exec_driver_sql(_insert(is_mariadb(self._connection)), _values(link))

    def append_under(self, link: Link, generation: int) -> bool:
        """Stores one entry in its place if the root key is still of that generation.  False, and nothing is stored, else."""
        statement = _insert_under(is_mariadb(self._connection))
        return self._connection.exec_driver_sql(statement, (*_values(link), generation)).rowcount == 1

    def append_while(self, link: Link, sight: Sight) -> bool:
        """Stores one entry in its place if all that was seen is still so, in one statement of a server.

        False, and nothing is stored, where any of it has changed.
        """
        name, statement = _insert_while(sight.whole)
        # By the driver itself: for so short a statement SQLAlchemy takes as long as the server.
        with closing(self._connection.connection.cursor()) as cursor, _as_sqlalchemy_tells(self._connection):
            # A server reads and plans the long statement once for each connection.
            prepared: set[str] = cursor.connection.__dict__.setdefault("claudetools_prepared", set())
            if not sight.literal:
                sight.literal.append(
                    cursor.mogrify(", ".join(["%s"] * (len(sight.place) + 1)), (*sight.place, sight.seen))
                )
            values = cursor.mogrify(_MARKS, _values(link))
            for _ in range(2):
                if name not in prepared:
                    cursor.execute(f"PREPARE {name} FROM %s", (statement,))
                    prepared.add(name)
                try:
                    return bool(cursor.execute(f"EXECUTE {name} USING {values}, {sight.literal[0]}") == 1)
                except cursor.connection.OperationalError as error:
                    # The connection was dialled anew underneath, and what was prepared went with the old one.
                    if error.args[:1] != (_NOT_PREPARED,):
                        raise
                    prepared.clear()
        raise Unavailable("the database server forgets prepared statements", hint="claudetools doctor")

    def hash_of(self, entry_id: str) -> bytes | None:
        """The stored hash of an entry: tells whether a commit whose reply was lost came through."""
        query = select(audit_entries.c.hash).where(audit_entries.c.entry_id == entry_id)
        found = self._connection.execute(query).scalar()
        return None if found is None else as_bytes(found)

    def failures(self, action: str, subject_id: str, since_us: int) -> int:
        """How many times an act on a subject was denied since then: what locks a login.

        An attempt while it is locked has the outcome `failed` and does not prolong the lock.
        """
        query = select(func.count()).where(
            audit_entries.c.action == action,
            audit_entries.c.subject_id == subject_id,
            audit_entries.c.outcome == "denied",
            audit_entries.c.at_us >= since_us,
        )
        return int(self._connection.execute(query).scalar_one())

    def opened(self, credential_id: str, field: str, since_us: int) -> list[int]:
        """When a secret field was opened for somebody since then; oldest first."""
        e = audit_entries.c
        query = select(e.at_us, e.body).where(
            e.subject_type == "credential",
            e.subject_id == credential_id,
            e.action.in_(OPENINGS),
            e.outcome == "ok",
            e.at_us > since_us,
        )
        rows = self._connection.execute(query.order_by(e.at_us))
        return [row.at_us for row in rows if json.loads(row.body)["facts"].get("field") == field]

    def search(
        self,
        *,
        action: str,
        subject: str,
        actor: str,
        session: str,
        outcome: str,
        since_us: int | None,
        until_us: int | None,
        before: tuple[int, str] | None,
        limit: int,
    ) -> list[RowMapping]:
        """Entries newest first.  `before` is (time, entry id) of the last one of the page before."""
        e = audit_entries.c
        conditions = [e.seq > 0]
        if action:
            conditions.append(e.action.startswith(action, autoescape=True))
        if subject:
            conditions.append(or_(e.subject_id == subject, e.subject_name.icontains(subject, autoescape=True)))
        if actor:
            conditions.append(or_(e.actor_name == actor, e.owner_name == actor, e.actor_id == actor))
        if session:
            conditions.append(e.session_id == session)
        if outcome:
            conditions.append(e.outcome == outcome)
        if since_us is not None:
            conditions.append(e.at_us >= since_us)
        if until_us is not None:
            conditions.append(e.at_us < until_us)
        if before is not None:
            at_us, entry_id = before
            conditions.append(or_(e.at_us < at_us, (e.at_us == at_us) & (e.entry_id < entry_id)))
        return list(
            self._connection.execute(
                select(audit_entries).where(*conditions).order_by(e.at_us.desc(), e.entry_id.desc()).limit(limit)
            ).mappings()
        )

    def chains(self) -> Iterator[Opening]:
        """Every chain's opening as it is stored."""
        for row in self._connection.execute(
            select(audit_chains).order_by(audit_chains.c.opened_us, audit_chains.c.chain_id)
        ).mappings():
            yield Opening(
                row["chain_id"],
                row["machine_id"],
                row["actor_id"],
                row["process"],
                row["opened_us"],
                as_bytes(row["body"]),
                as_bytes(row["hash"]),
                as_bytes(row["signature"]),
            )

    def every_link(self) -> Iterator[StoredLink]:
        """Every entry, chain by chain in order."""
        query = select(audit_entries).order_by(audit_entries.c.chain_id, audit_entries.c.seq)
        result = self._connection.execution_options(yield_per=1000).execute(query)
        for row in result.mappings():
            link = Link(
                row["chain_id"],
                row["seq"],
                as_bytes(row["prev_hash"]),
                as_bytes(row["body"]),
                as_bytes(row["hash"]),
                as_bytes(row["signature"]),
            )
            yield StoredLink(link, dict(row))
