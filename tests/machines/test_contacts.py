"""When each machine was last here, and with which release."""

from __future__ import annotations

import time

import pytest

from domain.errors import Denied
from mcp_server import __version__
from mcp_server.callers import Door
from tests.machines.conftest import Machine, World

PATIENCE_S = 60
BOUND_US = 600_000_000


def start_server(machine: Machine) -> None:
    """Starts what a Claude Code session starts, and waits until it has told of itself."""
    door = Door(machine.home)
    door.start()
    until = time.monotonic() + PATIENCE_S
    try:
        while not any(view.seen_us for view in views(machine) if view.machine_id == machine.settings.machine_id):
            assert time.monotonic() < until, "the server never told of itself"
    finally:
        door.close()


def views(machine: Machine) -> list:
    app = machine.app or machine.open()
    return app.machines.machines(machine.person())


def test_a_machine_that_starts_a_server_tells_when_and_with_which_release(world: World):
    first = world.found()
    second = world.machine("second")
    world.join(second, world.invite(first))
    start_server(second)
    seen = {view.name: view for view in views(first)}
    assert (seen["first"].seen_us, seen["first"].program) == (None, "")
    assert seen["second"].program == __version__
    assert abs(seen["second"].seen_us - first.open().work.clock()) < BOUND_US


def test_a_later_start_takes_the_place_of_the_one_before(world: World):
    first = world.found()
    first.open().machines.report_in()
    before = views(first)[0].seen_us
    first.open().machines.report_in()
    (view,) = views(first)
    assert view.seen_us > before


def test_a_revoked_machine_does_not_tell_any_more(world: World):
    first = world.found()
    second = world.machine("second")
    world.join(second, world.invite(first))
    app = second.open()
    first.app.machines.revoke(first.person(), "second")
    with pytest.raises(Denied, match="revoked"):
        app.machines.report_in()
    seen = {view.name: view.seen_us for view in views(first)}
    assert seen["second"] is None
