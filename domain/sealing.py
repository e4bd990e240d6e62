"""The envelope: seal freely; unseal only against an audit ticket for that very field.

Field blob, version 1 (binding):

    magic "CTF1" | suite 0x01 | salt(32) | commitment(32) | nonce(12) | AES-256-GCM(enc_key, pad64(plaintext), aad)

    enc_key | commitment = HKDF-SHA512(key, salt, 64 bytes)      (RFC 5869)
    aad = length-prefixed (vault, client, credential, field, version, type)

AES-GCM does not commit to its key (two keys can open one ciphertext), so the commitment is
compared first, in constant time.  The plaintext is padded to 64-byte steps because a password's
length is information.  Keys are wrapped in the same envelope under the magic "CTK1".

A key for the holder of an Ed25519 key, "CTA1" (binding):

    magic "CTA1" | suite 0x01 | ephemeral X25519 public key(32) | wrapped key "CTK1"

    wrapped under HKDF-SHA512(X25519(ephemeral, holder), ephemeral | holder), bound to both keys and its place
    holder = the X25519 form of the Ed25519 key (RFC 7748, section 4.1)

A key behind a passphrase, "CTP1" (binding):

    magic "CTP1" | suite 0x01 | salt(16) | memory in KiB(4) | passes(1) | lanes(1) | wrapped key "CTK1"

    wrapped under Argon2id(passphrase, salt; memory, passes, lanes), bound to these parameters and its place
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.audit import BulkTicket, Ticket, blob_digest
from domain.errors import Broken
from domain.framing import frame
from domain.plain import Plain

FIELD_MAGIC = b"CTF1"
KEY_MAGIC = b"CTK1"
HOLDER_MAGIC = b"CTA1"
PASSPHRASE_MAGIC = b"CTP1"
STREAM_MAGIC = b"CTS1"
SUITE = 1
KEY_BYTES = 32
_SALT, _COMMITMENT, _NONCE, _TAG = 32, 32, 12, 16
_HEADER = 4 + 1 + _SALT + _COMMITMENT + _NONCE
STREAM_HEAD_BYTES = 4 + 1 + _SALT + _COMMITMENT
PIECE = 65_536
"""How many bytes of a long text are sealed at a time."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a sealed field is bound to; every part goes into the associated data."""

    vault_id: str
    client_id: str
    credential_id: str
    field: str
    version: int
    type: str

    def aad(self) -> bytes:
        """The associated data of this field's blob."""
        return frame(self.vault_id, self.client_id, self.credential_id, self.field, self.version, self.type)


def derive(root: bytes, purpose: str) -> bytes:
    """A 32-byte key for one purpose, by HKDF-SHA512 from the root key (RFC 5869)."""
    info = b"claudetools " + purpose.encode("ascii")
    return HKDF(algorithm=SHA512(), length=KEY_BYTES, salt=None, info=info).derive(root)


def pad64(plaintext: bytes) -> bytes:
    """ISO/IEC 7816-4 padding (0x80, then zeros) to a multiple of 64 bytes."""
    return plaintext + b"\x80" + b"\x00" * (-(len(plaintext) + 1) % 64)


def unpad64(padded: bytes) -> bytes:
    """Takes the padding off.  Raises Broken where there is none."""
    body = padded.rstrip(b"\x00")
    if len(padded) % 64 or not body.endswith(b"\x80"):
        raise Broken("a sealed value has no valid padding")
    return body[:-1]


def _keys(key: bytes, salt: bytes, magic: bytes) -> tuple[bytes, bytes]:
    info = b"claudetools envelope " + magic
    out = HKDF(algorithm=SHA512(), length=64, salt=salt, info=info).derive(key)
    return out[:32], out[32:]


