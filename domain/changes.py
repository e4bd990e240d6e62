"""A change of a credential's open fields: what may be given, and what then differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from domain import drafts, policy
from domain.actors import Actor
from domain.credentials import COMMON_OPEN, EXPOSURES, TYPES, Head
from domain.drafts import Draft
from domain.plain import Plain

_LIST_FIELDS = {"ports": int, "tags": str}
_TEXT_FIELDS = ("service_name", "username", "external_url")
_FLAGS = ("requires_vpn", "requires_2fa")
_NUMBERS = ("expires_us", "rotate_every_days")


def with_changes(actor: Actor, head: Head, changes: Mapping[str, object], values: Mapping[str, Plain]) -> Head:
    """The head with its open fields changed.  Raises Invalid with every field that cannot be."""
    kind = TYPES[head.type]
    wrong: dict[str, str] = {}
    plain: dict[str, object] = {}
    open_fields = dict(head.open)
    for name, value in changes.items():
        if _fits(name, value):
            if name == "exposure":
                policy.expose(actor, head, str(value))
            plain[name] = tuple(value) if isinstance(value, list) else value
        elif name in kind.open and isinstance(value, str):
            open_fields[name] = value
        elif name in (*COMMON_OPEN, *kind.open, *kind.secrets(), *_NUMBERS, "state", "exposure"):
            wrong[name] = "has the wrong form"
        else:
            drafts.check_open(wrong, kind, {name: ""})
    drafts.check_values(wrong, kind, values)
    drafts.refuse(wrong, f"{head.reference} cannot be changed like that")
    after = replace(head, open=open_fields, **plain)  # type: ignore[arg-type]  # checked above
    drafts.check_draft(
        Draft(
            type=after.type,
            service_name=after.service_name,
            username=after.username,
            external_url=after.external_url,
            ports=after.ports,
            tags=after.tags,
            open=after.open,
            expires_us=after.expires_us,
            rotate_every_days=after.rotate_every_days,
            exposure=after.exposure,
            values={kind.main: Plain("present")},
        ),
        f"{head.reference} cannot be changed like that",
    )
    return after


def _fits(name: str, value: object) -> bool:
    """Whether a common open field can be given this value, by its form alone."""
    if name in _TEXT_FIELDS:
        return isinstance(value, str)
    if name in _LIST_FIELDS:
        kind = _LIST_FIELDS[name]
        return isinstance(value, list | tuple) and all(isinstance(v, kind) for v in value)
    if name in _FLAGS:
        return isinstance(value, bool)
    if name in _NUMBERS:
        return value is None or isinstance(value, int)
    if name == "state":
        return value in ("active", "retired")
    return name == "exposure" and value in EXPOSURES


def changed_names(before: Head, after: Head, values: Mapping[str, Plain]) -> tuple[str, ...]:
    """The names of the fields that differ, the newly sealed ones among them."""
    names = {
        name
        for name in (*_TEXT_FIELDS, *_LIST_FIELDS, *_FLAGS, *_NUMBERS, "state", "exposure")
        if getattr(before, name) != getattr(after, name)
    }
    names |= {n for n in after.open if before.open.get(n) != after.open[n]}
    return tuple(sorted(names | set(values)))
