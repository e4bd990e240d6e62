"""The audit log: entries, their canonical bytes, signed hash chains, and what verify says.

Rules:

- An entry's body is RFC 8785 (canonical) JSON and is stored as it was hashed; the columns beside
  it are copies, which verify compares.
- hash = SHA-256(length-prefixed chain, seq, previous hash, body); signature = Ed25519 of the hash
  by the machine's own key.
- Every writing process has a chain of its own.  A chain begins with a signed opening, whose hash
  is the first entry's previous hash.
- A field is unsealed only against a ticket, and only a committed entry gives one.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from domain.actors import Actor, Subject
from domain.errors import Broken
from domain.framing import frame

FORMAT = 1
Outcome = Literal["ok", "denied", "failed"]
FactValue = str | int | bool | list[str] | dict[str, int] | None


class Signer(Protocol):
    """The machine's audit key."""

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature of `message` (RFC 8032)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one audit entry says, before it has a place in a chain."""

    entry_id: str
    at_us: int
    action: str
    outcome: Outcome
    actor: Actor
    subject: Subject
    revision: int | None = None
    purpose: str = ""
    facts: Mapping[str, FactValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """An entry in its place: what one row of the audit table holds."""

    chain_id: str
    seq: int
    prev_hash: bytes
    body: bytes
    hash: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Opening:
    """The signed beginning of a chain: whose process writes it, on which machine."""

    chain_id: str
    machine_id: str
    actor_id: str
    process: str
    opened_us: int
    body: bytes
    hash: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that an entry is committed: its place and hash."""

    entry_id: str
    chain_id: str
    seq: int
    hash: bytes


_SAFE_INTEGER = 2**53 - 1
_WRITE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def _is_simple(facts: Mapping[str, FactValue]) -> bool:
    """Whether the standard library's JSON of these facts is the canonical one.

    It is where no number is fractional or beyond 2^53, and where the names sort alike by characters
    and by UTF-16 units.
    """
    for name, value in facts.items():
        if not name.isascii():
            return False
        inner = list(value.values()) if isinstance(value, dict) else [value]
        if isinstance(value, dict) and not "".join(value).isascii():
            return False
        for one in inner:
            if isinstance(one, int) and abs(one) > _SAFE_INTEGER:
                return False
    return True


def canonical(value: object) -> bytes:
    """RFC 8785 canonical JSON."""
    import rfc8785  # only writers and verify need it

    return rfc8785.dumps(value)  # type: ignore[arg-type]  # its own type is a recursive union


def _written(value: object) -> bytes:
    return _WRITE(value).encode()


def body_of(entry: Entry) -> bytes:
    """The canonical bytes of an entry, as stored and hashed."""
    actor, subject = entry.actor, entry.subject
    # An entry is written by every act, and the standard library writes it ten times as fast.
    simple = _is_simple(entry.facts) and abs(entry.at_us) <= _SAFE_INTEGER
    write = _written if simple else canonical
    return write(
        {
            "format": FORMAT,
            "entry": entry.entry_id,
            "at": entry.at_us,
            "action": entry.action,
            "outcome": entry.outcome,
            "actor": {"kind": actor.kind, "id": actor.id, "name": actor.name},
            "owner": {"id": actor.owner_id, "name": actor.owner_name},
            "machine": {"id": actor.machine_id, "name": actor.machine_name},
            "session": actor.session_id,
            "verified": sorted(actor.verified),
            "tier": actor.tier,
            "client": subject.client_id,
            "subject": {
                "type": subject.type,
                "id": subject.id,
                "name": subject.name,
                "revision": entry.revision,
            },
            "purpose": entry.purpose,
            "facts": dict(entry.facts),
        }
    )


