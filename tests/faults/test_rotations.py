"""Rotations that are killed, a few rounds; `python -m tests.faults.rotations` plays any number."""

from __future__ import annotations

from pathlib import Path

from tests.faults.rotations import run
from tests.kit.stores import Databases


def test_a_rotation_that_is_killed_anywhere_loses_nothing_and_no_reader_is_refused_twice(
    database: Databases, tmp_path: Path
):
    tally = run(database, tmp_path, rounds=8, seed=5)
    assert tally.wrong == []
    assert sum(tally.killed.values()) >= 2
    assert tally.acts > 20
