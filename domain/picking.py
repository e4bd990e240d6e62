"""Search as you type over all credentials' open fields, in memory.

Every word must stand somewhere in a line.  Best first: what begins with the words, what has them at the beginning of a
part of its reference, what has them in its reference, the rest; alike ones by reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

from domain.credentials import Description

_MOST_WORDS = 10
_APART = re.compile(r"[/\-. @_:]")


@dataclass(frozen=True, slots=True)
class Row:
    """One credential as it is searched: `text` holds its open fields, folded; `parts` where its reference begins anew."""

    it: Description
    reference: str
    text: str
    parts: str = field(repr=False, default="")

    @classmethod
    def of(cls, it: Description) -> Row:
        """The row of a credential."""
        head = it.head
        words = (it.reference, head.service_name, head.username, head.external_url, head.type, it.service)
        text = "\n".join((*words, it.infrastructure, *head.tags)).lower()
        reference = it.reference.lower()
        return cls(it, reference, text, "\n" + _APART.sub("\n", reference))


class Finder:
    """The credentials, and the last answer: one letter more only narrows it."""

    def __init__(self, found: Iterable[Description]) -> None:
        self._rows = sorted(map(Row.of, found), key=lambda row: row.reference)
        self._last: tuple[tuple[str, ...], list[Row]] = ((), self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, query: str, limit: int) -> tuple[Sequence[Description], int]:
        """The best for these words, and how many there are in all."""
        words = tuple(query.lower().split()[:_MOST_WORDS])
        if not words:
            return [row.it for row in self._rows[:limit]], len(self._rows)
        before, rows = self._last
        if not _narrows(words, before):
            rows = self._rows
        for word in words:
            rows = [row for row in rows if word in row.text]
        self._last = (words, rows)
        best = nsmallest(limit, rows, key=lambda row: _rank(row, words))
        return [row.it for row in best], len(rows)


def _narrows(words: tuple[str, ...], before: tuple[str, ...]) -> bool:
    """Whether all that these words find was found by those before."""
    return all(any(earlier in word for word in words) for earlier in before)


def _rank(row: Row, words: tuple[str, ...]) -> tuple[int, str]:
    worst = 0
    for number, word in enumerate(words):
        if number == 0 and row.reference.startswith(word):
            rank = 0
        elif "\n" + word in row.parts:
            rank = 1
        else:
            rank = 2 if word in row.reference else 3
        worst += rank
    return worst, row.reference
