"""Moves to another database and back: everything arrives, nobody writes on in the old place, cut off anywhere it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from domain.errors import Broken, ClaudeToolsError, Conflict, Denied, NotFound
from mcp_server.bootstrap import build, move
from mcp_server.bootstrap.opening import address_of
from mcp_server.callers import Door
from mcp_server.config import Settings, load_settings, save_settings, write_private
from storage import transfer
from storage.address import Address
from storage.engine import open_engine
from storage.transaction import begin
from tests.backup.conftest import KINDS, PASSWORD, Filled, values_of
from tests.kit.mariadb import OWNER, MariaDB
from tests.kit.stores import MariaDBStore, store_of

OTHER = {"sqlite": "mariadb", "mariadb": "sqlite"}


def silent(*_: object) -> None:
    """Tells nobody."""


def owner_of(settings: Settings) -> Address | None:
    """The account that made the tables, where the installation works with one of fewer rights."""
    address = address_of(settings)
    if not address.is_mariadb or address.user == OWNER:
        return None
    store = store_of(settings.home)
    assert isinstance(store, MariaDBStore)
    return address.changed(user=OWNER, password=store.server.passwords[OWNER], password_file="")


def moved(one: Filled, target: Address, **more: object) -> move.Moved:
    settings = load_settings(one.home)
    wanted = replace(move.Wanted(target, owner_of(settings)), **more)
    if move.unfinished(settings) is not None:
        return move.go_on(settings, wanted, silent, silent)
    app = one.open()
    try:
        return move.start(app, one.person(app), wanted, silent, silent)
    finally:
        app.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_vault_moves_to_the_other_kind_and_back(
    kind: str, filled: Callable[[str], Filled], empty: Callable[[str], Address]
) -> None:
    one = filled(kind)
    app = one.open()
    before = values_of(app, one.person(app))
    heads = app.work.notes.read()
    app.close()
    first = load_settings(one.home).database
    for target in (OTHER[kind], kind):
        done = moved(one, empty(target) if target == "mariadb" else replaced(one, "moved-here.db"))
        app = one.open()
        assert app.audit.verify().ok
        assert values_of(app, one.person(app)) == before
        assert heads.keys() <= app.work.notes.read().keys()
        hits = app.context.recall(one.person(app), "number2 wiki").hits
        assert "wiki 2" in {hit.title for hit in hits}
        assert "number1" not in " ".join(hit.title for hit in app.context.recall(one.person(app), "number1").hits)
        assert done.entries > 0
        assert (app.settings.tier, app.settings.is_embedded) == (
            ("direct", False) if target == "mariadb" else ("embedded", True)
        )
        app.close()
    assert load_settings(one.home).database != first
    if kind == "sqlite":
        assert not (one.home / first).exists()
        assert list(one.home.glob(f"{first}.moved-*"))


def replaced(one: Filled, name: str) -> Address:
    from mcp_server.bootstrap.arriving import place_of

    return place_of(name, one.home)


def test_hooks_are_told_the_new_place(filled: Callable[[str], Filled], empty: Callable[[str], Address]) -> None:
    one, target = filled("sqlite"), empty("mariadb")
    moved(one, target)
    said = (one.home / "hooks.json").read_text()
    assert target.name in said
    assert 'password":' not in said.replace('password_file":', "")


def test_who_still_has_the_old_database_open_cannot_write_there(
    kind: str, filled: Callable[[str], Filled], empty: Callable[[str], Address]
) -> None:
    one = filled(kind)
    old = one.open()
    person = one.person(old)
    old.credentials.reveal(person, "acme/wiki/admin", purpose="before")
    moved(one, empty(OTHER[kind]))
    with pytest.raises(ClaudeToolsError, match="moved"):
        old.credentials.reveal(person, "acme/wiki/admin", purpose="after")
    with pytest.raises(ClaudeToolsError, match="moved"):
        old.context.save(person, kind="fact", title="late", text="a late note")
    old.close()


def test_a_server_that_runs_works_on_in_the_new_place(
    kind: str, filled: Callable[[str], Filled], empty: Callable[[str], Address]
) -> None:
    one = filled(kind)
    door = Door(one.home)
    door.enter().app.credentials.search(door.enter().actor, "wiki")
    moved(one, empty(OTHER[kind]))
    caller = door.enter()
    caller.app.credentials.search(caller.actor, "wiki")
    assert caller.app.settings.database == load_settings(one.home).database
    assert caller.app.audit.verify().ok
    door.close()


def test_another_machine_is_told_where_the_vault_went(
    filled: Callable[[str], Filled], empty: Callable[[str], Address]
) -> None:
    one = filled("mariadb")
    stays = load_settings(one.home)
    password = stays.database_password_file.read_text()
    target = empty("mariadb")
    moved(one, target)
    save_settings(stays)  # the other machine's settings still name the old place
    write_private(stays.database_password_file, password)
    with pytest.raises(Conflict) as refused:
        build(load_settings(one.home))
    assert target.name in refused.value.message
    assert "--follow" in refused.value.hint


def second_machine(one: Filled, home: Path) -> Settings:
    """Another machine of the same vault, with keys, an agent and notes of its own."""
    from mcp_server.bootstrap.recovery import recover

    first = load_settings(one.home)
    (home / "keys").mkdir(parents=True)
    settings = replace(first, home=home, machine_id="", machine_name="second", agent_id="")
    write_private(settings.database_password_file, first.database_password_file.read_text())
    save_settings(settings)
    return recover(home, one.recovery_key, silent)


def test_another_machine_follows_with_its_own_keys(
    filled: Callable[[str], Filled], empty: Callable[[str], Address], tmp_path: Path
) -> None:
    one = filled("mariadb")
    settings = second_machine(one, tmp_path / "second")
    with pytest.raises(Conflict, match="is open in"):
        move.follow(settings, address_of(settings))
    moved(one, empty("mariadb"))
    with pytest.raises(Conflict, match="has moved"):
        build(settings)
    notice = move.unfinished(settings)
    assert notice is not None
    now = load_settings(one.home)
    assert notice.place == now.database
    password = now.database_password_file.read_text().strip()
    followed = move.follow(settings, move.target_of(settings, notice).changed(password=password))
    assert followed.machine_id == settings.machine_id
    app = build(load_settings(settings.home))
    assert app.audit.verify().ok
    person = app.identity.actor(app.identity.login("anna", PASSWORD))
    app.credentials.reveal(person, "acme/wiki/admin", purpose="on the second machine")
    app.close()


def test_a_machine_does_not_follow_into_another_vault(
    filled: Callable[[str], Filled], empty: Callable[[str], Address], tmp_path: Path
) -> None:
    one, other = filled("mariadb"), filled("sqlite")
    settings = second_machine(one, tmp_path / "second")
    moved(one, empty("mariadb"))
    moved(other, empty("mariadb"))
    with pytest.raises(Denied, match="does not hold this machine's vault"):
        move.follow(settings, address_of(load_settings(other.home)))
    assert load_settings(settings.home).database == settings.database


def test_a_move_under_load_loses_nothing_that_was_acknowledged(
    kind: str, filled: Callable[[str], Filled], empty: Callable[[str], Address]
) -> None:
    one = filled(kind)
    begun = threading.Barrier(4)
    receipts: list[str] = []
    closed: list[int] = []

    def write(number: int) -> None:
        app = one.open()
        person = one.person(app)
        begun.wait(30)
        for turn in range(3000):
            try:
                receipts.append(app.credentials.reveal(person, "acme/wiki/admin", purpose=f"{number} {turn}").entry)
            except ClaudeToolsError as error:
                if "moved" in error.message:
                    closed.append(number)
                    break
        app.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    target = empty(OTHER[kind])
    moved(one, target)
    for thread in threads:
        thread.join(60)
    assert sorted(closed) == [0, 1, 2]
    app = one.open()
    assert app.audit.verify().ok
    there = {row["entry_id"] for row in store_of(one.home).rows("audit_entries")}
    assert receipts
    assert set(receipts) <= there
    app.close()


class Stopped(BaseException):
    """The process was killed here."""


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Ends the move at its n-th step, without giving it the time to take anything back."""
    passed: list[str] = []
    names = (
        "_bring",
        "_copy",
        "_close",
        "_compare",
        "_switch",
        "index",
        "lift_notice",
        "write_hooks_settings",
        "_put_aside",
        "save_settings",
    )
    names += ("with_accounts",)
    for name in names:
        real = getattr(move, name)

        def step(*given: object, _real: Callable[..., object] = real, _name: str = name, **more: object) -> object:
            passed.append(_name)
            if len(passed) == number:
                raise Stopped
            return _real(*given, **more)

        monkeypatch.setattr(move, name, step)
    monkeypatch.setattr(move, "_take_back", silent)
    return passed


