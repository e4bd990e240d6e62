"""A server that wants what a server must not have: the password as it is, a file of this machine."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from sqlalchemy import text

from domain.errors import ClaudeToolsError
from storage import direct
from storage.address import Address, parse_address
from storage.engine import open_engine
from storage.transaction import begin

PASSWORD = "correct-horse-battery-Aa1"
_CAPABILITIES = 0x0F | 0x200 | 0x8000 | 0x80000 | 0x200000  # 4.1, PROTOCOL, SECURE_CONNECTION, PLUGIN_AUTH, lenenc
_OK = b"\x00\x00\x00\x02\x00\x00\x00"
_CLEAR = ("mysql_clear_password", "dialog", "sha256_password", "caching_sha2_password", "mysql_old_password")


class Hostile:
    """A server without TLS that asks for the password by a way of its choosing, and answers queries as it likes."""

    def __init__(self, *, switch: str = "", first: str = "mysql_native_password", answer: bytes = b"") -> None:
        self.switch, self.first, self.answer = switch, first, answer
        self.got = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def address(self, options: str = "") -> Address:
        """How it is dialled."""
        return parse_address(f"mariadb://app@127.0.0.1:{self.port}/t{options}", base="/").changed(password=PASSWORD)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            with line, suppress(OSError, ValueError):
                line.settimeout(5)
                self._talk(line)

    def _talk(self, line: socket.socket) -> None:
        # MySQL protocol 10: version, thread, salt, capabilities, character set, status, the way to log in.
        salt = b"12345678" + b"abcdefghijkl\0"
        hello = b"\x0a10.11.6-MariaDB\0" + struct.pack("<I", 7) + salt[:8] + b"\0"
        hello += struct.pack("<H", _CAPABILITIES & 0xFFFF) + b"\x2d" + struct.pack("<HH", 2, _CAPABILITIES >> 16)
        hello += bytes([21]) + b"\0" * 10 + salt[8:] + self.first.encode() + b"\0"
        self._say(line, 0, hello)
        number = self._hear(line)
        if self.switch:
            ending = b"\x04Password: " if self.switch == "dialog" else salt
            self._say(line, number + 1, b"\xfe" + self.switch.encode() + b"\0" + ending)
            number = self._hear(line)
        if "caching_sha2_password" in (self.switch, self.first):
            self._say(line, number + 1, b"\x01\x04")  # "all of it, please"
            number = self._hear(line)
        self._say(line, number + 1, _OK)
        while True:
            self._hear(line)
            self._say(line, 1, self.answer or _OK)

    def _say(self, line: socket.socket, number: int, body: bytes) -> None:
        line.sendall(struct.pack("<I", len(body))[:3] + bytes([number & 0xFF]) + body)

    def _hear(self, line: socket.socket) -> int:
        head = self._exactly(line, 4)
        self.got += self._exactly(line, int.from_bytes(head[:3], "little"))
        return head[3]

    def _exactly(self, line: socket.socket, size: int) -> bytes:
        found = b""
        while len(found) < size:
            more = line.recv(size - len(found))
            if not more:
                raise ValueError
            found += more
        return found


def ask(address: Address) -> None:
    """One read, as the program does it."""
    engine = open_engine(address)
    try:
        with begin(engine, write=False) as transaction:
            transaction.connection.execute(text("SELECT 1"))
    finally:
        engine.dispose()


@pytest.mark.parametrize("way", _CLEAR)
@pytest.mark.parametrize("at_once", [False, True])
def test_an_unencrypted_server_is_never_told_the_password_in_a_form_that_it_can_read(
    way: str, at_once: bool, tmp_path: Path
) -> None:
    hostile = Hostile(first=way) if at_once else Hostile(switch=way)
    kept = tmp_path / "password"
    kept.write_text(PASSWORD)
    with hostile:
        with pytest.raises(ClaudeToolsError):
            ask(hostile.address())
        with pytest.raises(direct.Away):
            direct.look(hostile.address().flat() | {"password_file": str(kept)}, project="p")
    assert hostile.got.count(b"app\0") == 2  # both came as far as to be asked
    assert PASSWORD.encode() not in hostile.got


def test_a_server_that_strips_encryption_is_told_nothing_at_all() -> None:
    with Hostile() as hostile:
        with pytest.raises(ClaudeToolsError):
            ask(hostile.address(f"?tls_fingerprint={'0' * 64}"))
        with pytest.raises(ClaudeToolsError):
            ask(hostile.address("?tls=on"))
    assert hostile.got == b""


def test_a_server_that_asks_for_a_file_of_this_machine_gets_none_and_is_given_up(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("what is kept here")
    with Hostile(answer=b"\xfb" + str(kept).encode()) as hostile:
        with pytest.raises(ClaudeToolsError):
            ask(hostile.address())
        with pytest.raises(direct.Away):
            direct.look(hostile.address().flat(), project="p")
    assert b"what is kept" not in hostile.got
