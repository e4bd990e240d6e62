"""The hooks' reader: plain DB-API on the context tables alone, without SQLAlchemy.

Read-only, with a short wait for locks.  A session start cannot afford the engine of the rest: it
alone takes 200 ms to import.  Of a server everything is asked in one statement, because each is a
round trip.
"""

from __future__ import annotations

import json
import os

from domain.recall import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.address import Address

LOCK_WAIT_S = 0.3
NEWEST = 40
MOST_FORGOTTEN = 500
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
    "project_name",
    "client",
    "branch",
    "session_id",
    "pinned",
    "files",
    "raw_tokens",
)
_KIND, _TITLE, _UPDATED = (_COLUMNS.index(name) for name in ("kind", "title", "updated_us"))
_HERE, _GONE = "#here", "#forgotten"  # no record is of these kinds
_REASONS = {
    1044: "refuses the account of the hooks",
    1045: "refuses the account of the hooks",
    1130: "does not let this machine in",
    1142: "refuses the account of the hooks",
    1143: "refuses the account of the hooks",
    1698: "refuses the account of the hooks",
    2003: "cannot be reached",
    2006: "broke off",
    2013: "broke off",
    2026: "offers no encrypted connection",
}
_WRONG_CERTIFICATE = "shows another certificate than it must"


class Away(OSError):
    """The server did not answer as it should.  `reason` is a phrase of ours that goes on from its name."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.reason = reason


class Found:
    """What was read: the newest records, and of a server what else a session's start must know.

    A machine that is `shut_out` (revoked, or not known there) is given no records.  `forgotten` are
    the ids of records that were forgotten since the time that was asked for.  `now_us` is the
    database's time, 0 for an embedded one.
    """

    __slots__ = ("forgotten", "now_us", "records", "shut_out")

    def __init__(
        self,
        records: Sequence[Record],
        *,
        shut_out: bool = False,
        forgotten: Sequence[str] = (),
        now_us: int = 0,
    ) -> None:
        found = {record.record_id: record for record in records}
        self.records = sorted(found.values(), key=lambda record: -record.updated_us)
        self.shut_out = shut_out
        self.forgotten = forgotten
        self.now_us = now_us


def look(
    database: str | dict[str, object],
    *,
    project: str,
    client: str = "",
    machine_id: str = "",
    forgotten_since_us: int = 0,
    limit: int = NEWEST,
    wait_s: float = 1.0,
) -> Found:
    """The newest records of a project and of a client, newest first.

    `database` is the path of the embedded database, or a server's address as `Address.flat` gives
    it; then what was forgotten since `forgotten_since_us` is told too (0: not asked), and no answer
    is waited for longer than `wait_s`.  Raises the driver's own errors, Away for a server that is,
    and OSError where the file is not there.
    """
    places = [(column, value) for column, value in (("project", project), ("client", client)) if value]
    if isinstance(database, str):
        return Found(_from_file(database, places, limit))
    from storage.address import from_flat

    address = from_flat(database)
    if not address.is_mariadb:
        return Found(_from_file(address.path, places, limit))
    return _from_server(address, places, limit, machine_id, forgotten_since_us, wait_s)


def _from_file(path: str, places: list[tuple[str, str]], limit: int) -> list[Record]:
    import sqlite3  # only the session start reads, and pays for it

    if not os.path.exists(path):
        raise FileNotFoundError(2, "the database is missing")
    connection = sqlite3.connect(_uri(path), uri=True, timeout=LOCK_WAIT_S, isolation_level=None)
    try:
        rows: list[tuple[object, ...]] = []
        for column, value in places:
            rows += connection.execute(_newest(column, "?", "INDEXED BY {}"), (value, limit)).fetchall()
    finally:
        connection.close()
    return [_record(row) for row in rows]


def _from_server(
    address: Address,
    places: list[tuple[str, str]],
    limit: int,
    machine_id: str,
    forgotten_since_us: int,
    wait_s: float,
) -> Found:
    from storage.dial import Line, dial

    # A first row of the same shape for what is no record: the machine's state and the server's time.  NOW() would
    # be off by an hour once a year where the server's time zone has summers; this is not.
    state = "(SELECT state FROM machines WHERE machine_id = %s)"
    parts = [_like_a_record(_HERE, title=state, updated_us="UNIX_TIMESTAMP() * 1000000")]
    values: list[object] = [machine_id]
    for column, value in places:
        parts.append(f"({_newest(column, '%s', 'FORCE INDEX ({})')})")
        values += [value, limit]
    if forgotten_since_us:
        parts.append(
            f"({_like_a_record(_GONE, record_id='record_id')} FROM context_records "
            "WHERE state = 'forgotten' AND updated_us >= %s ORDER BY updated_us LIMIT %s)"
        )
        values += [forgotten_since_us, MOST_FORGOTTEN]
    try:
        line = dial(address, wait_s=wait_s)
        cursor = line.cursor()
        cursor.execute(" UNION ALL ".join(parts), values)
        rows = list(cursor.fetchall())
        line.close()
    except Line.Error as error:
        raise _away(error) from None
    machine, now_us = next((str(row[_TITLE] or ""), _whole(row[_UPDATED])) for row in rows if row[_KIND] == _HERE)
    shut_out = machine != "active"
    return Found(
        [_record(row) for row in rows if row[_KIND] not in (_HERE, _GONE)] if not shut_out else (),
        shut_out=shut_out,
        forgotten=[str(row[0]) for row in rows if row[_KIND] == _GONE],
        now_us=now_us,
    )


def _like_a_record(kind: str, **columns: str) -> str:
    """The beginning of a statement that gives rows of a record's shape."""
    said = {"kind": f"'{kind}'", "updated_us": "0", "pinned": "0", "raw_tokens": "0", **columns}
    return "SELECT " + ", ".join(said.get(name, "''") for name in _COLUMNS)


def _newest(column: str, mark: str, by: str) -> str:
    # Either database would now and then walk the index of all times instead, past everybody else's records.
    index = by.format(f"ix_context_{column}")
    return (
        f"SELECT {', '.join(_COLUMNS)} FROM context_records {index} "  # noqa: S608 - our own column names
        f"WHERE {column} = {mark} AND state = 'active' AND superseded_by = '' ORDER BY updated_us DESC LIMIT {mark}"
    )


def _away(error: Exception) -> Away:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if "certificate" in str(error).lower():
        return Away(code, _WRONG_CERTIFICATE)
    return Away(code, _REASONS.get(code, "could not be read"))


def _record(row: tuple[object, ...]) -> Record:
    said = dict(zip(_COLUMNS, row, strict=True))
    return Record(
        str(said["record_id"]),
        kind=str(said["kind"]),
        title=str(said["title"]),
        outcome=str(said["outcome"]),
        digest=str(said["digest"]),
        updated_us=_whole(said["updated_us"]),
        machine_name=str(said["machine_name"]),
        owner_id=str(said["owner_id"]),
        owner_name=str(said["owner_name"]),
        project=str(said["project"]),
        project_name=str(said["project_name"]),
        client=str(said["client"]),
        branch=str(said["branch"]),
        session_id=str(said["session_id"]),
        files=_list(said["files"]),
        pinned=bool(said["pinned"]),
        raw_tokens=_whole(said["raw_tokens"]),
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _list(text: object) -> tuple[str, ...]:
    try:
        found = json.loads(str(text) or "[]")
    except ValueError:
        return ()
    return tuple(str(entry) for entry in found) if isinstance(found, list) else ()


def _uri(path: str) -> str:
    """The path as a read-only SQLite URI."""
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?mode=ro"
