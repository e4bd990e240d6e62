"""How far values may go: the vault's default, and all credentials at once."""

from __future__ import annotations

from typing import Any

import pytest

from domain.credentials import EXPOSURES
from domain.drafts import Draft, Generate
from domain.errors import Broken, Conflict, Denied
from tests.strongroom.vault import Vault


def levels(vault: Vault) -> dict[str, str]:
    """The level of every credential."""
    return {it.reference: it.head.exposure for it in vault.app.credentials.search(vault.person, limit=100).items}


def by_agent(vault: Vault, **said: Any) -> None:
    """A credential that an agent makes."""
    vault.app.credentials.create(vault.agent, Draft("password", "Wiki", client="acme", generate=Generate(), **said))


def test_a_new_credential_gets_the_default_of_the_vault(vault: Vault):
    vault.add(client="acme", name="Wiki", username="a")
    assert vault.app.levels.set_default(vault.person, "sealed") == "reveal"
    vault.add(client="acme", name="Wiki", username="b")
    vault.add(client="acme", name="Wiki", username="c", exposure="strict")
    assert list(levels(vault).values()) == ["reveal", "sealed", "strict"]
    assert vault.app.levels.default(vault.agent) == "sealed"
    with pytest.raises(Conflict):
        vault.app.levels.set_default(vault.person, "sealed")


def test_an_agent_neither_sets_it_nor_makes_a_credential_that_is_open_further(vault: Vault):
    vault.app.levels.set_default(vault.person, "sealed")
    with pytest.raises(Denied):
        vault.app.levels.set_default(vault.agent, "reveal")
    with pytest.raises(Denied, match="set to sealed"):
        by_agent(vault, exposure="reveal")
    by_agent(vault)
    assert list(levels(vault).values()) == ["sealed"]
    with pytest.raises(Denied):
        vault.app.levels.set_all(vault.agent, "reveal", loosen=True)


@pytest.mark.parametrize("loosen", [False, True])
def test_all_are_brought_down_to_a_level_and_opened_only_when_that_is_said(vault: Vault, loosen: bool):
    for level in EXPOSURES:
        vault.add(client="acme", name="Wiki", username=level, exposure=level)
    vault.add(client="beta", name="Wiki", username="other", exposure="reveal")
    changed, left = vault.app.levels.set_all(vault.person, "sealed", client="acme", loosen=loosen)
    assert (changed, left) == ((3, 1) if loosen else (1, 3))
    found = levels(vault)
    assert found["beta/wiki/other"] == "reveal"
    closer = ["sealed", "sealed"] if loosen else ["metadata", "strict"]
    assert [found[f"acme/wiki/{level}"] for level in EXPOSURES] == [*closer, "sealed", "sealed"]
    assert vault.app.levels.set_all(vault.person, "sealed", client="acme", loosen=loosen)[0] == 0
    assert vault.app.audit.verify().ok


def test_a_default_that_was_written_into_the_database_is_refused(vault: Vault):
    vault.app.levels.set_default(vault.person, "sealed")
    vault.sql("UPDATE vault SET default_exposure = 'reveal'")
    with pytest.raises(Broken):
        by_agent(vault)
    assert not vault.app.audit.verify().ok
