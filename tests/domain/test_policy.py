"""Who may do what, and which values never leave to an agent."""

from __future__ import annotations

import dataclasses

import pytest

from domain import policy
from domain.actors import ACTIONS, AGENT_SCOPES, SCOPES, Actor
from domain.credentials import EXPOSURES, TYPES
from domain.errors import Denied, Invalid, NotFound
from tests.domain.test_credentials import HEAD

AGENT = Actor("agent", "ag_one", "claude-code", scopes=SCOPES)
PERSON = Actor("person", "pe_one", "anna", scopes=SCOPES)
MACHINE = Actor("machine", "ma_one", "workbench", scopes=SCOPES)
NEEDS = {
    "credential.view": "credentials:read",
    "credential.search": "credentials:read",
    "credential.create": "credentials:write",
    "credential.update": "credentials:write",
    "credential.delete": "credentials:write",
    "credential.rotate": "credentials:write",
    "credential.decrypt": "credentials:decrypt",
    "recipe.search": "credentials:read",
    "recipe.add": "credentials:write",
    "recipe.approve": "credentials:decrypt",
    "recipe.retire": "credentials:write",
    "credential.paste": "credentials:read",
    "credential.report": "credentials:read",
    "report.weak": "credentials:decrypt",
    "incident.open": "incidents:write",
    "incident.update": "incidents:write",
    "incident.search": "incidents:read",
    "audit.search": "audit:read",
    "context.recall": "context:read",
    "context.get": "context:read",
    "context.save": "context:write",
    "context.forget": "context:write",
    "context.scan": "context:read",
    "context.strike": "context:write",
    "registry.save": "registry:write",
    "agent.enroll": "agents:write",
    "agent.revoke": "agents:write",
    "machine.enroll": "agents:write",
    "machine.invite": "keys:write",
    "machine.uninvite": "keys:write",
    "machine.revoke": "keys:write",
    "vault.move": "keys:write",
    "vault.exposure": "keys:write",
    "backup.create": "keys:write",
    "credential.export": "keys:write",
    "person.create": "keys:write",
    "person.update": "keys:write",
    "person.revoke": "keys:write",
    "person.restore": "keys:write",
    "approval.give": "credentials:decrypt",
    "approval.withdraw": "credentials:decrypt",
    "factor.add": "credentials:read",
    "factor.prove": "credentials:read",
    "factor.remove": "credentials:read",
    "vault.rules": "keys:write",
    "key.create": "credentials:write",
    "key.slot": "keys:write",
    "key.rotate": "keys:write",
    "key.rewrap": "keys:write",
    "key.load": "keys:write",
    "key.reseal": "keys:write",
    "key.shred": "keys:write",
}
NEEDS |= {"person." + "password": "registry:read"}
USES = ("credential.use", "credential.outcome")
BY_MACHINES_ALONE = {
    "redaction.load",
    "redaction.strike",
    "vault.create",
    "backup.restore",
    "person.login",
    "agent.prove",
    "chain.close",
}


@pytest.mark.parametrize(("action", "scope"), NEEDS.items())
@pytest.mark.parametrize("actor", [AGENT, PERSON], ids=["agent", "person"])
def test_an_action_without_its_scope_is_denied(actor, action, scope):
    policy.may(dataclasses.replace(actor, scopes=frozenset({scope})), action)
    with pytest.raises(Denied) as refused:
        policy.may(dataclasses.replace(actor, scopes=SCOPES - {scope}), action)
    assert scope in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("action", sorted(ACTIONS.keys() - NEEDS.keys() - {"registry.find"}))
def test_an_action_without_a_scope_is_for_machines_or_known_here(action):
    """A new action word must be given its scope, or be listed as one that only machines do."""
    assert action in BY_MACHINES_ALONE | set(USES)


@pytest.mark.parametrize("action", USES)
def test_who_may_see_a_value_may_use_it_and_who_may_use_it_may_not_see_it(action):
    for scope in ("credentials:use", "credentials:decrypt"):
        policy.may(dataclasses.replace(AGENT, scopes=frozenset({scope})), action)
    with pytest.raises(Denied):
        policy.may(dataclasses.replace(AGENT, scopes=SCOPES - {"credentials:use", "credentials:decrypt"}), action)
    with pytest.raises(Denied):
        policy.may(dataclasses.replace(AGENT, scopes=frozenset({"credentials:use"})), "credential.decrypt")


