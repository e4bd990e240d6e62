"""Migrations: repeatable, whole or not at all, and what they make is what the schema says."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from storage import transaction
from storage.engine import open_engine
from storage.migrations import current_revision, head_revision, known, upgrade
from storage.schema import CONTEXT_TERMS_SQLITE, metadata
from storage.transaction import begin


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    (tmp_path / "db").touch()
    made = open_engine(tmp_path / "db")
    yield made
    made.dispose()


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


def test_what_the_migrations_make_is_what_the_schema_says(engine: Engine, tmp_path: Path):
    upgrade(engine)
    wanted = create_engine(f"sqlite:///{tmp_path / 'wanted'}")
    metadata.create_all(wanted)
    assert shape(engine) == shape(wanted)
    wanted.dispose()
    with engine.connect() as connection:
        (made,) = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'context_terms'")).scalars()
    assert "".join(made.split()) == "".join(CONTEXT_TERMS_SQLITE.replace(" IF NOT EXISTS", "").split())


def test_a_second_upgrade_changes_nothing(engine: Engine, tmp_path: Path):
    upgrade(engine)
    before = list(sqlite3_dump(tmp_path / "db"))
    upgrade(engine)
    assert list(sqlite3_dump(tmp_path / "db")) == before


def sqlite3_dump(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


class Cut(BaseException):
    """The power went."""


def test_an_upgrade_that_was_cut_off_left_nothing_and_goes_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def cut(self: object) -> None:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(transaction.Transaction, "commit", cut)
        with pytest.raises(Cut):
            upgrade(engine)
    assert [line for line in sqlite3_dump(tmp_path / "db") if "CREATE" in line] == []
    upgrade(engine)
    assert revision(engine) == head_revision()


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
