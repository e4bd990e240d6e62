"""`claudetools machine`: the computers of this vault, invitations for others, and shutting one out."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcp_server.answers import iso
from mcp_server.cli import acting, ask, presence, show
from mcp_server.cli.init import write_new

if TYPE_CHECKING:
    from domain.actors import Actor
    from domain.invitations import Invitation
    from mcp_server.bootstrap import App
    from mcp_server.services.machines import Invited, MachineView

app = typer.Typer(help="Machines: the computers of this vault.", no_args_is_help=True, add_completion=False)

LOOK_EVERY_S = 1.0


@app.command("list")
def list_(*, json: show.Json = False) -> None:
    """List every machine, revoked ones included, and the invitations that are open."""
    with acting.logged_in() as (vault, actor):
        vault.machines.sweep()
        machines = vault.machines.machines(actor)
        open_ones = [one for one in vault.machines.invitations(actor) if one.state == "open"]
        own = vault.settings.machine_id
    if json:
        invited = [_invitation(one) for one in open_ones]
        show.as_json({"items": [_machine(one, own) for one in machines], "invitations": invited})
        return
    show.table(
        ("machine", "state", "since", "last here", "release", "agents", "here", "id"),
        (
            (
                one.name,
                one.state,
                show.day(one.created_us),
                show.moment(one.seen_us) if one.seen_us else "",
                show.clean(one.program),
                ", ".join(one.agents),
                _here(one, own),
                one.machine_id,
            )
            for one in machines
        ),
        empty="no machines",
    )
    for one in open_ones:
        print(f"invited: {show.clean(one.label)}, until {show.moment(one.expires_us)} ({one.invitation_id})")


@app.command()
def invite(
    label: Annotated[str, typer.Argument(help="What the log calls the new machine until it is there.")] = "new machine",
    *,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write the invitation there instead of showing it.")
    ] = None,
    code_to: Annotated[
        Path | None, typer.Option("--code-to", metavar="FILE", help="Write its code there instead of showing it.")
    ] = None,
    address: Annotated[
        str,
        typer.Option("--address", metavar="HOST[:PORT]", help="How the other machine reaches the database server."),
    ] = "",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="At a terminal, wait until it was used or has run out.")
    ] = True,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Invite another computer into this vault: good once, for ten minutes.  Asks for your password."""
    from mcp_server.bootstrap.inviting import way_for_others

    with acting.at_the_terminal("inviting a machine", password_file) as (vault, actor):
        way = way_for_others(vault.settings, address)
        invited = vault.machines.invite(actor, label, way.reach)
        if way.only_here:
            show.note(f"{way.place} is an address of this machine alone; for another one: --address HOST[:PORT]")
        _hand_over(invited, to, code_to, as_json=json)
        if wait and not json and sys.stdout.isatty():
            _await(vault, actor, invited.invitation)


def _hand_over(invited: Invited, to: Path | None, code_to: Path | None, *, as_json: bool) -> None:
    """The text to one place and the code to another: who finds one of them has nothing."""
    one = invited.invitation
    if to is not None:
        write_new(to, invited.text + "\n")
    if code_to is not None:
        write_new(code_to, invited.code.expose() + "\n")
    if as_json:
        said: dict[str, object] = {"invitation": _invitation(one)}
        said |= {"text": invited.text} if to is None else {"file": str(to)}
        said |= {"code": invited.code.expose()} if code_to is None else {"code_file": str(code_to)}
        show.as_json(said)
        return
    until = f"good once, until {show.moment(one.expires_us)}"
    if to is None:
        show.note(f"The invitation for {one.label}, one line, {until}:\n")
        print(invited.text, flush=True)
    else:
        show.note(f"The invitation for {one.label} is in {to}, {until}.")
    show.note("\nOn the other machine, in a checkout of this program, with that line in a file:")
    show.note("    ./setup.sh --invitation-file FILE")
    if code_to is None:
        show.note("\nIt asks for this code.  Tell it by another way than the invitation, for example by telephone:")
        show.note(f"    {invited.code.expose()}\n")
    else:
        show.note(f"\nIts code is in {code_to}: bring it by another way than the invitation.")


def _await(vault: App, actor: Actor, one: Invitation) -> None:
    """Waits until the invitation was used or has run out; ^C withdraws it."""
    show.note("Waiting for it to be used; ^C withdraws it.")
    try:
        while (now := vault.machines.invitation(one.invitation_id)).state == "open":
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        vault.machines.withdraw(actor, one.invitation_id)
        show.note("withdrawn: it opens nothing any more")
        raise typer.Exit(130) from None
    if now.state == "used":
        print(f"used: {show.clean(one.label)} is joining (claudetools machine list)")
        return
    vault.machines.sweep()
    print(f"{now.state}: nobody used it, and it opens nothing any more")


@app.command()
def withdraw(
    invitation: Annotated[str, typer.Argument(help="The invitation's id, as `machine list` tells it.")],
    *,
    json: show.Json = False,
) -> None:
    """End an invitation that nobody has used yet."""
    with acting.logged_in() as (vault, actor):
        ended = vault.machines.withdraw(actor, invitation)
    if json:
        show.as_json(_invitation(ended))
        return
    print(f"withdrawn: the invitation for {show.clean(ended.label)} opens nothing any more")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The machine's name or id.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: show.Json = False,
) -> None:
    """Shut a machine out, with all its agents.  It is refused at its next call."""
    presence.refuse_under_claude("shutting a machine out")
    with acting.logged_in() as (vault, actor):
        found = vault.machines.find(actor, name)
        own = vault.settings.machine_id
        if found.machine_id == own:
            ask.confirm("That is this machine: you are out at once, and cannot undo it from here.  Go on?", yes=yes)
        view = vault.machines.revoke(actor, found.machine_id)
    if json:
        show.as_json(_machine(view, own))
        return
    print(f"revoked {show.clean(view.name)}: it is refused from now on, and its key file opens nothing any more")
    show.note(
        "If it was lost or stolen, change the database account's password and rotate what it may have opened: docs/machines.md"
    )


def _here(one: MachineView, own: str) -> str:
    return "yes" if one.machine_id == own else ""


def _machine(one: MachineView, own: str) -> dict[str, object]:
    return {
        "id": one.machine_id,
        "name": one.name,
        "state": one.state,
        "since": iso(one.created_us),
        "last_here": iso(one.seen_us) if one.seen_us else None,
        "release": one.program,
        "agents": list(one.agents),
        "here": one.machine_id == own,
    }


def _invitation(one: Invitation) -> dict[str, object]:
    return {
        "id": one.invitation_id,
        "label": one.label,
        "state": one.state,
        "created_at": iso(one.created_us),
        "expires_at": iso(one.expires_us),
    }
