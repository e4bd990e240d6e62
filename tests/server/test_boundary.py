"""The error boundary: nothing of an input that was refused comes back, by whatever way it came in."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from mcp.client import Client

from domain.errors import Conflict, Denied
from mcp_server.callers import Door
from mcp_server.server import PrivateFile, ToolServer

CANARY = "canary5f21"
pytestmark = pytest.mark.anyio


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """The log file, and everything that any logger says goes there."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    file = tmp_path / "server.log"
    root.addHandler(PrivateFile(file))
    root.setLevel("DEBUG")
    yield file
    root.handlers[:] = before
    root.setLevel(level)


def logged(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def mode_of(file: Path) -> int:
    return file.stat().st_mode & 0o777


def broken_server(home: Path, error: BaseException) -> ToolServer:
    """A server whose `registry_find` raises, with a value in a local variable and in the message."""
    server = ToolServer(Door(home))

    def fail(**_: object) -> None:
        password = CANARY  # noqa: F841 - a value that a traceback with locals would show
        raise error

    server.offered["registry_find"].fn = fail
    return server


async def refused(server: ToolServer, era: str, tool: str, arguments: dict[str, object]) -> dict[str, object]:
    """The error that a call answers, whole."""
    async with Client(server, mode=era) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert len(result.content) == 1
    error = result.structured_content["error"]
    assert error["code"] in result.content[0].text
    return {**error, "whole": result.model_dump_json()}


async def test_an_unknown_tool_is_not_found_and_its_name_not_repeated(tmp_path: Path, era: str) -> None:
    error = await refused(ToolServer(Door(tmp_path)), era, CANARY, {"x": CANARY})
    assert error["code"] == "not_found"
    assert CANARY not in error["whole"]


async def test_an_argument_too_many_is_refused_by_name_without_its_value(tmp_path: Path, era: str) -> None:
    error = await refused(ToolServer(Door(tmp_path)), era, "credential_get", {"reference": "a/b/c", "pass": CANARY})
    assert error["code"] == "invalid"
    assert list(error["fields"]) == ["pass"]
    assert "reference" in error["hint"]
    assert CANARY not in error["whole"]


async def test_an_argument_name_that_may_be_a_value_is_not_repeated(tmp_path: Path, era: str) -> None:
    error = await refused(ToolServer(Door(tmp_path)), era, "credential_get", {"reference": "a/b/c", CANARY: 1})
    assert error["code"] == "invalid"
    assert CANARY not in error["whole"]


async def test_missing_and_malformed_arguments_are_named_with_a_reason(tmp_path: Path, era: str) -> None:
    arguments = {"purpose": CANARY, "length": CANARY, "ports": [22, CANARY], "requires_vpn": CANARY, "tags": CANARY}
    error = await refused(ToolServer(Door(tmp_path)), era, "credential_create", {"type": "password", **arguments})
    assert error["fields"] == {
        "service_name": "is required",
        "length": "must be a whole number",
        "ports[1]": "must be a whole number",
        "requires_vpn": "must be true or false",
        "tags": "must be a list",
    }
    assert CANARY not in error["whole"]


async def test_a_canary_in_every_argument_of_every_tool_beside_a_malformed_one_never_comes_back(
    tmp_path: Path, era: str, log_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = ToolServer(Door(tmp_path))
    seen = []
    async with Client(server, mode=era) as client:
        for name, tool in server.offered.items():
            properties = tool.parameters["properties"]
            texts = {key: CANARY for key, part in properties.items() if part.get("type") == "string"}
            every = dict.fromkeys(properties, f'{{"k":"{CANARY}"}}')
            objects = {key: {"type": CANARY, CANARY: 1} for key in properties}
            for arguments in ({**texts, "stranger": CANARY}, {**every, CANARY: 1}, objects, {**texts, "no": {}}):
                if not arguments or (arguments is objects and not properties):
                    continue
                result = await client.call_tool(name, arguments)
                assert result.is_error, name
                seen.append(result.model_dump_json())
    told = "".join(seen) + "".join(capfd.readouterr())
    assert CANARY not in told
    assert CANARY not in logged(log_file)


async def test_our_errors_are_told_by_the_table(tmp_path: Path, era: str) -> None:
    error = Denied("not for agents", hint="ask a person", entry="ae_4")
    told = await refused(broken_server(tmp_path, error), era, "registry_find", {})
    assert {key: told[key] for key in ("code", "message", "hint", "entry", "retryable")} == {
        "code": "denied",
        "message": "not for agents",
        "hint": "ask a person",
        "entry": "ae_4",
        "retryable": False,
    }


async def test_any_other_error_is_an_id_that_leads_to_a_traceback_without_values(
    tmp_path: Path, era: str, log_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        try:
            raise KeyError(CANARY)
        except KeyError as first:
            raise RuntimeError(f"bound value {CANARY}") from first
    except RuntimeError as error:
        told = await refused(broken_server(tmp_path, error), era, "registry_find", {})
    assert told["code"] == "internal"
    assert CANARY not in told["whole"] + "".join(capfd.readouterr())
    log = logged(log_file)
    assert CANARY not in log
    assert told["error_id"] in log
    assert "builtins.RuntimeError" in log
    assert "builtins.KeyError" in log
    assert "in fail" in log
    assert mode_of(log_file) == 0o600


async def test_an_answer_that_a_client_would_cut_is_refused_with_the_way_out(tmp_path: Path, era: str) -> None:
    server = ToolServer(Door(tmp_path))
    server.offered["context_recall"].fn = lambda **_: "x" * 40_001
    told = await refused(server, era, "context_recall", {"query": "backup"})
    assert told["code"] == "invalid"
    assert "limit" in told["hint"]


async def test_an_error_with_the_form_of_a_group_is_told_too(tmp_path: Path, era: str) -> None:
    told = await refused(broken_server(tmp_path, ExceptionGroup(CANARY, [Conflict(CANARY)])), era, "registry_find", {})
    assert told["code"] == "internal"
    assert CANARY not in json.dumps(told)


async def test_what_other_libraries_log_is_kept_without_its_text(log_file: Path) -> None:
    try:
        raise LookupError(CANARY)
    except LookupError:
        logging.getLogger("sqlalchemy.pool").exception("bound %s", CANARY)
    log = logged(log_file)
    assert CANARY not in log
    assert "sqlalchemy.pool" in log
    assert "LookupError" in log
