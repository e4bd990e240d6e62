"""Context records: what is kept of sessions, and how they are found again.

A captured session has one row, keyed by machine and session and ordered by the size of the
transcript it was read from: an older capture never overwrites a newer one.  A forgotten record
keeps an emptied row, so that its session is not captured again.

Document frequencies are kept on write in `context_frequencies`; three reserved rows, whose names
no term can have, hold the totals.  Terms and facets are indexed in `storage.postings`, with the record and in its
transaction; a record that release 0.1.0 has written or changed is indexed by the next drain of this one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from domain.context import EVERYTHING, ContextRecord, Wanted
from domain.errors import Unavailable
from domain.facets import FIELDS, facets
from domain.postings import LITTLE, key_of, tier_of
from domain.recall import Record, Statistics, counts_of
from storage.engine import is_mariadb
from storage.finding import CANDIDATES, NEWEST, PERSON, RECORDS, REST, Finding
from storage.guard import Guard
from storage.postings import Change, Postings
from storage.schema import context_frequencies, context_records, context_stale, marks
from storage.sight import SEALED, mark_query

STRUCK = "struck"
"""The mark of the vault's values that have been struck from all records."""
TIDYING_S = 60.0
"""How long writing the full-text index anew may take."""
_BATCH, _BATCH_ON_SERVER = 400, 4000
_INDEX_ON_SERVER = text("INSERT INTO context_terms(number, terms) VALUES (:number, :words)")
_JSON = frozenset({"tags", "files", "commits", "struck", "provenance"})
_COLUMNS = tuple(name for name in ContextRecord.__dataclass_fields__)
_STRUCK = frozenset(
    {
        "title",
        "outcome",
        "digest",
        "body_person",
        "body_rest",
        "project_name",
        "client",
        "branch",
        "files",
        "tags",
        "struck",
        "terms",
        "person_length",
        "rest_length",
    }
)
_INDEXED = [
    context_records.c[name]
    for name in (
        "number", "indexed", "kind", "project", "project_name", "client", "branch", "machine_id", "machine_name", "owner_id", "owner_name",
        "updated_us", "tags", "files", "terms", "person_length", "rest_length",
    )
]  # fmt: skip


