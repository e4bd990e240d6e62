"""Many processes that open values of one vault at once, near and far, and are killed at any point."""

from __future__ import annotations

from tests.outages.conftest import Site
from tests.outages.writers import write_at_once, wrong_with

PROCESSES, EACH, SEED = 4, 40, 7


def test_writers_that_are_killed_at_any_point_lose_no_entry_and_make_no_fork(crashing: Site):
    writers = write_at_once(crashing, PROCESSES, EACH, SEED)
    assert wrong_with(crashing, writers) == []
    assert all(len(writer.acknowledged) >= EACH for writer in writers)
    assert sum(writer.kills for writer in writers) >= PROCESSES
