"""A process that opens values until it is killed.  It forks from one that has everything imported.

    python victim.py HOME TOKEN REFERENCE

Each line on stdin starts a child.  The child prints its process id, then the id of each audit entry once the value
was handed out; when it is dead the line `dead` follows.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def say(text: str) -> None:
    """One whole line, at once."""
    os.write(1, text.encode() + b"\n")


def reveal_for_ever(home: Path, token: str, reference: str) -> None:
    """Opens the installation and then one value after the other."""
    from domain.errors import Unavailable
    from mcp_server.bootstrap import build
    from mcp_server.config import load_settings

    app = build(load_settings(home))
    actor = app.identity.actor(token)
    while True:
        try:
            revealed = app.credentials.reveal(actor, reference, purpose="kill me")
        except Unavailable:  # another process was writing all the time; nothing was opened
            continue
        assert revealed.value.expose()
        say(revealed.entry)


def main() -> None:
    """Forks a child for each line."""
    import jwt  # noqa: F401  # imported before the first fork, with all that build() needs

    from mcp_server.bootstrap import build
    from mcp_server.config import load_settings

    home, token, reference = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    build(load_settings(home)).close()
    say("ready")
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            say(str(os.getpid()))
            reveal_for_ever(home, token, reference)
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    main()
