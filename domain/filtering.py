"""Striking a stream: text of any length in bounded memory, the same whatever pieces it comes in.

Text is held back until a window is full.  Of a window everything up to the end of a line is settled, where striking the
part alone begins the same as striking the whole does: then nothing that was struck reaches across the cut.  What was
settled last stays before the next window, as the neighbour that names what comes after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from domain.redaction import Struck

WINDOW = 1 << 18
"""Characters that are looked at in one go."""
_GROWS = 8  # so many windows, where nothing in one can be settled: a marked part that is longer
_CUTS = 10  # places that are tried in one window
_NEIGHBOUR = 2048


class Filter:
    """Strikes a stream of text.

    Args:
        strike: what strikes one text.
        window: characters that are held back; what is longer than an eighth of it may be struck in parts.
    """

    def __init__(self, strike: Callable[[str], Struck], *, window: int = WINDOW) -> None:
        self._strike = strike
        self._window = window
        self._waiting = ""
        self._before = ""  # the last lines that were settled, as they were told
        self.counts: Counter[str] = Counter()

    def feed(self, text: str) -> str:
        """Takes the next piece and returns what is settled."""
        self._waiting += text
        settled: list[str] = []
        size = self._window
        while len(self._waiting) >= size:
            told = self._settle(self._waiting[:size])
            if told is None and size < self._window * _GROWS:
                size *= 2
                continue
            settled.append(self._all(self._waiting[:size], size) if told is None else told)
            size = self._window
        return "".join(settled)

    def finish(self) -> str:
        """Returns the rest."""
        rest = self._waiting
        return self._all(rest, len(rest)) if rest else ""

    def _settle(self, window: str) -> str | None:
        """Settles as much of a window as it can; None where it can nothing."""
        whole = self._strike(self._before + window).text
        for cut in _ends_of_lines(window):
            head = self._strike(self._before + window[:cut])
            if whole.startswith(head.text) and head.text.startswith(self._before):
                return self._told(head, cut)
        return None

    def _all(self, window: str, size: int) -> str:
        head = self._strike(self._before + window)
        if not head.text.startswith(self._before):  # the neighbour and the rest make something together
            self._before = ""
            head = self._strike(window)
        return self._told(head, size)

    def _told(self, head: Struck, cut: int) -> str:
        told = head.text[len(self._before) :]
        self.counts.update(head.counts)
        self._waiting = self._waiting[cut:]
        near = head.text[-_NEIGHBOUR:]
        self._before = near[near.find("\n") + 1 :] if "\n" in near else ""
        return told


def _ends_of_lines(window: str) -> Iterator[int]:
    """Where a window may be cut: ends of lines in its first seven eighths, the last ones first and then further apart."""
    at, apart = len(window) * 7 // 8, 0
    for _ in range(_CUTS):
        at = window.rfind("\n", 0, max(0, at - apart)) + 1
        if not at:
            return
        yield at
        at, apart = at - 1, apart * 2 or len(window) // 256
