"""Joining that was cut off anywhere goes on when it is run again."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.errors import Denied
from domain.plain import Plain
from mcp_server.bootstrap.wanted import Step
from storage import transaction
from tests.kit.mariadb import OWNER, MariaDB
from tests.machines.conftest import Machine, World


class Cut(BaseException):
    """The power went."""


def count_to(limit: int) -> Callable[[], None]:
    """Raises at the call of that number."""
    counted = itertools.count(1)

    def step() -> None:
        if next(counted) == limit:
            raise Cut

    return step


def before_a_commit(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    step, commit = count_to(limit), transaction.Transaction.commit

    def cut(self: transaction.Transaction) -> None:
        step()
        commit(self)

    monkeypatch.setattr(transaction.Transaction, "commit", cut)


def after_a_commit(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    step, commit = count_to(limit), transaction.Transaction.commit

    def cut(self: transaction.Transaction) -> None:
        commit(self)
        step()

    monkeypatch.setattr(transaction.Transaction, "commit", cut)


def before_a_file(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    step, replace = count_to(limit), Path.replace

    def cut(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            step()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", cut)


CUTS = [before_a_commit, after_a_commit, before_a_file]


def is_in(machine: Machine) -> None:
    """The machine is in, with one agent, and nothing is wrong with the log."""
    agent = machine.agent()
    app = machine.app
    assert app.credentials.search(agent).total == 0
    assert app.audit.verify().findings == ()
    mine = [one for one in app.identity.agents(agent) if one.machine == app.settings.machine_name]
    assert [one.state for one in mine].count("active") == 1


@pytest.mark.parametrize("cut", CUTS)
def test_with_an_invitation(world: World, monkeypatch: pytest.MonkeyPatch, cut: Callable[..., None]) -> None:
    first = world.found()
    for number in itertools.count(1):
        machine = world.machine(f"machine-{number}")
        invited = world.invite(first)
        first.close()
        with monkeypatch.context() as patched:
            cut(patched, number)
            try:
                world.join(machine, invited)
            except Cut:
                pass
            else:
                break
        world.join(machine, invited)
        is_in(machine)
        machine.close()
    assert number > 3


@pytest.mark.parametrize("cut", CUTS)
def test_with_the_recovery_key(world: World, monkeypatch: pytest.MonkeyPatch, cut: Callable[..., None]) -> None:
    world.found()
    for number in itertools.count(1):
        machine = world.machine(f"machine-{number}")
        with monkeypatch.context() as patched:
            cut(patched, number)
            try:
                world.recover(machine)
            except Cut:
                pass
            else:
                break
        world.recover(machine)
        is_in(machine)
        machine.close()
    assert number > 3


@pytest.mark.parametrize("cut", CUTS)
def test_making_everything_on_an_empty_database(
    server: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: Callable[..., None]
) -> None:
    for number in itertools.count(1, 2):
        name = server.database()
        world = World(tmp_path / str(number), server.url(name), server.passwords)
        machine = world.machine("first")
        done = False
        try:
            with monkeypatch.context() as patched:
                cut(patched, number)
                try:
                    world.set_up(machine)
                    done = True
                except Cut:
                    pass
            # With the same command, as somebody types it again.
            world.set_up(machine)
            is_in(machine)
            again: list[Step] = machine.steps
            world.set_up(machine, database="", database_password=None)
            assert not any(step.changed for step in machine.steps), again
        finally:
            world.close()
            for account in (f"{name}_app", f"{name}_hooks"):
                server.execute(f"DROP USER IF EXISTS `{account}`@'%'")
            server.drop(name)
            shutil.rmtree(world.place, ignore_errors=True)
        if done:
            break
    assert number > 4


def test_two_machines_with_one_invitation_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second has read the row while it was open, and comes too late."""
    first, second, third = world.found(), world.machine("second"), world.machine("third")
    invited = world.invite(first)

    def meanwhile(_name: str) -> Plain:
        world.join(third, invited)
        return Plain("correct horse battery")

    with pytest.raises(Denied) as refused:
        world.join(second, invited, login=meanwhile)
    assert "used already" in refused.value.message
    for file in ("root.key", "database.password", "hooks.password"):
        assert not (second.home / "keys" / file).exists()
    is_in(third)
    app = first.open()
    found = app.audit.search(first.person(), action="machine.enroll", outcome="denied").items
    assert any("alert" in entry.facts for entry in found)
    assert app.audit.verify().findings == ()


def test_a_given_database_is_taken_anew_as_long_as_nothing_was_made(world: World) -> None:
    machine = world.machine("first")
    with pytest.raises(Exception, match="no database"):
        world.set_up(machine, database=world.url + "_mistyped", database_password=Plain(world.passwords[OWNER]))
    world.set_up(machine)
    is_in(machine)
