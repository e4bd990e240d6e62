"""`claudetools plugin`: the plugin that Claude Code loads, written, registered and taken out."""

from __future__ import annotations

from typing import Annotated

import typer

from domain.errors import Invalid
from mcp_server.cli import presence
from mcp_server.cli.show import Json, as_json, step
from mcp_server.config import data_directory, load_settings, save_settings
from mcp_server.services import plugin, statusline
from mcp_server.services.plugin import Report

app = typer.Typer(help="The plugin that Claude Code loads.", no_args_is_help=True, add_completion=False)

Check = Annotated[bool, typer.Option("--check", help="Tell what would be done, change nothing.")]
Register = Annotated[
    bool, typer.Option("--register/--no-register", help="Make it known to Claude Code where `claude` is on PATH.")
]


def _show(reports: tuple[Report, ...], *, json: bool) -> None:
    changed = any(report.changed for report in reports)
    if json:
        as_json({"changed": changed, "lines": [line for report in reports for line in report.lines]})
        return
    for report in reports:
        if report.lines:
            print(report.shown())
    print(f"changed: {'yes' if changed else 'no'}")


@app.command()
def install(*, check: Check = False, register: Register = True, json: Json = False) -> None:
    """Write the plugin into the data directory and register it with Claude Code."""
    home = data_directory()
    written = plugin.write(home, check=check)
    known = plugin.register(home, check=check) if register else plugin.untouched(home)
    _show((written, known), json=json)


@app.command()
def uninstall(*, check: Check = False, json: Json = False) -> None:
    """Take the plugin and our status line out of Claude Code and give its settings back as they were. The data stays."""
    home = data_directory()
    line = statusline.turn_off(home, check=check)
    _show((line, plugin.unregister(home, check=check), plugin.remove(home, check=check)), json=json)


@app.command("start-line")
def start_line(
    state: Annotated[str, typer.Argument(metavar="on|off", help="Whether a session's start tells it.")],
    *,
    json: Json = False,
) -> None:
    """Turn the line at a session's start on or off: how many records it was told, and how many tokens that saved."""
    from dataclasses import replace

    from mcp_server.bootstrap.hooks_settings import write_hooks_settings

    if state not in ("on", "off"):
        raise Invalid("that is neither on nor off", fields={"on|off": "one of the two"})
    settings = replace(load_settings(), start_line=state)
    save_settings(settings)
    write_hooks_settings(settings)
    if json:
        as_json({"start_line": state})
        return
    print(f"the line at a session's start is {state}")


@app.command("paste-guard")
def paste_guard(
    state: Annotated[str, typer.Argument(metavar="block|warn|off", help="What a prompt with a secret in it meets.")],
    *,
    json: Json = False,
) -> None:
    """Have prompts with a secret in them kept back, or only warned of, or not looked at.  Refuses under Claude Code."""
    from dataclasses import replace

    presence.refuse_under_claude("changing the paste guard")
    if state not in ("block", "warn", "off"):
        raise Invalid("the paste guard has no such state", fields={"block|warn|off": "one of the three"})
    save_settings(replace(load_settings(), paste_guard=state))
    if json:
        as_json({"paste_guard": state})
        return
    print(f"the paste guard is set to {state}")


@app.command()
def status(*, json: Json = False) -> None:
    """Tell whether the plugin is as this version writes it, and what Claude Code knows of it."""
    found = plugin.status(data_directory())
    if json:
        facts = {"written": found.written, "registration": found.registration, "client": found.client}
        as_json({**facts, "folder": str(found.folder)})
        return
    step("plugin", f"{found.folder} ({'as it should be' if found.written else 'missing or changed'})")
    step("claude code", f"{found.registration}{'' if found.client else ', `claude` is not on PATH'}")
