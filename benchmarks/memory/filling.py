"""A memory of any size, made from real records: their words mixed, written past the product in bulk, by the same rules.

A record takes the title, the digest and half of its frequent terms from one real record and the other half from another,
so that the shares of terms are those of real sessions.  What only few sessions say does not spread that way: such terms
get the name of the project, and some are new in every record, so that the vocabulary grows with the store as it does in
real ones.  A `whole` record has its long form and all its rare terms; another one has a part of both.
"""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate, islice
from types import SimpleNamespace
from typing import Any

import pymysql

from domain.context import ContextRecord
from domain.ids import new_id
from domain.postings import BLOCK, MOST_SPARSE, key_of, made, places
from storage.context import _keys, _row, _tokens
from tests.kit.mariadb import MariaDB

FREQUENT = 3
"""In so many real records a term stands that is frequent."""
RARE, NEW = 4, 2
"""Rare and new terms of a record that is not whole."""
BODY = 200
"""Characters of each body of a record that is not whole."""
YEARS_US = 2 * 365 * 86_400_000_000
_SHARE_OF_FIRST = 0.02
_PAGE = 1000
_LETTERS = "abcdefghijklmnop"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Term:
    """A term of a real record, with its counts as they are stored."""

    token: str
    entry: str


class Material:
    """Real records, taken apart: `keys` are those of each half, each with its tier, `tokens` its terms."""

    def __init__(self, records: Sequence[ContextRecord]) -> None:
        self.records = list(records)
        known = Counter(token for record in records for token in _tokens(record.terms))
        self.halves: list[tuple[str, str]] = []
        self.tokens: list[tuple[list[str], list[str]]] = []
        self.keys: list[tuple[list[tuple[int, int]], ...]] = []
        self.rare: list[list[Term]] = []
        for record in records:
            terms = [Term(entry.partition(":")[0], entry) for entry in record.terms.split()]
            frequent = [term for term in terms if known[term.token] >= FREQUENT]
            halves = [" ".join(term.entry for term in frequent if key_of(term.token) & 1 == half) for half in (0, 1)]
            self.halves.append((halves[0], halves[1]))
            self.tokens.append((_tokens(halves[0]), _tokens(halves[1])))
            bare = replace(record, terms="")
            own = _keys(bare)
            self.keys.append(tuple(_without(_keys(replace(bare, terms=half)), own) for half in halves))
            self.rare.append([term for term in terms if known[term.token] < FREQUENT])


def _without(keys: dict[int, int], own: dict[int, int]) -> list[tuple[int, int]]:
    return [(key, tier) for key, tier in keys.items() if key not in own]


@dataclass(frozen=True, slots=True)
class Made:
    """A record: the real one that it is from, what differs, which real ones its halves are from, and its other terms."""

    told: ContextRecord
    changes: dict[str, Any]
    halves: tuple[int, int]
    extra: str

    @property
    def record(self) -> ContextRecord:
        """It as the product writes it."""
        return replace(self.told, **self.changes)


