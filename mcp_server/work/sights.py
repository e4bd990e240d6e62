"""What this process has seen and checked: rows without plaintext, to be held against the database by the next entry."""

from __future__ import annotations

import threading
from collections import OrderedDict

from storage.sight import Question, Sight

MOST = 256
"""How many are kept: each a few kilobytes, and the sealed field."""
LARGEST = 1 << 16
"""Bytes of a sealed field that is kept; a longer one is read again."""


class Sights:
    """The newest of them, by what was asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Question, Sight] = OrderedDict()

    def get(self, question: Question) -> Sight | None:
        """What was seen, or None."""
        with self._lock:
            found = self._kept.get(question)
            if found is not None:
                self._kept.move_to_end(question)
            return found

    def keep(self, question: Question, sight: Sight) -> None:
        """Keeps what was seen; the one that was asked for longest ago goes."""
        if sight.sealed is not None and len(sight.sealed["blob"]) > LARGEST:
            return
        with self._lock:
            self._kept[question] = sight
            self._kept.move_to_end(question)
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)

    def drop(self, question: Question) -> None:
        """Forgets what was seen."""
        with self._lock:
            self._kept.pop(question, None)
