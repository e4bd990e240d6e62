"""Random rounds of sessions while something goes wrong, half of them on each database."""

from __future__ import annotations

import time

from benchmarks.memory.dataset import Options
from tests.faults.rounds import LIMITS_S, run


def main(options: Options) -> None:
    """Plays the rounds and prints what they left.  Takes about two seconds a round."""
    seed = time.time_ns() % 1_000_000
    for kind, rounds in (("sqlite", options.rounds // 2), ("mariadb", options.rounds - options.rounds // 2)):
        tally = run(kind, rounds, seed, _told)
        print(f"{kind}: {rounds} rounds with seed {seed}")
        for name, times in sorted(tally.faults.items()):
            print(f"  {times:5} {name}")
        print(f"  {tally.words} words said in {tally.records} sessions; {tally.unknown} that no hook ever told of")
        for event, times in sorted(tally.hooks.items()):
            print(f"  {event}: {times} times, at most {tally.slowest.get(event, 0):.2f} s of {LIMITS_S[event]:.1f}")
        print(f"  drains ended with {dict(tally.exits)}")
        print(
            "  "
            + ("\n  ".join(tally.wrong) or "nothing lost, nothing double, no hook over its time or with an exit but 0")
        )


def _told(number: int) -> None:
    if number % 50 == 0:
        print(f"  {number} rounds", flush=True)
