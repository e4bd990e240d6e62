"""How commands print: tables and pairs for people, JSON of a stable shape for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
Limit = Annotated[int, typer.Option("--limit", help="How many at most, 1 to 100.")]
Cursor = Annotated[str, typer.Option("--cursor", help="Where the page before ended.")]

_PIPE_WIDTH = 200
_FIRST_COLUMN = 13
# Everything that a terminal obeys instead of showing; line breaks and tabs stay.
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)


def as_json(value: Mapping[str, object]) -> None:
    """Prints an answer for programs."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def clean(text: object) -> str:
    """Text from the database, without what could steer a terminal."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(text))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "nothing found") -> None:
    """Prints rows under their headings, or that there are none."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for row in rows:
        made.add_row(*(Text(clean(cell), overflow="fold") for cell in row))
    if not made.row_count:
        print(empty)
        return
    # Into a pipe a table is not folded to a screen that is not there.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(made)


def many(count: int, thing: str) -> str:
    """So many of a thing, with its plural."""
    return f"{count} {thing if count == 1 else thing + 's'}"


def pairs(items: Iterable[tuple[str, object]]) -> None:
    """Prints names and their values, leaving out what is empty."""
    filled = [(name, clean(value)) for name, value in items if value not in ("", None, (), [])]
    width = max((len(name) for name, _ in filled), default=0)
    for name, value in filled:
        first, *rest = value.splitlines() or [""]
        print(f"{name:<{width}}  {first}")
        for more in rest:
            print(f"{'':<{width}}  {more}")


def step(what: str, text: str) -> None:
    """Prints one line of a run: what it is about, and what there is to say."""
    print(f"{what:<{_FIRST_COLUMN}} {clean(text)}", flush=True)


def note(text: str) -> None:
    """Prints what is good to know beside the answer, where it does not get into a pipe."""
    print(clean(text), file=sys.stderr)


def moment(at_us: int | None) -> str:
    """A time in this machine's own zone, to the second."""
    if at_us is None:
        return ""
    return datetime.fromtimestamp(at_us / 1_000_000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def day(at_us: int | None) -> str:
    """A date in this machine's own zone."""
    return moment(at_us)[:10]


def next_page(cursor: str) -> None:
    """Says how to get the next page, where there is one."""
    if cursor:
        note(f"more: --cursor {cursor}")
