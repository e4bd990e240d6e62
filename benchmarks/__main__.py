"""`python -m benchmarks [hooks|picking|server|strongroom|use ...]`: all of them without a name."""

from __future__ import annotations

import sys

from benchmarks import hooks, picking, server, strongroom, use

ROOMS = {
    "hooks": hooks.main,
    "picking": picking.main,
    "server": server.main,
    "strongroom": strongroom.main,
    "use": use.main,
}


def main() -> None:
    """Runs the named benchmarks, one after the other."""
    names = sys.argv[1:] or list(ROOMS)
    unknown = [name for name in names if name not in ROOMS]
    if unknown:
        sys.exit("no such benchmark; there are: " + ", ".join(ROOMS))
    for name in names:
        ROOMS[name]()


if __name__ == "__main__":
    main()
