"""Clients, services and infrastructure: find and save, and each client's key."""

from __future__ import annotations

from dataclasses import replace

from domain.actors import Actor, Subject
from domain.credentials import slug
from domain.drafts import is_text
from domain.errors import Conflict, Invalid, NotFound
from domain.ids import new_id
from domain.registry import KINDS, OWN_CLIENT, RegistryItem, RegistryKind
from mcp_server.keyring import Keyring
from mcp_server.services.pages import Page, check_questions, limit_of, make_cursor, read_cursor
from mcp_server.services.redaction import Redaction, struck, values_struck
from mcp_server.work import AuditedUnit, Unit, Work

_PREFIX: dict[RegistryKind, str] = {"client": "cl", "service": "sv", "infrastructure": "nf"}
_LIMITS = {"name": 255, "url": 2048, "note": 4000, "client": 255}


class Registry:
    """The use cases around clients, services and infrastructure."""

    def __init__(self, work: Work, keyring: Keyring, redaction: Redaction) -> None:
        self._work = work
        self._keyring = keyring
        self._redaction = redaction

    def find(
        self,
        actor: Actor,
        query: str = "",
        *,
        kind: str = "",
        client: str = "",
        limit: int = 20,
        cursor: str = "",
    ) -> Page[RegistryItem]:
        """Items that hold every word of `query`; of one kind, or of all three."""
        limit_of(limit)
        kinds = [_kind(kind)] if kind else list(KINDS)
        place = read_cursor(cursor, str, str)
        if place:
            kinds = kinds[kinds.index(_kind(str(place[0]))) :]
        items: list[RegistryItem] = []
        check_questions(query=query, client=client)
        words = query.split()[:10]
        with self._work.permitted(actor, "registry.find") as unit:
            client_id = ""
            if client:
                owner = unit.registry.client(client)
                if owner is None:
                    raise NotFound("there is no such client", hint="claudetools client list")
                client_id = owner.id
            for one in kinds:
                after = str(place[1]) if place and one == place[0] else ""
                items += unit.registry.find(one, words, client_id=client_id, after=after, limit=limit + 1 - len(items))
                if len(items) > limit:
                    break
        more = ""
        if len(items) > limit:
            last = items[limit - 1]
            more = make_cursor(last.kind, last.id)
        return Page(tuple(items[:limit]), more)

    def save(
        self,
        actor: Actor,
        *,
        kind: str,
        name: str,
        client: str = "",
        note: str = "",
        url: str = "",
        item_id: str = "",
    ) -> RegistryItem:
        """Makes an item, or changes the one with `item_id` (or the same name).

        A service or infrastructure belongs to a client, which is registered where it is new;
        without one it belongs to the team itself.
        """
        one = _kind(kind)
        _check({"name": name, "note": note, "url": url, "client": client})
        redactor = self._redaction.current()
        name, url = (values_struck(redactor, text) for text in (name, url))
        note = struck(redactor, note).text
        owner: RegistryItem | None = None
        if one != "client" and not item_id:
            owner, _ = self.ensure_client(actor, client or OWN_CLIENT)

        def keep(unit: AuditedUnit) -> RegistryItem:
            if item_id:
                found = unit.registry.by_id(one, item_id)
                if found is None:
                    raise NotFound(f"there is no such {one}", hint="claudetools client list")
            elif owner is None:
                found = unit.registry.client(name)
            else:
                found = unit.registry.belonging(one, name, owner.id)
            if found is None:
                item = _new(one, name, owner, url, note, unit.now_us)
                if unit.registry.is_taken(one, item.slug, item.client_id):
                    raise Conflict("another name is written alike already", hint="claudetools client list")
                unit.registry.add(item)
            else:
                item = replace(
                    found,
                    name=name if item_id else found.name,
                    url=url or found.url,
                    note=note or found.note,
                    updated_us=unit.now_us,
                )
                unit.registry.replace(item)
            unit.about(Subject(one, item.id, item.slug, item.client_id))
            unit.note(new=found is None)
            return item

        return self._work.done(actor, "registry.save", keep)[0]

    def known(
        self, unit: Unit, client: str, service: str, infrastructure: str
    ) -> tuple[RegistryItem | None, RegistryItem | None, RegistryItem | None]:
        """A client and what of it is named, as far as they are there."""
        owner = unit.registry.client(client)
        if owner is None:
            return None, None, None
        there = unit.registry.belonging
        return (
            owner,
            there("service", service, owner.id) if service else None,
            there("infrastructure", infrastructure, owner.id) if infrastructure else None,
        )

    def client(self, actor: Actor, text: str) -> RegistryItem:
        """The client of this id, slug or name.  Raises NotFound."""
        with self._work.reading(actor) as unit:
            found = unit.registry.client(text)
        if found is None:
            raise NotFound("there is no such client", hint="registry_find lists them, registry_save adds one")
        return found

    def ensure_client(self, actor: Actor, text: str) -> tuple[RegistryItem, bool]:
        """The client of this id, slug or name; registered where it is new."""
        with self._work.reading(actor) as unit:
            found = unit.registry.client(text)
        if found is not None:
            return found, False
        try:
            return self.save(actor, kind="client", name=text), True
        except Conflict:  # another process was faster, or the slug is another name's
            with self._work.reading(actor) as unit:
                found = unit.registry.client(slug(text))
            if found is None:
                raise
            return found, False

    def ensure(self, actor: Actor, kind: RegistryKind, text: str, client: RegistryItem) -> RegistryItem:
        """The service or infrastructure of this client; registered where it is new."""
        with self._work.reading(actor) as unit:
            found = unit.registry.belonging(kind, text, client.id)
        return found or self.save(actor, kind=kind, name=text, client=client.slug)

    def create_key(self, actor: Actor, client: RegistryItem) -> None:
        """Makes the first key of a client, or one after those that were destroyed; its credentials are sealed under it."""
        with self._work.reading(actor) as unit1:
            newest = unit1.keys.newest(client.id)
        # Anything else there is makes this a Conflict: somebody was faster.
        version = newest.version + 1 if newest is not None and newest.state == "destroyed" else 1
        wrapped = self._keyring.new_client_key(client.id, version)
        subject = Subject("client_key", f"{client.id}.{version}", client.slug, client.id)
        try:
            with self._work.audited(actor, "key.create", subject, version=version) as unit:
                unit.keys.create(client.id, version, wrapped, unit.now_us)
        except Conflict:
            with self._work.reading(actor) as unit2:
                if unit2.keys.active(client.id) is None:
                    raise


