"""Heads, versions and sealed fields, as they are stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from domain.credentials import Head, SealedVersion
from domain.errors import Broken, Conflict
from storage.credentials import Credentials
from storage.guard import Guard
from storage.keys import Keys
from storage.migrations import upgrade
from storage.transaction import begin
from tests.domain.test_credentials import HEAD
from tests.storage.test_guard import mac

FULL = dataclasses.replace(
    HEAD,
    username="Grüße 🔑",
    external_url="https://git.example.org/?a=b&c",
    ports=(22, 443),
    tags=("a b", 'quote " and \\', "日本"),
    open={"public_key": "ssh-ed25519 AAAA\n", "empty": ""},
    requires_vpn=True,
    expires_us=2**62,
    rotate_every_days=30,
    last_rotated_us=7,
    fields={"password": 2, "notes": 1},
    current_version=2,
    deleted_us=9,
)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    upgrade(engine)
    with begin(engine, write=True) as transaction:
        yield transaction.connection


@pytest.fixture
def store(connection: Connection) -> Credentials:
    return Credentials(connection, Trusting(connection, mac))


class Trusting(Guard):
    """A guard for rows of which no log speaks: the log has tests of its own."""

    def check_revision(self, row, logged, subject_type, key) -> None:
        """Takes every revision."""


@pytest.mark.parametrize("head", [HEAD, FULL], ids=["bare", "full"])
def test_a_head_is_read_as_it_was_written(store: Credentials, head: Head):
    store.insert(head)
    for name in (head.reference, head.credential_id):
        found = store.load(name)
        assert found is not None
        assert dataclasses.replace(found, revision=0) == head
        assert found.revision == 1


def test_every_part_of_a_head_is_stored(store: Credentials):
    """So that none is added that the database forgets."""
    assert [
        field.name
        for field in dataclasses.fields(Head)
        if field.name != "revision" and getattr(FULL, field.name) in (None, (), {}, "", 0, False)
    ] == ["service_id", "infrastructure_id", "requires_2fa"]


def test_a_change_needs_the_revision_that_was_read(store: Credentials):
    store.insert(HEAD)
    first = store.load(HEAD.reference)
    assert first is not None
    store.replace(dataclasses.replace(first, username="one"))
    with pytest.raises(Conflict):
        store.replace(dataclasses.replace(first, username="two"))
    found = store.load(HEAD.reference)
    assert found is not None
    assert (found.username, found.revision) == ("one", 2)


def test_a_reference_stays_taken_when_its_credential_is_deleted(store: Credentials):
    assert not store.reference_taken(HEAD.reference)
    store.insert(dataclasses.replace(HEAD, state="deleted"))
    assert store.reference_taken(HEAD.reference)


def version(**blobs: bytes) -> SealedVersion:
    return SealedVersion(1, b"wrapped data key", blobs, dict.fromkeys(blobs, b"blind"))


def test_a_sealed_field_comes_with_all_that_opens_it(store: Credentials, connection: Connection):
    Keys(connection, Guard(connection, mac)).create("cl_one", 1, b"wrapped client key", 5)
    head = dataclasses.replace(HEAD, fields={"password": 2, "notes": 1}, current_version=2)
    store.insert(head)
    store.add_version("cr_one", 1, version(password=b"old", notes=b"notes"), 5, exposed=False)
    store.add_version("cr_one", 2, version(password=b"new"), 6, exposed=True)
    sealed = store.sealed(head, "password")
    assert (sealed.blob, sealed.version, sealed.field) == (b"new", 2, "password")
    assert (sealed.wrapped_key, sealed.wrapped_client_key) == (b"wrapped data key", b"wrapped client key")
    assert (sealed.credential_id, sealed.client_id, sealed.type) == ("cr_one", "cl_one", "password")
    assert store.sealed(head, "notes").blob == b"notes"
    assert sorted(one.blob for one in store.every_sealed()) == [b"new", b"notes", b"old"]
    assert store.sealed_state() == (2, 6)
    with pytest.raises(Broken, match="missing"):
        store.sealed(dataclasses.replace(head, fields={"password": 3}), "password")


def test_a_version_number_is_used_once(store: Credentials):
    store.add_version("cr_one", 1, version(password=b"a"), 5, exposed=False)
    with pytest.raises(IntegrityError):
        store.add_version("cr_one", 1, version(password=b"b"), 5, exposed=False)


def test_a_version_is_marked_exposed_once_and_keeps_the_first_time(store: Credentials, connection: Connection):
    store.add_version("cr_one", 1, version(password=b"a"), 5, exposed=False)
    for now in (7, 9):
        store.mark_exposed("cr_one", 1, now)
    assert connection.execute(text("SELECT exposed_us FROM credential_versions")).scalars().all() == [7]
