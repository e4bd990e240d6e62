"""The real client as a process: one prompt, or a conversation over its streams.

It runs in a home of its own with nothing of the caller's environment, knows no other host than the scripted model, and is
ended, with all it started, when its block is left.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from tests.kit.model import Json, Request, ScriptedModel

KEY = "sk-ant-api03-a-key-that-only-the-scripted-model-takes"
SECONDS = 60.0
"""How long one answer of the client may take on a machine that does much else."""


def environment(home: Path, model: ScriptedModel | None, path: Sequence[Path] = ()) -> dict[str, str]:
    """The whole environment of a client in `home`: quiet, and with the model as the only host it knows."""
    return {
        "PATH": os.pathsep.join([*(str(place) for place in path), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "SHELL": "/bin/bash",
        "ANTHROPIC_BASE_URL": model.url if model else "http://127.0.0.1:9",
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
    }


def end_group(process: subprocess.Popen[str] | subprocess.Popen[bytes], grace: float = 5.0) -> None:
    """Ends a process that leads its group, and the group with it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the client said: its events and the requests that it made."""

    status: int
    events: tuple[Json, ...]
    errors: str
    requests: tuple[Request, ...]

    @property
    def main(self) -> list[Request]:
        """The requests of the main loop."""
        return [request for request in self.requests if request.kind == "main"]

    @property
    def first(self) -> Request:
        """The first request."""
        return self.main[0]

    @property
    def last(self) -> Request:
        """The last request: the one that shows every tool result."""
        return self.main[-1]

    @property
    def said(self) -> str:
        """The answer to the person."""
        return str(self.event("result").get("result", ""))

    @property
    def session_id(self) -> str:
        """The session's id."""
        return str(self.event("system", "init").get("session_id", ""))

    @property
    def server(self) -> str:
        """How the client says the product's server is doing: `connected`, `failed` or nothing."""
        servers = cast("list[Json]", self.event("system", "init").get("mcp_servers") or [])
        return next((str(it["status"]) for it in servers if "claudetools" in str(it["name"])), "")

    @property
    def refusals(self) -> list[str]:
        """The tools that a permission kept from running."""
        return [str(it["tool_name"]) for it in cast("list[Json]", self.event("result").get("permission_denials") or [])]

    def event(self, kind: str, subtype: str = "") -> Json:
        """The last event of a kind.  Raises AssertionError with what the client said instead."""
        for event in reversed(self.events):
            if event.get("type") == kind and (not subtype or event.get("subtype") == subtype):
                return event
        raise AssertionError(
            f"the client gave no {kind} {subtype}; status {self.status}; it said: {self.errors[-2000:]}"
        )


@dataclass(slots=True)
class Conversation:
    """A running client to which prompts are said one by one (`--input-format stream-json`)."""

    command: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    model: ScriptedModel
    errors_file: Path
    events: list[Json] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None
    _news: queue.SimpleQueue[Json | None] = field(default_factory=queue.SimpleQueue)
    _from: int = 0

    def __enter__(self) -> Self:
        self._from = len(self.model.requests)
        with self.errors_file.open("w") as errors:
            self._process = subprocess.Popen(
                self.command, cwd=self.cwd, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                text=True, start_new_session=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), name="client-events", daemon=True
        )
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self.process
        try:
            if kind is None:
                self.finish()
        finally:
            end_group(process)
            assert self._reader is not None
            self._reader.join(5)
            for stream in (process.stdin, process.stdout):
                try:
                    if stream is not None:
                        stream.close()
                except BrokenPipeError:
                    continue

    @property
    def process(self) -> subprocess.Popen[str]:
        """The client."""
        assert self._process is not None
        return self._process

    @property
    def run(self) -> Run:
        """What has been said so far."""
        status = self.process.poll()
        requests = tuple(self.model.requests[self._from :])
        return Run(-1 if status is None else status, tuple(self.events), self.errors_file.read_text(), requests)

    def say(self, text: str, seconds: float = SECONDS) -> Json:
        """Says a prompt or a command of the client, and waits for its result."""
        self.begin(text)
        return self.wait(lambda event: event.get("type") == "result", seconds)

    def begin(self, text: str) -> None:
        """Says a prompt and waits for nothing."""
        assert self.process.stdin is not None
        message = {"type": "user", "message": {"role": "user", "content": text}}
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def wait(self, what: Callable[[Json], bool], seconds: float = SECONDS) -> Json:
        """The next event that is so.  Raises TimeoutError, or AssertionError when the client ends before it."""
        until = time.monotonic() + seconds
        while True:
            try:
                event = self._news.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"the client gave no such event in {seconds} s; {self._told()}") from None
            if event is None:
                raise AssertionError(f"the client ended; {self._told()}")
            if what(event):
                return event

    def kill(self) -> None:
        """Ends the client as a crash does: nothing of it runs any more, no hook of its end is called."""
        self.process.kill()
        self.process.wait()

    def finish(self, seconds: float = SECONDS) -> None:
        """Ends the conversation as a person does who leaves, and waits until the client is gone."""
        process = self.process
        if process.poll() is None:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(seconds)

    def _told(self) -> str:
        return f"events {[event.get('type') for event in self.events][-8:]}; it said: {self.errors_file.read_text()[-2000:]}"

    def _read(self, stream: IO[str]) -> None:
        try:
            for line in stream:
                if line.startswith("{"):
                    event = cast("Json", json.loads(line))
                    self.events.append(event)
                    self._news.put(event)
        except ValueError:  # the stream was closed, or the client was killed within a line
            pass
        self._news.put(None)


def run_once(command: Sequence[str], cwd: Path, env: Mapping[str, str], model: ScriptedModel, errors_file: Path) -> Run:
    """Runs `claude -p` with its prompt to its end."""
    before = len(model.requests)
    with errors_file.open("w") as errors, subprocess.Popen(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, _ = process.communicate(timeout=2 * SECONDS)
        finally:
            end_group(process)
    events = tuple(cast("Json", json.loads(line)) for line in out.splitlines() if line.startswith("{"))
    return Run(process.returncode, events, errors_file.read_text(), tuple(model.requests[before:]))
