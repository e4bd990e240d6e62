"""Credentials: search, describe, create, update, rotate, delete, reveal.

A value leaves in one place, `reveal`, and only after its audit entry is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeVar

from domain import drafts, policy
from domain.actors import Actor, Subject
from domain.changes import changed_names, with_changes
from domain.credentials import (
    EXPOSURES,
    STATES,
    TYPES,
    Description,
    Exposure,
    Head,
    live_reference,
    slug,
)
from domain.drafts import Draft, Generate
from domain.errors import Conflict, Invalid, NotFound
from domain.ids import new_id
from domain.plain import Plain
from domain.registry import OWN_CLIENT, RegistryItem
from domain.rules import stored_rules, together
from mcp_server.keyring import Keyring
from mcp_server.services.pages import Page, check_questions, limit_of, make_cursor, read_cursor
from mcp_server.services.redaction import Redaction, struck, values_struck
from mcp_server.services.registry import Registry
from mcp_server.work import AuditedUnit, Found, Names, Unit, Work
from mcp_server.work.loading import head_of, is_name
from mcp_server.work.ruling import must_meet

T = TypeVar("T")
_FIND_HINT = "claudetools credential list"
Values = Sequence[tuple[str, Plain]]
"""Values that are not stored yet, each with the live reference it will have."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change led to.  `exposed`: the new value passed through the conversation."""

    description: Description
    version: int
    entry: str
    exposed: bool
    generated: bool
    changed: tuple[str, ...] = ()
    client_created: bool = False


@dataclass(frozen=True, slots=True)
class Revealed:
    """One opened secret field, with the audit entry that recorded it."""

    reference: str
    field: str
    version: int
    value: Plain
    entry: str


