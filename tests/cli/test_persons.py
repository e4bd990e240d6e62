"""`claudetools person` and `claudetools factor`, as persons type them."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pyotp
import pytest

from tests.cli.conftest import PASSWORD, Run
from tests.cli.screen import Screen

FIRST = "a first password of ben"


@pytest.fixture
def typed(person: Run, password_file: Path) -> Run:
    """A logged-in person whose password stands ready."""
    return lambda *arguments: person(*arguments, "--password-file", str(password_file))


def private(folder: Path, name: str, text: str) -> str:
    """A private file."""
    file = folder / name
    file.write_text(text)
    file.chmod(0o600)
    return str(file)


def test_a_person_is_added_logs_in_and_takes_a_password_of_the_own(typed: Run, run: Run, tmp_path: Path):
    first, own = private(tmp_path, "first", FIRST), private(tmp_path, "own", "what ben alone knows")
    said = typed("person", "add", "ben", "--new-password-file", first)
    assert said.code == 0, said.err
    assert said.out == "added ben as technician; next, as that person: claudetools login ben\n"
    assert run("login", "ben", "--password-file", first).code == 0
    assert (
        run("person", "password", "--password-file", first, "--new-password-file", own).out
        == "ben has a new password\n"
    )
    assert run("login", "ben", "--password-file", first).code == 3
    assert run("login", "ben", "--password-file", own).code == 0
    refused = run("person", "add", "eve", "--password-file", own, "--new-password-file", first)
    assert refused.code == 4
    assert "keys:write" in refused.err


def test_everybody_is_listed_with_role_and_state(typed: Run, person: Run, tmp_path: Path):
    typed("person", "add", "ben", "--role", "auditor", "--new-password-file", private(tmp_path, "first", FIRST))
    assert typed("person", "role", "ben", "technician").out == "ben is technician now\n"
    assert typed("person", "revoke", "ben").out == "ben is shut out, with all agents\n"
    items = {one["person"]: one for one in person("person", "list", "--json").json["items"]}
    assert items["ben"] == {
        "person": "ben",
        "role": "technician",
        "state": "revoked",
        "second_factor": False,
        "agents": 0,
    }
    assert items["ann"]["agents"] == 1
    assert "revoked" in person("person", "list").out
    assert typed("person", "restore", "ben").out == "ben is let in again\n"


def test_an_owner_gives_a_forgotten_password_anew(typed: Run, run: Run, tmp_path: Path):
    first, again = private(tmp_path, "first", FIRST), private(tmp_path, "again", "given anew by an owner")
    typed("person", "add", "ben", "--new-password-file", first)
    assert typed("person", "password", "--of", "ben", "--new-password-file", again).out == "ben has a new password\n"
    assert run("login", "ben", "--password-file", again).code == 0


def test_the_last_owner_stays(typed: Run):
    said = typed("person", "role", "ann", "auditor")
    assert said.code == 6
    assert "last owner" in said.err
    assert typed("person", "revoke", "ann").code == 6


@pytest.mark.parametrize(
    "words", [("person", "add", "eve"), ("person", "password"), ("factor", "add"), ("factor", "remove")]
)
def test_none_of_it_is_done_under_claude_code(typed: Run, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CLAUDECODE", "1")
    said = typed(*words)
    assert said.code == 4
    assert "another terminal" in said.err


def test_without_a_terminal_no_key_is_shown(command: Run, person: Run, tmp_path: Path):
    assert person("factor", "show").code == 0
    said = command("factor", "add", "--password-file", private(tmp_path, "password", PASSWORD))
    assert (said.code, said.out) == (2, "")
    assert "otpauth" not in said.err
    assert "terminal" in said.err


def test_a_second_factor_is_shown_once_and_kept_with_a_code(environment: dict[str, str], person: Run, tmp_path: Path):
    assert person("login", "--password-file", private(tmp_path, "password", PASSWORD)).code == 0
    assert "no second factor" in person("factor", "show").out
    screen = Screen(environment, "factor", "add")
    screen.until("Password of ann")
    screen.type(PASSWORD)
    key = screen.until(r"\n\s+((?:[A-Z2-7]{4} ?){8})").group(1).replace(" ", "").strip()
    address = screen.until(r"otpauth://totp/\S+").group(0)
    assert f"secret={key}" in address
    screen.until("One-time code")
    screen.type(pyotp.TOTP(key).at(int(time.time()) - 30))
    screen.until("kept")
    assert screen.end() == 0
    assert person("factor", "show", "--json").json == {"person": "ann", "second_factor": True}
    code = private(tmp_path, "code", pyotp.TOTP(key).now())
    words = ("factor", "remove", "--code-file", code, "--password-file", private(tmp_path, "password", PASSWORD))
    assert person(*words).code == 0
    assert person("factor", "show", "--json").json["second_factor"] is False
    assert not re.search(key, person("audit", "search", "--json").out)
