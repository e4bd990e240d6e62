"""The tool behind the prompt hook: recall for what the person just typed.

Hidden from the model.  The hook gives it 2 seconds and lets the prompt go on without it, so it answers within its own
deadline and never with an error.
"""

from __future__ import annotations

import json
import threading
import time

import anyio
import anyio.to_thread
from mcp.server.mcpserver.tools import Tool

from mcp_server.callers import Door
from mcp_server.tools import Toolbox

DEADLINE_S = 1.8
"""With the database just opening; a warm server answers in 10 ms."""


MOST = 9000
"""Characters: above 10,000 the client keeps 2 KB."""


def offer(door: Door) -> list[Tool]:
    """The tools of this room."""
    box = Toolbox()
    late: dict[str, str] = {}

    @box.tool("Recall for a prompt", hidden=True, reads=True, as_text=True)
    async def prompt_context(
        prompt: str = "",
        session_id: str = "",
        cwd: str = "",
        transcript_path: str = "",  # noqa: ARG001 - the hook sends it; the spool leads to the transcript
    ) -> str:
        """For the prompt hook only: the hook answer that adds what earlier sessions know about this prompt."""
        door.tell(session_id, cwd)
        gone, found = threading.Event(), ""

        def work() -> str:
            text = recalled(door, session_id, prompt, cwd)
            if text and gone.is_set():
                late[session_id] = text  # it counts as told: the next prompt of the session gets it
            return text

        try:
            with anyio.move_on_after(DEADLINE_S):
                found = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        finally:
            gone.set()
        return json.dumps(hook_answer("\n\n".join(part for part in (late.pop(session_id, ""), found) if part)[:MOST]))

    return box.tools


def recalled(door: Door, session_id: str, prompt: str, cwd: str) -> str:
    """The text to add; nothing where anything fails: a prompt is never held up."""
    try:
        begun = time.monotonic()
        app, actor = door.admitted()
        return app.context.prompt(session_id, prompt, cwd, owner_id=actor.owner_id, begun=begun)
    except Exception:  # noqa: BLE001 - `status` and every other tool tell what is wrong
        return ""


def hook_answer(text: str) -> dict[str, dict[str, str]]:
    """The hook's JSON: the text as additional context, or nothing."""
    if not text:
        return {}
    return {"hookSpecificOutput": {"hookEventName": "UserPromptSubmit", "additionalContext": text}}
