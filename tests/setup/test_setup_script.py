"""setup.sh before it installs anything: its options, the interpreter it picks, and what it does without one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.setup.conftest import Run, put, put_python, snapshot

VERSION = "{}.{}".format(*sys.version_info)


def test_an_unknown_option_is_a_clear_error_and_is_not_repeated(run: Run) -> None:
    ended = run("--pasword=hunter2-and-more")
    assert ended.returncode == 2
    assert "unknown option" in ended.stderr
    assert "./setup.sh --help" in ended.stderr
    assert "hunter2" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("options", [("--home",), ("--home=",), ("--password-file", "")])
def test_an_option_without_its_value_is_a_clear_error(run: Run, options: tuple[str, ...]) -> None:
    ended = run(*options)
    assert ended.returncode == 2
    assert f"{options[0].rstrip('=')} needs a value" in ended.stderr


def test_a_password_in_the_url_of_the_database_goes_no_further(run: Run, user: Path) -> None:
    for option in ("--database=mariadb+pymysql://me:hunter2@db.example.com/ct", "--database"):
        ended = run(option, *(["mariadb+pymysql://me:hunter2@db.example.com/ct"] if option == "--database" else []))
        assert ended.returncode == 2
        assert "--database-password-file" in ended.stderr
        assert "hunter2" not in ended.stderr + ended.stdout
    assert snapshot(user) == {}


def test_help_tells_the_options_and_does_nothing(run: Run, checkout: Path, user: Path) -> None:
    before = snapshot(checkout), snapshot(user)
    ended = run("--help")
    assert ended.returncode == 0
    assert "--recovery-file" in ended.stdout
    assert (snapshot(checkout), snapshot(user)) == before


def test_check_tells_the_steps_and_changes_nothing(run: Run, checkout: Path, user: Path, programs: Path) -> None:
    put_python(programs)
    before = snapshot(checkout), snapshot(user)
    ended = run("--check", "--home", "data")
    assert ended.returncode == 0, ended.stderr
    assert f"would install {checkout}/.venv" in ended.stdout
    assert f"would set up {user}/data" in ended.stdout
    assert "nothing was changed" in ended.stdout
    assert (snapshot(checkout), snapshot(user)) == before


def test_without_a_terminal_it_does_not_begin_to_ask(run: Run, programs: Path, user: Path) -> None:
    put_python(programs)
    ended = run()
    assert ended.returncode == 2
    assert "./setup.sh --non-interactive" in ended.stderr
    assert snapshot(user) == {}


def test_a_shim_without_an_interpreter_behind_it_is_passed_over(run: Run, programs: Path) -> None:
    put(programs, "python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    put(programs, "python3.12", "exit 1")
    put_python(programs)
    ended = run("--check")
    assert ended.returncode == 0, ended.stderr
    assert f"python        {VERSION}." in ended.stdout
    assert str(programs) not in ended.stdout.splitlines()[0]


def test_an_old_python_is_not_taken(run: Run, programs: Path) -> None:
    put(programs, "id", "echo 1000")
    put(programs, "apt-get", "exit 1")
    put(programs, "python3", "exit 1")  # what real_python answers for 3.10
    ended = run("--check")
    assert "would install python3 python3-venv" in ended.stdout


def test_a_normal_user_without_sudo_is_told_the_one_command(run: Run, programs: Path, checkout: Path) -> None:
    put(programs, "id", "echo 1000")
    put(programs, "apt-get", "echo called >&2; exit 99")
    put_python(programs, makes_environments=False)
    ended = run("--non-interactive")
    assert ended.returncode == 75
    assert f"sudo apt-get install -y --no-install-recommends python{VERSION}-venv" in ended.stderr
    assert "called" not in ended.stderr
    assert not (checkout / ".venv").exists()


def test_a_sudo_that_would_ask_is_not_used(run: Run, programs: Path) -> None:
    put(programs, "id", "echo 1000")
    put(programs, "apt-get", "exit 99")
    put(programs, "sudo", 'if [ "$1" = -n ]; then exit 1; fi; echo asked; read -r answer')
    put_python(programs, makes_environments=False)
    ended = run("--non-interactive")
    assert ended.returncode == 75
    assert "asked" not in ended.stdout


@pytest.mark.parametrize("user_id", ["0", "1000"])
def test_missing_packages_are_installed_as_root_or_by_a_sudo_that_asks_nothing(
    run: Run, programs: Path, tmp_path: Path, user_id: str
) -> None:
    called = tmp_path / "called"
    put(programs, "id", f"echo {user_id}")
    put(programs, "sudo", f'echo "sudo $*" >>{called}; if [ "$2" = true ]; then exit 0; fi; shift; exec "$@"')
    put(programs, "apt-get", f'echo "apt-get $*" >>{called}; exit 3')
    put_python(programs, makes_environments=False)
    ended = run("--non-interactive")
    assert ended.returncode == 75  # the stand-in refuses, and that is told
    assert f"could not install python{VERSION}-venv" in ended.stderr
    lines = called.read_text().splitlines()
    assert any(line.startswith(f"apt-get install -y --no-install-recommends python{VERSION}-venv") for line in lines)
    assert "apt-get update -q" in lines
    assert any(line.startswith("sudo") for line in lines) == (user_id != "0")


def test_a_venv_folder_that_is_no_environment_is_left_alone(run: Run, programs: Path, checkout: Path) -> None:
    put_python(programs)
    (checkout / ".venv").mkdir()
    (checkout / ".venv/mine.txt").write_text("mine")
    ended = run("--non-interactive")
    assert ended.returncode == 1
    assert "is no Python environment" in ended.stderr
    assert (checkout / ".venv/mine.txt").read_text() == "mine"


def test_uninstalling_what_is_not_there_is_no_error(run: Run, programs: Path, user: Path) -> None:
    put_python(programs)
    ended = run("--uninstall", "--home", str(user / "data"))
    assert ended.returncode == 0, ended.stderr
    assert snapshot(user) == {}


def test_the_environment_is_made_anew_only_when_what_it_is_made_from_changed(checkout: Path) -> None:
    def fingerprint(mode: str = "setup") -> str:
        script = f"source ./setup.sh; version=3.11.0 mode={mode}; fingerprint"
        ended = subprocess.run(["bash", "-c", script], cwd=checkout, capture_output=True, text=True, check=True)
        return ended.stdout.strip()

    first = fingerprint()
    assert first == fingerprint()
    assert first != fingerprint("test")
    with (checkout / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    assert first != fingerprint()
