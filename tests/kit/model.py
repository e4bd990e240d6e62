"""A scripted model: the Messages API on loopback, which answers with prepared turns and keeps every request.

Requests of the main loop take the turns in their order; what the client asks besides (compaction, titles, subagents) is
answered by kind, so that it cannot upset the order.  A main request beyond the script is answered and remembered: a test
that closes with such a request, or with turns left over, fails.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self, cast
from uuid import uuid4

Json = dict[str, object]
Kind = Literal["main", "subagent", "compact", "side"]

MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
COMPACTION = ("CRITICAL: Respond with TEXT ONLY", "create a detailed summary of the")
SUMMARY = "<analysis>short</analysis>\n<summary>\n1. The user asked for work and the assistant did it.\n</summary>"
_MARKS = (("type", "text"), ("type", "tool_use"), ("type", "tool_result"))
BEYOND = "(the script has ended)"


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that the model makes."""

    name: str
    input: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the model: text, then tool calls.  It is held back until `held` is set, where that is given."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    input_tokens: int = 1000
    held: threading.Event | None = None


def says(text: str, *, input_tokens: int = 1000) -> Turn:
    """A turn that only speaks, and so ends the model's work."""
    return Turn(text, input_tokens=input_tokens)


def calls(name: str, /, **arguments: object) -> Turn:
    """A turn that calls one tool."""
    return Turn("", (Call(name, arguments),))


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the client: its kind, its body, and what it was answered."""

    kind: Kind
    body: Json
    answer: Json
    session_id: str = ""

    @property
    def text(self) -> str:
        """Everything the model was shown: system prompt, messages, tools; one string a line."""
        return "\n".join(strings(self.body))

    @property
    def raw(self) -> str:
        """The body as JSON."""
        return json.dumps(self.body, ensure_ascii=False)

    @property
    def notes(self) -> str:
        """The system messages in the conversation: where the client puts what hooks inject."""
        return "\n".join(text for message in self._messages("system") for text in strings(message.get("content")))

    @property
    def asked(self) -> str:
        """The text of the last user message, tool results included."""
        said = self._messages("user")
        return "\n".join(strings(said[-1].get("content"))) if said else ""

    @property
    def results(self) -> list[Json]:
        """All tool results in the conversation, oldest first."""
        found: list[Json] = []
        for message in self._messages("user"):
            content = message.get("content")
            if isinstance(content, list):
                found += [block for block in content if block.get("type") == "tool_result"]
        return found

    @property
    def result(self) -> str:
        """The text of the newest tool result."""
        return "\n".join(strings(self.results[-1].get("content")))

    @property
    def tools(self) -> dict[str, Json]:
        """The tools offered with their descriptions, by name."""
        offered = cast("list[Json]", self.body.get("tools") or [])
        return {str(tool.get("name")): tool for tool in offered}

    def _messages(self, role: str) -> list[Json]:
        messages = cast("list[Json]", self.body.get("messages") or [])
        return [message for message in messages if message.get("role") == role]


def strings(value: object) -> Iterator[str]:
    """Every text inside a JSON value, in its order, but the words that mark a block as one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name != "cache_control" and (name, inner) not in _MARKS:
                yield from strings(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from strings(inner)


@dataclass(slots=True)
class ScriptedModel:
    """The server.  `script` prepares turns; `requests` holds what was asked.  Use it as a context manager."""

    requests: list[Request] = field(default_factory=list)
    compaction: str = SUMMARY
    beyond: int = 0
    _turns: deque[Turn] = field(default_factory=deque)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        model: ScriptedModel = self

        class Handler(_Handler):
            scripted = model

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="scripted-model")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The base address."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, *turns: Turn) -> None:
        """Adds turns to what will be answered."""
        with self._news:
            self._turns.extend(turns)

    def forget_script(self) -> None:
        """Drops what was left of the script, and forgets that it was overrun."""
        with self._news:
            self._turns.clear()
            self.beyond = 0

    def main(self) -> list[Request]:
        """The requests of the main loop."""
        return [request for request in self.requests if request.kind == "main"]

    def wait(self, what: Callable[[list[Request]], bool], seconds: float = 30) -> None:
        """Waits until the requests are so.  Raises TimeoutError."""
        with self._news:
            if not self._news.wait_for(lambda: what(self.requests), seconds):
                raise TimeoutError(
                    f"after {seconds} s the model had {len(self.requests)} requests, not the ones waited for"
                )

    def played_out(self) -> None:
        """Checks that the script was followed to its end and no further."""
        assert not self._turns, f"{len(self._turns)} turns of the script were never asked for"
        assert not self.beyond, f"the client asked the model {self.beyond} times beyond the script"

    def answer(self, kind: Kind, body: Json, session_id: str) -> Json:
        """Chooses the answer for a request, and keeps both."""
        with self._news:
            turn = self._turn(kind)
        if turn.held is not None:
            turn.held.wait(60)
        message = _message(turn, str(body.get("model", "")))
        with self._news:
            self.requests.append(Request(kind, body, message, session_id))
            self._news.notify_all()
        return message

    def _turn(self, kind: Kind) -> Turn:
        if kind == "compact":
            return Turn(self.compaction)
        if kind == "side":
            return Turn('{"title": "A session"}')
        if self._turns:
            return self._turns.popleft()
        self.beyond += 1
        return Turn(BEYOND)


