"""The door: one app for all calls, tried again after a failure, and a token that is renewed."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from mcp.client import Client

from domain.actors import Actor
from domain.errors import Unavailable
from mcp_server import bootstrap, callers
from mcp_server.bootstrap import App
from mcp_server.callers import Door
from mcp_server.server import ToolServer
from mcp_server.tools import prompt


class Builder:
    """Builds the app, unless it is down; counts how often it was asked."""

    def __init__(self) -> None:
        self.down = False
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, settings: object) -> App:
        self.asked += 1
        assert self.gate.wait(60)
        if self.down:
            raise Unavailable("the database is away")
        return bootstrap.build(settings)


@pytest.fixture
def builder() -> Builder:
    return Builder()


@pytest.fixture
def door(home: Path, builder: Builder):
    made = Door(home, session_id="s-1", build=builder)
    yield made
    builder.gate.set()
    made.close()


def test_calls_at_once_build_one_app(door: Door, builder: Builder) -> None:
    builder.gate.clear()
    got: list[App] = []
    threads = [threading.Thread(target=lambda: got.append(door.app())) for _ in range(8)]
    for thread in threads:
        thread.start()
    builder.gate.set()
    for thread in threads:
        thread.join(60)
    assert len(got) == 8
    assert len(set(map(id, got))) == 1
    assert builder.asked == 1


def test_a_call_that_waits_too_long_is_told_that_the_server_is_starting(door: Door, builder: Builder) -> None:
    builder.gate.clear()
    door.start()
    while not builder.asked:
        threading.Event().wait(0.005)
    with pytest.raises(Unavailable, match="still starting"):
        door.app(patience_s=0.05)


def test_a_failed_build_is_tried_again_but_not_by_every_call_of_a_burst(
    door: Door, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder.down = True
    for _ in range(5):
        with pytest.raises(Unavailable, match="away"):
            door.enter()
    assert builder.asked == 1
    monkeypatch.setattr(callers, "RETRY_S", 0.0)
    builder.down = False
    assert door.enter().actor.name == "claude-code"
    assert builder.asked == 2


def test_a_token_near_its_end_is_renewed_and_one_that_is_good_is_kept(door: Door, vault: App, owner: Actor) -> None:
    for _ in range(3):
        door.enter()
    door._token_ends -= callers.AGENT_TOKEN_SECONDS
    door.enter()
    assert len(vault.audit.search(owner, action="agent.prove").items) == 2


def test_a_closed_door_stays_closed(door: Door) -> None:
    door.enter()
    door.close()
    with pytest.raises(Unavailable):
        door.enter()


@pytest.mark.parametrize("told", ["", "a b", "x" * 129, "new\nline", "ключ"])
def test_a_session_id_that_is_none_is_not_taken_over(door: Door, told: str) -> None:
    door.tell(told, "not/absolute")
    assert (door.session_id, door.cwd) == ("s-1", "")
    assert Door(session_id=told).session_id == ""


@pytest.mark.anyio
async def test_a_prompt_is_not_held_up_by_a_server_that_is_still_starting(
    door: Door, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "DEADLINE_S", 0.05)
    builder.gate.clear()
    async with Client(ToolServer(door)) as client:
        result = await client.call_tool(
            "prompt_context", {"prompt": "how did we mend the backups", "session_id": "s-9"}
        )
        assert json.loads(result.content[0].text) == {}
        assert door.session_id == "s-9"
        builder.gate.set()


@pytest.mark.anyio
async def test_what_came_too_late_for_one_prompt_is_told_to_the_next(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(_self: object, session_id: str, prompt: str, cwd: str = "", **_: object) -> str:  # the memory under load
        if prompt != "first":
            return f"about {prompt}"
        begun.set()
        assert go.wait(60)
        ended.set()
        return "what the session before left"

    monkeypatch.setattr("mcp_server.services.context.Context.prompt", slow)
    monkeypatch.setattr(prompt, "DEADLINE_S", 0.5)
    door.enter()
    async with Client(ToolServer(door)) as client:

        async def told(said: str, session: str) -> str:
            result = await client.call_tool("prompt_context", {"prompt": said, "session_id": session})
            return json.loads(result.content[0].text).get("hookSpecificOutput", {}).get("additionalContext", "")

        assert await told("first", "s-1") == ""
        assert begun.is_set()
        go.set()
        assert ended.wait(60)
        assert await told("other", "s-2") == "about other"
        answers = [await told("second", "s-1")]
        if "left" not in answers[0]:  # the thread had not put it away yet
            answers.append(await told("third", "s-1"))
        assert any("what the session before left" in answer for answer in answers)
        assert "left" not in await told("fourth", "s-1")
