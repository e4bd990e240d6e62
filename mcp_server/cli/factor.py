"""`claudetools factor`: the one-time codes that you show besides your password."""

from __future__ import annotations

from typing import Annotated

import typer

from domain.errors import Invalid
from mcp_server.cli import acting, ask, presence, show

app = typer.Typer(
    help="Your second factor: one-time codes of an authenticator app.", no_args_is_help=True, add_completion=False
)
_GROUP = 4


@app.command()
def add(*, password_file: ask.PasswordFile = None) -> None:
    """Show a key for your authenticator app, and keep it once you have typed a code of it.

    At a terminal alone: the key is shown once.  Asks for your password; refuses under Claude Code.
    """
    from mcp_server.services.factors import address_of

    presence.refuse_under_claude("a second factor")
    if not ask.has_terminal():
        raise Invalid(
            "the key is shown at a terminal alone, and there is none", hint="type it in a terminal of your own"
        )
    with acting.at_the_terminal("a second factor", password_file) as (vault, actor):
        seed = vault.factors.begin(actor)
        text = seed.expose()
        ask.say("Put this key into your authenticator app (time based, six digits):\n")
        ask.say("    " + " ".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP)))
        ask.say("\nor this address:\n\n    " + address_of(seed, actor.name, vault.settings.machine_name) + "\n")
        vault.factors.add(actor, seed, ask.code(None))
    print("kept; claudetools approval step-up asks for a code of it")


@app.command("show")
def show_(*, json: show.Json = False) -> None:
    """Tell whether you have one."""
    with acting.logged_in() as (vault, actor):
        has = vault.factors.has(actor)
    if json:
        show.as_json({"person": actor.name, "second_factor": has})
        return
    print("you have a second factor" if has else "you have no second factor: claudetools factor add")


@app.command()
def remove(
    *,
    of: Annotated[
        str, typer.Option("--of", metavar="NAME", help="Another person's who has lost it, as an owner.")
    ] = "",
    password_file: ask.PasswordFile = None,
    code_file: ask.CodeFile = None,
    json: show.Json = False,
) -> None:
    """Take your second factor away, by a code of it.  Asks for your password; refuses under Claude Code."""
    with acting.at_the_terminal("taking a second factor away", password_file) as (vault, actor):
        if of:
            vault.factors.remove_of(actor, of)
        else:
            vault.factors.remove(actor, ask.code(code_file))
    if json:
        show.as_json({"person": of or actor.name, "second_factor": False})
        return
    print(f"{show.clean(of or actor.name)} has no second factor any more")
