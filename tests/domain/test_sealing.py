"""The envelope, against vectors that were made without it, and against every change of a byte or a place."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from domain import sealing
from domain.audit import BulkTicket, Receipt, Ticket
from domain.errors import Broken
from domain.plain import Plain
from domain.sealing import Bound, seal, unseal, unseal_for_matcher, unwrap, wrap

VECTORS = Path(__file__).parent.parent / "vectors" / "sealing"
KEY = bytes(range(32))
BOUND = Bound("va_one", "cl_one", "cr_one", "password", 3, "password")
RECEIPT = Receipt("au_one", "ch_one", 1, b"")

SAYS = {
    "wrong key": "sealed with another key",
    "altered": "altered",
    "wrong place": "belongs to another place",
    "newer suite": "newer program",
    "bad padding": "no valid padding",
    "not the form": "not in the stored form",
}


def ticket_for(blob: bytes, bound: Bound = BOUND) -> Ticket:
    return Ticket(RECEIPT, bound.credential_id, bound.field, bound.version, blob)


def opened(key: bytes, blob: bytes, bound: Bound = BOUND) -> str:
    return unseal(ticket_for(blob, bound), key, blob, bound).expose()


# The format a second time, from the standard's own parts: HKDF by HMAC (RFC 5869), GCM from the block cipher.


def hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    pseudo = hmac.digest(salt or b"\0" * 64, key, hashlib.sha512)
    out, last, count = b"", b"", 1
    while len(out) < length:
        last = hmac.digest(pseudo, last + info + bytes([count]), hashlib.sha512)
        out, count = out + last, count + 1
    return out[:length]


def lengths(*parts: str) -> bytes:
    return b"".join(len(p.encode()).to_bytes(8, "big") + p.encode() for p in parts)


def build(
    name: str, key: bytes, place: tuple[str, ...], padded: bytes, magic: bytes = b"CTF1", suite: int = 1
) -> bytes:
    salt = hashlib.sha256(b"salt of " + name.encode()).digest()
    nonce = hashlib.sha256(b"nonce of " + name.encode()).digest()[:12]
    keys = hkdf(key, salt, b"claudetools envelope " + magic, 64)
    gcm = Cipher(algorithms.AES256(keys[:32]), modes.GCM(nonce)).encryptor()
    gcm.authenticate_additional_data(lengths(*place))
    body = gcm.update(padded) + gcm.finalize() + gcm.tag
    return magic + bytes([suite]) + salt + keys[32:] + nonce + body


def padding(text: bytes) -> bytes:
    size = (len(text) // 64 + 1) * 64
    return (text + b"\x80").ljust(size, b"\0")


def flipped(blob: bytes, at: int) -> bytes:
    return blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]


def made_vectors() -> dict[str, dict[str, str]]:
    """Every vector, by its file's name."""
    place = ("va_vector", "cl_vector", "cr_vector", "password", "3", "password")
    vectors: dict[str, dict[str, str]] = {}

    def add(name: str, expect: str, plain: bytes, blob: bytes, at: tuple[str, ...] = place) -> None:
        names = ("vault", "client", "credential", "field", "version", "type")
        vectors[name] = {
            "expect": expect,
            "key": KEY.hex(),
            **dict(zip(names, at, strict=True)),
            "plaintext": plain.hex(),
            "blob": blob.hex(),
        }

    texts = {
        "one-byte": b"x",
        "password": b"correct horse battery staple",
        "fills-a-step-but-one": b"a" * 63,
        "fills-a-step": b"b" * 64,
        "ends-like-padding": b"pin\x80\x00\x00",
        "umlauts-and-emoji": "Grüße 🔑".encode(),
        "three-steps": bytes(range(1, 150)),
    }
    for name, text in texts.items():
        add(name, "opens", text, build(name, KEY, place, padding(text)))
    plain = texts["password"]
    good = build("password", KEY, place, padding(plain))
    add("other-key", "wrong key", plain, build("other-key", KEY[::-1], place, padding(plain)))
    add("salt-changed", "wrong key", plain, flipped(good, 5))
    add("commitment-changed", "wrong key", plain, flipped(good, 37))
    add("commitment-and-tag-changed", "wrong key", plain, flipped(flipped(good, 40), len(good) - 1))
    add("nonce-changed", "altered", plain, flipped(good, 69))
    add("ciphertext-changed", "altered", plain, flipped(good, 81))
    add("tag-changed", "altered", plain, flipped(good, len(good) - 1))
    add("a-byte-more", "altered", plain, good + b"\0")
    for number, part in enumerate(("vault", "client", "credential", "field", "version", "type")):
        other = (*place[:number], "9" if part == "version" else "other", *place[number + 1 :])
        add(f"other-{part}", "wrong place", plain, good, other)
    moved = ("va_vectorc", "l_vector", *place[2:])
    add("boundary-moved", "wrong place", plain, good, moved)
    joined = build("joined", KEY, ("".join(place),), padding(plain))
    add("joined-without-lengths", "wrong place", plain, joined)
    add("suite-2", "newer suite", plain, build("suite-2", KEY, place, padding(plain), suite=2))
    add("no-mark", "bad padding", b"", build("no-mark", KEY, place, b"\0" * 64))
    add("no-step", "bad padding", b"", build("no-step", KEY, place, plain + b"\x80"))
    add("unpadded", "bad padding", b"", build("unpadded", KEY, place, b"c" * 64))
    add("of-a-key", "not the form", plain, build("of-a-key", KEY, place, padding(plain), magic=b"CTK1"))
    add("cut-short", "not the form", plain, good[:90])
    add("nothing", "not the form", b"", b"")
    return vectors


