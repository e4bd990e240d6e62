"""Is everything up, and who am I here?  The one tool that answers without database and identity."""

from __future__ import annotations

from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel, Field

from hooks import spool
from mcp_server import __version__, answers
from mcp_server.callers import Door
from mcp_server.tools import Toolbox


class Problem(BaseModel):
    """What is wrong, and the next command to type."""

    code: str
    message: str
    hint: str


class Status(BaseModel):
    """Whether the server can work, and under whose name."""

    ok: bool
    version: str
    agent: str = ""
    owner: str = ""
    machine: str = ""
    session_id: str = ""
    tier: str = ""
    notes_waiting: int = 0
    problems: list[Problem] = Field(default_factory=list)


def offer(door: Door) -> list[Tool]:
    """The tools of this room."""
    box = Toolbox()

    @box.tool("ClaudeTools status", reads=True, search_hint="claudetools status health doctor whoami problem")
    def status() -> Status:
        """Whether ClaudeTools works here, as whom it acts, and if not, what is wrong and the next command to type."""
        answer = Status(ok=False, version=__version__, session_id=door.session_id)
        try:
            answer.notes_waiting = sum(1 for _ in spool.pending(str(door.settings().home)))
            _, actor = door.admitted()
            answer.agent, answer.owner, answer.machine = actor.name, actor.owner_name, actor.machine_name
            answer.tier, answer.ok = actor.tier, True
        except Exception as error:  # noqa: BLE001 - telling what is wrong is this tool's answer
            told = answers.to_json(error)
            problem = Problem(code=str(told["code"]), message=str(told["message"]), hint=str(told["hint"]))
            answer.problems.append(problem)
        return answer

    return box.tools
