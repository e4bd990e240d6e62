"""The memory: recall, get, save, forget.  Answers are text: a model reads prose better than JSON."""

from __future__ import annotations

from mcp.server.mcpserver.tools import Tool

from mcp_server.callers import Door
from mcp_server.tools import Toolbox

KINDS = ("decision", "fact", "todo", "warning")
PART = 30_000
"""Characters of a record in one answer."""


def offer(door: Door) -> list[Tool]:
    """The tools of this room."""
    box = Toolbox()
    return box.tools
