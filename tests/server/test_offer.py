"""What the server offers: names, schemas, marks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcp_server.callers import Door
from mcp_server.server import INSTRUCTIONS, ToolServer

ASKS = {"credential_reveal", "credential_delete", "context_forget", "credential_run"}
ALWAYS = {"credential_search", "context_recall"}
READS = {
    *("status", "credential_search", "credential_get", "audit_search", "incident_search", "context_recall"),
    *("context_get", "registry_find", "prompt_context", "credential_report", "recipe_list"),
}
NAMES = {
    *READS,
    *ASKS,
    *("credential_create", "credential_update", "credential_rotate", "incident_open", "incident_update"),
    *("context_save", "registry_save", "client_use", "credential_use"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> ToolServer:
    return ToolServer(Door(tmp_path_factory.mktemp("home")))


async def listed(server: ToolServer) -> list[dict[str, object]]:
    return [tool.model_dump(by_alias=True, exclude_none=True) for tool in await server.list_tools()]


@pytest.mark.anyio
async def test_the_tools_are_these(server: ToolServer) -> None:
    assert {tool["name"] for tool in await listed(server)} == NAMES


@pytest.mark.anyio
async def test_all_tools_together_cost_a_model_at_most_6000_tokens(server: ToolServer) -> None:
    spent = {
        tool["name"]: len(json.dumps([tool["name"], tool["description"], tool["inputSchema"]], separators=(",", ":")))
        for tool in await listed(server)
        if tool["name"] != "prompt_context"
    }
    assert sum(spent.values()) / 3.5 <= 6000, spent


@pytest.mark.anyio
async def test_tools_carry_their_marks(server: ToolServer) -> None:
    for tool in await listed(server):
        name, marks, meta = tool["name"], tool["annotations"], tool.get("_meta", {})
        assert marks["readOnlyHint"] == (name in READS), name
        assert marks["destructiveHint"] == (name in ASKS), name
        assert meta.get("anthropic/requiresUserInteraction", False) == (name in ASKS), name
        assert meta.get("anthropic/alwaysLoad", False) == (name in ALWAYS), name
        assert ("anthropic/searchHint" in meta) == (name not in ALWAYS | {"prompt_context"}), name
        assert ("ui" in meta) == (name == "prompt_context")


@pytest.mark.anyio
async def test_schemas_refuse_strangers_and_parameters_that_hold_text_are_bare_text(server: ToolServer) -> None:
    for name, tool in server.offered.items():
        assert tool.parameters["additionalProperties"] is False
        fields = tool.fn_metadata.arg_model.model_fields
        for parameter, part in tool.parameters["properties"].items():
            if part.get("type") == "string":
                assert fields[parameter].annotation is str, f"{name}.{parameter} would be parsed as JSON first"


@pytest.mark.anyio
async def test_answers_for_reading_are_text_and_the_others_have_a_schema(server: ToolServer) -> None:
    for tool in await listed(server):
        prose = tool["name"] in {"context_recall", "context_get", "prompt_context"}
        assert ("outputSchema" not in tool) == prose, tool["name"]


def test_every_description_says_something_and_stays_short(server: ToolServer) -> None:
    for tool in server.offered.values():
        assert 20 <= len(tool.description) <= 700, tool.name


def test_the_instructions_fit_and_name_only_tools_that_exist() -> None:
    assert len(INSTRUCTIONS) < 2000
    words = {word.strip(".,;:?()`") for word in INSTRUCTIONS.split()}
    named = {word for word in words if "_" in word and word.replace("_", "").isalpha()}
    assert named
    assert named <= NAMES


def test_every_tool_is_in_the_docs(server: ToolServer) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")
    missing = [name for name in server.offered if f"`{name}`" not in page]
    assert not missing
