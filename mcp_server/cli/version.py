"""`claudetools version`: which program this is."""

from __future__ import annotations

import sys

import typer

from mcp_server import __version__
from mcp_server.cli import show

app = typer.Typer(add_completion=False)


@app.command()
def version(*, json: show.Json = False) -> None:
    """Tell the version of this program and of its Python."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    if json:
        show.as_json({"version": __version__, "python": python, "interpreter": sys.executable})
        return
    print(f"claudetools {__version__} (Python {python})")
