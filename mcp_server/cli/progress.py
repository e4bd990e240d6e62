"""How far a long run has come: a bar at a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_S = 10.0

Tell = Callable[[str, int, int], None]


@contextmanager
def progress(what: str) -> Iterator[Tell]:
    """Gives what is to be told the part that is worked on, how much is done, and how much there is (0: nobody knows)."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def tell(part: str, done: int, total: int) -> None:
            bar.update(task, description=f"{what} {part}".strip(), completed=done, total=total or None)

        yield tell


def _lines(what: str) -> Tell:
    last = time.monotonic()

    def tell(part: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_S:
            last = time.monotonic()
            print(f"{what} {part}: {done}{f' of {total}' if total else ''} rows", file=sys.stderr, flush=True)

    return tell
