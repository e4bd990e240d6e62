"""An invitation is good once and for ten minutes; every other use is refused, and told in the log."""

from __future__ import annotations

import time

import pytest

from domain.errors import Broken, Conflict, Denied, Invalid, TooMany, Unauthenticated
from domain.plain import Plain
from mcp_server.bootstrap.joining import open_invitation
from mcp_server.keyring import open_invited_root
from tests.machines.conftest import PASSWORD, PERSON, Machine, World


def denied(world: World) -> list[dict[str, object]]:
    """The refusals of joining that the log holds, oldest first: about whom, and what they say."""
    first = world.machines[0]
    found = first.open().audit.search(first.person(), action="machine.enroll", outcome="denied", limit=50).items
    return [{"about": e.subject_type, "name": e.subject, **e.facts} for e in reversed(found)]


def share_of(world: World, invited) -> bytes:
    rows = world.store().rows("invitations")
    return next(bytes(r["share"]) for r in rows if r["invitation_id"] == invited.invitation.invitation_id)


def test_a_second_use_is_refused_and_is_an_alert_in_the_log(world: World):
    first, second, third = world.found(), world.machine("second"), world.machine("third")
    invited = world.invite(first, "laptop")
    world.join(second, invited)
    with pytest.raises(Denied) as refused:
        world.join(third, invited)
    assert "used already" in refused.value.message
    (told,) = denied(world)
    assert told["about"] == "invitation"
    assert told["name"] == "laptop"
    assert told["alert"] == "an invitation was used a second time"
    assert first.app.audit.verify().findings == ()
    assert not (third.home / "keys" / "root.key").exists()
    assert not (third.home / "keys" / "database.password").exists()


