"""`claudetools person`: who may log in to this vault, and as what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domain.identity import ROLES
from domain.plain import Plain
from mcp_server.cli import acting, ask, show

app = typer.Typer(help="Persons: who may log in to this vault.", no_args_is_help=True, add_completion=False)

Name = Annotated[str, typer.Argument(help="The person's name.")]
Role = Annotated[str, typer.Option("--role", help="One of: " + ", ".join(ROLES) + ".")]
NewPassword = Annotated[
    Path | None,
    typer.Option(
        "--new-password-file", metavar="FILE", help="Where the new password stands, instead of asking for it."
    ),
]


@app.command()
def add(
    name: Name,
    *,
    role: Role = "technician",
    new_password_file: NewPassword = None,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Add a person with a first password, which that person then changes.

    An owner and an admin may do all; a technician all but keys, machines and persons; an auditor reads.  Asks for your own
    password first; refuses under Claude Code.
    """
    with acting.at_the_terminal("adding a person", password_file) as (vault, actor):
        first = _new(new_password_file, f"First password of {show.clean(name)}: ")
        made = vault.persons.add(actor, name, role, first)
    if json:
        show.as_json({"person": made.name, "role": made.role})
        return
    print(
        f"added {show.clean(made.name)} as {made.role}; next, as that person: claudetools login {show.clean(made.name)}"
    )


@app.command("list")
def list_(*, json: show.Json = False) -> None:
    """List everybody."""
    with acting.logged_in() as (vault, actor):
        found = vault.persons.every(actor)
    if json:
        show.as_json(
            {
                "items": [
                    {
                        "person": one.name,
                        "role": one.role,
                        "state": one.state,
                        "second_factor": one.has_factor,
                        "agents": one.agents,
                    }
                    for one in found
                ]
            }
        )
        return
    show.table(
        ("person", "role", "state", "second factor", "agents", "since"),
        (
            (one.name, one.role, one.state, "yes" if one.has_factor else "no", one.agents, show.day(one.created_us))
            for one in found
        ),
    )


@app.command()
def password(
    *,
    of: Annotated[str, typer.Option("--of", metavar="NAME", help="Another person's, as an owner.")] = "",
    new_password_file: NewPassword = None,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Change your password.  Asks for the one of now and twice for the new one; refuses under Claude Code."""
    with acting.at_the_terminal("changing a password", password_file) as (vault, actor):
        new = _new(new_password_file, f"New password of {show.clean(of or actor.name)}: ")
        whose = vault.persons.set_password(actor, new, of=of)
    if json:
        show.as_json({"person": whose})
        return
    print(f"{show.clean(whose)} has a new password")


@app.command()
def role(
    name: Name,
    role: Annotated[str, typer.Argument(help="One of: " + ", ".join(ROLES) + ".")],
    *,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Give a person another role; rights that it takes away are gone at once.  Asks for your password; refuses under Claude Code."""
    with acting.at_the_terminal("changing a role", password_file) as (vault, actor):
        done = vault.persons.set_role(actor, name, role)
    if json:
        show.as_json({"person": done.name, "role": done.role})
        return
    print(f"{show.clean(done.name)} is {done.role} now")


@app.command()
def revoke(
    name: Name,
    *,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Shut a person out, with all agents.  Asks for your password; refuses under Claude Code.

    Machines that hold the vault's key are shut out by `claudetools machine revoke`.
    """
    with acting.at_the_terminal("shutting a person out", password_file) as (vault, actor):
        done = vault.persons.revoke(actor, name)
    _state(done.name, done.state, as_json=json)


@app.command()
def restore(
    name: Name,
    *,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Let a person in again, with the password from before.  Asks for your password; refuses under Claude Code."""
    with acting.at_the_terminal("letting a person in", password_file) as (vault, actor):
        done = vault.persons.restore(actor, name)
    _state(done.name, done.state, as_json=json)


def _state(name: str, state: str, *, as_json: bool) -> None:
    if as_json:
        show.as_json({"person": name, "state": state})
        return
    print(f"{show.clean(name)} is {'let in again' if state == 'active' else 'shut out, with all agents'}")


def _new(file: Path | None, prompt: str) -> Plain:
    return ask.password(file, prompt, twice=file is None)
