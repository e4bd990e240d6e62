"""Length-prefixed framing and typed values for everything that is hashed, MACed or bound.

Joining parts with a separator is ambiguous (`a|b` + `c` equals `a` + `b|c`); a length before
each part is not.
"""

from __future__ import annotations

from collections.abc import Mapping

Scalar = str | int | float | bytes | bool | None


def frame(*parts: str | bytes | int) -> bytes:
    """Each part as an 8-byte big-endian length and its bytes; ints in decimal, text in UTF-8."""
    out = bytearray()
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode("utf-8")
        out += len(raw).to_bytes(8, "big") + raw
    return bytes(out)


def typed(value: Scalar) -> bytes:
    """A value with its type in front, so that NULL, 0, "0" and "" stay different."""
    if value is None:
        return b"n"
    if isinstance(value, bool | int):
        return b"i" + str(int(value)).encode()
    if isinstance(value, str):
        return b"s" + value.encode("utf-8")
    if isinstance(value, float):  # we write none; somebody's hand may have
        return b"f" + repr(value).encode()
    return b"b" + bytes(value)


def frame_row(table: str, values: Mapping[str, Scalar]) -> bytes:
    """A row's bytes for its MAC: the table's name, then every column's name and typed value."""
    parts: list[str | bytes] = [table]
    for name in sorted(values):
        parts += [name, typed(values[name])]
    return frame(*parts)