def test_a_late_use_is_refused_and_recorded(world: World):
    first, second = world.found(), world.machine("second")
    first.open(clock=lambda: time.time_ns() // 1000 - 10 * 60 * 1_000_000 - 1)
    invited = world.invite(first, "laptop")
    with pytest.raises(Denied) as refused:
        world.join(second, invited)
    assert "run out" in refused.value.message
    (told,) = denied(world)
    assert told["state"] == "expired"
    assert first.app.audit.verify().findings == ()


def test_one_just_in_time_is_taken(world: World):
    first, second = world.found(), world.machine("second")
    first.open(clock=lambda: time.time_ns() // 1000 - 9 * 60 * 1_000_000)
    world.join(second, world.invite(first))
    assert second.agent().name == "claude-code"


def test_what_opens_an_invitation_is_gone_when_it_was_used_withdrawn_or_has_run_out(world: World):
    first, second = world.found(), world.machine("second")
    used, withdrawn = world.invite(first), world.invite(first)
    assert share_of(world, used) != share_of(world, withdrawn)
    world.join(second, used)
    first.app.machines.withdraw(first.person(), withdrawn.invitation.invitation_id)
    first.open(clock=lambda: time.time_ns() // 1000 - 11 * 60 * 1_000_000)
    late = world.invite(first)
    assert first.open().machines.sweep() == 1
    for invited in (used, withdrawn, late):
        share = share_of(world, invited)
        assert share == b"\0" * 32
        opened = open_invitation(world.entry(invited))
        with pytest.raises(Broken):
            open_invited_root(opened.invitation.letter, opened.key, share)
    states = {one.invitation_id: one.state for one in first.app.machines.invitations(first.person())}
    assert [states[one.invitation.invitation_id] for one in (used, withdrawn, late)] == ["used", "revoked", "expired"]
    assert first.app.audit.verify().findings == ()


def test_a_withdrawn_one_is_refused(founded: World, machine: Machine):
    first = founded.machines[0]
    invited = founded.invite(first, "withdrawn one")
    first.app.machines.withdraw(first.person(), invited.invitation.invitation_id)
    with pytest.raises(Denied) as refused:
        founded.join(machine, invited)
    assert "withdrawn" in refused.value.message
    with pytest.raises(Conflict):
        first.app.machines.withdraw(first.person(), invited.invitation.invitation_id)


def test_a_row_that_was_made_open_again_by_hand_is_told(world: World):
    first, second, third = world.found(), world.machine("second"), world.machine("third")
    invited = world.invite(first)
    (before,) = world.store().rows("invitations")
    world.join(second, invited)
    world.store().put("invitations", before)
    with pytest.raises(Broken) as refused:
        world.join(third, invited)
    assert "rolled back" in refused.value.message
    findings = first.open().audit.verify().findings
    assert [finding.verdict for finding in findings] == ["rolled back"]


def test_an_invitation_whose_time_was_stretched_by_hand_is_told(world: World):
    first, second = world.found(), world.machine("second")
    first.open(clock=lambda: time.time_ns() // 1000 - 20 * 60 * 1_000_000)
    invited = world.invite(first)
    (row,) = world.store().rows("invitations")
    world.store().put("invitations", {**row, "expires_us": row["expires_us"] + 3_600_000_000})
    with pytest.raises(Broken):
        world.join(second, invited)


def test_a_wrong_password_is_recorded_and_five_of_them_lock(world: World):
    first, second = world.found(), world.machine("second")
    invited = world.invite(first)
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            world.join(second, invited, login=lambda _name: Plain("not the password"))
    with pytest.raises(TooMany):
        world.join(second, invited)
    told = denied(world)
    assert [one["about"] for one in told] == ["person"] * 5
    assert {one["name"] for one in told} == {PERSON}
    assert first.app.audit.verify().findings == ()


def test_a_person_whom_nobody_knows_is_refused_and_recorded(world: World):
    first, second = world.found(), world.machine("second")
    with pytest.raises(Unauthenticated):
        world.join(second, world.invite(first), person="mallory")
    (told,) = denied(world)
    assert told["about"] == "person"
    assert told["name"] == ""


def test_an_invitation_to_another_vault_is_refused(world: World, founded: World, machine: Machine):
    invited = founded.invite(founded.machines[0])
    second, _first = world.machine("second"), world.found()
    entry = founded.entry(invited)
    with pytest.raises(Denied) as refused:
        world.set_up(second, entry=lambda: entry)
    assert "another vault" in refused.value.message


def test_only_who_may_manage_keys_invites_and_revokes(founded: World):
    first = founded.machines[0]
    agent = first.agent()
    for act in (
        lambda: first.app.machines.revoke(agent, "first"),
        lambda: founded_invite(first, agent),
    ):
        with pytest.raises(Denied) as refused:
            act()
        assert "keys:write" in refused.value.message


def founded_invite(first: Machine, actor) -> object:
    from mcp_server.services.machines import Reach

    return first.app.machines.invite(actor, "x", Reach("", "", Plain(""), "", Plain("")))


@pytest.mark.parametrize("label", ["x" * 65, "a\nb", "a\x00b"])
def test_a_label_that_is_none_is_refused(founded: World, label: str):
    with pytest.raises(Invalid):
        founded.invite(founded.machines[0], label)


def test_the_last_machine_is_not_revoked(world: World):
    first = world.found()
    first.open()
    with pytest.raises(Conflict) as refused:
        first.app.machines.revoke(first.person(), "first")
    assert "last machine" in refused.value.message
    assert first.app.identity.login(PERSON, PASSWORD)


def test_machines_of_one_name_are_told_apart(world: World):
    first, second, third = world.found("desk"), world.machine("second"), world.machine("third")
    for machine in (second, third):
        machine.name = ""
    world.join(second, world.invite(first))
    world.join(third, world.invite(first))
    names = {one.name for one in first.open().machines.machines(first.person())}
    assert len(names) == 3
    fourth = world.machine("fourth")
    fourth.name = "desk"
    with pytest.raises(Conflict):
        world.join(fourth, world.invite(first))
