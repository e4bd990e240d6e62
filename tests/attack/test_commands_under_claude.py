"""What Claude, led astray, may not type although it runs as the person: acts that reach beyond this machine, or change whom it trusts."""

from __future__ import annotations

import pytest

from tests.machines.conftest import World, founded, server
from tests.machines.test_cli import Run, run

__all__ = ["founded", "run", "server"]

HERE = "first"


@pytest.mark.parametrize(
    "typed",
    [
        ("machine", "revoke", HERE, "--yes"),
        ("machine", "invite"),
        ("database", "pin", "0" * 64),
        ("database", "account", "somebody"),
        ("backup", "create"),
        ("move", "--follow", "--to", "mariadb://u@127.0.0.1/d"),
        ("move", "--cancel"),
    ],
)
def test_claude_code_can_neither_shut_out_nor_let_in_a_machine_nor_change_which_server_is_trusted(
    founded: World, run: Run, typed: tuple[str, ...]
) -> None:
    first = founded.machines[0]
    before = first.settings
    said = run(first, *typed, CLAUDECODE="1")
    assert said.code == 4
    assert "for a person at a terminal" in said.err
    assert first.settings == before
    assert first.open().machines.machines(first.person())[0].state == "active"
