"""What a backup file is made of, before it is sealed and after it was opened.

A backup, version 1 (binding):

    "CTBK" | version 0x01 | length of the header (4) | header, canonical JSON | sealed stream (domain.sealing, "CTS1")

The header stands in clear and is bound to every piece of the stream: the vault, when, the schema, and the key slots, so
that a machine which has only this file and the recovery key can open it.  The stream's text is zlib-compressed (RFC 1950)
records, each tag(1) | length(4) | body:

    "T"  a table begins: canonical JSON {"columns": [...], "table": name}; the columns in alphabetical order
    "R"  a row: its values in the order of the columns, each type(1) | length(4) | bytes
    "E"  the table ends: canonical JSON {"digest": hex SHA-256, "rows": number, "table": name}
    "Z"  the content ends: canonical JSON {"rows": number, "tables": number}

Value types: n nothing, i integer in decimal (also true and false), s text in UTF-8, b bytes.  A table's digest is SHA-256
over its name, its columns and its rows' bodies, each with its length in front; rows come in the order of the primary key.
The same encoding compares a row in one database with the same row in another.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from domain.audit import canonical
from domain.errors import Broken, Invalid
from domain.framing import Scalar, frame

MAGIC = b"CTBK"
VERSION = 1
MAX_HEADER = 65_536
MAX_RECORD = 256 * 1024 * 1024
"""A longer record is none that we wrote."""
_START = len(MAGIC) + 1 + 4
_RECORD_HEAD = 5
_VALUE_HEAD = 5
_INFLATE_STEP = 1024 * 1024
NEWER = "git pull && ./setup.sh"

Values = tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class HeaderSlot:
    """A key slot of the vault: its kind (file, recovery) and the root key wrapped for it."""

    slot_id: str
    kind: str
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """What a backup says in clear: whose it is, when it was made, and which schema it holds."""

    vault_id: str
    created_us: int
    schema: int
    revision: str
    program: str
    slots: tuple[HeaderSlot, ...]


def preamble_of(header: Header) -> bytes:
    """The clear beginning of a backup."""
    said = canonical(
        {
            "vault": header.vault_id,
            "created": header.created_us,
            "schema": header.schema,
            "revision": header.revision,
            "program": header.program,
            "slots": [{"id": s.slot_id, "kind": s.kind, "wrapped": s.wrapped.hex()} for s in header.slots],
        }
    )
    return MAGIC + bytes([VERSION]) + len(said).to_bytes(4, "big") + said


def header_length(start: bytes) -> int:
    """How long the header is whose file begins with these bytes (at least 9).  Raises Invalid for another kind of file."""
    if len(start) < _START or start[: len(MAGIC)] != MAGIC:
        raise Invalid("that file is no backup of ClaudeTools", hint="claudetools backup create FILE")
    if start[len(MAGIC)] != VERSION:
        raise Invalid("that backup was made by a newer program", hint=NEWER)
    length = int.from_bytes(start[_START - 4 : _START], "big")
    if length > MAX_HEADER:
        raise Broken("the backup's header is damaged")
    return length


def header_of(said: bytes) -> Header:
    """Reads a header.  Raises Broken.  Nothing in it is to be trusted before the stream was opened under it."""
    try:
        found = json.loads(said)
        header = Header(
            _text(found["vault"]),
            _number(found["created"]),
            _number(found["schema"]),
            _text(found["revision"]),
            _text(found["program"]),
            tuple(
                HeaderSlot(_text(s["id"]), _text(s["kind"]), bytes.fromhex(_text(s["wrapped"]))) for s in found["slots"]
            ),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Broken("the backup's header is damaged") from None
    return header


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError
    return value


# Rows.


def encode_row(values: Sequence[Scalar]) -> bytes:
    """A row's bytes.  Raises TypeError for a type that the program never writes."""
    out = bytearray()
    for value in values:
        if value is None:
            kind, raw = b"n", b""
        elif isinstance(value, int):
            kind, raw = b"i", str(int(value)).encode()
        elif isinstance(value, str):
            kind, raw = b"s", value.encode("utf-8", "surrogatepass")
        elif isinstance(value, bytes):
            kind, raw = b"b", value
        else:
            raise TypeError(f"a value of type {type(value).__name__}")
        out += kind + len(raw).to_bytes(4, "big") + raw
    return bytes(out)


def decode_row(body: bytes) -> Values:
    """The values of a row.  Raises Broken."""
    values: list[Scalar] = []
    at = 0
    while at < len(body):
        end = at + _VALUE_HEAD + int.from_bytes(body[at + 1 : at + _VALUE_HEAD], "big")
        if end > len(body) or at + _VALUE_HEAD > len(body):
            raise Broken("a row of the backup is damaged")
        values.append(_value(body[at : at + 1], body[at + _VALUE_HEAD : end]))
        at = end
    return tuple(values)


def _value(kind: bytes, raw: bytes) -> Scalar:
    try:
        if kind == b"s":
            return raw.decode("utf-8", "surrogatepass")
        if kind == b"i":
            return int(raw)
    except ValueError:
        raise Broken("a value of the backup is damaged") from None
    if kind == b"b":
        return raw
    if kind == b"n" and not raw:
        return None
    raise Broken("a value of the backup is damaged")


