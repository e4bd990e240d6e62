"""The root key is replaced on one machine; the others pick it up, and who was shut out does not."""

from __future__ import annotations

from contextlib import suppress

import pytest

from domain.drafts import Draft
from domain.errors import ClaudeToolsError, Conflict, Denied
from domain.plain import Plain
from mcp_server.bootstrap.opening import open_slot, read_vault
from mcp_server.bootstrap.turning import Turned, Wanted, turn_root
from tests.machines.conftest import Machine, World

VALUE = "a value that is long enough"


def turn(machine: Machine, *, leave_behind: bool = True) -> Turned:
    app = machine.app or machine.open()
    wanted = Wanted(lambda _key: None, leave_behind=leave_behind)
    return turn_root(app, machine.person(), wanted, lambda _part, _done, _total: None)


def three(world: World) -> tuple[Machine, Machine, Machine, str]:
    """Three machines and a credential."""
    first, second, third = world.found(), world.machine("second"), world.machine("third")
    world.join(second, world.invite(first))
    world.join(third, world.invite(first, "third"))
    draft = Draft("password", "Wiki", values={"password": Plain(VALUE)})
    made = first.open().credentials.create(first.person(), draft)
    return first, second, third, made.description.reference


def kinds(machine: Machine) -> list[str]:
    with machine.app.work.reading(None) as unit:
        return sorted(slot.kind for slot in unit.keys.slots())


def test_other_machines_go_on_while_they_run_and_at_their_next_start(world: World):
    first, second, third, reference = three(world)
    running, agent = second.open(), second.agent()
    old_files = [one.settings.root_key_file.read_bytes() for one in (first, second, third)]
    done = turn(first)
    assert sorted(done.machines) == ["second", "third"]
    assert kinds(first) == ["file", "machine", "machine", "recovery"]
    # The one that runs: its next act, by the token it has.
    assert running.credentials.reveal(agent, reference, purpose="look").value.expose() == VALUE
    running.credentials.rotate(agent, reference, value=Plain("another value, as long"))
    # The one that starts: it puts a slot of its own in the place of what was left for it.
    assert third.open().credentials.reveal(third.agent(), reference, purpose="look").value.expose() == (
        "another value, as long"
    )
    assert kinds(first) == ["file", "file", "machine", "recovery"]
    second.open()
    assert kinds(first) == ["file", "file", "file", "recovery"]
    # No key file is what it was, and those that were open nothing.
    vault_id, slots = read_vault(first.app.engine)
    for machine, old in zip((first, second, third), old_files, strict=True):
        assert machine.settings.root_key_file.read_bytes() != old
        assert open_slot(vault_id, slots, old, "file") is None
        assert machine.app.audit.verify().findings == ()


def test_a_machine_that_was_shut_out_is_left_nothing(world: World):
    first, second, third, _ = three(world)
    running, agent = second.open(), second.agent()
    first.app.machines.revoke(first.person(), "second")
    done = turn(first)
    assert done.machines == ("third",)
    with pytest.raises(ClaudeToolsError):
        running.credentials.search(agent, "")
    second.app = None
    with pytest.raises(Denied):
        second.open()
    assert third.open().audit.verify().findings == ()


def test_two_turns_before_a_machine_comes_back_are_as_good_as_one(world: World):
    first, second, third, reference = three(world)
    turn(first)
    turn(first)
    for machine in (second, third):
        app = machine.open()
        assert app.credentials.reveal(machine.agent(), reference, purpose="look").value.expose() == VALUE
    assert turn(third).machines
    assert first.open().audit.verify().findings == ()


def test_setup_finds_the_new_root_key_and_leaves_it_in_place(world: World):
    first, second, _third, reference = three(world)
    turn(first)
    world.set_up(second, database="", database_password=None)
    assert second.open().credentials.reveal(second.agent(), reference, purpose="look").value.expose() == VALUE
    before = second.settings.root_key_file.read_bytes()
    world.set_up(second, database="", database_password=None)
    assert second.settings.root_key_file.read_bytes() == before


def test_an_invitation_that_was_open_ends_and_a_new_one_lets_in(world: World):
    first = world.found()
    invited = world.invite(first)
    assert turn(first).invitations == 1
    late = world.machine("late")
    with pytest.raises(Denied):
        world.join(late, invited)
    world.join(late, world.invite(first))
    assert late.open().audit.verify().findings == ()


def test_a_machine_of_which_nothing_is_known_is_named_first(world: World):
    first, second, third, _ = three(world)
    with pytest.raises(Conflict) as refused:
        turn(first, leave_behind=False)
    assert "second" in refused.value.message
    for machine in (second, third):
        machine.open().machines.report_in()
    assert turn(first, leave_behind=False).machines


def test_a_row_that_comes_in_behind_the_turn_is_not_under_the_root_key_before(world: World):
    """A write that began before the turn and ends behind it is done again, under the new root key."""
    first, second, _third, _ = three(world)
    app, person = second.open(), second.person()
    other = first.person()
    with suppress(ClaudeToolsError), app.work.audited(person, "registry.save") as unit:
        unit.keys.create("cl_late", 1, app.keyring.new_client_key("cl_late", 1), unit.now_us)
        from domain.actors import Subject

        unit.about(Subject("client_key", "cl_late.1"))
        turn_root(first.app, other, Wanted(lambda _key: None, leave_behind=True), lambda _part, _done, _total: None)
    assert app.audit.verify().findings == ()
    assert first.app.audit.verify().findings == ()
