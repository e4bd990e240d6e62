"""The person at the command line: the open vault, the login, and the password that every value asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import Invalid, Unauthenticated
from mcp_server.cli import ask, presence
from mcp_server.config import load_settings, read_private

if TYPE_CHECKING:
    from domain.actors import Actor
    from mcp_server.bootstrap import App

LOGIN = "claudetools login"


@contextmanager
def vault() -> Iterator[App]:
    """The services over this installation's vault, closed at the end."""
    from mcp_server.bootstrap import build

    app = build(load_settings())
    try:
        yield app
    finally:
        app.close()


@contextmanager
def logged_in() -> Iterator[tuple[App, Actor]]:
    """The services, and the person who is logged in.  Raises Unauthenticated where nobody is."""
    file = load_settings().login_file
    if not file.exists():
        raise Unauthenticated("nobody is logged in", hint=LOGIN)
    token = read_private(file, "the login", LOGIN).decode("ascii", "replace").strip()
    with vault() as app:
        yield app, app.identity.actor(token, session_id=os.environ.get("CLAUDE_CODE_SESSION_ID", ""))


@contextmanager
def at_the_terminal(what: str, password_file: Path | None) -> Iterator[tuple[App, Actor]]:
    """For what shows or uses a value: a logged-in person, not under Claude Code, whose password was just given.

    Raises Denied under Claude Code, Unauthenticated for a wrong password.
    """
    presence.refuse_under_claude(what)
    with logged_in() as (app, actor):
        given = ask.password(password_file, f"Password of {actor.name}: ")
        try:
            app.identity.login(actor.name, given.expose())
        except Unauthenticated as wrong:
            raise Unauthenticated("that is not the password", hint="try again", entry=wrong.entry) from None
        yield app, actor


def purpose_of(text: str) -> str:
    """Why a value is needed: given, or asked for at a terminal.  Raises Invalid without either."""
    if text.strip():
        return text
    if not ask.has_terminal():
        raise Invalid(
            "a reason is needed to open a secret field",
            fields={"--purpose": "say in a few words what the value is needed for"},
            hint='--purpose "what the value is needed for"',
        )
    import typer

    return str(typer.prompt("What is it needed for", err=True))
