"""Making an installation, on a terminal and without one, and bringing it back with the recovery key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import PASSWORD
from tests.cli.screen import Screen
from tests.kit.stores import Databases

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def bare(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has set nothing up."""
    return {**environment, "CLAUDETOOLS_HOME": str(tmp_path / "new")}


@ON_SQLITE
def test_at_a_terminal_the_recovery_key_is_shown_once_and_typed_back(bare: dict[str, str], tmp_path: Path) -> None:
    screen = Screen(bare, "init", "--person", "ann")
    screen.until("recovery key")
    key = screen.until(r"\s(CTR1-[A-Z0-9-]+)\s").group(1)
    screen.until("last group")
    screen.type("wrong")
    screen.until("last group")
    screen.type(key.rpartition("-")[2])
    screen.until("password")
    screen.type(PASSWORD)
    screen.until("Again")
    screen.type(PASSWORD)
    screen.until("changed: yes")
    assert screen.end() == 0

    (tmp_path / "new" / "keys" / "root.key").unlink()
    recover = Screen(bare, "keys", "recover")
    recover.until("recovery key: ")
    recover.type(key)
    recover.until("opens again")
    assert recover.end() == 0
    login = Screen(bare, "login")
    login.until("Password of ann: ")
    login.type(PASSWORD)
    login.until("logged in as ann")
    assert login.end() == 0


@ON_SQLITE
def test_a_recovery_key_that_is_not_confirmed_makes_no_vault(bare: dict[str, str], tmp_path: Path) -> None:
    screen = Screen(bare, "init", "--person", "ann")
    for _ in range(3):
        screen.until("last group")
        screen.type("no")
    screen.until("not confirmed")
    assert screen.end() == 2
    assert not (tmp_path / "new" / "keys" / "root.key").exists()


def test_without_a_terminal_everything_comes_from_options_and_files(
    command, database: Databases, user: Path, tmp_path: Path
) -> None:
    new, asked = str(tmp_path / "new"), database.options(tmp_path)
    first = command("init", "--non-interactive", *asked, CLAUDETOOLS_HOME=new)
    assert first.code == 0, first.err
    assert first.out.splitlines()[-1] == "changed: yes"
    recovery, password = user / "claudetools-recovery-key.txt", user / "claudetools-password.txt"
    for file in (recovery, password):
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text().strip() not in first.all
    before = recovery.read_text(), password.read_text()
    second = command("init", "--non-interactive", *asked, CLAUDETOOLS_HOME=new)
    assert second.code == 0
    assert second.out.splitlines()[-1] == "changed: no"
    assert all(line.startswith("is there") for line in second.out.splitlines()[:-1])
    assert (recovery.read_text(), password.read_text()) == before
    assert command("login", "--password-file", str(password), CLAUDETOOLS_HOME=new).code == 0


@ON_SQLITE
def test_a_recovery_key_is_never_written_over(command, user: Path, tmp_path: Path) -> None:
    kept = user / "claudetools-recovery-key.txt"
    kept.write_text("the key of another vault")
    said = command("init", "--non-interactive", CLAUDETOOLS_HOME=str(tmp_path / "new"))
    assert said.code == 6
    assert "not overwritten" in said.err
    assert kept.read_text() == "the key of another vault"
    kept.unlink()
    assert command("init", "--non-interactive", CLAUDETOOLS_HOME=str(tmp_path / "new")).code == 0


@ON_SQLITE
def test_check_changes_nothing(command, user: Path, tmp_path: Path) -> None:
    said = command("init", "--check", "--non-interactive", CLAUDETOOLS_HOME=str(tmp_path / "new"))
    assert said.code == 0
    assert "would make" in said.out
    assert said.out.splitlines()[-1] == "changed: no"
    assert not (tmp_path / "new").exists()
    assert list(user.iterdir()) == []


@ON_SQLITE
def test_a_short_password_is_refused(command, tmp_path: Path) -> None:
    file = tmp_path / "short.txt"
    file.write_text("short")
    file.chmod(0o600)
    said = command("init", "--non-interactive", "--password-file", str(file), CLAUDETOOLS_HOME=str(tmp_path / "new"))
    assert said.code == 2
    assert "10 to 1024" in said.err
    assert "Traceback" not in said.err


def test_the_recovery_key_brings_a_lost_root_key_back(
    person, home: Path, recovery_file: Path, password_file: Path
) -> None:
    person("credential", "add", "Gitea", "--generate", "--username", "x")
    reveal = ("credential", "reveal", "own/gitea/x", "--purpose", "x", "--password-file", str(password_file))
    value = person(*reveal).out
    (home / "keys" / "root.key").unlink()
    lost = person("credential", "list")
    assert lost.code == 2
    assert "keys recover" in lost.err
    assert person("keys", "recover", "--recovery-file", str(recovery_file)).code == 0
    assert person(*reveal).out == value
    assert person("audit", "verify").code == 0


@pytest.mark.parametrize(
    ("key", "codes"),
    [("", {2}), ("hunter2", {2}), ("CTR1-AAAA-BBBB", {2}), ("of another vault", {4})],
)
def test_a_wrong_recovery_key_opens_nothing(run, home: Path, tmp_path: Path, key: str, codes: set[int]) -> None:
    if key == "of another vault":
        from mcp_server.keyring import format_recovery_key, new_slot_key

        key = format_recovery_key(new_slot_key())
    file = tmp_path / "key.txt"
    file.write_text(key)
    file.chmod(0o600)
    before = (home / "keys" / "root.key").read_bytes()
    said = run("keys", "recover", "--recovery-file", str(file))
    assert said.code in codes, said.err
    assert not key or key not in said.all
    assert (home / "keys" / "root.key").read_bytes() == before
