"""Backups and moves at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.kit.stores import Databases, OnMariaDB


@pytest.fixture
def backed_up(person: Run, password_file: Path, tmp_path: Path) -> Path:
    """A backup of a vault with one credential."""
    assert person("credential", "add", "Wiki", "--username", "eve", "--generate").code == 0
    file = tmp_path / "vault.backup"
    said = person("backup", "create", str(file), "--password-file", str(password_file))
    assert said.code == 0, said.err
    assert "backup check" in said.out
    assert "recovery key" in said.out
    return file


def test_a_backup_is_made_checked_and_restored_on_a_new_machine(
    run: Run, backed_up: Path, recovery_file: Path, tmp_path: Path
) -> None:
    checked = run("backup", "check", str(backed_up), "--json")
    assert (checked.code, checked.json["ok"]) == (0, True)
    new = ("--home", str(tmp_path / "new"))
    fresh = run("backup", "check", str(backed_up), "--recovery-file", str(recovery_file), "--json", *new)
    assert fresh.json == checked.json
    done = run("backup", "restore", str(backed_up), "--recovery-file", str(recovery_file), *new)
    assert done.code == 0, done.err
    assert "the vault is back" in done.out
    assert run("audit", "verify", *new).code == 0
    assert run("backup", "restore", str(backed_up), "--recovery-file", str(recovery_file), *new).code == 6


def test_a_backup_has_a_name_with_the_date(person: Run, password_file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = person("backup", "create", "--password-file", str(password_file), "--json")
    assert said.code == 0, said.err
    (made,) = tmp_path.glob("claudetools-*.backup")
    assert said.json["file"] == str(made)
    assert said.json["bytes"] == made.stat().st_size


def test_a_backup_goes_through_a_pipe(command: Run, person: Run, password_file: Path, tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    base = [sys.executable, "-I", "-m", "mcp_server"]
    with (tmp_path / "piped").open("wb") as out:
        subprocess.run(
            [*base, "backup", "create", "-", "--password-file", str(password_file)],
            env={**os.environ, "CLAUDETOOLS_HOME": os.environ["CLAUDETOOLS_HOME"]},
            stdout=out,
            check=True,
            timeout=120,
        )
    assert person("backup", "check", str(tmp_path / "piped")).code == 0


def test_a_file_that_is_damaged_or_no_backup_is_refused(person: Run, backed_up: Path, tmp_path: Path) -> None:
    content = backed_up.read_bytes()
    backed_up.write_bytes(content[:-1])
    assert person("backup", "check", str(backed_up)).code == 8
    backed_up.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert person("backup", "check", str(backed_up)).code == 8
    (tmp_path / "text").write_text("hello")
    assert person("backup", "check", str(tmp_path / "text")).code == 2
    assert person("backup", "check", str(tmp_path / "none")).code == 2


def test_backups_and_moves_are_not_for_claude_code(
    person: Run, backed_up: Path, password_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")
    given = ("--password-file", str(password_file))
    assert person("backup", "create", str(tmp_path / "x"), *given).code == 4
    assert person("backup", "restore", str(backed_up), "--home", str(tmp_path / "y")).code == 4
    assert person("move", "--to", "elsewhere.db", *given).code == 4
    assert person("move", "--cancel").code == 4
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "y").exists()


def test_a_backup_wants_the_persons_password(person: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("another password")
    wrong.chmod(0o600)
    assert person("backup", "create", str(tmp_path / "x"), "--password-file", str(wrong)).code == 3
    assert person("move", "--to", "elsewhere.db", "--password-file", str(wrong)).code == 3
    assert not (tmp_path / "x").exists()


def test_a_vault_moves_and_the_old_database_is_forgotten_when_told(
    person: Run, home: Path, password_file: Path, database: Databases
) -> None:
    given = ("--password-file", str(password_file))
    assert person("move").code == 2
    done = person("move", "--to", "elsewhere.db", "--json", *given, *owner(home, database))
    assert done.code == 0, done.err
    assert json.loads((home / "settings.json").read_text())["database"] == "elsewhere.db"
    assert str(home / "elsewhere.db") in (home / "hooks.json").read_text()
    assert person("audit", "verify").code == 0
    assert person("credential", "list").code == 0
    assert person("move", "--cancel").code == 5
    forgotten = person("move", "--forget-old", "--yes", *given)
    assert forgotten.code == 0, forgotten.err
    assert ("DROP DATABASE" in forgotten.out) == isinstance(database, OnMariaDB)
    assert not list(home.glob("claudetools.db*"))


def owner(home: Path, database: Databases) -> tuple[str, ...]:
    """The account that closes the database that is left."""
    if not isinstance(database, OnMariaDB):
        return ()
    file = home.parent / "owner.txt"
    file.write_text(database.server.passwords["owner"])
    file.chmod(0o600)
    return ("--owner", "owner", "--owner-password-file", str(file))
