"""Several machines on one vault."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from domain.actors import Actor
from domain.invitations import parse_code, read_letter
from domain.plain import Plain
from mcp_server.bootstrap import App, build
from mcp_server.bootstrap.installation import create
from mcp_server.bootstrap.wanted import Entry, Invitation, RecoveryKey, Step, Wanted
from mcp_server.config import Settings, load_settings
from mcp_server.services.machines import Invited, Reach
from tests.kit.mariadb import OWNER, MariaDB
from tests.kit.stores import Store, known, store_of

PERSON = "anna"
PASSWORD = "correct horse battery"


@dataclass
class Machine:
    """One computer: its data directory, and what is open on it."""

    home: Path
    name: str
    app: App | None = None
    steps: list[Step] = field(default_factory=list)

    def open(self, clock: Callable[[], int] | None = None) -> App:
        """Opens its installation, as a process does at its start."""
        self.close()
        self.app = build(load_settings(self.home), clock=clock)
        return self.app

    @property
    def settings(self) -> Settings:
        """What its settings say now."""
        return load_settings(self.home)

    def agent(self) -> Actor:
        """Its agent, proved."""
        app = self.app or self.open()
        return app.identity.actor(app.identity.prove(app.settings.agent_secret_file.read_text().strip()))

    def person(self) -> Actor:
        """The person, logged in on it."""
        app = self.app or self.open()
        return app.identity.actor(app.identity.login(PERSON, PASSWORD))

    def close(self) -> None:
        """Closes what is open."""
        if self.app is not None:
            self.app.close()
            self.app = None


class World:
    """One database, the machines on it, and what was shown once."""

    def __init__(self, place: Path, url: str, passwords: dict[str, str]) -> None:
        self.place = place
        self.url = url
        self.passwords = passwords
        self.recovery_key = ""
        self.machines: list[Machine] = []

    def machine(self, name: str) -> Machine:
        """A computer on which nothing was set up."""
        made = Machine(self.place / name, name)
        self.machines.append(made)
        return made

    def wanted(self, machine: Machine, **more: object) -> Wanted:
        """What is asked for on a machine; the database only where this world has a server."""
        said: dict[str, object] = {
            "home": machine.home,
            "machine": machine.name,
            "user": PERSON,
            "password": lambda: Plain(PASSWORD),
            "login": lambda _name: Plain(PASSWORD),
            "deliver": self._keep,
            "database": self.url,
            "database_password": Plain(self.passwords[OWNER]) if self.passwords else None,
        }
        return Wanted(**{**said, **more})

    def _keep(self, key: Plain) -> None:
        self.recovery_key = key.expose()

    def set_up(self, machine: Machine, **more: object) -> Settings:
        """Runs a setup on a machine."""
        machine.close()
        machine.steps = []
        return create(self.wanted(machine, **more), machine.steps.append)

    def found(self, name: str = "first") -> Machine:
        """The machine on which the vault is made."""
        machine = self.machine(name)
        self.set_up(machine)
        return machine

    def invite(self, machine: Machine, label: str = "second") -> Invited:
        """An invitation from a machine."""
        app = machine.app or machine.open()
        settings = app.settings
        secret = settings.database_password_file.read_text().strip() if settings.database_password_file.exists() else ""
        hooks = settings.hooks_password_file.read_text().strip() if settings.hooks_account else ""
        reach = Reach(settings.database, "", Plain(secret), settings.hooks_account, Plain(hooks))
        return app.machines.invite(machine.person(), label, reach)

    def entry(self, invited: Invited) -> Entry:
        """The same as whoever was invited has it: read from text and code."""
        return Invitation(read_letter(invited.text), parse_code(invited.code.expose()))

    def join(self, machine: Machine, invited: Invited, **more: object) -> Settings:
        """Joins with an invitation."""
        entry = self.entry(invited)
        said = {"database": "", "database_password": None, "entry": lambda: entry, "invited": True}
        return self.set_up(machine, **{**said, **more})

    def recover(self, machine: Machine, **more: object) -> Settings:
        """Joins with the recovery key."""
        return self.set_up(machine, **{"entry": lambda: RecoveryKey(Plain(self.recovery_key)), **more})

    def store(self) -> Store:
        """The database, as its administrator sees it."""
        return store_of(self.machines[0].home)

    def close(self) -> None:
        """Closes what is open."""
        for machine in self.machines:
            machine.close()


@pytest.fixture(scope="session")
def server(mariadb: MariaDB) -> MariaDB:
    """The server of this run."""
    known(mariadb)
    return mariadb


@pytest.fixture
def world(server: MariaDB, tmp_path: Path) -> Iterator[World]:
    """An empty database of this test's own, and no machine yet."""
    name = server.database()
    made = World(tmp_path, server.url(name), server.passwords)
    try:
        yield made
    finally:
        made.close()
        for account in (f"{name}_app", f"{name}_hooks"):
            server.execute(f"DROP USER IF EXISTS `{account}`@'%'")
        server.drop(name)


@pytest.fixture(scope="session")
def founded(server: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A vault with one machine, made once; for tests that only add to it."""
    name = server.database()
    made = World(tmp_path_factory.mktemp("founded"), server.url(name), server.passwords)
    made.found()
    try:
        yield made
    finally:
        made.close()
        for account in (f"{name}_app", f"{name}_hooks"):
            server.execute(f"DROP USER IF EXISTS `{account}`@'%'")
        server.drop(name)


@pytest.fixture
def machine(founded: World) -> Iterator[Machine]:
    """A computer that is not in the vault of `founded` yet."""
    made = founded.machine(f"machine-{secrets.token_hex(4)}")
    try:
        yield made
    finally:
        made.close()
        founded.machines.remove(made)
        shutil.rmtree(made.home, ignore_errors=True)
