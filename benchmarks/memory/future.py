"""Future use: what of a session the next related one needed, and whether a text tells it.

Related is the next session of the same repository that began after this one ended and touched a file which this one
touched too.  Needed are the words of code and the file names in what its first 30 tool calls were given, where this
session had seen them and few sessions have.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from benchmarks.memory.dataset import Session
from benchmarks.memory.seen import Seen, leaves

FIRST_CALLS = 30
RARE = 0.05
_EVERYWHERE = re.compile(r"lock|go\.sum|change|readme|claude\.md", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_]\w{4,60}")
_FILE = re.compile(r"[\w.-]*(?:/[\w.-]+)+\.\w+|\b[\w-]+\.[a-z]{1,4}\b")


def needs(sessions: Sequence[Session], seen: Sequence[Seen]) -> list[frozenset[str]]:
    """What of each session (in the order of time) the next related one needed; empty where there is none."""
    names = [_names("\n".join(one.texts)) for one in seen]
    given = [_names("\n".join(text for call in one.calls[:FIRST_CALLS] for text in leaves(call.given))) for one in seen]
    holding = Counter(name for one in names for name in one)
    most = max(3, RARE * len(sessions))
    found: list[frozenset[str]] = []
    for place, session in enumerate(sessions):
        after = _next(sessions, place, session)
        needed = names[place] & given[after] if after is not None else frozenset()
        found.append(frozenset(name for name in needed if holding[name] <= most))
    return found


def _next(sessions: Sequence[Session], place: int, session: Session) -> int | None:
    files = {file for file in session.files if not _EVERYWHERE.search(file)}
    for after in range(place + 1, len(sessions)):
        other = sessions[after]
        if other.repo == session.repo and other.first >= session.last and files.intersection(other.files):
            return after
    return None


def _names(text: str) -> frozenset[str]:
    words = (
        word
        for word in _NAME.findall(text)
        if "_" in word.strip("_") or (any(map(str.isupper, word[1:])) and any(map(str.islower, word)))
    )
    return frozenset([*words, *(path.rsplit("/", 1)[-1] for path in _FILE.findall(text))])