def test_a_move_killed_at_any_step_goes_on(
    kind: str, filled: Callable[[str], Filled], empty: Callable[[str], Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[str] = []
    for number in range(1, 40):
        one, target = filled(kind), empty(OTHER[kind])
        with monkeypatch.context() as patch:
            passed = kill_at(patch, number)
            with suppress(Stopped):
                moved(one, target)
        both_open(one, target)
        if len(passed) < number:
            break
        now = address_of(load_settings(one.home))
        if (now.kind, now.place) != (target.kind, target.place):
            moved(one, target)
        move.tidy(load_settings(one.home))
        app = one.open()
        assert app.audit.verify().ok, f"killed at {passed}"
        assert len(values_of(app, one.person(app))) == 2
        app.close()
        if kind == "sqlite":
            assert not (one.home / "claudetools.db").exists()
        assert str(target.name or target.path) in (one.home / "hooks.json").read_text()
    assert {"_copy", "_close", "_compare", "_switch", "lift_notice", "write_hooks_settings"} <= set(passed)


def both_open(one: Filled, target: Address) -> None:
    """The vault is never open in both places."""
    settings = load_settings(one.home)
    open_places = []
    places = [target] if target.is_mariadb or Path(target.path).exists() else []
    own = address_of(settings)
    if (own.kind, own.place) != (target.kind, target.place) and (own.is_mariadb or Path(own.path).exists()):
        places.append(own)
    for address in places:
        engine = open_engine(address)
        try:
            with begin(engine, write=False) as unit:
                from storage.keys import read_vault_id

                if read_vault_id(unit.connection) and not transfer.is_on_its_way(unit.connection):
                    open_places.append(address.place)
        except ClaudeToolsError:
            continue
        finally:
            engine.dispose()
    assert len(open_places) <= 1


def test_what_fails_before_the_end_leaves_the_vault_open_where_it_was(
    kind: str, filled: Callable[[str], Filled], empty: Callable[[str], Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = filled(kind)

    def differ(*_: object) -> None:
        raise Broken("the table did not arrive")

    with monkeypatch.context() as patch:
        patch.setattr(move, "_compare", differ)
        with pytest.raises(Broken):
            moved(one, empty(OTHER[kind]))
    app = one.open()
    app.credentials.reveal(one.person(app), "acme/wiki/admin", purpose="it goes on here")
    assert app.audit.verify().ok
    app.close()


def test_a_move_that_was_cut_off_can_be_taken_back(
    kind: str, filled: Callable[[str], Filled], empty: Callable[[str], Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = filled(kind)
    with monkeypatch.context() as patch:
        patch.setattr(move, "_take_back", silent)
        patch.setattr(move, "_catch_up", lambda *_: (_ for _ in ()).throw(Stopped()))
        with pytest.raises(Stopped):
            moved(one, empty(OTHER[kind]))
    settings = load_settings(one.home)
    with pytest.raises(Conflict, match="is being moved"):
        build(settings)
    move.cancel(settings, owner_of(settings))
    app = one.open()
    app.credentials.reveal(one.person(app), "acme/wiki/admin", purpose="back again")
    app.close()
    with pytest.raises(NotFound):
        move.cancel(settings, owner_of(settings))


def test_a_vault_that_has_moved_is_not_opened_again_by_cancelling(
    filled: Callable[[str], Filled], empty: Callable[[str], Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = filled("mariadb")
    with monkeypatch.context() as patch:
        patch.setattr(move, "_switch", lambda *_: (_ for _ in ()).throw(Stopped()))
        with pytest.raises(Stopped):
            moved(one, empty("sqlite"))
    settings = load_settings(one.home)
    with pytest.raises(Conflict, match="has moved"):
        move.cancel(settings, owner_of(settings))


def test_a_notice_that_no_keyholder_wrote_leads_nowhere(kind: str, filled: Callable[[str], Filled]) -> None:
    one = filled(kind)
    settings = load_settings(one.home)
    engine = open_engine(owner_of(settings) or address_of(settings))
    notice = transfer.Notice("moved", settings.vault_id, "mariadb+pymysql://a@evil.example/x", 1, b"x" * 32)
    transfer.write_notice(engine, notice)
    engine.dispose()
    with pytest.raises(Broken, match="not written with the vault's keys"):
        move.unfinished(settings)


def test_a_target_that_is_not_empty_is_left_alone(
    filled: Callable[[str], Filled], empty: Callable[[str], Address]
) -> None:
    one, other = filled("sqlite"), filled("mariadb")
    there = address_of(load_settings(other.home))
    with pytest.raises(Conflict, match="holds a vault"):
        moved(one, there)
    app = other.open()
    assert app.audit.verify().ok
    app.close()
    app = one.open()
    assert app.audit.verify().ok
    app.close()


def test_an_agent_and_an_account_without_the_rights_cannot_move_a_vault(
    filled: Callable[[str], Filled], empty: Callable[[str], Address], mariadb: MariaDB
) -> None:
    one = filled("mariadb")
    settings = load_settings(one.home)
    address = address_of(settings)
    password = mariadb.account("mover", f"SELECT, INSERT, UPDATE, DELETE ON `{address.name}`.*")
    save_settings(replace(settings, database=address.changed(user="mover").url))
    write_private(settings.database_password_file, password + "\n")
    app = one.open()
    with pytest.raises(Denied) as refused:
        move.start(app, one.person(app), move.Wanted(empty("sqlite")), silent, silent)
    assert "--owner" in refused.value.hint
    person = one.person(app)
    agent = replace(person, kind="agent", scopes=frozenset())
    with pytest.raises(ClaudeToolsError):
        move.start(app, agent, move.Wanted(empty("sqlite")), silent, silent)
    app.credentials.reveal(person, "acme/wiki/admin", purpose="still here")
    app.close()


def test_the_old_database_stays_until_it_is_to_be_forgotten(
    filled: Callable[[str], Filled], empty: Callable[[str], Address]
) -> None:
    one = filled("sqlite")
    done = moved(one, empty("mariadb"))
    settings = load_settings(one.home)
    assert Path(done.kept).exists()
    assert move.kept(settings) == done.kept
    assert move.forget_old(settings) == ""
    assert not list(one.home.glob("claudetools.db*"))
    with pytest.raises(NotFound):
        move.forget_old(settings)
