"""The only commit, and the only place where a driver's errors become ours."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.errors import ClaudeToolsError, Conflict, Invalid, Unavailable
from storage.engine import LOCK_WAIT_MS, is_mariadb

FENCED = "this vault has moved to another database, or is about to"
"""What the triggers say that `storage.transfer` sets where a vault moved away; we know it again by this."""

APPEND_ONLY = "audit entries are never changed or deleted"
"""What the triggers on the audit tables say (migration 0003)."""

_writers: weakref.WeakKeyDictionary[Engine, threading.Lock] = weakref.WeakKeyDictionary()
_writers_lock = threading.Lock()


class Transaction:
    """One open transaction.  Nothing is kept until `commit` returns."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.committed = False

    @contextmanager
    def last_write(self) -> Iterator[None]:
        """Around the one statement after which nothing but the commit follows.

        Where nothing was written before it, a server commits with that statement: one round trip
        for both.
        """
        line = self.connection.connection.dbapi_connection if is_mariadb(self.connection) else None
        if line is None:
            yield
            return
        line.last = True
        try:
            yield
        finally:
            line.last = False

    def commit(self) -> None:
        """Commits.  Raises Unavailable where the outcome is not known to be good."""
        with told():
            self.connection.commit()
        self.committed = True


@contextmanager
def begin(engine: Engine, *, write: bool, wait_s: float = 0.0) -> Iterator[Transaction]:
    """A transaction that is rolled back unless `commit` was called inside.

    `wait_s` is how long one answer of a server may take, for what is known to take long.  Raises
    Unavailable where the database cannot be reached, locked or written within the lock wait (with
    `again` set where nothing happened and the same may be tried at once); Conflict where a unique
    key is taken.
    """
    lock = _writer_lock(engine) if write and not is_mariadb(engine) else None
    options: dict[str, object] = {"claudetools_write": write}
    if wait_s:
        options["claudetools_wait_s"] = wait_s
    # Threads of one process take turns here: SQLite's own waiting polls and starves.
    if lock is not None:
        options["claudetools_until"] = time.monotonic() + LOCK_WAIT_MS / 1000
    if lock is not None and not lock.acquire(timeout=LOCK_WAIT_MS / 1000):
        raise Unavailable("the database is busy: another writer holds it", hint="try again")
    try:
        with told(), engine.connect().execution_options(**options) as connection:
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
    except IntegrityError as error:
        if any(sign in str(error.orig) for sign in (FENCED, APPEND_ONLY)):
            raise _down(error) from None  # SQLite takes a trigger's refusal for a broken constraint
        raise Conflict("that name is taken, or the thing changed meanwhile", hint="read it again") from None
    except PoolTimeout:
        raise Unavailable("all database connections are in use", hint="try again") from None
    except DBAPIError as error:
        raise _down(error) from None
    except SQLAlchemyError as error:
        raise Unavailable(
            f"the database did not answer as expected ({type(error).__name__})",
            hint="claudetools doctor",
        ) from None


_REASONS = {
    APPEND_ONLY: "the database does not let audit entries be changed",
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
_LOST = "the connection to the database server was lost, or it did not answer in time"
# Error numbers of MariaDB (mariadb.com/kb, "MariaDB Error Codes") and of its clients.
_CODES = {
    0: _LOST,
    1020: "another writer came first",
    1021: "the database server's disk is full",
    1030: "the database server's disk refuses to read or write",
    1040: "the database server has too many connections",
    1044: "this database account has no right to that database",
    1045: "the database server refuses this account or its password",
    1047: "the database server's cluster is not ready",
    1049: "the database server has no database of that name",
    1053: "the database server is shutting down",
    1054: "the database belongs to another version of the program",
    1114: "the database server's disk is full",
    1129: "the database server has blocked this machine after many failed connections",
    1130: "the database server does not let this machine in",
    1142: "this database account has no right to do that",
    1143: "this database account has no right to do that",
    1146: "the database has not been set up, or is damaged",
    1203: "this database account has too many connections",
    1205: "the database is locked by another writer",
    1213: "another writer came first",
    1290: "the database cannot be written: the server is read-only",
    1419: "the database server writes a binary log and lets only an administrator make triggers; "
    "as such: SET GLOBAL log_bin_trust_function_creators = 1, then the same again",
    1644: "the database does not let audit entries be changed",
    1698: "the database server refuses this account or its password",
    1927: _LOST,
    2003: "the database server cannot be reached",
    2006: _LOST,
    2013: _LOST,
    2026: "the database server does not offer an encrypted connection",
    2027: "the database server does not keep to the protocol",
    2061: "the database server asks for the account's password over a line without encryption",
    4031: _LOST,
}
_AGAIN = frozenset({1020, 1047, 1205, 1213})
"""Lost against another writer, or against a certification in a cluster: nothing of it happened."""
_TOO_LONG = frozenset({1264, 1366, 1406})
_WRONG_CERTIFICATE = "the database server's certificate is not the one that it must show"


def _down(error: DBAPIError) -> ClaudeToolsError:
    # The driver's own text names tables, files and hosts, never bound values.
    said = str(error.orig).lower()
    if FENCED in said:
        return Unavailable(FENCED, hint="claudetools doctor")
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    if code in _TOO_LONG:
        return Invalid("a text is longer, or a number larger, than the database keeps", hint="make it shorter")
    if "certificate" in said or "ssl:" in said:
        down = Unavailable(_WRONG_CERTIFICATE, hint="claudetools doctor")
    elif isinstance(code, int) and code in _CODES:
        down = Unavailable(_CODES[code], hint="try again" if code in _AGAIN else "claudetools doctor")
        down.again = code in _AGAIN
    else:
        reason = next((reason for sign, reason in _REASONS.items() if sign in said), "")
        down = Unavailable(reason or f"the database refused ({type(error.orig).__name__})", hint="claudetools doctor")
    return down
