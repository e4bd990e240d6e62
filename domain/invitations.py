"""Invitations: how another computer gets into a vault, and the text and code that carry one.

- An invitation is used once, within ten minutes.
- What opens it lies in three places: the text (a file or a paste), the code (told by another way), and a share in the
  database, which is overwritten when the invitation is used, withdrawn or has run out.  Text and code alone reach the
  database; only all three give the root key.
- The code is 104 random bits with a checksum, stretched by Argon2id; the text's readable part is bound to what is
  sealed in it, so that another address in the same text opens nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Literal

from domain.errors import Broken, Invalid
from domain.plain import Plain

VALID_US = 10 * 60 * 1_000_000
SHARE_BYTES = 32
SALT_BYTES = 16
PREFIX = "CTI1-"
LONGEST_TEXT = 20_000
ARGON2_MEMORY_KIB = 64 * 1024
ARGON2_TIME = 3
"""RFC 9106's second profile for Argon2id, with one lane: the code is stretched once, by hand."""

State = Literal["open", "used", "expired", "revoked"]
_CODE_BYTES, _CODE_CHECK, _GROUP = 13, 2, 4
_TEXT_CHECK = 4
_AGAIN = "copy it again, whole: it is one line that begins with CTI1-"


@dataclass(frozen=True, slots=True)
class Invitation:
    """One invitation as the database keeps it.  `machine_id` is who used it, "" before."""

    invitation_id: str
    person_id: str
    label: str
    share: bytes = field(repr=False)
    state: str
    created_us: int
    expires_us: int
    used_us: int | None = None
    machine_id: str = ""
    revision: int = 0

    def state_at(self, now_us: int) -> str:
        """Its state; an open one that nobody used in time has expired, whether or not its row says so yet."""
        return "expired" if self.state == "open" and now_us >= self.expires_us else self.state


@dataclass(frozen=True, slots=True)
class Enclosed:
    """What the code alone opens: the database accounts, and the key that signs what is done before the machine is enrolled."""

    password: Plain
    hooks_account: str
    hooks_password: Plain
    signing_seed: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """For sealing."""
        said = {
            "password": self.password.expose(),
            "hooks_account": self.hooks_account,
            "hooks_password": self.hooks_password.expose(),
            "seed": self.signing_seed.hex(),
        }
        return json.dumps(said).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Enclosed:
        """Reads what was sealed.  Raises Broken."""
        try:
            said = json.loads(raw)
            texts = [said[name] for name in ("password", "hooks_account", "hooks_password", "seed")]
            if not all(isinstance(text, str) for text in texts):
                raise Broken("the invitation holds something else than this program writes")
            password, account, hooks_password, seed = texts
            return cls(Plain(password), account, Plain(hooks_password), bytes.fromhex(seed))
        except (ValueError, KeyError, TypeError):
            raise Broken("the invitation holds something else than this program writes") from None


@dataclass(frozen=True, slots=True)
class Letter:
    """What an invitation's text says.

    `address` is the database's URL with the application's account and no password; `fingerprint` the SHA-256 of the
    server's certificate in hex, "" without TLS.
    """

    vault_id: str
    invitation_id: str
    address: str
    fingerprint: str
    salt: bytes
    outer: bytes = field(repr=False, default=b"")
    inner: bytes = field(repr=False, default=b"")

    def place(self) -> tuple[str, ...]:
        """What both sealed layers are bound to."""
        return ("invitation", self.vault_id, self.invitation_id, self.address, self.fingerprint)

    def text(self) -> str:
        """The text that a person carries over: one line."""
        named = (self.vault_id, self.invitation_id, self.address, self.fingerprint)
        parts = [*(part.encode() for part in named), self.salt, self.outer, self.inner]
        raw = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
        return PREFIX + base64.urlsafe_b64encode(raw + _check(raw, _TEXT_CHECK)).decode().rstrip("=")


def read_letter(text: str) -> Letter:
    """Reads an invitation's text; line breaks inside it do not matter.  Raises Invalid, naming no part of it."""
    line = "".join(text.split())
    if not line.startswith(PREFIX) or len(line) > LONGEST_TEXT:
        raise Invalid("that is not an invitation", fields={"invitation": "does not begin with CTI1-"}, hint=_AGAIN)
    body = line.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise _damaged() from None
    raw, check = raw[:-_TEXT_CHECK], raw[-_TEXT_CHECK:]
    if not hmac.compare_digest(check, _check(raw, _TEXT_CHECK)):
        raise _damaged()
    parts: list[bytes] = []
    while raw:
        size = int.from_bytes(raw[:2], "big")
        parts.append(raw[2 : 2 + size])
        raw = raw[2 + size :]
    try:
        vault_id, invitation_id, address, fingerprint, salt, outer, inner = parts
        if len(salt) != SALT_BYTES:
            raise _damaged()  # Argon2 takes no short one
        return Letter(
            vault_id.decode(), invitation_id.decode(), address.decode(), fingerprint.decode(), salt, outer, inner
        )
    except ValueError:
        raise _damaged() from None


def _damaged() -> Invalid:
    return Invalid(
        "that invitation is damaged: a character is wrong or missing",
        fields={"invitation": "its checksum does not fit"},
        hint=_AGAIN,
    )


def _check(raw: bytes, size: int) -> bytes:
    return hashlib.sha256(b"claudetools invitation" + raw).digest()[:size]


def format_code(raw: bytes) -> str:
    """A code for people: six groups of four letters and digits, the checksum in the last."""
    text = base64.b32encode(raw + _check(raw, _CODE_CHECK)).decode()
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def parse_code(text: str) -> bytes:
    """Reads a code; case, spaces and hyphens do not matter, and 0 and 1 are O and I.  Raises Invalid."""
    letters = "".join(text.split()).replace("-", "").upper().replace("0", "O").replace("1", "I")
    try:
        raw = base64.b32decode(letters)
    except ValueError:
        raw = b""
    code, check = raw[:_CODE_BYTES], raw[_CODE_BYTES:]
    if len(raw) != _CODE_BYTES + _CODE_CHECK or not hmac.compare_digest(check, _check(code, _CODE_CHECK)):
        raise Invalid(
            "that is not an invitation's code: a character is wrong or missing",
            fields={"code": "not in the form XXXX-XXXX-XXXX-XXXX-XXXX-XXXX"},
            hint="have it told again; it was shown beside the invitation",
        )
    return code


def new_code() -> bytes:
    """A fresh code's bytes."""
    return secrets.token_bytes(_CODE_BYTES)


def stretch(code: bytes, salt: bytes) -> bytes:
    """The 32-byte key of a code, by Argon2id (RFC 9106)."""
    from argon2.low_level import Type, hash_secret_raw  # 30 ms; only invitations and passwords need it

    return hash_secret_raw(
        code, salt, time_cost=ARGON2_TIME, memory_cost=ARGON2_MEMORY_KIB, parallelism=1, hash_len=32, type=Type.ID
    )
