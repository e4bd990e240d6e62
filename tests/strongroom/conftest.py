"""Vaults to work with, each a copy of one that was set up once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.stores import Databases
from tests.strongroom.story import tell
from tests.strongroom.vault import Clock, Template, Vault, copy_home, make_template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, database: Databases) -> Template:
    """The installation that every vault of these tests is a copy of."""
    return make_template(tmp_path_factory.mktemp("strongroom") / "home", database)


@pytest.fixture
def opened(template: Template, tmp_path: Path) -> Iterator[Callable[..., Vault]]:
    """Opens copies of the installation, or installations in other places, and closes them at the end."""
    made: list[Vault] = []

    def open_vault(home: Path | None = None, clock: Clock | None = None, of: Template = template) -> Vault:
        home = home or copy_home(of.home, tmp_path / f"home-{len(made)}")
        made.append(Vault(of, home, clock))
        return made[-1]

    yield open_vault
    for vault in made:
        vault.close()


@pytest.fixture(scope="session")
def told(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """An installation in which things have happened."""
    home = copy_home(template.home, tmp_path_factory.mktemp("story") / "home")
    made = Template(home, template.recovery_key, template.agent_token, template.person_token)
    tell(made)
    return made


@pytest.fixture
def story(opened: Callable[..., Vault], told: Template) -> Callable[[], Vault]:
    """Opens a copy of that installation."""
    return lambda: opened(of=told)


@pytest.fixture
def vault(opened: Callable[..., Vault]) -> Vault:
    """An open vault, by the real clock."""
    return opened()


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def timed(opened: Callable[..., Vault], clock: Clock) -> Vault:
    """An open vault that goes by `clock`."""
    return opened(clock=clock)
