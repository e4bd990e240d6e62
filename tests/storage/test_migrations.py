"""Migrations: repeatable, whole or not at all, and what they make is what the schema says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.event import listen, remove

from storage import transaction
from storage.address import parse_address
from storage.engine import open_engine
from storage.migrations import current_revision, head_revision, known, upgrade
from storage.schema import CONTEXT_TERMS_MARIADB, CONTEXT_TERMS_SQLITE, metadata
from storage.transaction import begin
from tests.kit.mariadb import OWNER
from tests.kit.stores import Databases, OnMariaDB, Store


def revision(engine: Engine) -> str:
    with begin(engine, write=False) as opened:
        return current_revision(opened.connection)


def shape(engine: Engine) -> dict[str, object]:
    """Tables with their columns, keys, unique constraints and indexes."""
    look = inspect(engine)
    return {
        name: (
            sorted((c["name"], str(c["type"]), c["nullable"]) for c in look.get_columns(name)),
            look.get_pk_constraint(name)["constrained_columns"],
            sorted(sorted(u["column_names"]) for u in look.get_unique_constraints(name)),
            sorted((str(i["name"]), [str(c) for c in i["column_names"]]) for i in look.get_indexes(name)),
        )
        for name in look.get_table_names()
        if name != "alembic_version" and not name.startswith("context_terms")
    }


def test_an_empty_database_comes_to_the_programs_revision(engine: Engine):
    assert revision(engine) == ""
    upgrade(engine)
    assert revision(engine) == head_revision() != ""


def test_what_the_migrations_make_is_what_the_schema_says(engine: Engine, wanted: Engine):
    upgrade(engine)
    metadata.create_all(wanted)
    assert shape(engine) == shape(wanted)


@pytest.fixture
def wanted(database: Databases, tmp_path: Path) -> Iterator[Engine]:
    """Another empty database of the same kind."""
    if isinstance(database, OnMariaDB):
        found = parse_address(database.server.url(database.make()), base="/")
        made = open_engine(found.changed(password=database.server.passwords[OWNER]))
    else:
        (tmp_path / "wanted").touch()
        made = open_engine(tmp_path / "wanted")
    yield made
    made.dispose()


def test_what_the_migrations_make_for_the_terms_is_what_the_schema_says(engine: Engine, store: Store):
    upgrade(engine)
    if store.kind == "sqlite":
        (made,) = [text for text in store.definitions() if "VIRTUAL TABLE" in text]
        said = CONTEXT_TERMS_SQLITE
    else:
        made = store.sql("SHOW CREATE TABLE context_terms")[0][1]
        store.sql("DROP TABLE context_terms")
        store.sql(CONTEXT_TERMS_MARIADB)
        said = store.sql("SHOW CREATE TABLE context_terms")[0][1]
    assert "".join(made.split()) == "".join(said.replace(" IF NOT EXISTS", "").split())


def contents(store: Store) -> tuple[list[str], dict[str, list[dict[str, object]]]]:
    return store.definitions(), {table: store.rows(table) for table in store.tables()}


def test_a_second_upgrade_changes_nothing(engine: Engine, store: Store):
    upgrade(engine)
    before = contents(store)
    upgrade(engine)
    assert contents(store) == before


class Cut(BaseException):
    """The power went."""


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_upgrade_of_a_file_that_was_cut_off_left_nothing_and_goes_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, store: Store
):
    def cut(self: object) -> None:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(transaction.Transaction, "commit", cut)
        with pytest.raises(Cut):
            upgrade(engine)
    assert store.definitions() == []
    upgrade(engine)
    assert revision(engine) == head_revision()


@pytest.mark.parametrize("number", [1, 2, 5, 11, 17, 23, 29, 31, 33, 35, 37])
def test_an_upgrade_that_was_cut_off_before_any_change_goes_on(
    engine: Engine, database: Databases, store: Store, wanted: Engine, number: int
):
    left = number

    def cut(_connection, _cursor, statement: str, *_: object) -> None:
        nonlocal left
        left -= statement.lstrip().upper().startswith(("CREATE", "ALTER", "INSERT", "UPDATE"))
        if left == 0:
            raise Cut

    listen(engine, "before_cursor_execute", cut)
    with pytest.raises(Cut):
        upgrade(engine)
    remove(engine, "before_cursor_execute", cut)
    upgrade(engine)
    assert revision(engine) == head_revision()
    upgrade(wanted)
    assert shape(engine) == shape(wanted)


def test_tables_that_are_there_already_are_no_error(engine: Engine):
    """A step that a database without transactions for tables had done before it was cut off."""
    upgrade(engine)
    with begin(engine, write=True) as opened:
        opened.connection.execute(text("DELETE FROM alembic_version"))
        opened.commit()
    upgrade(engine)
    assert revision(engine) == head_revision()


def test_a_revision_of_a_newer_program_is_told_apart():
    assert known("")
    assert known(head_revision())
    assert not known("9999")
