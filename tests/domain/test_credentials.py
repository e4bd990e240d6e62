"""The eight types, references, and dates that come due."""

from __future__ import annotations

import dataclasses

import pytest

from domain.credentials import (
    ALWAYS_SECRET,
    COMMON_OPEN,
    DAY_US,
    TYPES,
    Description,
    Head,
    is_reference,
    live_reference,
    rotation_due,
    secret_field_names,
    slug,
)

HEAD = Head(
    credential_id="cr_one",
    reference="acme/gitea/admin",
    type="password",
    client_id="cl_one",
    service_id="",
    infrastructure_id="",
    service_name="Gitea",
    username="admin",
    external_url="",
    ports=(),
    tags=(),
    open={},
    requires_vpn=False,
    requires_2fa=False,
    expires_us=None,
    rotate_every_days=None,
    last_rotated_us=None,
    exposure="reveal",
    state="active",
    fields={"password": 1},
    current_version=1,
    created_us=1_000,
    updated_us=1_000,
    deleted_us=None,
)


def test_there_are_the_eight_types():
    assert list(TYPES) == [
        "password",
        "api_key",
        "oauth",
        "ssh_key",
        "shared_secret",
        "jwt",
        "connection_string",
        "certificate",
    ]


@pytest.mark.parametrize("kind", TYPES.values(), ids=lambda kind: kind.name)
def test_no_field_of_a_type_is_both_open_and_secret(kind):
    assert not set(kind.secrets()) & {*kind.open, *COMMON_OPEN}
    assert kind.main in kind.secret
    assert set(kind.at_most_sealed) <= set(kind.secret)
    assert set(ALWAYS_SECRET) <= set(kind.secrets())


def test_no_name_is_secret_in_one_type_and_open_in_another():
    assert not secret_field_names() & {name for kind in TYPES.values() for name in kind.open}


def test_private_keys_and_refresh_tokens_are_at_most_sealed():
    kept = {(kind.name, name) for kind in TYPES.values() for name in kind.at_most_sealed}
    assert kept == {("ssh_key", "private_key"), ("certificate", "private_key"), ("oauth", "refresh_token")}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("Gitea Admin", "gitea-admin"),
        ("  ACME, Inc.  ", "acme-inc"),
        ("Müller & Söhne", "muller-sohne"),
        ("a/b\\c#d", "a-b-c-d"),
        ("日本", "x"),
        ("", "x"),
        ("---", "x"),
        ("x" * 200, "x" * 60),
        ("{{credential:this#password}}", "credential-this-password"),
    ],
)
def test_a_name_becomes_a_slug(text, made):
    assert slug(text) == made
    assert is_reference(f"{slug(text)}/{slug(text)}/{slug(text)}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a/b",
        "a/b/c/d",
        "/b/c",
        "a//c",
        "a/b/",
        "A/b/c",
        "a/b/c\n",
        "a/b/c ",
        "a/b/ü",
        "a/b/" + "c" * 65,
        "../b/c",
    ],
)
def test_what_is_no_reference_is_told(text):
    assert not is_reference(text)


def test_a_live_reference_names_credential_and_field():
    assert live_reference("acme/gitea/admin", "password") == "{{credential:acme/gitea/admin#password}}"


def test_rotation_is_due_after_its_days_from_the_creation_or_the_last_rotation():
    assert not rotation_due(HEAD, 10**18)
    each = dataclasses.replace(HEAD, rotate_every_days=30)
    assert not rotation_due(each, 1_000 + 30 * DAY_US - 1)
    assert rotation_due(each, 1_000 + 30 * DAY_US)
    rotated = dataclasses.replace(each, last_rotated_us=5 * DAY_US)
    assert not rotation_due(rotated, 1_000 + 30 * DAY_US)
    assert rotation_due(rotated, 35 * DAY_US)


def test_a_credential_is_expired_from_its_date_on():
    described = Description("acme/gitea/admin", dataclasses.replace(HEAD, expires_us=50), "acme", "", "", exposed=False)
    assert not described.expired(49)
    assert described.expired(50)
    assert not dataclasses.replace(described, head=HEAD).expired(10**18)