@pytest.mark.parametrize("exposure", EXPOSURES)
@pytest.mark.parametrize("state", ["active", "retired", "deleted"])
@pytest.mark.parametrize("actor", [AGENT, PERSON], ids=["agent", "person"])
def test_a_credential_is_used_at_every_level_but_metadata(actor, state, exposure):
    head = dataclasses.replace(HEAD, exposure=exposure, state=state)
    refused = NotFound if state == "deleted" else Denied if actor is AGENT and "metadata" in exposure else None
    if actor is AGENT and state == "retired":
        refused = Denied
    if refused is None:
        policy.use(actor, head, "p")
        with pytest.raises(Invalid):
            policy.use(actor, head, " ")
        return
    with pytest.raises(refused) as told:
        policy.use(actor, head, "p")
    assert told.value.hint


def test_recipes_are_written_by_persons_alone():
    policy.write_recipe(PERSON)
    with pytest.raises(Denied):
        policy.write_recipe(AGENT)


@pytest.mark.parametrize("action", sorted(ACTIONS.keys() & NEEDS.keys()))
def test_a_machine_by_itself_has_no_hand_in_the_strongroom(action):
    # At setup and recovery; and an invitation that ran out is ended by whoever comes by.
    if action in {"person.create", "agent.enroll", "machine.enroll", "machine.uninvite", "key.slot"}:
        policy.may(MACHINE, action)
        return
    with pytest.raises(Denied):
        policy.may(MACHINE, action)


@pytest.mark.parametrize("actor", [AGENT, PERSON], ids=["agent", "person"])
@pytest.mark.parametrize("action", sorted(BY_MACHINES_ALONE))
def test_nobody_acts_as_a_machine(actor, action):
    with pytest.raises(Denied):
        policy.may(actor, action)


def test_an_action_that_nobody_knows_is_denied():
    for actor in (AGENT, PERSON, MACHINE):
        with pytest.raises(Denied):
            policy.may(actor, "credential.melt")


def test_agents_never_enroll_agents_or_touch_keys():
    assert {"agents:write", "keys:write"} == SCOPES - AGENT_SCOPES


def head(kind: str, exposure: str = "reveal", state: str = "active"):
    fields = dict.fromkeys(TYPES[kind].secrets(), 1)
    return dataclasses.replace(HEAD, type=kind, exposure=exposure, state=state, fields=fields)


EVERY_FIELD = [(kind.name, name) for kind in TYPES.values() for name in kind.secrets()]


@pytest.mark.parametrize(("kind", "field"), EVERY_FIELD)
@pytest.mark.parametrize("exposure", EXPOSURES)
def test_a_value_leaves_to_an_agent_at_exposure_reveal_only_and_some_never(kind, field, exposure):
    policy.decrypt(PERSON, head(kind, exposure), field, "log in")
    if exposure == "reveal" and field not in TYPES[kind].at_most_sealed and field != "totp_seed":
        policy.decrypt(AGENT, head(kind, exposure), field, "log in")
        return
    with pytest.raises(Denied) as refused:
        policy.decrypt(AGENT, head(kind, exposure), field, "log in")
    assert "claudetools credential reveal acme/gitea/admin" in refused.value.hint


@pytest.mark.parametrize("actor", [AGENT, PERSON], ids=["agent", "person"])
def test_a_deleted_credential_opens_for_nobody(actor):
    with pytest.raises(NotFound):
        policy.decrypt(actor, head("password", state="deleted"), "password", "log in")


@pytest.mark.parametrize("actor", [AGENT, PERSON], ids=["agent", "person"])
@pytest.mark.parametrize("purpose", ["", "  ", "\n\t"])
def test_a_reason_is_needed(actor, purpose):
    with pytest.raises(Invalid) as refused:
        policy.decrypt(actor, head("password"), "password", purpose)
    assert list(refused.value.fields) == ["purpose"]


def test_a_field_that_is_not_set_is_not_found_and_the_ones_that_are_get_listed():
    with pytest.raises(NotFound) as refused:
        policy.decrypt(AGENT, HEAD, "kanarie", "log in")
    assert "password" in refused.value.message
    assert "kanarie" not in refused.value.message
