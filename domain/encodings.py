"""The ways in which a known value turns up in text, and how text is folded before it is searched.

Searching for every spelling of every value would need hundreds of patterns a value.  Instead the text is folded (case,
white space, the two alphabets of base64) and unescaped, and each value is turned into the few spellings that are left:
itself, base64 at the three byte offsets (RFC 4648, of the value and of its UTF-16LE), hex, and what the standard
libraries make of it for URLs (RFC 3986), JSON (RFC 8259), HTML, shells and Python.
"""

from __future__ import annotations

import base64
import codecs
import html
import json
import re
import shlex
import urllib.parse
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

# Both base64 alphabets fall together; letters fall to lower case.
_FOLD = bytes(range(256)).translate(
    bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_", b"abcdefghijklmnopqrstuvwxyz+/"),
)
# Dropped by the dense folding: white space, control characters and the zero bytes of UTF-16.
_BLANK = bytes([*range(0x21), 0x7F])
_ALNUM = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NOT_ALNUM = bytes(b for b in range(256) if b not in _ALNUM)

# ECMA-48 control sequences, operating system commands (titles, links) and two-byte escapes.
_ANSI = rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,2048}(?:\x07|\x1b\\)|[@-Z\\^_])"
_ANSI_ONLY = re.compile(_ANSI)
_FAMILIES = {
    b"%": rb"%[0-9A-Fa-f]{2}",
    b"\\": (
        rb"\\(?:u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}"
        rb"|u\{[0-9A-Fa-f]{1,6}\}|x[0-9A-Fa-f]{2}|[0-7]{3}|[^\x80-\xff])"
    ),
    b"&": rb"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});",
}
_QUOTES = rb"'\"'\"'|'\\\\?''"


def _escapes(*left_out: bytes) -> re.Pattern[bytes]:
    parts = [pattern for sign, pattern in _FAMILIES.items() if sign not in left_out]
    return re.compile(b"|".join([_ANSI, *parts, _QUOTES]), re.DOTALL)


_ESCAPE = _escapes()
# Where a value itself holds what looks like an escape, that family is also left as it is.
_WITHOUT = {sign: (re.compile(pattern, re.DOTALL), _escapes(sign)) for sign, pattern in _FAMILIES.items()}
_SIGNS_OF_ESCAPES = (b"%", b"\\", b"&", b"'\"'")
_CONTROLS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f", b"a": b"\a", b"v": b"\v", b"e": b"\x1b"}

