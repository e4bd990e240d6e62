"""`claudetools exposure`: how far values may go, for the whole vault or one client at once."""

from __future__ import annotations

from typing import Annotated

import typer

from domain.credentials import EXPOSURES, Exposure
from domain.errors import Conflict, Invalid
from mcp_server.cli import ask, person, show

app = typer.Typer(
    help="How far values may go: metadata < strict < sealed < reveal.", no_args_is_help=True, add_completion=False
)

_MEANS = {
    "metadata": "agents see that it exists, and do not use it",
    "strict": "agents use it and are told the outcome alone",
    "sealed": "agents use it and see what the program printed, masked",
    "reveal": "agents may also open it, and Claude Code asks a person each time",
}


@app.command("show")
def show_(*, json: show.Json = False) -> None:
    """Show what each level means, and which one new credentials get."""
    with person.logged_in() as (vault, actor):
        default = vault.levels.default(actor)
    if json:
        show.as_json({"default": default, "levels": _MEANS})
        return
    show.table(
        ("level", "", "what agents may do"),
        ((name, "default" if name == default else "", said) for name, said in _MEANS.items()),
    )


@app.command("set")
def set_(
    level: Annotated[str, typer.Argument(help="One of: " + ", ".join(EXPOSURES) + ".")],
    *,
    client: Annotated[str, typer.Option("--client", help="Only this client's credentials; the default stays.")] = "",
    loosen: Annotated[bool, typer.Option("--loosen", help="Open those that are closer, too.")] = False,
    new_only: Annotated[bool, typer.Option("--new-only", help="Only the default of new credentials.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Set the default of new credentials, and bring all others down to it.  Asks for your password; refuses under Claude Code.

    What is closer already stays so, unless you say --loosen.  It may be ended, and goes on where it was.
    """
    wanted = _level(level)
    if client and new_only:
        raise Invalid("a client has no default of its own", fields={"--new-only": "not together with --client"})
    with person.at_the_terminal("setting how far values may go", password_file) as (vault, actor):
        whose = f"of {show.clean(client)}" if client else "of the whole vault"
        ask.confirm(f"Set {'new credentials' if new_only else f'all credentials {whose}'} to {wanted}?", yes=yes)
        before = ""
        if not client:
            try:
                before = vault.levels.set_default(actor, wanted)
            except Conflict:
                before = wanted
        changed, left = (0, 0) if new_only else vault.levels.set_all(actor, wanted, client=client, loosen=loosen)
    if json:
        show.as_json({"level": wanted, "default_before": before, "changed": changed, "left": left})
        return
    if not client:
        print(f"new credentials get {wanted}" + (f" (before: {before})" if before != wanted else ""))
    if not new_only:
        print(f"changed {changed}; {left} stay as they are")


def _level(text: str) -> Exposure:
    for level in EXPOSURES:
        if level == text:
            return level
    raise Invalid(
        "no such level", fields={"level": "one of: " + ", ".join(EXPOSURES)}, hint="claudetools exposure show"
    )
