"""`claudetools plugin`: the plugin that Claude Code loads, written, registered and taken out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mcp_server.config import data_directory
from mcp_server.services import plugin
from mcp_server.services.plugin import Report

app = typer.Typer(help="The plugin that Claude Code loads.", no_args_is_help=True)

Home = Annotated[Path | None, typer.Option("--home", help="The data directory.", show_default=False)]
Check = Annotated[bool, typer.Option("--check", help="Tell what would be done, change nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


def _show(reports: tuple[Report, ...], *, as_json: bool) -> None:
    changed = any(report.changed for report in reports)
    lines = [line for report in reports for line in report.lines]
    if as_json:
        print(json.dumps({"changed": changed, "lines": lines}))
        return
    for report in reports:
        if report.lines:
            print(report.shown())
    print(f"changed: {'yes' if changed else 'no'}")


@app.command()
def install(
    home: Home = None,
    *,
    check: Check = False,
    register: Annotated[
        bool, typer.Option("--register/--no-register", help="Make it known to Claude Code where `claude` is on PATH.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Write the plugin into the data directory and register it with Claude Code."""
    place = data_directory(home)
    written = plugin.write(place, check=check)
    known = plugin.register(place, check=check) if register else plugin.untouched(place)
    _show((written, known), as_json=as_json)


@app.command()
def uninstall(home: Home = None, *, check: Check = False, as_json: Json = False) -> None:
    """Take the plugin out of Claude Code and give its settings back as they were. The data stays."""
    place = data_directory(home)
    _show((plugin.unregister(place, check=check), plugin.remove(place, check=check)), as_json=as_json)


@app.command()
def status(home: Home = None, *, as_json: Json = False) -> None:
    """Tell whether the plugin is written as this version writes it, and what Claude Code knows of it."""
    found = plugin.status(data_directory(home))
    if as_json:
        facts = {"written": found.written, "registration": found.registration, "client": found.client}
        print(json.dumps({**facts, "folder": str(found.folder)}))
        return
    print(f"{'plugin':<13} {found.folder} ({'as it should be' if found.written else 'missing or changed'})")
    print(f"{'claude code':<13} {found.registration}{'' if found.client else ', `claude` is not on PATH'}")
