"""Importing: the transcripts that Claude Code already has on this machine, each by the way that every capture goes.

What is kept already, as long as its transcript is, is not read again; so a run that was killed goes
on where it was.  Those that the client will delete first come first.  What was forgotten stays
forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from domain.errors import Invalid, Unavailable
from mcp_server.services.capture import Capture
from mcp_server.services.sessions import OnDisk, note_of, on_disk

Tell = Callable[[str, int, int], None]
BUSY_S = 120.0
"""How long another drain of this machine is waited for."""


@dataclass(slots=True)
class Plan:
    """What an import finds: sessions that are new or have grown, and how many are kept or were forgotten."""

    wanted: list[OnDisk] = field(default_factory=list)
    kept: int = 0
    forgotten: int = 0
    older: int = 0

    @property
    def size(self) -> int:
        """The bytes that are to be read."""
        return sum(one.size for one in self.wanted)


@dataclass(slots=True)
class Imported:
    """What an import did.  `failed` are the transcripts that could not be, each with the kind of its error.

    Tokens: `raw_tokens` is what the sessions cost when they were had, `digest_tokens` what telling
    them costs.
    """

    sessions: int = 0
    kept: int = 0
    forgotten: int = 0
    empty: int = 0
    size: int = 0
    raw_tokens: int = 0
    digest_tokens: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[Path, str]] = field(default_factory=list)


class Importing:
    """Imports transcripts through a capture."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._settings, self._records = capture.plan_by()

    def plan(self, folder: Path, since_us: int = 0) -> Plan:
        """What is to be imported of a folder, the oldest first; of sessions that were written since then.

        Raises Invalid where there is no such folder, Unavailable where the database is away.
        """
        if not folder.is_dir():
            raise Invalid(
                "there are no transcripts to import",
                fields={"DIR": "is no folder; Claude Code keeps its transcripts in the folder projects of its own"},
                hint="claudetools context import DIR",
            )
        found = sorted(on_disk(folder.absolute()), key=lambda one: one.written_s)
        known = self._records.known_sizes(one.session_id for one in found)
        plan = Plan()
        for one in found:
            size = known.get(one.session_id)
            if one.written_s * 1_000_000 < since_us:
                plan.older += 1
            elif size is not None and size < 0:
                plan.forgotten += 1
            elif size is not None and size >= one.size:
                plan.kept += 1
            else:
                plan.wanted.append(one)
        return plan

    def run(self, plan: Plan, tell: Tell) -> Imported:
        """Import what was planned.  Raises Unavailable and Denied: then the rest is for a later run."""
        done = Imported(kept=plan.kept, forgotten=plan.forgotten)
        for number, one in enumerate(plan.wanted):
            tell(one.path.parent.name, number, len(plan.wanted))
            note = note_of(one.path, str(self._settings.home), self._settings.machine_id)
            taken = self._capture.capture_one(note, BUSY_S)
            if taken.outcome == "busy":
                raise Unavailable("another drain of this machine is at work", hint="claudetools context import")
            if taken.record is not None:
                done.sessions += 1
                done.size += taken.record.transcript_size
                done.raw_tokens += taken.record.raw_tokens
                done.digest_tokens += taken.record.digest_tokens
                done.struck.update(taken.record.struck)
            elif taken.outcome == "empty":
                done.empty += 1
            elif taken.outcome in ("gone", "failed"):
                done.failed.append((one.path, taken.reason or "it is gone"))
            else:
                done.kept += 1
        tell("", len(plan.wanted), len(plan.wanted))
        return done
