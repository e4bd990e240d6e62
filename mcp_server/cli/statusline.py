"""`claudetools statusline`: the line below the prompt that tells what the memory gave the session."""

from __future__ import annotations

from typing import Annotated

import typer

from mcp_server.cli.show import Json, as_json, step
from mcp_server.config import data_directory
from mcp_server.services import statusline
from mcp_server.services.claude_settings import SETTINGS, client_folder
from mcp_server.services.plugin import Report

app = typer.Typer(
    help="The line below Claude Code's prompt that tells what the memory gave the session.",
    no_args_is_help=True,
    add_completion=False,
)

Check = Annotated[bool, typer.Option("--check", help="Tell what would be done, change nothing.")]


def _show(report: Report, *, json: bool) -> None:
    if json:
        as_json({"changed": report.changed, "lines": list(report.lines)})
        return
    print(report.shown())
    print(f"changed: {'yes' if report.changed else 'no'}")


@app.command()
def on(*, check: Check = False, json: Json = False) -> None:
    """Put it into Claude Code's user settings, where no other status line is set."""
    _show(statusline.turn_on(data_directory(), check=check), json=json)


@app.command()
def off(*, check: Check = False, json: Json = False) -> None:
    """Take it out again; a status line of your own stays."""
    _show(statusline.turn_off(data_directory(), check=check), json=json)


@app.command()
def show(*, json: Json = False) -> None:
    """Tell whether it is on, and the command to call from a status line of your own."""
    home = data_directory()
    found, command = statusline.state(home), statusline.command(home)
    if json:
        as_json({"state": found, "command": command, "settings": str(client_folder().path(SETTINGS))})
        return
    told = {
        "on": "on",
        "off": "off (claudetools statusline on)",
        "another": "Claude Code shows one of your own",
        "elsewhere": "Claude Code shows that of another installation (claudetools statusline on)",
    }
    step("status line", told[found])
    step("command", command)
