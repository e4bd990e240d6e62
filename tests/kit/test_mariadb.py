"""The private MariaDB that tests run on."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from pathlib import Path

import pymysql
import pytest

from tests.kit.certificates import Authority
from tests.kit.mariadb import HOST, OWNER, MariaDB

ROOT = Path(__file__).resolve().parents[2]


def test_nobody_comes_in_without_a_password(mariadb):
    for user in ("root", OWNER, "mysql"):
        with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
            pymysql.connect(host=HOST, port=mariadb.port, user=user, password="", ssl_disabled=True)
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        mariadb.connect(user="root", password="")


def test_a_copy_has_the_tables_the_rows_the_triggers_and_the_rights_of_its_original(mariadb):
    original = mariadb.database()
    mariadb.run(
        [
            "CREATE TABLE p (n BIGINT AUTO_INCREMENT PRIMARY KEY, t LONGTEXT, FULLTEXT KEY (t)) ENGINE=InnoDB",
            "CREATE TABLE c (n BIGINT PRIMARY KEY, b LONGBLOB, FOREIGN KEY (n) REFERENCES p (n)) ENGINE=InnoDB",
            "INSERT INTO p (t) VALUES ('hello there; world'), ('née')",
            "INSERT INTO c VALUES (2, 0x00ff)",
            "CREATE TRIGGER never BEFORE DELETE ON c FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'never'",
        ],
        database=original,
    )
    mariadb.account("reader", f"SELECT ON `{original}`.c")
    copy = mariadb.clone(mariadb.template(original))
    mariadb.drop(original)
    assert mariadb.query("SELECT n, t FROM p ORDER BY n", database=copy) == [(1, "hello there; world"), (2, "née")]
    assert mariadb.query("SELECT n FROM p WHERE MATCH (t) AGAINST ('hello')", database=copy) == [(1,)]
    assert mariadb.query("SELECT b FROM c", database=copy, user="reader") == [(b"\x00\xff",)]
    for refused, says in (("SELECT * FROM p", "denied"), ("INSERT INTO c VALUES (1, '')", "denied")):
        with pytest.raises(pymysql.err.OperationalError, match=says):
            mariadb.execute(refused, database=copy, user="reader")
    with pytest.raises(pymysql.err.OperationalError, match="never"):
        mariadb.execute("DELETE FROM c", database=copy, user=OWNER)
    with pytest.raises(pymysql.err.IntegrityError):
        mariadb.execute("INSERT INTO c VALUES (9, '')", database=copy, user=OWNER)
    mariadb.drop(copy)
    assert mariadb.query("SELECT Db FROM mysql.tables_priv WHERE Db IN (%s, %s)", [original, copy]) == []


def test_a_server_that_cannot_be_written_is_so_for_its_owner_and_not_for_ever(mariadb):
    name = mariadb.database()
    with mariadb.read_only(), pytest.raises(pymysql.err.OperationalError, match="read-only"):
        mariadb.execute("CREATE TABLE t (n INT)", database=name, user=OWNER)
    mariadb.execute("CREATE TABLE t (n INT)", database=name, user=OWNER)
    mariadb.drop(name)


def test_a_durable_server_keeps_what_was_committed_through_a_kill_and_listens_where_it_did():
    with MariaDB(durable=True) as server:
        name = server.database()
        server.run(["CREATE TABLE t (n INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO t VALUES (7)"], database=name)
        port = server.port
        server.kill()
        assert not server.running
        server.start()
        assert (server.port, server.query("SELECT n FROM t", database=name)) == (port, [(7,)])
        server.stop()
        server.start()
        assert server.query("SELECT n FROM t", database=name) == [(7,)]
        place = server.place
    assert not place.exists()


def test_a_server_with_bounded_room_can_be_filled():
    with MariaDB(room_mb=16) as server:
        name = server.database()
        server.execute("CREATE TABLE t (n INT PRIMARY KEY, b LONGBLOB) ENGINE=InnoDB", database=name)

        def fill() -> None:
            for number in range(64):
                server.execute("INSERT INTO t VALUES (%s, REPEAT('x', 1000000))", [number], database=name)

        with pytest.raises(pymysql.err.OperationalError, match="full"):
            fill()


def test_a_server_shows_the_certificate_it_is_told_to(tmp_path):
    ours, others = Authority(tmp_path), Authority(tmp_path / "others", "others")
    right = ours.sign()
    wrong = {"other name": ours.sign("db.example.org"), "out of date": ours.sign(days=-1), "other CA": others.sign()}
    with MariaDB(tls=right) as server:

        def dial() -> str:
            trust = ssl.create_default_context(cafile=ours.file)
            with pymysql.connect(
                host=HOST, port=server.port, user=OWNER, password=server.passwords[OWNER], ssl=trust
            ) as connection:
                return str(connection._sock.version())

        assert dial().startswith("TLS")
        for certificate in wrong.values():
            server.present(certificate)
            with pytest.raises(pymysql.err.OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
                dial()
        server.present(right)
        assert dial().startswith("TLS")


def test_a_server_ends_with_the_process_that_started_it_however_that_ends():
    code = (
        "import os; from tests.kit.mariadb import MariaDB; server = MariaDB();"
        "print(server._process.pid, server.place, flush=True); os.kill(os.getpid(), 9)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    pid, place = int(said.split()[0]), Path(said.split()[1])
    until = time.monotonic() + 20
    while (alive(pid) or place.exists()) and time.monotonic() < until:
        time.sleep(0.02)
    assert not place.exists()
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
