"""Random rounds of sessions on one or two computers while something goes wrong, and what must hold afterwards.

python -m tests.faults.rounds sqlite|mariadb ROUNDS [SEED]

Each round a session starts or goes on, something happens to it or around it, and at last all is well again and the
spools are drained.  Then every word that was said in a session of which a hook once ended undisturbed stands in that
session's one record; what was forgotten has not come back; and the frequencies count exactly what is there.
"""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from domain.context import SESSION, ContextRecord, Filters
from domain.errors import Unavailable
from mcp_server.answers import exit_code
from mcp_server.bootstrap import build
from tests.faults.computers import PASSWORD, PERSON, Computer, Session, computers
from tests.kit.mariadb import MariaDB
from tests.kit.proxy import Proxy
from tests.server.conftest import Wire

HOUR_S = 3600
LIMITS_S = {"SessionStart": 5.0, "Stop": 5.0, "PreCompact": 5.0, "PostCompact": 5.0, "SessionEnd": 1.5}
"""What the client gives each hook: the `timeout` of hooks.json, and for SessionEnd all that it gives at all."""
PATIENCE_S = 120
AWAY_ROUNDS = 6
"""Rounds of ten minutes: an hour."""


@dataclass
class Tally:
    """What happened."""

    faults: Counter[str] = field(default_factory=Counter)
    hooks: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    exits: Counter[int] = field(default_factory=Counter)
    unknown: int = 0
    records: int = 0
    words: int = 0
    wrong: list[str] = field(default_factory=list)


