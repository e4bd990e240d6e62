"""`claudetools mcp`: the MCP server for one client, over stdin and stdout."""

from __future__ import annotations

import typer

app = typer.Typer(add_completion=False)


@app.command()
def mcp() -> None:
    """Serve MCP on stdin and stdout; Claude Code starts this."""
    from mcp_server.stdio import serve

    serve(None)
