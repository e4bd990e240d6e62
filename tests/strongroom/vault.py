"""A vault of its own for a test: a copy of an installation that was made once, and ways to look behind it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.actors import Actor
from domain.drafts import Draft
from domain.plain import Plain
from mcp_server.bootstrap import App, build
from mcp_server.bootstrap.installation import Step, Wanted, create
from mcp_server.config import load_settings
from mcp_server.services.credentials import Changed

PERSON = "anna"
PASSWORD = "correct horse battery"
SECOND = 1_000_000


@dataclass
class Clock:
    """A clock that stands still until a test moves it; microseconds UTC."""

    now: int = 1_800_000_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        """Moves the time on."""
        self.now += int(seconds * SECOND)


@dataclass(frozen=True)
class Template:
    """An installation that tests copy, and what was shown once when it was made."""

    home: Path
    recovery_key: str = field(repr=False)
    agent_token: str = field(repr=False)
    person_token: str = field(repr=False)


def make_template(home: Path) -> Template:
    """Sets an installation up, as `./setup.sh` does."""
    shown: list[str] = []
    settings = create(wanted(home, shown.append), quietly)
    app = build(settings)
    agent_token = app.identity.prove(settings.agent_secret_file.read_text(), session_id="session-1")
    person_token = app.identity.login(PERSON, PASSWORD)
    app.close()
    return Template(home, shown[0], agent_token, person_token)


def quietly(_step: Step) -> None:
    """Tells nobody."""


def wanted(home: Path, show: Callable[[str], object]) -> Wanted:
    """What the first setup asks for; the recovery key goes to `show`."""
    return Wanted(
        home=home,
        person=PERSON,
        machine="workbench",
        password=lambda: Plain(PASSWORD),
        deliver=lambda key: (show(key.expose()), None)[1],
    )


@dataclass
class Vault:
    """One installation, open."""

    template: Template
    home: Path
    clock: Callable[[], int] | None = None
    app: App = field(init=False)
    agent: Actor = field(init=False)
    person: Actor = field(init=False)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> App:
        """Opens it, as a process does at its start."""
        self.app = build(load_settings(self.home), clock=self.clock)
        if self.clock is None:
            self.agent = self.app.identity.actor(self.template.agent_token)
            self.person = self.app.identity.actor(self.template.person_token)
        else:  # the kept tokens belong to the real time
            self.agent = self.app.identity.actor(self.app.identity.prove(self.secret, session_id="session-1"))
            self.person = self.app.identity.actor(self.app.identity.login(PERSON, PASSWORD))
        return self.app

    @property
    def secret(self) -> str:
        """The agent's secret, from its file."""
        return self.app.settings.agent_secret_file.read_text()

    @property
    def file(self) -> Path:
        """The database file."""
        return self.app.settings.database_file

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What a database administrator does, past the product."""
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    def rows(self, table: str, order: str = "ORDER BY rowid") -> list[dict[str, Any]]:
        """Every row of a table, in the order in which they were written."""
        with closing(sqlite3.connect(self.file)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table} {order}")]

    def dump(self, *, without: tuple[str, ...] = ("audit_entries", "audit_chains")) -> dict[str, list[dict[str, Any]]]:
        """All tables with all rows, but for those of the audit log."""
        names = [n for (n,) in self.sql("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {name: self.rows(name, "") for name in names if name not in without}

    def entries(self) -> list[dict[str, Any]]:
        """The audit entries in the order in which they were written, each with what its body says."""
        return [row | {"said": json.loads(row["body"])} for row in self.rows("audit_entries")]

    @contextmanager
    def writes(self) -> Iterator[list[dict[str, Any]]]:
        """Gives, after the block, the entries it wrote; what the machine did by itself is left out."""
        before = len(self.entries())
        new: list[dict[str, Any]] = []
        try:
            yield new
        finally:
            new += [e for e in self.entries()[before:] if e["action"] != "redaction.load"]

    def add(self, kind: str = "password", name: str = "Gitea Admin", **said: Any) -> Changed:
        """A credential made by the person, so that no version is exposed yet."""
        values = said.pop("values", None) or {main_field(kind): Plain(f"value of {name}, long enough")}
        return self.app.credentials.create(self.person, Draft(kind, name, values=values, **said))

    def close(self) -> None:
        """Closes what is open."""
        self.app.close()


def main_field(kind: str) -> str:
    """The main secret field of a type."""
    from domain.credentials import TYPES

    return TYPES[kind].main


def copy_home(source: Path, target: Path) -> Path:
    """A copy of an installation that nobody has open."""
    shutil.copytree(source, target)
    return target
