"""A vault on a server behind a line that a test can spoil, and who uses it: a stdio server, hooks, a drain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from domain.drafts import Draft, Generate
from domain.plain import Plain
from mcp_server.bootstrap import App, build
from mcp_server.bootstrap.installation import create
from mcp_server.bootstrap.wanted import Wanted
from mcp_server.config import load_settings
from tests.kit.mariadb import OWNER, MariaDB
from tests.kit.proxy import Proxy
from tests.server.conftest import Wire

PASSWORD = "correct horse battery staple"


@dataclass
class Site:
    """One installation.  Its program and its hooks reach the server by the proxy; the test reaches it directly."""

    server: MariaDB
    proxy: Proxy
    home: Path
    database: str
    reference: str = ""
    wires: list[Wire] = field(default_factory=list)

    @property
    def hooks_settings(self) -> Path:
        """What the hooks read."""
        return load_settings(self.home).hooks_settings_file

    def open(self) -> App:
        """The services, as another process of this machine has them."""
        return build(load_settings(self.home))

    def serve(self) -> Wire:
        """A stdio server of its own process."""
        self.wires.append(Wire(self.home))
        return self.wires[-1]

    def sync(self, *, start: bool = False) -> Any:
        """Drains the spool in a process of its own; gives its exit code, or the process where it is only to be started."""
        command = [sys.executable, "-I", "-m", "mcp_server", "sync", "--quiet", "--home", str(self.home)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return process if start else process.wait(60)

    def hook(
        self, event: str, session: str, transcript: Path, folder: Path | None = None, **more: object
    ) -> tuple[int, bytes, bytes]:
        """Runs one hook to its end; gives its exit code and what it said."""
        folder = folder or self.home.parent
        said = {"session_id": session, "transcript_path": str(transcript), "cwd": str(folder), **more}
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("CLAUDE", "PYTHON"))}
        done = subprocess.run(
            [sys.executable, "-I", "-m", "hooks", event, str(self.hooks_settings)],
            input=json.dumps({**said, "hook_event_name": event}).encode() + b"\n",
            capture_output=True,
            cwd=folder,
            env=clean,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def transcript(self, session: str, asked: str, answered: str) -> Path:
        """What a session wrote, a while ago."""
        file = self.home.parent / f"{session}.jsonl"
        line = {"sessionId": session, "timestamp": "2026-11-23T10:00:00.000Z", "cwd": str(file.parent)}
        answer = {"role": "assistant", "id": "m1", "content": [{"type": "text", "text": answered}]}
        lines = [
            {**line, "type": "user", "uuid": "u1", "parentUuid": None, "message": {"role": "user", "content": asked}},
            {**line, "type": "assistant", "uuid": "a1", "parentUuid": "u1", "message": answer},
        ]
        file.write_text("".join(json.dumps(one) + "\n" for one in lines))
        os.utime(file, (time.time() - 10,) * 2)
        return file

    def recorded(self) -> list[str]:
        """The sessions that were recorded; one that was recorded twice is named twice."""
        found = self.query("SELECT session_id FROM context_records WHERE state = 'active' AND kind = 'session'")
        return [session for (session,) in found]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What the administrator of the database reads, past the proxy."""
        return self.server.query(sql, database=self.database)

    def entries(self) -> list[str]:
        """The ids of all audit entries; one that stands there twice is named twice."""
        return [entry for (entry,) in self.query("SELECT entry_id FROM audit_entries")]

    def verified(self) -> tuple[object, ...]:
        """What is wrong with the audit log, by this machine's notes too."""
        self.proxy.pass_on()
        app = self.open()
        try:
            return tuple(app.audit.verify().findings)
        finally:
            app.close()

    def close(self) -> None:
        """Ends what was started."""
        for wire in self.wires:
            wire.close()
        self.wires.clear()


def found(place: Path, server: MariaDB, proxy: Proxy, options: str = "") -> Site:
    """A new vault with one credential, made through the proxy."""
    database = server.database()
    wanted = Wanted(
        home=place / "home",
        person="ann",
        machine="desk",
        password=lambda: Plain(PASSWORD),
        deliver=lambda _key: None,
        database=server.url(database, port=proxy.port) + options,
        database_password=Plain(server.passwords[OWNER]),
    )
    settings = create(wanted, lambda _step: None)
    app = build(settings)
    agent = app.identity.actor(app.identity.prove(settings.agent_secret_file.read_text()))
    draft = Draft("password", "Gitea", client="acme", generate=Generate())
    reference = app.credentials.create(agent, draft).description.reference
    app.close()
    return Site(server, proxy, settings.home, database, reference)


@pytest.fixture(scope="session")
def shared(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests that leave it well."""
    with Proxy(mariadb.port) as proxy:
        site = found(tmp_path_factory.mktemp("outages"), mariadb, proxy)
        yield site
        site.close()
        mariadb.drop(site.database)


@contextmanager
def lasting(site: Site, trouble: str) -> Iterator[None]:
    """A trouble, and its end."""
    if trouble == "stand still":
        with site.server.frozen():
            yield
        return
    getattr(site.proxy, trouble)()
    try:
        yield
    finally:
        site.proxy.pass_on()


TROUBLES = ("refuse", "fall_silent", "swallow", "stand still")


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    """The line is well at the beginning and at the end."""
    shared.proxy.pass_on()
    yield shared
    shared.proxy.pass_on()
    shared.close()


@pytest.fixture(scope="session")
def durable() -> Iterator[MariaDB]:
    """A server that keeps what it has committed when it is killed."""
    with MariaDB(durable=True) as server:
        yield server


@pytest.fixture(scope="session")
def crashing(durable: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A vault whose server may be killed."""
    with Proxy(durable.port) as proxy:
        site = found(tmp_path_factory.mktemp("crashing"), durable, proxy)
        yield site
        site.close()
