"""What happened in rounds of faults, and how long hooks took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

LIMITS_S = {"SessionStart": 5.0, "Stop": 5.0, "PreCompact": 5.0, "PostCompact": 5.0, "SessionEnd": 1.5}
"""What the client gives each hook: the `timeout` of hooks.json, and for SessionEnd all that it gives at all.

A hook over it would be cut off, and what it was to leave be lost.  What counts is its own time: less what it waited for
a processor that others had, which on a busy machine says nothing about the hook.  The design's own times are far below (a
session's start gives up on the database after 0.8 s); they are shown as figures, beside the floor of the same run."""


@dataclass
class Tally:
    """What happened; `wrong` is what must not have."""

    faults: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    """How often what was to be killed or held was met in the middle, and how often it was done before."""
    took: dict[str, list[float]] = field(default_factory=dict)
    own: dict[str, list[float]] = field(default_factory=dict)
    floors: list[float] = field(default_factory=list)
    exits: Counter[int] = field(default_factory=Counter)
    sessions: int = 0
    unknown: int = 0
    records: int = 0
    words: int = 0
    terms: int = 0
    wrong: list[str] = field(default_factory=list)

    def timed(self, event: str, seconds: float, waited: float) -> None:
        """Notes how long a hook took that was left alone, and that it was too long; `waited` for a processor."""
        self.took.setdefault(event, []).append(seconds)
        self.own.setdefault(event, []).append(seconds - waited)
        if seconds - waited > LIMITS_S[event]:
            self.wrong.append(f"{event} took {seconds:.1f} s, {waited:.1f} s of it for a turn of the processor")

    def lines(self) -> list[str]:
        """A table for people."""
        said = [f"{times:5} {name}" for name, times in sorted(self.faults.items())]
        said.append(
            "met in the middle, or done before: " + ", ".join(f"{n} {t}" for n, t in sorted(self.ended.items()))
        )
        said.append(
            f"{self.words} words said in {self.sessions} sessions, {self.records} records, {self.terms} terms counted again; "
            f"{self.unknown} sessions of which a first hook was told only after everything"
        )
        said.append(f"ms{'':12} times   p50   p95   max   less waiting for a processor: p50   p95   max")
        rows = {event: (took, self.own[event]) for event, took in sorted(self.took.items())}
        for name, (took, own) in {**rows, "(the floor)": (self.floors, [])}.items():
            figures = [f"{_ms(seconds, percent):5}" for seconds in (took, own) if seconds for percent in (50, 95, 100)]
            said.append(f"  {name:12} {len(took):5} {' '.join(figures[:3])} {'':29} {' '.join(figures[3:])}".rstrip())
        said.append(f"drains ended with {dict(sorted(self.exits.items()))}")
        return [*said, *(self.wrong or ["nothing lost, nothing double, no hook over its time or with an exit but 0"])]


def _ms(seconds: Sequence[float], percent: int) -> int:
    ordered = sorted(seconds) or [0.0]
    return round(1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)])
