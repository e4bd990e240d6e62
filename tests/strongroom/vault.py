"""A vault of its own for a test: a copy of an installation that was made once, and ways to look behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from tests.kit.stores import Databases, SQLiteStore, Store, copy_home, store_of

__all__ = ["PASSWORD", "PERSON", "Clock", "Template", "Vault", "copy_home", "make_template", "quietly", "wanted"]

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


def make_template(home: Path, database: Databases) -> Template:
    """Sets an installation up, as `./setup.sh` does."""
    shown: list[str] = []
    settings = create(wanted(home, shown.append, database.asked()), quietly)
    app = build(settings)
    agent_token = app.identity.prove(settings.agent_secret_file.read_text(), session_id="session-1")
    person_token = app.identity.login(PERSON, PASSWORD)
    app.close()
    return Template(home, shown[0], agent_token, person_token)


def quietly(_step: Step) -> None:
    """Tells nobody."""


def wanted(home: Path, show: Callable[[str], object], asked: dict[str, Any]) -> Wanted:
    """What the first setup asks for; the recovery key goes to `show`, `asked` says where the vault is to lie."""
    return Wanted(
        home=home,
        person=PERSON,
        machine="workbench",
        password=lambda: Plain(PASSWORD),
        deliver=lambda key: (show(key.expose()), None)[1],
        **asked,
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
    def store(self) -> Store:
        """The database, as its administrator sees it."""
        return store_of(self.home)

    @property
    def file(self) -> Path:
        """The database file, where it is one."""
        store = self.store
        assert isinstance(store, SQLiteStore)
        return store.file

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What a database administrator does, past the product."""
        return self.store.sql(statement, *values)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every row of a table, in the order in which they were written."""
        return self.store.rows(table)

    def dump(self, *, without: tuple[str, ...] = ("audit_entries", "audit_chains")) -> dict[str, list[dict[str, Any]]]:
        """All tables with all rows, but for those of the audit log."""
        store = self.store
        return {name: store.rows(name) for name in store.tables() if name not in without}

    def entries(self) -> list[dict[str, Any]]:
        """The audit entries in the order in which they were written, each with what its body says."""
        return [row | {"said": json.loads(row["body"])} for row in self.rows("audit_entries")]

    @contextmanager
    def writes(self) -> Iterator[list[dict[str, Any]]]:
        """Gives, after the block, the entries it wrote; what the machine did by itself is left out."""
        before = {e["entry_id"] for e in self.entries()}
        new: list[dict[str, Any]] = []
        try:
            yield new
        finally:
            new += [e for e in self.entries() if e["entry_id"] not in before and e["action"] != "redaction.load"]

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