class TableDigest:
    """The number of a table's rows and the digest over them."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        self.rows = 0
        self._hash = hashlib.sha256(frame("claudetools table", table, len(columns), *columns))

    def add(self, row: bytes) -> None:
        """The next row, encoded."""
        self.rows += 1
        self._hash.update(frame(row))

    def hex(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()


# Records.


class ContentWriter:
    """Makes the compressed records of a backup.  Each call returns bytes to be sealed, often none yet."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(6)
        self._table = ""
        self._digest = TableDigest("", ())
        self.tables: dict[str, int] = {}

    def begin(self, table: str, columns: Sequence[str]) -> bytes:
        """A table begins."""
        self._table, self._digest = table, TableDigest(table, columns)
        return self._record(b"T", canonical({"columns": list(columns), "table": table}))

    def row(self, values: Sequence[Scalar]) -> bytes:
        """A row of that table.  Raises Broken for one that cannot be kept."""
        try:
            body = encode_row(values)
        except TypeError:
            raise Broken(
                f"a row of the table {self._table} holds a value of a type that this program never writes",
                hint="claudetools audit verify",
            ) from None
        if len(body) > MAX_RECORD:
            raise Broken(f"a row of the table {self._table} is too long to be kept")
        self._digest.add(body)
        return self._record(b"R", body)

    def end(self) -> bytes:
        """The table ends."""
        self.tables[self._table] = self._digest.rows
        return self._record(
            b"E", canonical({"digest": self._digest.hex(), "rows": self._digest.rows, "table": self._table})
        )

    def finish(self) -> bytes:
        """The content ends."""
        rows = sum(self.tables.values())
        return self._record(b"Z", canonical({"rows": rows, "tables": len(self.tables)})) + self._deflate.flush()

    def _record(self, tag: bytes, body: bytes) -> bytes:
        return self._deflate.compress(tag + len(body).to_bytes(4, "big") + body)


@dataclass(frozen=True, slots=True)
class Event:
    """What the content says next.  `begin` has the columns, `row` the values, `end` the digest and number of rows."""

    kind: Literal["begin", "row", "end"]
    table: str
    columns: tuple[str, ...] = ()
    values: Values = ()
    digest: str = ""
    rows: int = 0


class ContentReader:
    """Reads the records back and holds each table against its digest and its number of rows."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj()
        self._held = bytearray()
        self._table = ""
        self._columns: tuple[str, ...] = ()
        self._digest = TableDigest("", ())
        self._done = False
        self.tables: dict[str, int] = {}

    def feed(self, compressed: bytes) -> Iterator[Event]:
        """The events of more text.  Raises Broken."""
        waiting = compressed
        while True:
            try:
                text = self._inflate.decompress(waiting, _INFLATE_STEP)
            except zlib.error:
                raise Broken("the backup's content does not decompress") from None
            self._held += text
            yield from self._events()
            waiting = self._inflate.unconsumed_tail
            # A full step may have more behind it, although all input is taken.
            if self._inflate.eof or (not waiting and len(text) < _INFLATE_STEP):
                break

    def finish(self) -> None:
        """The text is at its end.  Raises Broken where the content is not."""
        if not self._done or self._held or not self._inflate.eof or self._inflate.unused_data:
            raise Broken("the backup's content has no proper end")

    def _events(self) -> Iterator[Event]:
        at = 0
        try:
            while len(self._held) - at >= _RECORD_HEAD:
                length = int.from_bytes(self._held[at + 1 : at + _RECORD_HEAD], "big")
                if length > MAX_RECORD or self._done:
                    raise Broken("a record of the backup is damaged")
                end = at + _RECORD_HEAD + length
                if len(self._held) < end:
                    return
                tag, body = self._held[at : at + 1], bytes(self._held[at + _RECORD_HEAD : end])
                at = end
                try:
                    event = self._event(bytes(tag), body)
                except (KeyError, TypeError):
                    raise Broken("a record of the backup is damaged") from None
                if event is not None:
                    yield event
        finally:
            del self._held[:at]

    def _event(self, tag: bytes, body: bytes) -> Event | None:
        if tag == b"R" and self._table:
            self._digest.add(body)
            values = decode_row(body)
            if len(values) != len(self._columns):
                raise Broken(f"a row of the table {self._table} in the backup is damaged")
            return Event("row", self._table, self._columns, values)
        said = _said(body)
        if tag == b"T" and not self._table:
            self._table, self._columns = _text(said["table"]), tuple(_text(name) for name in _list(said["columns"]))
            if not self._table or self._table in self.tables or list(self._columns) != sorted(set(self._columns)):
                raise Broken("a table of the backup is damaged")
            self._digest = TableDigest(self._table, self._columns)
            return Event("begin", self._table, self._columns)
        mine = {"digest": self._digest.hex(), "rows": self._digest.rows, "table": self._table}
        if tag == b"E" and self._table and said == mine:
            ended = Event("end", self._table, self._columns, digest=self._digest.hex(), rows=self._digest.rows)
            self.tables[self._table] = self._digest.rows
            self._table = ""
            return ended
        if tag == b"Z" and not self._table and said == {"rows": sum(self.tables.values()), "tables": len(self.tables)}:
            self._done = True
            return None
        raise Broken("the backup's content does not add up: a table or rows are missing or too many")


def _said(body: bytes) -> Mapping[str, object]:
    try:
        said = json.loads(body)
        if isinstance(said, dict) and canonical(said) == body:
            return said
    except (ValueError, RecursionError):
        pass
    raise Broken("a record of the backup is damaged")


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise Broken("a record of the backup is damaged")
    return value
