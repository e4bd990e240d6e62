"""An audit log that somebody wrote past the product: verify says what, and where."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.audit import link_hash, open_chain
from storage.schema import audit_chains, audit_entries
from tests.strongroom.story import FIRST, damaged, damages
from tests.strongroom.vault import Vault

ENTRY_COLUMNS = [column.name for column in audit_entries.c]
CHAIN_COLUMNS = [column.name for column in audit_chains.c]


@pytest.fixture
def vault(story: Callable[[], Vault]) -> Vault:
    """A vault in which things have happened, all well."""
    made = story()
    assert made.app.audit.verify().ok
    return made


def findings(vault: Vault) -> list[tuple[str, str]]:
    return [(found.verdict, found.where) for found in vault.app.audit.verify().findings]


def an_entry(vault: Vault) -> dict[str, object]:
    """An entry in the middle of a chain that goes on behind it."""
    rows = [r for r in vault.rows("audit_entries") if r["action"] == "credential.update"]
    assert rows
    return rows[0]


def place(row: dict[str, object]) -> str:
    return f"entry {row['seq']} of chain {row['chain_id']}"


@pytest.mark.parametrize("column", ENTRY_COLUMNS)
def test_a_changed_column_of_an_entry_is_told(vault: Vault, column: str):
    row = an_entry(vault)
    key = {"chain_id": row["chain_id"], "seq": row["seq"]}
    done: list[str] = []
    for what, value in damages(audit_entries.c[column], row[column]):
        if column == "seq" and what in ("one more", "one less"):
            continue  # taken by its neighbours; moving entries has its own tests
        with damaged(vault, "audit_entries", key, column, value) as changed:
            if not changed:
                continue
            done.append(what)
            told = findings(vault)
            if column == "chain_id":
                assert ("missing", f"entry {int(row['seq']) + 1} of chain {row['chain_id']}") in told, what
            elif column == "seq":
                assert any(where.endswith(f"of chain {row['chain_id']}") for _, where in told), what
            else:
                words = {verdict for verdict, where in told if where == place(row)}
                wanted = {"prev_hash": {"reordered", "modified"}, "signature": {"bad signature"}}
                assert words & wanted.get(column, {"modified"}), (what, told)
    assert done
    assert vault.app.audit.verify().ok


@pytest.mark.parametrize("column", CHAIN_COLUMNS)
def test_a_changed_column_of_a_chain_is_told(vault: Vault, column: str):
    row = vault.rows("audit_chains")[0]
    done: list[str] = []
    for what, value in damages(audit_chains.c[column], row[column]):
        with damaged(vault, "audit_chains", {"chain_id": row["chain_id"]}, column, value) as changed:
            if not changed:
                continue
            done.append(what)
            told = findings(vault)
            words = {verdict for verdict, where in told if where == f"chain {row['chain_id']}"}
            wanted = {
                "chain_id": {"missing"},
                "machine_id": {"modified", "unknown key"},
                "hash": {"modified", "bad signature"},
                "signature": {"bad signature"},
            }
            assert words & wanted.get(column, {"modified"}), (what, told)
    assert done
    assert vault.app.audit.verify().ok


def test_every_column_of_an_entry_is_either_copied_from_the_body_or_part_of_the_chain(vault: Vault):
    """So that none is added which verify does not look at."""
    from domain.audit import columns_of

    copied = set(columns_of(str(an_entry(vault)["body"]).encode()))
    assert set(ENTRY_COLUMNS) == copied | {"chain_id", "seq", "body", "prev_hash", "hash", "signature"}


def test_a_deleted_entry_is_told(vault: Vault):
    row = an_entry(vault)
    vault.sql("DELETE FROM audit_entries WHERE entry_id = ?", row["entry_id"])
    after = f"entry {int(row['seq']) + 1} of chain {row['chain_id']}"
    assert ("missing", after) in findings(vault)


def test_several_deleted_entries_are_told_with_their_numbers(vault: Vault):
    row = an_entry(vault)
    first = int(row["seq"])
    vault.sql("DELETE FROM audit_entries WHERE chain_id = ? AND seq IN (?, ?)", row["chain_id"], first, first + 1)
    told = [f for f in vault.app.audit.verify().findings if f.where == f"entry {first + 2} of chain {row['chain_id']}"]
    assert any(f"entries {first} to {first + 1}" in found.what for found in told)


def test_a_cut_off_tail_is_told_by_the_machines_own_notes(vault: Vault):
    row = vault.rows("audit_entries")[-1]
    vault.sql("DELETE FROM audit_entries WHERE entry_id = ?", row["entry_id"])
    expected = "missing" if row["seq"] == 1 else "truncated"
    told = [(verdict, where) for verdict, where in findings(vault) if where.startswith("chain ")]
    assert (expected, f"chain {row['chain_id']}") in told or ("truncated", f"chain {row['chain_id']}") in told


def test_a_chain_that_is_gone_with_all_its_entries_is_told(vault: Vault):
    chain = an_entry(vault)["chain_id"]
    vault.sql("DELETE FROM audit_entries WHERE chain_id = ?", chain)
    vault.sql("DELETE FROM audit_chains WHERE chain_id = ?", chain)
    assert ("missing", f"chain {chain}") in findings(vault)


def test_a_chain_whose_opening_is_gone_is_told_with_the_number_of_its_entries(vault: Vault):
    chain = an_entry(vault)["chain_id"]
    number = vault.sql("SELECT count(*) FROM audit_entries WHERE chain_id = ?", chain)[0][0]
    vault.sql("DELETE FROM audit_chains WHERE chain_id = ?", chain)
    found = [f for f in vault.app.audit.verify().findings if f.where == f"chain {chain}"]
    assert found[0].verdict == "missing"
    assert f"{number} entries" in found[0].what


def test_all_of_it_gone_is_told(vault: Vault):
    chains = {row["chain_id"] for row in vault.rows("audit_chains")}
    vault.sql("DELETE FROM audit_entries")
    vault.sql("DELETE FROM audit_chains")
    told = findings(vault)
    assert {("missing", f"chain {chain}") for chain in chains} <= set(told)


def test_two_entries_that_changed_places_are_told(vault: Vault):
    row = an_entry(vault)
    chain, first = row["chain_id"], int(row["seq"])
    for old, new in ((first, 9999), (first + 1, first), (9999, first + 1)):
        vault.sql("UPDATE audit_entries SET seq = ? WHERE chain_id = ? AND seq = ?", new, chain, old)
    told = set(findings(vault))
    assert ("reordered", f"entry {first} of chain {chain}") in told
    assert ("modified", f"entry {first} of chain {chain}") in told


def test_an_entry_that_was_copied_behind_the_end_is_told(vault: Vault):
    row = an_entry(vault)
    last = vault.sql("SELECT max(seq) FROM audit_entries WHERE chain_id = ?", row["chain_id"])[0][0]
    copy = row | {"seq": last + 1, "entry_id": row["entry_id"] + "x"}
    vault.store.put("audit_entries", copy)
    told = {verdict for verdict, where in findings(vault) if where == place(copy)}
    assert {"modified", "reordered"} <= told


def test_a_rewritten_entry_with_a_right_hash_has_no_right_signature(vault: Vault):
    """A database administrator can compute every hash; he has no machine's key."""
    row = an_entry(vault)
    said = json.loads(str(row["body"]))
    said["purpose"] = "something else"
    body = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    digest = link_hash(str(row["chain_id"]), int(row["seq"]), row["prev_hash"], body)
    vault.sql(
        "UPDATE audit_entries SET body = ?, purpose = 'something else', hash = ? WHERE entry_id = ?",
        body.decode(),
        digest,
        row["entry_id"],
    )
    told = set(findings(vault))
    assert ("bad signature", place(row)) in told
    assert ("reordered", f"entry {int(row['seq']) + 1} of chain {row['chain_id']}") in told


