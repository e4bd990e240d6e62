"""How far a long run has come: a bar at a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mcp_server.cli import show

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY_S = 10.0

Tell = Callable[[str, int, int], None]


@contextmanager
def progress(what: str, things: str = "rows") -> Iterator[Tell]:
    """Gives what is to be told the part that is worked on, how much is done, and how much there is (0: nobody knows)."""
    if not sys.stderr.isatty():
        yield _lines(what, things)
        return
    bar = _Bar(what)
    try:
        yield bar
    finally:
        bar.stop()


class _Bar:
    """Appears when there is something to tell, not before: somebody may be asked for a key until then."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._made: tuple[Progress, TaskID] | None = None

    def __call__(self, part: str, done: int, total: int) -> None:
        if self._made is None:
            self._made = self._start()
        bar, task = self._made
        bar.update(task, description=_named(self._what, part), completed=done, total=total or None)

    def _start(self) -> tuple[Progress, TaskID]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        # Lines that are printed meanwhile go above the bar, where both are seen.
        bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())
        bar.start()
        return bar, bar.add_task(self._what, total=None)

    def stop(self) -> None:
        """Takes the bar away."""
        if self._made is not None:
            self._made[0].stop()


def _named(what: str, part: str) -> str:
    """What is done, and the part of it, on one line; that may be a folder's name, and so anything."""
    return " ".join(show.clean(f"{what} {part}").split())


def _lines(what: str, things: str) -> Tell:
    last = time.monotonic()

    def tell(part: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_S:
            last = time.monotonic()
            print(
                f"{_named(what, part)}: {done}{f' of {total}' if total else ''} {things}", file=sys.stderr, flush=True
            )

    return tell
