"""A throw-away installation to measure on, over either database."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from domain.actors import Actor
from domain.plain import Plain
from mcp_server.bootstrap import App, build
from mcp_server.bootstrap.installation import Wanted, create
from mcp_server.config import Settings
from storage.address import parse_address
from tests.kit import mariadb
from tests.kit.mariadb import OWNER, MariaDB
from tests.kit.proxy import Proxy


@contextlib.contextmanager
def durable_server() -> Iterator[MariaDB]:
    """A private MariaDB whose commits reach a disk; the tests' own lies in memory, where flushing costs nothing."""
    in_memory = mariadb._MEMORY_DISK  # noqa: SLF001  # where the kit puts its servers
    mariadb._MEMORY_DISK = Path(tempfile.gettempdir())  # noqa: SLF001
    try:
        server = MariaDB(durable=True)
    finally:
        mariadb._MEMORY_DISK = in_memory  # noqa: SLF001
    with server:
        yield server


@contextlib.contextmanager
def store(server: MariaDB | None = None) -> Iterator[App]:
    """An app over a fresh vault in a temporary folder, which goes with it; on a server, or else embedded."""
    place = Path(tempfile.mkdtemp(prefix="claudetools-bench-"))
    try:
        settings = create(
            Wanted(
                home=place / "home",
                person="bench",
                password=lambda: Plain("only for measuring"),
                deliver=lambda _key: None,
                database="" if server is None else server.url(server.database(), by_socket=True),
                database_password=None if server is None else Plain(server.passwords[OWNER]),
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


def behind(app: App, proxy: Proxy) -> App:
    """The same installation, which reaches its server through a proxy."""
    return build(_through(app.settings, proxy))


def _through(settings: Settings, proxy: Proxy) -> Settings:
    address = parse_address(settings.database, base=str(settings.home))
    return replace(settings, database=f"mariadb+pymysql://{address.user}@127.0.0.1:{proxy.port}/{address.name}")


def agent(app: App) -> Actor:
    """The installation's own agent, proven."""
    return app.identity.actor(token(app), session_id="bench")


def token(app: App) -> str:
    """A token of the installation's own agent."""
    return app.identity.prove(app.settings.agent_secret_file.read_text(encoding="utf-8"))
