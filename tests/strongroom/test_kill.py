"""A process that is killed at any point loses no entry that a caller has seen, and harms no chain."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.strongroom.story import FIRST
from tests.strongroom.vault import Vault

ROUNDS = 200
VICTIM = Path(__file__).with_name("victim.py")


@pytest.fixture
def vault(story: Callable[[], Vault]) -> Vault:
    """A vault in which things have happened."""
    return story()


def test_after_200_kills_every_acknowledged_decrypt_has_its_entry_and_all_is_well(vault: Vault):
    dice = random.Random(2)
    before = len(vault.entries())
    acknowledged: list[str] = []
    victim = subprocess.Popen(
        [sys.executable, str(VICTIM), str(vault.home), vault.template.agent_token, FIRST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert victim.stdin is not None
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"ready\n"
        for number in range(ROUNDS):
            victim.stdin.write(b"go\n")
            victim.stdin.flush()
            child = int(victim.stdout.readline())
            # Killed while it opens, or after some entries, and then at any point of the next one.
            for _ in range(dice.choice((0, 1, 1, 2, 3))):
                line = victim.stdout.readline()
                assert line.startswith(b"au_"), f"round {number}: {line!r}"
                acknowledged.append(line.decode().strip())
            threading.Event().wait(dice.random() * 0.012)
            os.kill(child, signal.SIGKILL)
            while (line := victim.stdout.readline()) != b"dead\n":
                assert line, f"the victim ended in round {number}"
                if line.startswith(b"au_"):
                    acknowledged.append(line.decode().strip())
    finally:
        victim.kill()
        victim.communicate()
    entries = vault.entries()[before:]
    decrypts = {e["entry_id"] for e in entries if e["action"] == "credential.decrypt" and e["outcome"] == "ok"}
    assert len(acknowledged) > ROUNDS
    assert len(acknowledged) == len(set(acknowledged))
    assert set(acknowledged) <= decrypts
    verdict = vault.app.audit.verify()
    assert verdict.findings == ()
    assert vault.app.credentials.reveal(vault.agent, FIRST, purpose="still here").value
