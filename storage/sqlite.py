"""The embedded database: one SQLite file, its pragmas, and how a writer waits for its turn."""

from __future__ import annotations

import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import QueuePool

LOCK_WAIT_MS = 1900
"""How long a writer waits for its turn in this process and for another process's lock, together: under 2 s, the longest
that an act which cannot be recorded may keep its caller waiting."""
_LOOK_MS = 8


def open_file(database_file: Path) -> Engine:
    """The engine for an embedded SQLite file.

    WAL with full synchronisation: a committed audit entry survives a power cut.  A missing file
    is an error, and is never made by accident.  Bound values are hidden
    from error texts, because SQLAlchemy prints them otherwise.
    """
    engine = create_engine(
        "sqlite://",
        creator=_connector(database_file),
        poolclass=QueuePool,
        pool_size=4,
        max_overflow=40,
        pool_timeout=2,
        hide_parameters=True,
    )
    event.listen(engine, "begin", _begin)
    return engine


def _connector(path: Path) -> Callable[[], sqlite3.Connection]:
    uri = f"{path.absolute().as_uri()}?mode=rw"

    def connect() -> sqlite3.Connection:
        _mend_journals(path)
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=LOCK_WAIT_MS / 1000,
            check_same_thread=False,
            isolation_level=None,  # we begin transactions ourselves, see _begin
        )
        # mode=rw falls back to reading alone when the file is not writable; say so on writing.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # REPLACE is a deletion too: without this the audit log's triggers do not see it.
        connection.execute("PRAGMA recursive_triggers=ON")
        # What is forgotten is overwritten, not left in free pages.
        connection.execute("PRAGMA secure_delete=ON")
        # Bytes that are no text come from somebody's hand: they are read, and fail the row's check.
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        return connection

    return connect


def _mend_journals(path: Path) -> None:
    """Makes the journals of a writable database writable.

    SQLite gives them the database's mode: opened once while it was read-only, they would stay so
    and keep everybody from writing when it is writable again.
    """
    with suppress(OSError):
        if not path.stat().st_mode & stat.S_IWUSR:
            return
    for journal in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        with suppress(OSError):
            if not journal.stat().st_mode & stat.S_IWUSR:
                journal.chmod(0o600)


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("claudetools_write", False):
        connection.exec_driver_sql("BEGIN")
        return
    # A writer takes the write lock at once: a read that is upgraded later can fail at any
    # statement when another process wrote in between.
    # SQLite's own waiting sleeps up to 100 ms between two looks and starves beside busy processes;
    # with a short limit it looks every few milliseconds.
    until = connection.get_execution_options().get("claudetools_until") or time.monotonic() + LOCK_WAIT_MS / 1000
    connection.exec_driver_sql(f"PRAGMA busy_timeout={_LOOK_MS}")
    try:
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except OperationalError as error:
                if not _is_busy(error) or time.monotonic() >= until:
                    raise
            else:
                return
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={LOCK_WAIT_MS}")


def _is_busy(error: OperationalError) -> bool:
    return isinstance(error.orig, sqlite3.Error) and error.orig.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
