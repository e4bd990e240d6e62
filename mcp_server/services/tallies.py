"""How the memory stands: what the vault holds, whether its database answers, and what this machine still has to do."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.actors import Actor
from domain.errors import ClaudeToolsError
from domain.tallies import Counted
from hooks import spool, trust
from hooks.files import last_trouble
from mcp_server.work import Work

_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Here:
    """What this machine knows by itself, without the database."""

    waiting: tuple[spool.Note, ...]
    aside: tuple[spool.Aside, ...]
    drain: spool.Drain
    untidy: bool
    trouble: str
    trusted: int


@dataclass(frozen=True, slots=True)
class Reached:
    """Whether the database answers, in how many milliseconds; why not; and whether records wait to be struck of new values."""

    reachable: bool
    ms: float = 0.0
    why: str = ""
    behind: bool = False


def here(home: str) -> Here:
    """The state of the spool, the last drain, and what the hooks had trouble with.  Never raises."""
    return Here(
        waiting=tuple(spool.pending(home)),
        aside=tuple(spool.aside(home)),
        drain=spool.last_drain(home),
        untidy=spool.is_untidy(home),
        trouble=last_trouble(home),
        trusted=len({place for place, *_ in trust.listed(home)}),
    )


class Tallies:
    """Counts over the memory."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def counted(self, actor: Actor, *, since_us: int = 0) -> Counted:
        """All records by day, project, machine, person and client, and what was struck from them."""
        ahead = datetime.now(UTC).astimezone().utcoffset() or timedelta()
        with self._work.reading(actor) as unit:
            slices = unit.context_tallies.slices(since_us, int(ahead.total_seconds() * 1_000_000))
            struck = unit.context_tallies.struck(since_us)
        return Counted(tuple(slices), struck, since_us)

    def by_machine(self, actor: Actor) -> Counted:
        """All records by machine and kind alone: far fewer slices to make."""
        with self._work.reading(actor) as unit:
            return Counted(tuple(unit.context_tallies.slices(by=("kind", "machine_id", "machine_name"))))

    def reached(self) -> Reached:
        """Asks the database a few times.  Never raises what it answers with."""
        took: list[float] = []
        try:
            for _ in range(_LOOKS):
                begun = time.perf_counter()
                with self._work.reading(None) as unit:
                    behind = unit.context.sealed_mark() > unit.context.struck_mark()
                took.append((time.perf_counter() - begun) * 1000)
        except ClaudeToolsError as error:
            return Reached(reachable=False, why=error.message)
        return Reached(reachable=True, ms=sorted(took)[_LOOKS // 2], behind=behind)


def oldest(notes: Iterable[spool.Note]) -> int:
    """When the first of some notes was left; 0 for none."""
    return min((note.at_us for note in notes), default=0)
