"""`claudetools`, and `python -m mcp_server`: the command line.

The stdio server is started at every start of the client, so its command line is recognised here, before anything that
only people need is imported.
"""

from __future__ import annotations

import sys
from pathlib import Path

_HOME = "--home"


def main() -> None:
    """Runs one command and ends the process with its exit code."""
    arguments = sys.argv[1:]
    plain, home = _plain_server(arguments)
    if plain:
        from mcp_server.stdio import serve

        serve(home)
    from mcp_server.cli.entrance import run

    sys.exit(run(arguments))


def _plain_server(arguments: list[str]) -> tuple[bool, Path | None]:
    """Whether this is `mcp`, with a data directory or without."""
    if arguments == ["mcp"]:
        return True, None
    if len(arguments) == len(("mcp", _HOME, "DIR")):
        for command, option, value in (arguments, [arguments[2], *arguments[:2]]):
            if command == "mcp" and option == _HOME:
                return True, Path(value)
    return False, None


if __name__ == "__main__":
    main()