class Credentials:
    """The use cases around credentials."""

    def __init__(self, work: Work, keyring: Keyring, redaction: Redaction, registry: Registry) -> None:
        self._work = work
        self._keyring = keyring
        self._redaction = redaction
        self._registry = registry

    def search(
        self,
        actor: Actor,
        query: str = "",
        *,
        client: str = "",
        type: str = "",  # noqa: A002  # the word that callers use
        tag: str = "",
        state: str = "active",
        limit: int = 20,
        cursor: str = "",
    ) -> Page[Description]:
        """Credentials whose open fields hold every word of `query`; `state` "" means any."""
        limit_of(limit)
        if type:
            drafts.type_of(type)
        if state and state not in STATES:
            raise Invalid("no such state", fields={"state": "one of: " + ", ".join(STATES)})
        check_questions(query=query, client=client, tag=tag)
        place = read_cursor(cursor, str)
        after = str(place[0]) if place else ""

        def find(unit: AuditedUnit) -> tuple[list[tuple[Head, Names]], int]:
            found, total = unit.credentials.search(
                query.lower().split()[:10],
                client=client,
                type_=type,
                tag=tag,
                state=state,
                after=after,
                limit=limit + 1,
            )
            unit.note(found=len(found[:limit]))
            return found, total

        asked = self._redaction.words(query, 500)
        (found, total), _ = self._work.done(actor, "credential.search", find, purpose=asked)
        items = tuple(_description(head, names) for head, names in found[:limit])
        more = make_cursor(items[-1].reference) if len(found) > limit else ""
        return Page(items, more, total)

    def describe(self, actor: Actor, reference: str) -> Description:
        """One credential's open fields.  Raises NotFound."""

        def view(unit: AuditedUnit) -> Description:
            head = head_of(unit, reference, deleted=True)
            unit.about(_subject(head))
            return _description(head, unit.credentials.names(head))

        asked = partial(self._asked, reference)
        return self._work.done(actor, "credential.view", view, subject=asked, credential=_named(reference))[0]

    def create(self, actor: Actor, draft: Draft, *, purpose: str = "") -> Changed:
        """Makes a credential.  Its client is registered where it is new.  Raises Invalid."""
        drafts.check_draft(draft)
        kind = TYPES[draft.type]
        values = dict(draft.values)
        if draft.generate is not None:
            values[kind.main] = drafts.generate(draft.generate)
        given = set(draft.values)
        exposed = actor.kind == "agent" and bool(given)
        extra = [(live_reference("this", name), value) for name, value in values.items()]
        _check_purpose(purpose)
        redactor = self._redaction.current()
        safe = _strike_draft(draft, partial(values_struck, redactor, extra=extra))
        purpose = struck(redactor, purpose, extra).text
        return self._make(actor, safe, values, new_id("cr"), exposed=exposed, purpose=purpose)

    def take_in(
        self,
        actor: Actor,
        draft: Draft,
        credential_id: str,
        strike: Callable[[str], str],
        *,
        exposed: bool,
        source: str,
    ) -> Changed:
        """Makes one credential of an import, under the id that follows from what it is; `strike` cleans its open fields.

        Raises Conflict where it is there already.
        """
        drafts.check_draft(draft)
        safe = _strike_draft(draft, strike)
        return self._make(actor, safe, dict(draft.values), credential_id, exposed=exposed, source=source)

    def update(
        self,
        actor: Actor,
        reference: str,
        changes: Mapping[str, object],
        *,
        purpose: str = "",
        expected_revision: int | None = None,
    ) -> Changed:
        """Changes open fields, and secret ones as a new version.  Raises Invalid, Conflict.

        Secret fields are given as Plain.  Keys are the names of the fields.
        """
        values = _secret(changes)
        open_changes = {name: value for name, value in changes.items() if name not in values}
        extra = [(live_reference("this", name), value) for name, value in values.items()]
        _check_purpose(purpose)
        redactor = self._redaction.current()
        purpose = struck(redactor, purpose, extra).text
        strike = partial(values_struck, redactor, extra=extra)
        open_changes = {name: _safe(value, strike) for name, value in open_changes.items()}
        exposed = actor.kind == "agent" and bool(values)

        def change(unit: AuditedUnit) -> tuple[Description, tuple[str, ...]]:
            head, known = _load_to_change(unit, reference)
            if expected_revision is not None and expected_revision != head.revision:
                raise Conflict(
                    f"{head.reference} was changed meanwhile: it is at revision {head.revision}",
                    hint=f"claudetools credential show {head.reference}",
                )
            after = with_changes(actor, head, open_changes, values)
            names = changed_names(head, after, values)
            if not names:
                raise Invalid(
                    "nothing to change: every field has that value already",
                    fields={"changes": "name at least one field with a new value"},
                )
            unit.note(changed=list(names))
            return self._store(unit, after, known, values, exposed=exposed), names

        (description, names), unit = self._changed(actor, "credential.update", reference, change, purpose)
        return Changed(description, description.head.current_version, unit.entry_id, exposed, False, names)

    def rotate(
        self,
        actor: Actor,
        reference: str,
        *,
        field: str = "",
        value: Plain | None = None,
        generate: Generate | None = None,
        purpose: str = "",
    ) -> Changed:
        """Gives a secret field a new value as a new version.  The old one stays in the history."""
        if (value is None) == (generate is None):
            raise Invalid(
                "give the new value, or ask for a generated one: one of the two",
                fields={"value": "needed, unless generate is set"},
            )
        named = field if field in drafts.SECRET_FIELDS else "value"  # an unknown name may be a value
        extra: Values = [(live_reference("this", named), value)] if value else []
        purpose = self._purpose(purpose, extra)
        exposed = actor.kind == "agent" and value is not None

        def turn(unit: AuditedUnit) -> tuple[Description, str]:
            head, known = _load_to_change(unit, reference)
            kind = TYPES[head.type]
            name = field or kind.main
            wrong: dict[str, str] = {}
            if generate is not None:
                drafts.check_generate(wrong, kind, generate)
            drafts.refuse(wrong, f"{head.reference} cannot be rotated like that")
            made = value if value is not None else drafts.generate(generate or Generate())
            drafts.check_values(wrong, kind, {name: made})
            drafts.refuse(wrong, f"{head.reference} cannot be rotated like that")
            after = replace(head, last_rotated_us=unit.now_us)
            unit.note(field=name, version=head.current_version + 1, generated=generate is not None)
            return self._store(unit, after, known, {name: made}, exposed=exposed), name

        (description, name), unit = self._changed(actor, "credential.rotate", reference, turn, purpose)
        return Changed(
            description,
            description.head.current_version,
            unit.entry_id,
            exposed,
            generate is not None,
            (name,),
        )

    def delete(self, actor: Actor, reference: str, *, purpose: str = "") -> Changed:
        """Takes a credential out of use.  Its sealed history and its audit entries stay."""
        purpose = self._purpose(purpose)

        def take(unit: AuditedUnit) -> Description:
            head = head_of(unit, reference, deleted=True)
            unit.about(_subject(head))
            if head.state == "deleted":
                raise Conflict(f"{head.reference} is deleted already", hint=_FIND_HINT)
            names = unit.credentials.names(head)
            after = replace(head, state="deleted", deleted_us=unit.now_us, updated_us=unit.now_us)
            unit.credentials.replace(after)
            return _description(replace(after, revision=head.revision + 1), names)

        description, unit = self._changed(actor, "credential.delete", reference, take, purpose)
        return Changed(description, description.head.current_version, unit.entry_id, False, False)

    def reveal(self, actor: Actor, reference: str, *, field: str = "", purpose: str) -> Revealed:
        """Opens one secret field for the caller, after the entry of it is committed.

        Raises NotFound, Denied, Invalid without a purpose, Broken where it does not open.
        """
        _check_purpose(purpose)

        def find(unit: AuditedUnit) -> Found:
            head = head_of(unit, reference, deleted=True)
            unit.about(_subject(head))
            name = field or TYPES[head.type].main
            policy.decrypt(actor, head, name, purpose)
            must_meet(unit, actor, head, name)
            sealed = unit.credentials.sealed(head, name)
            self._check_client_key(unit, head, sealed.client_key_version)
            if not unit.credentials.is_exposed(head, sealed):
                unit.credentials.mark_exposed(head.credential_id, sealed.version, unit.now_us)
            return Found(_subject(head), sealed)

        ticket, found = self._work.disclose(
            actor,
            "credential.decrypt",
            find,
            purpose=self._redaction.words(purpose),
            credential=_named(reference),
            field=field if field in drafts.SECRET_FIELDS else "",
            subject=partial(self._asked, reference),
        )
        value = self._keyring.unseal(ticket, found.sealed)
        return Revealed(
            found.sealed.reference, found.sealed.field, found.sealed.version, value, ticket.receipt.entry_id
        )

    # What the use cases above are made of.

    def _make(
        self,
        actor: Actor,
        safe: Draft,
        values: Mapping[str, Plain],
        credential_id: str,
        *,
        exposed: bool,
        purpose: str = "",
        source: str = "",
    ) -> Changed:
        """Stores a new credential, whose open fields are struck already, with its client and its key where they are new."""
        with self._work.permitted(actor, "credential.create", purpose=purpose) as reading:
            client, service, place = self._registry.known(
                reading, safe.client or OWN_CLIENT, safe.service, safe.infrastructure
            )
            has_key = client is not None and reading.keys.active(client.id) is not None
        client_created = False
        if client is None:
            client, client_created = self._registry.ensure_client(actor, safe.client or OWN_CLIENT)
        if safe.service and service is None:
            service = self._registry.ensure(actor, "service", safe.service, client)
        if safe.infrastructure and place is None:
            place = self._registry.ensure(actor, "infrastructure", safe.infrastructure, client)
        if not has_key:
            self._ensure_key(actor, client)
        owner = client

        def make(unit: AuditedUnit) -> Description:
            if source and unit.credentials.load(credential_id) is not None:
                raise Conflict("it was imported meanwhile", hint=_FIND_HINT)
            wanted = replace(safe, exposure=_no_wider(unit, safe.exposure)) if source else safe
            head = self._new_head(unit, wanted, credential_id, owner, service, place, values)
            unit.about(_subject(head))
            unit.credentials.insert(head)
            unit.note(type=head.type, fields=sorted(values), generated=safe.generate is not None)
            if source:
                unit.note(imported=source)
            self._seal(unit, head, values, exposed=exposed)
            names = Names(owner.slug, service.name if service else "", place.name if place else "", exposed)
            return _description(replace(head, revision=1), names)

        description, unit = self._work.done(actor, "credential.create", make, purpose=purpose)
        return Changed(
            description=description,
            version=1,
            entry=unit.entry_id,
            exposed=exposed,
            generated=safe.generate is not None,
            changed=tuple(sorted(values)),
            client_created=client_created,
        )

    def _changed(
        self, actor: Actor, action: str, reference: str, change: Callable[[AuditedUnit], T], purpose: str
    ) -> tuple[T, AuditedUnit]:
        asked = partial(self._asked, reference)
        return self._work.done(actor, action, change, subject=asked, purpose=purpose, credential=_named(reference))

    def _purpose(self, purpose: str, extra: Values = ()) -> str:
        _check_purpose(purpose)
        return self._redaction.text(purpose, extra=extra)

    def _asked(self, reference: str) -> Subject:
        """What a call says it is about, before anything is found: a value may have the form of a reference."""
        is_clean = is_name(reference) and self._redaction.strike_values(reference) == reference
        return Subject("credential", "", reference if is_clean else "")

    def _ensure_key(self, actor: Actor, client: RegistryItem) -> None:
        with self._work.reading(actor) as unit:
            if unit.keys.active(client.id) is not None:
                return
        self._registry.create_key(actor, client)

    def _check_client_key(self, unit: Unit, head: Head, version: int) -> None:
        key = unit.keys.version(head.client_id, version)
        if key is None or key.state == "destroyed":
            raise NotFound(f"the key of the client of {head.reference} was destroyed")

    def _new_head(
        self,
        unit: AuditedUnit,
        draft: Draft,
        credential_id: str,
        client: RegistryItem,
        service: RegistryItem | None,
        place: RegistryItem | None,
        values: Mapping[str, Plain],
    ) -> Head:
        base = "/".join(
            (
                client.slug,
                slug(draft.service or draft.service_name),
                slug(draft.name or draft.username or draft.type),
            )
        )
        return Head(
            credential_id=credential_id,
            reference=_free_reference(unit, base),
            type=draft.type,
            client_id=client.id,
            service_id=service.id if service else "",
            infrastructure_id=place.id if place else "",
            service_name=draft.service_name.strip(),
            username=draft.username,
            external_url=draft.external_url,
            ports=tuple(draft.ports),
            tags=tuple(draft.tags),
            open=dict(draft.open),
            requires_vpn=draft.requires_vpn,
            requires_2fa=draft.requires_2fa,
            expires_us=draft.expires_us,
            rotate_every_days=draft.rotate_every_days,
            last_rotated_us=None,
            exposure=_level(unit, draft),
            state="active",
            fields=dict.fromkeys(values, 1),
            current_version=1,
            created_us=unit.now_us,
            updated_us=unit.now_us,
            deleted_us=None,
            rules=together(stored_rules((unit.keys.vault() or {}).get("default_rules")), draft.rules),
        )

    def _store(
        self, unit: AuditedUnit, head: Head, names: Names, values: Mapping[str, Plain], *, exposed: bool
    ) -> Description:
        """Stores a changed head, with its new values as the next version where there are any."""
        after = replace(head, updated_us=unit.now_us)
        if values:
            version = head.current_version + 1
            fields = {**head.fields, **dict.fromkeys(values, version)}
            after = replace(after, current_version=version, fields=fields)
            names = replace(names, exposed=exposed)
        unit.credentials.replace(after)
        if values:
            self._seal(unit, after, values, exposed=exposed)
        return _description(replace(after, revision=head.revision + 1), names)

    def _seal(self, unit: AuditedUnit, head: Head, values: Mapping[str, Plain], *, exposed: bool) -> None:
        key = unit.keys.active(head.client_id)
        if key is None:
            raise NotFound("that client has no active key", hint="claudetools audit verify")
        sealed = self._keyring.seal_version(
            client_id=head.client_id,
            client_key_version=key.version,
            wrapped_client_key=key.wrapped,
            credential_id=head.credential_id,
            version=head.current_version,
            type_=head.type,
            values=values,
        )
        unit.credentials.add_version(head.credential_id, head.current_version, sealed, unit.now_us, exposed=exposed)


