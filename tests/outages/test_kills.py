"""Whatever is killed at whatever moment: what was acknowledged is there, and everything is there once.

More rounds by hand: `python -m tests.outages.rounds 300 SEED`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.mariadb import MariaDB
from tests.kit.proxy import Proxy
from tests.outages.conftest import found
from tests.outages.rounds import Rounds

ROUNDS, SEED = 10, 11


def test_after_rounds_of_kills_and_broken_lines_nothing_is_missing_and_nothing_is_double(
    durable: MariaDB, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with Proxy(durable.port) as proxy:
        tally = Rounds(found(tmp_path, durable, proxy), SEED, longest=0.6).play(ROUNDS)
    print(f"seed {SEED}: {dict(tally.faults)}, {len(tally.acknowledged)} acknowledged, refused {dict(tally.refused)}")
    assert tally.wrong == []
    assert tally.acknowledged
    assert len(tally.faults) == ROUNDS
