"""What `./setup.sh --uninstall` takes out of Claude Code: the status line and the plugin.

Standard library only: any Python runs this when the environment is gone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mcp_server.services import plugin, statusline


def take_out(home: str, *, check: bool = False) -> int:
    """Takes both out, prints a line for each step, and returns the exit status."""
    place = Path(home)
    try:
        # The status line first: what the settings were before the plugin came is compared afterwards.
        reports = (
            statusline.turn_off(place, check=check),
            plugin.unregister(place, check=check),
            plugin.remove(place, check=check),
        )
    except OSError as error:
        print(f"plugin: could not be taken out: {error.strerror}", file=sys.stderr)  # noqa: T201  # setup.sh shows it
        return 1
    for report in reports:
        if report.lines:
            print(report.shown())  # noqa: T201  # setup.sh shows it
    return 0
