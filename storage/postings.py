"""The index over terms and facets: a row a term and block (`domain.postings`), written with the record it is about.

Readers need nothing but the primary key: the rows of a term lie one behind the other.  Writers hold one row that is
everybody's while they read blocks and write them anew, so that none overwrites another's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, Insert, and_, bindparam, delete, select
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from domain.postings import BLOCK, GONE, Tiers, changed
from storage.engine import is_mariadb
from storage.schema import context_postings as rows

_BATCH, _BATCH_ON_SERVER = 400, 4000
Change = tuple[int, Tiers, Tiers]
"""A record's number, and the tiers of its terms' keys before and after."""


class Postings:
    """The index's rows, in one unit of work."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._on_server = is_mariadb(connection)

    def read(self, keys: Iterable[int]) -> dict[int, dict[int, bytes]]:
        """The blocks of these terms; every key has an entry."""
        wanted = sorted(set(keys))
        found: dict[int, dict[int, bytes]] = {key: {} for key in wanted}
        for part in _parts(wanted, self._batch):
            read = select(rows.c.term, rows.c.block, rows.c.postings).where(rows.c.term.in_(part))
            for term, block, postings in self._connection.execute(read):
                found[term][block] = bytes(postings)
        return found

    def change(self, changes: Sequence[Change]) -> None:
        """Writes what changed of these records.  Whoever calls holds the row that is everybody's."""
        blocks: dict[int, dict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for number, before, after in changes:
            block, place = divmod(number, BLOCK)
            for key, tier in after.items():
                if before.get(key) != tier:
                    blocks[block][key].append((place, tier))
            for key in before:
                if key not in after:
                    blocks[block][key].append((place, GONE))
        for block, entries in sorted(blocks.items()):
            self._change_block(block, entries)

    def clear(self) -> None:
        """Empties the index."""
        self._connection.execute(delete(rows))

    @property
    def _batch(self) -> int:
        return _BATCH_ON_SERVER if self._on_server else _BATCH

    def _change_block(self, block: int, entries: Mapping[int, Sequence[tuple[int, int]]]) -> None:
        written: list[dict[str, object]] = []
        emptied: list[dict[str, object]] = []
        for part in _parts(sorted(entries), self._batch):
            there = self._there(block, part)
            for key in part:
                after = changed(there.get(key, b""), entries[key])
                if after:
                    written.append({"term": key, "block": block, "postings": after})
                elif key in there:
                    emptied.append({"gone": key, "of": block})
        if written:
            self._connection.execute(self._written(), written)
        if emptied:
            gone = delete(rows).where(and_(rows.c.term == bindparam("gone"), rows.c.block == bindparam("of")))
            self._connection.execute(gone, emptied)

    def _there(self, block: int, keys: Sequence[int]) -> dict[int, bytes]:
        read = select(rows.c.term, rows.c.postings).where(rows.c.term.in_(keys), rows.c.block == block)
        return {term: bytes(postings) for term, postings in self._connection.execute(read)}

    def _written(self) -> Insert:
        if self._on_server:
            maria = mysql_insert(rows)
            return maria.on_duplicate_key_update(postings=maria.inserted.postings)
        lite = sqlite_insert(rows)
        return lite.on_conflict_do_update(index_elements=["term", "block"], set_={"postings": lite.excluded.postings})


def _parts(keys: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))
