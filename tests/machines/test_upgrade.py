"""A database that an older program made: who is told what to type, and what the upgrade does first."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from domain.errors import Conflict, Denied, Invalid
from domain.plain import Plain
from mcp_server.bootstrap.database import bring_up, revision_of
from mcp_server.bootstrap.opening import address_of
from mcp_server.bootstrap.upgrading import upgrade_database
from mcp_server.bootstrap.wanted import Step
from mcp_server.config import Settings
from storage.engine import open_engine
from storage.migrations import head_revision
from tests.kit.mariadb import OWNER, MariaDB
from tests.machines.conftest import Machine, World

OLDER = "0002"
TRIGGERS = [f"{table}_no_{moment}" for table in ("audit_entries", "audit_chains") for moment in ("update", "delete")]


def make_older(server: MariaDB, settings: Settings) -> None:
    """Takes out what the last revision but one brought."""
    name = address_of(settings).name
    for trigger in TRIGGERS:
        server.execute(f"DROP TRIGGER {trigger}", database=name)
    server.execute(f"UPDATE alembic_version SET version_num = '{OLDER}'", database=name)


def revision(settings: Settings) -> str:
    engine = open_engine(address_of(settings))
    try:
        return revision_of(engine)
    finally:
        engine.dispose()


@pytest.fixture
def older(world: World, server: MariaDB) -> Machine:
    """A machine of a vault whose database an older program made."""
    first = world.found()
    make_older(server, first.settings)
    return first


def test_a_program_tells_which_command_to_type(older: Machine):
    with pytest.raises(Conflict) as refused:
        older.open()
    assert refused.value.hint == "claudetools upgrade"


def test_setup_stops_and_tells_it_too(world: World, older: Machine):
    with pytest.raises(Conflict) as refused:
        world.set_up(older, database="", database_password=None)
    assert refused.value.hint == "claudetools upgrade --owner ACCOUNT"
    assert revision(older.settings) == OLDER


def test_the_applications_account_may_not_and_the_owner_does_after_a_backup(
    world: World, older: Machine, server: MariaDB, tmp_path: Path
):
    settings = older.settings
    file = tmp_path / "before.backup"
    with pytest.raises(Denied) as refused:
        upgrade_database(settings, lambda _step: None, backup_to=file)
    assert "--owner" in refused.value.hint
    assert not file.exists()
    with pytest.raises(Invalid):
        upgrade_database(settings, lambda _step: None, owner=OWNER, given=Plain("not the password"), backup_to=file)
    steps: list[Step] = []
    given = Plain(world.passwords[OWNER])
    assert upgrade_database(settings, steps.append, owner=OWNER, given=given, backup_to=file)
    assert file.stat().st_size > 1000
    assert file.stat().st_mode & 0o077 == 0
    assert revision(settings) == head_revision()
    assert len(server.query("SHOW TRIGGERS", database=address_of(settings).name)) >= len(TRIGGERS)
    assert [step.changed for step in steps] == [True, True, True]
    assert older.agent().name == "claude-code"
    assert older.app.audit.verify().findings == ()
    kept = b"".join(one.read_bytes() for one in older.home.rglob("*") if one.is_file())
    assert world.passwords[OWNER].encode() not in kept
    again: list[Step] = []
    assert not upgrade_database(settings, again.append, owner=OWNER, given=given)
    assert not any(step.changed for step in again)


def test_new_tables_are_given_to_the_accounts(world: World, older: Machine, server: MariaDB):
    """What an upgrade adds, the accounts of few rights can use at once."""
    settings = older.settings
    address = address_of(settings)
    server.execute(f"REVOKE SELECT, INSERT, UPDATE, DELETE ON `{address.name}`.`marks` FROM `{address.user}`@'%'")
    upgrade_database(settings, lambda _step: None, owner=OWNER, given=Plain(world.passwords[OWNER]))
    said = " ".join(row[0] for row in server.query(f"SHOW GRANTS FOR `{address.user}`@'%'"))
    assert f"ON `{address.name}`.`marks`" in said


def test_a_newer_database_is_left_alone(world: World, server: MariaDB):
    first = world.found()
    server.execute("UPDATE alembic_version SET version_num = '9999'", database=address_of(first.settings).name)
    for act in (
        lambda: upgrade_database(first.settings, lambda _step: None),
        lambda: world.set_up(first, database="", database_password=None),
    ):
        with pytest.raises(Conflict) as refused:
            act()
        assert "git pull" in refused.value.hint
    assert revision(first.settings) == "9999"


def test_an_embedded_database_is_copied_beside_itself_and_upgraded_by_setup(tmp_path: Path):
    world = World(tmp_path, "", {})
    first = world.machine("first")
    world.set_up(first)
    settings = first.settings
    with closing(sqlite3.connect(settings.database_file, isolation_level=None)) as line:
        for trigger in TRIGGERS:
            line.execute(f"DROP TRIGGER {trigger}")
        line.execute(f"UPDATE alembic_version SET version_num = '{OLDER}'")
    world.set_up(first)
    copy = settings.database_file.with_name(f"{settings.database_file.name}.before-{OLDER}")
    assert copy.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(copy)) as line:
        assert line.execute("SELECT version_num FROM alembic_version").fetchall() == [(OLDER,)]
        assert line.execute("SELECT count(*) FROM audit_entries").fetchone()[0] > 3
    assert revision(settings) == head_revision()
    assert first.agent().name == "claude-code"
    assert first.app.audit.verify().findings == ()
    world.close()


def test_an_empty_database_has_nothing_to_upgrade(tmp_path: Path):
    settings = Settings(home=tmp_path)
    settings.database_file.touch()
    with pytest.raises(Conflict) as refused:
        upgrade_database(settings, lambda _step: None)
    assert refused.value.hint == "./setup.sh"
    engine = open_engine(address_of(settings))
    assert bring_up(engine, address_of(settings))
    assert not bring_up(engine, address_of(settings))
    engine.dispose()
