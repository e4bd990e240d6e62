"""doctor tells what is wrong, and what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.kit.stores import store_of


def states(run: Run) -> dict[str, str]:
    said = run("doctor", "--json")
    assert said.code == (0 if said.json["ok"] else 1)
    return {check["name"]: check["state"] for check in said.json["checks"]}


@pytest.fixture
def well(run: Run) -> Run:
    assert run("plugin", "install", "--no-register").code == 0
    return run


def test_a_fresh_installation_is_well(well: Run) -> None:
    said = well("doctor")
    assert said.code == 0, said.out
    assert said.out.splitlines()[-1] == "all well"
    found = states(well)
    assert "problem" not in found.values()
    assert found["tier"] == "note"
    for name in (
        "python",
        "packages",
        "data",
        "root key",
        "machine key",
        "database",
        "agent",
        "audit log",
        "hooks",
        "spool",
    ):
        assert found[name] == "ok", name


def test_nothing_set_up_is_a_problem_with_a_next_command(well: Run, tmp_path: Path) -> None:
    said = well("doctor", "--home", str(tmp_path / "nothing"))
    assert said.code == 1
    assert "next: ./setup.sh" in said.out


@pytest.mark.parametrize("name", ["root.key", "machine.key"])
def test_a_key_that_others_can_read_is_a_problem_everywhere(well: Run, home: Path, name: str) -> None:
    (home / "keys" / name).chmod(0o644)
    said = well("doctor")
    assert said.code == 1
    assert f"chmod 600 {home / 'keys' / name}" in said.out
    refused = well("login", "--password-file", "/dev/null")
    assert refused.code == 2
    assert "chmod 600" in refused.err


def test_a_missing_key_a_missing_database_and_a_missing_secret_are_named(well: Run, home: Path) -> None:
    (home / "agents" / "claude-code.secret").rename(home / "gone")
    assert states(well)["agent"] == "problem"
    (home / "keys" / "root.key").unlink()
    found = states(well)
    assert (found["root key"], found["database"]) == ("problem", "problem")
    store_of(home).remove()
    assert states(well)["database"] == "problem"


def test_an_open_data_directory_is_a_problem(well: Run, home: Path) -> None:
    home.chmod(0o755)
    said = well("doctor")
    assert said.code == 1
    assert f"chmod 700 {home}" in said.out


def test_a_database_of_a_newer_program_is_refused_by_every_command(
    person: Run, home: Path, password_file: Path
) -> None:
    store_of(home).sql("UPDATE compatibility SET min_reader = 99, min_writer = 99")
    for arguments in (
        ("credential", "list"),
        ("audit", "verify"),
        ("login", "--password-file", str(password_file)),
        ("sync",),
    ):
        said = person(*arguments)
        assert said.code == 6, arguments
        assert "newer program" in said.err
    assert states(person)["database"] == "problem"


def test_a_revoked_agent_is_told(person: Run) -> None:
    person("plugin", "install", "--no-register")
    person("agent", "revoke", "claude-code")
    assert states(person)["agent"] == "problem"


def test_a_changed_entry_is_told_by_doctor_and_by_verify(person: Run, home: Path) -> None:
    person("credential", "add", "Gitea", "--generate", "--username", "x")
    store_of(home).sql("UPDATE audit_entries SET purpose = 'a lie' WHERE action = 'credential.create'")
    said = person("audit", "verify")
    assert said.code == 8
    assert "modified" in said.out
    verdict = person("audit", "verify", "--json")
    assert verdict.code == 8
    assert verdict.json["ok"] is False
    assert verdict.json["findings"][0]["verdict"] == "modified"
    assert states(person)["audit log"] == "problem"


def test_files_that_should_not_stay_are_noted(well: Run, user: Path) -> None:
    (user / "claudetools-recovery-key.txt").write_text("CTR1-NOT-REAL")
    said = well("doctor")
    assert said.code == 0
    assert "still on this machine" in said.out
    assert "CTR1-NOT-REAL" not in said.all