def test_a_chain_signed_by_a_stranger_is_told(vault: Vault):
    stranger = Ed25519PrivateKey.generate()
    machine = vault.app.settings.machine_id
    opening = open_chain("ch_" + "a" * 26, machine, "ag_x", "sh:1", 5, stranger)
    row = {name: getattr(opening, name) for name in CHAIN_COLUMNS} | {"body": opening.body.decode()}
    vault.store.put("audit_chains", row)
    assert ("bad signature", "chain ch_" + "a" * 26) in findings(vault)


def test_a_chain_of_a_machine_that_is_not_enrolled_is_told(vault: Vault):
    opening = open_chain("ch_" + "a" * 26, "ma_unknown", "ag_x", "sh:1", 5, Ed25519PrivateKey.generate())
    row = {name: getattr(opening, name) for name in CHAIN_COLUMNS} | {"body": opening.body.decode()}
    vault.store.put("audit_chains", row)
    assert ("unknown key", "chain ch_" + "a" * 26) in findings(vault)


def test_another_history_under_the_same_numbers_is_told_as_a_fork(vault: Vault):
    """Whoever holds this machine's key cannot replace what the machine noted."""
    vault.app.credentials.search(vault.agent, "one")
    row = vault.rows("audit_entries")[-1]
    said = json.loads(str(row["body"]))
    said["purpose"] = "two"
    body = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    digest = link_hash(str(row["chain_id"]), int(row["seq"]), row["prev_hash"], body)
    signature = vault.app.keyring.sign(digest)
    vault.sql(
        "UPDATE audit_entries SET body = ?, purpose = 'two', hash = ?, signature = ? WHERE entry_id = ?",
        body.decode(),
        digest,
        signature,
        row["entry_id"],
    )
    assert findings(vault) == [("forked", place(row))]


