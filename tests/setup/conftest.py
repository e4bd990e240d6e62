"""A checkout of its own, a home of its own, and stand-ins for the programs that would change this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("setup.sh", "pyproject.toml", "requirements.txt", "requirements-dev.txt", "requirements-client.txt")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files of the project that setup works with, in a folder of their own."""
    place = tmp_path / "checkout"
    place.mkdir()
    for name in NEEDED:
        shutil.copy2(ROOT / name, place / name)
    for room in ("domain", "storage", "hooks", "mcp_server"):
        (place / room).symlink_to(ROOT / room)
    return place


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A user's home folder."""
    place = tmp_path / "user"
    place.mkdir()
    return place


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder that stands alone on PATH: the system's plain tools, and what a test puts there."""
    place = tmp_path / "programs"
    place.mkdir()
    for name in ("bash", "cat", "cut", "dirname", "env", "grep", "id", "ln", "mkdir", "printf", "readlink", "rm", "sha256sum",
                 "sleep", "sort", "tail", "wc"):  # fmt: skip
        found = shutil.which(name, path="/usr/bin:/bin")
        assert found is not None
        (place / name).symlink_to(found)
    return place


@pytest.fixture
def run(checkout: Path, user: Path, programs: Path) -> Run:
    """Runs the checkout's setup.sh, without a terminal."""

    def start(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(checkout / "setup.sh"), *options],
            env={"HOME": str(user), "PATH": str(programs), "LANG": "C.UTF-8", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=user,
        )

    return start


def put(programs: Path, name: str, text: str) -> None:
    """Write a shell script that stands in for a program."""
    file = programs / name
    file.unlink(missing_ok=True)
    file.write_text(f"#!{shutil.which('bash', path='/usr/bin:/bin')}\n{text}\n")
    file.chmod(0o755)


def put_python(programs: Path, *, makes_environments: bool = True, name: str = "python3") -> None:
    """This very Python under `name`; if it is not to make environments, without `ensurepip`."""
    refuse = "" if makes_environments else 'for word in "$@"; do if [ "$word" = full ]; then exit 1; fi; done\n'
    put(programs, name, f'{refuse}exec {os.path.realpath(sys.executable)} "$@"')


def snapshot(top: Path) -> dict[str, bytes]:
    """Every path below `top`, with the bytes of files and the targets of links."""
    found: dict[str, bytes] = {}
    for path in sorted(top.rglob("*")):
        if path.is_symlink():
            found[str(path)] = str(path.readlink()).encode()
        else:
            found[str(path)] = path.read_bytes() if path.is_file() else b""
    return found
