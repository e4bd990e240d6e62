"""Backups: made under load, checked, refused when anything is wrong, put back into either kind of database."""

from __future__ import annotations

import io
import os
import random
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from domain.backup import ContentWriter, Header, preamble_of
from domain.errors import Broken, ClaudeToolsError, Conflict, Denied, Invalid
from mcp_server.bootstrap import backup, build
from mcp_server.bootstrap.installation import create
from mcp_server.bootstrap.restore import Restored, Wanted, restore
from mcp_server.bootstrap.turning import Wanted as Turn
from mcp_server.bootstrap.turning import turn_root
from mcp_server.config import Settings, load_settings, save_settings, write_private
from mcp_server.keyring import format_recovery_key, new_slot_key
from storage.address import Address
from storage.engine import open_engine
from storage.rows import digest, shapes, snapshot
from storage.schema import SCHEMA_VERSION
from tests.backup.conftest import KINDS, Filled, values_of
from tests.kit.stores import store_of
from tests.strongroom.vault import wanted as setup

OTHER = {"sqlite": "mariadb", "mariadb": "sqlite"}


def silent(*_: object) -> None:
    """Tells nobody."""


def made(filled: Filled, file: Path) -> backup.Made:
    app = filled.open()
    try:
        return backup.create_file(app, filled.person(app), file, silent)
    finally:
        app.close()


def put_back(file: Path, key: str, home: Path, database: Address | None = None, **more: object) -> Restored:
    wanted = Wanted(file=file, recovery_key=lambda: key, home=home, database=database, machine="new laptop")
    return restore(replace(wanted, **more), silent, silent)


def raw(file: Path, key: str) -> backup.Checked:
    with file.open("rb") as stream:
        source = backup.begin(stream)
        return backup.check(source, backup.keyring_for(source, None, None, lambda: key), silent)


@pytest.fixture
def whole(filled: Callable[[str], Filled], tmp_path: Path) -> tuple[Path, str]:
    """A backup, and the recovery key that opens it."""
    one = filled("sqlite")
    made(one, tmp_path / "one.backup")
    return tmp_path / "one.backup", one.recovery_key


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_restores_into_either_kind_and_everything_opens(
    kind: str, target: str, filled: Callable[[str], Filled], empty: Callable[[str], Address], tmp_path: Path
) -> None:
    one = filled(kind)
    file = tmp_path / "one.backup"
    said = made(one, file)
    app = one.open()
    before, person = values_of(app, one.person(app)), one.person(app)
    titles = {hit.title for hit in app.context.recall(person, "number2 wiki").hits}
    app.close()
    assert len(before) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    done = put_back(file, one.recovery_key, tmp_path / "new", empty(target))
    assert (done.checked.rows, done.checked.entries) == (said.rows, said.entries)
    assert not done.lost
    again = build(load_settings(tmp_path / "new"))
    try:
        assert again.audit.verify().ok
        actor = again.identity.actor(again.identity.login("anna", "correct horse battery"))
        assert values_of(again, actor) == before
        hits = again.context.recall(actor, "number2 wiki").hits
        assert {hit.title for hit in hits} == titles
        assert "number1" not in " ".join(hit.title for hit in again.context.recall(actor, "number1").hits)
        assert again.settings.machine_name == "new laptop"
        actions = [entry.action for entry in again.audit.search(actor, limit=100).items]
        assert actions.count("backup.create") == 1
        assert actions.count("backup.restore") == 1
    finally:
        again.close()


