"""What one act leans on, seen in one statement: who acts, the credential, its sealed field, and the mark of the vault's values.

Every statement costs a round trip, which is 20 ms and more over a VPN.  `look` reads in one what
admission and a decrypt would ask for one after the other.  It checks nothing: `Guard` checks the
rows as it checks those that it reads by itself.

On MariaDB the server also gives each row's content as one text.  An entry that is kept by
`storage.audit.Audit.append_while` holds these texts against the rows once more, in the very
statement that stores it: what was seen by an earlier act need not be read again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Connection, Table

from domain.credentials import TYPES
from storage.engine import is_mariadb
from storage.schema import (
    agents,
    client_keys,
    clients,
    credential_versions,
    credentials,
    infrastructure,
    machines,
    persons,
    sealed_fields,
    services,
)

SEALED = "sealed"
"""The mark that grows with every new version of a credential."""
ROOT = "root"
"""The mark that grows with every turn of the root key."""

Key = tuple[str, tuple[tuple[str, str | int], ...]]
Rows = dict[Key, Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Part:
    """One table of the statement: its alias, and what it is asked by."""

    table: Table
    alias: str
    key: str  # of a guarded row, else ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Whose rows to see.  `credential` is a reference or id, `field` a secret field ("": the type's main one)."""

    machine_id: str = ""
    person_id: str = ""
    agent_id: str = ""
    credential: str = ""
    field: str = ""
    opens: bool = False
    """Whether the sealed field is wanted, or the names around the credential."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The rows that were seen, by table and the columns that they were asked by; None for one that is not there.

    `mark` tells how far the vault's values have come, `root` how often the root key was turned (None: the
    tables are an older program's, which turns none).  `condition` says, to the server, that
    nothing of it has changed: a statement's name and text, and what it compares with.
    """

    rows: Rows
    mark: int
    root: int | None = None
    names: Mapping[str, Any] | None = None
    sealed: Mapping[str, Any] | None = None
    whole: tuple[Part, ...] = ()
    place: tuple[str | int, ...] = ()
    seen: bytes = field(default=b"", repr=False)
    literal: list[str] = field(default_factory=list, repr=False, compare=False)
    """Place and what was seen, as they stand in a statement; put there by the first that needs it."""
    made: dict[Key, Any] = field(default_factory=dict, repr=False, compare=False)
    """What was made of checked rows: a row that has not changed need not be read anew."""

    def is_about(self, credential_id: str) -> bool:
        """Whether the credential that was seen is this one."""
        return any(
            row is not None and row["credential_id"] == credential_id
            for (table, _), row in self.rows.items()
            if table == credentials.name
        )


MACHINE = Part(machines, "m", "machine_id", "machine")
PERSON = Part(persons, "p", "person_id", "person")
AGENT = Part(agents, "a", "agent_id", "agent")
HEAD = Part(credentials, "c", "credential_id", "credential")
CLIENT_KEY = Part(client_keys, "k", "client_key_id", "client_key")
VERSION = Part(credential_versions, "v", "")
FIELD = Part(sealed_fields, "f", "")


def key_of(table: str, columns: Mapping[str, str | int]) -> Key:
    """Under what a row is kept: the columns that it was asked by, in any order."""
    return table, tuple(sorted(columns.items()))


def look(connection: Connection, question: Question) -> Sight:
    """Reads everything in one statement."""
    packed = is_mariadb(connection)
    statement, parts, names = _statement(
        packed,
        bool(question.person_id),
        bool(question.agent_id),
        ("reference" if "/" in question.credential else "credential_id") if question.credential else "",
        question.opens,
        bool(question.field),
    )
    given: list[str] = [question.machine_id]
    given += [one for one in (question.person_id, question.agent_id, question.credential) if one]
    if question.credential and question.opens and question.field:
        given += [question.field, question.field]
    found = connection.exec_driver_sql(statement, tuple(given)).one()
    by_alias, texts = (_unpacked if packed else _apart)(parts, found)
    return _sight(question, parts, by_alias, texts, dict(zip(names, found[len(found) - len(names) :], strict=True)))


