"""The picker at a terminal: it narrows while one types, shows no value, and hands over to the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.screen import COMMAND
from tests.kit.terminal import Terminal

VALUE = "canary-hQ7-value-of-the-vault"
COPY = "\x19"


@pytest.fixture
def stocked(person, tmp_path: Path) -> None:
    """Three credentials, of which one's value is known."""
    (tmp_path / "value").write_text(VALUE)
    for name, user in (("Gitea", "deploy"), ("Mail", "admin"), ("Wiki", "eve")):
        said = person("credential", "add", name, "--client", "acme", "--username", user, "--value-file",
                      str(tmp_path / "value"), "--url", f"https://{user}.acme.test")  # fmt: skip
        assert said.code == 0


@pytest.fixture
def at_a_terminal(environment: dict[str, str], stocked: None, tmp_path: Path) -> Callable[..., Terminal]:
    """Starts a command on a screen."""
    return lambda *words: Terminal((*COMMAND, *words), tmp_path, {**environment, "TERM": "xterm-256color"})


def test_at_a_terminal_the_bare_command_lets_one_pick_and_shows_what_was_picked(
    person, at_a_terminal: Callable[..., Terminal]
) -> None:
    with at_a_terminal("credential") as screen:
        assert "acme/mail/admin" in screen.shows("3 of 3")
        screen.press("wik")
        assert "acme/mail/admin" not in screen.shows("1 of 3")
        screen.press("enter")
        assert VALUE not in screen.shows("secret fields  password")
        assert screen.ended() == 0
    searched = person("audit", "search", "--action", "credential.search", "--json").json["items"][0]
    assert searched["facts"] == {"found": 3}
    viewed = person("audit", "search", "--action", "credential.view", "--json").json["items"][0]
    assert viewed["subject"] == "acme/wiki/eve"


def test_arrows_move_and_the_second_line_is_picked(at_a_terminal: Callable[..., Terminal]) -> None:
    with at_a_terminal("credential", "pick") as screen:
        screen.shows("3 of 3")
        screen.press("down")
        screen.press("enter")
        screen.shows("https://admin.acme.test")
        assert screen.ended() == 0


def test_copying_from_the_picker_asks_for_what_copying_asks(person, at_a_terminal: Callable[..., Terminal]) -> None:
    with at_a_terminal("credential", "pick") as screen:
        screen.shows("3 of 3")
        screen.press("git")
        screen.shows("1 of 3")
        screen.press(COPY)
        screen.shows("Password of ann:")
        screen.press("not the password")
        screen.press("enter")
        screen.shows("that is not the password")
        assert screen.ended() == 3
    assert person("audit", "search", "--action", "credential.decrypt", "--json").json["items"] == []


def test_escape_leaves_and_nothing_is_done(person, at_a_terminal: Callable[..., Terminal]) -> None:
    with at_a_terminal("credential", "pick") as screen:
        screen.shows("3 of 3")
        screen.press("nobody")
        screen.shows("0 of 3")
        screen.press("enter")
        screen.press("escape")
        assert screen.ended() == 0
    assert person("audit", "search", "--action", "credential.view", "--json").json["items"] == []


def test_without_a_terminal_there_is_nothing_to_pick(person) -> None:
    bare = person("credential")
    assert bare.code == 2
    assert "reveal" in bare.all, bare.all
    assert person("credential", "pick").code == 2
