"""The paste guard behind the prompt hook, over a real vault."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.actors import Actor
from domain.drafts import Draft
from domain.plain import Plain
from mcp_server.bootstrap import App
from mcp_server.config import save_settings
from mcp_server.services.redaction import Redaction
from mcp_server.tools import prompt
from tests.server.test_tools import Model, session

pytestmark = pytest.mark.anyio

VALUE = "Trf7#mountain-lake!93"
TOKEN = "ghp_aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1cD3"


@pytest.fixture
def reference(vault: App, owner: Actor) -> str:
    """A credential whose value a person entered."""
    draft = Draft(type="password", service_name="Mail", client="Acme", name="admin", values={"password": Plain(VALUE)})
    return vault.credentials.create(owner, draft).description.reference


async def asked(model: Model, text: str) -> dict[str, Any]:
    """What the hook is answered."""
    return json.loads(await model.read("prompt_context", prompt=text, session_id="s-1"))


def is_exposed(vault: App, owner: Actor, reference: str) -> bool:
    return vault.credentials.describe(owner, reference).exposed


def pastes(vault: App, owner: Actor) -> list[tuple[str, str]]:
    return [(it.subject, it.actor_kind) for it in vault.audit.search(owner, action="credential.paste").items]


async def test_a_prompt_with_a_vault_value_is_kept_back_and_told_by_its_reference(
    home: Path, vault: App, owner: Actor, reference: str
) -> None:
    async with session(home) as model:
        answer = await asked(model, f"log in to the mail with {VALUE} and look")
    assert answer["decision"] == "block"
    assert answer["hookSpecificOutput"] == {"hookEventName": "UserPromptSubmit", "suppressOriginalPrompt": True}
    assert f"the password of {reference}" in answer["reason"]
    assert "paste-ok:" in answer["reason"]
    assert VALUE not in json.dumps(answer)
    assert not is_exposed(vault, owner, reference)
    assert pastes(vault, owner) == []


async def test_a_value_that_came_a_moment_ago_is_known(home: Path, vault: App, owner: Actor, reference: str) -> None:
    async with session(home) as model:
        assert await asked(model, "what about the new value of the mail?") == {}
        vault.credentials.rotate(owner, reference, value=Plain("Another#value-91!"))
        answer = await asked(model, "is it Another#value-91! now?")
    assert answer["decision"] == "block"


async def test_a_secret_by_its_form_is_kept_back_with_the_command_that_takes_it(home: Path) -> None:
    async with session(home) as model:
        answer = await asked(model, f"push it with {TOKEN}")
    assert answer["decision"] == "block"
    assert "(github-token)" in answer["reason"]
    assert "claudetools credential add --type api_key" in answer["reason"]
    assert TOKEN not in answer["reason"]


async def test_a_prompt_that_is_let_through_on_purpose_goes_on_and_the_version_is_exposed(
    home: Path, vault: App, owner: Actor, reference: str
) -> None:
    async with session(home) as model:
        assert await asked(model, f"paste-ok: log in to the mail with {VALUE}, and {TOKEN}") == {}
    assert is_exposed(vault, owner, reference)
    assert pastes(vault, owner) == [(reference, "agent")]


async def test_an_old_value_that_goes_through_does_not_expose_the_new_one(
    home: Path, vault: App, owner: Actor, reference: str
) -> None:
    vault.credentials.rotate(owner, reference, value=Plain("Another#value-91!"))
    async with session(home) as model:
        assert await asked(model, f"paste-ok: the old one was {VALUE}") == {}
    assert not is_exposed(vault, owner, reference)
    assert pastes(vault, owner) == [(reference, "agent")]


async def test_set_to_warn_it_tells_the_person_and_the_prompt_goes_on(
    home: Path, vault: App, owner: Actor, reference: str
) -> None:
    save_settings(replace(vault.settings, paste_guard="warn"))
    async with session(home) as model:
        answer = await asked(model, f"log in to the mail with {VALUE}")
    assert "decision" not in answer
    assert f"claudetools credential rotate {reference}" in answer["systemMessage"]
    assert VALUE not in json.dumps(answer)
    assert is_exposed(vault, owner, reference)


async def test_set_to_off_it_does_not_look(home: Path, vault: App, owner: Actor, reference: str) -> None:
    save_settings(replace(vault.settings, paste_guard="off"))
    async with session(home) as model:
        assert await asked(model, f"log in to the mail with {VALUE} and {TOKEN}") == {}
    assert pastes(vault, owner) == []


async def test_what_claude_itself_did_is_not_looked_at(home: Path, reference: str) -> None:
    async with session(home) as model:
        said = f"<task-notification>{reference}: {VALUE}</task-notification>"
        assert await asked(model, said) == {}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_without_a_database_a_form_is_still_recognised_and_all_else_goes_on(home: Path, vault: App) -> None:
    vault.settings.database_file.rename(home / "elsewhere")
    async with session(home) as model:
        assert (await asked(model, f"push it with {TOKEN}"))["decision"] == "block"
        assert await asked(model, f"log in to the mail with {VALUE}") == {}


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The vault's values do not come until it is called."""
    gate, current = threading.Event(), Redaction.current

    def slow(self: Redaction) -> object:
        assert gate.wait(60)
        return current(self)

    monkeypatch.setattr(Redaction, "current", slow)
    return gate.set


async def test_values_that_cannot_be_read_in_time_do_not_hold_a_prompt_up(
    home: Path, reference: str, held: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "GUARD_S", 0.05)
    async with session(home) as model:
        await model.use("status")  # the app is there, the values are not
        assert await asked(model, f"log in to the mail with {VALUE}") == {}
        assert (await asked(model, f"push it with {TOKEN}"))["decision"] == "block"
        held()


async def test_what_the_memory_found_for_a_prompt_that_was_kept_back_is_told_to_the_next(
    home: Path, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def remembers(_self: object, _session: str, said: str, _cwd: str = "", **_: object) -> str:
        if VALUE not in said:
            return ""
        ended.set()
        return "what the session before left"

    monkeypatch.setattr("mcp_server.services.context.Context.prompt", remembers)
    async with session(home) as model:
        assert (await asked(model, f"go on with {VALUE}"))["decision"] == "block"
        assert ended.wait(60)
        told: dict[str, Any] = {}
        for _ in range(50):  # its thread may need a moment to hand over what it found
            told = told or await asked(model, "go on without it, as we did the last time")
    assert told["hookSpecificOutput"]["additionalContext"] == "what the session before left"
