"""The keys of a process: the root key from its slot, what is derived from it, and the machine's key.

Nothing here reads the database; callers hand in what is stored wrapped.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain import sealing
from domain.audit import BulkTicket, Ticket
from domain.credentials import ClientKey, SealedField, SealedKey, SealedVersion
from domain.errors import Broken, Invalid
from domain.framing import Scalar, frame, frame_row
from domain.invitations import SALT_BYTES, Enclosed, Letter, stretch
from domain.plain import Plain

RECOVERY_PREFIX = "CTR1"
PASSPHRASE, MACHINE = "passphrase", "machine"
"""Kinds of key slots that wrap the root key in a way of their own."""
KEY_BYTES = sealing.KEY_BYTES
STREAM_HEAD_BYTES = sealing.STREAM_HEAD_BYTES


@dataclass(slots=True)
class Root:
    """A root key and what is derived from it.  `slot_id` is the key slot that opened it."""

    raw: bytes = field(repr=False)
    slot_id: str = ""
    for_machine: bool = False
    generation: int | None = None
    _derived: dict[str, bytes] = field(repr=False, default_factory=dict)

    def key(self, purpose: str) -> bytes:
        """The key of one purpose.  Raises Invalid where there is no root key."""
        if not self.raw:  # what is derived from nothing is known to everybody
            raise Invalid("this process signs alone; it holds no root key")
        if purpose not in self._derived:
            self._derived[purpose] = sealing.derive(self.raw, purpose)
        return self._derived[purpose]


@dataclass(slots=True)
class Keyring:
    """Everything that one process may seal, open, sign and MAC with."""

    vault_id: str
    _root: Root = field(repr=False)
    _machine: Ed25519PrivateKey | None = field(repr=False, default=None)
    _client_keys: dict[tuple[str, int, bytes], bytes] = field(repr=False, default_factory=dict)
    _before: Root | None = field(repr=False, default=None)

    def _key(self, purpose: str) -> bytes:
        return self._root.key(purpose)

    # The root key and its turning.

    @property
    def generation(self) -> int | None:
        """How often the vault's root key was turned before this one; None until a row was found that it fits."""
        return self._root.generation

    def learn(self, generation: int | None) -> None:
        """Takes down the generation that the database names beside a row which this root key fits."""
        self._root.generation = generation

    @property
    def opened_by(self) -> str:
        """The id of the key slot that opened the root key; "" for one that was just made."""
        return self._root.slot_id

    @property
    def opened_for_machine(self) -> bool:
        """Whether what opened it is what a turn of the root key left for this machine."""
        return self._root.for_machine

    def turned(self) -> Keyring:
        """The same keyring with a new root key, for the vault's rows to be brought under."""
        return Keyring(self.vault_id, Root(sealing.fresh_key()), self._machine)

    def turn(self, other: Keyring) -> bool:
        """Goes on with another's root key, in every thread of this process; False where it is the same.

        What a thread has read before still opens: the root key before this one opens wrapped client keys until the
        process ends, and nothing else.
        """
        if hmac.compare_digest(self._root.raw, other._root.raw):
            self._root.generation = None  # what the database says of it is asked anew
            return False
        self._before, self._root = self._root, other._root
        return True

    @property
    def stamp(self) -> object:
        """Which root key this is, to be compared by identity alone."""
        return self._root

    def signs_alone(self) -> bool:
        """Whether there is no root key here."""
        return not self._root.raw

    # What every row of authority and every value is bound with.

    def mac(self, table: str, values: Mapping[str, Scalar]) -> bytes:
        """HMAC-SHA256 over a whole row, under the row key."""
        return hmac.digest(self._key("row key"), frame(self.vault_id) + frame_row(table, values), hashlib.sha256)

    def blind(self, value: Plain) -> bytes:
        """The blind index of a value: equal values are found without opening anything."""
        return hmac.digest(self._key("index key"), value.expose_bytes(), hashlib.sha256)

    def token_key(self) -> Ed25519PrivateKey:
        """The key that signs tokens (RFC 8037)."""
        return Ed25519PrivateKey.from_private_bytes(self._key("token key"))

    # The machine's own signature.

    def sign(self, message: bytes) -> bytes:
        """Signs with the machine's audit key (Ed25519, RFC 8032).  Raises Invalid without one."""
        if self._machine is None:
            raise Invalid("this machine's audit key is missing", hint="claudetools keys recover")
        return self._machine.sign(message)

    def machine_public_key(self) -> bytes:
        """The public half of the machine's audit key, raw."""
        if self._machine is None:
            raise Invalid("this machine's audit key is missing", hint="claudetools keys recover")
        return raw_public_key(self._machine)

    def with_machine_key(self, seed: bytes) -> Keyring:
        """The same keyring on a machine with this audit key (32 bytes)."""
        return Keyring(self.vault_id, self._root, Ed25519PrivateKey.from_private_bytes(seed))

    # Key slots.

    def wrap_root(self, slot_key: bytes, slot_id: str, kind: str) -> bytes:
        """The root key wrapped for one slot."""
        return sealing.wrap(slot_key, self._root.raw, *_slot(self.vault_id, slot_id, kind))

    def wrap_root_behind(self, passphrase: Plain, slot_id: str) -> bytes:
        """The root key wrapped for a slot that a passphrase opens."""
        return sealing.wrap_behind(passphrase, self._root.raw, *_slot(self.vault_id, slot_id, PASSPHRASE))

    def wrap_root_for(self, public_key: bytes, slot_id: str) -> bytes:
        """The root key wrapped for a machine, by the public half of its audit key."""
        return sealing.wrap_for(public_key, self._root.raw, *_slot(self.vault_id, slot_id, MACHINE))

    # Backups.

    def seal_stream(self, preamble: bytes) -> sealing.StreamSealer:
        """Seals a backup's content, bound to the preamble that stands before it in clear."""
        return sealing.StreamSealer(self._key("backup key"), preamble)

    def seals_stream(self, preamble: bytes, head: bytes) -> bool:
        """Whether a backup with this head was sealed under this root key."""
        try:
            self.open_stream(preamble, head)
        except Broken:
            return False
        return True

    def open_stream(self, preamble: bytes, head: bytes) -> sealing.StreamOpener:
        """Opens a backup's content.  Raises Broken where it is another vault's or was altered."""
        return sealing.StreamOpener(self._key("backup key"), preamble, head)

    # Invitations.

    def seal_letter(self, letter: Letter, code: bytes, share: bytes, enclosed: Enclosed) -> Letter:
        """The invitation's text with its two layers: the code opens the outer, code and share together the root key."""
        salted = replace(letter, salt=os.urandom(SALT_BYTES))
        key = stretch(code, salted.salt)
        return replace(
            salted,
            outer=sealing.wrap(sealing.derive(key, "invitation outer"), enclosed.to_bytes(), *salted.place()),
            inner=sealing.wrap(sealing.derive(key + share, "invitation root"), self._root.raw, *salted.place()),
        )

    # Second factors.

    def seal_factor(self, person_id: str, seed: Plain) -> bytes:
        """The seed of a person's one-time codes, sealed."""
        return sealing.wrap(self._key("factor key"), seed.expose_bytes(), *self._factor(person_id))

    def open_factor(self, person_id: str, sealed: bytes) -> Plain:
        """The seed again.  Raises Broken."""
        return Plain(sealing.unwrap(self._key("factor key"), sealed, *self._factor(person_id)))

    def resealed_factor(self, person_id: str, sealed: bytes, new: Keyring) -> bytes:
        """The same under the root key of another keyring.  Raises Broken."""
        return new.seal_factor(person_id, self.open_factor(person_id, sealed))

    def _factor(self, person_id: str) -> tuple[str, str, str]:
        return "second factor", self.vault_id, person_id

    # Clients and credentials.

    def new_client_key(self, client_id: str, version: int) -> bytes:
        """A fresh client key, wrapped."""
        return sealing.wrap(
            self._key("wrap key"),
            sealing.fresh_key(),
            *("client key", self.vault_id, client_id, version),
        )

    def _client_key(self, client_id: str, version: int, wrapped: bytes) -> bytes:
        at = (client_id, version, wrapped)
        if at not in self._client_keys:
            self._client_keys[at] = self._unwrapped(client_id, version, wrapped)
        return self._client_keys[at]

    def _unwrapped(self, client_id: str, version: int, wrapped: bytes) -> bytes:
        place = ("client key", self.vault_id, client_id, version)
        before = self._before
        try:
            return sealing.unwrap(self._key("wrap key"), wrapped, *place)
        except Broken:
            if before is None:
                raise
            return sealing.unwrap(before.key("wrap key"), wrapped, *place)

    def rewrapped_client_key(self, client_id: str, version: int, wrapped: bytes, new: Keyring) -> bytes:
        """A client's key under the root key of another keyring.  Raises Broken."""
        key = self._client_key(client_id, version, wrapped)
        return sealing.wrap(new._key("wrap key"), key, "client key", self.vault_id, client_id, version)

    def rewrapped_data_key(self, sealed: SealedKey, to: ClientKey) -> bytes:
        """A version's data key under another of its client's keys; no value is touched.  Raises Broken."""
        data_key = self._data_key(sealed)
        return self._wrapped_data_key(data_key, sealed.client_id, sealed.credential_id, sealed.version, to)

    def _wrapped_data_key(
        self, data_key: bytes, client_id: str, credential_id: str, version: int, to: ClientKey
    ) -> bytes:
        key = self._client_key(client_id, to.version, to.wrapped)
        return sealing.wrap(key, data_key, "data key", self.vault_id, client_id, credential_id, version, to.version)

    def seal_version(
        self,
        *,
        client_id: str,
        client_key_version: int,
        wrapped_client_key: bytes,
        credential_id: str,
        version: int,
        type_: str,
        values: Mapping[str, Plain],
    ) -> SealedVersion:
        """Seals each value by itself under a fresh data key, wrapped by the client's key."""
        data_key = sealing.fresh_key()
        blobs = {
            name: sealing.seal(
                data_key,
                value,
                sealing.Bound(self.vault_id, client_id, credential_id, name, version, type_),
            )
            for name, value in values.items()
        }
        to = ClientKey(client_key_version, wrapped_client_key)
        wrapped = self._wrapped_data_key(data_key, client_id, credential_id, version, to)
        blind = {name: self.blind(value) for name, value in values.items()}
        return SealedVersion(client_key_version, wrapped, blobs, blind)

    def unseal(self, ticket: Ticket, sealed: SealedField) -> Plain:
        """Opens one field against the ticket of its committed audit entry.  Raises Broken."""
        return sealing.unseal(ticket, self._data_key(sealed), sealed.blob, self._bound(sealed))

    def unseal_for_matcher(
        self, ticket: BulkTicket, fields: Iterable[SealedField]
    ) -> Iterator[tuple[SealedField, Plain]]:
        """Opens fields for the redaction matcher or the blind index; one that does not open is left out.

        A damaged value cannot be matched; `audit verify` and its next use tell of it.
        """
        for sealed in fields:
            try:
                key = self._data_key(sealed)
                yield (
                    sealed,
                    sealing.unseal_for_matcher(ticket, key, sealed.blob, self._bound(sealed)),
                )
            except Broken:
                continue

    def unseal_to_judge(self, ticket: BulkTicket, fields: Iterable[SealedField]) -> Iterator[tuple[SealedField, Plain]]:
        """The same for whoever looks at each value here and keeps nothing of it."""
        return self.unseal_for_matcher(ticket, fields)

    def resealed(self, ticket: BulkTicket, fields: Sequence[SealedField], to: ClientKey) -> SealedVersion:
        """All fields of one version under a fresh data key; each is opened within the ticket.  Raises Broken."""
        first = fields[0]
        key = self._data_key(first)
        values = {one.field: sealing.unseal_for_matcher(ticket, key, one.blob, self._bound(one)) for one in fields}
        return self.seal_version(
            client_id=first.client_id,
            client_key_version=to.version,
            wrapped_client_key=to.wrapped,
            credential_id=first.credential_id,
            version=first.version,
            type_=first.type,
            values=values,
        )

    def _data_key(self, sealed: SealedField | SealedKey) -> bytes:
        client_key = self._client_key(sealed.client_id, sealed.client_key_version, sealed.wrapped_client_key)
        return sealing.unwrap(
            client_key,
            sealed.wrapped_key,
            *("data key", self.vault_id, sealed.client_id, sealed.credential_id),
            *(sealed.version, sealed.client_key_version),
        )

    def _bound(self, sealed: SealedField) -> sealing.Bound:
        return sealing.Bound(
            self.vault_id,
            sealed.client_id,
            sealed.credential_id,
            sealed.field,
            sealed.version,
            sealed.type,
        )


