"""`claudetools exposure rules` and `claudetools approval`, as persons type them."""

from __future__ import annotations

from pathlib import Path

import pyotp
import pytest

from tests.cli.conftest import PASSWORD, Run

WIKI = "own/wiki/anna"
BEN_PASSWORD = "another good password of ben"


@pytest.fixture
def typed(person: Run, password_file: Path) -> Run:
    """A logged-in person with one credential, whose password stands ready."""
    assert person("credential", "add", "Wiki", "--username", "anna", "--generate").code == 0

    def run(*arguments: str):
        return person(*arguments, "--password-file", str(password_file))

    return run


@pytest.fixture
def ben(typed: Run, person: Run, tmp_path: Path) -> Path:
    """A second person, by the file in which his password stands."""
    file = tmp_path / "ben.txt"
    file.write_text(BEN_PASSWORD)
    file.chmod(0o600)
    assert typed("person", "add", "ben", "--role", "technician", "--new-password-file", str(file)).code == 0
    return file


def code_file(folder: Path, code: str) -> str:
    """A file with a one-time code."""
    file = folder / "code.txt"
    file.write_text(code)
    file.chmod(0o600)
    return str(file)


def test_rules_are_set_shown_and_ended(typed: Run, person: Run):
    assert "no rules" in person("exposure", "rules", WIKI).out
    said = typed("exposure", "rules", WIKI, "--uses", "5/h", "--hours", "Mon-Fri 8:00-18:00 Europe/Berlin")
    assert said.code == 0, said.err
    assert "- hours Mon-Fri 08:00-18:00 Europe/Berlin\n- uses 5/h\n" in said.out
    listed = person("credential", "list", "--json").json["items"][0]
    assert (listed["exposure"], listed["rules"]) == ("reveal", ["hours Mon-Fri 08:00-18:00 Europe/Berlin", "uses 5/h"])
    assert "reveal; hours Mon-Fri" in person("credential", "list").out
    assert "hours Mon-Fri" in person("credential", "show", WIKI).out
    assert typed("exposure", "rules", WIKI, "--hours", "", "--json").json["rules"] == ["uses 5/h"]
    assert typed("exposure", "rules", WIKI, "--clear", "--host", "wiki.example", "--json").json["rules"] == [
        "hosts wiki.example"
    ]
    assert typed("exposure", "rules", WIKI, "--clear").out.endswith("the exposure is all that counts\n")


def test_hours_without_a_zone_are_those_of_this_machine(typed: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "America/Bogota")
    said = typed("exposure", "rules", WIKI, "--hours", "08:00-18:00", "--json").json
    assert said["rules"] == ["hours Mon-Sun 08:00-18:00 America/Bogota"]


def test_what_does_not_fit_names_the_option_and_changes_nothing(typed: Run, person: Run):
    said = typed("exposure", "rules", WIKI, "--uses", "often", "--hours", "never", "--json")
    assert said.code == 2
    assert set(said.error["fields"]) == {"uses", "hours"}
    assert person("exposure", "rules", WIKI, "--json").json["rules"] == []
    assert typed("exposure", "rules", WIKI, "--approval").code == 2
    assert "claudetools person add" in typed("exposure", "rules", WIKI, "--approval").err


def test_what_new_credentials_get_is_set_without_naming_one(typed: Run, person: Run):
    assert typed("exposure", "rules", "--uses", "3/7d").code == 0
    person("credential", "add", "Wiki", "--username", "new", "--generate")
    assert person("exposure", "rules", "own/wiki/new", "--json").json["rules"] == ["uses 3/7d"]
    assert person("exposure", "rules", WIKI, "--json").json["rules"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("exposure", "rules", WIKI, "--clear"),
        ("approval", "step-up", WIKI),
        ("approval", "give", WIKI, "--for", "ben"),
    ],
)
def test_rules_and_approvals_are_not_given_under_claude_code(typed: Run, arguments: tuple[str, ...], monkeypatch):
    monkeypatch.setenv("CLAUDECODE", "1")
    said = typed(*arguments)
    assert said.code == 4
    assert "another terminal" in said.err


def test_a_used_up_limit_is_told_with_when_it_is_free_again(typed: Run):
    typed("exposure", "rules", WIKI, "--uses", "1/h")
    assert typed("credential", "reveal", WIKI, "--purpose", "look").code == 0
    said = typed("credential", "reveal", WIKI, "--purpose", "look")
    assert (said.code, said.out) == (4, "")
    assert "again in 60 minutes" in said.err
    assert "claudetools exposure rules own/wiki/anna" in said.err


def test_another_person_lets_one_open_it_for_a_while(typed: Run, person: Run, ben: Path, tmp_path: Path):
    assert typed("exposure", "rules", WIKI, "--approval").code == 0
    said = typed("credential", "reveal", WIKI, "--purpose", "look")
    assert said.code == 4
    assert "claudetools approval give own/wiki/anna --for ann" in said.err
    assert person("login", "ben", "--password-file", str(ben)).code == 0
    given = person("approval", "give", WIKI, "--for", "ann", "--minutes", "5", "--password-file", str(ben))
    assert given.code == 0, given.err
    assert "ann and the agents of ann may use own/wiki/anna until" in given.out
    (held,) = person("approval", "list", "--json").json["items"]
    assert (held["for"], held["by"], held["kind"]) == ("ann", "ben", "approval")
    assert "own/wiki/anna" in person("approval", "list").out
    own = tmp_path / "own.txt"
    own.write_text(PASSWORD)
    own.chmod(0o600)
    assert person("login", "ann", "--password-file", str(own)).code == 0
    assert typed("credential", "reveal", WIKI, "--purpose", "look").code == 0
    assert person("approval", "withdraw", held["id"]).code == 0
    assert typed("credential", "reveal", WIKI, "--purpose", "look").code == 4
    assert "nothing found" in person("approval", "list").out


def test_a_step_up_takes_a_code_from_a_file_and_takes_none_twice(typed: Run, home: Path, tmp_path: Path):
    from mcp_server.bootstrap import build
    from mcp_server.config import load_settings
    from tests.cli.conftest import PERSON

    assert typed("exposure", "rules", WIKI, "--step-up").code == 0
    without = typed("approval", "step-up", WIKI, "--code-file", code_file(tmp_path, "123456"))
    assert without.code == 5
    assert "claudetools factor add" in without.err
    app = build(load_settings(home))
    actor = app.identity.actor(app.identity.login(PERSON, PASSWORD))
    seed = app.factors.begin(actor)
    now = app.work.clock() // 1_000_000
    totp = pyotp.TOTP(seed.expose())
    app.factors.add(actor, seed, totp.at(now - 30))
    app.close()
    used = typed("approval", "step-up", WIKI, "--code-file", code_file(tmp_path, totp.at(now - 30)))
    assert used.code == 3
    said = typed("approval", "step-up", WIKI, "--code-file", code_file(tmp_path, totp.at(now)))
    assert said.code == 0, said.err
    assert typed("credential", "reveal", WIKI, "--purpose", "look").code == 0
