"""What the memory held of a value that has just come into the vault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.errors import ClaudeToolsError

if TYPE_CHECKING:
    from mcp_server.bootstrap import App
    from mcp_server.services.rescan import Rescanned

LOOK_S = 3.0
"""How long a person waits for what the memory holds of a new value; a drain goes on where that was not enough."""


def looked(vault: App) -> Rescanned | None:
    """What the memory held of a new value; None where it cannot be said now: then the next drain looks."""
    try:
        return vault.rescan.look_again(LOOK_S)
    except ClaudeToolsError:
        return None
