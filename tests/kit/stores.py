"""What lies behind the product, of either kind, as the administrator of the database sees it.

databases   where new installations keep their vault: the fixture `database` gives one of them
Store       the database of one installation: its rows, and ways to damage, stall and lose it
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pymysql

from domain.plain import Plain
from tests.kit.mariadb import OWNER, MariaDB, Template

FILE = "claudetools.db"
_SQL_MODE = "ANSI_QUOTES,PIPES_AS_CONCAT"  # the SQL of these tests is SQLite's; values of other types are coerced
_WRITTEN = ("number", "at_us", "opened_us", "recorded_us", "created_us", "seq")
"""Columns that tell in which order rows were written, where a table has no row numbers."""
_servers: dict[int, MariaDB] = {}
_copies: list[tuple[MariaDB, str]] = []
_templates: dict[str, Template] = {}


class Store(Protocol):
    """One database."""

    kind: str

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Runs a statement in SQLite's words, with `?` for the values; gives the rows."""

    def tables(self) -> list[str]:
        """The names of its tables."""

    def definitions(self) -> list[str]:
        """What made its tables, indexes and triggers."""

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every row of a table, in the order in which they were written as far as the table tells."""

    def put(self, table: str, *rows: dict[str, Any]) -> None:
        """Writes rows over those with the same keys."""

    def disarm(self) -> None:
        """Takes the triggers away that refuse changes of the audit log, as an administrator would."""

    def contents(self) -> bytes:
        """Everything it keeps."""

    def keep(self) -> object:
        """A copy of the whole database, for `put_back`."""

    def put_back(self, kept: Any) -> None:
        """Makes it what it was."""

    def remove(self) -> None:
        """Loses it, under whoever has it open."""

    def exists(self) -> bool:
        """Whether it is there."""

    def spoil(self) -> None:
        """Leaves something in its place that is no vault."""

    def stalled(self) -> Any:
        """Somebody else has begun to write, and does not end: a context."""

    @contextmanager
    def damaged(self, table: str, key: dict[str, object], column: str, value: object) -> Iterator[bool]:
        """Changes one cell, and puts it back.  Gives whether the database took the change for one."""
        yield False


def store_of(home: Path) -> Store:
    """The database of an installation."""
    named = str(json.loads((home / "settings.json").read_text())["database"])
    if "://" not in named:
        return SQLiteStore(home / named)
    where, _, name = named.partition("?")[0].rpartition("/")
    return MariaDBStore(_servers[int(where.rpartition(":")[2])], name)


def copy_home(source: Path, target: Path, server: MariaDB | None = None) -> Path:
    """A copy of an installation that nobody has open, with a database of its own, if need be on another server."""
    shutil.copytree(source, target, symlinks=True)
    if (target / "settings.json").exists():
        copy_database(store_of(source), target, server)
    return target


def copy_database(store: Store, home: Path, server: MariaDB | None = None) -> None:
    """Copies a database for a copy of its installation, and lets that one's settings speak of it."""
    if not isinstance(store, MariaDBStore):
        return
    server = server or store.server
    name = store.copy() if server is store.server else store.copy_to(server)
    settings = json.loads((home / "settings.json").read_text())
    if server is store.server:
        settings["database"] = re.sub(rf"/{store.name}(?=$|\?)", f"/{name}", settings["database"])
    else:  # which has not the accounts of the vault
        settings |= {"database": server.url(name), "hooks_account": ""}
        known(server)
        keep_password(home, server.passwords[OWNER])
    (home / "settings.json").write_text(json.dumps(settings))
    hooks = home / "hooks.json"
    if hooks.exists() and isinstance((said := json.loads(hooks.read_text())).get("database"), dict):
        said["database"] |= {"name": name, "port": server.port}
        hooks.write_text(json.dumps(said))


def known(server: MariaDB) -> None:
    """From now on installations whose database lies there are found."""
    _servers[server.port] = server


@contextmanager
def dropped_after() -> Iterator[None]:
    """Databases that are made inside are dropped afterwards."""
    before = len(_copies)
    yield
    while len(_copies) > before:
        server, name = _copies.pop()
        _templates.pop(name, None)
        if server.running:
            server.drop(name)


# ---- where new installations keep their vault ---------------------------------------------------------------------------


class OnSQLite:
    """New installations have a file of their own."""

    kind = "sqlite"

    def asked(self) -> dict[str, Any]:
        """What a setup is asked for besides: arguments of `Wanted`."""
        return {}

    def options(self, _place: Path) -> tuple[str, ...]:
        """The same as options of `claudetools init`; a password goes into a file in `place`."""
        return ()


