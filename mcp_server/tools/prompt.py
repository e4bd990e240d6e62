"""The tool behind the prompt hook: the paste guard, and recall for what the person just typed.

Hidden from the model.  The hook gives it 2 seconds and lets the prompt go on without it, so it answers within its own
deadline and never with an error.  Both look at once; a prompt that is kept back is answered as soon as that is known.
"""

from __future__ import annotations

import json
import threading
import time

import anyio
import anyio.to_thread
from mcp.server.mcpserver.tools import Tool

from domain import pasting
from domain.pasting import Caught
from mcp_server.callers import Door
from mcp_server.tools import Toolbox

DEADLINE_S = 1.8
"""With the database just opening; a warm server answers in 10 ms."""


GUARD_S = 1.6
"""What the guard knows by then is what it answers with."""

MOST = 9000
"""Characters: above 10,000 the client keeps 2 KB."""


class Seen:
    """What the guard has seen of one prompt so far."""

    def __init__(self) -> None:
        self.caught: tuple[Caught, ...] = ()
        self.blocks = False

    @property
    def keeps_back(self) -> bool:
        """Whether the prompt does not go on."""
        return self.blocks and pasting.holds_up(self.caught)


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
        begun = time.monotonic()
        gone, found, seen = threading.Event(), "", Seen()

        def work() -> str:
            text = recalled(door, session_id, prompt, cwd)
            if text and gone.is_set():
                late[session_id] = text  # it counts as told: the next prompt of the session gets it
            return text

        async def recall() -> None:
            nonlocal found
            found = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)

        try:
            with anyio.move_on_after(DEADLINE_S):
                async with anyio.create_task_group() as both:
                    both.start_soon(recall)
                    await anyio.to_thread.run_sync(look, door, prompt, begun + GUARD_S, seen, abandon_on_cancel=True)
                    if seen.keeps_back:
                        both.cancel_scope.cancel()
        finally:
            gone.set()
        if seen.keeps_back:
            if found:
                late[session_id] = found
            return json.dumps(kept_back(pasting.kept_back(seen.caught)))
        told = "\n\n".join(part for part in (late.pop(session_id, ""), found) if part)[:MOST]
        return json.dumps(hook_answer(told, pasting.told(seen.caught) if seen.caught else ""))

    return box.tools


def look(door: Door, prompt: str, until: float, seen: Seen) -> None:
    """Lets the guard look at a prompt; where anything fails, the prompt goes on."""
    try:
        if prompt.lstrip().startswith("<task-notification>"):
            return  # the client's own words, of what Claude did
        state = door.settings().paste_guard
        if state == "off":
            return
        passes = pasting.passes(prompt)
        seen.blocks = state == "block" and not passes
        forms = () if passes else pasting.together((), pasting.self_named(prompt))
        seen.caught = forms
        guard = door.app(patience_s=max(0.0, until - time.monotonic())).guard
        known = guard.values(prompt, max(0.0, until - time.monotonic()))
        if not passes:
            seen.caught = pasting.together(known, forms)
        if not seen.keeps_back:
            guard.went_on(lambda: door.enter().actor, prompt, known)
    except Exception:  # noqa: BLE001 - `status` and every other tool tell what is wrong
        return


def recalled(door: Door, session_id: str, prompt: str, cwd: str) -> str:
    """The text to add; nothing where anything fails: a prompt is never held up."""
    try:
        begun = time.monotonic()
        app, actor = door.admitted()
        return app.context.prompt(session_id, prompt, cwd, owner_id=actor.owner_id, begun=begun)
    except Exception:  # noqa: BLE001 - `status` and every other tool tell what is wrong
        return ""


def hook_answer(text: str, told: str = "") -> dict[str, object]:
    """The hook's JSON: the text as additional context, and what the person alone is told; or nothing."""
    answer: dict[str, object] = {"systemMessage": told} if told else {}
    if text:
        answer["hookSpecificOutput"] = {"hookEventName": "UserPromptSubmit", "additionalContext": text}
    return answer


def kept_back(reason: str) -> dict[str, object]:
    """The hook's JSON that keeps a prompt from the model and off the screen."""
    specific = {"hookEventName": "UserPromptSubmit", "suppressOriginalPrompt": True}
    return {"decision": "block", "reason": reason, "hookSpecificOutput": specific}
