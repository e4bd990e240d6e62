"""The table of docs/policy.md, and every combination of what it speaks of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from domain.credentials import EXPOSURES

PAGE = Path(__file__).parents[2] / "docs" / "policy.md"
COLUMNS = ("who", "act", "level", "hours", "step-up", "approval", "uses")
SAYS = {
    "its level": ("is set to", "never leaves", "agents do not use it"),
    "its hours": ("in its hours alone",),
    "step-up": ("after a step-up alone",),
    "approval": ("with the approval of another person alone",),
    "limit of uses": ("as often as its limit of uses allows",),
}
"""What the message of a refusal holds, by what the table calls the reason."""


@dataclass(frozen=True)
class Case:
    """One combination."""

    who: str
    act: str
    level: str
    hours: str
    step_up: str
    approval: str
    uses: str

    def cells(self) -> dict[str, str]:
        """As the table's columns call them."""
        return {name.replace("_", "-"): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    cells: dict[str, str]
    answer: str
    because: str
    grants: str

    def fits(self, case: Case) -> bool:
        """Whether it is about a combination."""
        return all(said == "any" or case.cells()[name] in said.split(", ") for name, said in self.cells.items())


def rows() -> list[Row]:
    """The table, as it stands on the page."""
    lines = iter(PAGE.read_text().splitlines())
    head = next(line for line in lines if line.startswith("| who |"))
    names = [cell.strip() for cell in head.strip("|").split("|")]
    next(lines)
    found = []
    for line in itertools.takewhile(lambda one: one.startswith("|"), lines):
        cells = dict(zip(names, (cell.strip() for cell in line.strip().strip("|").split("|")), strict=True))
        found.append(
            Row({name: cells[name] for name in COLUMNS}, cells["answer"], cells["because"], cells["who can grant it"])
        )
    return found


def answer(case: Case) -> Row:
    """The first row that fits."""
    return next(row for row in rows() if row.fits(case))


def cases(acts: tuple[str, ...] = ("reveal", "recipe", "run")) -> Iterator[Case]:
    """Every combination."""
    for one in itertools.product(
        ("agent", "person"),
        acts,
        EXPOSURES,
        ("none", "inside", "outside"),
        ("none", "missing", "given"),
        ("none", "missing", "given"),
        ("none", "free", "used up"),
    ):
        yield Case(*one)
