"""Where an entry cannot be written nothing is opened; the caller hears so soon, and it heals by itself."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pymysql
import pytest

from domain import sealing
from domain.drafts import Draft, Generate
from domain.errors import ClaudeToolsError, Unavailable
from domain.plain import Plain
from tests.kit.mariadb import MariaDB
from tests.kit.stores import MariaDBStore
from tests.strongroom.story import FIRST
from tests.strongroom.vault import Template, Vault, copy_home

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ON_MARIADB = pytest.mark.parametrize("database", ["mariadb"], indirect=True)
PROMISE = 2.5
"""Seconds within which a caller hears `unavailable`."""


@pytest.fixture
def vault(story: Callable[[], Vault]) -> Vault:
    """A vault in which things have happened, warm."""
    made = story()
    made.app.credentials.reveal(made.person, FIRST, purpose="warm up")
    return made


@pytest.fixture
def opened_values(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fields that were unsealed for a caller since the fixture was asked for."""
    opened: list[str] = []
    real = sealing.unseal

    def watched(ticket, data_key, blob, bound):
        opened.append(bound.field)
        return real(ticket, data_key, blob, bound)

    monkeypatch.setattr(sealing, "unseal", watched)
    return opened


def stalled(vault: Vault) -> AbstractContextManager[None]:
    """Another process has begun to write, and does not end."""
    return vault.store.stalled()


@contextmanager
def full_disk(_vault: Vault) -> Iterator[None]:
    """No file of this process grows beyond a page."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def notes_in_the_way(vault: Vault) -> Iterator[None]:
    """The machine's notes cannot be written: something else has their name."""
    notes = vault.app.settings.heads_dir / "heads.log"
    kept = notes.with_name("kept")
    notes.rename(kept)
    notes.mkdir()
    try:
        yield
    finally:
        notes.rmdir()
        kept.rename(notes)


@contextmanager
def notes_into_a_pipe(vault: Vault) -> Iterator[None]:
    """The machine's notes are a pipe, which takes every line and keeps none."""
    notes = vault.app.settings.heads_dir / "heads.log"
    kept = notes.with_name("kept")
    notes.rename(kept)
    os.mkfifo(notes)
    try:
        with pytest.raises(Unavailable):
            vault.app.audit.verify()
        yield
    finally:
        notes.unlink()
        kept.rename(notes)


@contextmanager
def read_only(vault: Vault) -> Iterator[None]:
    """The server takes no changes."""
    with server_of(vault).read_only():
        yield


def server_of(vault: Vault) -> MariaDB:
    store = vault.store
    assert isinstance(store, MariaDBStore)
    return store.server


UNWRITABLE = [("sqlite", full_disk), ("mariadb", read_only)]
HINDRANCES = [
    *UNWRITABLE,
    *((on, act) for on in ("sqlite", "mariadb") for act in (stalled, notes_in_the_way, notes_into_a_pipe)),
]