# A line of xxd (offset and colon, one space between groups) or of hexdump -C and od -tx1 (two spaces may part the
# groups), and what the bytes spell beside them.
_DUMP_LINE = re.compile(
    rb"^[ \t]{0,8}(?:[0-9A-Fa-f]{6,16}:[ \t]{1,4}((?:[0-9A-Fa-f]{2}){1,8}(?: (?:[0-9A-Fa-f]{2}){1,8}){0,63})"
    rb"|[0-9A-Fa-f]{6,16}[ \t]{1,4}((?:[0-9A-Fa-f]{2}){1,4}(?: {1,2}(?:[0-9A-Fa-f]{2}){1,4}){0,63}))(?=[ \t\r\n]|\Z)[^\n]*",
    re.MULTILINE,
)
_HEX_PAIR = re.compile(rb"[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True)
class Spelling:
    """One folded pattern; `left` and `right` say that the neighbour character carries bits of the value too."""

    folded: bytes = field(repr=False)
    left: bool = False
    right: bool = False


def dense(data: bytes) -> bytes:
    """The data folded, without white space and control characters."""
    return data.translate(_FOLD, _BLANK)


def letters(data: bytes) -> bytes:
    """The data's ASCII letters and digits alone, in lower case."""
    return data.translate(_FOLD, _NOT_ALNUM)


def _base64_cores(value: bytes) -> Iterator[Spelling]:
    """The characters of base64 that `value` alone decides, for each of its three places in a group (RFC 4648, 4)."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + value).rstrip(b"=")
        whole = (offset + len(value)) * 8 // 6
        core = encoded[(0, 2, 3)[offset] : whole]
        yield Spelling(core, left=offset > 0, right=(offset + len(value)) % 3 != 0)


def _text_spellings(text: str) -> Iterator[bytes]:
    """What the usual libraries write for `text`; the folding and the unescaping see the rest."""
    if text.isascii() and text.isalnum():  # most tokens: nobody quotes these
        yield from (each.encode() for each in (text, text[::-1], codecs.encode(text, "rot13")))
        return
    for written in (
        urllib.parse.quote(text, safe=""),
        urllib.parse.quote(text, safe="/"),
        urllib.parse.quote_plus(text),
        json.dumps(text)[1:-1],
        json.dumps(json.dumps(text)[1:-1])[1:-1],  # unescaping twice would also undo what the value itself spells
        urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
        json.dumps(text, ensure_ascii=False)[1:-1],
        json.dumps(text)[1:-1].replace("/", "\\/"),
        html.escape(text),
        html.escape(text, quote=False),
        shlex.quote(text).removeprefix("'").removesuffix("'"),
        text.replace("'", "'\\''"),
        re.sub(r"([^A-Za-z0-9_])", r"\\\1", text),
        repr(text)[1:-1],
        text.upper(),
        text[::-1],
        codecs.encode(text, "rot13"),
    ):
        yield written.encode("utf-8", "surrogatepass")


def spellings(value: bytes) -> dict[bytes, Spelling]:
    """The patterns to look for in densely folded data, each once, by their folded bytes."""
    found: dict[bytes, Spelling] = {}

    def keep(made: Iterable[Spelling]) -> None:
        for each in made:
            folded = dense(each.folded)
            if len(folded) >= 6:  # noqa: PLR2004  shorter ones would be found in ordinary words
                found.setdefault(folded, Spelling(folded, each.left, each.right))

    keep([Spelling(value), Spelling(value.hex().encode())])
    keep(_base64_cores(value))
    try:
        text = value.decode()
    except UnicodeDecodeError:
        keep([Spelling(value[::-1])])
        return found
    wide = text.encode("utf-16-le")
    keep(_base64_cores(wide))
    keep(Spelling(each) for each in (wide, text.encode("utf-16-be"), *_text_spellings(text)))
    return found


def letter_spellings(value: bytes) -> dict[bytes, Spelling]:
    """The patterns to look for where only letters and digits are left: hex with separators, broken base64."""
    found: dict[bytes, Spelling] = {}
    made = [Spelling(value.hex().encode()), Spelling(b"0x" + value.hex(":").encode().replace(b":", b"0x"))]
    made += _base64_cores(value)
    bare = letters(value)
    if len(bare) * 4 >= len(value) * 3:
        made.append(Spelling(value))
    for each in made:
        folded = letters(each.folded)
        if len(folded) >= 8 and len(set(folded)) > 2:  # noqa: PLR2004  a pattern must not be a word or a run of zeros
            found.setdefault(folded, Spelling(folded, each.left, each.right))
    return found


# --- views: data changed for searching, with the way back ------------------------------------------------------------


class View:
    """Bytes derived from other bytes; `span` leads from a place here to the place there that it came from."""

    def __init__(self, data: bytes, parent: View | None = None) -> None:
        self.data = data
        self.parent = parent

    def step(self, start: int, end: int) -> tuple[int, int]:
        """The range of the parent's bytes that made `data[start:end]`."""
        return start, end

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The range of the first ancestor's bytes that made `data[start:end]`."""
        view: View | None = self
        while view is not None:
            start, end = view.step(start, end)
            view = view.parent
        return start, end


class _Dropped(View):
    """A view without certain bytes."""

    _BLOCK = 256

    def __init__(self, parent: View, drop: bytes) -> None:
        super().__init__(parent.data.translate(_FOLD, drop), parent)
        self._drop = drop
        self._source = parent.data
        self._before: list[int] | None = None
        self._kept: dict[int, list[int]] = {}

    def _place(self, index: int) -> int:
        if self._before is None:  # only a hit pays for the way back
            blocks = range(0, len(self._source), self._BLOCK)
            lengths = (len(self._source[at : at + self._BLOCK].translate(None, self._drop)) for at in blocks)
            self._before = [0, *accumulate(lengths)]
        block = bisect_right(self._before, index) - 1
        kept = self._kept.get(block)
        if kept is None:
            at = block * self._BLOCK
            run = enumerate(self._source[at : at + self._BLOCK], at)
            kept = self._kept[block] = [place for place, byte in run if byte not in self._drop]
        return kept[index - self._before[block]]

    def step(self, start: int, end: int) -> tuple[int, int]:
        return self._place(start), self._place(end - 1) + 1


class _Replaced(View):
    """A view in which some runs were replaced by others."""

    def __init__(self, data: bytes, parent: View, here: list[int], source: list[tuple[int, int]]) -> None:
        super().__init__(data, parent)
        self._here = here  # where each kept or replaced run starts in this view
        self._source = source  # start of that run in the parent; its length, or -1 for a run copied as it was

    def _one(self, index: int) -> tuple[int, int]:
        run = bisect_right(self._here, index) - 1
        start, length = self._source[run]
        if length < 0:
            at = start + index - self._here[run]
            return at, at + 1
        return start, start + length

    def step(self, start: int, end: int) -> tuple[int, int]:
        return self._one(start)[0], self._one(end - 1)[1]


def dense_view(view: View) -> View:
    """The view folded by `dense`."""
    return _Dropped(view, _BLANK)


def letters_view(view: View) -> View:
    """The view folded by `letters`."""
    return _Dropped(view, _NOT_ALNUM)


def _character(code: int) -> bytes:
    return chr(code).encode("utf-8", "surrogatepass") if code <= 0x10FFFF else b""  # noqa: PLR2004  last code point


def _meaning(token: bytes) -> bytes:  # noqa: PLR0911  one return a kind of escape
    """What an escape stands for."""
    first = token[:1]
    if first == b"\x1b":
        return b""
    if first == b"%":
        return bytes.fromhex(token[1:].decode())
    if first == b"&":
        return html.unescape(token.decode()).encode("utf-8", "surrogatepass")
    if first == b"'":
        return b"'"
    kind, rest = token[1:2], token[2:]
    if kind in b"uUx" and rest:
        if len(token) == 12:  # noqa: PLR2004  a surrogate pair of JSON
            return json.loads(b'"' + token + b'"').encode() if kind == b"u" else b""
        code = int(rest.strip(b"{}"), 16)
        return bytes([code]) if kind == b"x" else _character(code)
    if rest:
        return bytes([int(token[1:], 8) & 0xFF])
    return _CONTROLS.get(kind, kind)


# Stands where a view leaves text out: no value spells it, in either folding.
_LEFT_OUT = b"\xffzqxjkvzqxjkvwz\xff"


def _replaced(view: View, pattern: re.Pattern[bytes], reach: int | None = None) -> View:
    """The view with each match as what it means; with `reach`, so many bytes around them and no more."""
    data, parts, here, source = view.data, [], [], []
    at = size = 0

    def copy(start: int, end: int) -> None:
        nonlocal size
        if end > start:
            parts.append(data[start:end])
            here.append(size)
            source.append((start, -1))
            size += end - start

    def leave_out(start: int) -> None:
        nonlocal size
        parts.append(_LEFT_OUT)
        here.append(size)
        source.append((start, 0))
        size += len(_LEFT_OUT)

    for match in pattern.finditer(data):
        start, end = match.span()
        if reach is not None and start - at > reach * (2 if at else 1):
            if at:
                copy(at, at + reach)
            leave_out(start - reach)
            copy(start - reach, start)
        else:
            copy(at, start)
        meant = _meaning(match.group())
        if meant:
            parts.append(meant)
            here.append(size)
            source.append((start, end - start))
            size += len(meant)
        at = end
    if not at:
        return view
    copy(at, len(data) if reach is None else min(len(data), at + reach))
    return _Replaced(b"".join(parts), view, here, source)


def plain_view(view: View) -> View:
    """The view without terminal control sequences; itself where it holds none."""
    return _replaced(view, _ANSI_ONLY) if b"\x1b" in view.data else view


def looks_escaped(value: bytes) -> frozenset[bytes]:
    """The families of escapes, by their first character, of which the value itself seems to hold one."""
    return frozenset(sign for sign, (pattern, _) in _WITHOUT.items() if pattern.search(value))


def unescaped_view(view: View, without: bytes = b"", *, reach: int | None = None) -> View:
    """The view with URL, backslash, HTML and shell escapes resolved, all or `without` one family; itself if it has none.

    With `reach` it holds so many bytes around each escape and leaves the rest out, which a view without escapes shows.
    """
    if not any(sign in view.data for sign in _SIGNS_OF_ESCAPES if sign != without):
        return view
    return _replaced(view, _WITHOUT[without][1] if without else _ESCAPE, reach)


def dumped_view(view: View) -> View | None:
    """The bytes that hex dumps in the view spell, each leading back to its whole line; None without dumps."""
    parts: list[bytes] = []
    here: list[int] = []
    source: list[tuple[int, int]] = []
    size = 0
    for match in _DUMP_LINE.finditer(view.data):
        spelt = bytes.fromhex(b"".join(_HEX_PAIR.findall(match.group(1) or match.group(2))).decode())
        parts.append(spelt)
        here.append(size)
        source.append((match.start(), match.end() - match.start()))
        size += len(spelt)
    return _Replaced(b"".join(parts), view, here, source) if parts else None
