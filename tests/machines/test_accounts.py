"""Database accounts: what ours may do, what they may not, and what is told where they could not be made."""

from __future__ import annotations

import os
import re
from contextlib import closing

import pymysql
import pytest

from domain.errors import Denied, Invalid
from domain.plain import Plain
from mcp_server.bootstrap import accounts
from mcp_server.bootstrap.accounts import hooks_too_wide, names_for, script, too_wide
from mcp_server.bootstrap.database import keep_accounts
from mcp_server.bootstrap.examining import examine
from mcp_server.bootstrap.opening import address_of, hooks_address_of
from mcp_server.bootstrap.switching import switch
from mcp_server.config import Settings
from storage.schema import metadata
from tests.kit.mariadb import OWNER, MariaDB
from tests.machines.conftest import World


def account(world: World) -> tuple[str, str, str]:
    """The application's account on the vault's database: database, user, password."""
    settings = world.machines[0].settings
    address = address_of(settings)
    return address.name, address.user, settings.database_password_file.read_text().strip()


def refused(server: MariaDB, database: str, user: str, password: str, statement: str) -> int:
    """The number of the error that a statement ends with; 0 where it is done."""
    with closing(server.connect(database, user=user, password=password)) as line, line.cursor() as cursor:
        try:
            cursor.execute(statement)
        except pymysql.err.MySQLError as error:
            return int(error.args[0])
    return 0


def test_the_owners_password_is_not_kept_anywhere(founded: World):
    first = founded.machines[0]
    kept = b"".join(file.read_bytes() for file in first.home.rglob("*") if file.is_file())
    assert founded.passwords[OWNER].encode() not in kept
    assert first.settings.database.startswith(f"mariadb+pymysql://{account(founded)[1]}@")
    assert account(founded)[2].encode() in kept


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor_name = 'nobody'",
        "DELETE FROM audit_entries",
        "DELETE FROM audit_chains",
        "REPLACE INTO audit_chains SELECT * FROM audit_chains LIMIT 1",
        "TRUNCATE audit_entries",
        "DROP TABLE audit_entries",
        "DROP TRIGGER audit_entries_no_update",
        "ALTER TABLE audit_entries ADD COLUMN x INT",
        "CREATE TABLE mine (x INT)",
        "UPDATE compatibility SET min_reader = 1",
        "UPDATE alembic_version SET version_num = '0001'",
        "CREATE USER nobody",
        "GRANT ALL ON *.* TO nobody",
    ],
)
def test_the_application_cannot_change_the_log_or_the_tables(founded: World, server: MariaDB, statement: str):
    assert refused(server, *account(founded), statement) in (1142, 1044, 1227, 1370, 1045, 1410)