def _secret(changes: Mapping[str, object]) -> dict[str, Plain]:
    """The changes that are values: whatever has a secret field's name is treated as one."""
    values: dict[str, Plain] = {}
    for name, value in changes.items():
        if isinstance(value, Plain):
            values[name] = value
        elif name in drafts.SECRET_FIELDS:
            values[name] = Plain(str(value))
    return values


def _strike_draft(draft: Draft, struck: Callable[[str], str]) -> Draft:
    return replace(
        draft,
        service_name=struck(draft.service_name),
        client=struck(draft.client),
        service=struck(draft.service),
        name=struck(draft.name),
        infrastructure=struck(draft.infrastructure),
        username=struck(draft.username),
        external_url=struck(draft.external_url),
        tags=tuple(struck(tag) for tag in draft.tags),
        open={name: struck(text) for name, text in draft.open.items()},
    )


def _safe(value: object, struck: Callable[[str], str]) -> object:
    """An open field with every vault value struck: people paste secrets into names and tags."""
    if isinstance(value, str):
        return struck(value)
    if isinstance(value, list | tuple):
        return tuple(_safe(part, struck) for part in value)
    return value


def _check_purpose(purpose: str) -> None:
    if len(purpose) > policy.MAX_PURPOSE:
        raise Invalid(
            f"the purpose is too long: at most {policy.MAX_PURPOSE} characters",
            fields={"purpose": f"at most {policy.MAX_PURPOSE} characters"},
        )
    if "\x00" in purpose:
        raise Invalid("the purpose holds a NUL character", fields={"purpose": "holds a NUL character"})
    if not drafts.is_text(purpose):
        raise Invalid("the purpose holds half a character", fields={"purpose": "holds half a character"})


