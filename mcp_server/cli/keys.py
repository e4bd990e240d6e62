"""`claudetools keys`: bring a vault back whose root key file is gone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Invalid
from mcp_server.cli import ask, show

if TYPE_CHECKING:
    from mcp_server.bootstrap.installation import Step

app = typer.Typer(help="Keys of the vault.", no_args_is_help=True, add_completion=False)


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