def kind_of(body: Json, headers: Mapping[str, str]) -> Kind:
    """What a request is for, told by what only such requests have."""
    request = Request("main", body, {})
    if any(mark in request.asked for mark in COMPACTION):
        return "compact"
    if "x-claude-code-agent-id" in headers:
        return "subagent"
    return "main" if body.get("tools") else "side"


def _message(turn: Turn, model: str) -> Json:
    blocks: list[Json] = [{"type": "text", "text": turn.text}] if turn.text or not turn.calls else []
    blocks += [
        {"type": "tool_use", "id": f"toolu_{uuid4().hex[:24]}", "name": call.name, "input": dict(call.input)}
        for call in turn.calls
    ]
    return {
        "id": f"msg_{uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": "tool_use" if turn.calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": turn.input_tokens, "output_tokens": 20},
    }


def _events(message: Json) -> Iterator[tuple[str, Json]]:
    """The stream form of a message: each block whole in one delta."""
    yield "message_start", {"message": {**message, "content": [], "stop_reason": None}}
    for index, block in enumerate(cast("list[Json]", message["content"])):
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield "content_block_start", {"index": index, "content_block": empty}
        yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"delta": ended, "usage": message["usage"]}
    yield "message_stop", {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    scripted: ScriptedModel

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class named it
        """Says nothing."""

    def do_GET(self) -> None:
        """Whatever else a client may look for is not here."""
        self._send(404, {"type": "error", "error": {"type": "not_found_error", "message": "not here"}})

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        """A message, or the count of its tokens."""
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        if path not in {MESSAGES, COUNT}:
            return self.do_GET()
        if path == COUNT:
            return self._send(200, {"input_tokens": len(raw) // 4})
        body = cast("Json", json.loads(raw))
        headers = {name.lower(): value for name, value in self.headers.items()}
        session = headers.get("x-claude-code-session-id", "")
        message = self.scripted.answer(kind_of(body, headers), body, session)
        if not body.get("stream"):
            return self._send(200, message)
        stream = "".join(
            f"event: {name}\ndata: {json.dumps({'type': name, **content})}\n\n" for name, content in _events(message)
        )
        return self._send(200, stream.encode(), "text/event-stream")

    def _send(self, status: int, content: Json | bytes, kind: str = "application/json") -> None:
        out = content if isinstance(content, bytes) else json.dumps(content).encode()
        try:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(out)))
            self.send_header("request-id", f"req_{uuid4().hex[:20]}")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(out)
        except (BrokenPipeError, ConnectionResetError):  # the client was killed while it waited
            self.close_connection = True
