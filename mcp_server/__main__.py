"""`claudetools`, and `python -m mcp_server`: the command line.

The stdio server is started at every start of the client, and the drain at every end of a session, right before the next
one may begin.  So both command lines are recognised here, before anything that only people need is imported.
"""

from __future__ import annotations

import os
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
    if arguments[:3] == ["sync", "--quiet", _HOME] and len(arguments) == len(("sync", "--quiet", _HOME, "DIR")):
        _drain(Path(arguments[3]))
    from mcp_server.cli.entrance import run

    sys.exit(run(arguments))


def _drain(home: Path) -> None:
    """Captures what waits and ends the process; where anything is left or fails, returns: the command line tells it."""
    os.nice(10)  # neither the client nor the next session's hooks should wait for a capture
    from mcp_server.bootstrap import build
    from mcp_server.config import load_settings

    try:
        app = build(load_settings(home))
        try:
            left = app.capture.drain().waiting
        finally:
            app.close()
    except Exception:  # noqa: BLE001  # `sync` does it again, and tells what is wrong
        return
    if not left:
        sys.exit(0)


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
