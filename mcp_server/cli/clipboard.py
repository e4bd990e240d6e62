"""The clipboard: a value goes in by a program's standard input, and is cleared unless something else is in it by then.

Who clears it is a process of its own, which holds a salted hash of the value and not the value.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import Invalid, Unavailable
from domain.plain import Plain

_PATIENCE_S = 10.0
_SALT_BYTES = 16
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Clipboard:
    """The programs that write the clipboard, read it, and empty it ("": by writing nothing)."""

    write: tuple[str, ...]
    read: tuple[str, ...]
    empty: tuple[str, ...] = ()


_WAYLAND = Clipboard(("wl-copy",), ("wl-paste", "--no-newline"), ("wl-copy", "--clear"))
_XCLIP = Clipboard(("xclip", "-selection", "clipboard"), ("xclip", "-selection", "clipboard", "-o"))
_XSEL = Clipboard(
    ("xsel", "--clipboard", "--input"), ("xsel", "--clipboard", "--output"), ("xsel", "--clipboard", "--clear")
)
_MAC = Clipboard(("pbcopy",), ("pbpaste",))
_WINDOWS = Clipboard(("clip.exe",), ("powershell.exe", "-NoProfile", "-Command", "Get-Clipboard -Raw"))


def find(environment: Mapping[str, str] | None = None) -> Clipboard:
    """The clipboard of this desktop.  Raises Invalid where there is none."""
    said = os.environ if environment is None else environment
    ways: list[Clipboard] = []
    ways += [_WAYLAND] if said.get("WAYLAND_DISPLAY") else []
    ways += [_XCLIP, _XSEL] if said.get("DISPLAY") else []
    ways += [_WINDOWS] if said.get("WSL_DISTRO_NAME") else []
    ways.append(_MAC)  # its programs are nowhere else
    for way in ways:
        if shutil.which(way.write[0], path=said.get("PATH")) and shutil.which(way.read[0], path=said.get("PATH")):
            return way
    raise Invalid(
        "there is no clipboard to copy to",
        hint="install wl-clipboard (Wayland), xclip or xsel (X11); or claudetools credential reveal",
    )


def copy(clipboard: Clipboard, value: Plain, *, clear_after_s: float) -> None:
    """Puts a value on the clipboard, and has it cleared after that time.  Raises Unavailable."""
    salt = os.urandom(_SALT_BYTES)
    # First who clears it: a value that nobody clears is worse than one that was never copied.
    sweeper = _sweeper(clipboard, clear_after_s, salt + _hash(salt, value.expose_bytes()))
    try:
        _put(clipboard.write, value.expose_bytes())
    except Unavailable:
        sweeper.kill()
        sweeper.wait()
        raise


def clear(clipboard: Clipboard, marks: bytes) -> bool:
    """Empties the clipboard if it still holds what these marks were made of.  Whether it did."""
    held = _held(clipboard)
    salt, wanted = marks[:_SALT_BYTES], marks[_SALT_BYTES:]
    # Some clipboards add a line break to what they give back.
    texts = (held, held.removesuffix(b"\n"), held.removesuffix(b"\r\n"))
    if not any(hmac.compare_digest(_hash(salt, text), wanted) for text in texts):
        return False
    if clipboard.empty:
        _put(clipboard.empty, b"")
    else:
        _put(clipboard.write, b"")
    return True


def _sweeper(clipboard: Clipboard, after_s: float, marks: bytes) -> subprocess.Popen[bytes]:
    names = [str(after_s), clipboard.write[0]]
    child = subprocess.Popen(
        [sys.executable, "-I", "-m", "mcp_server.cli.clipboard", *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdin is not None  # noqa: S101  # a pipe was asked for
    child.stdin.write(marks)
    child.stdin.close()
    return child


def _put(command: tuple[str, ...], content: bytes) -> None:
    try:
        # These programs stay to serve what they hold: they must not keep a pipe of ours open.
        subprocess.run(
            command,
            input=content,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        raise Unavailable(f"{command[0]} did not take it", hint="is this a terminal of the desktop?") from None


def _held(clipboard: Clipboard) -> bytes:
    try:
        done = subprocess.run(
            clipboard.read, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return b""
    return done.stdout[:_LARGEST]


def _hash(salt: bytes, value: bytes) -> bytes:
    return hashlib.sha256(salt + value).digest()


def main() -> None:
    """Waits, then clears; what it needs comes on its standard input and is no secret."""
    after_s, program = float(sys.argv[1]), sys.argv[2]
    marks = sys.stdin.buffer.read()
    os.close(sys.stdin.fileno())
    time.sleep(after_s)
    for clipboard in (_WAYLAND, _XCLIP, _XSEL, _MAC, _WINDOWS):
        if clipboard.write[0] == program:
            clear(clipboard, marks)


if __name__ == "__main__":
    main()
