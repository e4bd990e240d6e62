"""A client that speaks to the real process, line by line, and the in-memory one."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.actors import Actor
from domain.plain import Plain
from mcp_server.bootstrap import App, build
from mcp_server.bootstrap.installation import Wanted, create, person_actor
from mcp_server.config import load_settings
from tests.kit.stores import Databases, copy_home

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
PATIENCE = 60
SERVE = "import sys; from pathlib import Path; from mcp_server.stdio import serve; serve(Path(sys.argv[1]))"


class Wire:
    """One server process, and what it said."""

    def __init__(
        self, home: Path, script: str = SERVE, *, session: str = "", env: dict[str, str] | None = None
    ) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("CLAUDE", "PYTHON"))}
        if session:
            clean["CLAUDE_CODE_SESSION_ID"] = session
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", script, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**clean, **(env or {})},
        )
        self.lines: list[bytes] = []
        self.errors = b""
        self._answers: dict[object, dict[str, object]] = {}
        self._queue: queue.Queue[bytes | None] = queue.Queue()
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()
        self._next = 0

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            self._queue.put(line)
        self._queue.put(None)

    def _read_errors(self) -> None:
        self.errors = self.process.stderr.read()

    def say(self, message: dict[str, object] | bytes) -> None:
        """Writes one line."""
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def begin(self, method: str, params: dict[str, object] | None = None, *, modern: bool = True) -> int:
        """Sends a request and gives its id."""
        self._next += 1
        said = dict(params or {})
        if modern:
            said["_meta"] = MODERN
        self.say({"jsonrpc": "2.0", "id": self._next, "method": method, "params": said})
        return self._next

    def answer(self, request_id: object) -> dict[str, object]:
        """Waits for the answer to a request."""
        while request_id not in self._answers:
            line = self._queue.get(timeout=PATIENCE)
            assert line is not None, f"the server left; it said {self.lines!r}"
            said = json.loads(line)
            if "id" in said:
                self._answers[said["id"]] = said
        return self._answers.pop(request_id)

    def ask(self, method: str, params: dict[str, object] | None = None, *, modern: bool = True) -> dict[str, object]:
        """A request and its answer."""
        return self.answer(self.begin(method, params, modern=modern))

    def handshake(self) -> None:
        """Opens the 2025-11-25 era."""
        self.ask("initialize", HELLO, modern=False)
        self.say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, tool: str, /, *, modern: bool = True, **arguments: object) -> dict[str, object]:
        """Calls a tool and gives its result."""
        said = self.ask("tools/call", {"name": tool, "arguments": arguments}, modern=modern)
        assert "result" in said, said
        return said["result"]

    def hang_up(self) -> int:
        """Ends the input and waits; gives the exit code."""
        self.process.stdin.close()
        return self._ended()

    def signal(self, number: signal.Signals) -> int:
        """Sends a signal and waits; gives the exit code."""
        self.process.send_signal(number)
        return self._ended()

    def _ended(self) -> int:
        code = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        return code

    def close(self) -> None:
        """Ends the process however it stands."""
        if self.process.poll() is None:
            self.process.kill()
            self._ended()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


@pytest.fixture
def wires() -> Iterator[list[Wire]]:
    """Every process a test starts ends with it."""
    started: list[Wire] = []
    yield started
    for wire in started:
        wire.close()


@pytest.fixture
def open_wire(wires: list[Wire]):
    """Starts a server on a data directory."""

    def start(home: Path, script: str = SERVE, **more: object) -> Wire:
        wire = Wire(home, script, **more)
        wires.append(wire)
        return wire

    return start


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, database: Databases) -> Path:
    """A vault with one person and one agent, made once."""
    home = tmp_path_factory.mktemp("installed") / "home"
    wanted = Wanted(
        home=home,
        person="ann",
        machine="desk",
        password=lambda: Plain(PASSWORD),
        deliver=lambda _key: None,
        **database.asked(),
    )
    create(wanted, lambda _step: None)
    return home


@pytest.fixture
def home(installed: Path, tmp_path: Path) -> Path:
    """A vault of this test's own."""
    place = tmp_path / "home"
    copy_home(installed, place)
    return place


@pytest.fixture
def vault(home: Path) -> Iterator[App]:
    """The services over the test's vault, for looking and for acting as its person."""
    app = build(load_settings(home))
    yield app
    app.close()


@pytest.fixture
def owner(vault: App) -> Actor:
    """The person of the vault."""
    return person_actor(vault, "ann")
