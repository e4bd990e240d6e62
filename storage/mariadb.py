"""MariaDB: an engine whose sessions are all set up alike, with few round trips, and the server's clock."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mysql.mariadb import MariaDBDialect
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.pool import QueuePool

from domain.errors import Unavailable
from storage.dial import DIAL_S, WAIT_S, Line, dial

if TYPE_CHECKING:
    from storage.address import Address

_SETUP = (
    # Byte-wise comparison, no silent cutting of what does not fit, UTC, and no lock waited for longer than our callers wait.
    "SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin, autocommit = 1, time_zone = '+00:00', innodb_lock_wait_timeout = 1, sql_mode = 'STRICT_ALL_TABLES'",
    # Its variable has one name before 11.1 and another after.  Under REPEATABLE READ concurrent appends fail (1020).
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)
_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Dialect(MariaDBDialect, MySQLDialect_pymysql):
    """SQLAlchemy's own, without the six questions that it asks a server at the first connection.

    Their answers are known: each session is set up by us, and the handshake tells the version.
    """

    supports_statement_cache = True

    def on_connect(self) -> None:  # type: ignore[override]  # nothing is to be done there
        """Nothing: `dial` sets the session up."""

    def _get_server_version_info(self, connection: Connection) -> tuple[int, ...]:
        return self._parse_server_version(_line(connection).server_version)

    def _get_default_schema_name(self, connection: Connection) -> str:
        return _line(connection).address.name

    def get_default_isolation_level(self, dbapi_conn: object) -> Literal["READ COMMITTED"]:  # noqa: ARG002  # SQLAlchemy's
        """What `dial` has set."""
        return "READ COMMITTED"

    def _detect_sql_mode(self, connection: Connection) -> None:  # noqa: ARG002
        self._sql_mode = "STRICT_ALL_TABLES"

    def _detect_ansiquotes(self, connection: Connection) -> None:  # noqa: ARG002
        self._server_ansiquotes = False

    def _detect_casing(self, connection: Connection) -> int:  # noqa: ARG002
        self._casing = 0
        return 0


registry.register("mariadb.claudetools", __name__, "Dialect")


def _line(connection: Connection) -> Line:
    line = connection.connection.dbapi_connection
    if not isinstance(line, Line):
        raise TypeError("the connection was not dialled by storage.dial")
    return line


class ServerClock:
    """The server's time, carried on by this machine's steady clock between two looks.

    A machine whose clock is set wrong, or is set while we run, does no harm.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset_us: int | None = None

    def look(self, line: Line) -> None:
        """Asks the server."""
        before = _steady_us()
        cursor = line.cursor()
        cursor.execute("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS INTEGER)")
        row = cursor.fetchone()
        cursor.close()
        half = (_steady_us() - before) // 2
        with self._lock:
            self._offset_us = int(row[0]) + half - _steady_us() if row else None

    def __call__(self) -> int:
        """The time in microseconds since 1970, UTC."""
        with self._lock:
            offset = self._offset_us
        return _steady_us() + offset if offset is not None else time.time_ns() // 1000


def _steady_us() -> int:
    return time.clock_gettime_ns(_BOOT) // 1000


def open_server(address: Address) -> Engine:
    """The engine for a server.  READ COMMITTED, strict, UTC; bound values are hidden from error texts."""
    clock = ServerClock()

    def connect() -> Line:
        try:
            line = dial(address, wait_s=DIAL_S, setup=_SETUP)
        except OSError as error:
            raise Unavailable(
                f"the database's password cannot be read: {address.password_file}: {error.strerror}", hint="./setup.sh"
            ) from None
        clock.look(line)
        return line

    engine = create_engine(
        "mariadb+claudetools://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=4,
        max_overflow=40,
        pool_timeout=2,
        hide_parameters=True,
    )
    event.listen(engine, "begin", _begin)
    _clocks[engine] = clock
    return engine


_clocks: weakref.WeakKeyDictionary[Engine, ServerClock] = weakref.WeakKeyDictionary()


def clock_of(engine: Engine) -> Callable[[], int]:
    """The clock of an engine that `open_server` made."""
    return _clocks[engine]


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    _line(connection).begin_unit(
        writes=bool(options.get("claudetools_write", False)), wait_s=float(options.get("claudetools_wait_s", WAIT_S))
    )
