"""Guarded rows: a MAC over the whole row, and a revision that the log repeats."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping

import pytest
from sqlalchemy import Connection, Engine

from domain.errors import Broken
from domain.framing import frame_row
from storage.guard import Guard
from storage.migrations import upgrade
from storage.schema import audit_entries, machines
from storage.transaction import begin

ROW = {"machine_id": "ma_one", "name": "workbench", "public_key": b"k" * 32, "state": "active", "created_us": 5}


def mac(table: str, values: Mapping[str, object]) -> bytes:
    return hmac.digest(b"row key", frame_row(table, values), hashlib.sha256)  # type: ignore[arg-type]


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    upgrade(engine)
    with begin(engine, write=True) as transaction:
        yield transaction.connection


def log(connection: Connection, revision: int, subject: str = "ma_one") -> None:
    """An entry that says the machine has this revision now."""
    row = {column.name: "" for column in audit_entries.c}
    row |= {"chain_id": "ch_one", "seq": revision, "entry_id": f"au_{subject}_{revision}", "at_us": 1, "format": 1}
    row |= {"prev_hash": b"", "hash": b"", "signature": b""}
    row |= {"subject_type": "machine", "subject_id": subject, "subject_revision": revision}
    connection.execute(audit_entries.insert().values(row))


def one(connection: Connection) -> dict[str, object] | None:
    return Guard(connection, mac).one(machines, "machine", "machine_id", machine_id="ma_one")


def test_a_row_is_read_as_it_was_written(connection: Connection):
    guard = Guard(connection, mac)
    guard.insert(machines, "machine", "machine_id", ROW)
    log(connection, 1)
    assert guard.changed == [("machine", "ma_one", 1)]
    found = one(connection)
    assert found is not None
    assert {name: found[name] for name in ROW} == ROW
    assert found["revision"] == 1


def test_a_row_that_is_not_there_is_none(connection: Connection):
    assert one(connection) is None


def test_a_change_counts_the_revision_and_needs_the_one_before(connection: Connection):
    guard = Guard(connection, mac)
    guard.insert(machines, "machine", "machine_id", ROW)
    assert guard.update(machines, "machine", "machine_id", ROW | {"state": "revoked"}, 1)
    assert not guard.update(machines, "machine", "machine_id", ROW | {"state": "active"}, 1)
    assert guard.changed == [("machine", "ma_one", 1), ("machine", "ma_one", 2)]
    log(connection, 2)
    found = one(connection)
    assert found is not None
    assert (found["state"], found["revision"]) == ("revoked", 2)


def test_a_row_without_an_entry_is_refused(connection: Connection):
    Guard(connection, mac).insert(machines, "machine", "machine_id", ROW)
    with pytest.raises(Broken, match="rolled back"):
        one(connection)


@pytest.mark.parametrize("logged", [2, 3, 1000])
def test_a_row_behind_its_last_entry_is_refused(connection: Connection, logged: int):
    Guard(connection, mac).insert(machines, "machine", "machine_id", ROW)
    log(connection, 1)
    log(connection, logged)
    with pytest.raises(Broken, match="rolled back"):
        one(connection)


def test_the_entries_of_another_row_do_not_vouch_for_this_one(connection: Connection):
    Guard(connection, mac).insert(machines, "machine", "machine_id", ROW)
    log(connection, 1, "ma_two")
    with pytest.raises(Broken):
        one(connection)


def test_a_mac_under_another_key_is_refused(connection: Connection):
    Guard(connection, lambda table, values: mac(table, values)[::-1]).insert(machines, "machine", "machine_id", ROW)
    log(connection, 1)
    with pytest.raises(Broken, match="modified"):
        one(connection)


def test_the_mac_covers_every_column_but_itself(connection: Connection):
    seen: list[Mapping[str, object]] = []

    def watched(table: str, values: Mapping[str, object]) -> bytes:
        seen.append(values)
        return mac(table, values)

    Guard(connection, watched).insert(machines, "machine", "machine_id", ROW)
    assert set(seen[0]) == {column.name for column in machines.c} - {"mac"}