class Rounds:
    """Plays them on the computers of one vault."""

    def __init__(
        self, there: list[Computer], seed: int, *, proxy: Proxy | None = None, server: MariaDB | None = None
    ) -> None:
        self.there = there
        self.proxy = proxy
        self.server = server
        self.dice = random.Random(seed)
        self.tally = Tally()
        self.sessions: list[Session] = []
        self._away = 0
        self._locked: sqlite3.Connection | None = None
        self._running: list[subprocess.Popen[bytes]] = []
        self.faults: dict[str, Callable[[Session], None]] = {
            "nothing": self._quiet,
            "kill -9 of a hook": self._killed_hook,
            "kill -9 of a drain": self._killed_drain,
            "kill -9 of the server that drains": self._killed_server,
            "two drains at once": self._two_drains,
            "full disk": self._full_disk,
            "the database goes away for an hour": self._goes_away,
            "the clock is set back": self._set_back,
            "a record is forgotten": self._forgotten,
        }
        if len(there) > 1:
            self.faults["resumed on the other computer"] = self._resumed
        if server is not None:
            self.faults["kill -9 of MariaDB"] = self._killed_database

    def play(self, rounds: int, told: Callable[[int], None] = lambda _: None) -> Tally:
        """Plays so many rounds, each fault about as often as the others, and looks at what they left."""
        try:
            for number in range(rounds):
                fewest = min(self.tally.faults[name] for name in self.faults)
                name = self.dice.choice([name for name in self.faults if self.tally.faults[name] <= fewest])
                self.tally.faults[name] += 1
                self.faults[name](self._session())
                self._time_passes()
                told(number + 1)
        finally:
            self._comes_back()
        self.look()
        return self.tally

    def _session(self) -> Session:
        """One that goes on, or a new one, in which something was just said."""
        going = [one for one in self.sessions if not one.is_forgotten]
        if going and self.dice.random() < 0.5:
            session = self.dice.choice(going[-20:])
        else:
            session = Session(self.dice.choice(self.there), str(uuid.UUID(int=self.dice.getrandbits(128), version=4)))
            self.sessions.append(session)
            self._say(session)
            self._hook("SessionStart", session)
        self._say(session)
        return session

    def _say(self, session: Session) -> None:
        session.says(f"zq{self.tally.words:06d}part", session.computer.now())
        self.tally.words += 1

    def _hook(self, event: str, session: Session, *, kill: bool = False, full: bool = False) -> None:
        """Runs a hook; with `kill`, until some moment."""
        begun = time.monotonic()
        process = session.computer.hook(event, session, full=full)
        if kill:
            time.sleep(self.dice.uniform(0, 0.08))
            process.kill()
        out, errors = process.communicate(timeout=PATIENCE_S)
        took = time.monotonic() - begun
        self.tally.hooks[event] += 1
        if kill:
            return
        self.tally.slowest[event] = max(took, self.tally.slowest.get(event, 0.0))
        if process.returncode or errors or (out and event != "SessionStart"):
            self.tally.wrong.append(f"{event} ended with {process.returncode} and said {(out + errors)[:200]!r}")
        if took > LIMITS_S[event]:
            self.tally.wrong.append(f"{event} took {took:.1f} s")
        session.is_known |= not full

    def _sync(self, computer: Computer, *, kill: bool = False, full: bool = False) -> int:
        process = computer.sync(full=full)
        if kill:
            self._kill_soon(process, 1.5)
        return self._ended(process)

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        _, errors = process.communicate(timeout=PATIENCE_S)
        code = process.returncode
        self.tally.exits[code] += 1
        if code not in (0, exit_code(Unavailable("")), -signal.SIGKILL):
            self.tally.wrong.append(f"a drain ended with {code} and said {errors[-300:].decode()}")
        return code

    def _kill_soon(self, process: subprocess.Popen[bytes], within: float) -> None:
        timer = threading.Timer(self.dice.uniform(0, within), process.kill)
        timer.daemon = True
        timer.start()

    # --- what goes wrong -------------------------------------------------------------------------------------------

    def _quiet(self, session: Session) -> None:
        self._hook(self.dice.choice(["Stop", "PreCompact", "PostCompact", "SessionEnd"]), session)

    def _killed_hook(self, session: Session) -> None:
        self._hook(self.dice.choice(list(LIMITS_S)), session, kill=True)

    def _killed_drain(self, session: Session) -> None:
        self._hook("Stop", session)
        self._sync(session.computer, kill=True)

    def _killed_server(self, session: Session) -> None:
        """Killed at some moment between its start and well after its first look into the spool."""
        self._hook("Stop", session)
        wire = Wire(session.computer.home)
        self._kill_soon(wire.process, 2.5)
        try:
            wire.process.wait(PATIENCE_S)
        finally:
            wire.close()

    def _two_drains(self, session: Session) -> None:
        self._hook("SessionEnd", session)
        both = [session.computer.sync() for _ in range(2)]
        for process in both:
            self._ended(process)

    def _full_disk(self, session: Session) -> None:
        self._hook(self.dice.choice(["Stop", "SessionEnd", "SessionStart"]), session, full=True)
        self._sync(session.computer, full=True)

    def _goes_away(self, session: Session) -> None:
        if not self._away:
            self._away = AWAY_ROUNDS
            if self.proxy is not None:
                self.dice.choice([self.proxy.refuse, self.proxy.fall_silent, self.proxy.swallow])()
            else:
                file = self.there[0].home / "claudetools.db"
                self._locked = sqlite3.connect(file, isolation_level=None, timeout=30)
                self._locked.execute("BEGIN EXCLUSIVE")
        self._hook("SessionStart", session)
        self._hook("SessionEnd", session)
        self._sync(session.computer)

    def _set_back(self, session: Session) -> None:
        session.computer.shift_s -= self.dice.choice([60, HOUR_S, 24 * HOUR_S])
        self._say(session)
        self._hook("Stop", session)
        self._sync(session.computer)

    def _forgotten(self, session: Session) -> None:
        self._hook("Stop", session)
        self._sync(session.computer)
        if self._away:
            return
        app = build(session.computer.settings)
        try:
            person = app.identity.actor(app.identity.login(PERSON, PASSWORD))
            word = session.words[-1]
            for hit in app.context.recall(person, word, Filters(kind=SESSION)).hits:
                record = app.context.get(person, hit.record_id)
                if word in record.body_person:
                    app.context.forget(person, record.record_id, "to test")
                    session.is_forgotten = session.is_forgotten or record.machine_name == session.computer.name
        finally:
            app.close()
        self._say(session)
        self._hook("Stop", session)

    def _resumed(self, session: Session) -> None:
        self._hook("Stop", session)
        others = [one for one in self.there if one is not session.computer]
        twins = [
            one
            for one in self.sessions
            if one.session_id == session.session_id and one.computer is not session.computer
        ]
        if twins:
            return
        twin = session.resumed_on(self.dice.choice(others))
        self.sessions.append(twin)
        self._hook("SessionStart", twin)
        self._say(twin)
        self._hook("SessionEnd", twin)

    def _killed_database(self, session: Session) -> None:
        self._hook("Stop", session)
        assert self.server is not None
        drain = session.computer.sync()
        time.sleep(self.dice.uniform(0, 0.8))
        self.server.kill()
        self._hook("SessionStart", session)
        self.server.start()
        self._ended(drain)

    def _time_passes(self) -> None:
        """Ten minutes for everybody, while the database is away; at last it is back."""
        if self._away:
            self._away -= 1
            for computer in self.there:
                computer.shift_s += HOUR_S // AWAY_ROUNDS
            if not self._away:
                self._comes_back()

    def _comes_back(self) -> None:
        self._away = 0
        if self.proxy is not None:
            self.proxy.pass_on()
        if self._locked is not None:
            self._locked.close()
            self._locked = None

    # --- what must hold --------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Drains everything, now that all is well, and notes what is missing or double."""
        for computer in self.there:
            computer.shift_s = 0
            if code := self._sync(computer):
                self.tally.wrong.append(f"the last drain of {computer.name} ended with {code}")
            if computer.is_behind():
                self.tally.wrong.append(f"notes of {computer.name} still wait")
        self._compare(*self._kept())

    def _kept(self) -> tuple[list[ContextRecord], int]:
        """The records, and how many the statistics speak of."""
        app = build(self.there[0].settings)
        try:
            with app.work.reading(None) as unit:
                kept = [record for _, record in unit.context.below(None, 1_000_000)]
                return kept, unit.context.frequencies(["#records"]).get("#records", 0)
        finally:
            app.close()

    def _compare(self, kept: list[ContextRecord], counted: int) -> None:
        tally = self.tally
        tally.records = len(kept)
        for key, times in Counter(record.session_key for record in kept).items():
            if times > 1:
                tally.wrong.append(f"recorded twice: {key}")
        if counted != len(kept):
            tally.wrong.append(f"{len(kept)} records, and the statistics speak of {counted}")
        found = {(record.machine_name, record.session_id): record for record in kept}
        for session in self.sessions:
            record = found.get((session.computer.name, session.session_id))
            if session.is_forgotten:
                if record is not None:
                    tally.wrong.append(f"forgotten, and back: {session.session_id}")
            elif not session.is_known:
                tally.unknown += 1
            elif record is None:
                tally.wrong.append(f"never recorded: {session.session_id} of {session.computer.name}")
            else:
                missing = [word for word in session.words if word not in record.body_person]
                if missing:
                    tally.wrong.append(f"{len(missing)} of {len(session.words)} words missing: {session.session_id}")


