"""`claudetools move`: the vault to another database, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Invalid
from mcp_server.cli import acting, ask, place, presence, show
from mcp_server.cli.progress import progress
from mcp_server.config import Settings, load_settings

if TYPE_CHECKING:
    from mcp_server.bootstrap.move import Moved
    from mcp_server.bootstrap.wanted import Step

app = typer.Typer(add_completion=False)

WHAT = "moving the vault"


@app.command()
def move(
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="URL", help="An empty database: the URL of a MariaDB, or a file name.")
    ] = "",
    database_password_file: place.DatabasePasswordFile = None,
    owner: Annotated[
        str,
        typer.Option(
            "--owner",
            metavar="ACCOUNT",
            help="The account that may close the old database: the one that made its tables.",
        ),
    ] = "",
    owner_password_file: Annotated[
        Path | None, typer.Option("--owner-password-file", metavar="FILE", help="Where that account's password stands.")
    ] = None,
    accounts: Annotated[
        bool, typer.Option("--accounts/--no-accounts", help="Make accounts with fewer rights in the new database.")
    ] = True,
    cancel: Annotated[bool, typer.Option("--cancel", help="Take back a move that was cut off.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="On another machine of the vault: work where the vault was moved to.")
    ] = False,
    forget_old: Annotated[
        bool, typer.Option("--forget-old", help="Remove the database that was kept after a move.")
    ] = False,
    password_file: ask.PasswordFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: show.Json = False,
) -> None:
    """Move the vault to another database, compared entry by entry; without --to, finish a move that was cut off.

    The old database is closed for every machine, and kept until `--forget-old`.  Asks for your password.
    """
    from mcp_server.bootstrap import move as moving

    presence.refuse_under_claude(WHAT)
    settings = load_settings()
    if forget_old:
        _forget(settings, password_file, yes=yes)
        return
    owner_address = place.account(settings, owner, owner_password_file) if owner else None
    if cancel:
        moving.cancel(settings, owner_address)
        print("the move was taken back: the vault opens where it was")
        return
    if follow:
        _follow(settings, to, database_password_file)
        return
    notice = moving.unfinished(settings)
    if notice is None and not to:
        if not moving.tidy(settings):
            raise Invalid("where to was not said", fields={"--to": "needed"}, hint="claudetools move --to URL")
        print("the move is finished")
        return
    target = place.reached(to or (notice.place if notice else ""), database_password_file)
    wanted = moving.Wanted(target, owner_address, accounts=accounts)
    steps: list[Step] = []

    def tell_step(one: Step) -> None:
        steps.append(one)
        if not json:
            show.step("made" if one.changed else "seen", one.text)
            if one.note:
                show.note(one.note)

    if notice is not None:
        with progress("move") as tell:
            done = moving.go_on(settings, wanted, tell_step, tell)
    else:
        with acting.at_the_terminal(WHAT, password_file) as (vault, actor), progress("move") as tell:
            done = moving.start(vault, actor, wanted, tell_step, tell)
    _told(done, json=json)


def _told(done: Moved, *, json: bool) -> None:
    if json:
        show.as_json({"database": done.place, "rows": done.rows, "entries": done.entries, "kept": done.kept})
        return
    print(f"the vault is in {show.clean(done.place)}: {done.rows} rows, {done.entries} audit entries")
    print(f"the old database is closed and kept: {show.clean(done.kept)}; to remove it: claudetools move --forget-old")
    print("on every other machine: claudetools move --follow")


def _follow(settings: Settings, to: str, password_file: Path | None) -> None:
    from mcp_server.bootstrap import move as moving

    text = to
    if not text:
        notice = moving.unfinished(settings)
        if notice is None or notice.state != "moved":
            raise Invalid("this vault has not moved", fields={"--to": "where it is"}, hint="claudetools doctor")
        text = notice.place
    address = place.reached(text, password_file)
    if not address.is_mariadb:
        raise Invalid("the vault was moved to a file on another machine", hint="ask who moved it")
    moving.follow(settings, address)
    print(f"this machine works with the vault in {show.clean(address.place)}")


def _forget(settings: Settings, password_file: Path | None, *, yes: bool) -> None:
    from mcp_server.bootstrap import move as moving

    kept = moving.kept(settings)
    ask.confirm(f"Remove {show.clean(kept)} for good?" if kept else "Remove what is kept from a move?", yes=yes)
    with acting.at_the_terminal("removing the old database", password_file) as (vault, _):
        left = moving.forget_old(vault.settings)
    print(f"as the server's administrator: {left}" if left else "the old database was removed")
