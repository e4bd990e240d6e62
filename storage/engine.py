"""Address -> Engine: an embedded file or MariaDB, opened so that both behave alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from storage.address import Address
from storage.sqlite import LOCK_WAIT_MS, open_file

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["LOCK_WAIT_MS", "as_bytes", "clock_of", "is_mariadb", "open_engine"]


def open_engine(address: Address | Path) -> Engine:
    """The engine for a database.  Connects at its first use; bound values are hidden from error texts."""
    if isinstance(address, Path):
        return open_file(address)
    if not address.is_mariadb:
        return open_file(Path(address.path))
    from storage import mariadb  # PyMySQL, which an embedded vault does not need

    return mariadb.open_server(address)


def is_mariadb(bind: Engine | Connection) -> bool:
    """Which of the two kinds this is."""
    return bind.dialect.name != "sqlite"


def clock_of(engine: Engine) -> Callable[[], int]:
    """The clock of a database, in microseconds since 1970 UTC.

    MariaDB's own, which all machines share whatever their clocks say; this machine's for an
    embedded file.
    """
    if not is_mariadb(engine):
        return lambda: time.time_ns() // 1000
    from storage import mariadb

    return mariadb.clock_of(engine)


def as_bytes(value: object) -> bytes:
    """A stored blob, whatever somebody put in its place: SQLite keeps any type in any column.

    Another type fails the check that follows, and is never taken for a length.
    """
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