class Context:
    """The memory's rows, in one unit of work."""

    def __init__(self, connection: Connection, guard: Guard | None = None) -> None:
        self._connection = connection
        self._guard = guard
        self._on_server = is_mariadb(connection)
        self._postings = Postings(connection)
        self._finding = Finding(connection)

    def known_sizes(self, session_keys: Iterable[str]) -> dict[str, int]:
        """The transcript size of each session's last capture; -1 for a forgotten one, nothing for an unknown one."""
        wanted = sorted(set(session_keys))
        known: dict[str, int] = {}
        for start in range(0, len(wanted), _BATCH):
            found = self._connection.execute(
                select(context_records.c.session_key, context_records.c.state, context_records.c.transcript_size).where(
                    context_records.c.session_key.in_(wanted[start : start + _BATCH])
                ),
            )
            known |= {row.session_key: int(row.transcript_size) if row.state == "active" else -1 for row in found}
        return known

    def sizes_below(self, prefix: str) -> dict[str, int]:
        """The same for all keys that begin with `prefix`."""
        found = self._connection.execute(
            select(context_records.c.session_key, context_records.c.state, context_records.c.transcript_size).where(
                context_records.c.session_key.startswith(prefix, autoescape=True)
            ),
        )
        return {row.session_key: int(row.transcript_size) if row.state == "active" else -1 for row in found}

    def withdraw(self, session_key: str) -> bool:
        """Takes a record out whose source is gone.  Unlike a forgotten one it leaves nothing, and may come again."""
        row = self._held(context_records.c.session_key == session_key)
        if row is None:
            return False
        self._unindex(row.number)
        self._connection.execute(delete(context_records).where(context_records.c.number == row.number))
        self._count(Counter(), _weights(row), index=(row.number, _keys_indexed(row), {}))
        return True

    def sealed_mark(self) -> int:
        """How far the vault's values have come; it stays so until this unit ends.

        A record that is written beside an unchanged mark is seen by whoever strikes the next value
        from all records.
        """
        if not self._on_server:
            return int(self._connection.exec_driver_sql(mark_query(self._connection)).scalar_one() or 0)
        held = select(marks.c.value).where(marks.c.name == SEALED).with_for_update(read=True)
        return int(self._connection.execute(held).scalar_one_or_none() or 0)

    def struck_mark(self) -> int:
        """Up to which state of the vault's values all records were struck, by any machine."""
        found = self._connection.execute(select(marks.c.value).where(marks.c.name == STRUCK)).scalar_one_or_none()
        return int(found or 0)

    def note_struck(self, mark: int) -> None:
        """Notes that all records were struck of the values up to this mark."""
        if self._on_server:
            maria = mysql_insert(marks).values(name=STRUCK, value=mark)
            self._connection.execute(maria.on_duplicate_key_update(value=mark))
        else:
            lite = sqlite_insert(marks).values(name=STRUCK, value=mark)
            self._connection.execute(lite.on_conflict_do_update(index_elements=["name"], set_={"value": mark}))

    def keep(self, record: ContextRecord, *, is_new: bool = False) -> str:
        """Inserts a record, or replaces the session's older one.  Returns the id under which it stands.

        "" where nothing was written: the session was forgotten, or a capture of a longer (or the
        same) transcript is already kept.  `is_new` says that nothing of its session was kept a
        moment ago; then another that came in between raises Conflict.
        """
        old = None
        if record.session_key and not is_new:
            old = self._connection.execute(
                select(context_records).where(context_records.c.session_key == record.session_key).with_for_update(),
            ).one_or_none()
        if old is None:
            made = self._connection.execute(insert(context_records).values(indexed=1, **_row(record)))
            key = made.inserted_primary_key
            number = int(key[0]) if key else self._number(record.record_id)
            self._index(number, record.terms, fresh=True)
            self._count(_weights(record), index=(number, {}, _keys(record)))
            return record.record_id
        if old.state != "active" or old.transcript_size >= record.transcript_size:
            return ""
        values = _row(record)
        for kept in ("record_id", "created_us", "pinned", "superseded_by"):
            values.pop(kept)
        # Also where the machine's clock was set back meanwhile: whoever was told the older one is told the newer.
        record = replace(record, updated_us=max(record.updated_us, old.updated_us + 1))
        values["updated_us"] = record.updated_us
        self._write(old, values)
        self._index(old.number, record.terms)
        self._count(_weights(record), _weights(old), index=(old.number, _keys_indexed(old), _keys(record)))
        return str(old.record_id)

    def get(self, record_id: str, *, to_change: bool = False) -> ContextRecord | None:
        """One record whole; None where there is none, or it was forgotten.  `to_change` holds it for `rewrite`."""
        query = select(*(context_records.c[name] for name in _COLUMNS)).where(
            context_records.c.record_id == record_id, context_records.c.state == "active"
        )
        row = self._connection.execute(query.with_for_update() if to_change else query).mappings().one_or_none()
        return _record(row) if row is not None else None

    def forget(self, record_id: str, now_us: int) -> bool:
        """Empties a record for good; a tombstone stays, with the time.  False where there is none."""
        row = self._held(context_records.c.record_id == record_id)
        if row is None:
            return False
        if self._unindex(row.number) and not self._on_server:
            # A deletion alone leaves the terms in older segments of the index until they are merged.
            self._connection.execute(text("INSERT INTO context_terms(context_terms) VALUES ('optimize')"))
        emptied: dict[str, object] = dict.fromkeys(
            ("project", "project_name", "client", "branch", "session_id", "title", "outcome", "tags", "files", "commits", "struck",
             "provenance", "digest", "terms", "body_person", "body_rest"),
            "",
        )  # fmt: skip
        emptied |= {
            "state": "forgotten",
            "updated_us": now_us,
            "person_length": 0,
            "rest_length": 0,
            "raw_tokens": 0,
            "digest_tokens": 0,
            "pinned": 0,
        }
        self._write(row, emptied)
        self._count(Counter(), _weights(row), index=(row.number, _keys_indexed(row), {}))
        return True

    def forgotten(self, since_us: int) -> list[tuple[str, int]]:
        """Which records were forgotten since then, on any machine, and when: (record id, time), oldest first."""
        found = self._connection.execute(
            select(context_records.c.record_id, context_records.c.updated_us)
            .where(context_records.c.state == "forgotten", context_records.c.updated_us >= since_us)
            .order_by(context_records.c.updated_us)
        )
        return [(row.record_id, int(row.updated_us)) for row in found]

    def below(self, number: int | None, most: int) -> list[tuple[int, ContextRecord]]:
        """Records with their numbers, from the newest number down, below `number` (all for None)."""
        wanted = context_records.c.state == "active"
        if number is not None:
            wanted = and_(wanted, context_records.c.number < number)
        found = self._connection.execute(
            select(context_records.c.number, *(context_records.c[name] for name in _COLUMNS))
            .where(wanted)
            .order_by(context_records.c.number.desc())
            .limit(most),
        ).mappings()
        return [
            (int(row["number"]), _record({name: value for name, value in row.items() if name != "number"}))
            for row in found
        ]

    def rewrite(self, record: ContextRecord) -> None:
        """Replaces the texts and terms of a record that stands, after something was struck from them."""
        old = self._held(context_records.c.record_id == record.record_id)
        if old is None:
            return
        values = {name: value for name, value in _row(record).items() if name in _STRUCK}
        self._write(old, values)
        self._index(old.number, record.terms)
        after = _keys(record) if old.indexed else {}
        self._count(_weights(record), _weights(old), index=(old.number, _keys_indexed(old), after))

    def search(
        self,
        tokens: Sequence[str],
        common: frozenset[str] = frozenset(),
        wanted: Wanted = EVERYTHING,
        *,
        most: int = CANDIDATES,
    ) -> tuple[list[Record], Statistics]:
        """`Finding.search`."""
        return self._finding.search(tokens, common, wanted, most=most)

    def newest(self, wanted: Wanted = EVERYTHING, *, limit: int = NEWEST) -> list[Record]:
        """`Finding.newest`."""
        return self._finding.newest(wanted, limit=limit)

    def newest_heads(self, wanted: Wanted = EVERYTHING, *, limit: int = NEWEST) -> list[Record]:
        """`Finding.newest_heads`."""
        return self._finding.newest_heads(wanted, limit=limit)

    def frequencies(self, tokens: Iterable[str]) -> dict[str, int]:
        """`Finding.frequencies`."""
        return self._finding.frequencies(tokens)

    def counts(self) -> dict[str, int]:
        """How many records there are of each kind."""
        found = self._connection.execute(
            select(context_records.c.kind, func.count())
            .where(context_records.c.state == "active")
            .group_by(context_records.c.kind),
        )
        return {kind: int(number) for kind, number in found}

    def _held(self, which: ColumnElement[bool]) -> Row[Any] | None:
        """What a record that stands is indexed by, held for changing it."""
        held = select(*_INDEXED).where(which, context_records.c.state == "active").with_for_update()
        return self._connection.execute(held).one_or_none()

    def _number(self, record_id: str) -> int:
        found = self._connection.execute(
            select(context_records.c.number).where(context_records.c.record_id == record_id)
        )
        return int(found.scalar_one())

    def _index(self, number: int, terms: str, *, fresh: bool = False) -> None:
        """Writes the index of release 0.1.0, for machines that still run it."""
        if not fresh:
            self._unindex(number)
        if self._on_server:
            self._connection.execute(_INDEX_ON_SERVER, {"number": number, "words": " ".join(_tokens(terms))})

    def _write(self, old: Row[Any], values: Mapping[str, object]) -> None:
        """Changes a record; that its mark turns says that the index is changed with it."""
        turned = {0: 0, 1: 2}.get(old.indexed, 1)
        self._connection.execute(
            update(context_records).where(context_records.c.number == old.number).values(indexed=turned, **values)
        )

    def tidy_index(self) -> None:
        """Takes the words of forgotten records out of the full-text index's own files.  Outside of any act.

        InnoDB marks a deleted row's words and leaves them where they are until the table is written
        anew; SQLite's were taken out with the row.  Raises Unavailable.
        """
        if not self._on_server:
            return
        line = self._connection.connection.dbapi_connection
        if line is not None:
            line.patient(TIDYING_S)
        # What goes wrong comes as a row of the answer (mariadb.com/kb, "OPTIMIZE TABLE"), not as an error.
        said = self._connection.exec_driver_sql("OPTIMIZE TABLE context_terms").all()
        if any(str(row[2]).lower() == "error" for row in said):
            raise Unavailable(
                "the database server could not write the memory's index anew (its disk may be full, or it was busy)",
                hint="claudetools doctor",
            )

    def clear_index(self) -> None:
        """Empties the index."""
        self._postings.clear()
        self._connection.execute(delete(context_stale))
        self._connection.execute(text("DELETE FROM context_terms"))

    def index_again(self, after: int, most: int) -> int:
        """Writes the index of the next records above a number, into which nothing was written since it was emptied.

        Returns the number to go on from; 0 at the end.
        """
        rows = self._connection.execute(
            select(*_INDEXED)
            .where(context_records.c.number > after, context_records.c.state == "active")
            .order_by(context_records.c.number)
            .limit(most)
        ).all()
        if rows and self._on_server:
            self._connection.execute(
                _INDEX_ON_SERVER, [{"number": row.number, "words": " ".join(_tokens(row.terms))} for row in rows]
            )
        self._index_these(rows)
        return int(rows[-1].number) if len(rows) == most else 0

    def is_index_behind(self) -> bool:
        """Whether release 0.1.0 wrote or changed a record since `index_missing` came to its end."""
        written = exists().where(context_records.c.indexed == 0, context_records.c.state == "active")
        changed = exists().select_from(context_stale)
        return bool(self._connection.execute(select(or_(written, changed))).scalar_one())

    def index_missing(self, most: int) -> int:
        """Indexes up to so many records that release 0.1.0 wrote or changed.  Returns how many; 0 where none is left."""
        stale = self._connection.execute(
            select(context_stale).order_by(context_stale.c.id).limit(most).with_for_update()
        ).all()
        changed = sorted({row.number for row in stale})
        rows = self._connection.execute(
            select(*_INDEXED)
            .where(context_records.c.number.in_(changed), context_records.c.state == "active")
            .order_by(context_records.c.number)
            .with_for_update()
        ).all() if changed else self._connection.execute(
            select(*_INDEXED)
            .where(context_records.c.indexed == 0, context_records.c.state == "active")
            .limit(most)
            .with_for_update()
        ).all()  # fmt: skip
        if stale:
            self._take_turn()
            self._postings.change([(row.number, _keys(row), {}) for row in stale])
            self._connection.execute(delete(context_stale).where(context_stale.c.id.in_([row.id for row in stale])))
        self._index_these(rows)
        return len(stale) or len(rows)

    def _index_these(self, rows: Sequence[Row[Any]]) -> None:
        if not rows:
            return
        self._take_turn()
        self._postings.change([(row.number, {}, _keys(row)) for row in rows])
        fresh = [row.number for row in rows if not row.indexed]
        for start in range(0, len(fresh), _BATCH):
            part = context_records.c.number.in_(fresh[start : start + _BATCH])
            self._connection.execute(update(context_records).where(part).values(indexed=1))

    def _unindex(self, number: int) -> bool:
        """Takes a record out of the index of release 0.1.0.  Whether it was there."""
        key = "number" if self._on_server else "rowid"
        gone = self._connection.execute(
            text(f"DELETE FROM context_terms WHERE {key} = :number"),  # noqa: S608 - one of two names of ours
            {"number": number},
        )
        return gone.rowcount > 0

    def _take_turn(self) -> None:
        """Holds the first of the rows that are everybody's: from here to its end, one transaction writes the index."""
        if self._on_server:
            maria = mysql_insert(context_frequencies).values(term=PERSON, documents=0)
            self._connection.execute(maria.on_duplicate_key_update(documents=context_frequencies.c.documents))

    def _count(self, now: Counter[str], before: Counter[str] | None = None, *, index: Change) -> None:
        """Counts and indexes what a record holds, less what it held before.  Last in a transaction: these rows are everybody's.

        In one order, so that two writers wait for each other and do not lock each other out.
        """
        self._take_turn()
        self._postings.change([index])
        changes = Counter(now)
        changes.subtract(before or {})
        rows = [{"term": term, "documents": number} for term, number in sorted(changes.items()) if number]
        if not rows:
            return
        # One statement for all rows, not one with all rows in it: that one is compiled anew each time.
        if self._on_server:
            maria = mysql_insert(context_frequencies)
            added = context_frequencies.c.documents + maria.inserted.documents
            self._connection.execute(maria.on_duplicate_key_update(documents=added), rows)
        else:
            lite = sqlite_insert(context_frequencies)
            added = context_frequencies.c.documents + lite.excluded.documents
            self._connection.execute(
                lite.on_conflict_do_update(index_elements=["term"], set_={"documents": added}), rows
            )
        gone = [term for term, number in sorted(changes.items()) if number < 0 and not term.startswith("#")]
        for start in range(0, len(gone), _BATCH):
            self._connection.execute(
                delete(context_frequencies).where(
                    context_frequencies.c.term.in_(gone[start : start + _BATCH]), context_frequencies.c.documents <= 0
                )
            )


