"""`claudetools exposure`: how far values may go, for the whole vault or one client at once, and by which rules."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.credentials import EXPOSURES, Exposure
from domain.errors import Conflict, Invalid
from mcp_server.cli import acting, ask, show

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
    with acting.logged_in() as (vault, actor):
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
    with acting.at_the_terminal("setting how far values may go", password_file) as (vault, actor):
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


@app.command()
def rules(
    reference: Annotated[str, typer.Argument(help="The credential; without it, what new ones get.")] = "",
    *,
    step_up: Annotated[
        bool | None, typer.Option("--step-up/--no-step-up", help="Whether the person's one-time code is needed.")
    ] = None,
    approval: Annotated[
        bool | None, typer.Option("--approval/--no-approval", help="Whether another person's yes is needed.")
    ] = None,
    program: Annotated[
        list[str] | None,
        typer.Option("--program", help="A program that it may go to, by path or name; '' ends the rule."),
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option("--host", help="A host it may be sent to, or *.example; '' ends the rule.")
    ] = None,
    hours: Annotated[
        str | None, typer.Option("--hours", help="As in 'Mon-Fri 08:00-18:00 Europe/Berlin'; '' ends the rule.")
    ] = None,
    uses: Annotated[
        str | None, typer.Option("--uses", help="How often each secret field: 5/h, 20/8h, 3/7d; '' ends the rule.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="End every rule that is not given here.")] = False,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Show the rules of a credential, or of new ones; with an option, set them.

    Rules bind agents and persons.  Setting them asks for your password and refuses under Claude Code; loosening one is for
    owners, who must meet its step-up and its approval themselves.
    """
    said: dict[str, Any] = {"step_up": step_up, "approval": approval, "hours": hours, "uses": uses}
    said |= {"programs": _listed(program), "hosts": _listed(host)}
    said = {name: value for name, value in said.items() if value is not None}
    if not said and not clear:
        with acting.logged_in() as (vault, actor):
            found = vault.rules.of(actor, reference)
    else:
        with acting.at_the_terminal("setting rules", password_file) as (vault, actor):
            if reference:
                found = vault.rules.set(actor, reference, said, zone=own_zone(), clear=clear)
            else:
                found = vault.rules.set_default(actor, said, zone=own_zone(), clear=clear)
    if json:
        show.as_json({"of": found.whose, "exposure": found.level, "rules": list(found.rules.told())})
        return
    show.pairs((("rules of", found.whose), ("exposure", found.level)))
    print("\n".join(f"- {one}" for one in found.rules.told()) or "no rules: the exposure is all that counts")


def own_zone() -> str:
    """The name of this machine's time zone, for hours that name none; UTC where it has none."""
    said = os.environ.get("TZ", "").lstrip(":")
    if said and not said.startswith("/"):
        return said
    with suppress(OSError):
        _, found, name = str(Path("/etc/localtime").readlink()).partition("zoneinfo/")
        if found:
            return name
    return "UTC"


def _listed(given: list[str] | None) -> list[str] | None:
    return None if given is None else [one for one in given if one]


def _level(text: str) -> Exposure:
    for level in EXPOSURES:
        if level == text:
            return level
    raise Invalid(
        "no such level", fields={"level": "one of: " + ", ".join(EXPOSURES)}, hint="claudetools exposure show"
    )
