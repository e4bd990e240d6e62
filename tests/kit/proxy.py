"""A TCP proxy in front of a database, which a test tells to misbehave while it runs.

It runs in a thread of the test.  Every change is in force when the call that asks for it returns.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from tests.kit.mariadb import HOST, free_port

PATIENCE = 30.0
_HEADER = 4
_SSL_REQUEST = 36  # what a client sends before it begins TLS: a packet with nothing but flags


@dataclass
class Cut:
    """Ends a connection around one packet of the client: a statement that `matches`.

    `where` is `before` (the server never sees it), `within` (the server sees its first `keep` bytes) or `after` (the
    server has done it and has answered, and the client never hears).
    """

    matches: Callable[[bytes], bool]
    where: str
    keep: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Waits until a connection was cut."""
        assert self.done.wait(PATIENCE), "no statement came that was to be cut"


@dataclass(eq=False)
class _Link:
    """One connection of a client, and the one to the server that belongs to it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    cut: Cut | None = None
    read: bytearray = field(default_factory=bytearray)
    packets: int = 0
    opaque: bool = False

    def end(self) -> None:
        """Ends both sides, as a broken line ends them."""
        for writer in (self.client, self.server):
            if writer is None:
                continue
            raw = writer.get_extra_info("socket")
            with suppress(OSError):
                raw.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                )  # a reset, nothing more is sent
            writer.transport.abort()
        for task in self.tasks:
            task.cancel()


class Proxy:
    """Passes everything on to `target`, a port of this machine, until it is told otherwise."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self.accepted = 0
        """How many connections have been made so far."""
        self._round_trip = 0.0
        self._silent = False
        self._cuts: list[Cut] = []
        self._links: set[_Link] = set()
        self._fillers: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._voice: asyncio.Event
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    # ---- what a test asks for ---------------------------------------------------------------------------------------

    def pass_on(self) -> None:
        """From now on everything passes, without delay; what was held back arrives, and nothing is cut any more."""
        self._cuts.clear()
        self._do(self._pass())

    def refuse(self) -> None:
        """The port is closed, and every connection is broken."""
        self._do(self._refuse())

    def fall_silent(self) -> None:
        """Connections stand and new ones are taken, but nothing passes any more, in either direction."""
        self._do(self._hush())

    def swallow(self) -> None:
        """As `fall_silent`, and who connects anew waits for a connection that never comes."""
        self._do(self._swallow())

    def delay(self, milliseconds: float) -> None:
        """From now on every round trip takes this much longer, the one that makes a connection too."""
        self._do(self._delay(milliseconds))

    def cut(self, statement: str | Callable[[bytes], bool], where: str = "after", *, keep: int = 0) -> Cut:
        """Cuts the next connection on which a statement comes that begins so; see `Cut`.  Blind behind TLS."""
        if isinstance(statement, str):
            start = statement.upper().encode()
            made = Cut(lambda sent: sent.lstrip().upper().startswith(start), where, keep)
        else:
            made = Cut(statement, where, keep)
        self._cuts.append(made)
        return made

    def break_all(self) -> None:
        """Breaks every connection that stands; new ones pass."""
        self._do(self._break())

    @property
    def open(self) -> int:
        """How many connections stand."""
        return len(self._links)

    def close(self) -> None:
        """Ends it."""
        if self._loop.is_closed():
            return
        self._do(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- in the thread ----------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        self._voice = asyncio.Event()
        self._voice.set()
        await self._pass()

    async def _pass(self) -> None:
        self._round_trip = 0.0
        if self._listener is None:
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.setblocking(False)
            self._listener.bind((HOST, self.port))
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        self._listener.listen(200)
        if self._accepting is None:
            self._accepting = self._loop.create_task(self._accept(self._listener))
        self._voice.set()

    async def _delay(self, milliseconds: float) -> None:
        await self._pass()
        self._round_trip = milliseconds / 1000

    async def _refuse(self) -> None:
        await self._stop_accepting()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        await self._break()

    async def _hush(self) -> None:
        await self._pass()
        self._voice.clear()

    async def _swallow(self) -> None:
        await self._hush()
        await self._stop_accepting()
        assert self._listener is not None
        self._listener.listen(0)
        for _ in range(2):  # the queue of a listener that accepts nobody holds one more than it was told
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((HOST, self.port))
            self._fillers.append(filler)

    async def _stop_accepting(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            with suppress(asyncio.CancelledError):
                await self._accepting
            self._accepting = None

    async def _break(self) -> None:
        tasks = [task for link in self._links for task in link.tasks]
        for link in list(self._links):
            link.end()
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE)

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await self._loop.sock_accept(listener)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            reader, writer = await asyncio.open_connection(sock=client)
            link = _Link(writer)
            self._links.add(link)
            link.tasks.append(self._loop.create_task(self._serve(link, reader)))

    async def _serve(self, link: _Link, reader: asyncio.StreamReader) -> None:
        try:
            await asyncio.sleep(self._round_trip)
            await self._voice.wait()
            from_server, link.server = await asyncio.open_connection(HOST, self.target)
            ways = [
                self._loop.create_task(self._carry(link, reader, link.server, from_client=True)),
                self._loop.create_task(self._carry(link, from_server, link.client, from_client=False)),
            ]
            link.tasks += ways
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass
        finally:
            self._links.discard(link)
            for writer in (link.client, link.server):
                if writer is not None:
                    writer.close()
            for task in link.tasks[1:]:
                task.cancel()

    async def _carry(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_client: bool
    ) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = self._loop.create_task(self._deliver(waiting, writer))
        link.tasks.append(delivery)
        try:
            while sent := await reader.read(65536):
                if from_client:
                    sent = self._look(link, sent)
                elif link.cut is not None:  # the server has done it, and has said so
                    self._cut_now(link)
                    return
                waiting.put_nowait((self._loop.time() + self._round_trip / 2, sent))
                if link.cut is not None and link.cut.where != "after":
                    await self._delivered(waiting, delivery)
                    self._cut_now(link)
                    return
            await self._delivered(waiting, delivery)
        except OSError:
            return

    async def _deliver(self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            due, sent = await waiting.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._voice.wait()
            try:
                writer.write(sent)
                await writer.drain()
            except OSError:
                pass
            finally:
                waiting.task_done()

    async def _delivered(self, waiting: asyncio.Queue[tuple[float, bytes]], delivery: asyncio.Task[None]) -> None:
        done = self._loop.create_task(waiting.join())
        try:
            await asyncio.wait([done, delivery], return_when=asyncio.FIRST_COMPLETED)
        finally:
            done.cancel()

    def _look(self, link: _Link, sent: bytes) -> bytes:
        """Reads the client's packets; gives what of them is to go on."""
        if link.opaque or link.cut is not None:
            return sent
        held = len(link.read)
        link.read += sent
        start = 0
        while len(link.read) >= start + _HEADER:
            size = int.from_bytes(link.read[start : start + 3], "little")
            end = start + _HEADER + size
            # What begins with COM_QUERY is looked at as soon as it comes, even where it comes in pieces.
            body = bytes(link.read[start + _HEADER + 1 : end])
            if link.packets == 0 and size < _SSL_REQUEST:
                link.opaque = True
                return sent
            if len(link.read) < end:
                break
            if link.packets > 0 and link.read[start + _HEADER] == 3:  # COM_QUERY
                found = next((cut for cut in self._cuts if cut.matches(body)), None)
                if found is not None:
                    self._cuts.remove(found)
                    link.cut = found
                    gone = {"before": start, "within": start + _HEADER + found.keep, "after": len(link.read)}
                    return sent[: max(0, gone[found.where] - held)]
            link.packets += 1
            start = end
        del link.read[:start]
        return sent

    def _cut_now(self, link: _Link) -> None:
        assert link.cut is not None
        link.end()
        self._links.discard(link)
        link.cut.done.set()
