"""A private MariaDB: made, started, killed and removed by the tests, as root or as anybody.

It is made from the server program and the SQL files that come with it; nothing else of MariaDB need be installed.
Its directory lies on the memory disk where there is one.  It ends with the process that started it, however that
process ends.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pymysql
from pymysql.constants import CLIENT

from tests.kit.certificates import Certificate

HOST = "127.0.0.1"
OWNER = "owner"
"""The account that makes tables in the tests' databases, and may make accounts.  An ordinary one: the server being
read-only binds it."""
PATIENCE = 30.0
_MEMORY_DISK = Path("/dev/shm")
_LONGEST_SOCKET = 107
_SHARES = ("/usr/share/mysql", "/usr/share/mariadb", "/usr/local/share/mysql", "/usr/local/share/mariadb")
# Ends the server and removes its files when whoever holds the other end of stdin is gone without a word.
_WATCH = 'read -r _ && exit; kill -9 "$1" 2>/dev/null; rm -rf "$2"'

Row = tuple[Any, ...]


class MariaDBMissing(Exception):
    """There is no MariaDB server program here."""


@dataclass
class Template:
    """A database that is copied: the statements that make a copy of it, as it is when they run."""

    name: str
    tables: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    triggers: list[str] = field(default_factory=list)
    rights: list[str] = field(default_factory=list)

    @property
    def statements(self) -> list[str]:
        """All of them, in their order."""
        return ["SET foreign_key_checks = 0", *self.tables, *self.rows, *self.triggers, *self.rights]


class MariaDB:
    """One server.  Fast and forgetful, unless it is to be `durable`: then what was committed survives a kill -9.

    `tls` is the certificate that it shows; without one it speaks no TLS.  `room_mb` bounds all it can keep, so that
    a test can fill it.
    """

    def __init__(self, *, durable: bool = False, tls: Certificate | None = None, room_mb: int = 0) -> None:
        program = shutil.which("mariadbd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin:/sbin")
        if program is None:
            raise MariaDBMissing("there is no mariadbd: apt-get install mariadb-server-core")
        self.program = program
        self.place = _place()
        self.socket = self.place / "s"
        self.durable = durable
        self.port = free_port()
        self.passwords = {"root": secrets.token_urlsafe(12), OWNER: secrets.token_urlsafe(12)}
        self._tls = tls is not None
        self.room_mb = room_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._names = 0
        if tls is not None:
            self._keep(tls)
        try:
            self._make()
            self.start()
            self._secure()
        except BaseException:
            self.remove()
            raise

    # ---- the process ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts it, at the same port as before, and waits until it answers."""
        options = [
            f"--socket={self.socket}",
            f"--pid-file={self.place / 'pid'}",
            f"--log-error={self.place / 'log'}",
            f"--bind-address={HOST}",
            f"--port={self.port}",
            "--performance-schema=OFF",
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=48M",
            "--max-connections=500",
        ]
        if self._tls:
            options += [f"--ssl-cert={self.place / 'cert.pem'}", f"--ssl-key={self.place / 'key.pem'}"]
        self._process = subprocess.Popen(
            [*self._command(), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "watch", str(self._process.pid), str(self.place)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the private MariaDB did not start:\n{self.log()[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends it in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a power cut would end it."""
        self._end(signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The server stands still: connections are accepted, nobody is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @property
    def processes(self) -> list[int]:
        """The ids of what it consists of."""
        return [process.pid for process in (self._process, self._watcher) if process is not None]

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def remove(self) -> None:
        """Ends it, and removes all it kept."""
        if self._process is not None:
            self._end(signal.SIGKILL)
        shutil.rmtree(self.place, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def log(self) -> str:
        """What the server wrote into its log."""
        file = self.place / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    # ---- speaking with it -------------------------------------------------------------------------------------------

    def connect(
        self, database: str = "", *, user: str = "root", password: str | None = None, multi: bool = False
    ) -> pymysql.Connection[Any]:
        """A connection by the socket, as the administrator unless told otherwise; every statement commits itself."""
        made = pymysql.connect(
            unix_socket=str(self.socket),
            defer_connect=True,
            user=user,
            password=self.passwords[user] if password is None else password,
            database=database or None,
            charset="utf8mb4",
            autocommit=True,
            ssl_disabled=True,
            client_flag=CLIENT.MULTI_STATEMENTS if multi else 0,
        )
        # PyMySQL leaves a socket open that it could not connect.
        line = socket.socket(socket.AF_UNIX)
        try:
            line.settimeout(PATIENCE)
            line.connect(str(self.socket))
            made.connect(line)
        except BaseException:
            line.close()
            raise
        return made

    def execute(self, sql: str, args: Sequence[object] = (), *, database: str = "", user: str = "root") -> int:
        """Runs one statement and gives the number of rows it touched."""
        with closing(self.connect(database, user=user)) as connection, connection.cursor() as cursor:
            return cursor.execute(sql, args or None)

    def query(self, sql: str, args: Sequence[object] = (), *, database: str = "", user: str = "root") -> list[Row]:
        """Runs one statement and gives its rows."""
        with closing(self.connect(database, user=user)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, args or None)
            return list(cursor.fetchall())

    def run(self, statements: Iterable[str], *, database: str = "") -> None:
        """Runs many statements in one round trip."""
        with closing(self.connect(database, multi=True)) as connection, connection.cursor() as cursor:
            cursor.execute(";\n".join(statements))
            while cursor.nextset():
                pass

    def url(self, database: str, *, user: str = OWNER, host: str = HOST, port: int = 0, by_socket: bool = False) -> str:
        """Where a database is, as the product's settings say it: without a password."""
        if by_socket:
            return f"mariadb+pymysql://{user}@localhost/{database}?unix_socket={self.socket}"
        return f"mariadb+pymysql://{user}@{host}:{port or self.port}/{database}"

    # ---- databases and accounts -------------------------------------------------------------------------------------

    def database(self) -> str:
        """A new, empty database."""
        self._names += 1
        name = f"t_{os.getpid()}_{self._names}"
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
        return name

    def drop(self, database: str) -> None:
        """Drops a database, and the rights that were given on it."""
        tables = ("db", "tables_priv", "columns_priv")
        cleared = [f"DELETE FROM mysql.{table} WHERE Db = '{database}'" for table in tables]
        self.run([f"DROP DATABASE IF EXISTS `{database}`", *cleared, "FLUSH PRIVILEGES"])

    def template(self, database: str) -> Template:
        """Reads what a copy of a database needs."""
        made = Template(database)
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:

            def ask(sql: str) -> list[Row]:
                cursor.execute(sql)
                return list(cursor.fetchall())

            for table, kind in ask("SHOW FULL TABLES"):
                made.tables.append(ask(f"SHOW CREATE {'VIEW' if kind == 'VIEW' else 'TABLE'} `{table}`")[0][1])
                if kind != "VIEW":
                    made.rows.append(f"INSERT INTO `{table}` SELECT * FROM `{database}`.`{table}`")
            made.triggers += [ask(f"SHOW CREATE TRIGGER `{row[0]}`")[0][2] for row in ask("SHOW TRIGGERS")]
        for table in ("db", "tables_priv", "columns_priv"):
            columns = [row[0] for row in self.query(f"SHOW COLUMNS FROM mysql.{table}")]
            read = ", ".join("DATABASE()" if column == "Db" else column for column in columns)
            if self.query(f"SELECT 1 FROM mysql.{table} WHERE Db = %s", [database]):
                made.rights.append(
                    f"REPLACE INTO mysql.{table} SELECT {read} FROM mysql.{table} WHERE Db = '{database}'"
                )
        if made.rights:
            made.rights.append("FLUSH PRIVILEGES")
        return made

    def clone(self, template: Template) -> str:
        """A copy of a database: its tables, rows, triggers, and the rights that were given on it."""
        name = self.database()
        self.run(template.statements, database=name)
        return name

    def account(self, user: str, *grants: str, require: str = "") -> str:
        """Makes an account, with grants as in `SELECT ON t_1.*`; gives its password.  `require` is `SSL`, or nothing."""
        password = self.passwords.setdefault(user, secrets.token_urlsafe(12))
        demand = f" REQUIRE {require}" if require else ""
        self.execute(f"CREATE OR REPLACE USER `{user}`@'%%' IDENTIFIED BY %s{demand}", [password])
        for grant in grants:
            self.execute(f"GRANT {grant} TO `{user}`@'%'")
        return password

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nobody but the administrator may write."""
        self.execute("SET GLOBAL read_only = 1")
        try:
            yield
        finally:
            self.execute("SET GLOBAL read_only = 0")

    def present(self, certificate: Certificate) -> None:
        """Shows another certificate to whoever connects from now on."""
        self._keep(certificate)
        self.execute("FLUSH SSL")

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _keep(self, certificate: Certificate) -> None:
        shutil.copy(certificate.file, self.place / "cert.pem")
        shutil.copy(certificate.key_file, self.place / "key.pem")

    def _command(self) -> list[str]:
        size = f":max:{self.room_mb}M" if self.room_mb else ""
        command = [
            self.program,
            "--no-defaults",
            f"--datadir={self.place / 'data'}",
            f"--tmpdir={self.place}",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-log-file-size=16M",
            "--aria-log-file-size=8M",
            "--innodb-temp-data-file-path=ibtmp1:4M:autoextend",
            # One file for all tables: making and dropping them is several times as fast.
            f"--innodb-data-file-path=ibdata1:8M:autoextend{size}",
            "--skip-innodb-file-per-table",
        ]
        if os.getuid() == 0:
            command.append("--user=root")
        if not self.durable:
            command += ["--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite", "--skip-sync-frm"]
        return command

    def _make(self) -> None:
        (self.place / "data").mkdir(mode=0o700)
        share = next((Path(s) for s in _SHARES if Path(s, "mysql_system_tables.sql").exists()), None)
        if share is None:
            raise MariaDBMissing(
                "mariadbd is there, its mysql_system_tables.sql is not: apt-get install mariadb-server-core"
            )
        script = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n"
        for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql"):
            script += (share / name).read_text(encoding="utf-8")
        done = subprocess.run(
            [*self._command(), "--bootstrap"], input=script.encode(), capture_output=True, timeout=120, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"the private MariaDB could not be made:\n{done.stderr.decode(errors='replace')[-2000:]}"
            )

    def _secure(self) -> None:
        """Takes away the accounts without a password, before anything is kept."""
        with closing(self.connect(password="")) as connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost'")
            cursor.execute("DELETE FROM mysql.proxies_priv")
            cursor.execute("FLUSH PRIVILEGES")
            cursor.execute("SET PASSWORD = PASSWORD(%s)", [self.passwords["root"]])
        self.account(OWNER, r"ALL ON `t\_%`.*", "CREATE USER ON *.*")
        self.execute(rf"GRANT GRANT OPTION ON `t\_%`.* TO `{OWNER}`@'%'")

    def _answers(self) -> bool:
        for password in (self.passwords["root"], ""):
            with suppress(pymysql.err.MySQLError, OSError):
                self.connect(password=password).close()
                return True
        return False

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
            if number is signal.SIGTERM:
                self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)
        if self._watcher is not None and self._watcher.stdin is not None:
            with suppress(BrokenPipeError):
                self._watcher.stdin.write(b"done\n")
                self._watcher.stdin.close()
            self._watcher.wait(PATIENCE)
        self._watcher = None


def free_port() -> int:
    """A port of this machine that nobody listens at, below those that outgoing connections are given."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((HOST, port))
            except OSError:
                continue
            return port


def _place() -> Path:
    for parent in (_MEMORY_DISK, Path(tempfile.gettempdir()), Path("/tmp")):
        if os.access(parent, os.W_OK) and len(str(parent)) + 24 < _LONGEST_SOCKET:
            return Path(tempfile.mkdtemp(prefix="claudetools-db-", dir=parent))
    raise RuntimeError("no place for a private MariaDB: its socket's path would be too long")
