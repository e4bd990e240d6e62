"""`claudetools sync`: turns the notes that wait in the spool into context records, now."""

from __future__ import annotations

from typing import Annotated

import typer

from domain.errors import Denied, Unavailable
from hooks import spool
from hooks.files import tell_trouble
from mcp_server.answers import exit_code
from mcp_server.cli import acting, show
from mcp_server.config import data_directory

app = typer.Typer(add_completion=False)


@app.command()
def sync(
    *,
    retry: Annotated[bool, typer.Option("--retry", help="Try what was set aside again, too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing unless something goes wrong.")] = False,
    json: show.Json = False,
) -> None:
    """Capture what sessions left to be captured.  Exit code 75 where something still waits, 4 where this machine was revoked."""
    if retry:
        spool.retry(str(data_directory()))
    try:
        with acting.vault() as vault:
            outcome = vault.capture.drain()
    except Denied as refused:
        waiting = sum(1 for _ in spool.pending(str(data_directory())))
        told = f"{refused.message}: what its sessions leave is kept here and not sent ({waiting} so far)"
        tell_trouble(str(data_directory()), told)
        raise Denied(told, hint=refused.hint, entry=refused.entry) from None
    numbers = {
        "captured": outcome.captured,
        "unchanged": outcome.unchanged,
        "waiting": outcome.waiting,
        "set_aside": outcome.set_aside,
    }
    troubles = [str(trouble) for trouble in outcome.troubles]
    if json:
        show.as_json({**numbers, "troubles": troubles})
    elif not quiet:
        print(", ".join(f"{number} {name.replace('_', ' ')}" for name, number in numbers.items()))
        for trouble in troubles:
            show.note(trouble)
    if outcome.waiting:
        raise typer.Exit(exit_code(Unavailable("")))
