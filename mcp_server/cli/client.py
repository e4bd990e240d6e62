"""`claudetools client`: whom we work for, and which folder belongs to whom."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Invalid, NotFound
from mcp_server.answers import iso
from mcp_server.cli import person, show
from mcp_server.config import load_settings

if TYPE_CHECKING:
    from domain.registry import RegistryItem

app = typer.Typer(help="Clients, and which folder belongs to which.", no_args_is_help=True, add_completion=False)

Folder = Annotated[Path | None, typer.Option("--folder", help="Which folder; else the present one.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The client's name.")],
    *,
    url: Annotated[str, typer.Option("--url", help="Where to find them.")] = "",
    note: Annotated[str, typer.Option("--note", help="What is good to know.")] = "",
    json: show.Json = False,
) -> None:
    """Register a client, or change the one of that name."""
    with person.logged_in() as (vault, actor):
        item = vault.registry.save(actor, kind="client", name=name, url=url, note=note)
    if json:
        show.as_json(_as_json(item))
        return
    print(f"client {item.slug} ({show.clean(item.name)})")


@app.command("list")
def list_(
    query: Annotated[str, typer.Argument(help="Words that name, URL or note must hold.")] = "",
    *,
    limit: show.Limit = 50,
    cursor: show.Cursor = "",
    json: show.Json = False,
) -> None:
    """List the clients."""
    with person.logged_in() as (vault, actor):
        page = vault.registry.find(actor, query, kind="client", limit=limit, cursor=cursor)
    if json:
        show.as_json({"items": [_as_json(one) for one in page.items], "next_cursor": page.next_cursor})
        return
    rows = ((one.slug, one.name, one.url, one.note) for one in page.items)
    show.table(("client", "name", "url", "note"), rows, empty="no clients")
    show.next_page(page.next_cursor)


@app.command()
def use(
    client: Annotated[str, typer.Argument(help="The client's name or short name; not needed with --none.")] = "",
    *,
    folder: Folder = None,
    none: Annotated[bool, typer.Option("--none", help="The folder belongs to no client any more.")] = False,
    json: show.Json = False,
) -> None:
    """Bind a folder, and all below it, to a client: its sessions and what they learn belong there."""
    from hooks.project import bind

    place = _folder(folder)
    slug = ""
    if not none:
        if not client:
            raise Invalid("name the client, or say --none", fields={"client": "needed"}, hint="claudetools client list")
        with person.logged_in() as (vault, actor):
            slug = _slug(vault.registry.find(actor, client, kind="client", limit=100).items, client)
    try:
        bind(str(load_settings().home), client=slug, folder=place)
    except OSError as error:
        raise Invalid(f"the binding cannot be written: {error.strerror}", hint="claudetools doctor") from None
    if json:
        show.as_json({"folder": place, "client": slug})
        return
    print(f"{show.clean(place)} belongs to {slug}" if slug else f"{show.clean(place)} belongs to no client")


@app.command()
def which(*, folder: Folder = None, json: show.Json = False) -> None:
    """Tell which client a folder belongs to."""
    from hooks.project import client_of

    place = _folder(folder)
    slug = client_of(str(load_settings().home), place)
    if json:
        show.as_json({"folder": place, "client": slug})
        return
    print(show.clean(slug) if slug else "no client")


def _folder(folder: Path | None) -> str:
    place = os.path.realpath(folder or Path.cwd())
    if not Path(place).is_dir():
        raise Invalid("there is no such folder", fields={"--folder": "is no directory"})
    return place


def _slug(found: tuple[RegistryItem, ...], client: str) -> str:
    for item in found:
        if client.lower() in (item.slug, item.name.lower(), item.id):
            return item.slug
    raise NotFound("there is no such client", hint="claudetools client add NAME")


def _as_json(item: RegistryItem) -> dict[str, object]:
    return {
        "id": item.id,
        "slug": item.slug,
        "name": item.name,
        "url": item.url,
        "note": item.note,
        "updated_at": iso(item.updated_us),
    }