def new_keyring(vault_id: str) -> Keyring:
    """A keyring with a fresh root key, for a new vault."""
    return Keyring(vault_id, Root(sealing.fresh_key()))


def open_root(vault_id: str, slot_key: bytes, slot_id: str, kind: str, wrapped: bytes) -> Keyring:
    """The keyring that a slot opens.  Raises Broken where the key is not this slot's."""
    return Keyring(vault_id, Root(sealing.unwrap(slot_key, wrapped, *_slot(vault_id, slot_id, kind)), slot_id))


def open_root_behind(vault_id: str, passphrase: Plain, slot_id: str, wrapped: bytes) -> Keyring:
    """The keyring that a passphrase opens.  Raises Broken where it is another."""
    raw = sealing.unwrap_behind(passphrase, wrapped, *_slot(vault_id, slot_id, PASSPHRASE))
    return Keyring(vault_id, Root(raw, slot_id))


def open_root_with(vault_id: str, seed: bytes, slot_id: str, wrapped: bytes) -> Keyring:
    """The keyring that a machine's audit key opens.  Raises Broken where it is another machine's."""
    place = _slot(vault_id, slot_id, MACHINE)
    raw = sealing.unwrap_with(seed, machine_public_key_of(seed), wrapped, *place)
    return Keyring(vault_id, Root(raw, slot_id, for_machine=True))


