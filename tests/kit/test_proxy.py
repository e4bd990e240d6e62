"""The proxy misbehaves exactly as it is told."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pymysql
import pytest

from tests.kit.mariadb import HOST, OWNER, MariaDB
from tests.kit.proxy import Proxy


@pytest.fixture
def proxy(mariadb: MariaDB) -> Iterator[Proxy]:
    with Proxy(mariadb.port) as made:
        yield made


@pytest.fixture
def database(mariadb: MariaDB) -> Iterator[str]:
    name = mariadb.database()
    mariadb.execute("CREATE TABLE t (n INT PRIMARY KEY) ENGINE=InnoDB", database=name)
    yield name
    mariadb.drop(name)


@pytest.fixture
def connection(mariadb: MariaDB, proxy: Proxy, database: str) -> Iterator[pymysql.Connection]:
    made = dial(mariadb, proxy.port, database)
    yield made
    if made.open:
        made._force_close()


def dial(server: MariaDB, port: int, database: str, seconds: float = 20) -> pymysql.Connection:
    return pymysql.connect(
        host=HOST,
        port=port,
        user=OWNER,
        password=server.passwords[OWNER],
        database=database,
        ssl_disabled=True,
        connect_timeout=seconds,
        read_timeout=seconds,
    )


def ask(connection: pymysql.Connection, sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def count(server: MariaDB, database: str) -> int:
    return server.query("SELECT COUNT(*) FROM t", database=database)[0][0]


def test_what_is_said_passes_both_ways(connection):
    assert ask(connection, "SELECT 6 * 7") == ((42,),)
    assert ask(connection, "SELECT REPEAT('x', 300000)") == (("x" * 300000,),)


def test_a_closed_port_refuses_and_breaks_what_stood_until_it_opens_again(mariadb, proxy, database, connection):
    proxy.refuse()
    with pytest.raises(pymysql.err.OperationalError):
        ask(connection, "SELECT 1")
    with pytest.raises(pymysql.err.OperationalError, match="refused"):
        dial(mariadb, proxy.port, database)
    proxy.pass_on()
    with dial(mariadb, proxy.port, database) as again:
        assert ask(again, "SELECT 1") == ((1,),)


def test_a_silent_line_answers_nobody_until_it_speaks_again(mariadb, proxy, database, connection):
    proxy.fall_silent()
    connection._read_timeout = 0.2
    with pytest.raises(pymysql.err.OperationalError, match="timed out"):
        ask(connection, "SELECT 1")
    with pytest.raises(pymysql.err.OperationalError, match="timed out"):
        dial(mariadb, proxy.port, database, seconds=0.2)
    proxy.pass_on()
    with dial(mariadb, proxy.port, database) as again:
        assert ask(again, "SELECT 1") == ((1,),)


def test_what_a_silent_line_held_back_arrives_when_it_speaks_again(proxy, connection):
    proxy.fall_silent()
    connection._execute_command(3, "SELECT 5")
    proxy.pass_on()
    connection._read_query_result()
    assert connection._result.rows == ((5,),)


def test_a_swallowed_caller_is_not_even_connected(mariadb, proxy, database):
    proxy.swallow()
    with socket.socket() as caller:
        caller.settimeout(0.3)
        with pytest.raises(TimeoutError):
            caller.connect((HOST, proxy.port))
    proxy.pass_on()
    with dial(mariadb, proxy.port, database) as again:
        assert ask(again, "SELECT 1") == ((1,),)


def test_a_delayed_line_gives_whole_answers(mariadb, proxy, database):
    proxy.delay(30)
    with dial(mariadb, proxy.port, database) as far:
        assert ask(far, "SELECT REPEAT('x', 300000)") == (("x" * 300000,),)


@pytest.mark.parametrize(("where", "kept"), [("after", 1), ("before", 0), ("within", 0)])
def test_a_commit_that_is_cut_was_done_only_where_the_server_had_seen_all_of_it(
    mariadb, proxy, database, connection, where, kept
):
    cut = proxy.cut("COMMIT", where, keep=3)
    ask(connection, "INSERT INTO t VALUES (1)")
    with pytest.raises(pymysql.err.OperationalError):
        connection.commit()
    cut.wait()
    assert count(mariadb, database) == kept


def test_a_cut_hits_one_statement_and_then_the_line_is_whole(mariadb, proxy, database, connection):
    cut = proxy.cut("INSERT", "after")
    assert ask(connection, "SELECT 1") == ((1,),)
    with pytest.raises(pymysql.err.OperationalError):
        ask(connection, "INSERT INTO t VALUES (1)")
    cut.wait()
    with dial(mariadb, proxy.port, database) as again:
        ask(again, "INSERT INTO t VALUES (2)")
        again.commit()
    assert mariadb.query("SELECT n FROM t", database=database) == [(2,)]


def test_broken_connections_are_gone_and_new_ones_pass(mariadb, proxy, database, connection):
    proxy.break_all()
    with pytest.raises(pymysql.err.OperationalError):
        ask(connection, "SELECT 1")
    with dial(mariadb, proxy.port, database) as again:
        assert ask(again, "SELECT 1") == ((1,),)
    assert proxy.accepted == 2