class _Counted(Protocol):
    """A record or its row."""

    @property
    def terms(self) -> str: ...
    @property
    def person_length(self) -> int: ...
    @property
    def rest_length(self) -> int: ...


def _weights(record: _Counted | Row[Any]) -> Counter[str]:
    """What a record adds to the frequencies."""
    weights: Counter[str] = Counter(dict.fromkeys(_tokens(record.terms), 1))
    weights.update({RECORDS: 1, PERSON: record.person_length, REST: record.rest_length})
    return weights


def _tokens(terms: str) -> list[str]:
    return [entry.partition(":")[0] for entry in terms.split()]


def _keys_indexed(row: Row[Any]) -> dict[int, int]:
    """What the index has of a record; nothing where it was written by a program that knows no index."""
    return _keys(row) if row.indexed else {}


def _keys(record: ContextRecord | Row[Any]) -> dict[int, int]:
    """The keys of a record's terms and facets, with their tiers."""
    keys: dict[int, int] = {}
    for entry in record.terms.split():
        token, _, counts = entry.partition(":")
        keys[key_of(token)] = tier_of(counts_of(counts))
    tags, files = (json.loads(said or "[]") if isinstance(said, str) else said for said in (record.tags, record.files))
    fields = {name: getattr(record, name) for name in FIELDS}
    for facet in facets(fields, record.updated_us, tags, files):
        keys[key_of(facet)] = LITTLE
    return keys


def _row(record: ContextRecord) -> dict[str, object]:
    values: dict[str, object] = {}
    for name in _COLUMNS:
        value = getattr(record, name)
        if name in _JSON:
            value = json.dumps(list(value) if isinstance(value, tuple) else dict(value), ensure_ascii=False)
        elif name == "session_key":
            value = value or None
        elif name == "pinned":
            value = int(value)
        values[name] = value
    return values


def _record(row: Mapping[Any, Any]) -> ContextRecord:
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    for name in ("tags", "files", "commits"):
        values[name] = tuple(json.loads(values[name] or "[]"))
    for name in ("struck", "provenance"):
        values[name] = json.loads(values[name] or "{}")
    values["session_key"] = values["session_key"] or ""
    values["pinned"] = bool(values["pinned"])
    return ContextRecord(**values)
