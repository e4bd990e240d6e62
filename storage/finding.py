"""Finding context records: candidates for a question out of the index, and the newest of what is wanted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    RowMapping,
    Select,
    and_,
    func,
    literal,
    or_,
    select,
    union,
    union_all,
)

from domain.context import EVERYTHING, Wanted
from domain.facets import asked
from domain.postings import Scope, best, key_of
from domain.recall import Record, Statistics
from storage.engine import is_mariadb
from storage.postings import Postings
from storage.schema import context_frequencies, context_postings, context_records

CANDIDATES = 50
NEWEST = 20
QUESTION_TERMS = 12
RECORDS, PERSON, REST = TOTALS = "#records", "#person", "#rest"
"""The terms under which the totals stand: no term can have such a name."""
_BATCH, _BATCH_ON_SERVER = 400, 4000
_FEW_TERMS = 2 * QUESTION_TERMS
_MOST_FILTERED = 300
"""Among so many records that filters leave, the newest are told by their times; of more, those with the highest numbers are
looked at.  A number is given when a session is first kept, so an old session that was gone on with may be left out there."""
_WALK = 200
"""How many of a place's newest are walked on a server for a person's own among them."""
_ROUNDS = 8
"""How often more candidates are taken where some turn out not to be wanted."""

_LISTED = (
    "record_id", "kind", "title", "outcome", "digest", "updated_us", "machine_name", "owner_id", "owner_name", "project",
    "project_name", "client", "branch", "session_id", "pinned", "files", "terms", "person_length", "rest_length",
    "raw_tokens",
)  # fmt: skip

_HEADS = ("record_id", "owner_id", "project", "client")

# What a question answers with is a line; of the digest no more than tells near-duplicates apart comes over the wire.
_HIT = [
    func.substr(context_records.c.digest, 1, 400).label(name) if name == "digest" else context_records.c[name]
    for name in _LISTED
]


class Finding:
    """What the memory answers, in one unit of work."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._on_server = is_mariadb(connection)
        self._postings = Postings(connection)

    def search(
        self,
        tokens: Sequence[str],
        common: frozenset[str] = frozenset(),
        wanted: Wanted = EVERYTHING,
        *,
        most: int = CANDIDATES,
    ) -> tuple[list[Record], Statistics]:
        """Candidates for a question, and what ranking needs to know of the whole store for its terms.

        The best by the index over its rarest terms, and the newest of what is wanted.  Three statements; two on a
        server for a question of few terms, because each is a round trip.
        """
        groups = self._facets(wanted)
        filters = [key for group in groups for key in group]
        blocks: dict[int, dict[int, bytes]] | None = None
        if self._on_server and len(set(tokens)) <= _FEW_TERMS:
            known, blocks = self._known_at_once(tokens, filters)
        else:
            known = self.frequencies([*tokens, *TOTALS])
        statistics = Statistics(
            records=max(0, known.pop(RECORDS, 0)),
            person_terms=max(0, known.pop(PERSON, 0)),
            rest_terms=max(0, known.pop(REST, 0)),
            frequencies=known,
            common=common,
        )
        terms = {key_of(token): statistics.worth(token) for token in _rarest(tokens, known)}
        if blocks is None:
            blocks = self._postings.read([*terms, *filters])
        within = Scope([[blocks[key] for key in group] for group in groups]) if groups else None
        question = [(worth, blocks[key]) for key, worth in terms.items()]
        asked_for = most
        numbers = best(question, asked_for, within)
        found = self._candidates(numbers, wanted, within)
        for _ in range(_ROUNDS):
            # Facets say a little more than was asked for, and a record that was superseded is still in the index.
            short = most - sum(1 for number in numbers if number in found)
            if short <= 0 or len(numbers) < asked_for:
                break
            asked_for *= 2
            numbers = best(question, asked_for, within)
            found |= self._candidates(numbers[asked_for // 2 :], wanted, None, newest=False)
        return list(found.values()), statistics

    def newest(self, wanted: Wanted = EVERYTHING, *, limit: int = NEWEST) -> list[Record]:
        """The newest records of what is wanted."""
        return [_listed_record(row) for row in self._newest_rows(wanted, limit, _LISTED)]

    def newest_heads(self, wanted: Wanted = EVERYTHING, *, limit: int = NEWEST) -> list[Record]:
        """The same, of each only whose it is and where it belongs; nothing of their texts is read."""
        return [Record(**row) for row in self._newest_rows(wanted, limit, _HEADS)]

    def _newest_rows(self, wanted: Wanted, limit: int, columns: Sequence[str]) -> Iterable[Mapping[str, Any]]:
        within = None
        own = bool(wanted.owner_id and (wanted.project or wanted.client))
        if own and self._on_server and _is_ordered(replace(wanted, owner_id="")):
            near = self._near(wanted, limit, columns)
            if near is not None:
                return near
        if not _is_ordered(wanted):
            groups = self._facets(wanted)
            blocks = self._postings.read(key for group in groups for key in group)
            within = Scope([[blocks[key] for key in group] for group in groups])
        numbers = union(*self._newest(wanted, within, limit)).subquery()
        found = self._connection.execute(
            select(*(context_records.c[name] for name in columns))
            .join(numbers, numbers.c.number == context_records.c.number)
            .order_by(context_records.c.updated_us.desc(), context_records.c.number.desc())
            .limit(limit),
        )
        return ({str(name): value for name, value in row.items()} for row in found.mappings())

    def _near(self, wanted: Wanted, limit: int, columns: Sequence[str]) -> list[Mapping[str, Any]] | None:
        """A person's own of a place, where the place's newest hold enough of them or are all of it; else None.

        One statement: on a server a round trip costs more than a short walk, and a long walk more than a round trip.
        """
        rows = context_records.c
        places = [
            (replace(wanted, project=project, client=client, owner_id=""), index)
            for project, client, index in ((wanted.project, "", "project"), ("", wanted.client, "client"))
            if project or client
        ]

        def walk() -> Select[tuple[int, str]]:
            walked = [
                select(rows.number, rows.owner_id)
                .where(self._scope(one))
                .with_hint(context_records, f"FORCE INDEX (ix_context_{index})", "mariadb")
                .order_by(rows.updated_us.desc(), rows.number.desc())
                .limit(_WALK)
                .subquery()
                .select()
                for one, index in places
            ]
            return select(union(*walked).subquery())

        chosen = walk().subquery()
        count = select(func.count()).select_from(walk().subquery()).scalar_subquery()
        found = (
            self._connection.execute(
                select(*(rows[name] for name in columns), count.label("walked"))
                .join(chosen, chosen.c.number == rows.number)
                .where(chosen.c.owner_id == wanted.owner_id)
                .order_by(rows.updated_us.desc(), rows.number.desc())
                .limit(limit)
            )
            .mappings()
            .all()
        )
        if not found or (len(found) < limit and int(found[0]["walked"]) >= _WALK):
            return None
        return [{name: row[name] for name in columns} for row in found]

    def _known_at_once(
        self, tokens: Sequence[str], filters: Sequence[int]
    ) -> tuple[dict[str, int], dict[int, dict[int, bytes]]]:
        """The frequencies of a question's terms, and the blocks of all of them."""
        keys = sorted({*map(key_of, tokens), *filters})
        counted = select(
            context_frequencies.c.term, context_frequencies.c.documents, literal(0), literal(b"", LargeBinary)
        ).where(context_frequencies.c.term.in_(sorted({*tokens, *TOTALS})))
        held = select(
            literal(""), context_postings.c.term, context_postings.c.block, context_postings.c.postings
        ).where(context_postings.c.term.in_(keys))
        known: dict[str, int] = {}
        blocks: dict[int, dict[int, bytes]] = {key: {} for key in keys}
        for term, number, block, postings in self._connection.execute(union_all(counted, held)):
            if term:
                known[term] = int(number)
            else:
                blocks[int(number)][int(block)] = bytes(postings)
        return known, blocks

    def _facets(self, wanted: Wanted) -> list[list[int]]:
        oldest_us = newest_us = 0
        if wanted.since_us or wanted.until_us:
            ends = [
                select(context_records.c.updated_us)
                .where(context_records.c.state == "active")
                .order_by(order)
                .limit(1)
                .scalar_subquery()
                for order in (context_records.c.updated_us, context_records.c.updated_us.desc())
            ]
            oldest_us, newest_us = (int(us or 0) for us in self._connection.execute(select(*ends)).one())
        return [[key_of(facet) for facet in group] for group in asked(wanted, oldest_us, newest_us)]

    def _newest(self, wanted: Wanted, within: Scope | None, limit: int) -> list[Select[tuple[int]]]:
        """Statements that give the numbers of the newest, each in the order of an index and no further than it must."""
        if within is not None and not _is_ordered(wanted):
            few = [context_records.c.number.in_(within.newest(_MOST_FILTERED))]
            return [self._by_time(and_(self._scope(wanted, by_state=False), *few), "", limit)]
        places = [
            (replace(wanted, project=project, client=client), index)
            for project, client, index in ((wanted.project, "", "project"), ("", wanted.client, "client"))
            if project or client
        ]
        return [
            self._by_time(self._scope(one, by_state=index == "state"), index, limit)
            for one, index in places or [(wanted, "state")]
        ]

    def _by_time(self, scope: ColumnElement[bool], index: str, limit: int) -> Select[tuple[int]]:
        query = select(context_records.c.number).where(scope)
        if index:
            # Both databases would now and then walk another index, and all its records to find few (see `_scope`).
            query = query.with_hint(context_records, f"FORCE INDEX (ix_context_{index})", "mariadb")
        ordered = query.order_by(context_records.c.updated_us.desc(), context_records.c.number.desc()).limit(limit)
        return ordered.subquery().select()

    def _candidates(
        self, numbers: Sequence[int], wanted: Wanted, within: Scope | None, *, newest: bool = True
    ) -> dict[int, Record]:
        """Those of these records that are wanted, and the newest, by their numbers."""
        parts = self._newest(wanted, within, NEWEST) if newest else []
        if numbers:
            parts.append(
                select(context_records.c.number).where(
                    context_records.c.number.in_(numbers), self._scope(wanted, by_state=False)
                )
            )
        if not parts:
            return {}
        chosen = union(*parts).subquery()
        found = self._connection.execute(
            select(context_records.c.number, *_HIT).join(chosen, chosen.c.number == context_records.c.number)
        )
        return {
            int(row["number"]): _listed_record({name: value for name, value in row.items() if name != "number"})
            for row in found.mappings()
        }

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

    def _scope(self, wanted: Wanted, *, by_state: bool = True) -> ColumnElement[bool]:
        """What must hold of a record.  Without `by_state`, SQLite cannot choose the index of all states and times.

        That is its only way to be told so: SQLAlchemy leaves INDEXED BY out.
        """
        rows = context_records.c
        state = rows.state if by_state or self._on_server else rows.state.concat("")
        held = [state == "active", rows.superseded_by == ""]
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


def _rarest(tokens: Sequence[str], known: Mapping[str, int], most: int = QUESTION_TERMS) -> list[str]:
    """The rarest of a question's terms that any record holds, rarest first."""
    held = [token for token in dict.fromkeys(tokens) if known.get(token, 0) > 0]
    held.sort(key=lambda token: known[token])
    return held[:most]


def _is_ordered(wanted: Wanted) -> bool:
    """Whether an index has the records that are wanted in the order of their times.

    A person's own of a place are not: thousands of other persons' may lie between them.
    """
    in_order = {"project", "client", "since_us", "until_us"}
    return not any(getattr(wanted, name) for name in wanted.__dataclass_fields__ if name not in in_order)


def _listed_record(row: RowMapping | Mapping[str, Any]) -> Record:
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    values["files"] = tuple(json.loads(values["files"] or "[]"))
    values["pinned"] = bool(values["pinned"])
    return Record(**values)
