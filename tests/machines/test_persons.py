"""A second person of a vault: on a machine of their own, and on one that another person set up."""

from __future__ import annotations

import pytest

from domain.drafts import Draft
from domain.errors import Denied
from domain.plain import Plain
from tests.machines.conftest import PERSON, World

BEN = Plain("what ben alone knows")
VALUE = "a value that is long enough"


def test_a_second_person_joins_with_a_machine_whose_agent_acts_for_that_person(world: World):
    first, second = world.found(), world.machine("second")
    app = first.open()
    app.persons.add(first.person(), "ben", "technician", BEN)
    draft = Draft("password", "Gitea Admin", values={"password": Plain(VALUE)})
    reference = app.credentials.create(first.person(), draft).description.reference
    invited = world.invite(first)
    joined = world.join(second, invited, person="ben", login=lambda _name: BEN)
    assert joined.person_name == "ben"
    there = second.open()
    ben = there.identity.actor(there.identity.login("ben", BEN.expose()))
    agent = second.agent()
    assert (agent.owner_name, first.agent().owner_name) == ("ben", PERSON)
    assert there.credentials.reveal(ben, reference, purpose="look").value.expose() == VALUE
    assert there.credentials.describe(agent, reference).reference == reference

    app.persons.revoke(first.person(), "ben")
    for actor in (ben, agent):
        with pytest.raises(Denied, match="shut out"):
            there.credentials.describe(actor, reference)
    assert app.credentials.describe(first.agent(), reference).reference == reference
    assert app.audit.verify().findings == ()


def test_two_persons_log_in_on_one_machine_and_their_agents_are_theirs(world: World):
    first = world.found()
    app = first.open()
    app.persons.add(first.person(), "ben", "technician", BEN)
    ben = app.identity.actor(app.identity.login("ben", BEN.expose()))
    app.identity.enroll(ben, "bens-agent")
    owners = {one.name: one.owner for one in app.identity.agents(ben)}
    assert owners == {app.settings.agent_name: PERSON, "bens-agent": "ben"}
    app.persons.revoke(first.person(), "ben")
    app.credentials.search(first.agent())
    app.credentials.search(first.person())


def test_an_auditor_brings_no_machine_in(world: World):
    first, second = world.found(), world.machine("second")
    app = first.open()
    app.persons.add(first.person(), "eve", "auditor", BEN)
    invited = world.invite(first)
    with pytest.raises(Denied):
        world.join(second, invited, person="eve", login=lambda _name: BEN)
    assert [one.name for one in app.machines.machines(first.person())] == ["first"]
