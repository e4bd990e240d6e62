"""A throw-away installation to measure on."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from domain.actors import Actor
from domain.plain import Plain
from mcp_server.bootstrap import App, build
from mcp_server.bootstrap.installation import Wanted, create


@contextlib.contextmanager
def store() -> Iterator[App]:
    """An app over a fresh vault in a temporary folder, which goes with it."""
    place = Path(tempfile.mkdtemp(prefix="claudetools-bench-"))
    try:
        settings = create(
            Wanted(
                home=place / "home",
                person="bench",
                password=lambda: Plain("only for measuring"),
                deliver=lambda _key: None,
            ),
            lambda _step: None,
        )
        app = build(settings)
        try:
            yield app
        finally:
            app.close()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def agent(app: App) -> Actor:
    """The installation's own agent, proven."""
    secret = app.settings.agent_secret_file.read_text(encoding="utf-8")
    return app.identity.actor(app.identity.prove(secret), session_id="bench")
