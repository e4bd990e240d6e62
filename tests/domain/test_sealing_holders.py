"""Keys that are wrapped for a machine by its audit key, and keys behind a passphrase."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import sealing
from domain.errors import Broken
from domain.plain import Plain
from domain.sealing import Stretch, unwrap_behind, unwrap_with, wrap_behind, wrap_for

PLACE = ("slot", "va_one", "sl_one", "machine")
INNER = bytes(range(32))
QUICK = Stretch(memory_kib=64, passes=1)


def public(seed: bytes) -> bytes:
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


@given(st.binary(min_size=32, max_size=32))
def test_the_other_form_of_a_public_key_is_that_of_its_private_half(seed):
    import hashlib

    private = X25519PrivateKey.from_private_bytes(hashlib.sha512(seed).digest()[:32])
    right = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert sealing._montgomery(public(seed)) == right


@given(st.binary(min_size=32, max_size=32))
def test_who_holds_the_audit_key_opens_what_was_wrapped_for_it(seed):
    assert unwrap_with(seed, public(seed), wrap_for(public(seed), INNER, *PLACE), *PLACE) == INNER


def test_nobody_else_opens_it_and_nowhere_else():
    mine, other = os.urandom(32), os.urandom(32)
    wrapped = wrap_for(public(mine), INNER, *PLACE)
    with pytest.raises(Broken):
        unwrap_with(other, public(other), wrapped, *PLACE)
    with pytest.raises(Broken):
        unwrap_with(mine, public(mine), wrapped, "slot", "va_one", "sl_two", "machine")
    assert wrap_for(public(mine), INNER, *PLACE) != wrapped


def test_a_changed_byte_anywhere_is_refused():
    seed = os.urandom(32)
    wrapped = wrap_for(public(seed), INNER, *PLACE)
    for at in range(len(wrapped)):
        with pytest.raises(Broken):
            unwrap_with(seed, public(seed), wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :], *PLACE)
    for cut in (0, 5, 37, len(wrapped) - 1):
        with pytest.raises(Broken):
            unwrap_with(seed, public(seed), wrapped[:cut], *PLACE)


@pytest.mark.parametrize(
    "holder",
    [
        b"",
        bytes(31),
        (1).to_bytes(32, "little"),  # the neutral point: no X25519 form
        (2**255 - 20).to_bytes(32, "little"),  # y = -1: u = 0, of low order
        (2**255 - 19).to_bytes(32, "little"),  # beyond the field
        b"\xff" * 32,
    ],
)
def test_nothing_is_wrapped_for_what_is_no_key(holder):
    with pytest.raises(Broken):
        wrap_for(holder, INNER, *PLACE)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_a_passphrase_opens_what_stands_behind_it(text):
    wrapped = wrap_behind(Plain(text), INNER, *PLACE, stretch=QUICK)
    assert unwrap_behind(Plain(text), wrapped, *PLACE) == INNER
    with pytest.raises(Broken):
        unwrap_behind(Plain(text + " "), wrapped, *PLACE)


def test_parameters_and_salt_are_bound_to_it():
    wrapped = wrap_behind(Plain("five words"), INNER, *PLACE, stretch=QUICK)
    for at in range(len(wrapped)):
        with pytest.raises(Broken):
            unwrap_behind(Plain("five words"), wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :], *PLACE)
    with pytest.raises(Broken):
        unwrap_behind(Plain("five words"), wrapped, "slot", "va_two", "sl_one", "passphrase")


@pytest.mark.parametrize(
    ("memory_kib", "passes", "lanes"), [(2**31, 1, 1), (64, 200, 1), (64, 1, 200), (64, 0, 1), (1, 1, 1)]
)
def test_a_slot_that_asks_for_a_machines_whole_memory_is_refused_at_once(memory_kib, passes, lanes):
    wrapped = wrap_behind(Plain("five words"), INNER, *PLACE, stretch=QUICK)
    asked = memory_kib.to_bytes(4, "big") + bytes([passes, lanes])
    with pytest.raises(Broken):
        unwrap_behind(Plain("five words"), wrapped[:21] + asked + wrapped[27:], *PLACE)
