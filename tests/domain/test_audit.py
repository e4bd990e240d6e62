"""Entries, their canonical bytes, and the chain that binds them."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.actors import Actor, Subject
from domain.audit import (
    Entry,
    body_of,
    canonical,
    columns_of,
    link,
    link_hash,
    open_chain,
    opening_columns_of,
    opening_hash,
)
from domain.errors import Broken

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ACTOR = Actor(
    kind="agent",
    id="ag_one",
    name="claude-code",
    owner_id="pe_one",
    owner_name="anna",
    machine_id="ma_one",
    machine_name="workbench",
    session_id="s-1",
    verified=frozenset({"owner", "agent", "machine"}),
    scopes=frozenset({"credentials:read"}),
)
SUBJECT = Subject("credential", "cr_one", "acme/gitea/admin", "cl_one")
ENTRY = Entry(
    "au_one", 1_700_000_000_000_000, "credential.decrypt", "ok", ACTOR, SUBJECT, 3, "Grüße 🔑", {"field": "x"}
)


def lengths(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def test_the_body_is_canonical_json_of_these_bytes():
    """RFC 8785: keys sorted, no spaces, text as UTF-8.  What is signed today must be read in ten years."""
    assert body_of(ENTRY).decode() == (
        '{"action":"credential.decrypt","actor":{"id":"ag_one","kind":"agent","name":"claude-code"},'
        '"at":1700000000000000,"client":"cl_one","entry":"au_one","facts":{"field":"x"},"format":1,'
        '"machine":{"id":"ma_one","name":"workbench"},"outcome":"ok","owner":{"id":"pe_one","name":"anna"},'
        '"purpose":"Grüße 🔑","session":"s-1","subject":{"id":"cr_one","name":"acme/gitea/admin","revision":3,'
        '"type":"credential"},"tier":"embedded","verified":["agent","machine","owner"]}'
    )


def test_scopes_are_no_part_of_an_entry():
    assert b"credentials:read" not in body_of(ENTRY)


def test_the_columns_say_what_the_body_says():
    columns = columns_of(body_of(ENTRY))
    assert columns == {
        "format": 1,
        "entry_id": "au_one",
        "at_us": 1_700_000_000_000_000,
        "action": "credential.decrypt",
        "outcome": "ok",
        "actor_kind": "agent",
        "actor_id": "ag_one",
        "actor_name": "claude-code",
        "owner_id": "pe_one",
        "owner_name": "anna",
        "machine_id": "ma_one",
        "machine_name": "workbench",
        "session_id": "s-1",
        "verified": "agent machine owner",
        "tier": "embedded",
        "client_id": "cl_one",
        "subject_type": "credential",
        "subject_id": "cr_one",
        "subject_name": "acme/gitea/admin",
        "subject_revision": 3,
        "purpose": "Grüße 🔑",
    }


def test_the_hash_is_sha256_over_lengths_and_parts():
    body = body_of(ENTRY)
    parts = lengths(b"claudetools audit entry", b"ch_one", b"7", b"previous", body)
    assert link_hash("ch_one", 7, b"previous", body) == hashlib.sha256(parts).digest()
    parts = lengths(b"claudetools audit chain", b"ch_one", b"opening")
    assert opening_hash("ch_one", b"opening") == hashlib.sha256(parts).digest()


def test_chain_number_previous_hash_and_body_all_count():
    one = link_hash("ch_one", 1, b"p", b"body")
    others = {
        link_hash("ch_two", 1, b"p", b"body"),
        link_hash("ch_one", 2, b"p", b"body"),
        link_hash("ch_one", 1, b"q", b"body"),
        link_hash("ch_one", 1, b"p", b"bodx"),
        link_hash("ch_one1", 0, b"p", b"body"),
        link_hash("ch_one", 1, b"pb", b"ody"),
    }
    assert len(others) == 6
    assert one not in others


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Entry)])
def test_every_part_of_an_entry_reaches_its_body(field: str):
    other = {
        "at_us": 5,
        "outcome": "denied",
        "revision": 9,
        "actor": dataclasses.replace(ACTOR, name="other"),
        "subject": dataclasses.replace(SUBJECT, name="other"),
        "facts": {"field": "y"},
    }.get(field, "other")
    assert body_of(dataclasses.replace(ENTRY, **{field: other})) != body_of(ENTRY)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Actor) if f.name != "scopes"])
def test_every_part_of_an_actor_reaches_the_body(field: str):
    other = {"verified": frozenset({"agent"}), "kind": "person", "tier": "server"}.get(field, "other")
    actor = dataclasses.replace(ACTOR, **{field: other})
    assert body_of(dataclasses.replace(ENTRY, actor=actor)) != body_of(ENTRY)


def test_a_link_is_signed_by_the_machines_key():
    made = link(ENTRY, "ch_one", 4, b"previous", KEY)
    KEY.public_key().verify(made.signature, made.hash)
    assert made.hash == link_hash("ch_one", 4, b"previous", made.body)


def test_an_opening_says_whose_process_writes_where():
    opening = open_chain("ch_one", "ma_one", "ag_one", "claudetools:17", 5, KEY)
    KEY.public_key().verify(opening.signature, opening.hash)
    assert opening_columns_of(opening.body) == {
        "chain_id": "ch_one",
        "machine_id": "ma_one",
        "actor_id": "ag_one",
        "process": "claudetools:17",
        "opened_us": 5,
    }


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"5", b"\xff", b'{"actor": 5}', b"[" * 100_000])
def test_what_is_no_body_is_told(body: bytes):
    with pytest.raises(Broken):
        columns_of(body)
    with pytest.raises(Broken):
        opening_columns_of(body)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, b"bytes", {"x": object()}, 2**60])
def test_what_canonical_json_cannot_say_exactly_is_refused(value: object):
    with pytest.raises(ValueError):
        canonical(value)


def test_times_in_microseconds_are_exact_in_canonical_json():
    assert json.loads(canonical({"at": 253_402_300_799_999_999 // 64})) == {"at": 253_402_300_799_999_999 // 64}
    assert canonical(1_795_476_472_580_466) == b"1795476472580466"
