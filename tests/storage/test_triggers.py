"""What the audit log holds cannot be changed by mistake, nor by an account that may do too much."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from domain.errors import Unavailable
from storage.migrations import upgrade
from storage.schema import audit_chains, audit_entries
from storage.transaction import begin
from tests.kit.stores import Store

ENTRY = {
    "chain_id": "ch_1", "seq": 1, "entry_id": "au_1", "at_us": 1, "action": "a", "outcome": "ok", "actor_kind": "k", "actor_id": "i",
    "actor_name": "n", "owner_id": "o", "owner_name": "n", "machine_id": "m", "machine_name": "n", "session_id": "s", "verified": "v",
    "tier": "t", "client_id": "c", "subject_type": "t", "subject_id": "i", "subject_name": "n", "purpose": "", "format": 1, "body": "{}",
    "prev_hash": b"p", "hash": b"h", "signature": b"s",
}  # fmt: skip
CHAIN = {
    "chain_id": "ch_1", "machine_id": "m", "actor_id": "a", "process": "p", "opened_us": 1, "body": "{}", "hash": b"h", "signature": b"s",
}  # fmt: skip


@pytest.fixture
def log(engine: Engine, store: Store) -> Store:
    upgrade(engine)
    with begin(engine, write=True) as transaction:
        transaction.connection.execute(audit_chains.insert().values(CHAIN))
        transaction.connection.execute(audit_entries.insert().values(ENTRY))
        transaction.commit()
    return store


@pytest.mark.parametrize("table", ["audit_entries", "audit_chains"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET signature = 'x'", "DELETE FROM {}", "REPLACE INTO {} SELECT * FROM {}"]
)
def test_the_database_refuses_to_change_or_delete_what_the_log_holds(
    engine: Engine, log: Store, table: str, change: str
):
    before = log.rows(table)

    def act() -> None:
        with begin(engine, write=True) as transaction:
            transaction.connection.execute(text(change.format(table, table)))
            transaction.commit()

    with pytest.raises(Unavailable, match="does not let audit entries be changed"):
        act()
    assert log.rows(table) == before


def test_entries_are_still_added(engine: Engine, log: Store):
    with begin(engine, write=True) as transaction:
        transaction.connection.execute(audit_chains.insert().values({**CHAIN, "chain_id": "ch_2"}))
        transaction.commit()
    assert len(log.rows("audit_chains")) == 2
