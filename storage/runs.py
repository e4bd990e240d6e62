"""Rotations of keys: guarded rows, so that nobody makes a run skip what it has not done."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from domain.errors import Broken
from domain.rotation import KeyRun
from storage.guard import Guard, Row, first_come
from storage.schema import audit_entries, key_runs

SUBJECT = "key_run"
_KEY = "run_id"


class Runs:
    """The rotations of one unit of work.  Every read checks MAC and revision."""

    def __init__(self, connection: Connection, guard: Guard) -> None:
        self._connection = connection
        self._guard = guard

    def one(self, run_id: str) -> KeyRun | None:
        """One run.  Raises Broken."""
        row = self._guard.one(key_runs, SUBJECT, _KEY, run_id=run_id)
        return None if row is None else _run(row)

    def unfinished(self) -> KeyRun | None:
        """The run that was begun and has not ended.

        Every run is checked, and that each is there which the audit log knows of: none is passed off as ended.  Raises Broken.
        """
        ids = self._connection.execute(select(key_runs.c[_KEY]).order_by(key_runs.c.created_us)).scalars().all()
        runs = [run for run in map(self.one, ids) if run is not None]
        entry = audit_entries.c
        logged = select(entry.subject_id).where(entry.subject_type == SUBJECT, entry.subject_revision.is_not(None))
        for gone in set(self._connection.execute(logged.distinct()).scalars()) - set(ids):
            raise Broken(f"{SUBJECT} {gone} is gone", hint="claudetools audit verify")
        return next((run for run in runs if run.state == "open"), None)

    def add(self, run: KeyRun) -> None:
        """Stores a new run."""
        self._guard.insert(key_runs, SUBJECT, _KEY, _row(run))

    def replace(self, run: KeyRun) -> None:
        """Stores how far a run has come.  Raises Conflict where another process is at it."""
        if not self._guard.update(key_runs, SUBJECT, _KEY, _row(run), run.revision):
            raise first_come("another process is at this rotation", "claudetools keys status")


def _row(run: KeyRun) -> dict[str, Any]:
    return {name: getattr(run, name) for name in KeyRun.__dataclass_fields__ if name != "revision"}


def _run(row: Row) -> KeyRun:
    return KeyRun(**{name: row[name] for name in KeyRun.__dataclass_fields__})
