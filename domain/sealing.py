"""The envelope: seal freely; unseal only against an audit ticket for that very field.

Field blob, version 1 (binding):

    magic "CTF1" | suite 0x01 | salt(32) | commitment(32) | nonce(12) | AES-256-GCM(enc_key, pad64(plaintext), aad)

    enc_key | commitment = HKDF-SHA512(key, salt, 64 bytes)      (RFC 5869)
    aad = length-prefixed (vault, client, credential, field, version, type)

AES-GCM does not commit to its key (two keys can open one ciphertext), so the commitment is
compared first, in constant time.  The plaintext is padded to 64-byte steps because a password's
length is information.  Keys are wrapped in the same envelope under the magic "CTK1".
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.audit import BulkTicket, Ticket, blob_digest
from domain.errors import Broken
from domain.framing import frame
from domain.plain import Plain

FIELD_MAGIC = b"CTF1"
KEY_MAGIC = b"CTK1"
SUITE = 1
KEY_BYTES = 32
_SALT, _COMMITMENT, _NONCE, _TAG = 32, 32, 12, 16
_HEADER = 4 + 1 + _SALT + _COMMITMENT + _NONCE


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
    """Opens one field for the redaction matcher, within the number its audit entry recorded."""
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


def fresh_key() -> bytes:
    """32 random bytes."""
    return os.urandom(KEY_BYTES)
