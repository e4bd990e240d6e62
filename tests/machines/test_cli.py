"""What a person types, on each machine, and what is answered."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcp_server.cli import entrance, presence
from mcp_server.cli import machine as machine_commands
from mcp_server.config import load_settings
from tests.kit.mariadb import OWNER
from tests.machines.conftest import PASSWORD, PERSON, Machine, World


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)


Run = Callable[..., Said]


def private(file: Path, text: str) -> str:
    file.write_text(text + "\n")
    file.chmod(0o600)
    return str(file)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Types one command on a machine."""
    for name in list(os.environ):
        if name.startswith("CLAUDE"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(presence, "_above", lambda _processes: iter(()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def type_(machine: Machine, *arguments: str, **environment: str) -> Said:
        capfd.readouterr()
        monkeypatch.setenv("CLAUDETOOLS_HOME", str(machine.home))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code = entrance.run(arguments)
        said = capfd.readouterr()
        for name in environment:
            monkeypatch.delenv(name, raising=False)
        return Said(code, said.out, said.err)

    return type_


@pytest.fixture
def password(tmp_path: Path) -> str:
    """The person's password in a private file."""
    return private(tmp_path / "password", PASSWORD)


def test_from_an_empty_database_to_a_machine_that_was_shut_out(world: World, run: Run, password: str, tmp_path: Path):
    first, second = world.machine("first"), world.machine("second")
    owner = private(tmp_path / "owner", world.passwords[OWNER])
    made = run(
        first, "init", "--non-interactive", "--database", world.url, "--database-password-file", owner, "--machine", "desk",
        "--person", PERSON, "--password-file", password, "--recovery-file", str(tmp_path / "recovery"),
    )  # fmt: skip
    assert made.code == 0, made.err
    assert "made          database accounts" in made.out
    assert made.out.endswith("changed: yes\n")
    assert run(first, "login", "--password-file", password).code == 0

    invited = run(
        first, "machine", "invite", "Ben's laptop", "--to", "inv", "--code-to", "code", "--password-file", password
    )
    assert invited.code == 0, invited.err
    assert "./setup.sh --invitation-file FILE" in invited.err
    assert "address of this machine alone" in invited.err
    assert Path("inv").stat().st_mode & 0o077 == Path("code").stat().st_mode & 0o077 == 0
    text, code = Path("inv").read_text().strip(), Path("code").read_text().strip()
    assert text not in invited.out + invited.err
    assert code not in invited.out + invited.err + text
    assert "invited: Ben's laptop, until" in run(first, "machine", "list").out

    joined = run(
        second, "init", "--non-interactive", "--invitation-file", "inv", "--invitation-code-file", "code",
        "--machine", "laptop", "--password-file", password,
    )  # fmt: skip
    assert joined.code == 0, joined.err
    assert f"machine laptop, joined as {PERSON}" in joined.out
    again = run(second, "init", "--non-interactive")
    assert again.out.endswith("changed: no\n")

    assert run(second, "login", "--password-file", password).code == 0
    listed = run(first, "machine", "list", "--json").json
    assert [(one["name"], one["state"], one["here"]) for one in listed["items"]] == [
        ("desk", "active", True),
        ("laptop", "active", False),
    ]
    assert listed["invitations"] == []
    gone = run(first, "machine", "revoke", "laptop")
    assert gone.code == 0, gone.err
    assert "docs/machines.md" in gone.err
    for arguments in (("sync",), ("credential", "list"), ("login", "--password-file", password)):
        refused = run(second, *arguments)
        assert refused.code == 4, arguments
        assert "this machine was revoked" in refused.err
        assert "--invitation-file" in refused.err
    assert "kept here and not sent" in (second.home / "log" / "hooks.trouble").read_text()
    assert run(first, "machine", "revoke", "laptop").code == 6
    assert run(first, "audit", "verify").code == 0
    secrets = [world.passwords[OWNER], text, code, PASSWORD]
    for said in (made, invited, joined, again, gone):
        assert not any(secret in said.out + said.err for secret in secrets)


def test_the_password_of_the_database_may_come_from_the_environment(
    world: World, run: Run, password: str, tmp_path: Path
):
    first = world.machine("first")
    arguments = ("init", "--non-interactive", "--database", world.url, "--password-file", password)
    without = run(first, *arguments)
    assert without.code == 2
    assert "CLAUDETOOLS_DATABASE_PASSWORD" in without.err
    assert run(first, *arguments, CLAUDETOOLS_DATABASE_PASSWORD=world.passwords[OWNER]).code == 0


def test_a_password_in_the_url_is_refused_and_not_repeated(world: World, run: Run, password: str):
    first = world.machine("first")
    url = world.url.replace("@", ":hunter2hunter2@")
    said = run(first, "init", "--non-interactive", "--database", url, "--password-file", password)
    assert said.code == 2
    assert "hunter2" not in said.out + said.err
    assert "--database-password-file" in said.err
    assert not first.home.exists()


def test_a_vault_that_is_there_is_not_entered_without_a_key(founded: World, machine: Machine, run: Run, password: str):
    owner = private(machine.home.parent / f"{machine.name}.owner", founded.passwords[OWNER])
    said = run(
        machine, "init", "--non-interactive", "--database", founded.url, "--database-password-file", owner,
        "--password-file", password,
    )  # fmt: skip
    assert said.code == 2
    assert "holds a vault already" in said.err
    assert "--invitation-file FILE" in said.err
    assert "--recovery-key-file FILE" in said.err


def test_it_is_entered_with_the_recovery_key(founded: World, machine: Machine, run: Run, password: str, tmp_path: Path):
    owner = private(tmp_path / "owner", founded.passwords[OWNER])
    key = private(tmp_path / "recovery", founded.recovery_key)
    arguments = ("init", "--non-interactive", "--database", founded.url, "--database-password-file", owner)
    no_person = run(machine, *arguments, "--recovery-key-file", key)
    assert no_person.code == 2
    assert "--password-file" in no_person.err
    wrong = run(
        machine, *arguments, "--recovery-key-file", key, "--password-file", private(tmp_path / "wrong", "not this one")
    )
    assert wrong.code == 3
    said = run(machine, *arguments, "--recovery-key-file", key, "--password-file", password)
    assert said.code == 0, said.err
    assert founded.machines[0].open().audit.verify().findings == ()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--invitation-file", "inv", "--recovery-key-file", "inv"), "leave out one"),
        (("--invitation-code-file", "inv"), "--invitation-file FILE"),
        (("--invitation-file", "missing"), "the invitation file"),
        (("--invitation-file", "inv", "--invitation-code-file", "inv"), "not an invitation"),
        (("--server-fingerprint", "abc"), "fingerprint"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    machine: Machine, run: Run, tmp_path: Path, more: tuple[str, ...], told: str
):
    private(tmp_path / "inv", "hunter2 is not an invitation")
    database = ("--database", "mariadb+pymysql://u@localhost/ct") if "fingerprint" in more[0] else ()
    said = run(machine, "init", "--non-interactive", *database, *more)
    assert said.code == 2, said.err
    assert told in said.err
    assert "hunter2" not in said.err
    assert not machine.home.exists()


def test_an_invitation_asks_for_the_password_and_refuses_under_claude_code(
    founded: World, run: Run, tmp_path: Path, password: str
):
    first = founded.machines[0]
    assert run(first, "login", "--password-file", password).code == 0
    wrong = run(first, "machine", "invite", "--password-file", private(tmp_path / "wrong", "not the password"))
    assert wrong.code == 3
    under = run(first, "machine", "invite", "--password-file", password, CLAUDECODE="1")
    assert under.code == 4
    assert "CTI1-" not in wrong.out + under.out


def test_an_invitation_goes_to_stdout_and_its_code_does_not(founded: World, run: Run, password: str):
    first = founded.machines[0]
    run(first, "login", "--password-file", password)
    said = run(first, "machine", "invite", "x", "--password-file", password)
    assert said.out.startswith("CTI1-")
    assert said.out.count("\n") == 1
    code = said.err.split()[-1]
    assert len(code) == 29
    assert code not in said.out
    as_json = run(first, "machine", "invite", "x", "--password-file", password, "--json", "--code-to", "c").json
    assert as_json["text"].startswith("CTI1-")
    assert "code" not in as_json
    withdrawn = run(first, "machine", "withdraw", as_json["invitation"]["id"])
    assert withdrawn.code == 0
    assert run(first, "machine", "withdraw", as_json["invitation"]["id"]).code == 6
    assert run(first, "machine", "withdraw", "iv_nothing").code == 5


def test_waiting_ends_when_the_invitation_is_used_or_was_interrupted(
    founded: World, machine: Machine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    first = founded.machines[0]
    monkeypatch.setattr(machine_commands, "LOOK_EVERY_S", 0.0)
    invited = founded.invite(first)
    founded.join(machine, invited)
    machine_commands._await(first.app, first.person(), invited.invitation)
    assert "used: second is joining" in capfd.readouterr().out
    left = founded.invite(first)

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(machine_commands.time, "sleep", interrupt)
    with pytest.raises(machine_commands.typer.Exit):
        machine_commands._await(first.app, first.person(), left.invitation)
    assert first.app.machines.invitation(left.invitation.invitation_id).state == "revoked"


def test_ones_own_machine_is_not_revoked_without_a_yes(world: World, run: Run, password: str):
    first, second = world.found(), world.machine("second")
    world.join(second, world.invite(first))
    first.close()
    run(second, "login", "--password-file", password)
    assert run(second, "machine", "revoke", "second").code == 2
    assert run(second, "machine", "revoke", "second", "--yes").code == 0
    assert run(second, "machine", "list").code == 4
    run(first, "login", "--password-file", password)
    last = run(first, "machine", "revoke", "first", "--yes")
    assert last.code == 6
    assert "last machine" in last.err


def test_the_accounts_sql_is_printed_and_other_accounts_are_tried_before_they_are_kept(
    founded: World, run: Run, tmp_path: Path
):
    first = founded.machines[0]
    said = run(first, "database", "accounts")
    assert "GRANT SELECT, INSERT ON" in said.out
    assert "IDENTIFIED BY '...'" in said.out
    before = load_settings(first.home)
    refused = run(
        first, "database", "account", "nobody", "--database-password-file", private(tmp_path / "p", "not this one")
    )
    assert refused.code == 2
    assert load_settings(first.home) == before


def test_an_embedded_vault_invites_nobody_and_says_what_does(tmp_path: Path, run: Run, password: str):
    first = Machine(tmp_path / "embedded", "embedded")
    assert run(first, "init", "--non-interactive", "--password-file", password).code == 0
    assert run(first, "login", "--password-file", password).code == 0
    said = run(first, "machine", "invite", "--password-file", password)
    assert said.code == 2
    assert "claudetools move" in said.err
    assert [one["name"] for one in run(first, "machine", "list", "--json").json["items"]] != []
    for arguments in (("database", "accounts"), ("database", "pin", "0" * 64)):
        assert run(first, *arguments).code == 6
    other = run(first, "init", "--non-interactive", "--database", "mariadb+pymysql://u@localhost/ct")
    assert other.code == 6
    assert "claudetools move --to mariadb+pymysql://u@localhost/ct" in other.err
