"""Three machines and one vault: founded, invited, recovered, shut out."""

from __future__ import annotations

import pytest

from domain.drafts import Draft
from domain.errors import Denied
from domain.plain import Plain
from tests.machines.conftest import PERSON, World


def test_what_one_machine_keeps_the_others_open(world: World):
    first = world.found()
    second, third = world.machine("second"), world.machine("third")
    world.join(second, world.invite(first))
    world.recover(third)
    made = first.open().credentials.create(
        first.person(), Draft("password", "Gitea Admin", values={"password": Plain("a value that is long enough")})
    )
    reference = made.description.reference
    for machine in (second, third):
        app = machine.open()
        assert app.credentials.reveal(machine.person(), reference, purpose="look").value.expose() == (
            "a value that is long enough"
        )
        assert app.credentials.describe(machine.agent(), reference).reference == reference
    assert first.app.audit.verify().findings == ()
    assert {one.name: one.state for one in first.app.machines.machines(first.person())} == {
        "first": "active",
        "second": "active",
        "third": "active",
    }


def test_a_second_run_changes_nothing_on_any_machine(world: World):
    first, second = world.found(), world.machine("second")
    world.join(second, world.invite(first))
    for machine in (first, second):
        before = {file.name: file.read_bytes() for file in machine.home.rglob("*") if file.is_file()}
        world.set_up(machine, database="", database_password=None)
        assert not any(step.changed for step in machine.steps), machine.steps
        assert {file.name: file.read_bytes() for file in machine.home.rglob("*") if file.is_file()} == before


def test_who_joined_stands_in_the_log(world: World):
    first, second = world.found(), world.machine("second")
    world.join(second, world.invite(first, "the new laptop"))
    app = first.open()
    entries = app.audit.search(first.person(), action="machine.", limit=20).items
    told = [(e.action, e.outcome, e.actor, e.subject_type, e.subject) for e in reversed(entries)]
    assert told == [
        ("machine.enroll", "ok", "first", "machine", "first"),
        ("machine.invite", "ok", PERSON, "machine", "invitation the new laptop"),
        ("machine.invite", "ok", PERSON, "invitation", "the new laptop"),
        ("machine.enroll", "ok", PERSON, "invitation", "the new laptop"),
        ("machine.enroll", "ok", PERSON, "machine", "second"),
    ]


def test_a_machine_that_was_revoked_is_out_at_its_next_call(world: World):
    first, second = world.found(), world.machine("second")
    world.join(second, world.invite(first))
    agent, app = second.agent(), second.app
    app.credentials.search(agent)
    first.open().machines.revoke(first.person(), "second")
    with pytest.raises(Denied) as refused:
        app.credentials.search(agent)
    assert "this machine was revoked" in refused.value.message
    with pytest.raises(Denied):
        second.open()
    with pytest.raises(Denied) as told:
        world.set_up(second, database="", database_password=None)
    assert "--invitation-file" in told.value.hint
    states = {one.name: one.state for one in first.app.identity.agents(first.person()) if one.machine == "second"}
    assert states == {"claude-code": "revoked"}
    assert first.app.audit.verify().findings == ()


def test_a_machine_that_was_revoked_comes_back_as_a_new_one_by_invitation(world: World):
    first, second = world.found(), world.machine("second")
    world.join(second, world.invite(first))
    before, waiting = second.settings, second.home / "spool" / "kept"
    waiting.write_text("a note")
    first.open().machines.revoke(first.person(), "second")
    world.join(second, world.invite(first))
    assert second.settings.machine_id != before.machine_id
    assert second.settings.agent_id != before.agent_id
    assert second.agent().name == "claude-code"
    assert waiting.read_text() == "a note"
    assert first.app.audit.verify().findings == ()


def test_the_disk_of_a_revoked_machine_opens_nothing_even_with_the_database(world: World):
    """Its slot is gone; what is left of it on the machine opens no other."""
    from mcp_server.bootstrap.opening import address_of, open_slot
    from storage.engine import open_engine
    from storage.keys import read_slots
    from storage.transaction import begin

    first, second = world.found(), world.machine("second")
    world.join(second, world.invite(first))
    key = second.settings.root_key_file.read_bytes()
    engine = open_engine(address_of(first.settings))

    def opens() -> bool:
        with begin(engine, write=False) as transaction:
            slots = read_slots(transaction.connection)
        return open_slot(second.settings.vault_id, slots, key, "file") is not None

    assert opens()
    first.open().machines.revoke(first.person(), "second")
    assert not opens()
    assert first.open().audit.verify().findings == ()
    engine.dispose()
