"""Entering and daily use: a value is filled in unseen, copied and cleared, and nothing of it is left anywhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.drafts import Draft
from domain.errors import Invalid
from domain.plain import Plain
from mcp_server.bootstrap import build
from mcp_server.bootstrap.installation import person_actor
from mcp_server.cli import clipboard, daily, generating
from mcp_server.config import load_settings
from tests.cli.screen import Screen

VALUE = "canary-hQ7-value-of-the-vault"
REFERENCE = "acme/web/root"
XCLIP = """#!/bin/sh
echo "$@" >> "{place}/calls"
for last in "$@"; do :; done
if [ "$last" = -o ]; then cat "{place}/held"; else cat > "{place}/held.new"; mv "{place}/held.new" "{place}/held"; fi
"""


def empty_credential(home: Path) -> str:
    """Makes a credential without a value, as Claude does."""
    app = build(load_settings(home))
    draft = Draft("password", "Web", client="acme", username="root", later=True)
    made = app.credentials.create(person_actor(app, "ann"), draft)
    app.close()
    return made.description.reference


@pytest.fixture
def empty(person, home: Path) -> str:
    """A credential without a value."""
    return empty_credential(home)


@pytest.fixture
def desktop(tmp_path: Path) -> Callable[[], str]:
    """A desktop whose clipboard is a file; gives what it holds."""
    place = tmp_path / "desktop"
    place.mkdir()
    program = place / "xclip"
    program.write_text(XCLIP.format(place=place))
    program.chmod(0o755)
    (place / "held").write_text("")
    return (place / "held").read_text


@pytest.fixture
def of_desktop(desktop: object, tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """What a terminal of that desktop has in its environment."""
    return {"DISPLAY": ":7", "PATH": f"{tmp_path / 'desktop'}{os.pathsep}{environment['PATH']}"}


def opened(person, reference: str, password_file: Path, *more: str) -> str:
    return person("credential", "reveal", reference, "--purpose", "x", "--password-file", str(password_file), *more).out


def test_a_credential_without_a_value_is_filled_unseen_at_a_terminal(
    person, empty: str, environment: dict[str, str], password_file: Path
) -> None:
    assert "no value yet" in person("credential", "list").out
    screen = Screen(environment, "credential", "fill", empty)
    screen.until(f"The password of {empty}: ")
    screen.type(VALUE)
    screen.until(f"filled {empty}")
    assert screen.end() == 0
    assert VALUE not in screen.seen
    assert not person("credential", "show", empty, "--json").json["exposed"]
    assert opened(person, empty, password_file) == VALUE


def test_what_is_filled_already_is_not_filled_again(person, empty: str, tmp_path: Path, password_file: Path) -> None:
    (tmp_path / "value").write_text(VALUE)
    assert person("credential", "fill", empty, "--value-file", str(tmp_path / "value")).code == 0
    again = person("credential", "fill", empty, "--generate", "--json")
    assert again.code == 6
    assert again.error["hint"] == f"claudetools credential rotate {empty}"
    assert opened(person, empty, password_file) == VALUE
    assert person("credential", "fill", empty, "--field", "notes", "--value-file", str(tmp_path / "value")).code == 0
    assert person("credential", "fill", empty, "--field", VALUE, "--generate").code == 2


def test_a_passphrase_is_made_of_words_of_the_list(person, empty: str, password_file: Path) -> None:
    assert person("credential", "fill", empty, "--words", "6").code == 0
    words = opened(person, empty, password_file).split("-")
    assert len(words) >= 6  # some words of the list have a hyphen of their own
    assert person("credential", "rotate", empty, "--words", "7").code == 0
    assert person("credential", "add", "Mail", "--client", "acme", "--words", "5").code == 0
    assert person("credential", "add", "Mail", "--client", "acme", "--words", "3").code == 2


def test_the_word_list_is_the_whole_one() -> None:
    assert len(generating.word_list()) == 7776
    assert len({generating.passphrase(6).expose() for _ in range(200)}) == 200


def test_generated_values_are_printed_and_kept_nowhere(run, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run("credential", "generate", "--alphabet", "readable", "--length", "20", "--count", "3")
    assert [len(line) for line in said.out.splitlines()] == [20, 20, 20]
    assert len(run("credential", "generate", "--words", "6", "--between", ".").out.strip().split(".")) == 6
    for wrong in (("--count", "0"), ("--length", "3"), ("--words", "2"), ("--words", "5", "--between", "\x1b[2J")):
        assert run("credential", "generate", *wrong).code == 2, wrong
    monkeypatch.setenv("CLAUDECODE", "1")
    assert run("credential", "generate").code == 4


def test_a_value_is_on_the_clipboard_for_a_while_and_on_no_command_line(
    person, empty: str, command, of_desktop: dict[str, str], desktop, tmp_path: Path, password_file: Path
) -> None:
    (tmp_path / "value").write_text(VALUE)
    assert person("credential", "fill", empty, "--value-file", str(tmp_path / "value")).code == 0
    given = ("--purpose", "log in", "--password-file", str(password_file))
    said = command("credential", "copy", empty, "--clear-after", "3", *given, **of_desktop)
    assert said.code == 0, said.err
    assert VALUE not in said.all
    assert desktop() == VALUE
    end = time.monotonic() + 60
    while desktop() and time.monotonic() < end:
        os.sched_yield()
    assert desktop() == ""
    assert VALUE not in (tmp_path / "desktop" / "calls").read_text()
    (entry,) = person("audit", "search", "--action", "credential.decrypt", "--json").json["items"]
    assert entry["purpose"] == "log in"


def test_what_was_copied_since_is_not_cleared(
    desktop, of_desktop: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in of_desktop.items():
        monkeypatch.setenv(name, text)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    board = clipboard.find()
    marks = b"s" * 16 + clipboard._hash(b"s" * 16, VALUE.encode())  # what the clearing process is given
    held = tmp_path / "desktop" / "held"
    held.write_text("a recipe for bread")
    assert not clipboard.clear(board, marks)
    assert desktop() == "a recipe for bread"
    held.write_text(VALUE + "\n")
    assert clipboard.clear(board, marks)
    assert desktop() == ""
    assert VALUE.encode() not in marks


def test_without_a_clipboard_nothing_is_opened(person, empty: str, password_file: Path) -> None:
    given = ("--purpose", "log in", "--password-file", str(password_file))
    assert person("credential", "fill", empty, "--generate").code == 0
    said = person("credential", "copy", empty, *given)
    assert said.code == 2
    assert "credential reveal" in said.err
    assert person("audit", "search", "--action", "credential.decrypt", "--json").json["items"] == []
    with pytest.raises(Invalid):
        clipboard.find({"PATH": os.environ["PATH"]})


def test_copying_asks_for_the_password_and_refuses_under_claude(
    person, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not it\n")
    wrong.chmod(0o600)
    assert person("credential", "copy", empty, "--purpose", "x", "--password-file", str(wrong)).code == 3
    monkeypatch.setenv("CLAUDECODE", "1")
    assert person("credential", "copy", empty, "--purpose", "x").code == 4


def test_a_clipboard_that_takes_nothing_leaves_nobody_waiting_to_clear_it() -> None:
    board = clipboard.Clipboard(("false",), ("cat", "/dev/null"))
    with pytest.raises(Exception, match="did not take it"):
        clipboard.copy(board, Plain(VALUE), clear_after_s=600)


def test_a_page_is_opened_with_its_user_name(person, command, environment: dict[str, str], tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/visited\n')
    browser.chmod(0o755)
    person("credential", "add", "Wiki", "--client", "acme", "--username", "eve", "--url", "wiki.acme.test:8443/login",
           "--generate")  # fmt: skip
    said = command("credential", "open", "acme/wiki/eve", BROWSER=str(browser))
    assert (said.code, said.out) == (0, "https://wiki.acme.test:8443/login\nusername: eve\n")
    assert (tmp_path / "visited").read_text() == "https://wiki.acme.test:8443/login\n"
    shown = person("credential", "open", "acme/wiki/eve", "--print", "--json").json
    assert shown == {"reference": "acme/wiki/eve", "url": "https://wiki.acme.test:8443/login", "username": "eve"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "--help",
        "https://",
        "https://a b",
        "https://a\x1b[2J",
        "http://[",
    ],
)
def test_what_is_no_page_is_not_opened(text: str) -> None:
    assert daily.address(text) == ""
