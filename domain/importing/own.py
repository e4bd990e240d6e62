"""Our own form of exported credentials: what stands inside the encrypted file, written and read.

Version 1 (binding): canonical JSON

    {"format": "claudetools-credentials", "version": 1, "exported_at": time, "credentials": [CREDENTIAL, ...]}

Each credential has its open fields by the names of `domain.credentials`, the names (not the ids) of client, service and
infrastructure, `values` (secret fields), `state`, and `exposed`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from domain.credentials import EXPOSURES, TYPES, Description, Exposure
from domain.drafts import Draft
from domain.errors import Broken, Invalid
from domain.importing import texts
from domain.importing.entries import Found, checked, too_many
from domain.importing.texts import listed, mapping, text_of
from domain.plain import Plain
from domain.rules import NONE, Rules, stored_rules

FORMAT = "claudetools-credentials"
VERSION = 1
NEWER = "git pull && ./setup.sh"


@dataclass(frozen=True, slots=True)
class Exported:
    """One credential with its opened values, and what its client and the rest are called."""

    description: Description
    client_name: str
    values: Mapping[str, Plain] = field(default_factory=dict, repr=False)


def written(exported: Iterable[Exported], at: str) -> bytes:
    """The document.  It holds every value: it is encrypted before it is written anywhere."""
    credentials = []
    for one in exported:
        head = one.description.head
        credentials.append(
            {
                "reference": one.description.reference,
                "type": head.type,
                "client": one.client_name,
                "service": one.description.service,
                "infrastructure": one.description.infrastructure,
                "service_name": head.service_name,
                "username": head.username,
                "external_url": head.external_url,
                "ports": list(head.ports),
                "tags": list(head.tags),
                "open": dict(head.open),
                "requires_vpn": head.requires_vpn,
                "requires_2fa": head.requires_2fa,
                "expires_us": head.expires_us,
                "rotate_every_days": head.rotate_every_days,
                "exposure": head.exposure,
                "rules": head.rules.stored(),
                "state": head.state,
                "exposed": one.description.exposed,
                "values": {name: value.expose() for name, value in one.values.items()},
            }
        )
    whole = {"format": FORMAT, "version": VERSION, "exported_at": at, "credentials": credentials}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def read(raw: bytes, client: str) -> list[Found]:
    """What such a document holds.  Raises Invalid for another one, and for one of a newer program."""
    whole = mapping(texts.parsed(raw, "what the encrypted file holds"))
    if whole.get("format") != FORMAT:
        raise Invalid(
            "the encrypted file does not hold exported credentials", hint="claudetools credential export --help"
        )
    if whole.get("version") != VERSION:
        raise Invalid("the file was exported by a newer program", hint=NEWER)
    items = listed(whole.get("credentials"))
    too_many(len(items))
    return [_one(f"item {number}", mapping(item), client) for number, item in enumerate(items, 1)]


def _one(place: str, item: dict[str, object], client: str) -> Found:
    name, type_ = text_of(item.get("service_name")), text_of(item.get("type"))
    if type_ not in TYPES:
        return Found(place, name, refused={"type": "one of: " + ", ".join(TYPES)})
    if item.get("state") == "retired":
        return Found(place, name, skipped="it is retired there")
    wrong: dict[str, str] = {}
    values: dict[str, Plain] = {}
    for field_name, said in mapping(item.get("values")).items():
        try:
            values[field_name] = Plain(text_of(said))
        except Invalid:
            wrong["values"] = "one of them holds half a character (a lone surrogate)"
    draft = Draft(
        type=type_,
        service_name=name,
        client=client or text_of(item.get("client")),
        service=text_of(item.get("service")),
        # The last part of the reference, so that it is called the same again.
        name=text_of(item.get("reference")).rpartition("/")[2],
        infrastructure=text_of(item.get("infrastructure")),
        username=text_of(item.get("username")),
        external_url=text_of(item.get("external_url")),
        ports=tuple(port for port in listed(item.get("ports")) if isinstance(port, int)),
        tags=tuple(text_of(tag) for tag in listed(item.get("tags"))),
        open={field_name: text_of(said) for field_name, said in mapping(item.get("open")).items()},
        requires_vpn=item.get("requires_vpn") is True,
        requires_2fa=item.get("requires_2fa") is True,
        expires_us=_number(item.get("expires_us")),
        rotate_every_days=_number(item.get("rotate_every_days")),
        exposure=_exposure(item.get("exposure"), wrong),
        rules=_rules(item.get("rules"), wrong),
        values=values,
    )
    return checked(place, draft, wrong, exposed=item.get("exposed") is True)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _rules(value: object, wrong: dict[str, str]) -> Rules:
    try:
        return stored_rules(None if value is None else text_of(value))
    except (Broken, Invalid):
        wrong["rules"] = "they do not read"
        return NONE


def _exposure(value: object, wrong: dict[str, str]) -> Exposure:
    for exposure in EXPOSURES:
        if exposure == value:
            return exposure
    wrong["exposure"] = "one of: " + ", ".join(EXPOSURES)
    return "metadata"
