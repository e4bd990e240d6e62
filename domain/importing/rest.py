"""The JSON of an earlier system's REST interface: a list of credentials with their secret fields decrypted."""

from __future__ import annotations

from datetime import UTC, datetime

from domain.credentials import TYPES
from domain.drafts import Draft
from domain.errors import Invalid
from domain.importing import texts
from domain.importing.entries import Found, checked, too_many
from domain.importing.texts import listed, mapping, text_of
from domain.plain import Plain

_LISTS = ("credentials", "items", "data", "results")
_SECRETS = tuple(dict.fromkeys(name for kind in TYPES.values() for name in kind.secrets()))
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def is_list_of(value: object) -> bool:
    """Whether this is such a list, or an object with one."""
    items = _items(value)
    return bool(items) and "credential_type" in mapping(items[0])


def _items(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    whole = mapping(value)
    if "credential_type" in whole:
        return [whole]
    return next((listed(whole[name]) for name in _LISTS if isinstance(whole.get(name), list)), [])


def read(raw: bytes, client: str) -> list[Found]:
    """What the answer of GET /api/credentials (or several of /api/credentials/{id} in one list) holds.

    Clients, services and infrastructure are named by the lists of these names that may stand beside, by a credential's
    own `client`, `service`, `infrastructure`, or else by their ids.
    """
    value = texts.parsed(raw)
    items = _items(value)
    if not items and value != []:
        raise Invalid("the file holds no list of credentials", fields={"credentials": "needed"}, hint="export it again")
    too_many(len(items))
    whole = mapping(value)
    names = {
        kind: {text_of(mapping(one).get("id")): text_of(mapping(one).get("name")) for one in listed(whole.get(lists))}
        for kind, lists in (("client", "clients"), ("service", "services"), ("infrastructure", "infrastructure"))
    }
    return [_one(f"item {number}", mapping(item), names, client) for number, item in enumerate(items, 1)]


def _one(place: str, item: dict[str, object], names: dict[str, dict[str, str]], client: str) -> Found:
    name = text_of(item.get("service_name")).strip()
    type_ = text_of(item.get("credential_type"))
    if type_ not in TYPES:
        return Found(place, name, refused={"credential_type": "one of: " + ", ".join(TYPES)})
    if item.get("deleted_at") or item.get("is_active") is False:
        return Found(place, name, skipped="it is deleted or not in use there")
    wrong: dict[str, str] = {}
    values: dict[str, Plain] = {}
    for field in _SECRETS:
        text = text_of(item.get(field))
        if text:
            try:
                values[field] = Plain(text)
            except Invalid:
                wrong[field] = "holds half a character (a lone surrogate)"
    main = TYPES[type_].main
    if main not in values and main not in wrong:
        wrong[main] = "is not in the file; ask for each credential by its id, which decrypts it"
    ports = _ports(item.get("ports"), wrong)
    draft = Draft(
        type=type_,
        service_name=name,
        client=client or _named(item, "client", names),
        service=_named(item, "service", names),
        infrastructure=_named(item, "infrastructure", names),
        name=text_of(item.get("username")) or name,
        username=text_of(item.get("username")),
        external_url=text_of(item.get("external_url")),
        ports=ports,
        tags=tuple(text_of(tag) for tag in listed(item.get("tags")) if text_of(tag)),
        open={field: text_of(item.get(field)) for field in TYPES[type_].open if text_of(item.get(field))},
        requires_vpn=item.get("requires_vpn") is True,
        requires_2fa=item.get("requires_2fa") is True,
        expires_us=time_of(item.get("expires_at"), "expires_at", wrong),
        values=values,
    )
    return checked(place, draft, wrong)


def _named(item: dict[str, object], kind: str, names: dict[str, dict[str, str]]) -> str:
    said = item.get(kind)
    own = text_of(mapping(said).get("name")) or text_of(said) or text_of(item.get(f"{kind}_name"))
    id_ = text_of(item.get(f"{kind}_id"))
    return own or names[kind].get(id_, "") or (f"{kind} {id_}" if id_ else "")


def _ports(value: object, wrong: dict[str, str]) -> tuple[int, ...]:
    ports = listed(value) if isinstance(value, list) else [value] if value not in (None, "", {}) else []
    numbers = [int(text) for text in map(text_of, ports) if text.isascii() and text.isdigit() and len(text) <= 5]  # noqa: PLR2004
    if len(numbers) != len(ports):
        wrong["ports"] = "must be numbers"
    return tuple(numbers)


def time_of(value: object, name: str, wrong: dict[str, str]) -> int | None:
    """A time of ISO 8601; without a zone it is UTC."""
    text = text_of(value)
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return (at - _LONG_AGO) // (datetime.resolution)
    except (ValueError, OverflowError):
        wrong[name] = "must be a time such as 2027-01-31T00:00:00Z"
        return None
