"""`claudetools backup`: a whole vault in one sealed file, checked and put back."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from domain.errors import Broken, ClaudeToolsError, Invalid
from mcp_server.answers import exit_code, iso
from mcp_server.cli import acting, ask, place, presence, show
from mcp_server.cli.progress import progress
from mcp_server.config import load_settings

if TYPE_CHECKING:
    from mcp_server.bootstrap.backup import Checked, Made
    from mcp_server.bootstrap.wanted import Step
    from mcp_server.keyring import Keyring

app = typer.Typer(help="Backups of the whole vault.", no_args_is_help=True, add_completion=False)

RecoveryFile = Annotated[
    Path | None,
    typer.Option("--recovery-file", metavar="FILE", help="Where the recovery key stands, instead of asking for it."),
]
File = Annotated[str, typer.Argument(metavar="FILE", help="The backup; - for standard input.")]


@app.command()
def create(
    file: Annotated[
        str,
        typer.Argument(
            metavar="[FILE]", help="Where to write it; a name with the date by default, - for standard output."
        ),
    ] = "",
    *,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Write a sealed backup of the whole vault, while others go on working.  Asks for your password."""
    from mcp_server.bootstrap import backup

    target = file or backup.default_name()
    if target == ask.STDIN and sys.stdout.isatty():
        raise Invalid("a backup is not for a terminal", hint="claudetools backup create FILE")
    with acting.at_the_terminal("making a backup", password_file) as (vault, actor), progress("backup") as tell:
        if target == ask.STDIN:
            made = backup.create(vault, actor, sys.stdout.buffer.write, tell)
            sys.stdout.buffer.flush()
        else:
            made = backup.create_file(vault, actor, Path(target), tell)
    if target == ask.STDIN:
        show.note(_made(made))
        return
    where = Path(target).absolute()
    if json:
        show.as_json(
            {
                "file": str(where),
                "bytes": made.size,
                "tables": made.tables,
                "rows": made.rows,
                "entries": made.entries,
                "made_at": iso(made.created_us),
            }
        )
        return
    show.step("backup", f"{where}")
    show.step("", _made(made))
    show.step("to check it", f"claudetools backup check {target}")
    show.step("to restore", f"claudetools backup restore {target}   (on a new machine: with the recovery key)")


@app.command()
def check(file: File, *, recovery_file: RecoveryFile = None, json: show.Json = False) -> None:
    """Read a backup whole and verify all of it; writes nothing.  Exit code 8 where anything is wrong; needs no login."""
    from mcp_server.bootstrap import backup

    with _opened(file) as stream, progress("check") as tell:
        source = backup.begin(stream)
        settings = None
        with suppress(Invalid):  # a backup can be checked on a machine that has nothing else of us
            settings = load_settings()
        keyring = backup.keyring_for(source, settings, _live(), lambda: _recovery_key(recovery_file))
        checked = backup.check(source, keyring, lambda table, rows: tell(table, rows, 0))
    if json:
        show.as_json(_as_json(checked))
    else:
        if checked.findings:
            show.table(("verdict", "where", "what"), ((f.verdict, f.where, f.what) for f in checked.findings))
            print("the backup is whole; what it holds was tampered with before it was made")
        else:
            print(f"whole and well: {checked.rows} rows, {checked.entries} audit entries in {checked.chains} chains")
        show.pairs(
            (
                ("made", show.moment(checked.header.created_us)),
                ("vault", checked.header.vault_id),
                ("schema", checked.header.schema),
            )
        )
    if checked.findings:
        raise typer.Exit(exit_code(Broken("")))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    *,
    database: Annotated[
        str,
        typer.Option(
            "--database", metavar="URL", help="An empty database to restore into; else this installation's own."
        ),
    ] = "",
    database_password_file: place.DatabasePasswordFile = None,
    recovery_file: RecoveryFile = None,
    machine: Annotated[str, typer.Option("--machine", help="What this machine is called; else its host name.")] = "",
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Restore although the vault was tampered with before the backup was made.")
    ] = False,
    json: show.Json = False,
) -> None:
    """Put a vault back from a backup into an empty database, of either kind.

    The backup is checked whole before anything is written.  Cut off, it can be run again.
    """
    from mcp_server.bootstrap.restore import Wanted
    from mcp_server.bootstrap.restore import restore as put_back

    presence.refuse_under_claude("restoring a vault")
    steps: list[Step] = []

    def tell_step(one: Step) -> None:
        steps.append(one)
        if not json:
            show.step("made" if one.changed else "seen", one.text)

    address = place.reached(database, database_password_file) if database else None
    wanted = Wanted(
        file=file,
        recovery_key=lambda: _recovery_key(recovery_file),
        database=address,
        machine=machine,
        damaged=damaged,
    )
    with progress("restore") as tell:
        done = put_back(wanted, tell_step, tell)
    if done.lost:
        show.note(
            "this machine had written audit entries after that backup was made; they are not in it, and its notes of them "
            "were kept aside in heads/"
        )
    if json:
        show.as_json({**_as_json(done.checked), "database": done.place, "lost_entries": done.lost})
        return
    print("the vault is back: claudetools doctor, claudetools audit verify")


def _opened(file: str) -> BinaryIO:
    if file == ask.STDIN:
        return sys.stdin.buffer
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise Invalid(f"the backup cannot be read: {error.strerror}", hint="claudetools backup check FILE") from None


def _live() -> Keyring | None:
    """The keys of this computer's own vault, where it has one that opens."""
    from mcp_server.bootstrap import build

    try:
        app = build(load_settings())
    except ClaudeToolsError:
        return None
    app.close()
    return app.keyring


def _recovery_key(file: Path | None) -> str:
    if file is not None:
        return ask.private_text(file, "the recovery key file").strip()
    return ask.hidden("The recovery key: ", "--recovery-file FILE").expose().strip()


def _made(made: Made) -> str:
    return f"{made.size:,} bytes, {made.rows} rows in {made.tables} tables, {made.entries} audit entries"


def _as_json(checked: Checked) -> dict[str, object]:
    return {
        "ok": not checked.findings,
        "vault": checked.header.vault_id,
        "made_at": iso(checked.header.created_us),
        "schema": checked.header.schema,
        "rows": checked.rows,
        "entries": checked.entries,
        "chains": checked.chains,
        "tables": dict(checked.tables),
        "findings": [{"verdict": f.verdict, "where": f.where, "what": f.what} for f in checked.findings],
    }
