"""Fixtures for every room: a private MariaDB, and a person's machine with the real client."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.kit.install_client import ClientMissing, find_client
from tests.kit.laptop import Laptop, copy_laptop
from tests.kit.mariadb import MariaDB, MariaDBMissing
from tests.kit.stores import Databases, OnMariaDB, OnSQLite, dropped_after


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """The MariaDB of this run, for everything that leaves it as it was.  Crashes want one of their own."""
    told = ""
    try:
        with MariaDB() as server:
            yield server
            return
    except MariaDBMissing as missing:
        told = str(missing)
    pytest.fail(told, pytrace=False)


@pytest.fixture(scope="session", params=["sqlite", "mariadb"])
def database(request: pytest.FixtureRequest) -> Databases:
    """Where vaults lie.  Whatever asks for it, and whatever is made with it, runs once on each."""
    return OnSQLite() if request.param == "sqlite" else OnMariaDB(request.getfixturevalue("mariadb"))


@pytest.fixture(autouse=True)
def _dropped() -> Iterator[None]:
    """The databases that a test made end with it."""
    with dropped_after():
        yield


@pytest.fixture(scope="session")
def client_program() -> Path:
    """The real client.  A test that asks for it fails, in one line, where it is not installed."""
    told = ""
    try:
        return find_client()
    except ClientMissing as missing:
        told = str(missing)
    pytest.fail(told, pytrace=False)


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keeps whether a test has failed, so that its machine does not complain besides."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def in_use(machine: Laptop, node: pytest.Item) -> Iterator[Laptop]:
    """A machine for one test; the script of its model must have been played to the end, and no further."""
    with machine:
        yield machine
    if not node.stash.get(FAILED, False):
        machine.model.played_out()


@pytest.fixture
def bare_laptop(tmp_path: Path, client_program: Path, request: pytest.FixtureRequest) -> Iterator[Laptop]:
    """A machine with Claude Code and without ClaudeTools."""
    yield from in_use(Laptop(tmp_path / "laptop", client_program), request.node)


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory, client_program: Path, database: Databases) -> Path:
    """A machine on which ClaudeTools was set up, to be copied."""
    root = tmp_path_factory.mktemp("furnished") / "laptop"
    with Laptop(root, client_program) as machine:
        machine.set_up(*database.options(root))
    return root


@pytest.fixture
def laptop(tmp_path: Path, furnished: Path, client_program: Path, request: pytest.FixtureRequest) -> Iterator[Laptop]:
    """A machine of its own, with Claude Code and with ClaudeTools set up and registered in it."""
    copy_laptop(furnished, tmp_path / "laptop")
    machine = Laptop(tmp_path / "laptop", client_program)
    machine.be_patient()
    yield from in_use(machine, request.node)
