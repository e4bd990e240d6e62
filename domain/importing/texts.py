"""Text that another program wrote: decoded, and read as JSON or as a table, with every bound that a hostile file needs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass

from domain.errors import Invalid
from domain.importing.entries import too_many

MAX_TEXT_FILE = 64 * 1024 * 1024
"""Bytes of a file of text; a vault of 50,000 entries has some 20 MB."""
_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_AS_UTF8 = "save it as UTF-8 (in a spreadsheet: CSV UTF-8) and import that"


def size(count: int) -> str:
    """So many bytes, for people."""
    return f"{count / 1_000_000:.1f} MB"


def check_size(raw: bytes, what: str = "the file") -> None:
    """Raises Invalid for more text than is read."""
    if len(raw) > MAX_TEXT_FILE:
        raise Invalid(
            f"{what} has {size(len(raw))}; at most {size(MAX_TEXT_FILE)} are read",
            hint="divide it and import the parts",
        )


def decoded(raw: bytes, what: str = "the file") -> str:
    """UTF-8 text, with a byte order mark or without.  Raises Invalid, naming the encoding or the line."""
    check_size(raw, what)
    for mark, name in _MARKS.items():
        if raw.startswith(mark):
            raise Invalid(f"{what} is {name}, not UTF-8", hint=_AS_UTF8)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
    raise Invalid(f"{what} is not UTF-8 text: line {line} holds another encoding", hint=_AS_UTF8)


def parsed(raw: bytes, what: str = "the file") -> object:
    """JSON.  Raises Invalid for what is none, is nested too deeply or says a name twice; nothing of it is repeated."""
    text = decoded(raw, what)
    try:
        found: object = json.loads(text, object_pairs_hook=_once)
        return found
    except json.JSONDecodeError as error:
        why = f"it is no JSON from line {error.lineno}, column {error.colno} on"
    except RecursionError:
        why = "it is nested too deeply"
    except ValueError as error:
        why = (
            "a name stands twice in one object"
            if isinstance(error, _TwiceError)
            else "it holds a number of too many digits"
        )
    raise Invalid(f"{what} cannot be read: {why}", hint="export it again")


class _TwiceError(ValueError):
    """A name that stands twice in one object."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _TwiceError
    return made


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text: its columns' names, and its rows by them.  A row's number is that of a spreadsheet."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]


def table(raw: bytes) -> Table:
    """A table of comma-separated (or semicolon- or tab-separated) values.  A cell is text, whatever it begins with.

    Raises Invalid where it is broken anywhere: a quote that does not end, a row of another length, a column's name twice.
    """
    text = decoded(raw)
    lines = _records(text)
    number, head = next(lines, (0, []))
    if not number:
        raise Invalid("the file is empty", hint="export it again")
    columns = tuple(_column(cell) for cell in head)
    if any("\x00" in column for column in columns):
        raise Invalid("the header holds NUL characters; the file may be UTF-16", hint=_AS_UTF8)
    _check_columns(columns)
    rows = []
    for row_number, cells in lines:
        if len(cells) != len(columns):
            # What is in the row would be read into the wrong fields, and so perhaps that of every row.
            raise Invalid(
                f"row {row_number} has {len(cells)} cells and the header {len(columns)}; nothing was imported",
                fields={f"row {row_number}": "a quote or a separator is missing or too many"},
                hint="export it again",
            )
        rows.append((row_number, dict(zip(columns, cells, strict=True))))
        too_many(len(rows))
    return Table(columns, tuple(rows))


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    csv.field_size_limit(MAX_TEXT_FILE)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            broken = (
                f"row {number + 1} cannot be read: a quote does not end, or stands inside a cell; nothing was imported"
            )
            raise Invalid(broken, hint="export it again") from None
        number += 1
        if any(cell.strip() for cell in cells):
            yield number, cells


def _column(cell: str) -> str:
    return "_".join(cell.replace("-", " ").split()).lower()


def _check_columns(columns: tuple[str, ...]) -> None:
    seen: dict[str, int] = {}
    for number, column in enumerate(columns, 1):
        if column and column in seen:
            # The name is not repeated: where there is no header, it is a value.
            raise Invalid(f"columns {seen[column]} and {number} have the same name", hint="name each column once")
        seen[column] = number


def require(there: tuple[str, ...], *needed: tuple[str, ...]) -> None:
    """Raises Invalid where none of a column's names is there."""
    for names in needed:
        if not set(names) & set(there):
            raise Invalid(
                f"the file has no column {' or '.join(names)}", fields={"header": f"needs {' or '.join(names)}"}
            )


# Reading JSON that may be anything.


def mapping(value: object) -> dict[str, object]:
    """An object; empty where it is something else."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[object]:
    """A list; empty where it is something else."""
    return value if isinstance(value, list) else []


def text_of(value: object) -> str:
    """Text; numbers and truth as text, "" for everything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value if isinstance(value, str) else ""
