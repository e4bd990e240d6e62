"""`claudetools upgrade`: brings the database to what this program needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcp_server.cli import ask, place, show
from mcp_server.config import load_settings

if TYPE_CHECKING:
    from mcp_server.bootstrap.wanted import Step

app = typer.Typer(add_completion=False)


@app.command()
def upgrade(
    *,
    owner: Annotated[
        str, typer.Option("--owner", metavar="ACCOUNT", help="The database account that may change tables.")
    ] = "",
    database_password_file: place.DatabasePasswordFile = None,
    backup_to: Annotated[
        Path | None,
        typer.Option("--backup-to", metavar="FILE", help="Where the backup is written that is made first."),
    ] = None,
    backup: Annotated[
        bool, typer.Option("--backup/--no-backup", help="Make a backup of a server's database first.")
    ] = True,
    json: show.Json = False,
) -> None:
    """Bring the database to what this program needs, after a copy or a backup of it; programs one release older go on."""
    from mcp_server.bootstrap.backup import default_name
    from mcp_server.bootstrap.upgrading import upgrade_database

    steps: list[Step] = []

    def tell(one: Step) -> None:
        steps.append(one)
        if not json:
            show.step("made" if one.changed else "is there", one.text)
            if one.note:
                show.step("", one.note)

    changed = upgrade_database(
        load_settings(),
        tell,
        owner=owner,
        given=place.database_password(database_password_file),
        ask=lambda who: ask.hidden(f"Database password of {who}: ", "--database-password-file FILE"),
        backup_to=(backup_to or Path(default_name()).absolute()) if backup else None,
    )
    if json:
        show.as_json({"changed": changed, "steps": [{"text": one.text, "changed": one.changed} for one in steps]})
