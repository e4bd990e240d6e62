"""Context records: what is kept of sessions, and the full-text index over their terms.

A captured session has one row, keyed by machine and session and ordered by the size of the
transcript it was read from: an older capture never overwrites a newer one.  A forgotten record
keeps an emptied row, so that its session is not captured again.

Document frequencies are kept on write in `context_frequencies`; three reserved rows, whose names
no term can have, hold the totals.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    RowMapping,
    Select,
    and_,
    column,
    delete,
    desc,
    func,
    insert,
    or_,
    select,
    table,
    text,
    union,
    update,
)
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from domain.context import EVERYTHING, ContextRecord, Wanted
from domain.errors import Unavailable
from domain.recall import Record, Statistics
from storage.engine import is_mariadb
from storage.guard import Guard
from storage.schema import context_frequencies, context_records, marks
from storage.sight import SEALED, mark_query

CANDIDATES = 50
NEWEST = 20
QUESTION_TERMS = 12
STRUCK = "struck"
"""The mark of the vault's values that have been struck from all records."""
TIDYING_S = 60.0
"""How long writing the full-text index anew may take."""
_RECORDS, _PERSON, _REST = "#records", "#person", "#rest"
_BATCH, _BATCH_ON_SERVER = 400, 4000
_COMMON_SHARE = 0.1
_PLENTY = 2
"""Rare terms stand in so many times as many records as are wanted: more common ones need not be asked for."""


_INDEX = text("INSERT INTO context_terms(rowid, terms) VALUES (:number, :words)")
_INDEX_ON_SERVER = text("INSERT INTO context_terms(number, terms) VALUES (:number, :words)")
_ROWS_OF_TERM = text("SELECT rowid FROM context_terms WHERE context_terms MATCH :term")
_JSON = frozenset({"tags", "files", "commits", "struck", "provenance"})
_COLUMNS = tuple(name for name in ContextRecord.__dataclass_fields__)
_STRUCK = frozenset(
    {
        "title",
        "outcome",
        "digest",
        "body_person",
        "body_rest",
        "files",
        "tags",
        "struck",
        "terms",
        "person_length",
        "rest_length",
    }
)
_LISTED = (
    "record_id", "kind", "title", "outcome", "digest", "updated_us", "machine_name", "owner_id", "owner_name", "project",
    "project_name", "client", "branch", "session_id", "pinned", "files", "terms", "person_length", "rest_length",
    "raw_tokens",
)  # fmt: skip

# What a question answers with is a line; of the digest no more than tells near-duplicates apart comes over the wire.
_HIT = [
    func.substr(context_records.c.digest, 1, 400).label(name) if name == "digest" else context_records.c[name]
    for name in _LISTED
]