def _sight(
    question: Question,
    parts: tuple[Part, ...],
    by_alias: dict[str, Mapping[str, Any] | None],
    texts: list[bytes],
    rest: dict[str, Any],
) -> Sight:
    rows: Rows = {}
    asked = {"m": question.machine_id, "p": question.person_id, "a": question.agent_id}
    for part in parts:
        row = by_alias[part.alias]
        if part.alias in asked:
            rows[key_of(part.table.name, {part.key: asked[part.alias]})] = row
    head, sealed, mark = by_alias.get("c"), None, int(rest["mark"] or 0)
    root = None if rest["root"] is None else int(rest["root"])
    if question.credential:
        column = "reference" if "/" in question.credential else "credential_id"
        rows[key_of("credentials", {column: question.credential})] = head
    version, cell, client_key = by_alias.get("v"), by_alias.get("f"), by_alias.get("k")
    if head is not None and version is not None and cell is not None and client_key is not None:
        by = {"client_id": head["client_id"], "version": version["client_key_version"]}
        rows[key_of("client_keys", by)] = client_key
        sealed = {**cell, **version, "blob": rest["blob"]}
        if texts and hashlib.sha256(rest["blob"] or b"").hexdigest() != cell["blob"]:
            sealed = None  # read apart, then
    names = rest if "client" in rest and head is not None else None
    if (sealed is None and question.opens) or not texts or any(by_alias[part.alias] is None for part in parts):
        return Sight(rows, mark, root, names, sealed)
    place: list[str | int] = []
    for part in parts:
        row = by_alias[part.alias] or {}
        place += [row[name] for name in _keys(part)]
    return Sight(rows, mark, root, names, sealed, parts, tuple(place), b"".join(texts) + str(mark).encode())


def _keys(part: Part) -> tuple[str, ...]:
    if part.key:
        return (part.key,)
    return ("credential_id", "version", "field") if part is FIELD else ("credential_id", "version")


@lru_cache
def _statement(
    packed: bool, person: bool, agent: bool, by: str, opens: bool, named: bool
) -> tuple[str, tuple[Part, ...], tuple[str, ...]]:
    """The statement, its tables in order, and the names of the columns that follow theirs."""
    mark = "%s" if packed else "?"
    parts = [MACHINE, *([PERSON] if person else []), *([AGENT] if agent else [])]
    joins = [f"LEFT JOIN {part.table.name} {part.alias} ON {part.alias}.{part.key} = {mark}" for part in parts]
    rest = {"mark": _mark(packed), "root": _ROOT_MARK}
    if by:
        parts.append(HEAD)
        joins.append(f"LEFT JOIN credentials c ON c.{by} = {mark}")
    if by and opens:
        parts += [FIELD, VERSION, CLIENT_KEY]
        asked = mark if named else _main_field()
        # The version in force is the newest that holds the field; where it is not, the field is read apart.
        newest = (
            f"SELECT max(x.version) FROM sealed_fields x WHERE x.credential_id = c.credential_id AND x.field = {asked}"  # noqa: S608
        )
        joins += [
            f"LEFT JOIN sealed_fields f ON f.credential_id = c.credential_id AND f.field = {asked} AND f.version = ({newest})",
            "LEFT JOIN credential_versions v ON v.credential_id = f.credential_id AND v.version = f.version",
            "LEFT JOIN client_keys k ON k.client_id = c.client_id AND k.version = v.client_key_version",
        ]
        rest["blob"] = "f.`blob`" if packed else "f.blob"
    elif by:
        joins += [
            f"LEFT JOIN {table.name} {alias} ON {alias}.{key} = c.{key}"
            for table, alias, key in (
                (clients, "cl", "client_id"),
                (services, "sv", "service_id"),
                (infrastructure, "nf", "infrastructure_id"),
            )
        ]
        joins.append(
            "LEFT JOIN credential_versions v ON v.credential_id = c.credential_id AND v.version = c.current_version"
        )
        rest |= {
            "client": "coalesce(cl.slug, '')",
            "service": "coalesce(sv.name, '')",
            "infrastructure": "coalesce(nf.name, '')",
            "exposed_us": "v.exposed_us",
        }
    columns = [_packed(part) for part in parts] if packed else [c for part in parts for c in _columns(part)]
    listed = ", ".join([*columns, *rest.values()])
    statement = f"SELECT {listed} FROM (SELECT 1 AS one) AS base {' '.join(joins)}"  # noqa: S608  # our own names
    return statement, tuple(parts), tuple(rest)