@pytest.mark.parametrize("table", ["audit_entries", "audit_chains"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET machine_id = 'x'", "DELETE FROM {}"])
def test_a_trigger_stops_even_the_owner(founded: World, server: MariaDB, statement: str, table: str):
    name = account(founded)[0]
    assert refused(server, name, OWNER, server.passwords[OWNER], statement.format(table)) == 1644


def test_the_application_reads_and_writes_every_other_table(founded: World, server: MariaDB):
    for table in sorted({*metadata.tables} - {"compatibility", "audit_entries", "audit_chains"}):
        for statement in (
            "SELECT 1 FROM {} LIMIT 1",
            "UPDATE {0} SET {1} = {1} WHERE 1 = 0",
            "DELETE FROM {} WHERE 1 = 0",
        ):
            column = next(iter(metadata.tables[table].columns)).name
            assert refused(server, *account(founded), statement.format(table, column)) == 0, (table, statement)


def test_hooks_read_the_memory_and_nothing_else(founded: World, server: MariaDB):
    settings = founded.machines[0].settings
    name, user = account(founded)[0], settings.hooks_account
    password = settings.hooks_password_file.read_text().strip()
    for allowed in (
        "SELECT * FROM context_records LIMIT 1",
        "SELECT * FROM context_frequencies LIMIT 1",
        "SELECT state FROM machines WHERE machine_id = 'x'",
    ):
        assert refused(server, name, user, password, allowed) == 0, allowed
    for forbidden in (
        "SELECT * FROM machines LIMIT 1",
        "SELECT name FROM machines LIMIT 1",
        "SELECT 1 FROM sealed_fields",
        "SELECT 1 FROM key_slots",
        "SELECT 1 FROM persons",
        "SELECT 1 FROM invitations",
        "SELECT 1 FROM audit_entries",
        "UPDATE context_records SET title = 'x'",
        "INSERT INTO context_frequencies VALUES ('x', 1)",
        "DELETE FROM context_records",
    ):
        assert refused(server, name, user, password, forbidden) in (1142, 1143), forbidden


def test_doctor_finds_nothing_to_say_about_them(founded: World):
    remarks = {one.name: (one.state, one.text) for one in examine(founded.machines[0].settings)}
    assert {state for state, _ in remarks.values()} == {"ok"}, remarks
    assert set(remarks) == {"server", "encryption", "clock", "account", "hooks account"}


@pytest.fixture
def poor(server: MariaDB, world: World) -> str:
    """An account that may do all in this world's database, and make no accounts; gives its name."""
    name = world.url.rpartition("/")[2]
    user = f"{name}_poor"
    world.passwords = {**world.passwords, user: server.account(user, f"ALL ON `{name}`.*")}
    return user


def test_where_no_accounts_can_be_made_the_given_one_is_used_and_doctor_says_what_is_too_wide(
    world: World, poor: str, server: MariaDB
):
    first = world.machine("first")
    url = world.url.replace(f"//{OWNER}@", f"//{poor}@")
    world.set_up(first, database=url, database_password=Plain(world.passwords[poor]))
    assert any("claudetools database accounts" in step.note for step in first.steps)
    assert address_of(first.settings).user == poor
    assert first.agent().name == "claude-code"
    remarks = {one.name: one for one in examine(first.settings)}
    assert remarks["account"].state == "note"
    assert "on the audit tables" in remarks["account"].text
    assert remarks["account"].next == "claudetools database accounts"
    assert remarks["triggers"].state == "ok"
    assert remarks["hooks account"].state == "note"


def test_the_printed_sql_makes_accounts_that_serve(world: World, poor: str, server: MariaDB):
    first = world.machine("first")
    url = world.url.replace(f"//{OWNER}@", f"//{poor}@")
    world.set_up(first, database=url, database_password=Plain(world.passwords[poor]))
    name = address_of(first.settings).name
    for statement in re.findall(r"^(?!--)(.+);$", script(name), re.MULTILINE):
        server.execute(statement.replace("'...'", "'chosen by hand'"))
    named = names_for(name)
    with pytest.raises(Invalid):
        switch(first.settings, named.application, Plain("another one"), "", None)
    assert address_of(first.settings).user == poor
    switch(first.settings, named.application, Plain("chosen by hand"), named.hooks, Plain("chosen by hand"))
    assert first.agent().name == "claude-code"
    assert {one.state for one in examine(first.settings)} == {"ok"}
    assert hooks_address_of(first.settings).user == named.hooks


def test_a_trigger_that_is_gone_is_told(world: World, poor: str, server: MariaDB):
    first = world.machine("first")
    world.set_up(
        first, database=world.url.replace(f"//{OWNER}@", f"//{poor}@"), database_password=Plain(world.passwords[poor])
    )
    server.execute("DROP TRIGGER audit_entries_no_delete", database=address_of(first.settings).name)
    (found,) = (one for one in examine(first.settings) if one.name == "triggers")
    assert found.state == "problem"
    assert "audit_entries_no_delete" in found.text


def test_an_account_known_by_its_user_at_the_socket_needs_no_password(world: World, server: MariaDB):
    import pwd

    user = pwd.getpwuid(os.getuid()).pw_name
    name = world.url.rpartition("/")[2]
    had = server.query("SELECT 1 FROM mysql.global_priv WHERE User = %s AND Host = 'localhost'", [user])
    if had:  # the tests run as the server's own administrator, whose account is made by name here
        server.execute("ALTER USER `root`@localhost IDENTIFIED VIA mysql_native_password USING PASSWORD(%s) OR unix_socket",
                       [server.passwords["root"]])  # fmt: skip
    else:
        server.execute(f"CREATE USER `{user}`@localhost IDENTIFIED VIA unix_socket")
        server.execute(f"GRANT ALL ON `{name}`.* TO `{user}`@localhost")
    try:
        first = world.machine("first")
        world.set_up(
            first,
            database=server.url(name, user=user, by_socket=True),
            database_password=None,
            database_accounts=False,
        )
        assert not first.settings.database_password_file.exists()
        assert first.agent().name == "claude-code"
    finally:
        first.close()
        if not had:
            server.execute(f"DROP USER `{user}`@localhost")


GRANTS = [
    ("GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*AB'", []),
    ("GRANT SELECT, INSERT ON `ct`.`audit_entries` TO `a`@`%`", []),
    ("GRANT SELECT, INSERT, UPDATE, DELETE ON `ct`.`credentials` TO `a`@`%`", []),
    ("GRANT SELECT, INSERT, UPDATE ON `ct`.`audit_entries` TO `a`@`%`", ["UPDATE on the audit tables"]),
    ("GRANT ALL PRIVILEGES ON `ct`.* TO `a`@`%`", ["ALL PRIVILEGES on the audit tables"]),
    (
        "GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION",
        ["ALL PRIVILEGES on the audit tables", "GRANT OPTION"],
    ),
    (r"GRANT SELECT, DELETE ON `c\_%`.* TO `a`@`%`", []),
    (r"GRANT SELECT, DELETE ON `c%`.* TO `a`@`%`", ["DELETE on the audit tables"]),
    ("GRANT ALL PRIVILEGES ON `other`.* TO `a`@`%`", []),
    ("GRANT SELECT, DROP ON `ct`.* TO `a`@`%`", ["DROP on the audit tables"]),
    ("GRANT SELECT, CREATE, ALTER, TRIGGER ON `ct`.* TO `a`@`%`", ["ALTER", "CREATE", "TRIGGER"]),
]


@pytest.mark.parametrize(("grant", "wide"), GRANTS)
def test_what_a_grant_allows_is_read_rightly(grant: str, wide: list[str]):
    assert too_wide([grant], "ct") == wide


@pytest.mark.parametrize(
    ("grant", "wide"),
    [
        ("GRANT USAGE ON *.* TO `h`@`%`", []),
        ("GRANT SELECT ON `ct`.`context_records` TO `h`@`%`", []),
        ("GRANT SELECT (`machine_id`, `state`) ON `ct`.`machines` TO `h`@`%`", []),
        ("GRANT SELECT ON `ct`.`machines` TO `h`@`%`", ["SELECT on machines"]),
        ("GRANT SELECT ON `ct`.* TO `h`@`%`", ["SELECT on everything"]),
        ("GRANT SELECT, INSERT ON `ct`.`context_records` TO `h`@`%`", ["INSERT on context_records"]),
    ],
)
def test_what_a_grant_allows_the_hooks_is_read_rightly(grant: str, wide: list[str]):
    assert hooks_too_wide([grant], "ct") == wide


def test_our_own_passwords_alone_are_written_into_statements():
    assert accounts._text(Plain(accounts.new_password())).startswith("'")
    for foreign in ("it's", "a\\", "a b", ""):
        with pytest.raises(ValueError, match="made here"):
            accounts._text(Plain(foreign))


def test_an_upgrade_by_the_applications_account_is_refused_with_what_to_type(founded: World):
    from mcp_server.bootstrap.upgrading import _may_change_tables

    with pytest.raises(Denied) as refused_:
        _may_change_tables(address_of(founded.machines[0].settings))
    assert "--owner" in refused_.value.hint


def test_a_password_that_goes_is_not_left_behind(tmp_path):
    settings = Settings(home=tmp_path, database="mariadb+pymysql://a@localhost/ct")
    (tmp_path / "keys").mkdir()
    kept = keep_accounts(settings, address_of(settings), Plain("one"), "", Plain(""))
    assert kept.database_password_file.stat().st_mode & 0o077 == 0
    keep_accounts(settings, address_of(settings), Plain(""), "", Plain(""))
    assert not kept.database_password_file.exists()
