"""`claudetools keys slots`: what opens the root key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Invalid
from domain.plain import Plain
from mcp_server.answers import iso
from mcp_server.cli import acting, ask, init, presence, show

if TYPE_CHECKING:
    from mcp_server.bootstrap.slots import SlotView

app = typer.Typer(help="What opens the root key: list, add, remove.", add_completion=False)


@app.callback(invoke_without_command=True)
def slots(context: typer.Context, *, json: show.Json = False) -> None:
    """List the key slots.  Any one of them opens the root key."""
    if context.invoked_subcommand is not None:
        return
    from mcp_server.bootstrap.slots import listed

    with acting.logged_in() as (vault, actor):
        found = listed(vault, actor)
    if json:
        show.as_json({"slots": [_facts(one) for one in found]})
        return
    rows = (
        (one.slot_id, one.kind, one.of, show.moment(one.created_us), "this process" if one.opened else "")
        for one in found
    )
    show.table(("slot", "kind", "of", "made", "opened"), rows, empty="no slots")


@app.command()
def add(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="passphrase, keyring, recovery or file.")],
    *,
    label: Annotated[str, typer.Option("--label", help="What a passphrase slot is called.")] = "",
    passphrase_file: Annotated[
        Path | None,
        typer.Option("--passphrase-file", metavar="FILE", help="Where the passphrase stands, instead of asking."),
    ] = None,
    recovery_file: Annotated[
        Path | None,
        typer.Option("--recovery-file", metavar="FILE", help="Write the new recovery key there instead of showing it."),
    ] = None,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Add a slot, in the place of this machine's (or the label's) of the same kind.

    passphrase: what you remember opens the vault, on every machine.  keyring: the operating system's keyring keeps this
    machine's key.  file: a new key file for this machine.  recovery: a new recovery key; the one before opens nothing
    any more but older backups.
    """
    from mcp_server.bootstrap import slots as made

    if kind not in ("passphrase", "keyring", "recovery", "file"):
        raise Invalid("there is no slot of that kind", fields={"KIND": "one of: passphrase, keyring, recovery, file"})
    with acting.at_the_terminal("adding a key slot", password_file) as (vault, actor):
        if kind == "passphrase":
            view = made.add_passphrase(vault, actor, _passphrase(passphrase_file), label)
        elif kind == "keyring":
            view = made.add_keyring(vault, actor)
        elif kind == "recovery":
            view = made.add_recovery(vault, actor, init.deliver(recovery_file, "claudetools keys slots add recovery"))
        else:
            view = made.add_file(vault, actor)
    if json:
        show.as_json(_facts(view))
        return
    print(f"added {view.kind} slot {view.slot_id}")
    if kind in ("passphrase", "keyring"):
        show.note("this machine's key file still opens too; to do without it: claudetools keys slots remove ID")


@app.command()
def remove(
    slot: Annotated[str, typer.Argument(metavar="ID", help="The slot's id, as `keys slots` tells it.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Take a slot out, and this machine's file or keyring entry with it.  The last recovery key stays."""
    from mcp_server.bootstrap import slots as made

    presence.refuse_under_claude("removing a key slot")
    with acting.at_the_terminal("removing a key slot", password_file) as (vault, actor):
        ask.confirm("What only this slot opens stays closed.  Go on?", yes=yes)
        gone = made.remove(vault, actor, slot)
    if json:
        show.as_json(_facts(gone))
        return
    print(f"removed {gone.kind} slot {gone.slot_id}: it opens nothing any more")


def _passphrase(file: Path | None) -> Plain:
    if file is not None:
        return Plain(ask.private_text(file, "the passphrase file").strip("\r\n"))
    typed = ask.hidden("A passphrase (16 characters or more): ", "--passphrase-file FILE")
    if ask.hidden("Again: ", "--passphrase-file FILE").expose() != typed.expose():
        raise Invalid("the two are not the same", hint="type it again")
    return typed


def _facts(one: SlotView) -> dict[str, object]:
    return {
        "id": one.slot_id,
        "kind": one.kind,
        "of": one.of,
        "made_at": iso(one.created_us),
        "opened_this_process": one.opened,
        "here": one.here,
    }
