"""The hooks' reader: plain DB-API on the context tables alone, without SQLAlchemy.

Read-only, with a short wait for locks.  A session start cannot afford the engine of the rest: it
alone takes 200 ms to import.
"""

from __future__ import annotations

import json
import os

from domain.recall import Record

LOCK_WAIT_S = 0.3
NEWEST = 40
_COLUMNS = (
    "record_id",
    "kind",
    "title",
    "outcome",
    "digest",
    "updated_us",
    "machine_name",
    "owner_id",
    "owner_name",
    "project",
    "client",
    "branch",
    "session_id",
    "pinned",
    "files",
)


def newest(database: str, *, project: str, client: str = "", limit: int = NEWEST) -> list[Record]:
    """The newest records of a project and of a client, newest first.

    `database` is the path of the embedded database.  Raises the driver's own errors, and OSError
    where the file is not there.
    """
    import sqlite3  # only the session start reads, and pays for it

    if not os.path.exists(database):
        raise FileNotFoundError(2, "the database is missing")
    connection = sqlite3.connect(_address(database), uri=True, timeout=LOCK_WAIT_S, isolation_level=None)
    try:
        rows: list[tuple[object, ...]] = []
        for column, value in (("project", project), ("client", client)):
            if value:
                rows += connection.execute(
                    f"SELECT {', '.join(_COLUMNS)} FROM context_records "  # noqa: S608 - our own column names
                    f"WHERE {column} = ? AND state = 'active' AND superseded_by = '' ORDER BY updated_us DESC LIMIT ?",
                    (value, limit),
                ).fetchall()
    finally:
        connection.close()
    found = {record.record_id: record for record in map(_record, rows)}
    return sorted(found.values(), key=lambda record: -record.updated_us)


def _record(row: tuple[object, ...]) -> Record:
    said = dict(zip(_COLUMNS, row, strict=True))
    updated = said["updated_us"]
    return Record(
        str(said["record_id"]),
        kind=str(said["kind"]),
        title=str(said["title"]),
        outcome=str(said["outcome"]),
        digest=str(said["digest"]),
        updated_us=updated if isinstance(updated, int) else 0,
        machine_name=str(said["machine_name"]),
        owner_id=str(said["owner_id"]),
        owner_name=str(said["owner_name"]),
        project=str(said["project"]),
        client=str(said["client"]),
        branch=str(said["branch"]),
        session_id=str(said["session_id"]),
        files=_list(said["files"]),
        pinned=bool(said["pinned"]),
    )


def _list(text: object) -> tuple[str, ...]:
    try:
        found = json.loads(str(text) or "[]")
    except ValueError:
        return ()
    return tuple(str(entry) for entry in found) if isinstance(found, list) else ()


def _address(path: str) -> str:
    """The path as a read-only SQLite URI."""
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?mode=ro"
