"""Approvals and second factors: by what persons meet the rules `approval` and `step-up` of a policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["step_up", "approval"]

MINUTE_US = 60 * 1_000_000
MINUTES = 15
"""How long one holds unless something else is said."""
MOST_MINUTES = 12 * 60

STEP_S = 30
"""Seconds of one time step of a one-time code (RFC 6238, section 4.1)."""
LEEWAY = 1
"""Steps before and after the one of now whose codes are taken: clocks and fingers are slow (RFC 6238, section 5.2)."""


@dataclass(frozen=True, slots=True)
class Approval:
    """That a person, and the agents that act for him, may use one credential until then.

    `step_up`: he has shown a one-time code himself; `approval`: another person let him.
    """

    approval_id: str
    credential_id: str
    kind: Kind
    person_id: str
    by_id: str
    purpose: str
    given_us: int
    until_us: int
    withdrawn_us: int | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """A person's one-time codes.  `last_step` is that of the newest code that was taken: none is taken twice."""

    person_id: str
    sealed: bytes
    state: str
    last_step: int
    created_us: int
    revision: int = 0
