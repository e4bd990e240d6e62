"""Credentials: the eight types, their open and secret fields, references, and what is sealed.

A field is secret unless its type says that it is open.  Around every type stand the same open
fields (service name, username, URL, ports, flags, dates, tags) and two more secret ones: `notes`
(people write passwords there) and `totp_seed`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from domain.rules import NONE, Rules

Exposure = Literal["metadata", "strict", "sealed", "reveal"]
EXPOSURES: tuple[Exposure, ...] = ("metadata", "strict", "sealed", "reveal")
State = Literal["active", "retired", "deleted"]
STATES: tuple[State, ...] = ("active", "retired", "deleted")

ALWAYS_SECRET = ("notes", "totp_seed")
AT_MOST_SEALED = ("totp_seed",)
"""Of those, what never leaves to an agent: codes come out of a seed, the seed does not."""


@dataclass(frozen=True, slots=True)
class CredentialType:
    """One of the eight types: its main secret field, its other ones, and its own open fields."""

    name: str
    main: str
    secret: tuple[str, ...]
    open: tuple[str, ...] = ()
    at_most_sealed: tuple[str, ...] = ()
    generated: bool = True

    def secrets(self) -> tuple[str, ...]:
        """Every secret field that this type may hold."""
        return (*self.secret, *ALWAYS_SECRET)


TYPES: dict[str, CredentialType] = {
    kind.name: kind
    for kind in (
        CredentialType("password", "password", ("password",)),
        CredentialType("api_key", "api_key", ("api_key",), ("key_id",)),
        CredentialType(
            "oauth",
            "client_secret",
            ("client_secret", "access_token", "refresh_token"),
            ("oauth_client_id", "token_url", "oauth_scopes"),
            at_most_sealed=("refresh_token",),
        ),
        CredentialType(
            "ssh_key",
            "private_key",
            ("private_key", "passphrase"),
            ("public_key",),
            at_most_sealed=("private_key",),
            generated=False,
        ),
        CredentialType("shared_secret", "shared_secret", ("shared_secret",)),
        CredentialType("jwt", "token", ("token",), ("issuer", "audience"), generated=False),
        CredentialType("connection_string", "connection_string", ("connection_string",), generated=False),
        CredentialType(
            "certificate",
            "private_key",
            ("private_key", "passphrase"),
            ("certificate",),
            at_most_sealed=("private_key",),
            generated=False,
        ),
    )
}

COMMON_OPEN = (
    "service_name",
    "username",
    "external_url",
    "ports",
    "tags",
    "requires_vpn",
    "requires_2fa",
    "expires_at",
    "rotate_every_days",
    "infrastructure",
)
"""Open fields that every type has, by the names that tools and the command line use."""


def secret_field_names() -> frozenset[str]:
    """Every secret field of every type."""
    return frozenset(name for kind in TYPES.values() for name in kind.secrets())


def slug(text: str) -> str:
    """The form of a name inside a reference: lower-case letters, digits and single hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "x"


_REFERENCE = re.compile(r"[a-z0-9-]{1,64}/[a-z0-9-]{1,64}/[a-z0-9-]{1,64}")


def is_reference(text: str) -> bool:
    """Whether `text` has the form `client/service/name`."""
    return _REFERENCE.fullmatch(text) is not None


def live_reference(reference: str, field_name: str) -> str:
    """What stands in a stored text where a vault value was struck."""
    return "{{credential:" + reference + "#" + field_name + "}}"


@dataclass(frozen=True, slots=True)
class Head:
    """A credential without its values: what its guarded row holds.

    `fields` maps each secret field that is set to the version that sealed it.
    """

    credential_id: str
    reference: str
    type: str
    client_id: str
    service_id: str
    infrastructure_id: str
    service_name: str
    username: str
    external_url: str
    ports: tuple[int, ...]
    tags: tuple[str, ...]
    open: Mapping[str, str]
    requires_vpn: bool
    requires_2fa: bool
    expires_us: int | None
    rotate_every_days: int | None
    last_rotated_us: int | None
    exposure: Exposure
    state: State
    fields: Mapping[str, int]
    current_version: int
    created_us: int
    updated_us: int
    deleted_us: int | None
    revision: int = 0
    rules: Rules = NONE


@dataclass(frozen=True, slots=True)
class Description:
    """What may be shown of a credential: its open fields, and the names of its secret ones."""

    reference: str
    head: Head
    client: str
    service: str
    infrastructure: str
    exposed: bool

    def expired(self, now_us: int) -> bool:
        """Whether its expiry date has passed."""
        return self.head.expires_us is not None and self.head.expires_us <= now_us

    def rotation_due(self, now_us: int) -> bool:
        """Whether it should have been rotated by now."""
        return rotation_due(self.head, now_us)


@dataclass(frozen=True, slots=True)
class SealedField:
    """One secret field as it is stored, with the wrapped keys that open it."""

    credential_id: str
    reference: str
    client_id: str
    type: str
    field: str
    version: int
    blob: bytes
    wrapped_key: bytes
    client_key_version: int
    wrapped_client_key: bytes
    username: str = ""


@dataclass(frozen=True, slots=True)
class SealedKey:
    """One version's data key as it is stored, with the wrapped client key that opens it."""

    credential_id: str
    client_id: str
    version: int
    wrapped_key: bytes
    client_key_version: int
    wrapped_client_key: bytes


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One version of a client's key, wrapped: what data keys are to be wrapped under."""

    version: int
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class SealedVersion:
    """A new version ready to be stored: its wrapped data key and its sealed fields."""

    client_key_version: int
    wrapped_key: bytes
    blobs: Mapping[str, bytes]
    blind: Mapping[str, bytes] = field(default_factory=dict)


DAY_US = 24 * 60 * 60 * 1_000_000


def rotation_due(head: Head, now_us: int) -> bool:
    """Whether `rotate_every_days` have passed since the last rotation (or the creation)."""
    if head.rotate_every_days is None:
        return False
    since = head.last_rotated_us if head.last_rotated_us is not None else head.created_us
    return now_us - since >= head.rotate_every_days * DAY_US