class Context:
    """The memory's rows, in one unit of work."""

    def __init__(self, connection: Connection, guard: Guard | None = None) -> None:
        self._connection = connection
        self._guard = guard
        self._on_server = is_mariadb(connection)

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
        self._count(Counter(), _weights(row))
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
            made = self._connection.execute(insert(context_records).values(**_row(record))).inserted_primary_key
            self._index(int(made[0]) if made else self._number(record.record_id), record.terms, fresh=True)
            self._count(_weights(record))
            return record.record_id
        if old.state != "active" or old.transcript_size >= record.transcript_size:
            return ""
        values = _row(record)
        for kept in ("record_id", "created_us", "pinned", "superseded_by"):
            values.pop(kept)
        # Also where the machine's clock was set back meanwhile: whoever was told the older one is told the newer.
        values["updated_us"] = max(record.updated_us, old.updated_us + 1)
        self._connection.execute(update(context_records).where(context_records.c.number == old.number).values(**values))
        self._index(old.number, record.terms)
        self._count(_weights(record), _weights(old))
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
        self._unindex(row.number)
        if not self._on_server:
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
        self._connection.execute(
            update(context_records).where(context_records.c.number == row.number).values(**emptied)
        )
        self._count(Counter(), _weights(row))
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
        self._connection.execute(update(context_records).where(context_records.c.number == old.number).values(**values))
        self._index(old.number, record.terms)
        self._count(_weights(record), _weights(old))

    def search(
        self,
        tokens: Sequence[str],
        common: frozenset[str] = frozenset(),
        wanted: Wanted = EVERYTHING,
        *,
        most: int = CANDIDATES,
    ) -> tuple[list[Record], Statistics]:
        """Candidates for a question, and what ranking needs to know of the whole store for its terms.

        The best by full text over its rarest terms, and the newest of what is wanted.  Two
        statements on a server.
        """
        known = self.frequencies([*tokens, _RECORDS, _PERSON, _REST])
        statistics = Statistics(
            records=max(0, known.pop(_RECORDS, 0)),
            person_terms=max(0, known.pop(_PERSON, 0)),
            rest_terms=max(0, known.pop(_REST, 0)),
            frequencies=known,
            common=common,
        )
        scope = self._scope(wanted)
        rarest = _rarest(tokens, known)
        newest = (
            select(context_records.c.number).where(scope).order_by(context_records.c.updated_us.desc()).limit(NEWEST)
        )
        total = max(1, statistics.records)
        if self._on_server:
            return self._candidates_on_server(rarest, known, total, scope, most, newest), statistics
        numbers = dict.fromkeys(self._matching(rarest, known, total, scope, most))
        numbers.update(dict.fromkeys(int(row[0]) for row in self._connection.execute(newest)))
        return self._listed(numbers), statistics

    def newest(self, wanted: Wanted = EVERYTHING, *, limit: int = NEWEST) -> list[Record]:
        """The newest records of what is wanted."""
        found = self._connection.execute(
            select(*(context_records.c[name] for name in _LISTED))
            .where(self._scope(wanted))
            .order_by(context_records.c.updated_us.desc(), context_records.c.number.desc())
            .limit(limit),
        )
        return [_listed_record(row) for row in found.mappings()]

    def frequencies(self, tokens: Iterable[str]) -> dict[str, int]:
        """In how many records each of these terms stands."""
        wanted = sorted(set(tokens))
        known: dict[str, int] = {}
        batch = _BATCH_ON_SERVER if self._on_server else _BATCH
        for start in range(0, len(wanted), batch):
            part = wanted[start : start + batch]
            found = self._connection.execute(
                select(context_frequencies.c.term, context_frequencies.c.documents).where(
                    context_frequencies.c.term.in_(part)
                ),
            )
            known.update({row.term: int(row.documents) for row in found})
        return known

    def counts(self) -> dict[str, int]:
        """How many records there are of each kind."""
        found = self._connection.execute(
            select(context_records.c.kind, func.count())
            .where(context_records.c.state == "active")
            .group_by(context_records.c.kind),
        )
        return {kind: int(number) for kind, number in found}

    def _held(self, which: ColumnElement[bool]) -> Row[Any, Any, Any, Any] | None:
        """What a record that stands counts in the index, held for changing it."""
        rows = context_records.c
        return self._connection.execute(
            select(rows.number, rows.terms, rows.person_length, rows.rest_length)
            .where(which, rows.state == "active")
            .with_for_update()
        ).one_or_none()

    def _scope(self, wanted: Wanted) -> ColumnElement[bool]:
        rows = context_records.c
        held = [rows.state == "active", rows.superseded_by == ""]
        places = [
            column == value for column, value in ((rows.project, wanted.project), (rows.client, wanted.client)) if value
        ]
        if places:
            held.append(or_(*places))
        exact = (
            (rows.kind, wanted.kind),
            (rows.branch, wanted.branch),
            (rows.owner_id, wanted.owner_id),
            (rows.project_name, wanted.project_name),
        )
        held.extend(column == value for column, value in exact if value)
        if wanted.machine:
            held.append(or_(rows.machine_id == wanted.machine, rows.machine_name == wanted.machine))
        if wanted.person:
            held.append(or_(rows.owner_id == wanted.person, rows.owner_name == wanted.person))
        if wanted.since_us:
            held.append(rows.updated_us >= wanted.since_us)
        if wanted.until_us:
            held.append(rows.updated_us <= wanted.until_us)
        if wanted.tag:
            held.append(rows.tags.contains(json.dumps(wanted.tag, ensure_ascii=False), autoescape=True))
        if wanted.file:
            name = json.dumps(wanted.file, ensure_ascii=False)[1:]  # up to the end of an entry
            held.append(or_(*(rows.files.contains(before + name, autoescape=True) for before in ('"', "/"))))
        return and_(*held)

    def _matching(
        self, rarest: Sequence[str], known: Mapping[str, int], total: int, scope: ColumnElement[bool], most: int
    ) -> list[int]:
        """The records of the scope that hold most of these terms, weighed by how rare each is.

        One look-up a term: the index gives the rows of a term at once, while its own ranking would
        read every row's text again.
        """
        weights: dict[int, float] = {}
        for token in rarest:
            if len(weights) >= most and known[token] > total * _COMMON_SHARE:
                # So common a term cannot lift a record above those that hold the rarer ones.
                break
            # Terms are letters and digits alone (domain.text.index_token); quoted, none is an operator.
            found = self._connection.execute(_ROWS_OF_TERM, {"term": f'"{token}"'}).scalars().all()
            worth = math.log(1 + total / (1 + len(found)))
            for number in found:
                weights[int(number)] = weights.get(int(number), 0.0) + worth
        ordered = [number for number, _ in sorted(weights.items(), key=lambda entry: (-entry[1], -entry[0]))]
        matching: list[int] = []
        for start in range(0, len(ordered), _BATCH):
            part = ordered[start : start + _BATCH]
            inside = set(
                self._connection.execute(
                    select(context_records.c.number).where(context_records.c.number.in_(part), scope)
                ).scalars()
            )
            matching.extend(number for number in part if number in inside)
            if len(matching) >= most:
                break
        return matching[:most]

    def _candidates_on_server(
        self,
        rarest: Sequence[str],
        known: Mapping[str, int],
        total: int,
        scope: ColumnElement[bool],
        most: int,
        newest: Select[tuple[int]],
    ) -> list[Record]:
        """The same in one question, because each is a round trip: the server's own relevance chooses the candidates."""
        wanted = [newest.subquery().select()]
        if rarest:
            asked: list[str] = []
            reached = 0
            for token in rarest:
                if reached >= _PLENTY * most and known[token] > total * _COMMON_SHARE:
                    break
                asked.append(token)
                reached += known[token]
            # Terms are letters and digits alone (domain.text.index_token): none is an operator.
            relevance = text("MATCH (context_terms.terms) AGAINST (:words IN BOOLEAN MODE)").bindparams(
                words=" ".join(asked)
            )
            terms = table("context_terms", column("number"), column("terms"))
            matching = (
                select(context_records.c.number)
                .select_from(terms.join(context_records, context_records.c.number == terms.c.number))
                .where(relevance, scope)
                .order_by(desc(relevance), context_records.c.number.desc())
                .limit(most)
            )
            wanted.append(matching.subquery().select())
        numbers = union(*wanted).subquery()
        found = self._connection.execute(select(*_HIT).join(numbers, numbers.c.number == context_records.c.number))
        return [_listed_record(row) for row in found.mappings()]

    def _listed(self, numbers: Iterable[int]) -> list[Record]:
        wanted = list(numbers)
        if not wanted:
            return []
        found = self._connection.execute(
            select(*_HIT).where(context_records.c.number.in_(wanted)),
        )
        return [_listed_record(row) for row in found.mappings()]

    def _number(self, record_id: str) -> int:
        found = self._connection.execute(
            select(context_records.c.number).where(context_records.c.record_id == record_id)
        )
        return int(found.scalar_one())

    def _index(self, number: int, terms: str, *, fresh: bool = False) -> None:
        if not fresh:
            self._unindex(number)
        self._connection.execute(
            _INDEX_ON_SERVER if self._on_server else _INDEX, {"number": number, "words": " ".join(_tokens(terms))}
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
        """Empties the full-text index."""
        self._connection.execute(text("DELETE FROM context_terms"))

    def index_again(self, after: int, most: int) -> int:
        """Writes the index of the next records above a number, into which nothing was written since it was emptied.

        Returns the number to go on from; 0 at the end.
        """
        rows = self._connection.execute(
            select(context_records.c.number, context_records.c.terms)
            .where(context_records.c.number > after, context_records.c.state == "active")
            .order_by(context_records.c.number)
            .limit(most)
        ).all()
        if rows:
            self._connection.execute(
                _INDEX_ON_SERVER if self._on_server else _INDEX,
                [{"number": row.number, "words": " ".join(_tokens(row.terms))} for row in rows],
            )
        return int(rows[-1].number) if len(rows) == most else 0

    def _unindex(self, number: int) -> None:
        key = "number" if self._on_server else "rowid"
        self._connection.execute(
            text(f"DELETE FROM context_terms WHERE {key} = :number"),  # noqa: S608 - one of two names of ours
            {"number": number},
        )

    def _count(self, now: Counter[str], before: Counter[str] | None = None) -> None:
        """Counts what a record holds, less what it held before.  Last in a transaction: these rows are everybody's.

        In one order, so that two writers wait for each other and do not lock each other out.
        """
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


def _rarest(tokens: Sequence[str], known: Mapping[str, int], most: int = QUESTION_TERMS) -> list[str]:
    """The rarest of a question's terms that any record holds, rarest first."""
    held = [token for token in dict.fromkeys(tokens) if known.get(token, 0) > 0]
    held.sort(key=lambda token: known[token])
    return held[:most]


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
    weights.update({_RECORDS: 1, _PERSON: record.person_length, _REST: record.rest_length})
    return weights


def _tokens(terms: str) -> list[str]:
    return [entry.partition(":")[0] for entry in terms.split()]


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


def _listed_record(row: RowMapping) -> Record:
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    values["files"] = tuple(json.loads(values["files"] or "[]"))
    values["pinned"] = bool(values["pinned"])
    return Record(**values)
