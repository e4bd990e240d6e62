"""`claudetools client`: whom we work for, and which folder belongs to whom."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Invalid, NotFound
from mcp_server.answers import iso
from mcp_server.cli import acting, presence, show
from mcp_server.config import load_settings

if TYPE_CHECKING:
    from domain.registry import RegistryItem

app = typer.Typer(help="Clients, and which folder belongs to which.", no_args_is_help=True, add_completion=False)

SESSION_VARIABLE = "CLAUDE_CODE_SESSION_ID"
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
    with acting.logged_in() as (vault, actor):
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
    with acting.logged_in() as (vault, actor):
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
    session: Annotated[
        bool, typer.Option("--session", help="The running Claude Code session instead of a folder, until it ends.")
    ] = False,
    session_id: Annotated[str, typer.Option("--session-id", help="Another session, by its id.")] = "",
    none: Annotated[bool, typer.Option("--none", help="It belongs to no client any more.")] = False,
    json: show.Json = False,
) -> None:
    """Bind a folder and all below it, or a session, to a client: what is learned there belongs to it.

    A folder that a person binds is told other persons' records of that client, too; one that Claude Code binds, or a
    session, is not.
    """
    from hooks.project import bind
    from hooks.trust import adopt, trust_client

    bound = _session(session_id) if session or session_id else ""
    if bound and folder is not None:
        raise Invalid("bind a folder or a session, not both", fields={"--folder": "not with --session"})
    place = "" if bound else _folder(folder)
    slug = ""
    if not none:
        if not client:
            raise Invalid("name the client, or say --none", fields={"client": "needed"}, hint="claudetools client list")
        with acting.logged_in() as (vault, actor):
            slug = _slug(vault.registry.find(actor, client, kind="client", limit=100).items, client)
    settings = load_settings()
    home = str(settings.home)
    by_person = not presence.under_claude()
    try:
        adopt(home, settings.machine_id)  # what is bound from now on is trusted only by a person's word
        bind(home, client=slug, folder=place, session_id=bound)
        if place and (by_person or not slug):
            trust_client(home, place, slug)
    except OSError as error:
        raise Invalid(f"the binding cannot be written: {error.strerror}", hint="claudetools doctor") from None
    if json:
        show.as_json({"session": bound, "client": slug} if bound else {"folder": place, "client": slug})
        return
    what = f"session {bound}" if bound else show.clean(place)
    print(f"{what} belongs to {slug}" if slug else f"{what} belongs to no client")
    if slug and (bound or not by_person):
        show.note(
            f"other persons' records of it are told in folders that a person binds: claudetools client use {slug}"
        )


@app.command()
def which(*, folder: Folder = None, json: show.Json = False) -> None:
    """Tell which client a folder (inside Claude Code: the session) belongs to, and why."""
    from hooks.project import binding_of

    place = _folder(folder)
    session = "" if folder is not None else os.environ.get(SESSION_VARIABLE, "")
    slug, bound = binding_of(str(load_settings().home), place, session)
    if json:
        show.as_json({"folder": place, "client": slug, "bound": bound or (f"session {session}" if slug else "")})
        return
    why = "this session is bound to it" if not bound else "this folder is" if bound == place else f"{bound} is"
    print(f"{show.clean(slug)} ({show.clean(why)})" if slug else "no client")


def _session(said: str) -> str:
    from hooks.event import is_session_id

    found = said or os.environ.get(SESSION_VARIABLE, "")
    if not found:
        raise Invalid("no session runs here", fields={"--session": "inside Claude Code alone"}, hint="--session-id ID")
    if not is_session_id(found):
        raise Invalid("that is no session's id", fields={"--session-id": "letters, digits, - and _"})
    return found


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
