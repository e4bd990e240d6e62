"""The tool behind the prompt hook: recall for what the person just typed.

Hidden from the model.  The hook gives it 2 seconds and lets the prompt go on without it, so it answers within its own
deadline and never with an error.
"""

from __future__ import annotations

import json

import anyio
import anyio.to_thread
from mcp.server.mcpserver.tools import Tool

from mcp_server.callers import Door
from mcp_server.tools import Toolbox

DEADLINE_S = 1.8
"""With the database just opening; a warm server answers in 10 ms."""


def offer(door: Door) -> list[Tool]:
    """The tools of this room."""
    box = Toolbox()

    @box.tool("Recall for a prompt", hidden=True, reads=True, as_text=True)
    async def prompt_context(
        prompt: str = "",
        session_id: str = "",
        cwd: str = "",
        transcript_path: str = "",  # noqa: ARG001 - the hook sends it; the spool leads to the transcript
    ) -> str:
        """For the prompt hook only: the hook answer that adds what earlier sessions know about this prompt."""
        door.tell(session_id, cwd)
        found = ""
        with anyio.move_on_after(DEADLINE_S):
            found = await anyio.to_thread.run_sync(recalled, door, session_id, prompt, cwd, abandon_on_cancel=True)
        return json.dumps(hook_answer(found))

    return box.tools


def recalled(door: Door, session_id: str, prompt: str, cwd: str) -> str:
    """The text to add; nothing where anything fails: a prompt is never held up."""
    try:
        app, _ = door.admitted()
        return app.context.prompt(session_id, prompt, cwd)
    except Exception:  # noqa: BLE001 - `status` and every other tool tell what is wrong
        return ""


def hook_answer(text: str) -> dict[str, dict[str, str]]:
    """The hook's JSON: the text as additional context, or nothing."""
    if not text:
        return {}
    return {"hookSpecificOutput": {"hookEventName": "UserPromptSubmit", "additionalContext": text}}
