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


LATE_COLUMNS: dict[str, frozenset[str]] = {
    "credentials": frozenset({"rules"}),
    "vault": frozenset({"default_rules"}),
}
"""Columns that came to guarded tables after these had rows.  While one is empty it is no part of the MAC, so that rows from
before it fit still; a row in which it is filled fits with it alone, and a program that does not know it refuses that row."""


def frame_row(table: str, values: Mapping[str, Scalar]) -> bytes:
    """A row's bytes for its MAC: the table's name, then every column's name and typed value."""
    late = LATE_COLUMNS.get(table, frozenset())
    parts: list[str | bytes] = [table]
    for name in sorted(values):
        if name not in late or values[name] is not None:
            parts += [name, typed(values[name])]
    return frame(*parts)