def test_what_was_sealed_stays_sealed_in_the_file(whole: tuple[Path, str]) -> None:
    content = whole[0].read_bytes()
    assert b"first value, quite long" not in content
    assert b"gitea" not in content.lower()


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_made_while_others_write_is_one_moment(
    kind: str, filled: Callable[[str], Filled], empty: Callable[[str], Address], tmp_path: Path
) -> None:
    one = filled(kind)
    begun, stop = threading.Barrier(4), threading.Event()
    written: list[int] = []

    def write(number: int) -> None:
        app = one.open()
        person = one.person(app)
        count = 0
        begun.wait(30)
        while not stop.is_set():
            try:
                app.credentials.reveal(person, "acme/wiki/admin", purpose=f"look {number}")
                app.context.save(person, kind="fact", title=f"note {number} {count}", text="a note under load")
                count += 1
            except ClaudeToolsError:
                continue  # the database is busy: that is told, and tried again
        app.close()
        written.append(count)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    try:
        for number in range(3):
            made(one, tmp_path / f"{number}.backup")
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert len(written) == 3
    assert sum(written) > 0
    for number in range(3):
        assert not raw(tmp_path / f"{number}.backup", one.recovery_key).findings
    put_back(tmp_path / "2.backup", one.recovery_key, tmp_path / "new", empty(OTHER[kind]))
    again = build(load_settings(tmp_path / "new"))
    try:
        assert again.audit.verify().ok
        actor = again.identity.actor(again.identity.login("anna", "correct horse battery"))
        assert len(values_of(again, actor)) == 2
    finally:
        again.close()


def test_a_change_of_any_byte_or_a_cut_anywhere_is_refused_before_anything_is_written(
    whole: tuple[Path, str], tmp_path: Path
) -> None:
    file, key = whole
    content = file.read_bytes()
    header = len(preamble_of(backup.begin(io.BytesIO(content)).header))
    chance = random.Random(7)
    places = {0, 4, 5, 8, 9, header - 1, header, header + 5, header + 40, header + 69, len(content) - 1}
    places |= {chance.randrange(len(content)) for _ in range(60)}
    bad = tmp_path / "bad.backup"
    home = tmp_path / "new"
    for place in sorted(places):
        for changed in (content[:place], content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]):
            bad.write_bytes(changed)
            with pytest.raises((Broken, Invalid, Denied, Conflict)):
                put_back(bad, key, home)
            assert not home.exists()


def test_a_long_backup_is_refused_when_its_pieces_are_cut_or_change_places(
    filled: Callable[[str], Filled], tmp_path: Path
) -> None:
    one = filled("sqlite")
    app = one.open()
    for number in range(4):
        noise = random.Random(number).randbytes(60_000).hex()
        app.context.save(one.person(app), kind="fact", title=f"n{number}", text=f"x {noise[:7000]}")
    app.close()
    store = store_of(one.home)
    for row in store.rows("context_records"):
        store.sql("UPDATE context_records SET body_rest = ? WHERE number = ?", os.urandom(90_000).hex(), row["number"])
    file = tmp_path / "long.backup"
    made(one, file)
    content = file.read_bytes()
    start = len(preamble_of(backup.begin(io.BytesIO(content)).header)) + 69
    pieces = [content[i : i + 65_552] for i in range(start, len(content), 65_552)]
    assert len(pieces) > 4
    for order in (pieces[:-1], pieces[:1], [], pieces[1:], [pieces[1], pieces[0], *pieces[2:]], [*pieces, pieces[-1]]):
        file.write_bytes(content[:start] + b"".join(order))
        with pytest.raises(Broken):
            raw(file, one.recovery_key)
    file.write_bytes(content)
    assert not raw(file, one.recovery_key).findings


