"""Search as you type over all credentials' open fields, in memory.

Every word must stand somewhere in a line.  Best first: what begins with the words, what has them at the beginning of a
part of its reference, what has them in its reference, the rest; alike ones by reference.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

from domain.credentials import Description

_MOST_WORDS = 10
_RANKED = 2000  # rows; ranking more takes longer than a key may
_REMEMBERED = 32
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
    """The credentials, and the last answers: one letter more only narrows one, one less was asked before."""

    def __init__(self, found: Iterable[Description]) -> None:
        self._rows = sorted(map(Row.of, found), key=lambda row: row.reference)
        self._answers: OrderedDict[tuple[str, ...], list[Row]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, query: str, limit: int) -> tuple[Sequence[Description], int]:
        """The best for these words, and how many there are in all."""
        words = tuple(query.lower().split()[:_MOST_WORDS])
        rows = self._matching(words) if words else self._rows
        if len(rows) > _RANKED:
            # Nobody looks through so many: what begins with the first word, then the others as they stand.
            first = self._beginning(words[0], limit) if words else []
            held = {id(row) for row in first}
            kept = [row for row in first if all(word in row.text for word in words)]
            best = (kept + [row for row in rows[: limit + len(held)] if id(row) not in held])[:limit]
        else:
            best = nsmallest(limit, rows, key=lambda row: _rank(row, words))
        return [row.it for row in best], len(rows)

    def _matching(self, words: tuple[str, ...]) -> list[Row]:
        known = self._answers.get(words)
        if known is None:
            narrower = [rows for before, rows in self._answers.items() if _narrows(words, before)]
            known = min(narrower, key=len, default=self._rows)
            for word in words:
                known = [row for row in known if word in row.text]
            self._answers[words] = known
            if len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return known

    def _beginning(self, word: str, limit: int) -> list[Row]:
        at = bisect_left(self._rows, word, key=lambda row: row.reference)
        return [row for row in self._rows[at : at + limit] if row.reference.startswith(word)]


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
