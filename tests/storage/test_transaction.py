"""One commit, and every error of a driver told in our own words."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, text

from domain.errors import ClaudeToolsError, Conflict, NotFound, Unavailable
from storage.transaction import begin
from tests.kit.stores import Store


@pytest.fixture(autouse=True)
def _table(store: Store) -> None:
    store.sql("CREATE TABLE t (k VARCHAR(20) PRIMARY KEY, v TEXT)")


def write(engine: Engine, key: str, *, commit: bool = True, error: Exception | None = None) -> None:
    with begin(engine, write=True) as transaction:
        transaction.connection.execute(text("INSERT INTO t VALUES (:k, 'kanarie-4711')"), {"k": key})
        if error is not None:
            raise error
        if commit:
            transaction.commit()


def keys(engine: Engine) -> list[str]:
    with begin(engine, write=False) as transaction:
        return list(transaction.connection.execute(text("SELECT k FROM t ORDER BY k")).scalars())


def test_nothing_is_kept_without_a_commit(engine: Engine):
    write(engine, "a", commit=False)
    assert keys(engine) == []
    write(engine, "b")
    assert keys(engine) == ["b"]


def test_what_is_raised_inside_rolls_back_and_passes_untouched(engine: Engine):
    mine = NotFound("not here")
    with pytest.raises(NotFound) as refused:
        write(engine, "a", error=mine)
    assert refused.value is mine
    with pytest.raises(KeyError):
        write(engine, "a", error=KeyError("a"))
    assert keys(engine) == []
    write(engine, "a")  # the lock is free again


def test_a_key_that_is_taken_is_a_conflict(engine: Engine):
    write(engine, "a")
    with pytest.raises(Conflict) as refused:
        write(engine, "a")
    assert "kanarie" not in repr(refused.value) + refused.value.message


@pytest.mark.parametrize(
    "statement", ["SELECT * FROM nowhere", "SELECT nothing FROM t", "no sql at all", "INSERT INTO t VALUES (1)"]
)
def test_what_the_database_refuses_is_unavailable_and_shows_no_value(engine: Engine, statement: str):
    with pytest.raises(Unavailable) as refused, begin(engine, write=True) as transaction:
        transaction.connection.execute(text(statement + " -- kanarie-4711"))
    assert refused.value.hint
    assert "kanarie" not in refused.value.message
    assert refused.value.__suppress_context__


def test_a_lock_that_another_process_holds_is_unavailable_for_writers_and_nothing_to_readers(
    engine: Engine, store: Store
):
    write(engine, "a")
    with store.stalled():
        with pytest.raises(Unavailable, match=r"another writer|did not answer in time"):
            write(engine, "b")
        assert keys(engine) == ["a"]
    write(engine, "b")
    assert keys(engine) == ["a", "b"]


def test_writers_of_one_process_take_turns(engine: Engine):
    raised: list[ClaudeToolsError] = []
    start = threading.Barrier(8)

    def run(which: int) -> None:
        start.wait(10)
        for number in range(5):
            try:
                write(engine, f"{which}-{number}")
            except ClaudeToolsError as error:
                raised.append(error)

    threads = [threading.Thread(target=run, args=(which,)) for which in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert raised == []
    assert len(keys(engine)) == 40


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_reader_keeps_seeing_what_it_began_with(engine: Engine):
    write(engine, "a")
    with begin(engine, write=False) as reader:
        query = text("SELECT count(*) FROM t")
        assert reader.connection.execute(query).scalar_one() == 1
        write(engine, "b")
        assert reader.connection.execute(query).scalar_one() == 1
    assert len(keys(engine)) == 2


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
def test_a_reader_on_a_server_sees_what_was_committed_before_each_question(engine: Engine):
    with begin(engine, write=False) as reader:
        query = text("SELECT count(*) FROM t")
        assert reader.connection.execute(query).scalar_one() == 0
        write(engine, "a")
        assert reader.connection.execute(query).scalar_one() == 1
