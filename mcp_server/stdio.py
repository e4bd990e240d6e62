"""The stdio entrance: one process for one client, over its stdin and stdout.

What the SDK's own runner does not do:

- Both protocol eras on one connection.  Clients probe with `server/discover` (2026-07-28) and may then send `initialize`
  (2025-11-25); the stock loop takes the first request's era for good.  Here each message goes, by its `_meta` envelope, to
  one of two loops, which share one lifespan.
- SIGINT, SIGTERM and SIGHUP end the lifespan and leave with 0 at once, although a thread is blocked reading stdin.
- End of input: running calls get a moment to answer before the process leaves.
- A line that is no JSON-RPC message is answered (-32700), not dropped.

Calls commit before they answer, so an end at any point loses nothing that was acknowledged.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, Protocol

if TYPE_CHECKING:
    from types import FrameType

    from anyio import Event
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.shared.message import SessionMessage

    from mcp_server.callers import Door
    from mcp_server.server import ToolServer

Era = Literal["legacy", "modern"]
ERAS: tuple[Era, ...] = ("legacy", "modern")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_ANSWERS_S = 2.0
"""How long calls that run at end of input may still answer."""

ENDLESS = "subscriptions/listen"  # answered by notifications for as long as the connection lives


def serve(home: Path | None = None) -> NoReturn:
    """Serves MCP on stdin and stdout until end of input or a signal, then ends the process with 0.

    `home` is the data directory; without one, the environment and the platform's default decide.  What is slow to import
    is imported here, after a signal can end the process cleanly.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _leave)

    import anyio

    from mcp_server.server import assemble, keep_memory_private, write_quietly

    keep_memory_private()
    write_quietly(home)
    anyio.run(run, assemble(home))
    os._exit(0)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)


async def run(server: ToolServer) -> None:
    """Serves one connection.  Returns at end of input; a signal ends the process from here."""
    import anyio
    from mcp.server.stdio import stdio_server

    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(server.life())
        async with anyio.create_task_group() as group:
            group.start_soon(_stop_on_signal, stack)
            async with stdio_server() as (incoming, outgoing):
                try:
                    await Router(server, door, partial(_end, stack)).run(incoming, outgoing)
                except BaseException:  # noqa: BLE001 - the process ends here, whatever it was
                    # The client does not read any more, or we are broken: leaving this block would wait for its next word.
                    with anyio.CancelScope(shield=True):
                        await _end(stack)
            group.cancel_scope.cancel()


async def _stop_on_signal(stack: AsyncExitStack) -> None:
    import anyio

    with anyio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async for _ in signals:
            await _end(stack)


async def _end(stack: AsyncExitStack) -> NoReturn:
    """Ends the lifespan, then the process: sys.exit would wait for the thread that reads stdin."""
    await stack.aclose()
    os._exit(0)


class Outgoing(Protocol):
    """Where answers are written."""

    async def send(self, item: SessionMessage, /) -> None:
        """Writes one."""

    async def aclose(self) -> None:
        """Says that there are no more."""


class Router:
    """Sends each message of one connection to the loop of its era, and the answers of both out."""

    def __init__(self, server: ToolServer, door: Door, end: Callable[[], Awaitable[NoReturn]]) -> None:
        self.server = server
        self.door = door
        self.end = end
        self.running: dict[str | int, Era] = {}
        self._handshake = False
        self._changed: Event | None = None

    async def run(self, incoming: AsyncIterable[SessionMessage | Exception], outgoing: Outgoing) -> None:
        """Serves until `incoming` ends and the calls that still run have answered, or their time is over."""
        import anyio
        from mcp.shared.message import SessionMessage

        answers, written = anyio.create_memory_object_stream[SessionMessage](0)
        async with anyio.create_task_group() as group:
            lanes: dict[Era, MemoryObjectSendStream[SessionMessage | Exception]] = {}
            for era in ERAS:
                lanes[era], lane = anyio.create_memory_object_stream[SessionMessage | Exception](0)
                group.start_soon(self._serve_lane, lane, answers.clone())
            group.start_soon(self._write, written, outgoing)
            async for item in incoming:
                if isinstance(item, Exception):
                    await answers.send(_not_a_message())
                else:
                    await lanes[self._era_of(item)].send(item)
            with anyio.move_on_after(LAST_ANSWERS_S):
                while self.running:
                    self._changed = anyio.Event()
                    await self._changed.wait()
            if self.running:  # a thread that still works cannot be left behind in any other way
                await self.end()
            answers.close()
            for send in lanes.values():
                send.close()

    async def _serve_lane(
        self,
        lane: MemoryObjectReceiveStream[SessionMessage | Exception],
        answers: MemoryObjectSendStream[SessionMessage],
    ) -> None:
        from mcp.server.runner import serve_dual_era_loop

        await serve_dual_era_loop(
            self.server.wire,
            lane,
            answers,
            lifespan_state=self.door,
            init_options=self.server.wire.create_initialization_options(),
        )

    async def _write(self, written: MemoryObjectReceiveStream[SessionMessage], outgoing: Outgoing) -> None:
        from mcp.types import JSONRPCError, JSONRPCResponse

        async with written:
            async for item in written:
                await outgoing.send(item)
                if isinstance(item.message, JSONRPCResponse | JSONRPCError) and item.message.id is not None:
                    self._done(item.message.id)
                self.door.start()  # only now: before the first answer it would take the processor from it
        await outgoing.aclose()

    def _era_of(self, item: SessionMessage) -> Era:
        from mcp.types import PROTOCOL_VERSION_META_KEY, JSONRPCNotification, JSONRPCRequest

        message = item.message
        if isinstance(message, JSONRPCRequest):
            meta = (message.params or {}).get("_meta")
            enveloped = isinstance(meta, Mapping) and PROTOCOL_VERSION_META_KEY in meta
            era: Era = "modern" if enveloped and message.method != "initialize" else "legacy"
            self._handshake = self._handshake or era == "legacy"
            if message.method != ENDLESS:
                self.running[message.id] = era
            return era
        if isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            cancelled = (message.params or {}).get("requestId")
            if isinstance(cancelled, str | int) and cancelled in self.running:
                era = self.running[cancelled]
                self._done(cancelled)  # a cancelled request is not answered
                return era
        # Answers to the server's own requests exist in the handshake era only.
        return "legacy" if self._handshake or not isinstance(message, JSONRPCNotification) else "modern"

    def _done(self, request_id: str | int) -> None:
        self.running.pop(request_id, None)
        if self._changed is not None:
            self._changed.set()


def _not_a_message() -> SessionMessage:
    from mcp.shared.message import SessionMessage
    from mcp.types import PARSE_ERROR, ErrorData, JSONRPCError

    error = ErrorData(code=PARSE_ERROR, message="that line is not a JSON-RPC message")
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=None, error=error))