@pytest.mark.parametrize(("database", "hindrance"), HINDRANCES, indirect=["database"])
def test_a_reveal_whose_entry_cannot_be_kept_opens_nothing_and_says_so_in_time(
    vault: Vault, opened_values: list[str], hindrance
):
    rows = vault.dump()
    with hindrance(vault):
        begun = time.monotonic()
        with pytest.raises(Unavailable) as refused:
            vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in")
        assert time.monotonic() - begun < PROMISE
        assert refused.value.retryable
        assert refused.value.hint
    assert not opened_values
    if hindrance is not notes_in_the_way:  # there the entry stands, and the exposure mark with it
        assert vault.dump() == rows
    assert len(vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in").value) > 0
    assert opened_values == ["password"]
    assert vault.app.audit.verify().ok


ACTS: dict[str, Callable[[Vault], object]] = {
    "describe": lambda v: v.app.credentials.describe(v.agent, FIRST),
    "search": lambda v: v.app.credentials.search(v.agent, "gitea"),
    "create": lambda v: v.app.credentials.create(v.agent, Draft("password", "N", client="ACME", generate=Generate())),
    "update": lambda v: v.app.credentials.update(v.agent, FIRST, {"username": "root"}),
    "update a value": lambda v: v.app.credentials.update(v.agent, FIRST, {"password": Plain("another one, long")}),
    "rotate": lambda v: v.app.credentials.rotate(v.agent, FIRST, generate=Generate()),
    "delete": lambda v: v.app.credentials.delete(v.agent, FIRST),
    "audit": lambda v: v.app.audit.search(v.agent),
    "registry": lambda v: v.app.registry.save(v.agent, kind="client", name="New"),
    "revoke": lambda v: v.app.identity.revoke(v.person, "claude-code"),
}


@pytest.mark.parametrize(
    ("database", "act", "hindrance"),
    [
        *((on, act, hindrance) for act in ACTS for on, hindrance in UNWRITABLE),
        *((on, act, stalled) for act in ("create", "rotate") for on in ("sqlite", "mariadb")),
    ],
    indirect=["database"],
)
def test_an_act_whose_entry_cannot_be_kept_does_not_happen(vault: Vault, act: str, hindrance):
    rows, entries = vault.dump(), len(vault.entries())
    with hindrance(vault):
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            ACTS[act](vault)
        assert time.monotonic() - begun < PROMISE
    assert vault.dump() == rows
    assert len(vault.entries()) == entries
    assert vault.app.audit.verify().ok


def test_many_callers_at_a_stalled_lock_all_hear_it_in_time(vault: Vault, opened_values: list[str]):
    """They wait for their turn and for the lock: both together have the one limit."""
    took: list[float] = []
    start = threading.Barrier(8)

    def ask(late: float) -> None:
        start.wait(10)
        threading.Event().wait(late)
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in")
        took.append(time.monotonic() - begun)

    with stalled(vault):
        threads = [threading.Thread(target=ask, args=(0.05 * number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(took) == 8
    assert max(took) < PROMISE
    assert not opened_values


def test_a_short_wait_for_another_writer_is_no_failure(vault: Vault):
    with ExitStack() as held:
        held.enter_context(vault.store.stalled())
        timer = threading.Timer(0.3, held.pop_all().close)
        timer.start()
        try:
            assert vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in").value
        finally:
            timer.join(10)


# Files that may not be written.  Root may write everything, so its right to do so is laid down first.

_CAPABILITIES = 0x20080522  # version 3 of capget(2)
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def modes_that_bind() -> Iterator[None]:
    """File modes bind this thread, though it be root's."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, both = _Header(_CAPABILITIES, 0), (_Capabilities * 2)()
    assert libc.capget(ctypes.byref(header), both) == 0
    before = both[0].effective
    both[0].effective = before & ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    assert libc.capset(ctypes.byref(header), both) == 0
    try:
        yield
    finally:
        both[0].effective = before
        assert libc.capset(ctypes.byref(header), both) == 0


def open_and_reveal(vault: Vault) -> None:
    vault.open()
    vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in")


def made_readonly(vault: Vault, what: str) -> list[Path]:
    home = vault.home
    return {
        "the file": [vault.file, *home.glob("claudetools.db-*")],
        "the folder": [home],
        "both": [vault.file, *home.glob("claudetools.db-*"), home],
    }[what]


@ON_SQLITE
@pytest.mark.parametrize("what", ["the file", "the folder", "both"])
def test_with_a_read_only_database_nothing_is_opened(vault: Vault, opened_values: list[str], what: str):
    vault.close()
    rows = len(vault.entries())
    places = made_readonly(vault, what)
    modes = {place: place.stat().st_mode for place in places}
    for place in places:
        place.chmod(0o500 if place.is_dir() else 0o400)
    try:
        with modes_that_bind():
            with pytest.raises(Unavailable) as refused:
                open_and_reveal(vault)
            assert "read-only" in refused.value.message or "cannot be opened" in refused.value.message
            vault.close()
    finally:
        for place, mode in modes.items():
            place.chmod(mode)
    assert not opened_values
    assert len(vault.entries()) == rows
    vault.open()
    assert vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in").value


@ON_SQLITE
@pytest.mark.parametrize("damage", ["gone", "empty", "noise", "a directory", "torn"])
def test_a_database_that_is_none_is_told_as_unavailable(vault: Vault, damage: str):
    vault.close()
    whole = vault.file.read_bytes()
    for file in vault.home.glob("claudetools.db*"):
        file.unlink()
    if damage == "empty":
        vault.file.touch()
    elif damage == "noise":
        vault.file.write_bytes(os.urandom(8192))
    elif damage == "a directory":
        vault.file.mkdir()
    elif damage == "torn":
        vault.file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ClaudeToolsError) as refused:
        open_and_reveal(vault)
    assert isinstance(refused.value, Unavailable)
    assert refused.value.hint
    if damage == "gone":
        assert not vault.file.exists()
    if vault.file.is_dir():
        shutil.rmtree(vault.file)
    vault.file.write_bytes(whole)
    vault.open()
    assert vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in").value


def test_a_table_that_is_gone_is_told_as_unavailable(vault: Vault, opened_values: list[str]):
    vault.sql("DROP TABLE audit_entries")
    with pytest.raises(Unavailable):
        vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in")
    assert not opened_values


@ON_MARIADB
def test_with_a_read_only_server_nothing_is_opened(vault: Vault, opened_values: list[str]):
    rows = len(vault.entries())
    with server_of(vault).read_only(), pytest.raises(Unavailable) as refused:
        vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in")
    assert "read-only" in refused.value.message
    assert not opened_values
    assert len(vault.entries()) == rows
    assert vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in").value


@ON_MARIADB
@pytest.mark.parametrize("damage", ["gone", "empty", "a table less", "no right", "another password"])
def test_a_database_that_is_not_there_or_not_ours_is_told_as_unavailable(vault: Vault, damage: str):
    vault.close()
    store, server = vault.store, server_of(vault)
    kept, password = store.keep(), vault.app.settings.database_password_file
    user, right = re.findall("//.*?@", vault.app.settings.database)[0], password.read_text()
    if damage == "gone":
        store.remove()
    elif damage == "empty":
        store.spoil()
    elif damage == "a table less":
        store.sql("DROP TABLE compatibility")
    elif damage == "no right":
        server.account("nobody")
        change_settings(vault, user, "//nobody@")
        password.write_text(server.passwords["nobody"])
    else:
        password.write_text("another password")
    with pytest.raises(Unavailable) as refused:
        open_and_reveal(vault)
    assert refused.value.hint
    assert right.strip() not in repr(refused.value)
    store.put_back(kept)
    if damage == "no right":
        change_settings(vault, "//nobody@", user)
    password.write_text(right)
    vault.open()
    assert vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in").value


def change_settings(vault: Vault, old: str, new: str) -> None:
    file = vault.home / "settings.json"
    file.write_text(file.read_text().replace(old, new))


@ON_MARIADB
@pytest.mark.parametrize("trouble", ["stopped", "frozen", "full"])
def test_a_server_that_fails_opens_nothing_and_heals(
    template: Template, tmp_path: Path, opened: Callable[..., Vault], opened_values: list[str], trouble: str
):
    """On a server of its own, because the others would miss theirs."""
    with MariaDB(room_mb=24, durable=True) as server:
        vault = opened(copy_home(template.home, tmp_path / "home", server))
        reference = vault.add().description.reference
        vault.app.credentials.reveal(vault.agent, reference, purpose="log in")
        opened_values.clear()
        with TROUBLES[trouble](server):
            begun = time.monotonic()
            with pytest.raises(Unavailable) as refused:
                vault.app.credentials.reveal(vault.agent, reference, purpose="log in")
            assert time.monotonic() - begun < PROMISE
            assert refused.value.hint
        assert not opened_values
        assert vault.app.credentials.reveal(vault.agent, reference, purpose="log in").value
        assert vault.app.audit.verify().ok
        vault.close()


@contextmanager
def stopped(server: MariaDB) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def full(server: MariaDB) -> Iterator[None]:
    name = server.database()
    server.execute("CREATE TABLE t (b LONGBLOB) ENGINE=InnoDB", database=name)
    size = 1_000_000
    while size > 10:  # until not even a small row fits
        try:
            server.execute("INSERT INTO t VALUES (REPEAT('x', %s))", [size], database=name)
        except pymysql.err.OperationalError:
            size //= 2
    yield
    server.stop()
    server.room_mb = 64  # its administrator has found a larger disk
    server.start()


TROUBLES = {"stopped": stopped, "frozen": lambda server: server.frozen(), "full": full}
