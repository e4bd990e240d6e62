"""`claudetools project`: which project a folder is, and whose records it may be told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Invalid
from mcp_server.cli import presence, show
from mcp_server.config import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hooks.project import Project

app = typer.Typer(
    help="Projects, and which folders may be told other persons' records.", no_args_is_help=True, add_completion=False
)

Folder = Annotated[Path | None, typer.Option("--folder", help="Which folder; else the present one.")]


@app.command()
def trust(*, folder: Folder = None, json: show.Json = False) -> None:
    """Let sessions in a folder be told what other persons left of its project, too.  Refuses under Claude Code.

    A folder says itself which project it is, by its remote; a checkout from somebody else can name yours.  So other
    persons' records are told in a new folder only after this; your own are told at once.
    """
    from hooks import trust as trusting

    presence.refuse_under_claude("trusting a folder")
    settings, found = _found(folder)
    if not found.is_claimed:
        _say(found, "is no repository: nobody else has records of it", trusted=True, as_json=json)
        return
    _change(trusting.trust, settings, found)
    _say(found, f"is trusted: its sessions are told other persons' records of {found.name}", trusted=True, as_json=json)


@app.command()
def untrust(*, folder: Folder = None, json: show.Json = False) -> None:
    """Take that back: sessions in a folder are told your own records alone."""
    from hooks import shelf
    from hooks import trust as trusting

    settings, found = _found(folder)
    _change(trusting.untrust, settings, found)
    shelf.clear_shelves(str(settings.home))
    _say(found, f"is not trusted: its sessions are told your own records of {found.name}", trusted=False, as_json=json)


@app.command("list")
def list_(*, json: show.Json = False) -> None:
    """List the folders that are trusted, with their projects and clients."""
    from hooks import trust as trusting
    from mcp_server.answers import iso

    settings = load_settings()
    found = list(trusting.listed(str(settings.home)))
    if json:
        items = [{"folder": place, "kind": kind, "of": of, "since": iso(at_us)} for place, kind, of, at_us in found]
        show.as_json({"items": items})
        return
    show.table(
        ("folder", "trusted with", "since"),
        (
            (place, f"client {of}" if kind == "client" else _name(place, of, settings), show.moment(at_us))
            for place, kind, of, at_us in found
        ),
        empty="no folder is trusted",
    )


@app.command()
def which(*, folder: Folder = None, json: show.Json = False) -> None:
    """Tell which project, branch and client a folder is of, and whether it is trusted."""
    from hooks import trust as trusting
    from hooks.project import binding_of

    settings, found = _found(folder)
    home, place = str(settings.home), _place(folder)
    client, bound = binding_of(home, place)
    sight = trusting.sight(home, found, place, client)
    if json:
        show.as_json(
            {
                "id": found.project_id,
                "name": found.name,
                "folder": found.anchor,
                "branch": found.branch,
                "client": client,
                "trusted": sight.project,
                "client_trusted": sight.client,
            }
        )
        return
    trusted = (
        "its sessions are told other persons' records, too" if found.is_claimed else "nobody else has records of it"
    )
    new = "your own records alone; other persons', too, after: claudetools project trust"
    show.pairs(
        (
            ("project", found.name),
            ("id", found.project_id),
            ("folder", found.anchor),
            ("branch", found.branch),
            ("client", f"{client} ({bound} is bound to it)" if client else ""),
            ("trust", trusted if sight.project else new),
        )
    )


def _place(folder: Path | None) -> str:
    place = os.path.realpath(folder or Path.cwd())
    if not Path(place).is_dir():
        raise Invalid("there is no such folder", fields={"--folder": "is no directory"})
    return place


def _found(folder: Path | None) -> tuple[Settings, Project]:
    from hooks.project import identify

    settings = load_settings()
    return settings, identify(_place(folder), settings.machine_id)


def _name(place: str, project_id: str, settings: Settings) -> str:
    from hooks.project import identify

    found = identify(place, settings.machine_id)
    return f"project {found.name}" if found.project_id == project_id else f"project {project_id}, which it is no more"


def _change(change: Callable[[str, Project], None], settings: Settings, found: Project) -> None:
    from hooks import trust as trusting

    home = str(settings.home)
    try:
        trusting.adopt(home, settings.machine_id)  # else what was trusted before would be lost with the first change
        change(home, found)
    except OSError as error:
        raise Invalid(f"what is trusted cannot be written: {error.strerror}", hint="claudetools doctor") from None


def _say(found: Project, text: str, *, trusted: bool, as_json: bool) -> None:
    if as_json:
        show.as_json({"folder": found.anchor, "id": found.project_id, "name": found.name, "trusted": trusted})
        return
    print(f"{show.clean(found.anchor)} {show.clean(text)}")
