"""Pages of a list, and the cursor that leads to the next one."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Generic, TypeVar

from domain.errors import Invalid

Item = TypeVar("Item")

MAX_LIMIT = 100


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


def read_cursor(cursor: str, *kinds: type) -> tuple[object, ...] | None:
    """The place that a cursor names; None for the first page.  Raises Invalid."""
    if not cursor:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        place = None
    if (
        not isinstance(place, list)
        or len(place) != len(kinds)
        or not all(isinstance(part, kind) for part, kind in zip(place, kinds, strict=True))
    ):
        raise Invalid(
            "that cursor is not one of ours",
            fields={"cursor": "use next_cursor of the page before, or leave it empty"},
        )
    return tuple(place)
