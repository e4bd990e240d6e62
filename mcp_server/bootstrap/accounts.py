"""Database accounts: one for the program, which cannot change the audit log, and one for the hooks, which reads two tables.

The account that a set up is given (the owner) makes tables and is not kept.  Where it may not make accounts, the SQL for
the server's administrator is told, and the program goes on with the account it was given.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.errors import ClaudeToolsError
from domain.plain import Plain
from mcp_server.bootstrap.reaching import connect, knock
from storage.schema import metadata

if TYPE_CHECKING:
    from storage.address import Address
    from storage.dial import Line

APPEND_ONLY = ("audit_chains", "audit_entries")
OWNERS = ("alembic_version", "compatibility")
"""Tables that only an upgrade changes; `compatibility` gets its one row with the vault."""
HOOKS_READ = ("context_records", "context_frequencies")
HOOKS_MACHINES = "machine_id, state"
_WIDE = ("DROP", "ALTER", "CREATE", "TRIGGER", "GRANT OPTION", "SUPER", "FILE", "CREATE USER", "ALL PRIVILEGES")
_CHANGES = ("UPDATE", "DELETE", "ALL PRIVILEGES", "DROP")
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Accounts:
    """The two accounts, by name."""

    application: str
    hooks: str


def names_for(database: str) -> Accounts:
    """What the two accounts of a database are called."""
    return Accounts(f"{database}_app"[:_LONGEST_NAME], f"{database}_hooks"[:_LONGEST_NAME])


def grants(database: str, accounts: Accounts) -> Iterator[str]:
    """The statements that give both accounts their rights; repeatable."""
    for table in (*sorted(metadata.tables), "context_terms", "alembic_version"):
        rights = "SELECT, INSERT, UPDATE, DELETE"
        if table in APPEND_ONLY or table == "compatibility":
            rights = "SELECT, INSERT"
        elif table == "alembic_version":
            rights = "SELECT"
        yield f"GRANT {rights} ON {_quoted(database)}.{_quoted(table)} TO {_who(accounts.application)}"
    for table in HOOKS_READ:
        yield f"GRANT SELECT ON {_quoted(database)}.{_quoted(table)} TO {_who(accounts.hooks)}"
    yield f"GRANT SELECT ({HOOKS_MACHINES}) ON {_quoted(database)}.`machines` TO {_who(accounts.hooks)}"


def script(database: str, accounts: Accounts | None = None) -> str:
    """The same for the server's administrator, to be run once the tables are there; the passwords are to be filled in."""
    accounts = accounts or names_for(database)
    lines = ["-- Choose two passwords and put them in the place of '...'; run this once the tables are there."]
    lines += [
        f"CREATE USER IF NOT EXISTS {_who(name)} IDENTIFIED BY '...';"
        for name in (accounts.application, accounts.hooks)
    ]
    lines += [f"{statement};" for statement in grants(database, accounts)]
    return "\n".join(lines)


def make(owner: Address) -> tuple[Accounts, Plain, Plain]:
    """Makes both accounts with new passwords, or gives accounts of those names new ones.

    Raises Denied through the driver's refusal as ClaudeToolsError where the owner may not.
    """
    accounts = names_for(owner.name)
    passwords = Plain(new_password()), Plain(new_password())
    with closing(connect(owner)) as line:
        for name, password in zip((accounts.application, accounts.hooks), passwords, strict=True):
            _run(line, f"CREATE USER IF NOT EXISTS {_who(name)}")
            _run(line, f"ALTER USER {_who(name)} IDENTIFIED BY {_text(password)}")
        for statement in grants(owner.name, accounts):
            _run(line, statement)
    return accounts, *passwords


def give_rights(owner: Address, accounts: Accounts) -> None:
    """Gives both accounts their rights on the tables that are there now.  Raises Refused."""
    with closing(connect(owner)) as line:
        for statement in grants(owner.name, accounts):
            _run(line, statement)


class Refused(Exception):
    """The account may not do that; `code` is the server's number."""

    def __init__(self, code: int) -> None:
        super().__init__(f"error {code}")
        self.code = code


def _run(line: Line, statement: str) -> None:
    import pymysql.err

    with closing(line.cursor()) as cursor:
        try:
            cursor.execute(statement)
        except pymysql.err.MySQLError as error:  # its text would repeat the statement
            raise Refused(int(error.args[0]) if error.args else 0) from None


def new_password() -> str:
    """A password with 192 random bits that servers' rules about kinds of characters let pass."""
    return f"{secrets.token_urlsafe(24)}-Aa1"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _who(name: str) -> str:
    return f"{_quoted(name)}@'%'"


def _text(value: Plain) -> str:
    """A password of ours as a literal: letters, digits, `-` and `_` alone."""
    text = value.expose()
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise ValueError("not a password that was made here")
    return f"'{text}'"


# Looking at what an account may do.


def read_grants(address: Address) -> list[str]:
    """What the server says an account may do.  Raises Invalid, Unavailable."""
    with closing(connect(address)) as line, closing(line.cursor()) as cursor:
        cursor.execute("SHOW GRANTS")
        return [str(row[0]) for row in cursor.fetchall()]


def too_wide(said: Iterable[str], database: str) -> list[str]:
    """What an application's account may do to the audit log, or to tables, that it should not; "" patterns count as all."""
    wide: set[str] = set()
    for rights, where in _parsed(said):
        scope = _scope(where, database)
        if scope is None:
            continue
        for right in rights:
            if scope in ("*", *APPEND_ONLY) and right in _CHANGES:
                wide.add(f"{right} on the audit tables")
            if right in _WIDE and right not in _CHANGES:
                wide.add(right)
    return sorted(wide)


def hooks_too_wide(said: Iterable[str], database: str) -> list[str]:
    """What a hooks' account may do beyond reading its tables."""
    wide: set[str] = set()
    for rights, where in _parsed(said):
        scope = _scope(where, database)
        if scope is None:
            continue
        for right in rights:
            if right == "USAGE":
                continue
            reads = right == "SELECT" and scope in HOOKS_READ
            column = right.startswith("SELECT (") and scope == "machines"
            if not (reads or column):
                wide.add(f"{right} on {'everything' if scope == '*' else scope}")
    return sorted(wide)


def _parsed(said: Iterable[str]) -> Iterator[tuple[list[str], str]]:
    for line in said:
        found = re.match(r"GRANT (.+?) ON (?:TABLE )?(\S+) TO ", line)
        if found is None:
            continue
        rights = [part.strip() for part in re.split(r",(?![^(]*\))", found[1])]
        if "WITH GRANT OPTION" in line:
            rights.append("GRANT OPTION")
        yield rights, found[2]


def _scope(where: str, database: str) -> str | None:
    """The table that a grant is about, "*" for all of them, None for another database."""
    schema, _, table = where.replace("`", "").partition(".")
    # `%` and `_` stand for others in a database's name, unless a backslash makes them themselves.
    signs = {"%": ".*", "_": "."}
    pattern = "".join(
        re.escape(sign[-1]) if len(sign) > 1 else signs.get(sign, re.escape(sign))
        for sign in re.findall(r"\\.|.", schema)
    )
    if schema != "*" and not re.fullmatch(pattern, database):
        return None
    return table or "*"


def works(address: Address) -> bool:
    """Whether an account lets us in."""
    try:
        knock(address)
    except ClaudeToolsError:
        return False
    return True
