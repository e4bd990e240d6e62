"""Counting over the memory's rows; whole scans, for a person who asks, never for a session."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, func, literal, select

from domain.tallies import DAY_US, Slice
from storage.schema import context_records

ALL = ("day", "kind", "project", "project_name", "machine_id", "machine_name", "owner_name", "client")
_ROWS = context_records.c


class ContextTallies:
    """The tallies of one unit of work."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def slices(self, since_us: int = 0, ahead_us: int = 0, *, by: Sequence[str] = ALL) -> list[Slice]:
        """Everything that is kept and changed since then, in slices; days begin where a clock `ahead_us` ahead of UTC has them.

        `by` names what is told apart, out of `ALL`; the rest is empty.
        """
        day = func.floor((_ROWS.updated_us + ahead_us) // DAY_US) if "day" in by else literal(0)
        named = {name: _ROWS[name] for name in ALL if name in by and name != "day"}
        missing = [literal("").label(name) for name in ALL if name not in by and name != "day"]
        found = self._connection.execute(
            select(
                day.label("day"),
                *named.values(),
                *missing,
                func.count().label("records"),
                func.sum(_ROWS.raw_tokens).label("raw_tokens"),
                func.sum(_ROWS.digest_tokens).label("digest_tokens"),
                func.max(_ROWS.updated_us).label("newest_us"),
            )
            .where(_ROWS.state == "active", _ROWS.updated_us >= since_us)
            .group_by(*([day] if "day" in by else []), *named.values())
        )
        return [
            Slice(
                day=int(row.day),
                kind=row.kind,
                project=row.project,
                project_name=row.project_name,
                machine_id=row.machine_id,
                machine_name=row.machine_name,
                person=row.owner_name,
                client=row.client,
                records=int(row.records),
                raw_tokens=int(row.raw_tokens or 0),
                digest_tokens=int(row.digest_tokens or 0),
                newest_us=int(row.newest_us),
            )
            for row in found
        ]

    def struck(self, since_us: int = 0) -> dict[str, int]:
        """How often each rule took something out of a record."""
        found = self._connection.execute(
            select(_ROWS.struck, func.count().label("records"))
            .where(_ROWS.state == "active", _ROWS.updated_us >= since_us, _ROWS.struck.not_in(["", "{}"]))
            .group_by(_ROWS.struck)
        )
        counts: Counter[str] = Counter()
        for row in found:
            for rule, times in json.loads(row.struck).items():
                counts[str(rule)] += int(times) * int(row.records)
        return dict(counts)
