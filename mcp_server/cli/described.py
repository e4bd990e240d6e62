"""How a credential is shown: its open fields for people, and the same for programs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from domain.credentials import TYPES
from mcp_server.answers import iso
from mcp_server.cli import show

if TYPE_CHECKING:
    from domain.credentials import Description
    from mcp_server.services.credentials import Changed
    from mcp_server.services.rescan import Rescanned


def whole(one: Description) -> None:
    """Prints every open field, and the names of the secret ones."""
    head = one.head
    show.pairs(
        (
            ("reference", one.reference),
            ("type", head.type),
            ("for", head.service_name),
            ("client", one.client),
            ("service", one.service),
            ("infrastructure", one.infrastructure),
            ("username", head.username),
            ("url", head.external_url),
            ("ports", ", ".join(str(port) for port in head.ports)),
            ("tags", ", ".join(head.tags)),
            *head.open.items(),
            ("secret fields", ", ".join(sorted(head.fields))),
            ("needs", ", ".join(w for w, yes in (("VPN", head.requires_vpn), ("2FA", head.requires_2fa)) if yes)),
            ("expires", show.day(head.expires_us)),
            ("rotation", f"every {head.rotate_every_days} days" if head.rotate_every_days else ""),
            ("last rotated", show.moment(head.last_rotated_us)),
            ("exposure", head.exposure),
            ("rules", "; ".join(head.rules.told())),
            ("state", state(one)),
            ("version", head.current_version),
            ("changed", show.moment(head.updated_us)),
        )
    )


def state(one: Description) -> str:
    """Its state, and whether it is expired, due or exposed, in words."""
    now_us = time.time_ns() // 1000
    marks: list[str] = [one.head.state]
    if one.expired(now_us):
        marks.append("expired")
    if one.rotation_due(now_us):
        marks.append("rotation due")
    if one.exposed:
        marks.append("exposed")
    if TYPES[one.head.type].main not in one.head.fields:
        marks.append("no value yet")
    return ", ".join(marks)


def change(what: str, changed: Changed, *, as_json: bool, looked: Rescanned | None = None) -> None:
    """Prints what a change led to; `looked` is what the memory was found to hold of its value."""
    one = changed.description
    records = looked.found.get(one.reference, 0) if looked is not None else 0
    incident = looked.incidents.get(one.reference, "") if looked is not None else ""
    if as_json:
        show.as_json(
            {
                "reference": one.reference,
                "version": changed.version,
                "entry": changed.entry,
                "generated": changed.generated,
                "credential": facts(one),
                "memory": {
                    "records": records,
                    "incident": incident,
                    "looked_through": looked is not None and looked.whole,
                },
            }
        )
        return
    made = ", value generated" if changed.generated else ""
    print(f"{what} {one.reference} (version {changed.version}{made}, audit entry {changed.entry})")
    if records:
        where = "1 record" if records == 1 else f"{records} records"
        print(f"its value stood in {where} of the memory: struck, incident {incident}")
    if looked is not None and not looked.whole:
        print("the memory is large: the next drain goes on looking for the value")


def facts(one: Description) -> dict[str, object]:
    """The open fields for programs; times in ISO 8601 UTC, empty where there is none."""
    head, now = one.head, time.time_ns() // 1000
    return {
        "reference": one.reference,
        "type": head.type,
        "client": one.client,
        "service": one.service,
        "infrastructure": one.infrastructure,
        "service_name": head.service_name,
        "username": head.username,
        "external_url": head.external_url,
        "ports": list(head.ports),
        "tags": list(head.tags),
        "fields": dict(head.open),
        "secret_fields": sorted(head.fields),
        "requires_vpn": head.requires_vpn,
        "requires_2fa": head.requires_2fa,
        "expires_at": iso(head.expires_us),
        "expired": one.expired(now),
        "rotate_every_days": head.rotate_every_days or 0,
        "rotation_due": one.rotation_due(now),
        "last_rotated_at": iso(head.last_rotated_us),
        "exposure": head.exposure,
        "rules": list(head.rules.told()),
        "exposed": one.exposed,
        "state": head.state,
        "version": head.current_version,
        "revision": head.revision,
        "updated_at": iso(head.updated_us),
    }
