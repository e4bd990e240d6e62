"""A command at a terminal of its own: what it prints, and what a person types."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time

PATIENCE = 60
_TAKES_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
)
COMMAND = (sys.executable, "-I", "-c", _TAKES_TERMINAL, sys.executable, "-I", "-m", "mcp_server")
"""What begins a command that has its standard input as its controlling terminal."""


class Screen:
    """One command, with the terminal as its standard streams and as its controlling terminal."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self.side, other = pty.openpty()
        command = [*COMMAND, *arguments]
        self.process = subprocess.Popen(
            command, stdin=other, stdout=other, stderr=other, env=environment, start_new_session=True
        )
        os.close(other)
        self.text = ""
        self.seen = ""

    def until(self, pattern: str) -> re.Match[str]:
        """Waits until the command has printed what fits; what comes after it is kept for later."""
        end = time.monotonic() + PATIENCE
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end() :]
                return found
            assert time.monotonic() < end, self.text
            if select.select([self.side], [], [], 1)[0]:
                try:
                    self._read()
                except OSError:  # the other side was closed
                    found = re.search(pattern, self.text)
                    assert found, self.text
                    return found

    def _read(self) -> None:
        said = os.read(self.side, 65536).decode(errors="replace")
        self.text += said
        self.seen += said

    def type(self, line: str) -> None:
        """Types a line and Enter."""
        os.write(self.side, f"{line}\n".encode())

    def end(self) -> int:
        """Waits for the command's end and gives its exit code."""
        try:
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                try:
                    if select.select([self.side], [], [], 1)[0]:
                        self._read()
                except OSError:
                    break
            return self.process.wait(PATIENCE)
        finally:
            os.close(self.side)
