"""Whole lines out of a file's bytes, wherever these were cut, in bounded memory.

A transcript's line may be long for two reasons.  An image stands in it as one run of base64, which
nobody wants: such strings are taken out as they pass, so that the words beside the image are read.
Or a tool answered with very much: a line that is too long even so comes out empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

LONGEST_LINE = 4 * 1024 * 1024
"""Bytes.  Parsing takes up to ten times as much memory; the client itself cuts a tool's output at a hundredth of it."""
_LOOKS_LONG = 256 * 1024
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
# A string that begins as base64 goes whole, to its closing quote: half of one may hold half of a secret.
_OPENS = re.compile(rb'"[A-Za-z0-9+/=_-]{1024}')
_CLOSES = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class Lines:
    """Splits chunks into lines.  `taken` counts the bytes up to the end of the last whole line."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._line = _Line(longest)
        self.taken = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that end in this chunk, without their ends; to be used up before the next chunk."""
        at = 0
        while (end := chunk.find(b"\n", at)) >= 0:
            line = self._line
            line.add(chunk[at:end])
            self.taken += line.size + 1
            self._line = _Line(self._longest)
            at = end + 1
            yield line.text()
        if at < len(chunk):
            self._line.add(chunk[at:] if at else chunk)

    @property
    def torn(self) -> int:
        """How many bytes of a line stand behind the last whole one."""
        return self._line.size

    def rest(self) -> bytes:
        """The line that has no end yet."""
        return self._line.text()

    def take_rest(self) -> None:
        """Counts that line as whole."""
        self.taken += self._line.size
        self._line = _Line(self._longest)


def split_lines(chunks: Iterable[bytes], longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """Whole lines out of byte chunks, the last with or without its end.  One above `longest` bytes comes out empty."""
    lines = Lines(longest)
    for chunk in chunks:
        yield from lines.feed(chunk)
    if lines.torn:
        yield lines.rest()


class _Line:
    """One line in the making."""

    __slots__ = ("_escaped", "_held", "_kept", "_longest", "_looks_long", "_pieces", "_within", "size")

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._pieces: list[bytes] = []
        self._kept = 0
        self._held = b""  # the end of what came, where such a string may have begun
        self._within = False  # within one that is being taken out
        self._escaped = False  # and what came of it ends with a lone backslash
        self._looks_long = False
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self._kept > self._longest:
            return
        if self.size > min(_LOOKS_LONG, self._longest):
            if not self._looks_long:
                # From its beginning, where such a string may stand already.
                piece, self._pieces, self._kept, self._looks_long = b"".join([*self._pieces, piece]), [], 0, True
            piece = self._without_images(piece)
        self._pieces.append(piece)
        self._kept += len(piece)
        if self._kept > self._longest:
            self._pieces = []
            self._held = b""

    def text(self) -> bytes:
        if self._kept + len(self._held) > self._longest:
            return b""
        return b"".join([*self._pieces, self._held])

    def _without_images(self, piece: bytes) -> bytes:
        """A piece without strings of base64, wherever these were cut."""
        piece, self._held = self._held + piece, b""
        kept: list[bytes] = []
        while True:
            if self._within:
                closes = _CLOSES.match(piece, 1 if self._escaped else 0)
                if closes is None:
                    if piece:
                        behind = len(piece) - len(piece.rstrip(b"\\"))
                        self._escaped = (behind + (self._escaped and behind == len(piece))) % 2 == 1
                    return b"".join(kept)
                piece, self._within, self._escaped = piece[closes.end() - 1 :], False, False
            opens = _OPENS.search(piece)
            if opens is None:
                break
            kept.append(piece[: opens.start() + 1])
            piece, self._within = piece[opens.end() :], True
        at = len(piece.rstrip(_ALPHABET))
        if piece[at - 1 : at] == b'"':
            piece, self._held = piece[: at - 1], piece[at - 1 :]
        return b"".join([*kept, piece])
