"""Which project a folder is, whose records it is told, and whom a session works for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hooks import trust
from hooks.project import client_of, identify
from tests.cli.conftest import Run
from tests.hooks.conftest import make_repository


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "shop", remote="git@git.example:acme/shop.git")


def sight(home: Path, folder: Path, client: str = "") -> tuple[bool, bool]:
    machine = json.loads((home / "settings.json").read_text())["machine_id"]
    found = trust.sight(str(home), identify(str(folder), machine), str(folder), client)
    return (found.project, found.client)


def test_a_folder_is_trusted_listed_and_untrusted(run: Run, home: Path, clone: Path) -> None:
    where = ("--folder", str(clone))
    assert run("project", "which", *where, "--json").json["trusted"] is False
    assert "claudetools project trust" in run("project", "which", *where).out
    said = run("project", "trust", *where)
    assert said.code == 0, said.err
    assert said.out == f"{clone} is trusted: its sessions are told other persons' records of shop\n"
    assert sight(home, clone) == (True, True)
    (item,) = run("project", "list", "--json").json["items"]
    assert item["folder"] == str(clone)
    assert "project shop" in run("project", "list").out
    assert run("project", "untrust", *where, "--json").json["trusted"] is False
    assert sight(home, clone) == (False, True)
    assert run("project", "list").out == "no folder is trusted\n"


def test_a_model_does_not_trust_for_the_person(
    run: Run, clone: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")
    refused = run("project", "trust", "--folder", str(clone), "--json")
    assert refused.code == 4
    assert sight(home, clone) == (False, True)


def test_trust_needs_a_folder_and_none_where_nobody_else_can_have_records(run: Run, tmp_path: Path) -> None:
    assert run("project", "trust", "--folder", str(tmp_path / "nowhere")).code == 2
    plain = tmp_path / "plain"
    plain.mkdir()
    assert "nobody else has records of it" in run("project", "trust", "--folder", str(plain)).out


def test_a_person_who_binds_a_folder_trusts_it_with_the_clients_records_and_claude_code_does_not(
    person: Run, home: Path, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person("client", "add", "ACME")
    where = ("--folder", str(clone.parent))
    with monkeypatch.context() as inside:
        inside.setenv("CLAUDECODE", "1")
        bound = person("client", "use", "acme", *where)
        assert bound.code == 0, bound.err
        assert "in folders that a person binds" in bound.err
    assert client_of(str(home), str(clone)) == "acme"
    assert sight(home, clone, "acme") == (False, False)
    assert person("client", "use", "acme", *where).err == ""
    assert sight(home, clone, "acme") == (False, True)
    assert "client acme" in person("project", "list").out
    person("client", "use", "--none", *where)
    assert sight(home, clone, "acme") == (False, False)


def test_the_running_session_is_bound_to_a_client(
    person: Run, home: Path, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person("client", "add", "ACME")
    assert person("client", "use", "acme", "--session").code == 2, "no session runs here"
    assert person("client", "use", "acme", "--session-id", "../x").code == 2
    assert person("client", "use", "acme", "--session", "--session-id", "s-1", "--folder", str(clone)).code == 2
    monkeypatch.setenv("CLAUDE_CODE_SESSION_ID", "s-1")
    assert person("client", "use", "acme", "--session", "--json").json == {"session": "s-1", "client": "acme"}
    assert client_of(str(home), str(clone), "s-1") == "acme"
    assert client_of(str(home), str(clone), "s-2") == ""
    assert person("client", "which").out == "acme (this session is bound to it)\n"
    assert sight(home, clone, "acme") == (False, False)
    assert person("client", "use", "--none", "--session").out == "session s-1 belongs to no client\n"
    assert person("client", "which").out == "no client\n"


def test_the_line_at_a_sessions_start_is_turned_off_and_on(run: Run, home: Path) -> None:
    for state in ("off", "on"):
        assert run("plugin", "start-line", state).out == f"the line at a session's start is {state}\n"
        assert json.loads((home / "hooks.json").read_text())["start_line"] == state
    assert run("plugin", "start-line", "loud").code == 2


def test_the_paste_guard_is_set_by_a_person_alone(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for state in ("warn", "off", "block"):
        assert run("plugin", "paste-guard", state).out == f"the paste guard is set to {state}\n"
        assert json.loads((home / "settings.json").read_text())["paste_guard"] == state
    assert run("plugin", "paste-guard", "loud").code == 2
    monkeypatch.setenv("CLAUDECODE", "1")
    assert run("plugin", "paste-guard", "off").code == 4
    assert json.loads((home / "settings.json").read_text())["paste_guard"] == "block"
