"""Setting up: twice, cut off anywhere, and again with pieces missing."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Broken, ClaudeToolsError, Conflict, Denied, Invalid, Unauthenticated, Unavailable
from domain.plain import Plain
from mcp_server.bootstrap import build
from mcp_server.bootstrap.installation import Step, Wanted, create, plan
from mcp_server.bootstrap.recovery import recover
from mcp_server.config import load_settings
from mcp_server.keyring import format_recovery_key, new_slot_key
from storage import transaction
from tests.kit.stores import Databases
from tests.strongroom.story import FIRST
from tests.strongroom.vault import PASSWORD, PERSON, Vault, make_template, quietly, wanted


class Cut(BaseException):
    """The power went."""


@pytest.fixture
def asked(database: Databases) -> dict[str, Any]:
    """Where a new vault is to lie."""
    return database.asked()


def all_well(home: Path) -> None:
    """The agent and the person of the installation can act, and verify finds nothing."""
    app = build(load_settings(home))
    try:
        assert app.audit.verify().findings == ()
        agent = app.identity.actor(app.identity.prove(app.settings.agent_secret_file.read_text()))
        assert app.credentials.search(agent).total == 0
        assert app.identity.actor(app.identity.login(PERSON, PASSWORD)).name == PERSON
        assert app.identity.persons() == [PERSON]
        states = [one.state for one in app.identity.agents(agent)]
        assert states.count("active") == 1
    finally:
        app.close()


def contents(home: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(home)): file.read_bytes()
        for file in sorted(home.rglob("*"))
        if file.is_file() and not file.name.startswith("claudetools.db-")
    }


def test_a_second_run_changes_nothing_and_says_so(tmp_path: Path, asked: dict[str, Any]):
    home, shown, steps = tmp_path / "home", [], []
    create(wanted(home, shown.append, asked), steps.append)
    assert steps
    assert all(step.changed for step in steps)
    before, again = contents(home), []
    create(wanted(home, shown.append, asked), again.append)
    # Accounts of a server are made once, and then used.
    assert [step.text for step in again] == [s.text for s in steps if not s.text.startswith("database accounts")]
    assert not any(step.changed for step in again)
    assert contents(home) == before
    assert len(shown) == 1
    all_well(home)


def test_a_plan_changes_nothing(tmp_path: Path, asked: dict[str, Any]):
    home = tmp_path / "home"
    assert all(step.changed for step in plan(Wanted(home=home, **asked)))
    assert not home.exists()
    create(wanted(home, str, asked), quietly)
    before = contents(home)
    assert not any(step.changed for step in plan(Wanted(home=home, **asked)))
    assert contents(home) == before


def test_everything_is_private(tmp_path: Path, asked: dict[str, Any]):
    home = tmp_path / "home"
    create(wanted(home, str, asked), quietly)
    for place in (home, *home.rglob("*")):
        mode = stat.S_IMODE(place.stat().st_mode)
        assert mode == (0o700 if place.is_dir() else 0o600), place.name


def cut_at(counted: list[int], limit: int) -> None:
    counted[0] += 1
    if counted[0] == limit:
        raise Cut


def cut_at_a_report(monkeypatch: pytest.MonkeyPatch, limit: int) -> Callable[[Step], None]:
    counted = [0]
    return lambda _step: cut_at(counted, limit)


def cut_before_a_commit(monkeypatch: pytest.MonkeyPatch, limit: int) -> Callable[[Step], None]:
    counted, commit = [0], transaction.Transaction.commit

    def cut(self):
        cut_at(counted, limit)
        commit(self)

    monkeypatch.setattr(transaction.Transaction, "commit", cut)
    return quietly


def cut_before_a_file(monkeypatch: pytest.MonkeyPatch, limit: int) -> Callable[[Step], None]:
    counted, replace = [0], Path.replace

    def cut(self, target):
        if not self.name.endswith(".part"):
            return replace(self, target)
        cut_at(counted, limit)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", cut)
    return quietly


CUTS = [cut_at_a_report, cut_before_a_commit, cut_before_a_file]


@pytest.mark.parametrize("cut", CUTS)
def test_a_setup_that_was_cut_off_anywhere_goes_on_when_it_is_run_again(
    tmp_path: Path, database: Databases, monkeypatch: pytest.MonkeyPatch, cut
):
    for number in itertools.count(1):
        asked = database.asked()
        home, shown = tmp_path / f"home-{number}", []
        with monkeypatch.context() as patched:
            report = cut(patched, number)
            try:
                create(wanted(home, shown.append, asked), report)
            except Cut:
                pass
            else:
                break
        create(wanted(home, shown.append, asked), quietly)
        if number % 3 == 0:  # the key that was shown last is the one that opens
            (home / "keys" / "root.key").unlink()
            recover(home, shown[-1], quietly)
        all_well(home)
    assert number > 5


def test_a_person_who_cannot_keep_the_recovery_key_gets_no_vault(tmp_path: Path, asked: dict[str, Any]):
    home = tmp_path / "home"

    def refuse(_key: Plain) -> None:
        raise Invalid("the recovery key was not confirmed")

    def ask() -> Plain:
        return Plain(PASSWORD)

    with pytest.raises(Invalid):
        create(Wanted(home=home, person=PERSON, password=ask, deliver=refuse, **asked), quietly)
    with pytest.raises(ClaudeToolsError):
        build(load_settings(home))
    create(wanted(home, str, asked), quietly)
    all_well(home)


@pytest.mark.parametrize("password", ["", "short", "123456789", "x" * 1025])
def test_a_password_that_is_none_is_refused_and_the_next_one_taken(
    tmp_path: Path, asked: dict[str, Any], password: str
):
    home = tmp_path / "home"
    told = Wanted(home=home, person=PERSON, password=lambda: Plain(password), deliver=lambda _key: None, **asked)
    with pytest.raises(Invalid) as refused:
        create(told, quietly)
    assert list(refused.value.fields) == ["password"]
    create(wanted(home, str, asked), quietly)
    all_well(home)


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "an\nna", "an\x00na"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, asked: dict[str, Any], name: str):
    home, password = tmp_path / "home", lambda: Plain(PASSWORD)
    with pytest.raises(Invalid) as refused:
        create(Wanted(home=home, person=name, password=password, deliver=lambda _key: None, **asked), quietly)
    assert list(refused.value.fields) == ["person"]


# What is missing, and how it comes back.


def open_and_reveal(vault: Vault) -> None:
    vault.open()
    vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in")


def values_open(vault: Vault) -> bool:
    app = vault.open()
    agent = app.identity.actor(app.identity.prove(vault.secret))
    return len(app.credentials.reveal(agent, FIRST, purpose="again").value) > 0


def test_without_the_root_key_file_nothing_opens_and_the_recovery_key_brings_it_back(story: Callable[[], Vault]):
    vault = story()
    vault.close()
    vault.app.settings.root_key_file.unlink()
    with pytest.raises(Invalid) as refused:
        vault.open()
    assert refused.value.hint == "claudetools keys recover"
    recover(vault.home, vault.template.recovery_key, quietly)
    assert values_open(vault)
    assert vault.app.audit.verify().findings == ()
    assert vault.entries()[-2]["action"] in ("agent.prove", "credential.decrypt", "redaction.load")
    assert "key.slot" in {e["action"] for e in vault.entries()}


def test_a_recovered_root_key_file_is_a_new_one(story: Callable[[], Vault]):
    vault = story()
    vault.close()
    old = vault.app.settings.root_key_file.read_bytes()
    vault.app.settings.root_key_file.unlink()
    recover(vault.home, vault.template.recovery_key, quietly)
    assert vault.app.settings.root_key_file.read_bytes() != old
    vault.app.settings.root_key_file.write_bytes(old)
    with pytest.raises(Broken):
        vault.open()


@pytest.mark.parametrize(
    "spell",
    [str.lower, lambda k: k.replace("-", " "), lambda k: k.replace("-", ""), lambda k: f"  {k}\n"],
    ids=["lower", "spaces", "without hyphens", "padded"],
)
def test_the_recovery_key_may_be_spelled_freely(story: Callable[[], Vault], spell):
    vault = story()
    vault.close()
    vault.app.settings.root_key_file.unlink()
    recover(vault.home, spell(vault.template.recovery_key), quietly)
    assert values_open(vault)


def mistyped(key: str) -> list[str]:
    swapped = key[:7] + key[8] + key[7] + key[9:]
    other = key[:9] + ("A" if key[9] != "A" else "B") + key[10:]
    return ["", "CTR1-", "CTR1-XXXXX", key[:-1], key[:-6], key + "A", other, "ü" + key, key * 2, swapped]


@pytest.mark.parametrize("number", range(9))
def test_a_mistyped_recovery_key_is_told_and_changes_nothing(story: Callable[[], Vault], number: int):
    vault = story()
    vault.close()
    vault.app.settings.root_key_file.unlink()
    before = contents(vault.home)
    key = mistyped(vault.template.recovery_key)[number]
    with pytest.raises(Invalid) as refused:
        recover(vault.home, key, quietly)
    assert list(refused.value.fields) == ["recovery_key"]
    assert not key or key not in refused.value.message
    assert contents(vault.home) == before


def test_the_recovery_key_of_another_vault_is_told_and_changes_nothing(story: Callable[[], Vault]):
    vault = story()
    vault.close()
    vault.app.settings.root_key_file.unlink()
    before = contents(vault.home)
    with pytest.raises(Denied) as refused:
        recover(vault.home, format_recovery_key(new_slot_key()), quietly)
    assert "another vault" in refused.value.message
    assert contents(vault.home) == before


@pytest.mark.parametrize("damage", ["missing", "cut short", "empty", "another machine's"])
def test_without_this_machines_audit_key_it_becomes_a_new_machine(story: Callable[[], Vault], damage: str):
    vault = story()
    vault.close()
    old, key = vault.app.settings.machine_id, vault.app.settings.machine_key_file
    if damage == "missing":
        key.unlink()
    elif damage == "another machine's":
        key.write_bytes(new_slot_key())
    else:
        key.write_bytes(key.read_bytes()[: 16 if damage == "cut short" else 0])
    with pytest.raises(Invalid if damage == "missing" else Broken) as refused:
        open_and_reveal(vault)
    assert refused.value.hint == "claudetools keys recover"
    recover(vault.home, vault.template.recovery_key, quietly)
    settings = load_settings(vault.home)
    assert settings.machine_id != old
    app = build(settings)
    agent = app.identity.actor(app.identity.prove(settings.agent_secret_file.read_text()))
    assert app.credentials.reveal(agent, FIRST, purpose="again").value
    assert app.audit.verify().findings == ()
    app.close()


@pytest.mark.parametrize("cut", CUTS)
def test_a_recovery_that_was_cut_off_anywhere_goes_on_when_it_is_run_again(
    story: Callable[[], Vault], monkeypatch: pytest.MonkeyPatch, cut
):
    for number in itertools.count(1):
        vault = story()
        vault.close()
        vault.app.settings.root_key_file.unlink()
        vault.app.settings.machine_key_file.unlink()
        vault.app.settings.agent_secret_file.unlink()
        with monkeypatch.context() as patched:
            report = cut(patched, number)
            try:
                recover(vault.home, vault.template.recovery_key, report)
            except Cut:
                pass
            else:
                break
        recover(vault.home, vault.template.recovery_key, quietly)
        app = build(load_settings(vault.home))
        agent = app.identity.actor(app.identity.prove(app.settings.agent_secret_file.read_text()))
        assert app.credentials.reveal(agent, FIRST, purpose="again").value
        assert app.audit.verify().findings == ()
        app.close()
    assert number > 3


def test_a_machine_key_of_another_machine_signs_nothing(story: Callable[[], Vault]):
    """What it signed would be told as forged at the next verify; it is told at once instead."""
    vault = story()
    vault.close()
    rows = len(vault.entries())
    vault.app.settings.machine_key_file.write_bytes(new_slot_key())
    with pytest.raises(Broken) as refused:
        open_and_reveal(vault)
    assert "audit key" in refused.value.message
    assert len(vault.entries()) == rows


def test_without_the_agents_secret_setup_says_what_to_type_and_recovery_enrolls_anew(story: Callable[[], Vault]):
    vault = story()
    vault.close()
    vault.app.settings.agent_secret_file.unlink()
    with pytest.raises(Invalid) as refused:
        create(wanted(vault.home, str, {}), quietly)
    assert "claudetools agent revoke" in refused.value.hint
    recover(vault.home, vault.template.recovery_key, quietly)
    assert values_open(vault)


@pytest.mark.parametrize("which", ["root_key_file", "machine_key_file"])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606, 0o660])
def test_a_key_file_that_others_can_read_is_refused(story: Callable[[], Vault], which: str, mode: int):
    vault = story()
    vault.close()
    file = getattr(vault.app.settings, which)
    file.chmod(mode)
    with pytest.raises(Invalid) as refused:
        vault.open()
    assert f"{mode:04o}" in refused.value.message
    assert refused.value.hint == f"chmod 600 {file}"


def test_a_key_file_that_is_a_link_is_refused(story: Callable[[], Vault], tmp_path: Path):
    vault = story()
    vault.close()
    file = vault.app.settings.root_key_file
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Invalid):
        vault.open()


def test_a_root_key_file_of_another_vault_is_told(story: Callable[[], Vault], database: Databases, tmp_path: Path):
    vault = story()
    vault.close()
    other = make_template(tmp_path / "other", database)
    vault.app.settings.root_key_file.write_bytes((other.home / "keys" / "root.key").read_bytes())
    with pytest.raises(Broken) as refused:
        vault.open()
    assert refused.value.hint == "claudetools keys recover"


@pytest.mark.parametrize("column", ["min_reader", "min_writer"])
def test_a_database_that_is_newer_than_the_program_is_left_alone(story: Callable[[], Vault], column: str):
    vault = story()
    vault.close()
    vault.sql(f"UPDATE compatibility SET {column} = 999")
    before = vault.dump(without=())
    for attempt in (vault.open, lambda: recover(vault.home, vault.template.recovery_key, quietly)):
        with pytest.raises(Conflict) as refused:
            attempt()
        assert "999" in refused.value.message
        assert refused.value.hint == "git pull && ./setup.sh"
    assert vault.dump(without=()) == before


def test_a_database_of_an_unknown_revision_is_left_alone_by_setup(story: Callable[[], Vault]):
    vault = story()
    vault.close()
    vault.sql("UPDATE alembic_version SET version_num = '9999'")
    before = vault.dump(without=())
    with pytest.raises((Conflict, Unavailable)) as refused:
        create(wanted(vault.home, str, {}), quietly)
    assert refused.value.hint
    assert vault.dump(without=()) == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"version": 99}', '{"version": 1, "vault_id": 5}', '"text"', "\x00", "[" * 5000]
)
def test_settings_that_cannot_be_read_are_told_with_what_to_type(story: Callable[[], Vault], text: str):
    vault = story()
    vault.close()
    vault.app.settings.settings_file.write_text(text)
    with pytest.raises(Invalid) as refused:
        load_settings(vault.home)
    assert "setup.sh" in refused.value.hint


def test_settings_that_are_missing_are_told_with_what_to_type(tmp_path: Path):
    with pytest.raises(Invalid) as refused:
        load_settings(tmp_path / "nowhere")
    assert refused.value.hint == "./setup.sh"
    assert not (tmp_path / "nowhere").exists()


def test_an_agent_that_was_revoked_does_not_prove_itself(story: Callable[[], Vault]):
    vault = story()
    vault.app.identity.revoke(vault.person, vault.agent.name)
    with pytest.raises((Denied, Unauthenticated)):
        vault.app.identity.prove(vault.secret)
