"""The picker at a terminal: it narrows while one types, shows no value, and hands over to the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.screen import Screen

VALUE = "canary-hQ7-value-of-the-vault"
ENTER, ESCAPE, DOWN, COPY, PAGE = "\r", "\x1b", "\x1b[B", "\x19", "\x0f"


@pytest.fixture
def stocked(person, tmp_path: Path) -> None:
    """Three credentials, of which one's value is known."""
    (tmp_path / "value").write_text(VALUE)
    for name, user in (("Gitea", "deploy"), ("Mail", "admin"), ("Wiki", "eve")):
        said = person("credential", "add", name, "--client", "acme", "--username", user, "--value-file",
                      str(tmp_path / "value"), "--url", f"https://{user}.acme.test")  # fmt: skip
        assert said.code == 0


def press(screen: Screen, keys: str) -> None:
    import os

    os.write(screen.side, keys.encode())


@pytest.fixture
def terminal(environment: dict[str, str], stocked: None) -> dict[str, str]:
    return {**environment, "TERM": "xterm-256color"}


def test_at_a_terminal_the_bare_command_lets_one_pick_and_shows_what_was_picked(
    person, terminal: dict[str, str]
) -> None:
    screen = Screen(terminal, "credential")
    screen.until("3 of 3")
    press(screen, "wiki")
    screen.until("1 of 3")
    press(screen, ENTER)
    screen.until(r"reference +acme/wiki/eve")
    assert screen.end() == 0
    assert VALUE not in screen.seen
    searched = person("audit", "search", "--action", "credential.search", "--json").json["items"][0]
    assert searched["facts"] == {"found": 3}
    assert (
        person("audit", "search", "--action", "credential.view", "--json").json["items"][0]["subject"]
        == "acme/wiki/eve"
    )


def test_arrows_move_and_the_second_line_is_picked(terminal: dict[str, str]) -> None:
    screen = Screen(terminal, "credential", "pick")
    screen.until("3 of 3")
    press(screen, DOWN)
    press(screen, ENTER)
    screen.until(r"reference +acme/mail/admin")
    assert screen.end() == 0


def test_copying_from_the_picker_asks_for_what_copying_asks(terminal: dict[str, str], person) -> None:
    screen = Screen(terminal, "credential", "pick")
    screen.until("3 of 3")
    press(screen, "git" + COPY)
    screen.until("Password of ann: ")
    screen.type("not the password")
    screen.until("that is not the password")
    assert screen.end() == 3
    assert person("audit", "search", "--action", "credential.decrypt", "--json").json["items"] == []


def test_escape_leaves_and_nothing_is_done(terminal: dict[str, str], person) -> None:
    screen = Screen(terminal, "credential", "pick")
    screen.until("3 of 3")
    press(screen, "nobody")
    screen.until("0 of 3")
    press(screen, ENTER)
    press(screen, ESCAPE)
    assert screen.end() == 0
    assert person("audit", "search", "--action", "credential.view", "--json").json["items"] == []


def test_without_a_terminal_there_is_nothing_to_pick(person) -> None:
    bare = person("credential")
    assert bare.code == 2
    assert "reveal" in bare.all
    assert person("credential", "pick").code == 2
