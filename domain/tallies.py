"""What the memory holds, counted: records, and their tokens raw and as kept, by day, project, machine, person, client, kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Slice:
    """Records that are alike in all that is counted by.  `day` counts days since 1970 in the counter's zone.

    `raw_tokens` are what their sessions were long, `digest_tokens` what is kept to be told;
    `newest_us` is the last change of any of them.
    """

    day: int
    kind: str
    project: str
    project_name: str
    machine_id: str
    machine_name: str
    person: str
    client: str
    records: int
    raw_tokens: int
    digest_tokens: int
    newest_us: int


@dataclass(slots=True)
class Tally:
    """The sums of what is alike in one thing; `key` tells it from others, `name` is what it is called."""

    key: str
    name: str
    records: int = 0
    raw_tokens: int = 0
    digest_tokens: int = 0
    newest_us: int = 0

    def add(self, one: Slice) -> None:
        """Counts a slice in."""
        self.records += one.records
        self.raw_tokens += one.raw_tokens
        self.digest_tokens += one.digest_tokens
        self.newest_us = max(self.newest_us, one.newest_us)

    @property
    def saved(self) -> float:
        """The share of the raw tokens that need not be read; 0 where nothing is known."""
        return max(0.0, 1 - self.digest_tokens / self.raw_tokens) if self.raw_tokens else 0.0


@dataclass(frozen=True, slots=True)
class Counted:
    """Everything that `stats` tells.  `struck` counts by rule what was taken out of records before they were kept."""

    slices: tuple[Slice, ...]
    struck: Mapping[str, int] = field(default_factory=dict)
    since_us: int = 0

    @property
    def total(self) -> Tally:
        """All of it."""
        total = Tally("", "all")
        for one in self.slices:
            total.add(one)
        return total

    def by_day(self) -> list[tuple[int, Tally]]:
        """Every day from the first to the last, also those without a record."""
        found = {one.day: Tally(str(one.day), "") for one in self.slices}
        for one in self.slices:
            found[one.day].add(one)
        return (
            [(day, found.get(day) or Tally(str(day), "")) for day in range(min(found), max(found) + 1)] if found else []
        )

    def by_project(self) -> list[Tally]:
        """Projects, most records first; of two that have one name each is counted for itself."""
        return _tallies(self.slices, lambda one: (one.project, one.project_name or "(no project)"))

    def by_machine(self) -> list[Tally]:
        """Machines, most records first."""
        return _tallies(self.slices, lambda one: (one.machine_id, one.machine_name or "(unknown)"))

    def by_person(self) -> list[Tally]:
        """Persons, most records first."""
        return _tallies(self.slices, lambda one: (one.person, one.person or "(unknown)"))

    def by_client(self) -> list[Tally]:
        """Clients, most records first."""
        return _tallies((one for one in self.slices if one.client), lambda one: (one.client, one.client))

    def by_kind(self) -> list[Tally]:
        """Kinds of records, most first."""
        return _tallies(self.slices, lambda one: (one.kind, one.kind))


def _tallies(slices: Iterable[Slice], named: Callable[[Slice], tuple[str, str]]) -> list[Tally]:
    found: dict[str, Tally] = {}
    for one in slices:
        key, name = named(one)
        found.setdefault(key, Tally(key, name)).add(one)
    return sorted(found.values(), key=lambda tally: (-tally.records, tally.name))
