"""`claudetools logout`: the login of this machine ends."""

from __future__ import annotations

import typer

from mcp_server.cli import show
from mcp_server.config import load_settings

app = typer.Typer(add_completion=False)


@app.command()
def logout(*, json: show.Json = False) -> None:
    """End the login at once, before its hour is over."""
    file = load_settings().login_file
    present = file.exists()
    file.unlink(missing_ok=True)
    if json:
        show.as_json({"logged_out": present})
        return
    print("logged out" if present else "nobody was logged in")
