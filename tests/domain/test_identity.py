"""Passwords, secrets, and what a token claims."""

from __future__ import annotations

import pytest

from domain.errors import Invalid, Unauthenticated
from domain.identity import (
    AGENT_TOKEN_SECONDS,
    REQUIRED_CLAIMS,
    Claims,
    check_password_form,
    check_secret,
    hash_secret,
    new_agent_secret,
)

CLAIMS = Claims("va_one", "pe_one", "ag_one", "ma_one", "s-1", frozenset({"b:read", "a:read"}), "jt_one", 100, 1000)


def test_a_secret_is_kept_as_argon2id_with_the_profile_of_the_design():
    stored = hash_secret("correct horse")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "correct" not in stored
    check_secret(stored, "correct horse")
    for wrong in ("", "correct hors", "correct horse ", "Correct horse", "x" * 5000):
        with pytest.raises(Unauthenticated):
            check_secret(stored, wrong)


def test_one_secret_never_hashes_alike():
    assert hash_secret("same") != hash_secret("same")


@pytest.mark.parametrize("stored", ["", "x", "$argon2id$", "correct horse", "$argon2id$v=19$m=1,t=1,p=1$AAAA$AAAA"])
def test_a_damaged_hash_fits_nothing(stored: str):
    with pytest.raises(Unauthenticated):
        check_secret(stored, "correct horse")


@pytest.mark.parametrize("length", [0, 1, 9, 1025])
def test_a_password_that_is_too_short_or_too_long_is_refused(length: int):
    with pytest.raises(Invalid) as refused:
        check_password_form("q" * length)
    assert list(refused.value.fields) == ["password"]
    assert not length or "q" * length not in refused.value.message


@pytest.mark.parametrize("length", [10, 1024])
def test_a_password_of_a_sensible_length_is_taken(length: int):
    check_password_form("q" * length)


def test_agent_secrets_have_256_bits_and_do_not_repeat():
    made = {new_agent_secret() for _ in range(200)}
    assert len(made) == 200
    assert all(one.startswith("cta_") and len(one) >= 4 + 43 for one in made)


def test_claims_are_read_as_they_were_written():
    said = CLAIMS.to_json()
    assert set(said) == set(REQUIRED_CLAIMS)
    assert said["sub"] == "pe_one"
    assert said["act"] == {"sub": "ag_one"}  # RFC 8693: the owner is the subject, the agent acts for him
    assert said["scope"] == "a:read b:read"
    assert Claims.from_json(said) == CLAIMS


@pytest.mark.parametrize("name", [name for name in REQUIRED_CLAIMS if name != "aud"])
@pytest.mark.parametrize("value", ["gone", None, 5.5, [], {"sub": None}])
def test_a_claim_that_is_missing_or_of_another_type_is_refused(name: str, value: object):
    said = CLAIMS.to_json()
    if value == "gone":
        del said[name]
    else:
        said[name] = value
    with pytest.raises(Unauthenticated):
        Claims.from_json(said)


def test_an_agents_token_lives_a_quarter_of_an_hour():
    assert AGENT_TOKEN_SECONDS == 15 * 60