def read_vector(file: Path) -> dict[str, str]:
    lines = [line.partition(":") for line in file.read_text().splitlines() if line]
    return {name.strip(): value.strip() for name, _, value in lines}


FILES = sorted(VECTORS.glob("*.txt"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_vector_opens_or_is_refused_as_it_says(file):
    vector = read_vector(file)
    bound = Bound(
        vector["vault"],
        vector["client"],
        vector["credential"],
        vector["field"],
        int(vector["version"]),
        vector["type"],
    )
    key, blob = bytes.fromhex(vector["key"]), bytes.fromhex(vector["blob"])
    if vector["expect"] == "opens":
        assert unseal(ticket_for(blob, bound), key, blob, bound).expose_bytes() == bytes.fromhex(vector["plaintext"])
        return
    with pytest.raises(Broken) as refused:
        unseal(ticket_for(blob, bound), key, blob, bound)
    assert SAYS[vector["expect"]] in refused.value.message


def test_the_vectors_are_the_ones_that_the_second_construction_makes():
    assert {file.stem: read_vector(file) for file in FILES} == made_vectors()


def test_what_is_sealed_is_what_the_second_construction_would_read():
    blob = seal(KEY, Plain("correct horse"), BOUND)
    salt, commitment, nonce = blob[5:37], blob[37:69], blob[69:81]
    keys = hkdf(KEY, salt, b"claudetools envelope CTF1", 64)
    gcm = Cipher(algorithms.AES256(keys[:32]), modes.GCM(nonce, blob[-16:])).decryptor()
    gcm.authenticate_additional_data(lengths("va_one", "cl_one", "cr_one", "password", "3", "password"))
    assert blob[:5] == b"CTF1\x01"
    assert commitment == keys[32:]
    assert gcm.update(blob[81:-16]) + gcm.finalize() == padding(b"correct horse")


def test_derived_keys_are_hkdf_of_root_and_purpose():
    assert sealing.derive(KEY, "row key") == hkdf(KEY, b"", b"claudetools row key", 32)
    assert sealing.derive(KEY, "row key") != sealing.derive(KEY, "wrap key")


def test_a_change_of_any_byte_is_refused():
    blob = seal(KEY, Plain("correct horse"), BOUND)
    for at in range(len(blob)):
        for bit in (1, 0x80):
            changed = blob[:at] + bytes([blob[at] ^ bit]) + blob[at + 1 :]
            with pytest.raises(Broken):
                opened(KEY, changed)


def test_a_blob_that_is_cut_anywhere_is_refused():
    blob = seal(KEY, Plain("correct horse"), BOUND)
    for size in range(len(blob)):
        with pytest.raises(Broken):
            opened(KEY, blob[:size])


@pytest.mark.parametrize("part", [f.name for f in dataclasses.fields(Bound)])
def test_each_part_of_the_place_is_bound(part):
    blob = seal(KEY, Plain("correct horse"), BOUND)
    other = dataclasses.replace(BOUND, **{part: 4 if part == "version" else getattr(BOUND, part) + "x"})
    with pytest.raises(Broken, match="another place"):
        opened(KEY, blob, other)


def test_two_parts_of_the_place_cannot_trade_letters():
    blob = seal(KEY, Plain("correct horse"), dataclasses.replace(BOUND, client_id="ab", credential_id="c"))
    with pytest.raises(Broken):
        opened(KEY, blob, dataclasses.replace(BOUND, client_id="a", credential_id="bc"))


def test_the_key_commitment_is_checked_before_the_cipher():
    blob = seal(KEY, Plain("correct horse"), BOUND)
    with pytest.raises(Broken, match="another key"):
        opened(KEY, flipped(flipped(blob, 40), len(blob) - 1))  # both wrong: the commitment speaks first
    with pytest.raises(Broken, match="another key"):
        opened(KEY, flipped(blob, 40))  # the cipher alone would have opened this


@pytest.mark.parametrize(("length", "steps"), [(1, 1), (8, 1), (63, 1), (64, 2), (100, 2), (127, 2), (128, 3)])
def test_the_length_is_told_in_steps_of_64_bytes_only(length, steps):
    empty = len(seal(KEY, Plain(""), BOUND)) - 64
    assert len(seal(KEY, Plain("x" * length), BOUND)) == empty + 64 * steps


@pytest.mark.parametrize("value", [b"", b"\x80", b"\x00", b"a\x80\x00", b"\x00" * 64, bytes(range(256))])
def test_padding_comes_off_as_it_went_on(value):
    assert sealing.unpad64(sealing.pad64(value)) == value


def test_the_same_value_never_seals_to_the_same_bytes():
    assert len({seal(KEY, Plain("same"), BOUND) for _ in range(50)}) == 50


# Tickets.


@pytest.mark.parametrize(
    ("credential", "field", "version"),
    [("cr_two", "password", 3), ("cr_one", "notes", 3), ("cr_one", "password", 2)],
)
def test_a_ticket_opens_only_its_own_field_and_version(credential, field, version):
    blob = seal(KEY, Plain("correct horse"), BOUND)
    ticket = Ticket(RECEIPT, credential, field, version, blob)
    with pytest.raises(Broken, match="ticket"):
        unseal(ticket, KEY, blob, BOUND)


def test_a_ticket_opens_only_the_bytes_it_was_given_for():
    one, other = seal(KEY, Plain("one"), BOUND), seal(KEY, Plain("other"), BOUND)
    with pytest.raises(Broken, match="ticket"):
        unseal(ticket_for(one), KEY, other, BOUND)


def test_a_ticket_opens_once():
    blob = seal(KEY, Plain("correct horse"), BOUND)
    ticket = ticket_for(blob)
    assert unseal(ticket, KEY, blob, BOUND).expose() == "correct horse"
    with pytest.raises(Broken, match="ticket"):
        unseal(ticket, KEY, blob, BOUND)


def test_a_ticket_that_met_altered_bytes_is_used_up():
    blob = flipped(seal(KEY, Plain("correct horse"), BOUND), 90)
    ticket = ticket_for(blob)
    for words in ("altered", "ticket"):
        with pytest.raises(Broken, match=words):
            unseal(ticket, KEY, blob, BOUND)


def test_of_many_threads_with_one_ticket_one_opens():
    blob = seal(KEY, Plain("correct horse"), BOUND)
    ticket, start, opens = ticket_for(blob), threading.Barrier(8), []

    def use() -> None:
        start.wait(10)
        with contextlib.suppress(Broken):
            opens.append(unseal(ticket, KEY, blob, BOUND))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(opens) == 1


def test_a_bulk_ticket_opens_as_many_as_were_recorded():
    blob = seal(KEY, Plain("correct horse"), BOUND)
    ticket = BulkTicket(RECEIPT, 2)
    assert [unseal_for_matcher(ticket, KEY, blob, BOUND).expose() for _ in range(2)] == ["correct horse"] * 2
    with pytest.raises(Broken, match="that many"):
        unseal_for_matcher(ticket, KEY, blob, BOUND)


# Wrapped keys.


def test_a_wrapped_key_opens_in_its_place_and_nowhere_else():
    inner = sealing.fresh_key()
    wrapped = wrap(KEY, inner, "client key", "va_one", "cl_one", 1)
    assert unwrap(KEY, wrapped, "client key", "va_one", "cl_one", 1) == inner
    for place in (
        ("data key", "va_one", "cl_one", 1),
        ("client key", "va_two", "cl_one", 1),
        ("client key", "va_one", "cl_two", 1),
        ("client key", "va_one", "cl_one", 2),
        ("client key", "va_one", "cl_one"),
        ("client key", "va_onec", "l_one", 1),
    ):
        with pytest.raises(Broken, match="another place"):
            unwrap(KEY, wrapped, *place)
    with pytest.raises(Broken, match="another key"):
        unwrap(KEY[::-1], wrapped, "client key", "va_one", "cl_one", 1)


def test_a_change_of_any_byte_of_a_wrapped_key_is_refused():
    wrapped = wrap(KEY, sealing.fresh_key(), "here")
    for at in range(len(wrapped)):
        with pytest.raises(Broken):
            unwrap(KEY, flipped(wrapped, at), "here")


def test_a_wrapped_key_and_a_field_cannot_stand_for_each_other():
    with pytest.raises(Broken, match="not in the stored form"):
        unwrap(KEY, seal(KEY, Plain("x"), BOUND), "here")
    wrapped = wrap(KEY, sealing.fresh_key(), "here")
    with pytest.raises(Broken, match="not in the stored form"):
        opened(KEY, wrapped)


def test_no_refusal_tells_a_key_or_a_value():
    blob = seal(KEY, Plain("correct horse"), BOUND)
    for key, bytes_ in ((KEY[::-1], blob), (KEY, flipped(blob, 90)), (KEY, blob[:50])):
        with pytest.raises(Broken) as refused:
            opened(key, bytes_)
        told = repr(refused.value) + refused.value.message + refused.value.hint
        assert "correct horse" not in told
        assert KEY.hex() not in told
        assert refused.value.__context__ is None or refused.value.__suppress_context__
