"""A rotation of keys under way: what is rotated, and how far it has come."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Literal

Level = Literal["client", "data"]


@dataclass(frozen=True, slots=True)
class KeyRun:
    """One run.  `scope` is a client's or a credential's id, "" for the whole vault.

    `place` tells how far it is: the client that is worked on and the version of its new key (level client), the last
    credential and version that was sealed again (level data).  A run that was cut off goes on there.
    """

    run_id: str
    level: str
    scope: str
    state: str
    place: str
    done: int
    total: int
    created_us: int
    updated_us: int
    revision: int = 0

    @property
    def at(self) -> tuple[str, int]:
        """The place: an id and a number."""
        name, number = json.loads(self.place)
        return str(name), int(number)

    def moved(self, name: str, number: int, done: int, now_us: int) -> KeyRun:
        """The run, further on by `done`."""
        there = json.dumps([name, number])
        return replace(self, place=there, done=self.done + done, updated_us=now_us)

    def ended(self, now_us: int) -> KeyRun:
        """The run at its end."""
        return replace(self, state="done", updated_us=now_us)


def begun(run_id: str, level: str, scope: str, total: int, now_us: int) -> KeyRun:
    """A run that has done nothing yet."""
    return KeyRun(run_id, level, scope, "open", json.dumps(["", 0]), 0, total, now_us, now_us)