class OnMariaDB:
    """New installations have a database on one server."""

    kind = "mariadb"

    def __init__(self, server: MariaDB) -> None:
        self.server = server
        known(server)

    def asked(self) -> dict[str, Any]:
        """What a setup is asked for besides, for a new and empty database: arguments of `Wanted`."""
        return {"database": self.server.url(self.make()), "database_password": Plain(self.server.passwords[OWNER])}

    def options(self, place: Path) -> tuple[str, ...]:
        """The same as options of `claudetools init`; a password goes into a file in `place`."""
        file = place / "database-password"
        file.touch(mode=0o600)
        file.write_text(self.server.passwords[OWNER] + "\n")
        return ("--database", self.server.url(self.make()), "--database-password-file", str(file))

    def make(self) -> str:
        """An empty database that is dropped after the test; gives its name."""
        name = self.server.database()
        _copies.append((self.server, name))
        return name


def keep_password(home: Path, password: str) -> None:
    """Leaves the password of the database's account where the installation looks for it."""
    for place in (home, home / "keys"):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = home / "keys" / "database.password"
    file.touch(mode=0o600)
    file.write_text(password + "\n")


Databases = OnSQLite | OnMariaDB


# ---- SQLite -------------------------------------------------------------------------------------------------------------


class SQLiteStore:
    """A file."""

    kind = "sqlite"

    def __init__(self, file: Path) -> None:
        self.file = file

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        if _changes_the_log(statement):
            self.disarm()
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    def tables(self) -> list[str]:
        return [name for (name,) in self.sql("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]

    def definitions(self) -> list[str]:
        return [sql for (sql,) in self.sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")]

    def rows(self, table: str) -> list[dict[str, Any]]:
        order = (
            "" if "fts5" in str(self.sql("SELECT sql FROM sqlite_master WHERE name = ?", table)) else "ORDER BY rowid"
        )
        with closing(sqlite3.connect(self.file)) as connection:
            connection.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in connection.execute(f"SELECT * FROM {table} {order}")]
            except sqlite3.OperationalError:  # a table without row numbers
                return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]

    def put(self, table: str, *rows: dict[str, Any]) -> None:
        if table.startswith("audit_"):
            self.disarm()
        for row in rows:
            names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
            self.sql(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", *row.values())

    def disarm(self) -> None:
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.execute(f'DROP TRIGGER "{name}"')

    def contents(self) -> bytes:
        return b"\n".join(file.read_bytes() for file in self._files())

    def keep(self) -> object:
        with closing(sqlite3.connect(self.file)) as connection:
            return connection.serialize()

    def put_back(self, kept: Any) -> None:
        self.remove()
        self.file.write_bytes(kept)
        self.file.chmod(0o600)

    def remove(self) -> None:
        for file in self._files():
            file.unlink()

    def exists(self) -> bool:
        return self.file.exists()

    def spoil(self) -> None:
        self.remove()
        self.file.write_bytes(b"not a database" * 200)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.file, isolation_level=None, check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                other.execute("ROLLBACK")

    @contextmanager
    def damaged(self, table: str, key: dict[str, object], column: str, value: object) -> Iterator[bool]:
        if table.startswith("audit_"):
            self.disarm()
        where = " AND ".join(f'"{name}" = ?' for name in key)
        (before,) = self.sql(f'SELECT rowid, "{column}" FROM {table} WHERE {where}', *key.values())
        mark = "CAST(? AS TEXT)" if isinstance(value, Raw) else "?"
        self.sql(f'UPDATE {table} SET "{column}" = {mark} WHERE rowid = ?', value, before[0])
        try:
            yield True
        finally:
            self.sql(f'UPDATE {table} SET "{column}" = ? WHERE rowid = ?', before[1], before[0])

    def _files(self) -> list[Path]:
        return sorted(self.file.parent.glob(f"{self.file.name}*"))


class Raw(bytes):
    """Bytes that are to be stored as text."""


# ---- MariaDB ------------------------------------------------------------------------------------------------------------


class MariaDBStore:
    """A database on a server of the tests."""

    kind = "mariadb"

    def __init__(self, server: MariaDB, name: str) -> None:
        self.server = server
        self.name = name

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        if _changes_the_log(statement):
            self.disarm()
        return self._run(statement, values)

    def tables(self) -> list[str]:
        return sorted(name for (name,) in self._run("SHOW TABLES"))

    def definitions(self) -> list[str]:
        tables = [self._run(f"SHOW CREATE TABLE {table}")[0][1] for table in self.tables()]
        return tables + [" ".join(map(str, row[:5])) for row in self._run("SHOW TRIGGERS")]

    def rows(self, table: str) -> list[dict[str, Any]]:
        columns = [row[0] for row in self._run(f"SHOW COLUMNS FROM {table}")]
        keys = [row[4] for row in self._run(f"SHOW INDEX FROM {table} WHERE Key_name = 'PRIMARY'")]
        order = ", ".join(dict.fromkeys([name for name in _WRITTEN if name in columns][:1] + keys))
        rows = self._run(f"SELECT * FROM {table}" + (f" ORDER BY {order}" if order else ""))
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def put(self, table: str, *rows: dict[str, Any]) -> None:
        if table.startswith("audit_"):
            self.disarm()
        for row in rows:
            names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
            self._run(f"REPLACE INTO {table} ({names}) VALUES ({marks})", list(row.values()))

    def disarm(self) -> None:
        for row in self._run("SHOW TRIGGERS"):
            self._run(f'DROP TRIGGER "{row[0]}"')

    def contents(self) -> bytes:
        parts: list[bytes] = []
        for table in self.tables():
            for row in self.rows(table):
                parts += [cell if isinstance(cell, bytes) else str(cell).encode() for cell in row.values()]
        return b"\n".join(parts)

    def keep(self) -> object:
        return self.copy()

    def put_back(self, kept: Any) -> None:
        template = self.server.template(kept)
        self.server.execute(f"DROP DATABASE IF EXISTS `{self.name}`")
        self.server.execute(f"CREATE DATABASE `{self.name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
        self.server.run(template.statements, database=self.name)

    def copy(self) -> str:
        """A copy on the same server; gives its name."""
        if self.name not in _templates:
            _templates[self.name] = self.server.template(self.name)
        name = self.server.clone(_templates[self.name])
        _copies.append((self.server, name))
        return name

    def copy_to(self, server: MariaDB) -> str:
        """A copy on another server, without rights; gives its name."""
        template, other = self.server.template(self.name), MariaDBStore(server, server.database())
        server.run(["SET foreign_key_checks = 0", *template.tables], database=other.name)
        for table in self.tables():
            other.put(table, *self.rows(table))
        for trigger in template.triggers:  # their words hold semicolons or none; one at a time is safe
            server.execute(trigger, database=other.name)
        return other.name

    def remove(self) -> None:
        self.server.execute(f"DROP DATABASE `{self.name}`")

    def exists(self) -> bool:
        return bool(self.server.query("SHOW DATABASES LIKE %s", [self.name]))

    def spoil(self) -> None:
        for table in self.tables():
            self._run(f"DROP TABLE {table}")

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Tables that another session has locked: they can be read, and who writes waits."""
        with closing(self.server.connect(self.name)) as other, other.cursor() as cursor:
            cursor.execute("LOCK TABLES " + ", ".join(f"`{table}` READ" for table in self.tables()))
            try:
                yield
            finally:
                cursor.execute("UNLOCK TABLES")

    @contextmanager
    def damaged(self, table: str, key: dict[str, object], column: str, value: object) -> Iterator[bool]:
        if table.startswith("audit_"):
            self.disarm()
        before = self._run(f"SELECT * FROM {table}")
        where = " AND ".join(f'"{name}" = ?' for name in key)
        try:
            self._run(f'UPDATE {table} SET "{column}" = ? WHERE {where}', [value, *key.values()])
            yield sorted(map(repr, self._run(f"SELECT * FROM {table}"))) != sorted(map(repr, before))
        except pymysql.err.IntegrityError:  # another row has that key
            yield False
        finally:
            marks = ", ".join("?" * len(before[0]))
            self._run(f"DELETE FROM {table}")
            for row in before:
                self._run(f"INSERT INTO {table} VALUES ({marks})", row)

    def _run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        given = [bytes(value) if isinstance(value, bytes) else value for value in values]
        with closing(self.server.connect(self.name)) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"SET SESSION sql_mode = '{_SQL_MODE}', lock_wait_timeout = 20, innodb_lock_wait_timeout = 20"
            )
            cursor.execute(statement.replace("%", "%%").replace("?", "%s") if given else statement, given or None)
            return list(cursor.fetchall())


def _changes_the_log(statement: str) -> bool:
    return statement.split(None, 1)[0].upper() in ("UPDATE", "DELETE") and "audit_" in statement
