"""Pages of a list, and the cursor that leads to the next one."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Generic, TypeVar

from domain import drafts
from domain.errors import Invalid

Item = TypeVar("Item")

MAX_LIMIT = 100
_MAX_NUMBER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items, the cursor of the next page ("" at the end), and how many there are in all.

    `total` is -1 where counting would cost more than it tells.
    """

    items: tuple[Item, ...]
    next_cursor: str = ""
    total: int = -1


def limit_of(limit: int) -> int:
    """The page size.  Raises Invalid outside 1 to 100."""
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(f"limit: 1 to {MAX_LIMIT}", fields={"limit": f"1 to {MAX_LIMIT}"})
    return limit


def make_cursor(*place: str | int) -> str:
    """An opaque cursor for a place in a list."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _fits(part: object) -> bool:
    """Whether a database can be asked for it: a number of 63 bits, or whole text."""
    return abs(part) <= _MAX_NUMBER if isinstance(part, int) else drafts.is_text(str(part))


def check_questions(**asked: str) -> None:
    """Refuses words that no stored text can hold.  Raises Invalid, naming them."""
    wrong = {name: "holds half a character" for name, text in asked.items() if not drafts.is_text(text)}
    drafts.refuse(wrong, "this cannot be looked for")


def check_times(**times: int | None) -> None:
    """Refuses times that no clock shows.  Raises Invalid, naming them."""
    wrong = {
        name: "a time between 1970 and 9999"
        for name, at_us in times.items()
        if at_us is not None and not 0 <= at_us <= drafts.MAX_TIME_US
    }
    drafts.refuse(wrong, "this cannot be looked for")


def read_cursor(cursor: str, *kinds: type) -> tuple[object, ...] | None:
    """The place that a cursor names; None for the first page.  Raises Invalid."""
    if not cursor:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        place = None
    if (
        not isinstance(place, list)
        or len(place) != len(kinds)
        or not all(type(part) is kind and _fits(part) for part, kind in zip(place, kinds, strict=True))
    ):
        raise Invalid(
            "that cursor is not one of ours",
            fields={"cursor": "use next_cursor of the page before, or leave it empty"},
        )
    return tuple(place)
