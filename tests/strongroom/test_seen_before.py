"""A process that has opened a credential before takes nothing on trust the next time: each entry is kept only while all that
it leans on is as it was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import storage.dial
from domain.drafts import Draft, Generate
from domain.errors import Broken, Denied, NotFound
from domain.plain import Plain
from mcp_server.bootstrap import App, build
from mcp_server.config import load_settings
from tests.kit.stores import MariaDBStore
from tests.strongroom.story import FIRST, OTHER
from tests.strongroom.vault import Vault


@pytest.fixture
def vault(story: Callable[[], Vault]) -> Vault:
    """A vault whose process has opened a credential already."""
    made = story()
    for _ in range(2):
        reveal(made)
    return made


@pytest.fixture
def other(vault: Vault) -> Iterator[App]:
    """Another process over the same vault."""
    app = build(load_settings(vault.home))
    yield app
    app.close()


def reveal(vault: Vault, purpose: str = "log in") -> str:
    return vault.app.credentials.reveal(vault.agent, FIRST, purpose=purpose).value.expose()


def test_what_another_process_rotates_is_opened_with_its_new_value(vault: Vault, other: App):
    before = reveal(vault)
    other.credentials.rotate(vault.person, FIRST, value=Plain("a value from elsewhere"))
    assert before != reveal(vault) == "a value from elsewhere"
    assert vault.app.audit.verify().findings == ()


def test_an_agent_that_another_process_revokes_is_out_at_the_next_call(vault: Vault, other: App):
    other.identity.revoke(vault.person, vault.agent.name)
    with vault.writes() as entries, pytest.raises(Denied, match="revoked"):
        reveal(vault)
    assert [(e["action"], e["outcome"]) for e in entries] == [("credential.decrypt", "denied")]


def test_a_policy_is_asked_as_it_is_now_in_both_directions(vault: Vault, other: App):
    other.credentials.update(vault.person, FIRST, {"exposure": "sealed"})
    with pytest.raises(Denied):
        reveal(vault)
    other.credentials.update(vault.person, FIRST, {"exposure": "reveal"})
    assert reveal(vault)
    other.credentials.delete(vault.person, FIRST)
    with pytest.raises(NotFound):
        reveal(vault)


def test_a_value_that_another_process_brings_in_is_struck_from_the_next_purpose(vault: Vault, other: App):
    value = "tangerine-lorry-4471"
    reveal(vault, f"try {value}")
    assert value in vault.entries()[-1]["body"]
    draft = Draft("password", "New", client="acme", values={"password": Plain(value)})
    made = other.credentials.create(vault.person, draft).description.reference
    with vault.writes() as entries:
        reveal(vault, f"try {value}")
    assert [e["purpose"] for e in entries] == ["try {{credential:" + made + "#password}}"]
    assert value not in entries[0]["body"]


DAMAGES = {
    "a machine's name": "UPDATE machines SET name = 'elsewhere'",
    "a person's role": "UPDATE persons SET role = 'auditor'",
    "an agent's owner": "UPDATE agents SET owner_id = 'pe_nobody'",
    "a credential's name": f"UPDATE credentials SET service_name = 'Other' WHERE reference = '{FIRST}'",
    "a space at the end": f"UPDATE credentials SET username = 'admin ' WHERE reference = '{FIRST}'",
    "another case": f"UPDATE credentials SET username = 'ADMIN' WHERE reference = '{FIRST}'",
    "a client key": "UPDATE client_keys SET state = 'retired'",
    "a wrapped key": "UPDATE credential_versions SET wrapped_key = X'00'",
    "sealed bytes": "UPDATE sealed_fields SET \"blob\" = X'00'",
    "no sealed bytes": "DELETE FROM sealed_fields",
    "no version": "DELETE FROM credential_versions",
    "no entry of the last change": "DELETE FROM audit_entries WHERE subject_type = 'credential' AND subject_revision > 0",
    "no entry of the agent": "DELETE FROM audit_entries WHERE subject_type = 'agent'",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_damaged_since_it_was_seen_is_refused(vault: Vault, damage: str):
    vault.sql(DAMAGES[damage])
    with pytest.raises(Broken):
        reveal(vault)
    # Only opening tells what is wrong with sealed bytes, and that comes after the entry.
    assert vault.entries()[-1]["outcome"] == ("ok" if damage in ("a wrapped key", "sealed bytes") else "failed")


def test_a_row_that_was_put_back_since_is_refused(vault: Vault, other: App):
    rows = [row for row in vault.rows("credentials") if row["reference"] == FIRST]
    other.credentials.update(vault.person, FIRST, {"external_url": "https://new.example.org"})
    vault.store.put("credentials", *rows)
    with pytest.raises(Broken, match="rolled back"):
        reveal(vault)


def test_a_first_time_by_another_credential_is_not_mistaken_for_the_second(vault: Vault):
    assert vault.app.credentials.reveal(vault.agent, OTHER, purpose="log in").reference == OTHER
    assert vault.app.credentials.reveal(vault.person, FIRST, field="notes", purpose="read").field == "notes"
    assert reveal(vault) != vault.app.credentials.reveal(vault.agent, OTHER, purpose="log in").value.expose()


def test_a_refusal_is_never_kept(vault: Vault, other: App):
    with pytest.raises(NotFound):
        vault.app.credentials.reveal(vault.agent, "acme/not-yet/there", purpose="log in")
    other.credentials.create(
        vault.person, Draft("password", "Not Yet", client="ACME", name="There", generate=Generate())
    )
    assert vault.app.credentials.reveal(vault.agent, "acme/not-yet/there", purpose="log in").value


def test_a_server_that_hung_up_has_forgotten_nothing_that_matters(vault: Vault, monkeypatch: pytest.MonkeyPatch):
    """What was prepared on a connection goes with it, and is prepared again on the next."""
    if isinstance(vault.store, MariaDBStore):
        monkeypatch.setattr(storage.dial, "PROVEN_S", -1.0)
        for (number,) in vault.sql(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        ):
            vault.sql(f"KILL {number}")
    assert reveal(vault)
    assert vault.app.audit.verify().findings == ()
