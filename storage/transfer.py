"""A database on its way: one that rows are still arriving in, and one whose vault has moved away.

Neither opens as a vault, for any release: their compatibility row asks for a program that does not exist.  A table of its
own says why, where to, and, under the row key, that a holder of the vault's keys said so.  On a database whose vault moves
away, triggers refuse every new audit entry and record, so that no process writes on in the old place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import (
    Connection,
    Engine,
    select,
)

from storage.engine import as_bytes, is_mariadb
from storage.rows import PATIENCE_S, columns_there, shapes
from storage.schema import MIN_READER, MIN_WRITER, compatibility, transfer
from storage.transaction import FENCED, begin

State = Literal["arriving", "moving", "moved"]
NO_PROGRAM = 1_000_000
"""A schema that no program has: a database that asks for it opens nowhere."""

_FENCE = (
    ("audit_chains", "insert"),
    ("audit_entries", "insert"),
    *(("context_records", moment) for moment in ("insert", "update", "delete")),
)
"""What every write of a vault passes through: an act has its entry, and all else is memory."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Why a database does not open: its state, whose vault, and where from (arriving) or where to."""

    state: str
    vault_id: str
    place: str
    at_us: int
    mac: bytes = b""

    def said(self) -> dict[str, str | int]:
        """What its MAC is over."""
        return {"state": self.state, "vault_id": self.vault_id, "place": self.place, "at_us": self.at_us}


def is_on_its_way(connection: Connection) -> bool:
    """Whether the compatibility row says so: the one question that every opening asks anyway."""
    found = connection.execute(select(compatibility.c.min_reader)).scalar()
    return found is not None and found >= NO_PROGRAM


def read_notice(connection: Connection) -> Notice | None:
    """The notice of a database that is on its way; None for any other."""
    if not _has_table(connection):
        return None
    row = connection.execute(select(transfer)).mappings().first()
    if row is None:
        return None
    return Notice(str(row["state"]), str(row["vault_id"]), str(row["place"]), int(row["at_us"]), as_bytes(row["mac"]))


def write_notice(engine: Engine, notice: Notice) -> None:
    """Closes a database with a notice, in place of any other.  Repeatable."""
    with begin(engine, write=True, wait_s=PATIENCE_S) as transaction:
        transfer.create(transaction.connection, checkfirst=True)  # an older revision has none
        transaction.commit()
    with begin(engine, write=True, wait_s=PATIENCE_S) as transaction:
        run = transaction.connection.execute
        run(transfer.delete())
        run(transfer.insert().values(id=1, mac=notice.mac, **notice.said()))
        run(compatibility.delete())
        run(compatibility.insert().values(id=1, min_reader=NO_PROGRAM, min_writer=NO_PROGRAM))
        transaction.commit()


def lift_notice(engine: Engine) -> None:
    """Opens a database that was closed by a notice.  The compatibility row comes last.  Repeatable."""
    with begin(engine, write=True, wait_s=PATIENCE_S) as transaction:
        run = transaction.connection.execute
        if _has_table(transaction.connection):
            run(transfer.delete())
        run(compatibility.delete())
        run(compatibility.insert().values(id=1, min_reader=MIN_READER, min_writer=MIN_WRITER))
        transaction.commit()


def may_close(engine: Engine) -> None:
    """Makes a trigger and takes it away again.  Raises Unavailable where the account may not."""
    if not is_mariadb(engine):
        return
    with begin(engine, write=True, wait_s=PATIENCE_S) as transaction:
        transaction.connection.exec_driver_sql(_trigger(engine, "transfer_trial", transfer.name, "delete"))
        transaction.connection.exec_driver_sql("DROP TRIGGER transfer_trial")
        transaction.connection.execute(compatibility.update().values(min_reader=compatibility.c.min_reader))
        transaction.commit()


def raise_fence(engine: Engine) -> None:
    """From its return on, nothing is written to this vault; what was under way is committed, or refused.

    Raises Unavailable where the account may not make triggers, or a long reader such as a backup is in the way.
    """
    _fence(engine, lambda name, table, moment: _trigger(engine, name, table, moment))


def lift_fence(engine: Engine) -> None:
    """Takes the triggers away again."""
    _fence(engine, lambda name, _table, _moment: f"DROP TRIGGER IF EXISTS {name}")


def _fence(engine: Engine, statement: Callable[[str, str, str], str]) -> None:
    with begin(engine, write=True, wait_s=PATIENCE_S) as transaction:
        connection = transaction.connection
        if is_mariadb(connection):
            # A trigger waits for every transaction that uses its table, and for a day unless told otherwise.
            connection.exec_driver_sql("SET SESSION lock_wait_timeout = 10")
        for table, moment in _FENCE:
            connection.exec_driver_sql(statement(f"{table}_fence_{moment}", table, moment))
        transaction.commit()


def _trigger(engine: Engine, name: str, table: str, moment: str) -> str:
    head = f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {moment.upper()} ON {table} FOR EACH ROW"
    if is_mariadb(engine):
        return f"{head} SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{FENCED}'"
    return f"{head} BEGIN SELECT RAISE(ABORT, '{FENCED}'); END"


def is_empty(connection: Connection) -> bool:
    """Whether no table that is copied holds a row; what migrations write themselves does not count."""
    there = tables_there(connection) - _SEEDED
    return all(
        connection.execute(shape.clause().select().limit(1)).first() is None
        for shape in shapes()
        if shape.name in there
    )


_SEEDED = frozenset({"marks"})


def tables_there(connection: Connection) -> frozenset[str]:
    """The names of the tables of a database."""
    return frozenset(columns_there(connection))


def _has_table(connection: Connection) -> bool:
    return transfer.name in tables_there(connection)
