"""The interactive client in a terminal: what a person sees and types."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

from tests.kit.client import SECONDS, end_group

COLUMNS, ROWS = 140, 50
KEYS = {"enter": "\r", "escape": "\x1b", "up": "\x1b[A", "down": "\x1b[B", "tab": "\t", "interrupt": "\x03"}


@dataclass(slots=True)
class Terminal:
    """A client on a screen of its own.  Every wait is for something on the screen, with a bound."""

    command: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    _screen: pyte.Screen = field(default_factory=lambda: pyte.Screen(COLUMNS, ROWS))
    _stream: pyte.ByteStream = field(init=False)
    _process: subprocess.Popen[bytes] | None = None
    _side: int = -1

    def __post_init__(self) -> None:
        self._stream = pyte.ByteStream(self._screen)

    def __enter__(self) -> Self:
        self._side, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            self.command, cwd=self.cwd, env=self.env, stdin=other, stdout=other, stderr=other, start_new_session=True
        )
        os.close(other)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        try:
            end_group(self._process)
        finally:
            os.close(self._side)

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(line.rstrip() for line in self._screen.display).strip("\n")

    def shows(self, what: str, seconds: float = SECONDS) -> str:
        """Waits until `what` stands on the screen, and returns the screen.  Raises AssertionError with it otherwise."""
        return self.until(lambda text: what in text, f"shows {what!r}", seconds)

    def until(self, what: Callable[[str], bool], told: str, seconds: float = SECONDS) -> str:
        """Waits until the screen is so.  Raises AssertionError with the screen."""
        end = time.monotonic() + seconds
        while not what(self.text):
            if time.monotonic() > end or not self._read(end - time.monotonic()):
                raise AssertionError(f"no screen that {told}:\n{self.text}")
        return self.text

    def type(self, text: str) -> None:
        """Types a line: the text, and Enter when the screen shows that it has arrived."""
        self._write(text)
        self.shows(text[-40:])
        self.press("enter")

    def press(self, key: str) -> None:
        """Presses a key of KEYS, or types one character."""
        self._write(KEYS.get(key, key))

    def ended(self, seconds: float = SECONDS) -> int:
        """Waits until the client is gone, and returns its exit status.  Raises AssertionError."""
        assert self._process is not None
        end = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < end:
            self._read(0.1)
        assert self._process.returncode is not None, f"the client did not leave:\n{self.text}"
        return self._process.returncode

    def _write(self, text: str) -> None:
        os.write(self._side, text.encode())

    def _read(self, seconds: float) -> bool:
        """Takes what the client has drawn, waiting for it at most so long.  False when it is gone."""
        ready, _, _ = select.select([self._side], [], [], max(0.0, min(seconds, 0.5)))
        if not ready:
            return True
        try:
            drawn = os.read(self._side, 1 << 16)
        except OSError as error:
            if error.errno == errno.EIO:  # how Linux says that the other side of a terminal is closed
                return False
            raise
        self._stream.feed(drawn)
        return bool(drawn)
