"""A process that rotates keys until it is killed, and one that reads and writes meanwhile.

    python -m tests.faults.rotator rotate HOME      each line on stdin (client, data, root) forks a child that does it
    python -m tests.faults.rotator read HOME NUMBER reads, and sets values, when told; then tells what it saw

The first forks from a process that has everything imported, so that a child is at work at once.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from domain.errors import ClaudeToolsError, NotFound
from domain.ids import new_id
from domain.plain import Plain
from mcp_server.bootstrap import App, build
from mcp_server.bootstrap.installation import person_actor
from mcp_server.bootstrap.turning import Wanted, turn_root
from mcp_server.config import load_settings

PERSON = "anna"
PAUSE_S = 0.03
"""Between two acts of the reader: its entries are verified after every round."""
T = TypeVar("T")


def say(text: str) -> None:
    """One whole line, at once."""
    os.write(1, text.encode() + b"\n")


def quiet(_part: str, _done: int, _total: int) -> None:
    """Tells nobody."""


def rotate(app: App, level: str) -> str:
    """One rotation; an unfinished one of another level comes first.  Gives the level that was done."""
    actor = person_actor(app, PERSON)
    if level == "root":
        turn_root(app, actor, Wanted(lambda _key: None), quiet)
        return level
    run = app.keys.unfinished(actor)
    level = run.level if run is not None else level
    if level == "client":
        app.keys.rotate_clients(actor, "", quiet)
    else:
        app.keys.rotate_data(actor, "", quiet)
    return level


def rotate_when_told(home: Path) -> None:
    """Forks a child for each line."""
    build(load_settings(home)).close()
    say("ready")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            say(str(os.getpid()))
            app = build(load_settings(home))
            try:
                said = rotate(app, line.strip())
            except ClaudeToolsError as error:
                said = f"failed {error.code}: {error.message}"
            say(f"done {said}")
            os._exit(0)
        os.waitpid(child, 0)
        say("dead")


class Reader:
    """What one process saw: how much it did, what failed once, what failed twice, and the values it has set."""

    def __init__(self, home: Path, number: str) -> None:
        self.app = build(load_settings(home))
        self.actor = person_actor(self.app, PERSON)
        self.acts = self.once = 0
        self.wrong: list[str] = []
        page = self.app.credentials.search(self.actor, "", limit=100)
        self.own = f"reader/own/{number}"
        self.others = [one.reference for one in page.items if not one.reference.startswith("reader/")]
        self.set = self.reveal(self.own)

    def twice(self, what: str, do: Callable[[], T]) -> T | None:
        """Does it, and once more where it failed."""
        self.acts += 1
        for again in (False, True):
            try:
                return do()
            except ClaudeToolsError as error:
                if again:
                    self.wrong.append(f"{what}: {error.code}: {error.message}")
                else:
                    self.once += 1
        return None

    def reveal(self, reference: str) -> str:
        """One value."""
        return self.app.credentials.reveal(self.actor, reference, purpose="to compare").value.expose()

    def work(self, number: int) -> None:
        """One act of each kind."""
        reference = self.others[number % len(self.others)]
        self.twice("describe", lambda: self.app.credentials.describe(self.actor, reference))
        found = self.twice("reveal", lambda: self.reveal(reference))
        if found is not None and found != f"value of {reference}":
            self.wrong.append(f"another value came out of {reference}")
        if number % 4 == 0:
            self.change()

    def change(self) -> None:
        """Gives the reader's own credential a new value, which must be the one that comes out from then on."""
        value = new_id("xx")
        try:
            self.app.credentials.rotate(self.actor, self.own, value=Plain(value))
        except NotFound as error:
            self.wrong.append(f"rotate: {error.message}")
        except ClaudeToolsError:
            self.once += 1
            now = self.twice("look", lambda: self.reveal(self.own))
            if now == value:
                self.set = value  # it had come through, and the answer was lost
        else:
            self.set = value
        now = self.twice("look", lambda: self.reveal(self.own))
        if now is not None and now != self.set:
            self.wrong.append("a value that was set is lost")


def read_until_told(home: Path, number_of_reader: str) -> None:
    """Works from each line `go` to the next line, which it answers with `rests`; ends with stdin."""
    reader = Reader(home, number_of_reader)
    works, rests, over = threading.Event(), threading.Event(), threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            if line.strip() == "go":
                rests.clear()
                works.set()
            else:
                works.clear()
                rests.wait()
                say("rests")
        over.set()
        works.set()

    threading.Thread(target=listen, daemon=True).start()
    say("ready")
    number = 0
    while True:
        if not works.is_set():
            rests.set()
        works.wait()
        if over.wait(PAUSE_S):
            break
        if works.is_set():
            reader.work(number)
            number += 1
    say(json.dumps({"acts": reader.acts, "once": reader.once, "wrong": reader.wrong[:20], "set": reader.set}))


if __name__ == "__main__":
    if sys.argv[1] == "rotate":
        rotate_when_told(Path(sys.argv[2]))
    else:
        read_until_told(Path(sys.argv[2]), sys.argv[3])