def test_another_vaults_recovery_key_is_refused(whole: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(Denied, match="another vault"):
        put_back(whole[0], format_recovery_key(new_slot_key()), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_computer_of_another_vault_is_left_alone(
    whole: tuple[Path, str], filled: Callable[[str], Filled], tmp_path: Path
) -> None:
    other = filled("mariadb").home
    before = sorted((path.name, path.stat().st_mtime_ns) for path in other.rglob("*") if path.is_file())
    with pytest.raises(Conflict, match="another vault"):
        put_back(whole[0], whole[1], other)
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in other.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_that_holds_a_vault_is_not_restored_into(
    kind: str, whole: tuple[Path, str], filled: Callable[[str], Filled], empty: Callable[[str], Address], tmp_path: Path
) -> None:
    there = empty(kind)
    put_back(*whole, tmp_path / "first", there)
    with pytest.raises(Conflict, match="holds"):
        put_back(*whole, tmp_path / "second", there)


def test_a_backup_of_a_newer_program_is_refused_with_what_to_type(tmp_path: Path) -> None:
    file = tmp_path / "newer.backup"
    file.write_bytes(preamble_of(Header("va_x", 1, SCHEMA_VERSION + 1, "9999", "9.9", ())))
    with pytest.raises(Conflict) as refused:
        put_back(file, "", tmp_path / "new")
    assert refused.value.hint == "git pull && ./setup.sh"


def test_a_file_that_exists_is_not_overwritten(filled: Callable[[str], Filled], tmp_path: Path) -> None:
    one = filled("sqlite")
    (tmp_path / "one.backup").write_text("mine")
    with pytest.raises(Conflict):
        made(one, tmp_path / "one.backup")
    assert (tmp_path / "one.backup").read_text() == "mine"


def test_a_backup_that_fails_on_its_way_leaves_no_file(filled: Callable[[str], Filled], tmp_path: Path) -> None:
    one = filled("sqlite")
    app = one.open()

    def full(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup.create_file(app, one.person(app), tmp_path / "one.backup", full)
    app.close()
    assert not list(tmp_path.glob("*.backup*")) + list(tmp_path.glob(".*"))


class Stopped(Exception):
    """The run was cut off here."""


def stopping(after: int) -> Callable[[str, int, int], None]:
    """Lets some steps that write pass, and cuts the run off at the next."""
    left = iter(range(after))

    def tell(_table: str, _done: int, total: int) -> None:
        if total and next(left, None) is None:
            raise Stopped

    return tell


@pytest.mark.parametrize("kind", KINDS)
def test_a_restore_cut_off_anywhere_opens_for_nobody_and_goes_on(
    kind: str, filled: Callable[[str], Filled], empty: Callable[[str], Address], tmp_path: Path
) -> None:
    one = filled(OTHER[kind])
    file = tmp_path / "one.backup"
    made(one, file)
    there, home = empty(kind), tmp_path / "new"
    left = 1
    while True:
        tell = stopping(left)
        wanted = Wanted(file=file, recovery_key=lambda: one.recovery_key, home=home, database=there)
        try:
            restore(wanted, silent, tell)
            break
        except Stopped:
            pass
        assert not (home / "settings.json").exists()
        with pytest.raises(ClaudeToolsError, match="not set up"):
            load_settings(home)
        left += 4
    assert left > 5
    again = build(load_settings(home))
    assert again.audit.verify().ok
    again.close()


def test_rows_of_another_half_restored_vault_are_not_mixed_in(
    filled: Callable[[str], Filled], empty: Callable[[str], Address], whole: tuple[Path, str], tmp_path: Path
) -> None:
    other = filled("mariadb")
    made(other, tmp_path / "other.backup")
    there = empty("sqlite")
    wanted = Wanted(whole[0], lambda: whole[1], home=tmp_path / "new", database=there)
    with pytest.raises(Stopped):
        restore(wanted, silent, stopping(0))
    with pytest.raises(Conflict, match="another vault"):
        put_back(tmp_path / "other.backup", other.recovery_key, tmp_path / "newer", there)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_database_comes_back_with_this_machines_own_keys(
    kind: str, filled: Callable[[str], Filled], empty: Callable[[str], Address], tmp_path: Path
) -> None:
    one = filled(kind)
    file = tmp_path / "one.backup"
    made(one, file)
    app = one.open()
    app.credentials.reveal(one.person(app), "acme/wiki/admin", purpose="after the backup")
    app.close()
    before = load_settings(one.home)
    store_of(one.home).remove()
    there = empty(kind) if kind == "mariadb" else None

    def ask() -> str:
        raise AssertionError("the recovery key was asked for")

    done = restore(Wanted(file=file, recovery_key=ask, home=one.home, database=there), silent, silent)
    assert done.lost
    after = load_settings(one.home)
    assert (after.machine_id, after.agent_id) == (before.machine_id, before.agent_id)
    app = one.open()
    assert app.audit.verify().ok
    assert len(values_of(app, one.person(app))) == 2
    app.close()


def test_what_was_tampered_with_before_is_told_and_restored_only_on_demand(
    filled: Callable[[str], Filled], tmp_path: Path
) -> None:
    one = filled("sqlite")
    store = store_of(one.home)
    store.sql("UPDATE persons SET role = 'auditor' WHERE name = 'x'")
    store.sql("UPDATE audit_entries SET purpose = 'another' WHERE seq = 2")
    file = tmp_path / "one.backup"
    made(one, file)
    assert [f.verdict for f in raw(file, one.recovery_key).findings]
    with pytest.raises(Broken, match="tampered"):
        put_back(file, one.recovery_key, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    put_back(file, one.recovery_key, tmp_path / "new", damaged=True)
    again = build(load_settings(tmp_path / "new"))
    assert not again.audit.verify().ok
    again.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_check_finds_what_audit_verify_finds(kind: str, filled: Callable[[str], Filled], tmp_path: Path) -> None:
    one = filled(kind)
    store = store_of(one.home)
    store.sql("UPDATE credentials SET exposure = 'reveal', revision = revision + 1 WHERE reference = 'acme/wiki/admin'")
    store.sql("DELETE FROM audit_entries WHERE seq = 3")
    app = one.open()
    told = {(f.verdict, f.where.partition(" (")[0]) for f in app.audit.verify(notes={}).findings}
    app.close()
    made(one, tmp_path / "one.backup")
    found = {(f.verdict, f.where) for f in raw(tmp_path / "one.backup", one.recovery_key).findings}
    assert {verdict for verdict, _ in told} <= {verdict for verdict, _ in found}
    assert any(verdict == "modified" and where.startswith("credential ") for verdict, where in found)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_have_the_same_digest_on_both_kinds(
    kind: str, filled: Callable[[str], Filled], empty: Callable[[str], Address], tmp_path: Path
) -> None:
    one = filled(kind)
    file = tmp_path / "one.backup"
    made(one, file)
    there = empty(OTHER[kind])

    def digests(address: Address) -> dict[str, tuple[int, str]]:
        engine = open_engine(address)
        with snapshot(engine) as connection:
            found = {shape.name: digest(connection, shape) for shape in shapes()}
        engine.dispose()
        return found

    from mcp_server.bootstrap.opening import address_of

    before = digests(address_of(load_settings(one.home)))
    put_back(file, one.recovery_key, tmp_path / "new", there)
    after = digests(there)
    grown = {"machines", "agents", "key_slots", "audit_chains", "audit_entries"}
    assert {name: after[name] for name in after if name not in grown} == {
        name: before[name] for name in before if name not in grown
    }


LATER_TABLES = ("machine_contacts", "key_runs", "recipes", "approvals", "second_factors")
LATER_COLUMNS = {"credentials": "rules", "vault": "default_rules"}
"""What the revision of the next test did not have yet, of what is copied."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_of_an_older_schema_restores_and_is_brought_up(
    kind: str, whole: tuple[Path, str], empty: Callable[[str], Address], tmp_path: Path
) -> None:
    file, key = whole
    older = tmp_path / "older.backup"
    with file.open("rb") as stream:
        source = backup.begin(stream)
        keyring = backup.keyring_for(source, None, None, lambda: key)
        header = replace(source.header, revision="0002")  # all tables, but no triggers and no table of notices
        sealer, content = keyring.seal_stream(preamble_of(header)), ContentWriter()
        out = preamble_of(header) + sealer.head
        skipped, kept, table, later = False, [0], "", ""
        columns: tuple[str, ...] = ()
        for event in backup.events(source, keyring):
            if event.kind == "begin":
                skipped = event.table in LATER_TABLES
                table, columns, later = event.table, event.columns, LATER_COLUMNS.get(event.table, "")
                kept = [at for at, name in enumerate(event.columns) if name != later]
            if skipped:
                continue
            if event.kind == "begin":
                out += sealer.update(content.begin(event.table, tuple(event.columns[at] for at in kept)))
            elif event.kind == "row":
                row = {columns[at]: event.values[at] for at in kept}
                if later:  # as the older program wrote it
                    row["mac"] = keyring.mac(table, {name: text for name, text in row.items() if name != "mac"})
                out += sealer.update(content.row(tuple(row.values())))
            else:
                out += sealer.update(content.end())
    older.write_bytes(out + sealer.update(content.finish()) + sealer.finish())
    there = empty(kind)
    # The vault has things of later kinds, whose entries tell of rows that this backup cannot hold.
    wanted = Wanted(older, lambda: key, home=tmp_path / "new", database=there, damaged=True)
    with pytest.raises(Stopped):
        restore(wanted, silent, stopping(3))
    put_back(older, key, tmp_path / "new", there, damaged=True)
    again = build(load_settings(tmp_path / "new"))
    try:
        findings = again.audit.verify().findings
        assert {(one.verdict, one.where.partition(" ")[0]) for one in findings} <= {
            ("missing", "recipe"),
            ("missing", "key_run"),
            ("missing", "approval"),
            ("missing", "second_factor"),
        }
        actor = again.identity.actor(again.identity.login("anna", "correct horse battery"))
        assert len(values_of(again, actor)) == 2
    finally:
        again.close()


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_sets_up_or_joins_a_vault_in_a_database_that_one_is_arriving_in(
    kind: str, whole: tuple[Path, str], empty: Callable[[str], Address], tmp_path: Path
) -> None:
    there = empty(kind)
    wanted = Wanted(whole[0], lambda: whole[1], home=tmp_path / "new", database=there)
    with pytest.raises(Stopped):
        restore(wanted, silent, stopping(5))
    home = tmp_path / "other"
    home.mkdir()
    save_settings(Settings(home=home, database=there.url))
    if there.password:
        (home / "keys").mkdir()
        write_private(home / "keys" / "database.password", there.password)
    shown: list[str] = []
    with pytest.raises(Conflict, match="has not arrived"):
        create(setup(home, shown.append, {}), silent)
    assert not shown
    put_back(*whole, tmp_path / "new", there)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_between_two_tables_is_not_in_the_backup(
    kind: str, filled: Callable[[str], Filled], tmp_path: Path
) -> None:
    one = filled(kind)
    app, late = one.open(), []

    def write(table: str, _done: int, _total: int) -> None:
        if table == "audit_chains" and not late:
            other = one.open()  # with a chain of its own, whose opening the backup has missed
            late.append(other.credentials.reveal(one.person(other), "acme/wiki/admin", purpose="meanwhile").entry)
            other.close()

    made = backup.create_file(app, one.person(app), tmp_path / "one.backup", write)
    app.close()
    assert late
    checked = raw(tmp_path / "one.backup", one.recovery_key)
    assert not checked.findings
    assert checked.entries == made.entries
    assert made.entries < len(store_of(one.home).rows("audit_entries"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_opens_with_the_recovery_key_of_its_time_whatever_was_replaced_since(
    kind: str, filled: Callable[[str], Filled], empty: Callable[[str], Address], tmp_path: Path
) -> None:
    one = filled(kind)
    before, after = tmp_path / "before.backup", tmp_path / "after.backup"
    made(one, before)
    shown: list[str] = []
    app = one.open()
    person = one.person(app)
    turn_root(app, person, Turn(lambda key: shown.append(key.expose())), silent)
    # Not by the keys that the process holds now, and not by the new recovery key.
    with before.open("rb") as stream:
        source = backup.begin(stream)
        with pytest.raises(Denied):
            backup.keyring_for(source, app.settings, app.keyring, lambda: shown[0])
    app.close()
    made_again = one.open()
    try:
        backup.create_file(
            made_again,
            made_again.identity.actor(made_again.identity.login("anna", "correct horse battery")),
            after,
            silent,
        )
    finally:
        made_again.close()
    assert not raw(before, one.recovery_key).findings
    assert not raw(after, shown[0]).findings
    for number, (file, key) in enumerate(((before, one.recovery_key), (after, shown[0]))):
        home = tmp_path / f"new-{number}"
        put_back(file, key, home, empty(kind))
        again = build(load_settings(home))
        try:
            assert again.audit.verify().ok
            actor = again.identity.actor(again.identity.login("anna", "correct horse battery"))
            assert len(values_of(again, actor)) == 2
        finally:
            again.close()
