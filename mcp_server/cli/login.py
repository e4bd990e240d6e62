"""`claudetools login`: a person proves a password and may act at the command line for an hour."""

from __future__ import annotations

from typing import Annotated

import typer

from domain.identity import LOGIN_SECONDS
from mcp_server.cli import acting, ask, show
from mcp_server.config import write_private

app = typer.Typer(add_completion=False)


@app.command()
def login(
    name: Annotated[str, typer.Argument(help="Who you are; without it, the person of this machine.")] = "",
    *,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Log in with your password.  The login lasts an hour and lies in the data directory, for you alone to read."""
    with acting.vault() as vault:
        who = name or vault.settings.person_name
        given = ask.password(password_file, f"Password of {who}: ")
        token = vault.identity.login(who, given.expose())
        actor = vault.identity.actor(token)
        write_private(vault.settings.login_file, token)
    if json:
        show.as_json({"person": actor.name, "minutes": LOGIN_SECONDS // 60})
        return
    print(f"logged in as {show.clean(actor.name)} for {LOGIN_SECONDS // 60} minutes")
