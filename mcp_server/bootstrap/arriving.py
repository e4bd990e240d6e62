"""A database that a vault arrives in, from a backup or from another database: closed until all of it is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from domain.errors import Conflict
from storage.address import Address, parse_address
from storage.context import Context
from storage.engine import open_engine
from storage.migrations import current_revision, known, upgrade
from storage.rows import PATIENCE_S
from storage.schema import metadata
from storage.transaction import begin
from storage.transfer import Notice, is_empty, is_on_its_way, read_notice, tables_there, write_notice

EMPTY = "name an empty database: one in which nobody has set up a vault"
_INDEX_PAGE = 256


def place_of(text: str, home: Path) -> Address:
    """The database that a person names: a URL, or a file, below the data directory where it is no whole path.

    Raises Invalid for a URL that is none, or that holds a password.
    """
    return parse_address(text, base=str(home))


def open_place(address: Address) -> Engine:
    """The engine for a database that a vault is to arrive in; an embedded one is made (0600) where it is not there."""
    if not address.is_mariadb:
        with suppress(FileExistsError):
            os.close(os.open(address.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    return open_engine(address)


def prepare(engine: Engine, vault_id: str, origin: str, now_us: int, revision: str = "head") -> bool:
    """Makes the tables of an empty database and closes it.  True where an earlier run is gone on with.

    Raises Conflict where the database holds anything but a part of this very vault.
    """
    with begin(engine, write=False) as transaction:
        connection = transaction.connection
        there, tables = current_revision(connection), tables_there(connection)
        if not known(there):
            raise Conflict("that database was made by a newer program", hint="git pull && ./setup.sh")
        if not there and not tables.isdisjoint(metadata.tables):
            raise Conflict("that database has tables of our names that are not ours", hint=EMPTY)
        closed = "compatibility" in tables and is_on_its_way(connection)
        notice = read_notice(connection) if closed else None
        if closed and (notice is None or notice.state != "arriving" or notice.vault_id != vault_id):
            raise Conflict("that database holds another vault, or one that has moved away", hint=EMPTY)
        if not closed and there and not is_empty(connection):
            raise Conflict("that database holds a vault already", hint=EMPTY)
    if not there:
        upgrade(engine, revision)
    elif revision == "head":
        upgrade(engine)
    write_notice(engine, Notice("arriving", vault_id, origin, now_us))
    return closed


def index(engine: Engine, tell: Callable[[str, int], None]) -> None:
    """Makes the full-text index from the records' terms."""
    with begin(engine, write=True, wait_s=PATIENCE_S) as transaction:
        Context(transaction.connection).clear_index()
        transaction.commit()
    number = -1
    while number:
        with begin(engine, write=True, wait_s=PATIENCE_S) as transaction:
            number = Context(transaction.connection).index_again(number, _INDEX_PAGE)
            transaction.commit()
        tell("context_terms", number)
