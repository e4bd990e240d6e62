"""`claudetools keys`: what opens the vault, new keys, and a vault whose root key file is gone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Invalid
from mcp_server.cli import acting, ask, rotating, show, slotting
from mcp_server.cli.progress import progress

if TYPE_CHECKING:
    from mcp_server.bootstrap.installation import Step
    from mcp_server.bootstrap.shredding import Doomed

app = typer.Typer(help="Keys of the vault.", no_args_is_help=True, add_completion=False)
app.add_typer(slotting.app, name="slots")
app.add_typer(rotating.app, name="rotate")


@app.callback()
def keys() -> None:
    """Keys of the vault."""


@app.command()
def recover(
    *,
    recovery_file: Annotated[
        Path | None,
        typer.Option(
            "--recovery-file", metavar="FILE", help="Where the recovery key stands, instead of asking for it."
        ),
    ] = None,
    json: show.Json = False,
) -> None:
    """Open the vault with its recovery key and give this machine a new root key file."""
    from mcp_server.bootstrap.recovery import recover as bring_back

    if recovery_file is not None:
        key = ask.private_text(recovery_file, "the recovery key file").strip()
    else:
        key = ask.hidden("The recovery key: ", "--recovery-file FILE").expose().strip()
    if not key:
        raise Invalid("the recovery key is empty", hint="look for the file or paper it was kept on")
    steps: list[Step] = []
    bring_back(None, key, steps.append)
    if json:
        show.as_json({"steps": [{"text": one.text, "changed": one.changed} for one in steps]})
        return
    for one in steps:
        print(f"{'made' if one.changed else 'is there':<13} {show.clean(one.text)}")
    print("the vault opens again: claudetools doctor")


@app.command()
def status(*, json: show.Json = False) -> None:
    """Tell how the vault opens here, how often its root key was replaced, and which rotation is unfinished."""
    from mcp_server.bootstrap.slots import listed

    with acting.logged_in() as (vault, actor):
        slots = listed(vault, actor)
        run = vault.keys.unfinished(actor)
        turns = vault.keyring.generation or 0
    opened = next((f"{one.kind} {one.slot_id}" for one in slots if one.opened), "")
    waiting = [one.of for one in slots if one.kind == "machine"]
    kinds = {kind: sum(one.kind == kind for one in slots) for kind in sorted({one.kind for one in slots})}
    if json:
        show.as_json(
            {
                "opened_by": opened,
                "slots": kinds,
                "root_key_turns": turns,
                "waiting_machines": waiting,
                "unfinished": None
                if run is None
                else {"level": run.level, "scope": run.scope, "done": run.done, "total": run.total},
            }
        )
        return
    show.pairs(
        (
            ("opened by", opened),
            ("slots", ", ".join(f"{number} {kind}" for kind, number in kinds.items())),
            ("root key", f"replaced {turns} times" if turns else "the first"),
            ("not picked up by", ", ".join(waiting)),
            (
                "unfinished",
                ""
                if run is None
                else f"rotation of {run.level} keys, {run.done} of {run.total}: the same command goes on",
            ),
        )
    )


@app.command()
def shred(
    client: Annotated[str, typer.Argument(help="The client's name.")],
    *,
    purpose: Annotated[str, typer.Option("--purpose", help="Why; it stands in the audit log.")] = "",
    preview: Annotated[bool, typer.Option("--preview", help="Tell what would go, change nothing.")] = False,
    confirm: Annotated[
        str,
        typer.Option("--confirm", metavar="CLIENT", help="The client's short name once more, instead of typing it."),
    ] = "",
    recovery_file: rotating.RecoveryFile = None,
    recovery_key_file: rotating.RecoveryKeyFile = None,
    passphrase_file: rotating.PassphraseFile = None,
    leave_behind: rotating.LeaveBehind = False,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Off-board a client for good: destroy its keys, values, memory and incident texts, then replace the root key."""
    from mcp_server.bootstrap import shredding

    wanted = rotating.wanted_of(recovery_file, recovery_key_file, passphrase_file, leave_behind=leave_behind)
    with acting.at_the_terminal("destroying a client's keys", password_file) as (vault, actor):
        found = shredding.doomed(vault, actor, client)
        if preview and json:
            show.as_json({**_doomed(found), "not_reached": list(shredding.UNREACHED)})
            return
        if not json:
            show.pairs((("client", f"{found.client.slug} ({found.client.name})"), *_doomed(found).items()))
        if preview:
            _not_reached(shredding.UNREACHED)
            return
        _typed(found.client.slug, confirm)
        with progress("shred", "things") as tell:
            why = vault.redaction.text(purpose.strip() or "off-boarding")
            done = shredding.shred(vault, actor, found, why, wanted, tell)
    if json:
        facts = {**_doomed(found), "entry": done.entry, "root_key": rotating.turned_facts(done.turned)}
        show.as_json({**facts, "not_reached": list(shredding.UNREACHED)})
        return
    print(f"destroyed: nothing of {found.client.slug} opens any more (audit entry {done.entry})")
    rotating.say_turned(done.turned)
    _not_reached(shredding.UNREACHED)
    show.note("you are logged out: claudetools login")


def _doomed(found: Doomed) -> dict[str, object]:
    left = found.left
    return {
        "keys": left.keys,
        "credentials": left.credentials,
        "values": left.values,
        "records": found.records,
        "incidents": left.incidents,
    }


def _not_reached(places: tuple[str, ...]) -> None:
    show.note("not reached, and yours to see to:")
    for place in places:
        show.note(f"  {place}")


def _typed(slug: str, given: str) -> None:
    """Goes on where the client's short name was typed.  Raises Invalid."""
    if not given and not ask.has_terminal():
        raise Invalid("this destroys for good, and nobody is there to confirm it", hint=f"--confirm {slug}")
    typed = given or str(typer.prompt(f"This cannot be undone.  Type {slug} to go on", err=True))
    if typed.strip() != slug:
        raise Invalid(
            "that is not the client's short name; nothing was changed", fields={"--confirm": f"must be {slug}"}
        )
