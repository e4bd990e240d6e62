"""Timing whole processes and calls, and one table for all of it."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Figure:
    """The milliseconds of many runs of one thing."""

    name: str
    samples: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float:
        """The middle of the samples, in milliseconds."""
        return statistics.median(self.samples)

    @property
    def p95(self) -> float:
        """The 95th percentile, in milliseconds."""
        return sorted(self.samples)[min(len(self.samples) - 1, int(len(self.samples) * 0.95))]


def processes(
    name: str,
    command: Sequence[str],
    *,
    runs: int,
    stdin: Callable[[int], bytes] = lambda _run: b"",
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    note: str = "",
) -> Figure:
    """Times cold processes from spawn to exit."""
    samples = []
    said = 0
    for run in range(-WARM_UP, runs):
        given = stdin(run + WARM_UP)
        start = time.perf_counter()
        done = subprocess.run(
            command, input=given, capture_output=True, cwd=cwd, env=env, check=False
        )  # our own commands
        taken = (time.perf_counter() - start) * 1000
        if done.returncode != 0:
            raise RuntimeError(f"{name} ended with {done.returncode}")
        said = len(done.stdout)
        if run >= 0:
            samples.append(taken)
    return Figure(name, tuple(samples), note or (f"printed {said:,} bytes" if said else ""))


def calls(name: str, act: Callable[[], object], *, runs: int, note: str = "") -> Figure:
    """Times calls inside this process."""
    for _ in range(WARM_UP):
        act()
    samples = []
    for _ in range(runs):
        start = time.perf_counter()
        act()
        samples.append((time.perf_counter() - start) * 1000)
    return Figure(name, tuple(samples), note)


def show(title: str, floor: Figure, figures: Sequence[Figure], targets: dict[str, str]) -> None:
    """Prints the figures beside their floor."""
    table = Table(title=title, title_justify="left")
    for column, justify in (
        ("what", "left"),
        ("median ms", "right"),
        ("p95 ms", "right"),
        ("x floor", "right"),
        ("target", "left"),
        ("note", "left"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]  # rich's literal type
    for figure in (floor, *figures):
        ratio = figure.median / floor.median if floor.median else 0
        table.add_row(
            figure.name,
            f"{figure.median:.1f}",
            f"{figure.p95:.1f}",
            "floor" if figure is floor else f"{ratio:.2f}",
            targets.get(figure.name, ""),
            figure.note,
        )
    Console(width=130).print(table)
