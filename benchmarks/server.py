"""Spawn to first answer of the stdio server beside a bare server of the SDK, and a tool call."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks.store import agent, store
from benchmarks.timing import Figure, show
from domain.drafts import Draft, Generate

RUNS = 15
CALLS = 100

_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
_BARE = """
from mcp.server import MCPServer
server = MCPServer("bare", version="1")
@server.tool()
def echo(text: str) -> str:
    return text
server.run("stdio")
"""


class Wire:
    """A stdio server as a child, spoken to in JSON lines."""

    def __init__(self, command: Sequence[str]) -> None:
        self.child = subprocess.Popen(  # our own command
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._number = 0

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        """Sends one request and waits for its answer."""
        self._number += 1
        message = {
            "jsonrpc": "2.0",
            "id": self._number,
            "method": method,
            "params": {"_meta": _META, **params},
        }
        _pipe(self.child.stdin).write(json.dumps(message).encode() + b"\n")
        _pipe(self.child.stdin).flush()
        while True:
            answer: dict[str, Any] = json.loads(_pipe(self.child.stdout).readline())
            if answer.get("id") == self._number:
                return answer

    def close(self) -> None:
        """Ends the child."""
        _pipe(self.child.stdin).close()
        self.child.wait(10)
        _pipe(self.child.stdout).close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("the child has no pipe")
    return stream


def spawn_to_answer(command: Sequence[str]) -> float:
    """Milliseconds from spawn to the first answer."""
    start = time.perf_counter()
    wire = Wire(command)
    wire.ask("server/discover")
    taken = (time.perf_counter() - start) * 1000
    wire.close()
    return taken


def main() -> None:
    """Prints both tables."""
    with store() as app:
        reference = (
            app.credentials.create(
                agent(app),
                Draft("password", "Gitea", client="acme", username="admin", generate=Generate()),
            )
        ).description.reference
        bare = app.settings.home / "bare.py"
        Path(bare).write_text(_BARE, encoding="utf-8")
        ours = [sys.executable, "-I", "-m", "mcp_server", "mcp", "--home", str(app.settings.home)]
        theirs = [sys.executable, "-I", str(bare)]
        samples: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(RUNS):  # in turn, so that a drift of the machine meets both
            samples["theirs"].append(spawn_to_answer(theirs))
            samples["ours"].append(spawn_to_answer(ours))
        show(
            "stdio server, spawn to first answer",
            Figure("a bare SDK server", tuple(samples["theirs"])),
            [Figure("claudetools mcp", tuple(samples["ours"]))],
            {"claudetools mcp": "<= 1.6 x floor"},
        )
        wire, plain = Wire(ours), Wire(theirs)
        try:
            floor = _timed(plain, "a bare SDK server's tool", "echo", {"text": "x"})
            show(
                "tool calls through stdio",
                floor,
                [
                    _timed(wire, "status", "status", {}),
                    _timed(wire, "credential_search", "credential_search", {"query": "gitea"}),
                    _timed(
                        wire,
                        "credential_reveal",
                        "credential_reveal",
                        {"reference": reference, "purpose": "measure"},
                    ),
                    _timed(wire, "context_recall", "context_recall", {"query": "gitea login"}),
                ],
                {},
            )
        finally:
            wire.close()
            plain.close()


def _timed(wire: Wire, name: str, tool: str, arguments: dict[str, object]) -> Figure:
    samples = []
    for run in range(-5, CALLS):
        start = time.perf_counter()
        answer = wire.ask("tools/call", name=tool, arguments=arguments)
        if answer["result"].get("isError"):
            raise RuntimeError(f"{tool} refused: {answer['result']['structuredContent']}")
        if run >= 0:
            samples.append((time.perf_counter() - start) * 1000)
    return Figure(name, tuple(samples))