def run(kind: str, rounds: int, seed: int, told: Callable[[int], None] = lambda _: None) -> Tally:
    """Plays rounds on a database of a kind (`sqlite` or `mariadb`) of its own."""
    place = Path(tempfile.mkdtemp(prefix="claudetools-faults-"))
    try:
        if kind == "sqlite":
            with computers(place, None) as (there, _, _):
                return Rounds(there, seed).play(rounds, told)
        with MariaDB(durable=True) as server, computers(place, server) as (there, proxy, _):
            return Rounds(there, seed, proxy=proxy, server=server).play(rounds, told)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    """By hand, with any number."""
    kind = sys.argv[1]
    rounds, seed = (int(word) for word in [*sys.argv[2:], "1"][:2])
    tally = run(kind, rounds, seed, lambda number: print(number, end=" ", flush=True))
    print(f"\n{rounds} rounds on {kind} with seed {seed}:", dict(tally.faults))
    print(f"{tally.records} records, {tally.words} words, {tally.unknown} sessions no hook ever told of")
    print("hooks:", dict(tally.hooks), {name: round(took, 2) for name, took in tally.slowest.items()})
    print("exits of drains:", dict(tally.exits))
    print("\n".join(tally.wrong) or "nothing is missing, nothing is double")


if __name__ == "__main__":
    main()
