"""An empty database, of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from storage.address import Address, parse_address
from storage.engine import open_engine
from tests.kit.mariadb import OWNER
from tests.kit.stores import Databases, MariaDBStore, OnMariaDB, SQLiteStore, Store


@pytest.fixture
def store(database: Databases, tmp_path: Path) -> Store:
    """The database, as its administrator sees it."""
    if not isinstance(database, OnMariaDB):
        (tmp_path / "db").touch()
        return SQLiteStore(tmp_path / "db")
    return MariaDBStore(database.server, database.make())


@pytest.fixture
def address(store: Store) -> Address | Path:
    """Where it is."""
    if isinstance(store, MariaDBStore):
        found = parse_address(store.server.url(store.name), base="/")
        return found.changed(password=store.server.passwords[OWNER])
    assert isinstance(store, SQLiteStore)
    return store.file


@pytest.fixture
def engine(address: Address | Path) -> Iterator[Engine]:
    """The engine that the product opens there."""
    made = open_engine(address)
    yield made
    made.dispose()