def _box(magic: bytes, key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    enc_key, commitment = _keys(key, salt, magic)
    head = magic + bytes([SUITE]) + salt + commitment + nonce
    return head + AESGCM(enc_key).encrypt(nonce, plaintext, aad)


def _open(magic: bytes, key: bytes, box: bytes, aad: bytes, what: str) -> bytes:
    if len(box) < _HEADER + _TAG or box[:4] != magic:
        raise Broken(f"{what} is not in the stored form")
    if box[4] != SUITE:
        raise Broken(f"{what} was sealed by a newer program", hint="git pull && ./setup.sh")
    salt = box[5 : 5 + _SALT]
    stored = box[5 + _SALT : 5 + _SALT + _COMMITMENT]
    nonce = box[_HEADER - _NONCE : _HEADER]
    enc_key, commitment = _keys(key, salt, magic)
    if not hmac.compare_digest(stored, commitment):
        raise Broken(f"{what} was sealed with another key")
    try:
        return AESGCM(enc_key).decrypt(nonce, box[_HEADER:], aad)
    except InvalidTag:
        raise Broken(f"{what} was altered, or belongs to another place") from None


def seal(data_key: bytes, value: Plain, bound: Bound) -> bytes:
    """Seals one secret field under its version's data key.  Returns the field blob."""
    return _box(FIELD_MAGIC, data_key, pad64(value.expose_bytes()), bound.aad())


def unseal(ticket: Ticket, data_key: bytes, blob: bytes, bound: Bound) -> Plain:
    """Opens one field, against the ticket of its committed audit entry.

    Raises Broken where the ticket is for another field, version or blob, was used before, or
    the blob does not open.
    """
    ticket.spend(bound.credential_id, bound.field, bound.version, blob_digest(blob))
    return _unseal(data_key, blob, bound)


def unseal_for_matcher(ticket: BulkTicket, data_key: bytes, blob: bytes, bound: Bound) -> Plain:
    """Opens one field for the redaction matcher or a rotation of keys, within the number its audit entry recorded."""
    ticket.spend()
    return _unseal(data_key, blob, bound)


def _unseal(data_key: bytes, blob: bytes, bound: Bound) -> Plain:
    what = f"field {bound.field} of credential {bound.credential_id}, version {bound.version}"
    return Plain(unpad64(_open(FIELD_MAGIC, data_key, blob, bound.aad(), what)))


def wrap(key: bytes, inner: bytes, *place: str | int) -> bytes:
    """Wraps a key under another; `place` says whose key it is and is bound to it."""
    return _box(KEY_MAGIC, key, inner, frame(*place))


def unwrap(key: bytes, wrapped: bytes, *place: str | int) -> bytes:
    """Opens a wrapped key.  Raises Broken where the key or the place is another."""
    return _open(KEY_MAGIC, key, wrapped, frame(*place), f"the key {'/'.join(map(str, place))}")


# A key for the holder of an Ed25519 key.

_PRIME = 2**255 - 19


def wrap_for(holder: bytes, inner: bytes, *place: str | int) -> bytes:
    """Wraps a key for whoever holds the private half of this Ed25519 public key (32 bytes).  Raises Broken."""
    ephemeral = X25519PrivateKey.generate()
    shown = ephemeral.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    public = _montgomery(holder)
    key = _agreed(ephemeral, public, shown, public)
    return HOLDER_MAGIC + bytes([SUITE]) + shown + wrap(key, inner, *place, shown.hex(), public.hex())


def unwrap_with(seed: bytes, holder: bytes, wrapped: bytes, *place: str | int) -> bytes:
    """Opens what `wrap_for` made, with the Ed25519 key's 32 private bytes and its public half.  Raises Broken."""
    if len(wrapped) <= 37 or wrapped[:5] != HOLDER_MAGIC + bytes([SUITE]):  # noqa: PLR2004  # magic, suite, public key
        raise Broken("a key for a machine is not in the stored form", hint="git pull && ./setup.sh")
    shown, public = wrapped[5:37], _montgomery(holder)
    # The scalar of an Ed25519 key (RFC 8032, section 5.1.5); X25519 clamps it alike.
    private = X25519PrivateKey.from_private_bytes(hashlib.sha512(seed).digest()[:32])
    key = _agreed(private, shown, shown, public)
    return unwrap(key, wrapped[37:], *place, shown.hex(), public.hex())


def _montgomery(holder: bytes) -> bytes:
    """The X25519 form of an Ed25519 public key: u = (1 + y) / (1 - y)  (RFC 7748, section 4.1)."""
    y = int.from_bytes(holder, "little") & (2**255 - 1)
    if len(holder) != KEY_BYTES or y >= _PRIME or (1 - y) % _PRIME == 0:
        raise Broken("a machine's public key is none")
    return ((1 + y) * pow(1 - y, -1, _PRIME) % _PRIME).to_bytes(32, "little")


def _agreed(own: X25519PrivateKey, other: bytes, shown: bytes, holder: bytes) -> bytes:
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:  # a point of low order
        raise Broken("a machine's public key is none") from None
    info = b"claudetools holder " + shown + holder
    return HKDF(algorithm=SHA512(), length=KEY_BYTES, salt=None, info=info).derive(shared)


# A key behind a passphrase.

_PASSPHRASE_SALT = 16
_PASSPHRASE_HEAD = 5 + _PASSPHRASE_SALT + 6
_MOST_MEMORY_KIB, _MOST_PASSES = 1 << 20, 16
"""What a slot may ask for: its row can be written by who administers the database."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """How much work Argon2id does for one guess of a passphrase."""

    memory_kib: int = 256 * 1024
    passes: int = 3
    lanes: int = 1


def wrap_behind(passphrase: Plain, inner: bytes, *place: str | int, stretch: Stretch = Stretch()) -> bytes:  # frozen
    """Wraps a key behind a passphrase, with the parameters beside it."""
    salt = os.urandom(_PASSPHRASE_SALT)
    head = (
        PASSPHRASE_MAGIC
        + bytes([SUITE])
        + salt
        + stretch.memory_kib.to_bytes(4, "big")
        + bytes([stretch.passes, stretch.lanes])
    )
    return head + wrap(_stretched(passphrase, salt, stretch), inner, *place, head.hex())


def unwrap_behind(passphrase: Plain, wrapped: bytes, *place: str | int) -> bytes:
    """Opens what `wrap_behind` made.  Raises Broken for another passphrase, or an altered row."""
    if len(wrapped) <= _PASSPHRASE_HEAD or wrapped[:5] != PASSPHRASE_MAGIC + bytes([SUITE]):
        raise Broken("a key behind a passphrase is not in the stored form", hint="git pull && ./setup.sh")
    head = wrapped[:_PASSPHRASE_HEAD]
    salt, rest = head[5 : 5 + _PASSPHRASE_SALT], head[5 + _PASSPHRASE_SALT :]
    stretch = Stretch(int.from_bytes(rest[:4], "big"), rest[4], rest[5])
    fits = 8 * stretch.lanes <= stretch.memory_kib <= _MOST_MEMORY_KIB
    if not fits or not 1 <= stretch.passes <= _MOST_PASSES or not 1 <= stretch.lanes <= _MOST_PASSES:
        raise Broken("a key behind a passphrase asks for more work than any does")
    return unwrap(_stretched(passphrase, salt, stretch), wrapped[_PASSPHRASE_HEAD:], *place, head.hex())


def _stretched(passphrase: Plain, salt: bytes, stretch: Stretch) -> bytes:
    from argon2.low_level import Type, hash_secret_raw  # only where a passphrase is

    return hash_secret_raw(
        passphrase.expose_bytes(), salt, stretch.passes, stretch.memory_kib, stretch.lanes, KEY_BYTES, Type.ID
    )


def fresh_key() -> bytes:
    """32 random bytes."""
    return os.urandom(KEY_BYTES)


# A long text in pieces: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizard, CRYPTO 2015).
#
#     head: magic "CTS1" | suite 0x01 | salt(32) | commitment(32)
#     piece: AES-256-GCM(enc_key, up to 65,536 bytes, nonce, aad)
#     nonce = counter(11, big-endian from 0) | 1 for the last piece, else 0
#     aad = SHA-256(length-prefixed preamble, head)
#
# The key is fresh for each stream (the salt), so counters never meet.  Every piece but the last is whole; the last is
# empty only where the whole text is.


class StreamSealer:
    """Seals a text of any length in pieces under a key of its own.

    `preamble` stands before the stream in clear and is bound to every piece.  Write `head`, then what `update` and at
    the end `finish` return.
    """

    def __init__(self, key: bytes, preamble: bytes, *, piece: int = PIECE) -> None:
        salt = os.urandom(_SALT)
        enc_key, commitment = _keys(key, salt, STREAM_MAGIC)
        self.head = STREAM_MAGIC + bytes([SUITE]) + salt + commitment
        self._aead = AESGCM(enc_key)
        self._aad = hashlib.sha256(frame(preamble, self.head)).digest()
        self._piece = piece
        self._counter = 0
        self._held = bytearray()

    def update(self, text: bytes) -> bytes:
        """Takes more of the text.  Returns the pieces that are whole by now."""
        self._held += text
        out = bytearray()
        while len(self._held) > self._piece:  # a whole piece is kept back: it may be the last one
            out += self._seal(bytes(self._held[: self._piece]), last=False)
            del self._held[: self._piece]
        return bytes(out)

    def finish(self) -> bytes:
        """The last piece."""
        return self._seal(bytes(self._held), last=True)

    def _seal(self, text: bytes, *, last: bool) -> bytes:
        sealed = self._aead.encrypt(_stream_nonce(self._counter, last=last), text, self._aad)
        self._counter += 1
        return sealed


class StreamOpener:
    """Opens what `StreamSealer` made; nothing comes out of a piece that was altered, moved or cut.

    Raises Broken for another key; `update` and `finish` raise it for an altered stream.
    """

    def __init__(self, key: bytes, preamble: bytes, head: bytes, *, piece: int = PIECE) -> None:
        if len(head) != STREAM_HEAD_BYTES or head[:4] != STREAM_MAGIC:
            raise Broken("a sealed stream is not in the stored form")
        if head[4] != SUITE:
            raise Broken("a sealed stream was made by a newer program", hint="git pull && ./setup.sh")
        enc_key, commitment = _keys(key, head[5 : 5 + _SALT], STREAM_MAGIC)
        if not hmac.compare_digest(head[5 + _SALT :], commitment):
            raise Broken("a sealed stream was made with another key, or its head was altered")
        self._aead = AESGCM(enc_key)
        self._aad = hashlib.sha256(frame(preamble, head)).digest()
        self._sealed = piece + _TAG
        self._counter = 0
        self._held = bytearray()

    def update(self, sealed: bytes) -> bytes:
        """Takes more of the stream.  Returns the text of the pieces that are known not to be the last."""
        self._held += sealed
        out = bytearray()
        while len(self._held) > self._sealed:
            text = self._open(bytes(self._held[: self._sealed]), last=False)
            if text is None:
                raise Broken(f"piece {self._counter} of a sealed stream was altered or moved")
            out += text
            self._counter += 1
            del self._held[: self._sealed]
        return bytes(out)

    def finish(self) -> bytes:
        """The text of the last piece; only after it is the stream known to be whole."""
        held = bytes(self._held)
        text = self._open(held, last=True)
        if text is not None and (text or not self._counter):
            return text
        if len(held) < self._sealed or self._open(held, last=False) is not None:
            raise Broken("a sealed stream ends too early: it was cut short, or its last piece was altered")
        raise Broken(f"piece {self._counter} of a sealed stream was altered or moved")

    def _open(self, sealed: bytes, *, last: bool) -> bytes | None:
        if len(sealed) < _TAG:
            return None
        try:
            return self._aead.decrypt(_stream_nonce(self._counter, last=last), sealed, self._aad)
        except InvalidTag:
            return None


def _stream_nonce(counter: int, *, last: bool) -> bytes:
    return counter.to_bytes(11, "big") + bytes([last])
