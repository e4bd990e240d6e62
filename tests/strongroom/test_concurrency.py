"""Many at once: no fork, no lost entry, one chain for each process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.drafts import Draft, Generate
from domain.errors import ClaudeToolsError, Conflict
from tests.strongroom.story import FIRST
from tests.strongroom.vault import Vault

THREADS, PROCESSES, EACH = 8, 3, 25
VICTIM = Path(__file__).with_name("victim.py")


@pytest.fixture
def vault(story: Callable[[], Vault]) -> Vault:
    """A vault in which things have happened."""
    return story()


def at_once(number: int, act: Callable[[int], None]) -> list[BaseException]:
    """Runs the act in that many threads that start together; gives what they raised."""
    start, raised = threading.Barrier(number), list[BaseException]()

    def run(which: int) -> None:
        try:
            start.wait(10)
            act(which)
        except BaseException as error:  # noqa: BLE001  # told by the caller
            raised.append(error)

    threads = [threading.Thread(target=run, args=(which,)) for which in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return raised


def test_eight_threads_that_reveal_at_once_lose_no_entry(vault: Vault):
    seen: list[str] = []

    def reveal(_which: int) -> None:
        seen.extend(vault.app.credentials.reveal(vault.agent, FIRST, purpose="at once").entry for _ in range(EACH))

    before = len(vault.entries())
    assert at_once(THREADS, reveal) == []
    entries = [e for e in vault.entries()[before:] if e["action"] == "credential.decrypt"]
    assert len(seen) == THREADS * EACH
    assert {e["entry_id"] for e in entries} == set(seen)
    assert len({e["chain_id"] for e in entries}) == 1
    assert vault.app.audit.verify().findings == ()


def test_three_processes_that_reveal_at_once_write_three_chains(vault: Vault):
    before = len(vault.entries())
    children = [
        subprocess.Popen(
            [sys.executable, str(VICTIM), str(vault.home), vault.template.agent_token, FIRST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(PROCESSES)
    ]
    acknowledged: dict[int, list[str]] = {}
    forked: list[int] = []

    def read(which: int) -> None:
        child = children[which]
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.stdin.write(b"go\n")
        child.stdin.flush()
        forked.append(int(child.stdout.readline()))
        acknowledged[which] = [child.stdout.readline().decode().strip() for _ in range(EACH)]

    try:
        assert at_once(PROCESSES, read) == []
    finally:
        for process in forked:
            os.kill(process, signal.SIGKILL)
        for child in children:
            child.kill()
            child.communicate()
    chains = {e["entry_id"]: e["chain_id"] for e in vault.entries()[before:]}
    for seen in acknowledged.values():
        assert len({chains[entry] for entry in seen}) == 1
    assert len({chains[seen[0]] for seen in acknowledged.values()}) == PROCESSES
    assert vault.app.audit.verify().findings == ()


def test_of_many_changes_of_one_revision_one_comes_through(vault: Vault):
    revision = vault.app.credentials.describe(vault.person, FIRST).head.revision

    def change(which: int) -> None:
        vault.app.credentials.update(vault.person, FIRST, {"username": f"user-{which}"}, expected_revision=revision)

    raised = at_once(THREADS, change)
    assert [type(error) for error in raised] == [Conflict] * (THREADS - 1)
    assert vault.app.credentials.describe(vault.person, FIRST).head.revision == revision + 1
    assert vault.app.audit.verify().ok


def test_rotations_at_once_each_make_their_own_version(vault: Vault):
    versions: list[int] = []

    def rotate(_which: int) -> None:
        versions.append(vault.app.credentials.rotate(vault.agent, FIRST, generate=Generate()).version)

    raised = at_once(THREADS, rotate)
    assert all(isinstance(error, Conflict) for error in raised)
    assert len(versions) + len(raised) == THREADS
    assert len(set(versions)) == len(versions)
    assert vault.app.audit.verify().ok


def test_credentials_of_one_name_made_at_once_get_references_of_their_own(vault: Vault):
    made: list[str] = []

    def create(_which: int) -> None:
        draft = Draft("password", "Same", client="Brand New", generate=Generate())
        made.append(vault.app.credentials.create(vault.agent, draft).description.reference)

    raised = at_once(THREADS, create)
    assert all(isinstance(error, ClaudeToolsError) for error in raised), raised
    assert raised == []
    assert len(set(made)) == THREADS
    assert Counter(row["slug"] for row in vault.rows("clients"))["brand-new"] == 1
    keys = [row for row in vault.rows("client_keys") if row["client_id"] == client_of(vault, "brand-new")]
    assert len(keys) == 1
    assert vault.app.audit.verify().ok


def client_of(vault: Vault, slug: str) -> str:
    return vault.sql("SELECT client_id FROM clients WHERE slug = ?", slug)[0][0]
