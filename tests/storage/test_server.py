"""A database server behind an unreliable line: limits, proofs, and transactions that cost no round trip too many."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from domain.errors import Unavailable
from storage.address import Address, parse_address
from storage.context import Context
from storage.dial import server_certificate
from storage.engine import clock_of, open_engine
from storage.schema import CONTEXT_TERMS_MARIADB
from storage.transaction import begin
from tests.kit.certificates import Authority
from tests.kit.mariadb import HOST, OWNER, MariaDB
from tests.kit.proxy import Proxy

DAY_US = 86_400_000_000


@pytest.fixture
def name(mariadb: MariaDB) -> Iterator[str]:
    made = mariadb.database()
    mariadb.execute("CREATE TABLE t (k VARCHAR(20) PRIMARY KEY, v INT) ENGINE=InnoDB", database=made)
    yield made
    mariadb.drop(made)


@pytest.fixture
def proxy(mariadb: MariaDB) -> Iterator[Proxy]:
    with Proxy(mariadb.port) as made:
        yield made


def at(server: MariaDB, name: str, port: int, options: str = "") -> Address:
    found = parse_address(f"mariadb://{OWNER}@{HOST}:{port}/{name}{options}", base="/")
    return found.changed(password=server.passwords[OWNER])


@pytest.fixture
def engine(mariadb: MariaDB, proxy: Proxy, name: str) -> Iterator[Engine]:
    made = open_engine(at(mariadb, name, proxy.port))
    yield made
    made.dispose()


def write(engine: Engine, key: str, *, last: bool = False) -> None:
    with begin(engine, write=True) as transaction:
        put = text("INSERT INTO t VALUES (:k, 0)")
        if last:
            with transaction.last_write():
                transaction.connection.execute(put, {"k": key})
        else:
            transaction.connection.execute(put, {"k": key})
        transaction.commit()


def keys(engine: Engine) -> list[str]:
    with begin(engine, write=False) as transaction:
        return list(transaction.connection.execute(text("SELECT k FROM t ORDER BY k")).scalars())


def counted(engine: Engine, what: str) -> int:
    """How often this connection (a pool gives the same one out again) has sent such a statement."""
    with begin(engine, write=False) as transaction:
        return int(transaction.connection.execute(text(f"SHOW SESSION STATUS LIKE '{what}'")).one()[1])


# ---- what a unit of work sends --------------------------------------------------------------------------------------


def test_reading_begins_no_transaction(engine: Engine):
    before = counted(engine, "Com_begin"), counted(engine, "Com_commit"), counted(engine, "Com_rollback")
    keys(engine)
    keys(engine)
    assert (counted(engine, "Com_begin"), counted(engine, "Com_commit"), counted(engine, "Com_rollback")) == before


def test_a_unit_that_writes_nothing_begins_no_transaction(engine: Engine):
    before = counted(engine, "Com_begin")
    with begin(engine, write=True) as transaction:
        transaction.connection.execute(text("SELECT 1"))
        transaction.commit()
    assert counted(engine, "Com_begin") == before


def test_the_last_write_alone_is_sent_and_committed_in_one(engine: Engine):
    before = counted(engine, "Com_begin"), counted(engine, "Com_commit")
    write(engine, "a", last=True)
    assert (counted(engine, "Com_begin"), counted(engine, "Com_commit")) == before
    assert keys(engine) == ["a"]


def test_the_last_write_after_another_is_committed_with_it_or_not_at_all(engine: Engine):
    for commit in (False, True):
        with begin(engine, write=True) as transaction:
            transaction.connection.execute(text("INSERT INTO t VALUES ('a', 1)"))
            with transaction.last_write():
                transaction.connection.execute(text("INSERT INTO t VALUES ('b', 1)"))
            if commit:
                transaction.commit()
        assert keys(engine) == (["a", "b"] if commit else [])


def test_a_row_read_for_update_is_locked_until_the_commit(engine: Engine):
    write(engine, "a")
    with begin(engine, write=True) as first:
        first.connection.execute(text("SELECT * FROM t WHERE k = 'a' FOR UPDATE"))
        with pytest.raises(Unavailable) as refused, begin(engine, write=True) as second:
            second.connection.execute(text("UPDATE t SET v = 2 WHERE k = 'a'"))
        assert refused.value.again
        first.commit()


def test_who_loses_a_deadlock_is_told_that_the_same_may_be_done_again(engine: Engine):
    write(engine, "a")
    write(engine, "b")
    both = threading.Barrier(2)
    lost: list[Unavailable] = []

    def change(one: str, other: str) -> None:
        try:
            with begin(engine, write=True) as transaction:
                transaction.connection.execute(text("UPDATE t SET v = v + 1 WHERE k = :k"), {"k": one})
                both.wait(20)
                transaction.connection.execute(text("UPDATE t SET v = v + 1 WHERE k = :k"), {"k": other})
                transaction.commit()
        except Unavailable as error:
            lost.append(error)

    threads = [threading.Thread(target=change, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [error.again for error in lost] == [True]


def test_a_text_that_is_too_long_is_refused_and_not_cut(engine: Engine):
    with pytest.raises(Exception, match="longer") as refused:
        write(engine, "k" * 21)
    assert "kkk" not in str(refused.value)
    assert keys(engine) == []


# ---- the line -------------------------------------------------------------------------------------------------------


def test_a_connection_that_died_while_nobody_used_it_is_dialled_anew_unseen(engine: Engine, proxy: Proxy):
    write(engine, "a")
    proxy.break_all()
    assert keys(engine) == ["a"]
    proxy.break_all()
    write(engine, "b")
    assert keys(engine) == ["a", "b"]


def test_a_session_that_was_dialled_anew_is_set_up_like_the_first(engine: Engine, proxy: Proxy):
    asked = text("SELECT @@tx_isolation, @@time_zone, @@collation_connection, @@sql_mode, @@innodb_lock_wait_timeout")

    def session() -> list[object]:
        with begin(engine, write=False) as transaction:
            return list(transaction.connection.execute(asked).one())

    before = session()
    assert before[:3] == ["READ-COMMITTED", "+00:00", "utf8mb4_nopad_bin"]
    proxy.break_all()
    assert session() == before


def test_a_connection_that_dies_inside_a_unit_ends_it_and_nothing_of_it_stays(engine: Engine, proxy: Proxy):
    def unit() -> None:
        with begin(engine, write=True) as transaction:
            transaction.connection.execute(text("INSERT INTO t VALUES ('a', 1)"))
            proxy.break_all()
            transaction.connection.execute(text("SELECT 1"))

    with pytest.raises(Unavailable):
        unit()
    assert keys(engine) == []


@pytest.mark.parametrize("trouble", ["refuse", "fall_silent", "swallow"])
def test_a_server_that_is_away_is_unavailable_and_is_there_again_by_itself(engine: Engine, proxy: Proxy, trouble: str):
    write(engine, "a")
    getattr(proxy, trouble)()
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            keys(engine)
        assert refused.value.hint
    proxy.pass_on()
    assert keys(engine) == ["a"]


def test_a_statement_whose_answer_was_lost_is_not_sent_twice(engine: Engine, proxy: Proxy):
    keys(engine)
    cut = proxy.cut("INSERT INTO t", "after")
    with pytest.raises(Unavailable):
        write(engine, "a", last=True)
    cut.wait()
    assert keys(engine) == ["a"]


def test_a_commit_whose_answer_was_lost_is_unavailable_and_not_a_success(engine: Engine, proxy: Proxy):
    keys(engine)
    cut = proxy.cut("COMMIT", "before")
    with pytest.raises(Unavailable):
        write(engine, "a")
    cut.wait()
    assert keys(engine) == []


def test_a_name_that_nobody_answers_for_is_unavailable(mariadb: MariaDB, name: str):
    address = at(mariadb, name, mariadb.port).changed(host="nowhere.invalid")
    with pytest.raises(Unavailable, match="cannot be reached"):
        keys(open_engine(address))


def test_a_wrong_password_is_told_without_it(mariadb: MariaDB, name: str):
    address = at(mariadb, name, mariadb.port).changed(password="kanarie-4711")
    with pytest.raises(Unavailable, match="refuses this account") as refused:
        keys(open_engine(address))
    assert "kanarie" not in repr(refused.value) + str(refused.value.__context__)


def test_a_password_file_that_is_missing_is_named(mariadb: MariaDB, name: str, tmp_path: Path):
    address = at(mariadb, name, mariadb.port).changed(password="", password_file=str(tmp_path / "gone"))
    with pytest.raises(Unavailable, match="gone"):
        keys(open_engine(address))


# ---- who the server is ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def encrypted(authority: Authority) -> Iterator[MariaDB]:
    with MariaDB(tls=authority.sign()) as server:
        yield server


@pytest.fixture
def vault(encrypted: MariaDB) -> str:
    return encrypted.database()


def reached(address: Address) -> str:
    engine = open_engine(address)
    try:
        with begin(engine, write=False) as transaction:
            return str(transaction.connection.execute(text("SHOW STATUS LIKE 'Ssl_version'")).one()[1])
    finally:
        engine.dispose()


def test_a_server_with_a_certificate_of_the_named_authority_is_taken(
    encrypted: MariaDB, vault: str, authority: Authority
):
    assert reached(at(encrypted, vault, encrypted.port, f"?tls_ca={authority.file}")).startswith("TLS")


def test_a_server_with_the_pinned_certificate_is_taken(encrypted: MariaDB, vault: str):
    shown = server_certificate(at(encrypted, vault, encrypted.port, "?tls=on"))
    assert reached(at(encrypted, vault, encrypted.port, f"?tls_fingerprint={shown}")).startswith("TLS")


def test_another_certificate_authority_or_name_is_refused(
    encrypted: MariaDB, vault: str, authority: Authority, tmp_path: Path
):
    wrong = [
        "?tls=on",  # none of the system's authorities
        f"?tls_fingerprint={'ab' * 32}",
        f"?tls_ca={Authority(tmp_path, 'another').file}",
    ]
    for options in wrong:
        with pytest.raises(Unavailable, match="certificate"):
            reached(at(encrypted, vault, encrypted.port, options))
    try:
        encrypted.present(authority.sign("elsewhere.example.org"))
        with pytest.raises(Unavailable, match="certificate"):
            reached(at(encrypted, vault, encrypted.port, f"?tls_ca={authority.file}"))
    finally:
        encrypted.present(authority.sign())


def test_a_server_that_offers_no_encryption_is_refused_where_it_is_asked_for(mariadb: MariaDB, name: str):
    with pytest.raises(Unavailable, match="encrypted"):
        reached(at(mariadb, name, mariadb.port, "?tls=on"))
    assert server_certificate(at(mariadb, name, mariadb.port, "?tls=on")) == ""


# ---- its clock ------------------------------------------------------------------------------------------------------


def test_the_time_is_the_servers_whatever_this_machines_clock_says(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    right = time.time_ns
    keys(engine)
    monkeypatch.setattr(time, "time_ns", lambda: right() + 1000 * DAY_US)
    assert abs(clock_of(engine)() - right() // 1000) < DAY_US // 24


def test_an_index_that_the_server_could_not_write_anew_is_told(engine: Engine, mariadb: MariaDB, name: str):
    """The server answers OPTIMIZE with rows, among them its errors."""
    mariadb.execute(CONTEXT_TERMS_MARIADB, database=name)
    with closing(mariadb.connect(name)) as other, engine.connect() as connection:
        other.autocommit(False)
        other.cursor().execute("SELECT * FROM context_terms")  # who reads keeps the table from being written anew
        connection.exec_driver_sql("SET SESSION lock_wait_timeout = 0")
        with pytest.raises(Unavailable) as refused:
            Context(connection).tidy_index()
        assert refused.value.hint
        other.rollback()
        Context(connection).tidy_index()
