"""Writes docs/reference from the program itself: `make docs`.  tests/docs checks that nothing changed since.

docs/tools.md is written by tests/server/test_docs.py, from the tools as a client sees them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from typer import Context
from typer.core import TyperCommand, TyperGroup

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Written by `make docs` from the program; change it there. -->"


def page(name: str) -> str:
    """The text of one of `PAGES`."""
    return "\n".join(PAGES[name]())


def cell(text: object) -> str:
    """Text that stays inside one cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def actions() -> Iterator[str]:
    """Every action word of the audit log."""
    from domain.actors import ACTIONS

    yield from (NOTE, "", "# Audit actions", "")
    yield "Every entry of the audit log carries one of these words. A refusal carries the word of what was refused."
    yield from ("", "| action | meaning |", "|---|---|")
    yield from (f"| `{action}` | {cell(meaning)} |" for action, meaning in sorted(ACTIONS.items()))
    yield ""


def commands() -> Iterator[str]:
    """Every command with its options."""
    yield from (NOTE, "", "# Commands", "")
    yield "Exit codes stand in [errors](../errors.md)."
    for path, command in every_command():
        yield from ("", f"## {path}", "", (command.help or "").strip())
        options = [parameter for parameter in command.params if parameter.name != "help"]
        if options:
            yield from ("", "| option | meaning |", "|---|---|")
        for parameter in options:
            meaning = cell(getattr(parameter, "help", None) or "")
            if parameter.param_type_name == "option":
                names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
                yield f"| {names} | {meaning} |"
            else:
                yield f"| `{parameter.metavar or parameter.name}` | {meaning} |"
    yield ""


def every_command() -> Iterator[tuple[str, TyperCommand]]:
    """What a person can type, and the command it leads to; groups before what they hold."""
    from mcp_server.cli import root_command

    def walk(command: TyperCommand | TyperGroup, path: str) -> Iterator[tuple[str, TyperCommand]]:
        yield path, command
        if hasattr(command, "list_commands"):
            context = Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                if inner is not None and not inner.hidden:
                    yield from walk(inner, f"{path} {name}")

    yield from walk(root_command(), "claudetools")


PAGES = {"actions.md": actions, "commands.md": commands}


def main() -> None:
    """Write the pages that changed."""
    FOLDER.mkdir(exist_ok=True)
    for name in PAGES:
        file, text = FOLDER / name, page(name)
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            print(f"wrote {file}")


if __name__ == "__main__":
    sys.exit(main())
