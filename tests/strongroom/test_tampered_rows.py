"""A guarded row that somebody wrote past the product is refused at its next use, and told by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from domain.errors import Broken, ClaudeToolsError
from storage.inspect import GUARDED
from storage.schema import metadata
from tests.kit.stores import Databases
from tests.strongroom.story import FIRST, OTHER, damaged, damages, uses
from tests.strongroom.vault import Vault, make_template

COLUMNS = [(table.name, column.name) for table, _, _ in GUARDED for column in table.c]
TABLES = {table.name: (table, subject, key) for table, subject, key in GUARDED}
# Reading a vault row takes no part in an act; verify alone tells of it.
NOT_USED = {"vault"}
# What is listed is missed in no act: an invitation that is gone lets nobody in.
LISTED = {"invitations"}
# By these an approval is found: one that is changed in them is another's, or none.
FOUND_BY = {"approvals": {"credential_id", "person_id", "until_us", "withdrawn_us"}}


@pytest.fixture
def vault(story: Callable[[], Vault]) -> Vault:
    """A vault in which things have happened, all well."""
    made = story()
    assert made.app.audit.verify().ok
    return made


def row_in_use(vault: Vault, table: str) -> dict[str, object]:
    """The row of a table on which the act in `uses` leans."""
    rows = vault.rows(table)
    wanted = {
        "machines": lambda row: row["machine_id"] == vault.app.settings.machine_id,
        "persons": lambda row: row["name"] == "anna",
        "agents": lambda row: row["agent_id"] == vault.agent.id,
        "credentials": lambda row: row["reference"] == FIRST,
    }.get(table, bool)
    return next(row for row in rows if wanted(row))


def findings(vault: Vault) -> list[tuple[str, str]]:
    """What verify says: verdict and where."""
    verdict = vault.app.audit.verify()
    assert verdict.ok == (not verdict.findings)
    return [(found.verdict, found.where) for found in verdict.findings]


def test_every_guarded_table_of_the_schema_is_inspected():
    # (The notice of a vault that moves has a MAC and no revision: whoever reads it checks it.)
    with_mac = {table.name for table in metadata.tables.values() if {"mac", "revision"} <= set(table.c.keys())}
    assert with_mac == set(TABLES)


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_changed_column_is_refused_at_the_next_use_and_told_by_name(vault: Vault, table: str, column: str):
    made, subject, key = TABLES[table]
    row = row_in_use(vault, table)
    use = uses(vault)[table]
    found_by = {"name", "reference", "client_id", *FOUND_BY.get(table, ())}
    made_of = False
    for what, value in damages(made.c[column], row[column]):
        with damaged(vault, table, {key: row[key]}, column, value) as changed:
            if not changed:
                continue
            made_of = True
            named = [where for verdict, where in findings(vault) if verdict in ("modified", "rolled back", "missing")]
            own = str(row[key])
            assert any(where.startswith(f"{subject} ") and own in where for where in named), (what, named)
            if table not in NOT_USED and not (table in LISTED and column == key):
                with pytest.raises(ClaudeToolsError) as refused:
                    use()
                if column != key:
                    assert isinstance(refused.value, Broken) or column in found_by, what
    assert made_of, "the database took none of these for a change"
    assert vault.app.audit.verify().ok
    use()


@pytest.mark.parametrize("table", TABLES)
def test_a_deleted_row_is_told_by_name(vault: Vault, table: str):
    _, subject, key = TABLES[table]
    row = row_in_use(vault, table)
    vault.sql(f"DELETE FROM {table} WHERE {key} = ?", row[key])
    assert ("missing", f"{subject} {row[key]}") in findings(vault)
    if table not in NOT_USED | LISTED:
        with pytest.raises(ClaudeToolsError):
            uses(vault)[table]()


@pytest.mark.parametrize("table", ["agents", "credentials"])
def test_two_rows_that_changed_places_are_refused_and_told(vault: Vault, table: str):
    _, subject, key = TABLES[table]
    ids = [row[key] for row in vault.rows(table)][:2]
    unique = {"agents": "name", "credentials": "reference"}[table]
    names = dict(vault.sql(f"SELECT {key}, {unique} FROM {table}"))
    vault.sql(f"UPDATE {table} SET {unique} = 'between' WHERE {key} = ?", ids[0])
    vault.sql(f"UPDATE {table} SET {unique} = ? WHERE {key} = ?", names[ids[0]], ids[1])
    vault.sql(f"UPDATE {table} SET {unique} = ? WHERE {key} = ?", names[ids[1]], ids[0])
    where = [place for verdict, place in findings(vault) if verdict == "modified"]
    assert all(any(place.startswith(f"{subject} {one}") for place in where) for one in ids)
    with pytest.raises(Broken):
        uses(vault)[table]()


def change(vault: Vault, table: str) -> None:
    """An act of the product that changes a row of the table."""
    app, person = vault.app, vault.person
    if table == "agents":
        app.identity.revoke(person, vault.agent.name)
    else:
        app.credentials.update(person, FIRST, {"exposure": "sealed"})
        app.credentials.update(person, OTHER, {"exposure": "sealed"})


@pytest.mark.parametrize("table", ["agents", "credentials"])
@pytest.mark.parametrize("much", ["the row", "the whole table"])
def test_an_older_copy_that_was_put_back_is_refused_and_told(vault: Vault, table: str, much: str):
    _, subject, key = TABLES[table]
    row = row_in_use(vault, table)
    before = vault.rows(table) if much == "the whole table" else [row]
    change(vault, table)
    assert vault.app.audit.verify().ok
    vault.store.put(table, *before)
    with pytest.raises(Broken, match="rolled back"):
        uses(vault)[table]()
    told = [where for verdict, where in findings(vault) if verdict == "rolled back"]
    assert any(where.startswith(f"{subject} {row[key]}") for where in told)


def test_an_older_row_with_the_older_log_is_told_by_the_machines_own_notes(vault: Vault):
    """Whoever puts a row back and takes its entries out is told, though the row alone looks right."""
    row = row_in_use(vault, "credentials")
    before = {entry["entry_id"] for entry in vault.entries()}
    vault.app.credentials.update(vault.person, FIRST, {"exposure": "sealed"})
    vault.store.put("credentials", row)
    for entry in vault.entries():
        if entry["entry_id"] not in before:
            vault.sql("DELETE FROM audit_entries WHERE entry_id = ?", entry["entry_id"])
    told = findings(vault)
    assert told
    assert all(verdict in ("missing", "truncated") and where.startswith("chain ") for verdict, where in told)


def test_a_row_whose_last_entry_was_taken_out_is_refused_and_told(vault: Vault):
    row = row_in_use(vault, "credentials")
    vault.sql(
        "DELETE FROM audit_entries WHERE subject_type = 'credential' AND subject_id = ? AND subject_revision = ?",
        row["credential_id"],
        row["revision"],
    )
    with pytest.raises(Broken, match="rolled back"):
        uses(vault)["credentials"]()
    assert ("missing", f"credential {row['credential_id']} ({FIRST})") in findings(vault)


def test_a_whole_database_that_was_put_back_is_told(vault: Vault):
    vault.close()
    before = vault.store.keep()
    vault.open()
    vault.app.credentials.reveal(vault.person, FIRST, purpose="log in")
    vault.app.credentials.reveal(vault.person, OTHER, purpose="log in")
    vault.close()
    vault.store.put_back(before)
    vault.open()
    told_now = findings(vault)
    assert [verdict for verdict, _ in told_now] == ["missing"]
    assert told_now[0][1].startswith("chain ")


def test_a_row_that_nobody_wrote_with_the_product_is_told(vault: Vault):
    row = row_in_use(vault, "agents") | {"agent_id": "ag_" + "a" * 26, "name": "stranger"}
    vault.store.put("agents", row)
    assert ("modified", f"agent {row['agent_id']}") in findings(vault)


# Sealed bytes carry no MAC: they open in their own place and nowhere else.


def cell(vault: Vault, credential: str, field: str, version: int) -> bytes:
    return vault.sql(
        'SELECT "blob" FROM sealed_fields WHERE field = ? AND version = ? AND credential_id = '
        "(SELECT credential_id FROM credentials WHERE reference = ?)",
        field,
        version,
        credential,
    )[0][0]


def overwrite(vault: Vault, credential: str, field: str, version: int, blob: bytes) -> None:
    vault.sql(
        'UPDATE sealed_fields SET "blob" = ? WHERE field = ? AND version = ? AND credential_id = '
        "(SELECT credential_id FROM credentials WHERE reference = ?)",
        blob,
        field,
        version,
        credential,
    )


@pytest.mark.parametrize(
    "source",
    [(OTHER, "password", 2), (FIRST, "notes", 1), (FIRST, "password", 1)],
    ids=["credential", "field", "version"],
)
def test_sealed_bytes_of_another_place_do_not_open(vault: Vault, source: tuple[str, str, int]):
    overwrite(vault, FIRST, "password", 2, cell(vault, *source))
    with pytest.raises(Broken):
        vault.app.credentials.reveal(vault.person, FIRST, purpose="log in")
    assert "unseal" not in vault.entries()[-1]["purpose"]


def test_sealed_bytes_moved_with_their_wrapped_key_do_not_open(vault: Vault):
    """The version row is copied along, so that the data key is the right one for the blob."""
    overwrite(vault, FIRST, "password", 2, cell(vault, OTHER, "password", 2))
    key = vault.sql(
        "SELECT v.wrapped_key FROM credential_versions v JOIN credentials c USING (credential_id) "
        "WHERE c.reference = ? AND v.version = 2",
        OTHER,
    )[0][0]
    vault.sql(
        "UPDATE credential_versions SET wrapped_key = ? WHERE version = 2 AND credential_id = "
        "(SELECT credential_id FROM credentials WHERE reference = ?)",
        key,
        FIRST,
    )
    with pytest.raises(Broken, match="another place"):
        vault.app.credentials.reveal(vault.person, FIRST, purpose="log in")


@pytest.mark.parametrize("column", ["wrapped_key", "client_key_version"])
def test_a_changed_version_row_does_not_open(vault: Vault, column: str):
    if column == "wrapped_key":
        vault.sql("UPDATE credential_versions SET wrapped_key = substr(wrapped_key, 1, 90) || x'00'")
    else:
        vault.sql("UPDATE credential_versions SET client_key_version = 2")
    with pytest.raises(Broken):
        vault.app.credentials.reveal(vault.person, FIRST, purpose="log in")


@pytest.mark.parametrize("damage", [5, "text", b"", b"\xff" * 200], ids=["number", "text", "empty", "noise"])
@pytest.mark.parametrize(("table", "column"), [("sealed_fields", "blob"), ("credential_versions", "wrapped_key")])
def test_sealed_bytes_of_any_other_form_are_refused(vault: Vault, table: str, column: str, damage: object):
    vault.sql(f'UPDATE {table} SET "{column}" = ?', damage)
    with pytest.raises(Broken):
        vault.app.credentials.reveal(vault.person, FIRST, purpose="log in")


@pytest.mark.parametrize("table", ["sealed_fields", "credential_versions"])
def test_sealed_bytes_that_are_gone_are_refused_and_told(vault: Vault, table: str):
    vault.sql(f"DELETE FROM {table}")
    with pytest.raises(Broken, match="missing"):
        vault.app.credentials.reveal(vault.person, FIRST, purpose="log in")
    ids = {row["credential_id"]: row["reference"] for row in vault.rows("credentials")}
    told = findings(vault)
    assert all(("missing", f"credential {one} ({reference})") in told for one, reference in ids.items())


def test_a_field_that_claims_an_older_version_is_refused(vault: Vault):
    """Which version is in force stands in the guarded row; pointing it back needs its MAC."""
    vault.sql("""UPDATE credentials SET "fields" = '{"notes": 1, "password": 1}' WHERE reference = ?""", FIRST)
    with pytest.raises(Broken, match="modified"):
        vault.app.credentials.reveal(vault.person, FIRST, purpose="log in")


# Key slots open with their own key, in their own row.


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM key_slots WHERE kind = 'file'",
        "UPDATE key_slots SET wrapped = (SELECT wrapped FROM key_slots WHERE kind = 'recovery') WHERE kind = 'file'",
        "UPDATE key_slots SET kind = CASE kind WHEN 'file' THEN 'recovery' ELSE 'file' END",
        "UPDATE key_slots SET slot_id = slot_id || 'x'",
        "UPDATE key_slots SET wrapped = x'00'",
        "UPDATE key_slots SET wrapped = 'text'",
        "UPDATE vault SET vault_id = vault_id || 'x'",
    ],
)
def test_a_key_slot_in_another_place_does_not_open(vault: Vault, statement: str):
    vault.close()
    vault.sql(statement)
    with pytest.raises(Broken):
        vault.open()


def test_a_second_installations_key_slots_do_not_open_with_our_key(
    vault: Vault, tmp_path, opened: Callable[..., Vault], database: Databases
):
    other = opened(of=make_template(tmp_path / "other", database))
    vault.close()
    vault.sql("DELETE FROM key_slots")
    vault.store.put("key_slots", *other.rows("key_slots"))
    with pytest.raises(Broken):
        vault.open()
