"""Keys are replaced on every level, and everything opens before, between and afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.drafts import Draft
from domain.errors import Broken, Conflict, Denied, Invalid, NotFound
from domain.plain import Plain
from mcp_server.bootstrap import build
from mcp_server.bootstrap.opening import open_passphrase_slot, open_slot, read_vault
from mcp_server.bootstrap.recovery import recover
from mcp_server.bootstrap.turning import Turned, Wanted, turn_root
from mcp_server.config import load_settings
from mcp_server.keyring import parse_recovery_key
from tests.strongroom.vault import Vault

WHY = "to compare"


def quiet(_part: str, _done: int, _total: int) -> None:
    """Tells nobody."""


def fill(vault: Vault) -> dict[str, str]:
    """Credentials of two clients, one with a history; their references and values."""
    values: dict[str, str] = {}
    for client in ("acme", "globex"):
        for number in range(3):
            value = f"value {number} of {client}, long enough"
            draft = Draft("password", f"Service {number}", client=client, values={"password": Plain(value)})
            values[vault.app.credentials.create(vault.person, draft).description.reference] = value
    reference = next(iter(values))
    values[reference] = "the newest value of it"
    vault.app.credentials.rotate(vault.person, reference, value=Plain(values[reference]))
    return values


def opens(vault: Vault, values: dict[str, str]) -> None:
    """Every value comes out as it went in, and the audit log is well."""
    for reference, value in values.items():
        assert vault.app.credentials.reveal(vault.person, reference, purpose=WHY).value.expose() == value
    assert vault.app.audit.verify().findings == ()


def turn(vault: Vault, shown: list[str] | None = None, **wanted: Any) -> Turned:
    kept: list[str] = [] if shown is None else shown
    return turn_root(vault.app, vault.person, Wanted(lambda key: kept.append(key.expose()), **wanted), quiet)


def test_a_new_client_key_takes_all_data_keys_and_touches_no_blob(vault: Vault):
    values = fill(vault)
    client, _ = vault.app.keys.scope_of(vault.person, "acme")
    blobs = vault.rows("sealed_fields")
    with vault.writes() as entries:
        done = vault.app.keys.rotate_clients(vault.person, client, quiet)
    assert (done.clients, done.versions, done.left, done.resumed) == (1, 4, 0, False)
    assert vault.rows("sealed_fields") == blobs
    states = {row["client_key_id"]: row["state"] for row in vault.rows("client_keys")}
    assert (states[f"{client}.1"], states[f"{client}.2"]) == ("decrypt-only", "active")
    said = [(e["action"], e["subject_type"], e["said"]["facts"].get("versions")) for e in entries]
    assert said == [
        ("key.rotate", "key_run", None),
        ("key.rotate", "key_run", None),
        ("key.rotate", "client_key", None),
        ("key.rotate", "client_key", None),
        ("key.rewrap", "key_run", 4),
        ("key.rotate", "key_run", None),
    ]
    opens(vault, values)


def test_all_clients_get_new_keys(vault: Vault):
    values = fill(vault)
    done = vault.app.keys.rotate_clients(vault.person, "", quiet)
    assert (done.clients, done.versions) == (2, 7)
    opens(vault, values)


def test_values_are_sealed_again_under_fresh_data_keys(vault: Vault):
    values = fill(vault)
    before = {(r["credential_id"], r["version"]): (r["blob"], r["blind"]) for r in vault.rows("sealed_fields")}
    done = vault.app.keys.rotate_data(vault.person, "", quiet)
    assert (done.versions, done.left) == (7, 0)
    after = {(r["credential_id"], r["version"]): (r["blob"], r["blind"]) for r in vault.rows("sealed_fields")}
    assert before.keys() == after.keys()
    for place, (blob, blind) in after.items():
        assert blob != before[place][0]
        assert blind == before[place][1]
    opens(vault, values)


def test_one_credential_is_sealed_again_by_its_reference(vault: Vault):
    values = fill(vault)
    reference = next(iter(values))
    scope, name = vault.app.keys.scope_of(vault.person, reference, credentials=True)
    assert name == reference
    assert vault.app.keys.rotate_data(vault.person, scope, quiet).versions == 2
    opens(vault, values)


def test_a_run_that_was_begun_is_finished_before_another_begins(vault: Vault):
    values = fill(vault)
    client, _ = vault.app.keys.scope_of(vault.person, "acme")
    vault.app.keys._begin(vault.person, "client", client)
    with pytest.raises(Conflict) as refused:
        vault.app.keys.rotate_data(vault.person, "", quiet)
    assert refused.value.hint == f"claudetools keys rotate client {client}"
    assert vault.app.keys.rotate_clients(vault.person, client, quiet).resumed
    assert vault.app.keys.rotate_data(vault.person, "", quiet).versions == 7
    opens(vault, values)


def test_a_run_whose_place_was_moved_by_hand_is_refused(vault: Vault):
    fill(vault)
    vault.app.keys._begin(vault.person, "data", "")
    vault.sql("UPDATE key_runs SET place = ?", json.dumps(["cr_zzzz", 9]))
    with pytest.raises(Broken):
        vault.app.keys.rotate_data(vault.person, "", quiet)


def test_an_agent_rotates_no_keys(vault: Vault):
    fill(vault)
    with pytest.raises(Denied):
        vault.app.keys.rotate_data(vault.agent, "", quiet)
    with pytest.raises(Denied):
        turn_root(vault.app, vault.agent, Wanted(lambda _key: None), quiet)


def test_a_turn_of_the_root_key_leaves_everything_open_and_the_log_well(vault: Vault):
    values = fill(vault)
    old = vault.app.keyring
    before = {row["slot_id"] for row in vault.rows("key_slots")}
    blinds = {row["blind"] for row in vault.rows("sealed_fields")}
    shown: list[str] = []
    done = turn(vault, shown)
    assert done.new_recovery_key
    assert (done.values, done.machines, done.dropped) == (7, (), ())
    assert not before & {row["slot_id"] for row in vault.rows("key_slots")}
    assert not blinds & {row["blind"] for row in vault.rows("sealed_fields")}
    opens(vault, values)
    assert not vault.app.settings.next_root_key_file.exists()
    # A process that starts now, by the new key file.
    fresh = build(load_settings(vault.home))
    assert fresh.audit.verify().findings == ()
    fresh.close()
    # The recovery key that was shown opens; the one before does not.
    vault_id, slots = read_vault(vault.app.engine)
    assert open_slot(vault_id, slots, parse_recovery_key(shown[0]), "recovery") is not None
    assert open_slot(vault_id, slots, parse_recovery_key(vault.template.recovery_key), "recovery") is None
    assert old is vault.app.keyring


def test_the_recovery_key_goes_on_where_the_person_brings_it(vault: Vault):
    values = fill(vault)
    shown: list[str] = []
    assert not turn(vault, shown, recovery=lambda: Plain(vault.template.recovery_key)).new_recovery_key
    assert shown == []
    vault_id, slots = read_vault(vault.app.engine)
    assert open_slot(vault_id, slots, parse_recovery_key(vault.template.recovery_key), "recovery") is not None
    opens(vault, values)


def test_a_process_that_runs_goes_on_after_a_turn_that_another_made(vault: Vault, opened: Callable[..., Vault]):
    values = fill(vault)
    other = opened(vault.home)
    reference = next(iter(values))
    assert other.app.credentials.reveal(other.agent, reference, purpose=WHY).value
    turn(vault)
    # Neither a read nor a write fails; the token is of the key before.
    assert other.app.credentials.describe(other.agent, reference).reference == reference
    assert other.app.credentials.reveal(other.agent, reference, purpose=WHY).value.expose() == values[reference]
    other.app.credentials.rotate(other.person, reference, value=Plain("set by the other one"))
    assert other.app.audit.verify().findings == ()
    with other.app.work.reading(other.person) as unit:
        assert unit.keys.vault() is not None
    opens(vault, values | {reference: "set by the other one"})


@pytest.mark.parametrize("table", ["machines", "persons", "agents", "credentials", "client_keys", "vault"])
def test_nothing_is_turned_over_a_row_that_was_tampered_with(vault: Vault, table: str):
    fill(vault)
    slots = vault.rows("key_slots")
    column = {"vault": "tier", "credentials": "username", "client_keys": "state"}.get(table, "state")
    vault.sql(f"UPDATE {table} SET {column} = 'active '")
    with pytest.raises((Broken, Denied)):
        turn(vault)
    assert vault.rows("key_slots") == slots
    assert vault.sql("SELECT value FROM marks WHERE name = 'root'") == [(0,)]


def test_a_row_that_is_tampered_with_while_it_turns_is_refused(vault: Vault, monkeypatch: pytest.MonkeyPatch):
    fill(vault)
    slots = vault.rows("key_slots")
    from mcp_server.bootstrap import turning

    real = turning._guarded

    def then_tamper(*given: Any) -> None:
        real(*given)
        vault.sql("UPDATE credentials SET exposure = 'reveal', mac = ?", b"x" * 32)

    monkeypatch.setattr(turning, "_guarded", then_tamper)
    with pytest.raises(Broken):
        turn(vault)
    assert vault.rows("key_slots") == slots


def test_what_comes_in_while_it_turns_comes_under_the_new_root_key(vault: Vault, monkeypatch: pytest.MonkeyPatch):
    values = fill(vault)
    from mcp_server.bootstrap import turning

    real = turning._guarded

    def then_write(*given: Any) -> None:
        real(*given)
        draft = Draft("password", "Late", client="late", values={"password": Plain("a value that came late")})
        values[vault.app.credentials.create(vault.person, draft).description.reference] = "a value that came late"

    monkeypatch.setattr(turning, "_guarded", then_write)
    turn(vault)
    opens(vault, values)
    vault.close()
    vault.app = build(load_settings(vault.home))
    opens(vault, values)


def test_old_keys_open_nothing_of_what_was_rotated_on_every_level(vault: Vault):
    fill(vault)
    old = Path(vault.home / "keys" / "root.key").read_bytes()
    vault_id, slots = read_vault(vault.app.engine)
    stolen = open_slot(vault_id, slots, old, "file")
    assert stolen is not None
    with vault.app.work.reading(vault.person) as unit:
        dump = list(unit.credentials.every_sealed())
    old_keys = {
        (one.client_id, one.client_key_version): stolen._client_key(
            one.client_id, one.client_key_version, one.wrapped_client_key
        )
        for one in dump
    }
    old_data = {(one.credential_id, one.version): stolen._data_key(one) for one in dump}
    turn(vault)
    vault.app.keys.rotate_clients(vault.person, "", quiet)
    vault.app.keys.rotate_data(vault.person, "", quiet)
    with vault.app.work.reading(vault.person) as unit:
        now = list(unit.credentials.every_sealed())
    vault_id, slots = read_vault(vault.app.engine)
    assert open_slot(vault_id, slots, old, "file") is None
    from domain import sealing

    for one in now:
        with pytest.raises(Broken):
            stolen._client_key(one.client_id, one.client_key_version, one.wrapped_client_key)
        for (client_id, _), key in old_keys.items():
            place = ("data key", vault_id, client_id, one.credential_id, one.version, one.client_key_version)
            with pytest.raises(Broken):
                sealing.unwrap(key, one.wrapped_key, *place)
        with pytest.raises(Broken):
            sealing._open(
                sealing.FIELD_MAGIC,
                old_data[one.credential_id, one.version],
                one.blob,
                stolen._bound(one).aad(),
                "it",
            )


def test_an_unknown_client_has_no_keys(vault: Vault):
    with pytest.raises(NotFound):
        vault.app.keys.scope_of(vault.person, "nobody")


def test_a_passphrase_goes_on_where_it_is_given_and_goes_where_it_is_not(vault: Vault):
    from mcp_server.bootstrap.slots import add_passphrase

    text = Plain("five words nobody puts together")
    add_passphrase(vault.app, vault.person, text, "anna's")
    assert turn(vault, passphrase=lambda label: text if label == "anna's" else None).dropped == ()
    vault_id, slots = read_vault(vault.app.engine)
    assert open_passphrase_slot(vault_id, slots, text) is not None
    with pytest.raises(Invalid):
        turn(vault, passphrase=lambda _label: Plain("another passphrase altogether"))
    assert turn(vault).dropped == ("passphrase anna's",)
    vault_id, slots = read_vault(vault.app.engine)
    assert open_passphrase_slot(vault_id, slots, text) is None


def test_the_new_recovery_key_brings_a_machine_back_that_lost_its_key_file(vault: Vault):
    values = fill(vault)
    shown: list[str] = []
    turn(vault, shown)
    vault.close()
    (vault.home / "keys" / "root.key").unlink()
    with pytest.raises(Denied):
        recover(vault.home, vault.template.recovery_key, lambda _step: None)
    recover(vault.home, shown[0], lambda _step: None)
    vault.app = build(load_settings(vault.home))
    opens(vault, values)


def test_a_process_that_was_killed_behind_the_commit_opens_by_the_file_that_lay_ready(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
):
    values = fill(vault)
    from mcp_server.bootstrap import turning

    def killed(_settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(turning, "adopt_key_file", killed)
    with pytest.raises(KeyboardInterrupt):
        turn(vault)
    vault.close()
    assert vault.app.settings.next_root_key_file.exists()
    vault.app = build(load_settings(vault.home))
    assert not vault.app.settings.next_root_key_file.exists()
    opens(vault, values)
