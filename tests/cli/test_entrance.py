"""The one door: help, exit codes, and errors that never repeat what was typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_server.cli import COMMANDS

CANARY = "canary-Zx81-do-not-repeat"


def test_help_imports_neither_the_database_nor_the_protocol(environment: dict[str, str]) -> None:
    script = (
        "import sys; from mcp_server.cli.entrance import run; code = run(['--help']);"
        "heavy = {'sqlalchemy', 'mcp', 'pydantic', 'cryptography', 'argon2', 'jwt', 'alembic'} & set(sys.modules);"
        "sys.exit(f'imported {sorted(heavy)}' if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout


def test_the_server_starts_without_the_command_line(environment: dict[str, str]) -> None:
    script = (
        "import sys, runpy; import mcp_server.stdio as stdio;"
        "stdio.serve = lambda home: print(home, 'typer' in sys.modules) or sys.exit(0);"
        "sys.argv = ['claudetools', 'mcp', '--home', '/somewhere'];"
        "runpy.run_module('mcp_server', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["/somewhere", "False"], done.stderr


def test_home_may_stand_anywhere_on_the_line(command, tmp_path: Path, home: Path) -> None:
    elsewhere = str(tmp_path / "nothing-here")
    for arguments in (
        ("--home", elsewhere, "logout"),
        ("logout", "--home", elsewhere),
        ("logout", f"--home={elsewhere}"),
    ):
        said = command(*arguments)
        assert said.code == 2
        assert elsewhere in said.err
    assert command("logout", "--home", str(home), CLAUDETOOLS_HOME=elsewhere).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (CANARY,),
        ("credential", CANARY),
        ("credential", "add", "Gitea", CANARY),
        ("credential", "add", "Gitea", f"--{CANARY}"),
        ("credential", "add", "Gitea", f"--password={CANARY}"),
        ("credential", "list", "--limit", CANARY),
        ("credential", "list", "--type", CANARY),
        ("credential", "list", "--state", CANARY),
        ("credential", "show", CANARY),
        ("credential", "reveal", CANARY, "--purpose", CANARY),
        ("credential", "add", "Gitea", "--type", CANARY, "--generate"),
        ("credential", "add", "Gitea", "--open", CANARY, "--generate"),
        ("credential", "add", "Gitea", "--open", f"{CANARY}=x", "--generate"),
        ("credential", "add", "Gitea", "--exposure", CANARY, "--generate"),
        ("credential", "add", "Gitea", "--expires", CANARY, "--generate"),
        ("credential", "add", "Gitea", "--alphabet", CANARY, "--generate"),
        ("credential", "rotate", CANARY, "--generate"),
        ("credential", "rm", CANARY, "--yes"),
        ("audit", "search", "--since", CANARY),
        ("audit", "search", "--outcome", CANARY),
        ("audit", "search", "--action", CANARY),
        ("audit", "search", "--cursor", CANARY),
        ("incident", "open", CANARY, "Something"),
        ("incident", "open", "phishing", "Something", "--severity", CANARY),
        ("incident", "open", "phishing", "Something", "--indicator", f"ip={CANARY}"),
        ("incident", "open", "phishing", "Something", "--client", CANARY),
        ("incident", "open", "phishing", "Something", "--date", CANARY),
        ("incident", "show", CANARY),
        ("incident", "update", CANARY, "--note", "x"),
        ("context", "show", CANARY),
        ("context", "forget", CANARY, "--purpose", "x", "--yes"),
        ("context", "recall", "x", "--kind", CANARY),
        ("agent", "revoke", CANARY),
        ("agent", "enroll", f"{CANARY} {CANARY}"),
        ("client", "use", CANARY),
        ("login", CANARY),
    ],
)
def test_what_was_typed_is_not_repeated_in_a_refusal(person, password_file: Path, arguments: tuple[str, ...]) -> None:
    if arguments[:2] in (("credential", "reveal"), ("agent", "enroll")) or arguments[0] == "login":
        arguments = (*arguments, "--password-file", str(password_file))
    plain = person(*arguments)
    assert 2 <= plain.code <= 6, plain.all
    assert plain.err.startswith("claudetools: ")
    assert CANARY not in plain.all
    as_json = person(*arguments, "--json")
    assert as_json.code == plain.code
    assert as_json.error["message"]
    assert CANARY not in as_json.all


def test_a_refusal_names_the_next_command(run) -> None:
    said = run("credential", "list")
    assert said.code == 3
    assert said.err.splitlines() == ["claudetools: nobody is logged in", "  next: claudetools login"]
    assert run("credential", "list", "--json").error["code"] == "unauthenticated"


def test_an_unexpected_error_leaves_an_id_and_its_places_but_not_its_text(
    run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp_server.cli import logout

    def explode(*_: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(logout, "load_settings", explode)
    said = run("logout")
    assert said.code == 1
    assert "Traceback" not in said.err
    (error_id,) = (word.rstrip(",") for word in said.err.split() if word.startswith("er_"))
    log = home / "log" / "cli.log"
    assert log.stat().st_mode & 0o777 == 0o600
    assert error_id in log.read_text()
    assert "RuntimeError" in log.read_text()
    assert CANARY not in log.read_text() + said.all


def test_an_argument_that_is_no_text_is_refused(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable.encode(), b"-I", b"-m", b"mcp_server", b"credential", b"show", b"\xff\xfe"],
        env={**environment, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"not valid UTF-8" in done.stderr


def test_a_reader_that_leaves_early_is_no_error(environment: dict[str, str]) -> None:
    line = f"{sys.executable} -I -m mcp_server --help | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


def test_version_tells_itself_for_people_and_programs(command) -> None:
    from mcp_server import __version__

    assert __version__ in command("version").out
    assert command("version", "--json").json["version"] == __version__


def test_json_answers_are_json_alone(person) -> None:
    for arguments in (
        ("credential", "list"),
        ("client", "list"),
        ("client", "which"),
        ("audit", "search"),
        ("audit", "verify"),
        ("incident", "list"),
        ("context", "recall"),
        ("context", "status"),
        ("sync",),
        ("agent", "list"),
        ("plugin", "status"),
        ("statusline", "show"),
        ("version",),
        ("logout",),
    ):
        said = person(*arguments, "--json")
        assert said.code == 0, arguments
        assert isinstance(json.loads(said.out), dict), arguments
