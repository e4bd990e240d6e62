"""The only commit, and the only place where a driver's errors become ours."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import (
    DatabaseError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.errors import ClaudeToolsError, Conflict, Unavailable
from storage.engine import TURN_WAIT_MS

_writers: weakref.WeakKeyDictionary[Engine, threading.Lock] = weakref.WeakKeyDictionary()
_writers_lock = threading.Lock()


class Transaction:
    """One open transaction.  Nothing is kept until `commit` returns."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.committed = False

    def commit(self) -> None:
        """Commits.  Raises Unavailable where the outcome is not known to be good."""
        with told():
            self.connection.commit()
        self.committed = True


@contextmanager
def begin(engine: Engine, *, write: bool) -> Iterator[Transaction]:
    """A transaction that is rolled back unless `commit` was called inside.

    Raises Unavailable where the database cannot be reached, locked or written within the lock
    wait; Conflict where a unique key is taken.
    """
    lock = _writer_lock(engine) if write else None
    # Threads of one process take turns here: SQLite's own waiting polls and starves.
    if lock is not None and not lock.acquire(timeout=TURN_WAIT_MS / 1000):
        raise Unavailable("the database is busy: another writer holds it", hint="try again")
    try:
        with told(), engine.connect().execution_options(claudetools_write=write) as connection:
            connection.begin()
            yield Transaction(connection)
    finally:
        if lock is not None:
            lock.release()


def _writer_lock(engine: Engine) -> threading.Lock:
    with _writers_lock:
        return _writers.setdefault(engine, threading.Lock())


@contextmanager
def told() -> Iterator[None]:
    """Turns what the driver raises into the product's own errors; ours pass untouched."""
    try:
        yield
    except ClaudeToolsError:
        raise
    except IntegrityError:
        raise Conflict("that name is taken, or the thing changed meanwhile", hint="read it again") from None
    except PoolTimeout:
        raise Unavailable("all database connections are in use", hint="try again") from None
    except OperationalError as error:
        raise Unavailable(_what_is_down(error), hint="claudetools doctor") from None
    except DatabaseError as error:
        raise Unavailable(_what_is_down(error), hint="claudetools doctor") from None
    except SQLAlchemyError as error:
        raise Unavailable(
            f"the database did not answer as expected ({type(error).__name__})",
            hint="claudetools doctor",
        ) from None


_REASONS = {
    "locked": "the database is locked by another writer",
    "busy": "the database is locked by another writer",
    "readonly": "the database cannot be written: it or its folder is read-only",
    "read-only": "the database cannot be written: it or its folder is read-only",
    "unable to open": "the database file is missing or cannot be opened",
    "disk is full": "the disk is full",
    "disk i/o": "the disk refuses to read or write",
    "malformed": "the database file is damaged",
    "not a database": "the database file is damaged or is no database",
    "no such table": "the database has not been set up, or is damaged",
    "no such column": "the database belongs to another version of the program",
}


def _what_is_down(error: DBAPIError) -> str:
    # The driver's own text names tables and files, never bound values.
    said = str(error.orig).lower()
    for sign, reason in _REASONS.items():
        if sign in said:
            return reason
    return f"the database refused ({type(error.orig).__name__})"
