"""The command line: one file per command, loaded when it is called."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup
from typer.main import get_command

from mcp_server.config import HOME_VARIABLE

if TYPE_CHECKING:
    from typer.core import TyperCommand

COMMANDS = (
    "init",
    "login",
    "logout",
    "doctor",
    "credential",
    "report",
    "recipe",
    "exposure",
    "approval",
    "person",
    "factor",
    "client",
    "project",
    "audit",
    "incident",
    "context",
    "redact",
    "sync",
    "agent",
    "machine",
    "keys",
    "backup",
    "move",
    "upgrade",
    "database",
    "plugin",
    "statusline",
    "mcp",
    "demo",
    "version",
)
"""Every command, in the order in which help tells them; each is the file of that name."""


class LazyGroup(TyperGroup):
    """Knows the commands by name and imports the one that is called."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002  # the base class calls it so
        """The names, as help tells them."""
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | TyperGroup | None:  # noqa: ARG002
        """The command of this name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command = get_command(import_module(f"mcp_server.cli.{cmd_name}").app)
        command.name = cmd_name
        return command  # type: ignore[return-value]  # a TyperCommand or a TyperGroup


def root_command() -> TyperGroup:
    """The whole command line."""
    app = typer.Typer(
        cls=LazyGroup,
        help="ClaudeTools: a memory and a strongroom for Claude Code.",
        no_args_is_help=True,
        add_completion=False,
    )

    @app.callback()
    def root(
        home: Annotated[
            Path | None,
            typer.Option("--home", metavar="DIR", help="The data directory.  May stand anywhere on the line."),
        ] = None,
    ) -> None:
        if home is not None:
            os.environ[HOME_VARIABLE] = str(home)

    made = get_command(app)
    if not isinstance(made, TyperGroup):  # pragma: no cover  # a callback always makes a group
        raise TypeError("the command line is no group")
    return made
