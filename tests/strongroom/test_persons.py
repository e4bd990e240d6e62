"""The persons of a vault: what they may, and when they may not any more."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from domain.actors import Actor
from domain.errors import ClaudeToolsError, Conflict, Denied, Invalid, NotFound, Unauthenticated
from domain.plain import Plain
from mcp_server.bootstrap import App, build
from mcp_server.config import load_settings
from tests.strongroom.vault import PASSWORD, PERSON, Vault

FIRST, OTHER = Plain("another good password"), Plain("one more good password")


def log_in(vault: Vault, name: str, password: Plain = FIRST) -> Actor:
    """A person who has logged in."""
    return vault.app.identity.actor(vault.app.identity.login(name, password.expose()))


def agent_of(vault: Vault, owner: Actor, name: str = "bens-agent") -> Actor:
    """An agent that acts for a person on this machine, proved."""
    view, _ = vault.app.identity.enroll(owner, name)
    with vault.app.work.reading(owner) as unit:
        stored = unit.identity.agent(view.agent_id)
    assert stored is not None
    return replace(
        vault.agent, id=stored.agent_id, name=name, owner_id=owner.id, owner_name=owner.name, scopes=stored.scopes
    )


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
    agent = agent_of(vault, ben)
    vault.app.credentials.search(agent)
    vault.app.persons.revoke(vault.person, "ben")
    with pytest.raises(Denied):
        vault.app.credentials.search(ben)
    with pytest.raises(Denied):
        log_in(vault, "ben")
    with pytest.raises(Conflict):
        vault.app.persons.revoke(vault.person, "ben")
    with pytest.raises(Denied):
        vault.app.credentials.search(agent)
    vault.app.persons.restore(vault.person, "ben")
    vault.app.credentials.search(log_in(vault, "ben"))
    vault.app.credentials.search(agent)


def test_who_was_shut_out_is_told_who_lets_him_in(vault: Vault, ben: Actor):
    vault.app.persons.revoke(vault.person, ben.name)
    with pytest.raises(Denied) as refused:
        log_in(vault, ben.name)
    assert refused.value.hint == "an owner can let you in again: claudetools person restore ben"


def test_rights_that_were_taken_are_gone_at_once_for_a_person_and_the_agents(vault: Vault, ben: Actor):
    vault.add(client="acme", name="Wiki", username="a")
    agent = agent_of(vault, ben)
    for actor in (ben, agent):
        assert vault.app.credentials.reveal(actor, "acme/wiki/a", purpose="look").value
    vault.app.persons.set_role(vault.person, "ben", "auditor")
    for actor in (ben, agent):
        with pytest.raises(Denied, match="fewer rights"):
            vault.app.credentials.reveal(actor, "acme/wiki/a", purpose="look")
        with pytest.raises(Denied, match="fewer rights"):
            vault.app.credentials.search(actor)
    assert "credentials:decrypt" not in log_in(vault, "ben").scopes
    vault.app.credentials.search(log_in(vault, "ben"))


def test_an_agent_proves_itself_with_no_more_rights_than_its_owner_has_then(vault: Vault):
    vault.app.persons.add(vault.person, "ben", "owner", FIRST)
    ben = log_in(vault, "ben")
    vault.app.persons.set_role(ben, PERSON, "auditor")
    with pytest.raises(Denied):
        vault.app.credentials.search(vault.agent)
    agent = vault.app.identity.actor(vault.app.identity.prove(vault.secret))
    vault.app.credentials.search(agent)
    assert all(scope.endswith(":read") for scope in agent.scopes)
    vault.app.persons.set_role(ben, PERSON, "technician")
    assert "credentials:decrypt" in vault.app.identity.actor(vault.app.identity.prove(vault.secret)).scopes


def test_a_new_owner_has_the_rights_from_the_next_login(vault: Vault, ben: Actor):
    vault.app.persons.set_role(vault.person, "ben", "owner")
    with pytest.raises(Denied):
        vault.app.persons.add(ben, "eve", "auditor", FIRST)
    vault.app.persons.add(log_in(vault, "ben"), "eve", "auditor", FIRST)


@pytest.mark.parametrize("way", ["revoke", "set_role"])
def test_two_owners_that_shut_each_other_out_at_once_leave_one(vault: Vault, way: str):
    vault.app.persons.add(vault.person, "ben", "owner", FIRST)
    other = build(load_settings(vault.home))
    for _ in range(5):
        anna, ben = log_in(vault, PERSON, Plain(PASSWORD)), log_in(vault, "ben")
        gate = threading.Barrier(2)

        def shut_out(app: App, actor: Actor, whom: str, gate: threading.Barrier = gate) -> bool:
            gate.wait()
            try:
                app.persons.revoke(actor, whom) if way == "revoke" else app.persons.set_role(actor, whom, "auditor")
            except ClaudeToolsError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(shut_out, vault.app, anna, "ben")
            second = pool.submit(shut_out, other, ben, PERSON)
            assert [first.result(), second.result()].count(True) == 1
        stays, goes = (PERSON, "ben") if first.result() else ("ben", PERSON)
        owner = log_in(vault, stays, Plain(PASSWORD) if stays == PERSON else FIRST)
        if way == "revoke":
            vault.app.persons.restore(owner, goes)
        else:
            vault.app.persons.set_role(owner, goes, "owner")
    other.close()


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
        ("pe_" + "a" * 26, "technician", "name"),
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
