"""Whose and what: clients, services, infrastructure."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver.tools import Tool

from domain.errors import Invalid
from domain.registry import KINDS, RegistryItem
from hooks.event import is_session_id
from hooks.project import bind
from mcp_server.answers import iso
from mcp_server.callers import Door
from mcp_server.tools import Lean, Toolbox, about, one_of


class Item(Lean):
    """A client, service or infrastructure."""

    kind: str
    id: str
    name: str
    slug: str
    client: str
    url: str = ""
    note: str = ""
    updated_at: str

    @classmethod
    def of(cls, it: RegistryItem) -> Item:
        """The answer's form of an item."""
        return cls(
            kind=it.kind,
            id=it.id,
            name=it.name,
            slug=it.slug,
            client=it.client,
            url=it.url,
            note=it.note,
            updated_at=iso(it.updated_us),
        )


class Use(Lean):
    """For whom the session works now."""

    session_id: str
    client: str = ""


class Items(Lean):
    """A page of them; `next_cursor` is empty at the end."""

    items: list[Item]
    next_cursor: str = ""


def offer(door: Door) -> list[Tool]:
    """The tools of this room."""
    box = Toolbox()

    @box.tool(
        "Find clients, services, infrastructure",
        reads=True,
        search_hint="customers clients services servers hosts inventory",
    )
    def registry_find(
        query: str = "",
        kind: Annotated[str, one_of(KINDS, "empty: all")] = "",
        client: Annotated[str, about("only what belongs to this client")] = "",
        limit: int = 20,
        cursor: str = "",
    ) -> Items:
        """List the clients we work for, and their services and infrastructure (servers, networks, sites)."""
        app, actor = door.enter()
        page = app.registry.find(actor, query, kind=kind, client=client, limit=limit, cursor=cursor)
        return Items(items=[Item.of(it) for it in page.items], next_cursor=page.next_cursor)

    @box.tool(
        "Save a client, service or infrastructure",
        repeats=True,
        search_hint="add change customer client service server host",
    )
    def registry_save(
        kind: Annotated[str, one_of(KINDS)],
        name: str,
        client: Annotated[str, about("whose; empty: our own")] = "",
        url: str = "",
        note: str = "",
        item_id: Annotated[str, about("id of the one to change or rename")] = "",
    ) -> Item:
        """Add a client, service or infrastructure, or change the one of that name or id."""
        app, actor = door.enter()
        saved = app.registry.save(actor, kind=kind, name=name, client=client, note=note, url=url, item_id=item_id)
        return Item.of(saved)

    @box.tool(
        "Work for a client", repeats=True, search_hint="bind session to client customer: working for, on behalf of"
    )
    def client_use(client: Annotated[str, about("name; empty: for none")] = "") -> Use:
        """Bind this session to a client: what it learns, and notes it saves, belong there. When the user says for whom."""
        app, actor = door.enter()
        if not is_session_id(door.session_id):
            raise Invalid("it is not known which session this is", hint="claudetools client use NAME --folder FOLDER")
        found = app.registry.client(actor, client).slug if client.strip() else ""
        bind(str(app.settings.home), client=found, session_id=door.session_id)
        return Use(session_id=door.session_id, client=found)

    return box.tools