def _named(reference: str) -> str:
    """What a call asks for, where it has the form of a name: anything else may be a value."""
    return reference if is_name(reference) else ""


def _default_level(unit: Unit) -> str:
    return str((unit.keys.vault() or {}).get("default_exposure", EXPOSURES[-1]))


def _no_wider(unit: Unit, wanted: str) -> Exposure | Literal[""]:
    """What a file asks for, unless that is open further than this vault's default; then "", which is the default."""
    levels = [str(level) for level in EXPOSURES]
    is_tight = wanted in levels and levels.index(wanted) < levels.index(_default_level(unit))
    return EXPOSURES[levels.index(wanted)] if is_tight else ""


def _level(unit: AuditedUnit, draft: Draft) -> Exposure:
    level = policy.create(unit.actor, draft.exposure, _default_level(unit))
    return next((one for one in EXPOSURES if one == level), EXPOSURES[0])


def _load_to_change(unit: AuditedUnit, reference: str) -> tuple[Head, Names]:
    head = head_of(unit, reference)
    unit.about(_subject(head))
    return head, unit.credentials.names(head)


def _subject(head: Head) -> Subject:
    return Subject("credential", head.credential_id, head.reference, head.client_id)


def _free_reference(unit: Unit, base: str) -> str:
    reference, number = base, 2
    while unit.credentials.reference_taken(reference):
        reference, number = f"{base}-{number}", number + 1
    return reference


def _description(head: Head, names: Names) -> Description:
    return Description(
        reference=head.reference,
        head=head,
        client=names.client,
        service=names.service,
        infrastructure=names.infrastructure,
        exposed=names.exposed,
    )
