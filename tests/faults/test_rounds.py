"""Each fault once, on each database; `python -m tests.faults.rounds` plays any number of rounds."""

from __future__ import annotations

import pytest

from tests.faults.rounds import run


@pytest.mark.parametrize(("kind", "rounds"), [("sqlite", 11), ("mariadb", 15)])
def test_whatever_goes_wrong_nothing_is_lost_nothing_is_double_and_no_hook_ends_in_trouble(
    kind: str, rounds: int
) -> None:
    tally = run(kind, rounds, seed=7)
    assert tally.wrong == []
    assert min(tally.faults.values()) >= 1
    assert tally.records
