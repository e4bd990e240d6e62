"""setup.sh from beginning to end, with the real client: set up, again, checked, taken out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.kit.stores import Databases, store_of
from tests.setup.conftest import ROOT, Run, put_python, snapshot

SETTINGS = b'{"model":"opus",\n\n   "permissions":{"allow":["Bash(ls:*)"]}, "enabledPlugins" : {}}'


@pytest.fixture
def installed(checkout: Path, programs: Path) -> Path:
    """The checkout with its environment made already, from the packages that run this test: nothing is fetched."""
    put_python(programs)
    venv = checkout / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    packages = venv / "lib" / Path(sysconfig.get_path("purelib")).relative_to(Path(sys.prefix) / "lib")
    (packages / "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    command = venv / "bin" / "claudetools"
    command.write_text(f"#!{venv}/bin/python\nimport sys\nfrom mcp_server.__main__ import main\nsys.exit(main())\n")
    command.chmod(0o755)
    (venv / ".claudetools-place").write_text(str(checkout))
    version = sys.version.split()[0]
    made = subprocess.run(
        ["bash", "-c", f"source ./setup.sh; version={version}; fingerprint"],
        cwd=checkout, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (venv / ".claudetools-setup").write_text(made.stdout.strip())
    return checkout


@pytest.fixture
def client(programs: Path, user: Path, client_program: Path) -> Path:
    """The real client on PATH, with settings of its own; its folder."""
    (programs / "claude").symlink_to(client_program)
    folder = user / ".claude"
    folder.mkdir()
    (folder / "settings.json").write_bytes(SETTINGS)
    (user / ".claude.json").write_bytes(b'{"numStartups": 7,  "theme":"dark"}')
    return folder


def clients_files(user: Path) -> dict[str, bytes]:
    return {**snapshot(user / ".claude"), "state": (user / ".claude.json").read_bytes()}


@pytest.mark.client
def test_set_up_again_checked_and_taken_out(
    run: Run, installed: Path, user: Path, client: Path, database: Databases, tmp_path: Path
) -> None:
    asked = database.options(tmp_path)
    before, data = clients_files(user), user / ".local/share/claudetools"

    first = run("--non-interactive", *asked)
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.rstrip().endswith("set up")
    assert json.loads((client / "settings.json").read_text())["enabledPlugins"] == {"claudetools@claudetools": True}
    assert (user / ".local/bin/claudetools").resolve() == installed / ".venv/bin/claudetools"
    for secret in ("claudetools-recovery-key.txt", "claudetools-password.txt"):
        assert (user / secret).stat().st_mode & 0o077 == 0
        assert (user / secret).read_text().strip() not in first.stdout + first.stderr
    assert data.stat().st_mode & 0o077 == 0

    kept = clients_files(user), {name: text for name, text in snapshot(data).items() if "claudetools.db" not in name}
    again = run("--non-interactive", *asked)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.rstrip().endswith("nothing changed")
    checked = run("--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "would" not in checked.stdout
    now = clients_files(user), {name: text for name, text in snapshot(data).items() if "claudetools.db" not in name}
    assert now[0] == kept[0]
    assert {Path(name).name for name in now[1]} >= {Path(name).name for name in kept[1]}

    told = run("--uninstall", "--check")
    assert told.returncode == 0, told.stderr
    assert "would take the plugin out" in told.stdout
    assert clients_files(user) == kept[0]
    gone = run("--uninstall")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert clients_files(user) == before
    assert not (installed / ".venv").exists()
    assert not (user / ".local/bin/claudetools").is_symlink()
    assert store_of(data).exists()
    assert f"stays in {data}" in gone.stdout


@pytest.mark.client
def test_taking_out_works_when_the_environment_is_gone(run: Run, installed: Path, user: Path, client: Path) -> None:
    before = clients_files(user)
    assert run("--non-interactive").returncode == 0
    shutil.rmtree(installed / ".venv")
    gone = run("--uninstall")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert clients_files(user) == before


def test_without_the_client_the_two_commands_are_told(run: Run, installed: Path, user: Path) -> None:
    ended = run("--non-interactive", "--no-claude", "--home", "somewhere")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"claude plugin marketplace add {user}/somewhere/plugin" in ended.stdout
    assert "claude plugin install claudetools@claudetools" in ended.stdout
    assert f"{user}/somewhere/plugin/.mcp.json" in ended.stdout
    assert not (user / ".claude").exists()
