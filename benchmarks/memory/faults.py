"""Random rounds of sessions while something goes wrong, half of them on each database.

Takes two to four seconds a round.  Another seed every time; it is printed.
"""

from __future__ import annotations

import time

from benchmarks.memory.dataset import Options
from tests.faults.rounds import run


def main(options: Options) -> None:
    """Plays the rounds and prints what they left."""
    seed = time.time_ns() % 1_000_000
    for kind, rounds in (("sqlite", options.rounds // 2), ("mariadb", options.rounds - options.rounds // 2)):
        tally = run(kind, rounds, seed, _told)
        print(f"{kind}: {rounds} rounds with seed {seed}")
        print(*(f"  {line}" for line in tally.lines()), sep="\n")


def _told(number: int) -> None:
    if number % 50 == 0:
        print(f"  {number} rounds", flush=True)
