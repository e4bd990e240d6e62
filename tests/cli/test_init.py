"""Making an installation, on a terminal and without one, and bringing it back with the recovery key."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import PASSWORD

PATIENCE = 60


class Screen:
    """A command at a terminal of its own: what it prints, and what a person types."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self.side, other = pty.openpty()
        takes_terminal = (
            "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
        )
        command = [sys.executable, "-I", "-c", takes_terminal]
        command += [sys.executable, "-I", "-m", "mcp_server", *arguments]
        self.process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment, start_new_session=True)
        os.close(other)
        self.text = ""

    def until(self, pattern: str) -> re.Match[str]:
        """Waits until the command has printed what fits; what comes after it is kept for later."""
        end = time.monotonic() + PATIENCE
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end() :]
                return found
            assert time.monotonic() < end, self.text
            if select.select([self.side], [], [], 1)[0]:
                try:
                    self.text += os.read(self.side, 65536).decode()
                except OSError:  # the other side was closed
                    found = re.search(pattern, self.text)
                    assert found, self.text
                    return found

    def type(self, line: str) -> None:
        """Types a line and Enter."""
        os.write(self.side, f"{line}\n".encode())

    def end(self) -> int:
        """Waits for the command's end and gives its exit code."""
        try:
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                try:
                    if select.select([self.side], [], [], 1)[0] and not os.read(self.side, 65536):
                        break
                except OSError:
                    break
            return self.process.wait(PATIENCE)
        finally:
            os.close(self.side)


@pytest.fixture
def bare(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has set nothing up."""
    return {**environment, "CLAUDETOOLS_HOME": str(tmp_path / "new")}


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


def test_a_recovery_key_that_is_not_confirmed_makes_no_vault(bare: dict[str, str], tmp_path: Path) -> None:
    screen = Screen(bare, "init", "--person", "ann")
    for _ in range(3):
        screen.until("last group")
        screen.type("no")
    screen.until("not confirmed")
    assert screen.end() == 2
    assert not (tmp_path / "new" / "keys" / "root.key").exists()


def test_without_a_terminal_everything_comes_from_options_and_files(command, bare, user: Path, tmp_path: Path) -> None:
    new = str(tmp_path / "new")
    first = command("init", "--non-interactive", CLAUDETOOLS_HOME=new)
    assert first.code == 0, first.err
    assert first.out.splitlines()[-1] == "changed: yes"
    recovery, password = user / "claudetools-recovery-key.txt", user / "claudetools-password.txt"
    for file in (recovery, password):
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text().strip() not in first.all
    before = recovery.read_text(), password.read_text()
    second = command("init", "--non-interactive", CLAUDETOOLS_HOME=new)
    assert second.code == 0
    assert second.out.splitlines()[-1] == "changed: no"
    assert all(line.startswith("is there") for line in second.out.splitlines()[:-1])
    assert (recovery.read_text(), password.read_text()) == before
    assert command("login", "--password-file", str(password), CLAUDETOOLS_HOME=new).code == 0


def test_a_recovery_key_is_never_written_over(command, user: Path, tmp_path: Path) -> None:
    kept = user / "claudetools-recovery-key.txt"
    kept.write_text("the key of another vault")
    said = command("init", "--non-interactive", CLAUDETOOLS_HOME=str(tmp_path / "new"))
    assert said.code == 6
    assert "not overwritten" in said.err
    assert kept.read_text() == "the key of another vault"
    kept.unlink()
    assert command("init", "--non-interactive", CLAUDETOOLS_HOME=str(tmp_path / "new")).code == 0


def test_check_changes_nothing(command, user: Path, tmp_path: Path) -> None:
    said = command("init", "--check", "--non-interactive", CLAUDETOOLS_HOME=str(tmp_path / "new"))
    assert said.code == 0
    assert "would make" in said.out
    assert said.out.splitlines()[-1] == "changed: no"
    assert not (tmp_path / "new").exists()
    assert list(user.iterdir()) == []


def test_a_short_password_is_refused(command, tmp_path: Path) -> None:
    file = tmp_path / "short.txt"
    file.write_text("short")
    file.chmod(0o600)
    said = command("init", "--non-interactive", "--password-file", str(file), CLAUDETOOLS_HOME=str(tmp_path / "new"))
    assert said.code == 2
    assert "10 to 1024" in said.err
    assert "Traceback" not in said.err


def test_the_recovery_key_brings_a_lost_root_key_back(person, home: Path, recovery_file: Path, password_file: Path) -> None:
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