def _slot(vault_id: str, slot_id: str, kind: str) -> tuple[str, str, str, str]:
    return "slot", vault_id, slot_id, kind


def open_letter(letter: Letter, code: bytes) -> tuple[Enclosed, bytes]:
    """What the code alone opens of an invitation, and the code's key for `open_invited_root`.

    Raises Invalid for a code that is not this text's, and for a text that was altered: the two cannot be told apart
    by who only types them.
    """
    key = stretch(code, letter.salt)
    try:
        opened = sealing.unwrap(sealing.derive(key, "invitation outer"), letter.outer, *letter.place())
    except Broken:
        raise Invalid(
            "that code does not open this invitation, or the invitation was altered on its way",
            hint="compare both with the machine that made them: claudetools machine invite",
        ) from None
    return Enclosed.from_bytes(opened), key


def open_invited_root(letter: Letter, code_key: bytes, share: bytes) -> Keyring:
    """The keyring that an invitation's inner layer opens, with the share from the database.  Raises Broken."""
    key = sealing.derive(code_key + share, "invitation root")
    try:
        root = sealing.unwrap(key, letter.inner, *letter.place())
    except Broken:
        raise Broken(
            "the invitation's row in the database is not the one it was made with", hint="have a new invitation made"
        ) from None
    return Keyring(letter.vault_id, Root(root))


