"""How persons and agents prove themselves: the Argon2id profile and the token's claims."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from domain.actors import SCOPES
from domain.errors import Invalid, Unauthenticated

ARGON2_MEMORY_KIB = 19 * 1024
ARGON2_TIME = 2
ARGON2_LANES = 1
"""OWASP's password storage profile for Argon2id (RFC 9106): 19 MiB, t=2, p=1."""

AGENT_TOKEN_SECONDS = 15 * 60
LOGIN_SECONDS = 60 * 60
FAILURES_ALLOWED = 5
FAILURE_WINDOW_US = 5 * 60 * 1_000_000
MIN_PASSWORD = 10
MAX_PASSWORD = 1024
ROLES = ("owner", "technician", "auditor", "admin")
ROLE_SCOPES: dict[str, frozenset[str]] = {
    "owner": SCOPES,
    "admin": SCOPES,
    "technician": SCOPES - {"keys:write"},
    "auditor": frozenset(scope for scope in SCOPES if scope.endswith(":read")),
}
ALGORITHM = "EdDSA"
REQUIRED_CLAIMS = ("iss", "aud", "sub", "act", "jti", "machine", "session", "scope", "iat", "exp")


def hash_secret(secret: str) -> str:
    """The Argon2id hash of a password or agent secret, in PHC string form."""
    from argon2 import PasswordHasher  # 30 ms to import; only logins and enrolment need it

    hasher = PasswordHasher(time_cost=ARGON2_TIME, memory_cost=ARGON2_MEMORY_KIB, parallelism=ARGON2_LANES)
    return hasher.hash(secret)


def check_secret(stored: str, offered: str) -> None:
    """Compares an offered secret with its stored hash.  Raises Unauthenticated."""
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        PasswordHasher().verify(stored, offered)
    except (VerificationError, InvalidHashError):
        raise Unauthenticated("that secret or password is not right") from None


def check_password_form(password: str) -> None:
    """Refuses a password that is too short or too long to be one.  Raises Invalid."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Invalid(
            f"the password must have {MIN_PASSWORD} to {MAX_PASSWORD} characters",
            fields={"password": f"needs {MIN_PASSWORD} to {MAX_PASSWORD} characters"},
            hint="choose a longer one, for example several words",
        )


def new_agent_secret() -> str:
    """256 random bits, as text that survives copying."""
    return "cta_" + secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Claims:
    """A token's claims.  `subject_id` is the owner; `agent_id` (RFC 8693 `act.sub`) acts for him."""

    vault_id: str
    subject_id: str
    agent_id: str
    machine_id: str
    session_id: str
    scopes: frozenset[str]
    token_id: str
    issued_s: int
    expires_s: int

    def to_json(self) -> dict[str, object]:
        """The JWT payload; times in seconds since 1970 (RFC 7519)."""
        return {
            "iss": self.vault_id,
            "aud": self.vault_id,
            "sub": self.subject_id,
            "act": {"sub": self.agent_id},
            "jti": self.token_id,
            "machine": self.machine_id,
            "session": self.session_id,
            "scope": " ".join(sorted(self.scopes)),
            "iat": self.issued_s,
            "exp": self.expires_s,
        }

    @classmethod
    def from_json(cls, payload: Mapping[str, object]) -> Claims:
        """Reads a verified payload.  Raises Unauthenticated where a claim is missing."""
        act = payload.get("act")
        texts = [payload.get(name) for name in ("iss", "sub", "machine", "session", "scope", "jti")]
        issued, expires = payload.get("iat"), payload.get("exp")
        if (
            not all(isinstance(text, str) for text in texts)
            or not isinstance(act, dict)
            or not isinstance(act.get("sub"), str)
            or not isinstance(issued, int)
            or not isinstance(expires, int)
        ):
            raise Unauthenticated("the token lacks a claim", hint="claudetools login")
        vault, subject, machine, session, scope, token = (str(text) for text in texts)
        return cls(
            vault_id=vault,
            subject_id=subject,
            agent_id=str(act["sub"]),
            machine_id=machine,
            session_id=session,
            scopes=frozenset(scope.split()),
            token_id=token,
            issued_s=issued,
            expires_s=expires,
        )


INVITED = "invited"
"""The state of a machine that is none: the key of an invitation stands under it in the list."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A computer with its own audit key; `public_key` is the raw Ed25519 key."""

    machine_id: str
    name: str
    public_key: bytes
    state: str
    created_us: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Contact:
    """What a machine last said of itself: when, by the database's clock, and its program's release."""

    seen_us: int
    program: str


@dataclass(frozen=True, slots=True)
class Person:
    """Someone with a password.  The hash is Argon2id in PHC form."""

    person_id: str
    name: str
    role: str
    password_hash: str
    state: str
    created_us: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Agent:
    """An enrolled program that acts for its owner on one machine."""

    agent_id: str
    name: str
    owner_id: str
    machine_id: str
    secret_hash: str
    scopes: frozenset[str]
    state: str
    created_us: int
    revoked_us: int | None
    revision: int = 0