def columns_of(body: bytes) -> dict[str, str | int | None]:
    """The columns that copy the body, for searching.  Raises Broken for bytes that are no body."""
    try:
        said = json.loads(body)
        return {
            "format": said["format"],
            "entry_id": said["entry"],
            "at_us": said["at"],
            "action": said["action"],
            "outcome": said["outcome"],
            "actor_kind": said["actor"]["kind"],
            "actor_id": said["actor"]["id"],
            "actor_name": said["actor"]["name"],
            "owner_id": said["owner"]["id"],
            "owner_name": said["owner"]["name"],
            "machine_id": said["machine"]["id"],
            "machine_name": said["machine"]["name"],
            "session_id": said["session"],
            "verified": " ".join(said["verified"]),
            "tier": said["tier"],
            "client_id": said["client"],
            "subject_type": said["subject"]["type"],
            "subject_id": said["subject"]["id"],
            "subject_name": said["subject"]["name"],
            "subject_revision": said["subject"]["revision"],
            "purpose": said["purpose"],
        }
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Broken("an audit entry's body is not in the stored form") from None


def link_hash(chain_id: str, seq: int, prev_hash: bytes, body: bytes) -> bytes:
    """SHA-256 over the length-prefixed chain, sequence number, previous hash and body."""
    return hashlib.sha256(frame("claudetools audit entry", chain_id, seq, prev_hash, body)).digest()


def opening_hash(chain_id: str, body: bytes) -> bytes:
    """SHA-256 over the length-prefixed chain and its opening body."""
    return hashlib.sha256(frame("claudetools audit chain", chain_id, body)).digest()


def open_chain(chain_id: str, machine_id: str, actor_id: str, process: str, opened_us: int, signer: Signer) -> Opening:
    """Makes the signed opening of a new chain."""
    body = opening_body(chain_id, machine_id, actor_id, process, opened_us)
    digest = opening_hash(chain_id, body)
    return Opening(chain_id, machine_id, actor_id, process, opened_us, body, digest, signer.sign(digest))


def opening_body(chain_id: str, machine_id: str, actor_id: str, process: str, opened_us: int) -> bytes:
    """The canonical bytes of a chain's opening."""
    return canonical(
        {
            "format": FORMAT,
            "chain": chain_id,
            "machine": machine_id,
            "actor": actor_id,
            "process": process,
            "opened": opened_us,
        }
    )


def opening_columns_of(body: bytes) -> dict[str, str | int]:
    """The columns that copy an opening's body.  Raises Broken for bytes that are none."""
    try:
        said = json.loads(body)
        return {
            "chain_id": said["chain"],
            "machine_id": said["machine"],
            "actor_id": said["actor"],
            "process": said["process"],
            "opened_us": said["opened"],
        }
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Broken("an audit chain's opening is not in the stored form") from None


def link(entry: Entry, chain_id: str, seq: int, prev_hash: bytes, signer: Signer) -> Link:
    """Gives an entry its place: hashes it onto `prev_hash` and signs the hash."""
    body = body_of(entry)
    digest = link_hash(chain_id, seq, prev_hash, body)
    return Link(chain_id, seq, prev_hash, body, digest, signer.sign(digest))


def blob_digest(blob: bytes) -> bytes:
    """What a ticket names of the sealed bytes."""
    return hashlib.sha256(blob).digest()


class Ticket:
    """The right to unseal one field of one version once, given by a committed audit entry."""

    __slots__ = ("_blob", "_lock", "_spent", "credential_id", "field", "receipt", "version")

    def __init__(self, receipt: Receipt, credential_id: str, field: str, version: int, blob: bytes) -> None:
        self.receipt = receipt
        self.credential_id = credential_id
        self.field = field
        self.version = version
        self._blob = blob_digest(blob)
        self._spent = False
        self._lock = threading.Lock()

    def spend(self, credential_id: str, field: str, version: int, blob: bytes) -> None:
        """Uses the ticket up.  Raises Broken where it is for something else, or used already."""
        with self._lock:
            mine = (self.credential_id, self.field, self.version, self._blob)
            if self._spent or mine != (credential_id, field, version, blob):
                raise Broken("the audit ticket does not match what is to be opened")
            self._spent = True


class BulkTicket:
    """The right to unseal `count` fields that do not leave the process: into its matcher, or to be judged."""

    __slots__ = ("_left", "_lock", "receipt")

    def __init__(self, receipt: Receipt, count: int) -> None:
        self.receipt = receipt
        self._left = count
        self._lock = threading.Lock()

    def spend(self) -> None:
        """Uses one of the openings.  Raises Broken where more are asked than were recorded."""
        with self._lock:
            if self._left <= 0:
                raise Broken("the audit ticket does not cover that many values")
            self._left -= 1