def test_notes_that_were_torn_at_the_end_are_read_up_to_there(vault: Vault):
    notes = vault.app.settings.heads_dir / "heads.log"
    whole = notes.read_bytes()
    for cut in (1, 20, 70, 100):
        notes.write_bytes(whole[:-cut])
        assert vault.app.audit.verify().ok
    notes.write_bytes(whole + b"\xff\xfe garbage\n\n 1 2 3 4 5\nch_x y zz\n")
    assert vault.app.audit.verify().ok


def test_a_torn_note_does_not_swallow_the_next_one(vault: Vault):
    notes = vault.app.settings.heads_dir / "heads.log"
    notes.write_bytes(notes.read_bytes()[:-30])
    vault.app.credentials.search(vault.agent, "one")
    row = vault.rows("audit_entries")[-1]
    vault.sql("DELETE FROM audit_entries WHERE chain_id = ?", row["chain_id"])
    vault.sql("DELETE FROM audit_chains WHERE chain_id = ?", row["chain_id"])
    assert ("missing", f"chain {row['chain_id']}") in findings(vault)


def test_a_log_that_cannot_be_read_as_one_is_told_and_not_a_crash(vault: Vault):
    for body in ("", "null", "[]", "{}", '"text"', "{" * 2000, '{"format": 1}', "\x00"):
        row = an_entry(vault)
        with damaged(vault, "audit_entries", {"entry_id": row["entry_id"]}, "body", body):
            assert ("modified", place(row)) in findings(vault)


def test_searching_a_log_with_a_damaged_entry_names_it(vault: Vault):
    row = an_entry(vault)
    with damaged(vault, "audit_entries", {"entry_id": row["entry_id"]}, "body", "{"):
        found = vault.app.audit.search(vault.person, action="credential.update")
    assert row["entry_id"] in [item.entry for item in found.items]
    assert FIRST in {item.subject for item in found.items}