def signing_alone(vault_id: str, seed: bytes) -> Keyring:
    """A keyring that signs audit entries and can do nothing else."""
    return Keyring(vault_id, Root(b""), Ed25519PrivateKey.from_private_bytes(seed))


def new_slot_key() -> bytes:
    """32 random bytes for a key slot or a machine's audit key."""
    return os.urandom(32)


def raw_public_key(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes of a public key."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def public_key(raw: bytes) -> Ed25519PublicKey:
    """A public key from its 32 bytes.  Raises ValueError."""
    return Ed25519PublicKey.from_public_bytes(raw)


def signed_by(raw: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of this public key (32 bytes) signed the message."""
    try:
        public_key(raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def machine_public_key_of(seed: bytes) -> bytes:
    """The public half of an audit key's 32 bytes, raw."""
    return raw_public_key(Ed25519PrivateKey.from_private_bytes(seed))


def format_recovery_key(slot_key: bytes) -> str:
    """A recovery key for people: `CTR1-` and groups of seven base32 letters, with a checksum."""
    checksum = hashlib.sha256(b"claudetools recovery" + slot_key).digest()[:3]
    text = base64.b32encode(slot_key + checksum).decode().rstrip("=")
    groups = [text[i : i + 7] for i in range(0, len(text), 7)]
    return "-".join([RECOVERY_PREFIX, *groups])


def parse_recovery_key(text: str) -> bytes:
    """Reads a recovery key; case, spaces and hyphens do not matter.  Raises Invalid."""
    hint = "copy it again from where it is kept; it begins with CTR1-"
    letters = "".join(text.split()).replace("-", "").upper().replace("0", "O").replace("1", "I")
    # The prefix holds a digit, so it is compared after the same reading of 1 and 0.
    prefix = RECOVERY_PREFIX.replace("1", "I")
    letters = letters.removeprefix(prefix)
    try:
        raw = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except ValueError:
        raise Invalid(
            "that is not a recovery key: a character is wrong or missing",
            fields={"recovery_key": "not in the form CTR1-XXXXXXX-..."},
            hint=hint,
        ) from None
    slot_key, checksum = raw[:32], raw[32:]
    right = hashlib.sha256(b"claudetools recovery" + slot_key).digest()[:3]
    if len(slot_key) != KEY_BYTES or not hmac.compare_digest(checksum, right):
        raise Invalid(
            "that is not a recovery key: a character is wrong or missing",
            fields={"recovery_key": "its checksum does not fit"},
            hint=hint,
        )
    return slot_key
