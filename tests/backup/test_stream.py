"""The sealed stream and the backup's content, against vectors made without them, and against every change."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.backup import (
    ContentReader,
    ContentWriter,
    Event,
    Header,
    HeaderSlot,
    decode_row,
    encode_row,
    header_length,
    header_of,
    preamble_of,
)
from domain.errors import Broken, ClaudeToolsError, Invalid
from domain.sealing import STREAM_HEAD_BYTES, StreamOpener, StreamSealer

VECTORS = Path(__file__).parent.parent / "vectors" / "backup"
KEY = bytes(range(32))
PREAMBLE = b"what stands before it"
PIECE = 32

SAYS = {
    "wrong key": "another key",
    "altered": "altered or moved",
    "cut short": "ends too early",
    "newer suite": "newer program",
    "not the form": "not in the stored form",
}


# The stream a second time, from the standard's own parts: HKDF by HMAC (RFC 5869), GCM from the block cipher.


def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    pseudo = hmac.digest(salt, key, hashlib.sha512)
    return hmac.digest(pseudo, info + b"\1", hashlib.sha512)


def lengths(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def build(
    text: bytes, *, key: bytes = KEY, preamble: bytes = PREAMBLE, salt: bytes = b"s" * 32
) -> tuple[bytes, list[bytes]]:
    keys = hkdf(key, salt, b"claudetools envelope CTS1")
    head = b"CTS1\1" + salt + keys[32:]
    texts = [text[i : i + PIECE] for i in range(0, len(text), PIECE)] or [b""]
    pieces = []
    for number, part in enumerate(texts):
        nonce = number.to_bytes(11, "big") + (b"\1" if number == len(texts) - 1 else b"\0")
        gcm = Cipher(algorithms.AES256(keys[:32]), modes.GCM(nonce)).encryptor()
        gcm.authenticate_additional_data(hashlib.sha256(lengths(preamble, head)).digest())
        pieces.append(gcm.update(part) + gcm.finalize() + gcm.tag)
    return head, pieces


def opened(sealed: bytes, *, key: bytes = KEY, preamble: bytes = PREAMBLE, step: int = 7) -> bytes:
    opener = StreamOpener(key, preamble, sealed[:STREAM_HEAD_BYTES], piece=PIECE)
    out = b""
    for i in range(STREAM_HEAD_BYTES, len(sealed), step):
        out += opener.update(sealed[i : i + step])
    return out + opener.finish()


def sealed(text: bytes, *, step: int = 11) -> bytes:
    sealer = StreamSealer(KEY, PREAMBLE, piece=PIECE)
    out = sealer.head
    for i in range(0, len(text), step):
        out += sealer.update(text[i : i + step])
    return out + sealer.finish()


def vectors() -> list[Path]:
    return sorted(VECTORS.glob("*.txt"))


@pytest.mark.parametrize("file", vectors(), ids=lambda file: file.stem)
def test_a_stream_opens_or_is_refused_as_its_vector_says(file: Path) -> None:
    said = dict(line.split(": ", 1) if ": " in line else (line[:-1], "") for line in file.read_text().splitlines())
    raw, key = bytes.fromhex(said["stream"]), bytes.fromhex(said["key"])
    if said["expect"] == "opens":
        assert opened(raw, key=key, preamble=bytes.fromhex(said["preamble"])) == bytes.fromhex(said["text"])
        return
    with pytest.raises(Broken) as refused:
        opened(raw, key=key, preamble=bytes.fromhex(said["preamble"]))
    assert SAYS[said["expect"]] in refused.value.message


def test_there_are_vectors_for_every_verdict() -> None:
    said = {file.read_text().splitlines()[0].removeprefix("expect: ") for file in vectors()}
    assert said == {"opens", *SAYS}


@given(st.binary(max_size=200), st.integers(1, 50), st.integers(1, 50))
def test_what_is_sealed_opens_however_it_is_cut_into_calls(text: bytes, first: int, second: int) -> None:
    assert opened(sealed(text, step=first), step=second) == text


@given(st.binary(max_size=150), st.data())
def test_a_stream_cut_anywhere_is_refused(text: bytes, data: st.DataObject) -> None:
    whole = sealed(text)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(Broken):
        opened(cut)


@given(st.binary(max_size=150), st.data())
def test_a_stream_with_one_bit_changed_is_refused(text: bytes, data: st.DataObject) -> None:
    whole = bytearray(sealed(text))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Broken):
        opened(bytes(whole))


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_nothing_may_follow_the_last_piece(size: int) -> None:
    with pytest.raises(Broken):
        opened(sealed(b"x" * size) + b"\0")
    with pytest.raises(Broken):
        opened(sealed(b"x" * size) + sealed(b"y")[STREAM_HEAD_BYTES:])


def test_pieces_that_change_places_are_refused() -> None:
    head, pieces = build(bytes(range(96)))
    assert opened(head + b"".join(pieces)) == bytes(range(96))
    for order in ([1, 0, 2], [0, 2, 1], [0, 0, 2], [0, 2], [2], [1, 2]):
        with pytest.raises(Broken):
            opened(head + b"".join(pieces[i] for i in order))


def test_a_piece_of_another_stream_under_the_same_key_is_refused() -> None:
    head, pieces = build(bytes(96))
    _, others = build(bytes(96), salt=b"t" * 32)
    with pytest.raises(Broken):
        opened(head + pieces[0] + others[1] + pieces[2])


# The content.

SCALARS = st.none() | st.integers() | st.text() | st.binary()


@given(st.lists(SCALARS, max_size=8))
def test_a_row_comes_back_as_it_was(values: list) -> None:
    assert decode_row(encode_row(values)) == tuple(values)


@given(st.lists(SCALARS, max_size=4), st.lists(SCALARS, max_size=4))
def test_rows_that_differ_have_different_bytes(one: list, other: list) -> None:
    same = [(type(v), v) for v in one] == [(type(v), v) for v in other]
    assert (encode_row(one) == encode_row(other)) == same


def test_a_float_is_not_kept() -> None:
    with pytest.raises(TypeError):
        encode_row([1.0])


def content(tables: dict[str, list[list]]) -> bytes:
    writer, out = ContentWriter(), b""
    for name, rows in tables.items():
        out += writer.begin(name, ["a", "b"])
        for row in rows:
            out += writer.row(row)
        out += writer.end()
    return out + writer.finish()


def told(raw: bytes, step: int = 13) -> list[Event]:
    reader, out = ContentReader(), []
    for i in range(0, len(raw), step):
        out += reader.feed(raw[i : i + step])
    reader.finish()
    return out


def test_content_comes_back_table_by_table() -> None:
    found = told(content({"one": [["x", 1], ["y", None]], "two": []}))
    assert [(e.kind, e.table) for e in found] == [
        ("begin", "one"), ("row", "one"), ("row", "one"), ("end", "one"), ("begin", "two"), ("end", "two"),
    ]  # fmt: skip
    assert [e.values for e in found if e.kind == "row"] == [("x", 1), ("y", None)]


@pytest.mark.parametrize("size", [1024 * 1024 - 9, 1024 * 1024, 3 * 1024 * 1024 + 5])
def test_a_long_row_that_compresses_well_comes_back(size: int) -> None:
    (row,) = [e.values for e in told(content({"one": [["x" * size, 1]]})) if e.kind == "row"]
    assert row == ("x" * size, 1)


@given(st.data())
def test_content_cut_anywhere_is_refused(data: st.DataObject) -> None:
    whole = content({"one": [["x", 1], ["y", None]], "two": [["z", b"z"]]})
    with pytest.raises(Broken):
        told(whole[: data.draw(st.integers(0, len(whole) - 1))])


def rewritten(raw: bytes, change: tuple[bytes, bytes]) -> bytes:
    import zlib

    return zlib.compress(zlib.decompress(raw).replace(*change))


@pytest.mark.parametrize(
    "change",
    [(b'"rows":2', b'"rows":3'), (b"sx", b"sx"), (b"s\0\0\0\1x", b"s\0\0\0\1w"), (b'"tables":2', b'"tables":1')],
    ids=["too few rows", "nothing", "another value", "too few tables"],
)
def test_content_that_does_not_add_up_is_refused(change: tuple[bytes, bytes]) -> None:
    raw = rewritten(content({"one": [["x", 1], ["y", None]], "two": []}), change)
    if change[0] == change[1]:
        assert told(raw)
        return
    with pytest.raises(Broken):
        told(raw)


def test_a_row_left_out_of_the_content_is_refused() -> None:
    row = b"R" + len(encode_row(["x", 1])).to_bytes(4, "big") + encode_row(["x", 1])
    with pytest.raises(Broken):
        told(rewritten(content({"one": [["x", 1], ["y", None]]}), (row, b"")))


HEADER = Header("va_one", 17, 2, "0003", "0.1", (HeaderSlot("sl_one", "recovery", b"wrapped"),))


def test_a_header_comes_back_as_it_was() -> None:
    raw = preamble_of(HEADER)
    assert header_of(raw[9 : 9 + header_length(raw[:9])]) == HEADER


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_header_is_refused_or_read_without_a_crash(data: st.DataObject) -> None:
    raw = bytearray(preamble_of(HEADER))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ClaudeToolsError):
        header_of(bytes(raw[9 : 9 + header_length(bytes(raw[:9]))]))


def test_another_kind_of_file_is_told_apart() -> None:
    with pytest.raises(Invalid, match="no backup"):
        header_length(b"SQLite fo")