def _kind(text: str) -> RegistryKind:
    for kind in KINDS:
        if kind == text:
            return kind
    raise Invalid("no such kind", fields={"kind": "one of: " + ", ".join(KINDS)})


def _check(texts: dict[str, str]) -> None:
    wrong: dict[str, str] = {}
    for name, text in texts.items():
        if name == "name" and not text.strip():
            wrong[name] = "needed"
        elif len(text) > _LIMITS[name]:
            wrong[name] = f"at most {_LIMITS[name]} characters"
        elif "\x00" in text:
            wrong[name] = "holds a NUL character"
        elif not is_text(text):
            wrong[name] = "holds half a character"
    if wrong:
        listed = "; ".join(f"{name}: {why}" for name, why in wrong.items())
        raise Invalid(f"this cannot be saved as it is: {listed}", fields=wrong)


def _new(kind: RegistryKind, name: str, owner: RegistryItem | None, url: str, note: str, now_us: int) -> RegistryItem:
    item_id = new_id(_PREFIX[kind])
    made = slug(name)
    return RegistryItem(
        kind=kind,
        id=item_id,
        slug=made,
        name=name.strip(),
        client=owner.slug if owner else made,
        client_id=owner.id if owner else item_id,
        url=url,
        note=note,
        created_us=now_us,
        updated_us=now_us,
    )
