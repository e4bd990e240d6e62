"""The server as its client meets it: a process over a real vault."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
from pathlib import Path

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from domain.actors import Actor
from domain.drafts import Draft, Generate
from mcp_server.bootstrap import App, build
from mcp_server.config import load_settings
from tests.kit.stores import store_of

CANARY = "Tr0ub4dor-canary-5f21"


def make(wire, name: str = "Gitea", **more: object) -> str:
    made = wire.call("credential_create", type="password", service_name=name, **({"generate": True} | more))
    assert not made.get("isError"), made
    return made["structuredContent"]["credential"]["reference"]


def error_of(result: dict) -> dict:
    assert result["isError"], result
    return result["structuredContent"]["error"]


def test_the_session_of_the_environment_stands_in_the_entry(open_wire, home: Path, vault: App, owner: Actor) -> None:
    wire = open_wire(home, session="from-env")
    reference = make(wire)
    opened = wire.call("credential_reveal", reference=reference, purpose="to test")["structuredContent"]
    wire.call("prompt_context", prompt="and now", session_id="from-hook")
    wire.call("credential_reveal", reference=reference, purpose="to test")
    assert wire.hang_up() == 0
    entries = vault.audit.search(owner, action="credential.decrypt").items
    assert [it.session for it in entries] == ["from-hook", "from-env"]
    assert entries[1].entry == opened["entry"]
    assert vault.audit.verify().ok


@pytest.mark.parametrize("modern", [True, False])
def test_nothing_of_a_value_is_on_stderr_in_log_files_or_in_any_answer_but_its_reveal(
    open_wire, home: Path, modern: bool
) -> None:
    wire = open_wire(home)
    if not modern:
        wire.handshake()
    made = wire.call(
        "credential_create",
        modern=modern,
        type="password",
        service_name="NAS",
        password=CANARY,
        purpose=f"it is {CANARY}",
    )
    reference = made["structuredContent"]["credential"]["reference"]
    for tool, arguments in (
        ("credential_create", {"type": "password", "service_name": "NAS", "password": CANARY, "length": CANARY}),
        ("credential_create", {"type": CANARY, "service_name": CANARY, "password": CANARY}),
        ("credential_create", {"type": "password", "service_name": "x", "api_key": CANARY}),
        ("credential_update", {"reference": reference, "tags": [CANARY], "ports": CANARY}),
        ("credential_rotate", {"reference": CANARY, "value": CANARY}),
        ("credential_rotate", {"reference": reference, "value": CANARY, "field": CANARY}),
        ("credential_reveal", {"reference": CANARY, "purpose": CANARY}),
        ("credential_get", {"reference": CANARY}),
        ("credential_search", {"query": CANARY, "type": CANARY}),
        ("credential_search", {"cursor": CANARY}),
        ("audit_search", {"since": CANARY}),
        ("audit_search", {"action": CANARY}),
        ("registry_save", {"kind": CANARY, "name": CANARY}),
        ("registry_find", {"kind": CANARY}),
        ("incident_open", {"type": CANARY, "title": CANARY}),
        ("incident_update", {"incident_id": CANARY, "text": CANARY, "technique": CANARY}),
        ("context_get", {"record_id": CANARY}),
        ("context_save", {"kind": CANARY, "title": CANARY, "text": CANARY}),
        ("context_forget", {"record_id": CANARY, "purpose": CANARY}),
        (CANARY, {CANARY: CANARY}),
    ):
        error_of(wire.call(tool, modern=modern, **arguments))
    wire.say(json.dumps({"password": CANARY}).encode()[:-1])
    wire.ask("tools/call", {"name": "status", "arguments": CANARY}, modern=modern)
    wire.ask("tools/call", {"name": [CANARY]}, modern=modern)
    wire.ask(CANARY, {"x": CANARY}, modern=modern)
    searched = wire.call("audit_search", modern=modern, limit=50)
    assert len(searched["structuredContent"]["items"]) > 5
    assert wire.hang_up() == 0
    for place in ("log", "spool", "shelf", "seen"):
        for file in (home / place).rglob("*"):
            assert CANARY.encode() not in file.read_bytes(), file
    assert CANARY.encode() not in store_of(home).contents()
    assert wire.errors == b""
    assert CANARY.encode() not in b"".join(line for line in wire.lines if b'"result"' in line or b'"method"' in line)


def test_a_server_without_its_database_says_so_and_recovers_when_it_is_back(open_wire, home: Path) -> None:
    store = store_of(home)
    kept = store.keep()
    store.remove()
    wire = open_wire(home)
    said = wire.call("status")["structuredContent"]
    assert not said["ok"]
    assert said["problems"][0]["code"] == "unavailable"
    assert said["problems"][0]["hint"]
    assert error_of(wire.call("credential_search"))["code"] == "unavailable"
    assert wire.call("prompt_context", prompt="what about the backups?")["content"][0]["text"] == "{}"
    assert not store.exists()
    store.put_back(kept)
    for _ in range(500):
        if wire.call("status")["structuredContent"]["ok"]:
            break
        threading.Event().wait(0.02)
    assert not wire.call("credential_search").get("isError")
    assert wire.hang_up() == 0


def test_a_database_that_is_moved_away_under_a_running_server_is_missed_and_found_again(open_wire, home: Path) -> None:
    wire = open_wire(home)
    make(wire, "first")
    store = store_of(home)
    kept = store.keep()
    store.remove()
    refused = error_of(wire.call("credential_create", type="password", service_name="second", generate=True))
    assert refused["code"] == "unavailable"
    store.put_back(kept)
    found: dict = {}
    for _ in range(500):
        found = wire.call("credential_search")
        if not found.get("isError"):
            break
        threading.Event().wait(0.02)
    assert [it["service_name"] for it in found["structuredContent"]["items"]] == ["first"]
    assert wire.hang_up() == 0


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda home: (home / "settings.json").unlink(), "invalid"),
        (lambda home: (home / "keys" / "root.key").unlink(), "invalid"),
        (lambda home: (home / "keys" / "root.key").chmod(0o644), "invalid"),
        (lambda home: (home / "keys" / "root.key").write_bytes(bytes(32)), "integrity"),
        (lambda home: store_of(home).spoil(), "unavailable"),
        (lambda home: store_of(home).sql("UPDATE compatibility SET min_reader = 999, min_writer = 999"), "conflict"),
        (shutil.rmtree, "invalid"),
    ],
    ids=["not set up", "no key", "open key", "wrong key", "no database file", "newer database", "nothing there"],
)
def test_a_broken_installation_is_told_with_the_next_command(open_wire, home: Path, break_it, code: str) -> None:
    break_it(home)
    wire = open_wire(home)
    problem = wire.call("status")["structuredContent"]["problems"][0]
    assert problem["code"] == code, problem
    assert problem["hint"]
    assert error_of(wire.call("credential_search"))["code"] == code
    assert wire.hang_up() == 0
    assert wire.errors == b""


def test_a_database_that_is_locked_answers_unavailable_in_time_and_recovers(open_wire, home: Path) -> None:
    wire = open_wire(home)
    reference = make(wire)
    with store_of(home).stalled():
        refused = error_of(wire.call("credential_reveal", reference=reference, purpose="to test"))
        assert refused["code"] == "unavailable"
        assert refused["retryable"]
    assert "value" in wire.call("credential_reveal", reference=reference, purpose="to test")["structuredContent"]
    assert wire.hang_up() == 0


def test_every_acknowledged_reveal_outlives_a_kill(open_wire, home: Path, vault: App, owner: Actor) -> None:
    acknowledged = set()
    wire = open_wire(home)
    reference = make(wire)
    for number in range(4):
        asked = [
            wire.begin(
                "tools/call", {"name": "credential_reveal", "arguments": {"reference": reference, "purpose": "p"}}
            )
            for _ in range(6)
        ]
        for one in asked[: number + 1]:
            acknowledged.add(wire.answer(one)["result"]["structuredContent"]["entry"])
        assert wire.signal(signal.SIGKILL) == -signal.SIGKILL
        wire = open_wire(home)
        wire.call("status")
    recorded = {it.entry for it in vault.audit.search(owner, action="credential.decrypt", limit=100).items}
    assert acknowledged <= recorded
    assert len(acknowledged) >= 10
    assert vault.audit.verify().ok
    assert wire.hang_up() == 0


def test_two_servers_on_one_vault_keep_their_chains_apart(open_wire, home: Path, vault: App) -> None:
    first, second = open_wire(home), open_wire(home)
    reference = make(first)
    pairs = [
        (
            wire,
            wire.begin(
                "tools/call", {"name": "credential_reveal", "arguments": {"reference": reference, "purpose": "p"}}
            ),
        )
        for _ in range(5)
        for wire in (first, second)
    ]
    entries = {wire.answer(one)["result"]["structuredContent"]["entry"] for wire, one in pairs}
    assert len(entries) == 10
    assert first.hang_up() == second.hang_up() == 0
    verdict = vault.audit.verify()
    assert verdict.ok
    assert verdict.chains >= 3


def test_memory_is_not_dumped_and_files_it_makes_are_private(open_wire, home: Path) -> None:
    wire = open_wire(home)
    make(wire)
    limits = Path(f"/proc/{wire.process.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    assert wire.hang_up() == 0
    loose = [file for file in home.rglob("*") if file.is_file() and file.stat().st_mode & 0o077]
    assert not loose
    assert {file.name for file in (home / "log").iterdir()} <= {"server.log"}


def test_settings_name_the_vault_that_is_served(home: Path) -> None:
    app = build(load_settings(home))
    assert app.settings.home == home
    app.close()


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_command_line_serves_another_client(home: Path, mode: str) -> None:
    started = StdioServerParameters(command=sys.executable, args=["-I", "-m", "mcp_server", "mcp", "--home", str(home)])
    async with Client(started, mode=mode) as client:
        assert client.instructions
        assert "credential_search" in {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("status", {})
        assert result.structured_content["ok"], result.structured_content


def test_a_server_leaves_what_is_due_when_it_starts_and_knows_the_values_before_the_first_prompt(
    open_wire, home: Path, vault: App, owner: Actor
) -> None:
    vault.credentials.create(owner, Draft("password", "Mail", client="acme", generate=Generate(), expires_us=1_000_000))
    wire = open_wire(home)
    loaded = False
    for _ in range(300):  # it does both beside its answers
        wire.call("status")
        loaded = loaded or bool(vault.audit.search(owner, action="redaction.load", limit=1).items)
        if (home / "due.json").exists() and loaded:
            break
    assert loaded
    assert json.loads((home / "due.json").read_text()) == {"acme": [[1_000_000], []]}
