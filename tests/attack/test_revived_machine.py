"""A database administrator who brings a machine back that was shut out: its row, its key slot, its agent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from domain.errors import ClaudeToolsError
from tests.kit.mariadb import MariaDB
from tests.machines.conftest import Machine, World, server, world

__all__ = ["server", "world"]

_KEPT = ("machines", "key_slots", "agents")


@pytest.fixture
def two(world: World, server: MariaDB) -> Iterator[tuple[Machine, Machine, str]]:
    """Two machines and their database, in which the second was shut out and its rows were put back."""
    first, second = world.found(), world.machine("second")
    world.join(second, world.invite(first))
    second.close()
    database = world.url.rpartition("/")[2]
    server.run([f"CREATE TABLE kept_{one} AS SELECT * FROM {one}" for one in _KEPT], database=database)
    first.open().machines.revoke(first.person(), "second")
    server.run([f"REPLACE INTO {one} SELECT * FROM kept_{one}" for one in _KEPT], database=database)
    yield first, second, database
    for one in (first, second):
        one.close()


def test_a_machine_whose_rows_were_put_back_stays_out(two: tuple[Machine, Machine, str]) -> None:
    first, second, _ = two
    with pytest.raises(ClaudeToolsError):
        second.agent()
    assert "rolled back" in {found.verdict for found in first.open().audit.verify().findings}


@pytest.mark.parametrize(
    "also",
    [
        "DELETE FROM audit_entries WHERE action IN ('machine.revoke', 'agent.revoke')",
        "UPDATE audit_entries SET subject_revision = NULL WHERE action IN ('machine.revoke', 'agent.revoke')",
    ],
)
def test_where_the_log_was_bent_to_fit_the_machine_that_shut_it_out_tells_so(
    two: tuple[Machine, Machine, str], server: MariaDB, also: str
) -> None:
    first, second, database = two
    triggers = [str(row[0]) for row in server.query("SHOW TRIGGERS", database=database)]
    server.run([f"DROP TRIGGER {name}" for name in triggers], database=database)
    server.run([also], database=database)
    assert second.agent().name == "claude-code"  # nothing in the database speaks against it
    told = {found.verdict for found in first.open().audit.verify().findings}
    assert told & {"modified", "missing", "truncated"}
