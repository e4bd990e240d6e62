"""The release before and this one work on one database at the same time, while it is upgraded and after."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from domain.plain import Plain
from mcp_server.bootstrap.upgrading import upgrade_database
from mcp_server.config import load_settings
from tests.kit.mariadb import OWNER
from tests.kit.stores import Databases, OnMariaDB, store_of

HERE = Path(__file__).parents[2]
BEFORE = "v0.1.0"
BEFORE_COMMIT = "90698fa91d259c8a5e68c2af1585b53fa5e0c91f"
"""The release before, by its tag; by its commit where a copy of the repository came without tags."""


class Refused(Exception):
    """What a release said no with."""


class Release:
    """A process of one release, on one data directory."""

    def __init__(self, checkout: Path, home: Path) -> None:
        driver = Path(__file__).with_name("driver.py")
        self._process = subprocess.Popen(
            [sys.executable, str(driver), str(checkout), str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=home.parent,
        )

    def __call__(self, order: str, *arguments: object) -> Any:
        """Gives an order; raises Refused with message and hint."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([order, *arguments]) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        if "refused" in said:
            raise Refused(f"{said['refused']} -> {said['hint']}")
        return said["is"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the release before."""
    for name in (BEFORE, BEFORE_COMMIT):
        asked = ("git", "-C", str(HERE), "archive", "--format=zip", name, "domain", "storage", "hooks", "mcp_server")
        made = subprocess.run(asked, capture_output=True, check=False)
        if made.returncode == 0:
            place = tmp_path_factory.mktemp("before")
            with zipfile.ZipFile(io.BytesIO(made.stdout)) as archive:
                archive.extractall(place)
            return place
    pytest.fail(f"this copy of the repository holds neither {BEFORE} nor its commit: git fetch --unshallow --tags")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Path], Release]]:
    """Starts releases on one data directory."""
    with ExitStack() as running:
        yield lambda checkout: running.enter_context(Release(checkout, tmp_path / "home"))


@pytest.fixture
def old(start: Callable[[Path], Release], before: Path, database: Databases) -> Release:
    """The release before, running on a vault that it made."""
    release = start(before)
    asked = database.asked()
    password = asked["database_password"].expose() if asked else ""
    release("found", asked.get("database", ""), password)
    release("open")
    return release


@pytest.fixture
def upgraded(old: Release, tmp_path: Path, database: Databases) -> Release:
    """The same, still running, after this release has upgraded the database under it."""
    owner = (
        {"owner": OWNER, "given": Plain(database.server.passwords[OWNER])} if isinstance(database, OnMariaDB) else {}
    )
    assert upgrade_database(load_settings(tmp_path / "home"), lambda _step: None, **owner)
    return old


def test_this_release_asks_for_the_upgrade_and_the_one_before_goes_on(
    old: Release, start: Callable[[Path], Release], before: Path
):
    assert old("program") == str(before)
    with pytest.raises(Refused, match="claudetools upgrade"):
        start(HERE)("open")
    reference = old("add", "router", "Zanzibar-7-Lighthouse")
    assert old("reveal", reference) == "Zanzibar-7-Lighthouse"


def test_values_go_back_and_forth(upgraded: Release, start: Callable[[Path], Release]):
    old, new = upgraded, start(HERE)
    new("open")
    assert new("program") == str(HERE)
    first = old("add", "router", "Zanzibar-7-Lighthouse")
    second = new("add", "switch", "Quicksilver-9-Meadow")
    assert new("reveal", first) == "Zanzibar-7-Lighthouse"
    assert old("reveal", second) == "Quicksilver-9-Meadow"
    new("rotate", first, "Porcelain-3-Harbour")
    old("rotate", second, "Velvet-5-Mountain")
    assert old("reveal", first) == "Porcelain-3-Harbour"
    assert new("reveal", second) == "Velvet-5-Mountain"
    for release in (old, new):
        assert release("verify") == []


def test_each_strikes_the_values_that_the_other_has_stored(upgraded: Release, start: Callable[[Path], Release]):
    old, new = upgraded, start(HERE)
    new("open")
    text = "it was Zanzibar-7-Lighthouse, and Quicksilver-9-Meadow"
    for release in (old, new):
        assert release("strike", text) == text
    old("add", "router", "Zanzibar-7-Lighthouse")
    new("add", "switch", "Quicksilver-9-Meadow")
    for release in (old, new):
        left = release("strike", text)
        assert "Zanzibar" not in left
        assert "Quicksilver" not in left


def test_each_recalls_and_forgets_what_the_other_has_kept(upgraded: Release, start: Callable[[Path], Release]):
    old, new = upgraded, start(HERE)
    new("open")
    first, second = old("save", "wireguard tunnels"), new("save", "borg repositories")
    assert new("recall", "wireguard tunnels")[0] == "wireguard tunnels"
    assert old("recall", "borg repositories")[0] == "borg repositories"
    new("forget", first)
    old("forget", second)
    assert "wireguard tunnels" not in old("recall", "wireguard tunnels")
    assert "borg repositories" not in new("recall", "borg repositories")


def test_the_release_before_also_starts_anew_on_the_upgraded_database(
    upgraded: Release, start: Callable[[Path], Release], before: Path
):
    reference = upgraded("add", "router", "Zanzibar-7-Lighthouse")
    again = start(before)
    again("open")
    assert again("reveal", reference) == "Zanzibar-7-Lighthouse"
    assert again("verify") == []


def test_a_release_that_is_too_old_for_the_database_says_what_to_type(
    upgraded: Release, start: Callable[[Path], Release], tmp_path: Path
):
    store_of(tmp_path / "home").sql("UPDATE compatibility SET min_writer = 99")
    with pytest.raises(Refused, match=r"needs a newer program.*git pull && \./setup\.sh"):
        start(HERE)("open")
    with pytest.raises(Refused, match="newer program"):
        upgraded("open")
