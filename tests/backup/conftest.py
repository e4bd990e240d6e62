"""Vaults in which things have happened, on either kind of database, and places to put them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.actors import Actor
from domain.plain import Plain
from mcp_server.bootstrap import App, build
from mcp_server.bootstrap.arriving import place_of
from mcp_server.config import load_settings
from storage.address import Address
from tests.kit.mariadb import OWNER, MariaDB
from tests.kit.stores import Databases, OnMariaDB, OnSQLite, copy_home, dropped_after
from tests.strongroom.story import tell
from tests.strongroom.vault import PASSWORD, Template, make_template

KINDS = ("sqlite", "mariadb")


@dataclass
class Filled:
    """An installation in which things have happened, and the person of it."""

    home: Path
    kind: str
    recovery_key: str
    person_token: str

    def open(self) -> App:
        return build(load_settings(self.home))

    def person(self, app: App) -> Actor:
        return app.identity.actor(self.person_token)


@pytest.fixture(scope="session")
def databases(mariadb: MariaDB) -> dict[str, Databases]:
    return {"sqlite": OnSQLite(), "mariadb": OnMariaDB(mariadb)}


@pytest.fixture(scope="session")
def templates(
    databases: dict[str, Databases], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Template]]:
    """One vault of each kind, made once and copied."""
    with dropped_after():
        made = {kind: make_template(tmp_path_factory.mktemp(kind) / "home", databases[kind]) for kind in KINDS}
        for template in made.values():
            tell(template)
            remember(template)
        yield made


def remember(template: Template) -> None:
    """Keeps notes in the memory, one of them forgotten."""
    app = build(load_settings(template.home))
    person = app.identity.actor(template.person_token)
    for number in range(3):
        text = f"the wiki lies on host number{number}"
        app.context.save(person, kind="fact", title=f"wiki {number}", text=text)
    found = app.context.recall(person, "number1").hits
    app.context.forget(person, found[0].record_id, "it is wrong")
    app.close()


@pytest.fixture
def filled(templates: dict[str, Template], tmp_path: Path) -> Iterator[Callable[[str], Filled]]:
    """Gives a vault of the kind that is asked for, of this test's own."""
    with dropped_after():

        def copy(kind: str) -> Filled:
            template = templates[kind]
            made = len(list(tmp_path.glob("from-*")))
            home = copy_home(template.home, tmp_path / f"from-{kind}-{made}")
            return Filled(home, kind, template.recovery_key, template.person_token)

        yield copy


@pytest.fixture
def empty(databases: dict[str, Databases], mariadb: MariaDB, tmp_path: Path) -> Iterator[Callable[[str], Address]]:
    """Gives an empty place of the kind that is asked for."""
    with dropped_after():

        def make(kind: str) -> Address:
            if kind == "sqlite":
                made = len(list(tmp_path.glob("elsewhere-*.db")))
                return place_of(str(tmp_path / f"elsewhere-{made}.db"), tmp_path)
            on = databases[kind]
            assert isinstance(on, OnMariaDB)
            address = place_of(mariadb.url(on.make()), tmp_path)
            return address.changed(password=mariadb.passwords[OWNER])

        yield make


def values_of(app: App, person: Actor) -> dict[str, str]:
    """Every credential that opens, with its value."""
    items = app.credentials.search(person, "").items
    return {
        one.reference: app.credentials.reveal(person, one.reference, purpose="compare").value.expose() for one in items
    }


__all__ = ["PASSWORD", "Filled", "Plain", "values_of"]
