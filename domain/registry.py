"""Whose and what: clients, their services, and their infrastructure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RegistryKind = Literal["client", "service", "infrastructure"]
KINDS: tuple[RegistryKind, ...] = ("client", "service", "infrastructure")

OWN_CLIENT = "own"
"""The client that everything without one belongs to: the team itself."""


@dataclass(frozen=True, slots=True)
class RegistryItem:
    """One client, service or infrastructure.  `client` is the slug of the client it belongs to."""

    kind: RegistryKind
    id: str
    slug: str
    name: str
    client: str
    client_id: str
    url: str
    note: str
    created_us: int
    updated_us: int
