"""Security incidents: open, search, update."""

from __future__ import annotations

from mcp.server.mcpserver.tools import Tool

from mcp_server.callers import Door
from mcp_server.tools import Toolbox


def offer(door: Door) -> list[Tool]:
    """The tools of this room."""
    box = Toolbox()
    return box.tools
