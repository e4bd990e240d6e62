"""`claudetools init`: makes the installation, or what is missing of it."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Conflict, Invalid
from domain.identity import check_password_form
from domain.plain import Plain
from mcp_server.cli import ask, joining, place, show

if TYPE_CHECKING:
    from mcp_server.bootstrap.wanted import Step, Wanted

app = typer.Typer(add_completion=False)

RECOVERY_FILE = "claudetools-recovery-key.txt"
PASSWORD_FILE = "claudetools-password.txt"  # noqa: S105  # the name of a file
_TRIES = 3


@app.command()
def init(
    *,
    person: Annotated[
        str,
        typer.Option(
            "--person", help="Your name: the first person's, or in a vault that exists, whose machine this is."
        ),
    ] = "",
    machine: Annotated[str, typer.Option("--machine", help="What this machine is called; else its host name.")] = "",
    agent: Annotated[str, typer.Option("--agent", help="What the agent on this machine is called.")] = "",
    password_file: ask.PasswordFile = None,
    recovery_file: Annotated[
        Path | None,
        typer.Option("--recovery-file", metavar="FILE", help="Write the recovery key there instead of showing it."),
    ] = None,
    database: Annotated[
        str,
        typer.Option("--database", metavar="URL", help="A MariaDB that several machines share, without its password."),
    ] = "",
    database_password_file: place.DatabasePasswordFile = None,
    server_fingerprint: Annotated[
        str,
        typer.Option(
            "--server-fingerprint", metavar="SHA256", help="Take exactly the server certificate with this fingerprint."
        ),
    ] = "",
    invitation_file: Annotated[
        Path | None,
        typer.Option("--invitation-file", metavar="FILE", help="Join with an invitation from another machine."),
    ] = None,
    invitation_code_file: Annotated[
        Path | None,
        typer.Option("--invitation-code-file", metavar="FILE", help="Where its code stands, instead of asking for it."),
    ] = None,
    recovery_key_file: Annotated[
        Path | None,
        typer.Option("--recovery-key-file", metavar="FILE", help="Join a vault that is there with its recovery key."),
    ] = None,
    non_interactive: Annotated[
        bool, typer.Option("--non-interactive", help="Ask nothing; password and recovery key go into files at home.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Tell what would be done, change nothing.")] = False,
    json: show.Json = False,
) -> None:
    """Make the data directory, keys, database, first person and first agent, or join a vault; a second run changes nothing."""
    from mcp_server.bootstrap import installation
    from mcp_server.bootstrap.pinning import pinned

    if non_interactive:
        recovery_file = recovery_file or Path.home() / RECOVERY_FILE
    wanted = installation.Wanted(
        person=person or None,
        user=os.environ.get("USER", "") or "owner",
        machine=machine,
        agent=agent or installation.DEFAULT_AGENT,
        password=_password(password_file, non_interactive=non_interactive),
        login=_login(password_file, non_interactive=non_interactive),
        deliver=deliver(recovery_file, "claudetools init"),
        entry=joining.entry(invitation_file, invitation_code_file, recovery_key_file, non_interactive=non_interactive),
        invited=invitation_file is not None,
        database=pinned(database, server_fingerprint),
        database_password=place.database_password(database_password_file),
        ask_database_password=None if non_interactive else _ask_database_password,
    )
    steps = _check(wanted) if check else _create(wanted, quiet=json)
    changed = any(one.changed for one in steps)
    if json:
        show.as_json({"changed": changed, "steps": [{"text": one.text, "changed": one.changed} for one in steps]})
        return
    if check:
        for one in steps:
            print(f"{'would make' if one.changed else 'is there':<13} {show.clean(one.text)}")
    print(f"changed: {'yes' if changed and not check else 'no'}")


def _check(wanted: Wanted) -> list[Step]:
    from mcp_server.bootstrap import installation

    return installation.plan(wanted)


def _login(file: Path | None, *, non_interactive: bool) -> Callable[[str], Plain]:
    """How the password of a person who is in the vault already comes: from a file, or from the terminal."""

    def given(name: str) -> Plain:
        if file is None and non_interactive:
            raise Invalid(f"the password of {name} is needed", hint="--password-file FILE")
        return ask.password(file, f"Password of {name} in this vault: ")

    return given


def _ask_database_password(whose: str) -> Plain:
    return ask.hidden(f"Database password of {whose}: ", "--database-password-file FILE")


def _create(wanted: Wanted, *, quiet: bool) -> list[Step]:
    from mcp_server.bootstrap import installation

    steps: list[Step] = []

    def tell(one: Step) -> None:
        steps.append(one)
        if not quiet:
            print(f"{'made' if one.changed else 'is there':<13} {show.clean(one.text)}", flush=True)
            if one.note:
                print(f"{'':<13} {show.clean(one.note)}", flush=True)

    installation.create(wanted, tell)
    return steps


def _password(file: Path | None, *, non_interactive: bool) -> Callable[[], Plain]:
    """How the first person's password comes: from a file, from the terminal, or made and kept in a file."""

    def given() -> Plain:
        if file is not None or not non_interactive:
            typed = ask.password(file, "A password for the first person (10 characters or more): ", twice=True)
            check_password_form(typed.expose())
            return typed
        kept = Path.home() / PASSWORD_FILE
        if kept.exists():
            return ask.password(kept, "")
        made = Plain(secrets.token_urlsafe(18))
        write_new(kept, made.expose() + "\n")
        show.note(f"your password was made and written to {kept}: remember it, then delete the file")
        return made

    return given


def deliver(file: Path | None, command: str) -> Callable[[Plain], None]:
    """How the recovery key reaches a person: a file that was not there, or the terminal, typed back.

    `command` is what is typed again where it was not kept.
    """

    def keep(key: Plain) -> None:
        if file is not None:
            write_new(file, key.expose() + "\n")
            show.note(f"the recovery key was written to {file}: keep it somewhere else, then delete the file")
            return
        if not (ask.has_terminal() and sys.stdin.isatty()):
            raise Invalid("nobody is there to keep the recovery key", hint="--recovery-file FILE")
        with Path("/dev/tty").open("w") as terminal:
            terminal.write(
                "\nThis is the recovery key.  It is shown once, and it opens the vault when this machine is gone.\n"
                f"Write it down and keep it away from this machine:\n\n    {key.expose()}\n\n"
            )
        last = key.expose().rpartition("-")[2]
        for _ in range(_TRIES):
            typed = str(typer.prompt("Type its last group to show that you have it", err=True))
            if typed.strip().upper() == last.upper():
                return
        raise Invalid("the recovery key was not confirmed; nothing was made", hint=command)

    return keep


def write_new(file: Path, text: str) -> None:
    """Writes a private file that was not there.  Raises Conflict, so that no key is ever overwritten."""
    try:
        descriptor = os.open(file.expanduser(), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise Conflict(f"{file} exists and is not overwritten", hint=f"move it away: mv {file} {file}.old") from None
    except OSError as error:
        raise Invalid(f"{file} cannot be written: {error.strerror}", hint="name another file") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