def mark_query(connection: Connection) -> str:
    """The statement that reads the mark alone."""
    return f"SELECT {_mark(is_mariadb(connection))}"  # our own names


def root_query() -> str:
    """The statement that reads how often the root key was turned."""
    return f"SELECT {_ROOT_MARK}"  # our own names


_ROOT_MARK = f"(SELECT value FROM marks WHERE name = '{ROOT}')"  # noqa: S608  # our own name


def _mark(packed: bool) -> str:
    if packed:
        return f"(SELECT value FROM marks WHERE name = '{SEALED}')"  # noqa: S608  # our own name
    # An older program may write beside this one; it knows no marks.  Versions are never taken away.
    return "(SELECT count(*) + coalesce(max(created_us), 0) FROM credential_versions)"


def _main_field() -> str:
    cases = " ".join(f"WHEN '{kind.name}' THEN '{kind.main}'" for kind in TYPES.values())
    return f"CASE c.type {cases} END"


def _columns(part: Part) -> list[str]:
    listed = [f'{part.alias}."{column.name}"' for column in part.table.c]
    return [*listed, *_logged(part)]


def _logged(part: Part) -> list[str]:
    if not part.key:
        return []
    entries = f"e.subject_type = '{part.subject}' AND e.subject_id = {part.alias}.{part.key}"
    return [f"(SELECT max(e.subject_revision) FROM audit_entries e WHERE {entries})"]  # noqa: S608  # our own names


def _packed(part: Part) -> str:
    """A row as one column: a client takes longer to read 80 columns than the server to find them."""
    return f"CAST(JSON_ARRAY({', '.join([*(_value(part, c) for c in part.table.c), *_logged(part)])}) AS BINARY)"


def _value(part: Part, column: Column[Any]) -> str:
    name = f"{part.alias}.`{column.name}`"
    if part is FIELD and column.name == "blob":
        return f"SHA2({name}, 256)"  # it may be long, and comes in a column of its own
    return f"HEX({name})" if column.type.python_type is bytes else name


def _unpacked(parts: Iterable[Part], found: Sequence[Any]) -> tuple[dict[str, Mapping[str, Any] | None], list[bytes]]:
    rows: dict[str, Mapping[str, Any] | None] = {}
    texts = []
    for part, text in zip(parts, found, strict=False):
        raw = text if isinstance(text, bytes) else str(text).encode()
        values = json.loads(raw)
        texts.append(raw)
        rows[part.alias] = _row(
            part, [_from_hex(part, c, v) for c, v in zip(part.table.c, values, strict=False)], values
        )
    return rows, texts


def _from_hex(part: Part, column: Column[Any], value: object) -> object:
    if not isinstance(value, str) or (part is FIELD and column.name == "blob"):
        return value
    return bytes.fromhex(value) if column.type.python_type is bytes else value


def _apart(parts: Iterable[Part], found: Sequence[Any]) -> tuple[dict[str, Mapping[str, Any] | None], list[bytes]]:
    rows: dict[str, Mapping[str, Any] | None] = {}
    at = 0
    for part in parts:
        width = len(part.table.c) + bool(part.key)
        values = found[at : at + width]
        rows[part.alias] = _row(part, values, values)
        at += width
    return rows, []


def _row(part: Part, values: Sequence[Any], all_values: Sequence[Any]) -> Mapping[str, Any] | None:
    if values[0] is None:
        return None
    row = {column.name: value for column, value in zip(part.table.c, values, strict=False)}
    if part.key:
        row["logged_revision"] = all_values[len(part.table.c)]
    return row


@lru_cache
def while_unchanged(parts: tuple[Part, ...], values: str) -> str:
    """The end of a statement that gives its `values` once where every part is as it was seen, and else nothing.

    Its parameters: the keys of all parts in order, then what was seen.
    """
    tables = ", ".join(f"{part.table.name} {part.alias}" for part in parts)
    keys = " AND ".join(f"{part.alias}.{name} = ?" for part in parts for name in _keys(part))
    content = ", ".join([*map(_packed, parts), _mark(packed=True)])
    return f"SELECT {values} FROM {tables} WHERE {keys} AND CAST(CONCAT({content}) AS BINARY) = ?"  # noqa: S608  # our own names
