"""The persons of a vault: what they may, and when they may not any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.actors import Actor
from domain.errors import Conflict, Denied, Invalid, NotFound, Unauthenticated
from domain.plain import Plain
from tests.strongroom.vault import PASSWORD, PERSON, Vault

FIRST, OTHER = Plain("another good password"), Plain("one more good password")


def log_in(vault: Vault, name: str, password: Plain = FIRST) -> Actor:
    """A person who has logged in."""
    return vault.app.identity.actor(vault.app.identity.login(name, password.expose()))


@pytest.fixture
def ben(vault: Vault) -> Actor:
    """A second person, a technician."""
    vault.app.persons.add(vault.person, "ben", "technician", FIRST)
    return log_in(vault, "ben")


def test_a_person_that_was_added_logs_in_and_may_what_the_role_may(vault: Vault, ben: Actor):
    assert (ben.kind, ben.name) == ("person", "ben")
    assert "credentials:decrypt" in ben.scopes
    assert "keys:write" not in ben.scopes
    vault.add(client="acme", name="Wiki", username="a")
    assert vault.app.credentials.reveal(ben, "acme/wiki/a", purpose="look").value
    listed = {one.name: (one.role, one.state) for one in vault.app.persons.every(ben)}
    assert listed == {PERSON: ("owner", "active"), "ben": ("technician", "active")}


def test_only_owners_add_change_and_shut_out(vault: Vault, ben: Actor):
    persons = vault.app.persons
    for actor in (ben, vault.agent, replace(vault.agent, scopes=vault.person.scopes)):
        for act in (
            lambda actor=actor: persons.add(actor, "eve", "owner", FIRST),
            lambda actor=actor: persons.set_role(actor, "ben", "owner"),
            lambda actor=actor: persons.revoke(actor, PERSON),
            lambda actor=actor: persons.restore(actor, "ben"),
            lambda actor=actor: persons.set_password(actor, OTHER, of=PERSON),
        ):
            with pytest.raises(Denied):
                act()
    log_in(vault, PERSON, Plain(PASSWORD))


def test_a_person_changes_the_own_password_and_an_owner_any(vault: Vault, ben: Actor):
    assert vault.app.persons.set_password(ben, OTHER) == "ben"
    with pytest.raises(Unauthenticated):
        log_in(vault, "ben")
    log_in(vault, "ben", OTHER)
    assert vault.app.persons.set_password(vault.person, FIRST, of="ben") == "ben"
    log_in(vault, "ben")


def test_an_agent_changes_no_password(vault: Vault):
    with pytest.raises(Denied):
        vault.app.persons.set_password(vault.agent, OTHER)
    log_in(vault, PERSON, Plain(PASSWORD))


def test_who_is_shut_out_is_refused_at_once_with_all_agents_and_let_in_again(vault: Vault, ben: Actor):
    vault.app.persons.revoke(vault.person, "ben")
    with pytest.raises(Denied):
        vault.app.credentials.search(ben)
    with pytest.raises(Denied):
        log_in(vault, "ben")
    with pytest.raises(Conflict):
        vault.app.persons.revoke(vault.person, "ben")
    vault.app.persons.restore(vault.person, "ben")
    vault.app.credentials.search(log_in(vault, "ben"))


def test_a_vault_keeps_an_owner(vault: Vault, ben: Actor):
    persons = vault.app.persons
    for act in (
        lambda: persons.revoke(vault.person, PERSON),
        lambda: persons.set_role(vault.person, PERSON, "auditor"),
    ):
        with pytest.raises(Conflict):
            act()
    persons.set_role(vault.person, "ben", "owner")
    owner = log_in(vault, ben.name)
    persons.set_role(owner, PERSON, "auditor")
    with pytest.raises(Conflict, match="last owner"):
        persons.set_role(owner, "ben", "technician")


@pytest.mark.parametrize(
    ("name", "role", "field"),
    [
        ("", "technician", "name"),
        (" eve", "technician", "name"),
        ("e\nve", "technician", "name"),
        ("eve", "king", "role"),
    ],
)
def test_a_person_that_cannot_be_is_refused_with_the_field(vault: Vault, name: str, role: str, field: str):
    with pytest.raises(Invalid) as wrong:
        vault.app.persons.add(vault.person, name, role, FIRST)
    assert set(wrong.value.fields) == {field}


def test_a_name_that_is_taken_and_one_that_is_nobodys_are_told(vault: Vault, ben: Actor):
    with pytest.raises(Conflict):
        vault.app.persons.add(vault.person, ben.name, "auditor", FIRST)
    with pytest.raises(NotFound):
        vault.app.persons.revoke(vault.person, "nobody")
    with pytest.raises(Invalid, match="10 to"):
        vault.app.persons.set_password(ben, Plain("short"))
    assert vault.app.audit.verify().ok
