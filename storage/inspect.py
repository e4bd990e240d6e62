"""Reads every guarded row and holds it against its MAC and against the audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import Connection, Table, func, select

from domain.errors import Broken
from domain.verify import Finding
from storage.guard import Guard
from storage.schema import (
    agents,
    approvals,
    audit_entries,
    client_keys,
    credential_versions,
    credentials,
    invitations,
    key_runs,
    machines,
    persons,
    recipes,
    sealed_fields,
    second_factors,
    vault,
)

GUARDED: tuple[tuple[Table, str, str], ...] = (
    (vault, "vault", "vault_id"),
    (machines, "machine", "machine_id"),
    (persons, "person", "person_id"),
    (agents, "agent", "agent_id"),
    (client_keys, "client_key", "client_key_id"),
    (invitations, "invitation", "invitation_id"),
    (key_runs, "key_run", "run_id"),
    (credentials, "credential", "credential_id"),
    (recipes, "recipe", "recipe_id"),
    (approvals, "approval", "approval_id"),
    (second_factors, "second_factor", "person_id"),
)
"""Each guarded table, what the audit log calls its rows, and its key column."""


def guarded_rows(connection: Connection, guard: Guard) -> Iterator[Finding]:
    """Every guarded row that was modified, rolled back, or is missing."""
    for table, subject_type, key in GUARDED:
        entry = audit_entries.c
        newest = connection.execute(
            select(entry.subject_id, func.max(entry.subject_revision))
            .where(entry.subject_type == subject_type, entry.subject_revision.is_not(None))
            .group_by(entry.subject_id)
        )
        logged: dict[str, object] = {subject: revision for subject, revision in newest}  # noqa: C416  # rows, not pairs
        for row in connection.execute(select(table)).mappings():
            where = f"{subject_type} {row[key]}"
            if "reference" in row:
                where += f" ({row['reference']})"
            last = logged.pop(str(row[key]), None)
            try:
                guard.check(table, row, subject_type, key)
            except (Broken, TypeError, AttributeError):
                yield Finding("modified", where, "the row is not as it was written")
                continue
            if last is not None and not isinstance(last, int):  # SQLite keeps any type in any column
                yield Finding("missing", where, "the entry of its last change is damaged")
            elif last is None:
                yield Finding("missing", where, "the audit log does not know this row")
            elif row["revision"] < last:
                yield Finding(
                    "rolled back",
                    where,
                    f"the row is at revision {row['revision']}; the audit log knows {last}",
                )
            elif row["revision"] > last:
                yield Finding("missing", where, f"the entry of its revision {row['revision']} is gone")
        for gone in logged:
            yield Finding("missing", f"{subject_type} {gone}", "the row is gone")


def sealed_rows(connection: Connection) -> Iterator[Finding]:
    """Every secret field that a credential says it has, and whose sealed bytes are gone."""
    query = select(sealed_fields.c.credential_id, sealed_fields.c.version, sealed_fields.c.field).join(
        credential_versions,
        (credential_versions.c.credential_id == sealed_fields.c.credential_id)
        & (credential_versions.c.version == sealed_fields.c.version),
    )
    there = {tuple(row) for row in connection.execute(query)}
    for credential_id, reference, fields in connection.execute(
        select(credentials.c.credential_id, credentials.c.reference, credentials.c.fields)
    ):
        for name, version in _fields(fields):
            if (credential_id, version, name) not in there:
                yield Finding(
                    "missing",
                    f"credential {credential_id} ({reference})",
                    f"the sealed bytes of {name}, version {version}, are gone",
                )


def _fields(text: object) -> list[tuple[str, int]]:
    try:
        said = json.loads(str(text))
    except ValueError:
        return []  # a modified row is told by its MAC
    return [(str(k), v) for k, v in said.items() if isinstance(v, int)]