class Maker:
    """Makes records one after the other; the same for the same number of them."""

    def __init__(self, material: Material, projects: Sequence[str], count: int, now_us: int, *, whole: bool) -> None:
        self._material = material
        self._named = list(projects)
        self._count = count
        self._now_us = now_us
        self._whole = whole
        self._chance = random.Random(11)
        self._projects = [*projects, *(f"git:{number:032x}" for number in range(max(20, count // 300)))]
        # The first named project holds a fiftieth of all, the last one a handful; the others are as uneven as words are.
        shares = [1 / (rank + 8) for rank in range(len(self._projects))]
        scale = (1 - _SHARE_OF_FIRST) / sum(shares)
        shares = [share * scale for share in shares]
        shares[0] = _SHARE_OF_FIRST
        for at in range(1, len(projects)):
            shares[at] = 12 / count
        self._bounds = list(accumulate(shares))

    def __iter__(self) -> Iterator[Made]:
        for number in range(self._count):
            yield self._record(number)

    def _record(self, number: int) -> Made:
        chance, material = self._chance, self._material
        first, second = chance.randrange(len(material.records)), chance.randrange(len(material.records))
        at = min(bisect(self._bounds, chance.random() * self._bounds[-1]), len(self._projects) - 1)
        told, other = material.records[first], material.records[second]
        rare = material.rare[first]
        extra = [
            self._of_project(term, at) for term in (rare if self._whole else rare[:: max(1, len(rare) // RARE)][:RARE])
        ]
        extra += [f"xn{_letters(number)}{place}:0,1" for place in range(NEW)]
        updated_us = self._now_us - YEARS_US + (YEARS_US * number) // self._count
        machine = at * 7 % 40
        cut = (lambda text: text) if self._whole else (lambda text: text[:BODY])
        changes: dict[str, Any] = {
            "kind": told.kind,
            "record_id": new_id("cx"),
            "session_key": f"bench:{number}",
            "session_id": f"bench-{number}",
            "title": f"{told.title[:150]} {other.title[:100]}"[:300],
            "project": self._projects[at],
            "project_name": f"project-{at}",
            "client": "" if at % 3 else f"client-{at % 200}",
            "branch": "" if number % 4 == 0 else f"feature-{at}-{number % 9}",
            "machine_id": f"mc_{machine:032x}",
            "machine_name": f"machine-{machine}",
            "owner_id": f"pn_{machine % 15:032x}",
            "owner_name": f"person-{machine % 15}",
            "created_us": updated_us,
            "updated_us": updated_us,
            "terms": f" {material.halves[first][0]} {material.halves[second][1]} {' '.join(extra)} ",
            "body_person": cut(told.body_person),
            "body_rest": cut(told.body_rest),
            "tags": (f"tag-{number % 50}",) if number % 10 == 0 else (),
            "files": told.files if self._whole else told.files[:8],
        }
        return Made(told, changes, (first, second), " ".join(extra))

    def _of_project(self, term: Term, project: int) -> str:
        token, _, counts = term.entry.partition(":")
        return f"{token[:40]}p{_letters(project)}:{counts}"


def _letters(number: int) -> str:
    return "".join(_LETTERS[int(digit, 16)] for digit in f"{number:x}")


class Filler:
    """Writes records and their index into an empty memory, in bulk.  `execute` runs one statement with many rows."""

    def __init__(self, execute: Callable[[str, list[tuple[Any, ...]]], None], *, mark: str, tell: Tell) -> None:
        self._execute = execute
        self._mark = mark
        self._tell = tell
        self._lists: dict[int, list[int]] = {}
        self._places: dict[tuple[int, int], int] = {}
        self._rows: list[tuple[int, int, bytes]] = []
        self._counts: Counter[str] = Counter()
        self._halves: Counter[tuple[int, int]] = Counter()
        self._bases: dict[str, dict[str, object]] = {}

    def fill(self, material: Material, records: Iterable[Made], total: int) -> None:
        """Everything: rows, postings, frequencies."""
        names = [*(field.name for field in fields(ContextRecord)), "number", "indexed"]
        insert = self._insert("context_records", names)
        number = 0
        stream = iter(records)
        while page := list(islice(stream, _PAGE)):
            rows = []
            for one in page:
                number += 1
                rows.append((*self._row(one).values(), number, 1))
                self._take(number, one)
                if number % BLOCK == BLOCK - 1:
                    self._close(number // BLOCK, material)
            self._execute(insert, rows)
            if number % 50_000 == 0:
                self._tell(f"{number:,} of {total:,} records")
        self._close(number // BLOCK, material)
        self._tell(f"{len(self._rows):,} rows of the index")
        self._rows.sort()
        self._all("context_postings", ["term", "block", "postings"], self._rows)
        for (record, half), times in self._halves.items():
            for token in material.tokens[record][half]:
                self._counts[token] += times
        self._tell(f"{len(self._counts):,} frequencies")
        self._all("context_frequencies", ["term", "documents"], sorted(self._counts.items()))

    def _row(self, one: Made) -> dict[str, object]:
        base = self._bases.get(one.told.record_id)
        if base is None:
            self._bases[one.told.record_id] = base = _row(one.told)
        listed = {name: json.dumps(list(one.changes[name]), ensure_ascii=False) for name in ("tags", "files")}
        return base | one.changes | listed

    def _take(self, number: int, one: Made) -> None:
        place = number % BLOCK
        for half, record in enumerate(one.halves):
            self._halves[record, half] += 1
            self._places[record, half] = self._places.get((record, half), 0) | 1 << place
        rest: Any = SimpleNamespace(**one.changes)
        rest.terms = one.extra
        for key, tier in _keys(rest).items():
            listed = self._lists.get(key)
            if listed is None:
                self._lists[key] = listed = []
            listed.append(place << 2 | tier)
        self._counts.update(_tokens(one.extra))
        self._counts["#records"] += 1
        self._counts["#person"] += one.told.person_length
        self._counts["#rest"] += one.told.rest_length

    def _close(self, block: int, material: Material) -> None:
        planes: dict[int, list[int]] = {}
        for (record, half), bits in self._places.items():
            for key, tier in material.keys[record][half]:
                held = planes.setdefault(key, [0, 0])
                if tier & 1:
                    held[0] |= bits
                if tier & 2:
                    held[1] |= bits
        self._rows.extend((key, block, _block(low, high)) for key, (low, high) in planes.items())
        self._rows.extend((key, block, made(listed)) for key, listed in self._lists.items())
        self._lists, self._places = {}, {}

    def _all(self, table: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        insert = self._insert(table, names)
        for start in range(0, len(rows), 10 * _PAGE):
            self._execute(insert, list(rows[start : start + 10 * _PAGE]))

    def _insert(self, table: str, names: Sequence[str]) -> str:
        return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join([self._mark] * len(names))})"


def _block(low: int, high: int) -> bytes:
    whole = low.to_bytes(BLOCK // 8, "little") + high.to_bytes(BLOCK // 8, "little")
    if (low | high).bit_count() > MOST_SPARSE:
        return whole
    return made(place << 2 | tier for place, tier in places(low, high))


@contextlib.contextmanager
def filler(place: str, server: MariaDB | None, tell: Tell) -> Iterator[Filler]:
    """A filler of a database file, or of a database on a server."""
    if server is None:
        with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as lite:
            lite.execute("PRAGMA synchronous=OFF")
            lite.execute("PRAGMA cache_size=-400000")

            def execute(statement: str, rows: list[tuple[Any, ...]]) -> None:
                lite.execute("BEGIN")
                lite.executemany(statement, rows)
                lite.execute("COMMIT")

            yield Filler(execute, mark="?", tell=tell)
            lite.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with contextlib.closing(server.connect(place)) as line, line.cursor() as cursor:
        pymysql.cursors.Cursor.max_stmt_length = 4_000_000
        cursor.execute("SET SESSION unique_checks = 0, foreign_key_checks = 0, autocommit = 0")

        def send(statement: str, rows: list[tuple[Any, ...]]) -> None:
            cursor.executemany(statement, rows)
            line.commit()

        yield Filler(send, mark="%s", tell=tell)
