"""The stdio runner: eras, signals, end of input, and a wire that carries nothing else."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

# A server whose life leaves a mark at its end, and with a tool that waits for a file.
MARKED = """
import sys, time
from contextlib import asynccontextmanager
from pathlib import Path
import anyio
from mcp_server import server, stdio
home = Path(sys.argv[1])
class Marked(server.ToolServer):
    def life(self):
        @asynccontextmanager
        async def life():
            try:
                yield self.door
            finally:
                (home / "ended").touch()
        return life()
def wait_for_file(**_):
    (home / "running").touch()
    while not (home / "go").exists():
        time.sleep(0.01)
    return {}
def assemble(place=None):
    made = Marked(server.Door(place))
    tool = made.offered["status"]
    tool.fn_metadata.output_model = tool.fn_metadata.output_schema = None
    tool.fn = wait_for_file
    return made
server.assemble = assemble
stdio.serve(home)
"""


def until(test, patience: float = 30.0) -> None:
    end = time.monotonic() + patience
    while not test():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_probe_and_a_handshake_are_both_answered_on_one_connection(open_wire, tmp_path: Path) -> None:
    wire = open_wire(tmp_path)
    found = wire.ask("server/discover")["result"]
    assert found["supportedVersions"] == ["2026-07-28"]
    wire.handshake()
    modern = wire.ask("tools/list")["result"]["tools"]
    legacy = wire.ask("tools/list", modern=False)["result"]["tools"]
    assert [tool["name"] for tool in modern] == [tool["name"] for tool in legacy]
    for era in (True, False):
        assert wire.call("status", modern=era)["structuredContent"]["ok"] is False
    assert wire.hang_up() == 0


def test_a_client_that_only_shakes_hands_is_answered(open_wire, tmp_path: Path) -> None:
    wire = open_wire(tmp_path)
    wire.handshake()
    assert wire.call("status", modern=False)["structuredContent"]["version"]
    assert wire.hang_up() == 0


def test_a_client_that_pipelines_everything_is_answered_before_the_process_leaves(open_wire, tmp_path: Path) -> None:
    wire = open_wire(tmp_path)
    ids = [wire.begin("server/discover"), wire.begin("tools/list"), wire.begin("tools/call", {"name": "status"})]
    assert wire.hang_up() == 0
    assert all("result" in wire.answer(one) for one in ids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_life_and_the_process_cleanly(open_wire, tmp_path: Path, number: signal.Signals) -> None:
    wire = open_wire(tmp_path, MARKED)
    wire.ask("server/discover")
    assert wire.signal(number) == 0
    assert (tmp_path / "ended").exists()
    assert wire.errors == b""


def test_a_signal_does_not_wait_for_a_running_call(open_wire, tmp_path: Path) -> None:
    wire = open_wire(tmp_path, MARKED)
    wire.begin("tools/call", {"name": "status", "arguments": {}})
    until((tmp_path / "running").exists)
    assert wire.signal(signal.SIGTERM) == 0
    assert (tmp_path / "ended").exists()


def test_a_signal_during_the_slow_imports_ends_the_process_cleanly(open_wire, tmp_path: Path) -> None:
    script = f"""
import sys, time
from pathlib import Path
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "mcp":
            Path({str(tmp_path / "importing")!r}).touch()
            time.sleep(60)
sys.meta_path.insert(0, Slow())
from mcp_server.stdio import serve
serve(Path(sys.argv[1]))
"""
    wire = open_wire(tmp_path, script)
    until((tmp_path / "importing").exists)
    assert wire.signal(signal.SIGINT) == 0
    assert wire.errors == b""


def test_a_call_that_runs_at_end_of_input_still_answers(open_wire, tmp_path: Path) -> None:
    wire = open_wire(tmp_path, MARKED)
    asked = wire.begin("tools/call", {"name": "status", "arguments": {}})
    until((tmp_path / "running").exists)
    wire.process.stdin.close()
    (tmp_path / "go").touch()
    assert "result" in wire.answer(asked)
    assert wire.process.wait(30) == 0
    assert (tmp_path / "ended").exists()


def test_a_call_that_never_ends_does_not_keep_the_process(open_wire, tmp_path: Path) -> None:
    wire = open_wire(tmp_path, MARKED)
    wire.begin("tools/call", {"name": "status", "arguments": {}})
    until((tmp_path / "running").exists)
    assert wire.hang_up() == 0
    assert (tmp_path / "ended").exists()


def test_a_cancelled_call_is_not_waited_for(open_wire, tmp_path: Path) -> None:
    wire = open_wire(tmp_path, MARKED)
    asked = wire.begin("tools/call", {"name": "status", "arguments": {}})
    until((tmp_path / "running").exists)
    wire.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": asked}})
    wire.ask("server/discover")
    (tmp_path / "go").touch()
    assert wire.hang_up() == 0


def test_a_subscription_does_not_keep_the_process(open_wire, tmp_path: Path) -> None:
    wire = open_wire(tmp_path)
    wire.begin("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    wire.ask("tools/list")
    assert wire.hang_up() == 0


def test_a_line_that_is_no_message_is_answered_and_not_repeated(open_wire, tmp_path: Path) -> None:
    wire = open_wire(tmp_path)
    wire.say(b'{"password": "canary-7d1f"')
    assert wire.answer(None)["error"]["code"] == -32700
    wire.say(b"\xff\xfe canary-7d1f")
    assert wire.answer(None)["error"]["code"] == -32700
    assert "result" in wire.ask("server/discover")
    assert wire.hang_up() == 0
    assert b"canary" not in b"".join(wire.lines) + wire.errors


def test_only_messages_are_on_the_wire_and_nothing_on_stderr(open_wire, tmp_path: Path) -> None:
    wire = open_wire(tmp_path)
    wire.handshake()
    wire.call("status", modern=False)
    wire.call("no_such_tool", modern=False)
    wire.ask("no/such/method", modern=False)
    assert wire.hang_up() == 0
    assert wire.errors == b""
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in wire.lines)


def test_a_client_that_reads_no_more_does_not_keep_the_process(open_wire, tmp_path: Path) -> None:
    script = "import os; os.close(1); " + "os.dup2(os.open(os.devnull, os.O_RDONLY), 1);" + MARKED
    wire = open_wire(tmp_path, script)
    wire.begin("server/discover")
    assert wire.process.wait(60) == 0
    assert (tmp_path / "ended").exists()
    assert wire.process.stdin is not None  # still open: the end did not come from there
