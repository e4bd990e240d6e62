"""A person at the command line: a vault of their own, commands in this process and as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.plain import Plain
from mcp_server.bootstrap.installation import Wanted, create, write_hooks_settings
from mcp_server.cli import entrance, presence
from mcp_server.config import load_settings
from tests.kit.stores import Databases, copy_home

PASSWORD = "correct horse battery staple"
PERSON = "ann"


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """The answer of a command that was asked with --json."""
        return json.loads(self.out)

    @property
    def error(self) -> dict:
        """The refusal of a command that was asked with --json."""
        return json.loads(self.err)["error"]

    @property
    def all(self) -> str:
        """Everything that was printed."""
        return self.out + self.err


Run = Callable[..., Said]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, database: Databases) -> Path:
    """A vault with one person, one agent, and the recovery key in a file; made once."""
    place = tmp_path_factory.mktemp("installed")
    home = place / "home"

    def keep(key: Plain) -> None:
        (place / "recovery.txt").write_text(key.expose())
        (place / "recovery.txt").chmod(0o600)

    asked = database.asked()
    wanted = Wanted(home=home, person=PERSON, machine="desk", password=lambda: Plain(PASSWORD), deliver=keep, **asked)
    create(wanted, lambda _step: None)
    return place


@pytest.fixture
def home(installed: Path, tmp_path: Path) -> Path:
    """A vault of this test's own."""
    place = tmp_path / "home"
    copy_home(installed / "home", place)
    write_hooks_settings(load_settings(place))
    return place


@pytest.fixture
def recovery_file(installed: Path) -> Path:
    """Where the recovery key of the vault was kept."""
    return installed / "recovery.txt"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """The person's password in a private file."""
    file = tmp_path / "password.txt"
    file.write_text(PASSWORD + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """The person's home directory."""
    place = tmp_path / "user"
    place.mkdir()
    return place


@pytest.fixture
def environment(user: Path, home: Path) -> dict[str, str]:
    """What a command finds in its environment when a person types it."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
    return {**kept, "HOME": str(user), "CLAUDETOOLS_HOME": str(home)}


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> Run:
    """Runs one command as a process of its own, without a terminal."""

    def run(*arguments: str, given: str = "", under: tuple[str, ...] = (), **more: str) -> Said:
        done = subprocess.run(
            [*under, sys.executable, "-I", "-m", "mcp_server", *arguments],
            input=given,
            env={**environment, **more},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            start_new_session=True,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def run(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs one command in this process, by the same door; far faster than a process, for breadth."""
    for name in list(os.environ):
        if name.startswith("CLAUDE"):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # Who runs the tests may be Claude Code; the person of these tests is not.
    monkeypatch.setattr(presence, "_above", lambda _processes: iter(()))

    def start(*arguments: str) -> Said:
        capfd.readouterr()
        code = entrance.run(arguments)
        said = capfd.readouterr()
        monkeypatch.setenv("CLAUDETOOLS_HOME", environment["CLAUDETOOLS_HOME"])
        return Said(code, said.out, said.err)

    return start


@pytest.fixture
def person(run: Run, password_file: Path) -> Run:
    """Commands of a person who is logged in."""
    assert run("login", "--password-file", str(password_file)).code == 0
    return run
