"""What a caller hands in to make or change a credential, and every reason to refuse it.

Messages name the field and the reason; what was handed in is never repeated, because it may be
a secret in the wrong place.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from domain.credentials import (
    EXPOSURES,
    TYPES,
    CredentialType,
    Exposure,
    secret_field_names,
)
from domain.errors import Invalid
from domain.plain import Plain
from domain.rules import NONE, Rules

MAX_VALUE = 64 * 1024
"""Bytes of one secret field: room for the longest certificate chains."""
MAX_TEXT = 255
MAX_URL = 2048
MAX_OPEN = 32 * 1024
MAX_TAGS, MAX_TAG = 32, 64
MAX_PORTS = 64
MAX_DAYS = 3650
MAX_TIME_US = 253_402_300_799_999_999
MIN_LENGTH, MAX_LENGTH = 12, 256
_LAST_PORT = 65535
SHORTEST_SEED = 8

Alphabet = Literal["all", "alphanumeric", "hex", "digits", "readable"]
ALPHABETS: dict[str, str] = {
    "all": string.ascii_letters + string.digits + "!#$%&()*+,-./:;<=>?@[]^_{}~",
    "alphanumeric": string.ascii_letters + string.digits,
    "hex": "0123456789abcdef",
    "digits": string.digits,
    "readable": "abcdefghijkmnpqrstuvwxyzACDEFGHJKLMNPQRTUVWXY34679",
}
"""`readable` has no letters and digits that look alike: for what is read out or typed from paper."""


_OF_ONE_KIND = (ALPHABETS["hex"], ALPHABETS["digits"])
_KINDS: tuple[Callable[[str], bool], ...] = (str.islower, str.isupper, str.isdigit, lambda letter: not letter.isalnum())


@dataclass(frozen=True, slots=True)
class Generate:
    """A value to be made here, so that it never passes through the model."""

    length: int = 24
    alphabet: str = "all"


@dataclass(frozen=True, slots=True)
class Draft:
    """A credential to be made.  `values` are its secret fields, `open` the type's own open ones.

    `later`: its main value is filled in afterwards, by a person.
    """

    type: str
    service_name: str
    client: str = ""
    service: str = ""
    name: str = ""
    infrastructure: str = ""
    username: str = ""
    external_url: str = ""
    ports: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    open: Mapping[str, str] = field(default_factory=dict)
    requires_vpn: bool = False
    requires_2fa: bool = False
    expires_us: int | None = None
    rotate_every_days: int | None = None
    exposure: Exposure | Literal[""] = ""
    """Empty: the vault's default."""
    rules: Rules = NONE
    """Beside those that new credentials of the vault get."""
    values: Mapping[str, Plain] = field(default_factory=dict, repr=False)
    generate: Generate | None = None
    later: bool = False


def type_of(name: str) -> CredentialType:
    """The credential type of this name.  Raises Invalid, listing the eight."""
    kind = TYPES.get(name)
    if kind is None:
        raise Invalid(
            "that is not a credential type",
            fields={"type": "one of: " + ", ".join(TYPES)},
            hint="claudetools credential add --help",
        )
    return kind


def check_draft(draft: Draft, message: str = "this credential cannot be made as it is") -> None:
    """Raises Invalid with every field that cannot be used and why."""
    kind = type_of(draft.type)
    wrong: dict[str, str] = {}
    if not draft.service_name.strip():
        wrong["service_name"] = "needed: what the credential is for, for example Gitea Admin"
    for name in ("service_name", "username", "client", "service", "name", "infrastructure"):
        _text(wrong, name, getattr(draft, name), MAX_TEXT)
    _text(wrong, "external_url", draft.external_url, MAX_URL)
    check_lists(wrong, draft.ports, draft.tags)
    check_open(wrong, kind, draft.open)
    if draft.expires_us is not None and not 0 <= draft.expires_us <= MAX_TIME_US:
        wrong["expires_us"] = "a time between 1970 and 9999"
    if draft.rotate_every_days is not None and not 1 <= draft.rotate_every_days <= MAX_DAYS:
        wrong["rotate_every_days"] = f"1 to {MAX_DAYS}"
    if draft.exposure and draft.exposure not in EXPOSURES:
        wrong["exposure"] = "one of: " + ", ".join(EXPOSURES)
    check_values(wrong, kind, draft.values)
    if draft.generate is not None:
        check_generate(wrong, kind, draft.generate)
        if kind.main in draft.values:
            wrong["generate"] = f"{kind.main} was given; give it or have it generated, not both"
    elif kind.main not in draft.values and kind.main not in wrong and not draft.later:
        ways = "give it" + (", or ask for a generated one" if kind.generated else "")
        wrong[kind.main] = f"a credential of type {kind.name} needs it: {ways}"
    refuse(wrong, message)


