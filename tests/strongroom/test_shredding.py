"""A client is off-boarded: what was its own opens no more, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import pytest

from domain.context import Filters
from domain.drafts import Draft
from domain.errors import Broken, ClaudeToolsError, Denied, NotFound
from domain.incidents import IncidentDraft
from domain.plain import Plain
from mcp_server.bootstrap.opening import open_slot, read_vault
from mcp_server.bootstrap.shredding import doomed, shred
from mcp_server.bootstrap.turning import Wanted
from tests.strongroom.test_rotation import fill, opens, quiet
from tests.strongroom.vault import Vault

TEXT = "the mail server of acme fell over"
USER = "Backup Service Nr 7"


def full(vault: Vault) -> dict[str, str]:
    """Two clients; one of them with records, an incident, and open fields that tell something."""
    values = fill(vault)
    app, person = vault.app, vault.person
    draft = Draft("password", "Mail", client="acme", username=USER, values={"password": Plain("the mail password")})
    values[app.credentials.create(person, draft).description.reference] = "the mail password"
    app.context.save(person, kind="fact", title=TEXT, text=TEXT, client="acme")
    app.context.save(person, kind="fact", title="globex is well", text="globex is well", client="globex")
    app.incidents.open(person, IncidentDraft("bec", TEXT, client="acme", description=TEXT))
    app.registry.save(person, kind="client", name="acme", note=TEXT)
    return values


def destroy(vault: Vault, **wanted: Any) -> None:
    found = doomed(vault.app, vault.person, "acme")
    shred(vault.app, vault.person, found, "off-boarding", Wanted(lambda _key: None, **wanted), quiet)


def test_what_is_told_beforehand_is_what_goes(vault: Vault):
    full(vault)
    before = vault.dump()
    found = doomed(vault.app, vault.person, "acme")
    left = found.left
    assert (left.keys, left.credentials, left.values, left.incidents, found.records) == (1, 4, 5, 1, 1)
    assert vault.dump() == before


def test_nothing_of_the_client_opens_or_is_told_any_more_and_the_other_is_as_it_was(vault: Vault):
    values = full(vault)
    file_key = vault.app.settings.root_key_file.read_bytes()
    vault_id, slots = read_vault(vault.app.engine)
    stolen = open_slot(vault_id, slots, file_key, "file")
    assert stolen is not None
    destroy(vault)
    rest = {reference: value for reference, value in values.items() if not reference.startswith("acme/")}
    opens(vault, rest)
    for reference in values.keys() - rest.keys():
        with pytest.raises(NotFound):
            vault.app.credentials.reveal(vault.person, reference, purpose="look")
    found = doomed(vault.app, vault.person, "acme")
    left = found.left
    assert (left.keys, left.credentials, left.values, left.incidents, found.records) == (0, 0, 0, 0, 0)
    dump = repr(vault.dump())
    assert TEXT not in dump
    assert USER not in dump
    assert "globex is well" in dump
    keys = {row["client_key_id"]: (row["state"], bytes(row["wrapped"])) for row in vault.rows("client_keys")}
    assert keys[f"{found.client.id}.1"] == ("destroyed", b"")
    assert vault.app.context.forgetting.doomed(vault.person, Filters(client="globex"))[0].records == 1
    # The root key before opens nothing that is there now.
    for row in vault.rows("client_keys"):
        if row["wrapped"]:
            with pytest.raises(Broken):
                stolen._client_key(row["client_id"], row["version"], bytes(row["wrapped"]))


def test_only_a_person_destroys(vault: Vault):
    full(vault)
    before = vault.dump()
    found = doomed(vault.app, vault.person, "acme")
    with pytest.raises(Denied):
        shred(vault.app, vault.agent, found, "no", Wanted(lambda _key: None), quiet)
    assert vault.dump() == before


@pytest.mark.parametrize("at", range(1, 8))
def test_cut_off_anywhere_the_same_again_does_the_rest(vault: Vault, at: int, monkeypatch: pytest.MonkeyPatch):
    values = full(vault)
    work, steps = vault.app.work, 0
    real = work.done

    def until(*given: Any, **more: Any) -> Any:
        nonlocal steps
        if given[1] == "key.shred":
            steps += 1
            if steps > at:
                raise KeyboardInterrupt
        return real(*given, **more)

    monkeypatch.setattr(work, "done", until)
    with pytest.raises(KeyboardInterrupt):
        destroy(vault)
    monkeypatch.setattr(work, "done", real)
    assert vault.app.audit.verify().findings == ()
    destroy(vault)
    opens(vault, {reference: value for reference, value in values.items() if not reference.startswith("acme/")})
    assert doomed(vault.app, vault.person, "acme").left.values == 0


def test_a_client_that_comes_back_gets_a_new_key_and_the_others_go_on_rotating(vault: Vault):
    full(vault)
    destroy(vault)
    app, person = vault.app, vault.person
    draft = Draft("password", "Back", client="acme", values={"password": Plain("a value from after")})
    reference = app.credentials.create(person, draft).description.reference
    assert app.credentials.reveal(person, reference, purpose="look").value.expose() == "a value from after"
    assert app.keys.rotate_clients(person, "", quiet).left == 0
    assert app.keys.rotate_data(person, "", quiet).left == 0
    assert app.audit.verify().findings == ()


def test_the_matcher_forgets_what_was_destroyed(vault: Vault):
    full(vault)
    assert "the mail password" not in vault.app.redaction.text("it was: the mail password")
    destroy(vault)
    assert "the mail password" in vault.app.redaction.text("it was: the mail password")


def test_nothing_is_destroyed_where_the_root_key_could_not_be_turned(vault: Vault):
    full(vault)
    before = vault.dump()
    with pytest.raises(ClaudeToolsError):
        destroy(vault, recovery=lambda: Plain("CTR1-NOTHING"))
    assert vault.dump() == before