def refuse(wrong: Mapping[str, str], message: str) -> None:
    """Raises Invalid where anything is wrong."""
    if wrong:
        listed = "; ".join(f"{name}: {why}" for name, why in wrong.items())
        raise Invalid(f"{message}: {listed}", fields=wrong, hint="claudetools credential add --help")


def check_lists(wrong: dict[str, str], ports: tuple[int, ...], tags: tuple[str, ...]) -> None:
    """Ports 1 to 65535, and short tags."""
    if len(ports) > MAX_PORTS or not all(1 <= port <= _LAST_PORT for port in ports):
        wrong["ports"] = f"at most {MAX_PORTS} numbers from 1 to 65535"
    if len(tags) > MAX_TAGS or not all(tag.strip() and len(tag) <= MAX_TAG for tag in tags):
        wrong["tags"] = f"at most {MAX_TAGS} tags of 1 to {MAX_TAG} characters"
    if any("\x00" in tag or not is_text(tag) for tag in tags):
        wrong["tags"] = "holds a NUL character or half a character"


def check_open(wrong: dict[str, str], kind: CredentialType, values: Mapping[str, str]) -> None:
    """Open fields of this type only."""
    for name, text in values.items():
        if name not in kind.open:
            _misplaced(wrong, name, kind)
        else:
            _text(wrong, name, text, MAX_OPEN)


def check_values(wrong: dict[str, str], kind: CredentialType, values: Mapping[str, Plain]) -> None:
    """Secret fields of this type only, not empty, not too long, without NUL."""
    for name, value in values.items():
        if name not in kind.secrets():
            _misplaced(wrong, name, kind)
        elif not value:
            wrong[name] = "is empty"
        elif len(value) > MAX_VALUE:
            wrong[name] = f"at most {MAX_VALUE} bytes"
        elif b"\x00" in value.expose_bytes():
            wrong[name] = "holds a NUL character"
        elif name == "totp_seed" and not _is_base32(value.expose_bytes()):
            wrong[name] = "must be base32, as the service shows it for an authenticator app"


def check_generate(wrong: dict[str, str], kind: CredentialType, spec: Generate) -> None:
    """A generated value of a sensible length, for types that are a string of characters."""
    if not kind.generated:
        wrong["generate"] = f"a value of type {kind.name} comes from elsewhere; give it"
    if spec.alphabet not in ALPHABETS:
        wrong["alphabet"] = "one of: " + ", ".join(ALPHABETS)
    if not MIN_LENGTH <= spec.length <= MAX_LENGTH:
        wrong["length"] = f"{MIN_LENGTH} to {MAX_LENGTH}"


def generate(spec: Generate) -> Plain:
    """A random value; of letters and digits, it holds every kind of character that its alphabet has."""
    letters = ALPHABETS[spec.alphabet]
    kinds = [test for test in _KINDS if any(map(test, letters))] if letters not in _OF_ONE_KIND else []
    while True:
        value = "".join(secrets.choice(letters) for _ in range(spec.length))
        if all(any(map(test, value)) for test in kinds):
            return Plain(value)


def _misplaced(wrong: dict[str, str], name: str, kind: CredentialType) -> None:
    owners = [t.name for t in TYPES.values() if name in t.secrets() or name in t.open]
    if owners:
        wrong[name] = f"is a field of {', '.join(owners)}, not of {kind.name}"
    else:  # the name is not repeated: it may be a value in the wrong place
        fields = ", ".join((*kind.secrets(), *kind.open))
        wrong["fields"] = f"one that was named is no field of {kind.name}, which has: {fields}"


def _text(wrong: dict[str, str], name: str, value: str, limit: int) -> None:
    if len(value) > limit:
        wrong[name] = f"at most {limit} characters"
    elif "\x00" in value:
        wrong[name] = "holds a NUL character"
    elif not is_text(value):
        wrong[name] = "holds half a character (a lone surrogate)"


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8; JSON lets half a character through."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_base32(text: bytes) -> bool:
    letters = b"".join(text.split()).upper().rstrip(b"=")
    try:
        return len(base64.b32decode(letters + b"=" * (-len(letters) % 8))) >= SHORTEST_SEED
    except (binascii.Error, ValueError):
        return False


SECRET_FIELDS = secret_field_names()
"""Names whose values must travel as Plain."""
