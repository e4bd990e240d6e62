"""Random rounds of sessions on one or two computers while something goes wrong.

python -m tests.faults.rounds sqlite|mariadb ROUNDS [SEED [FAULT]]

Each round a session starts or goes on, something happens to it or around it, and at last all is well again and the
spools are drained; what must hold then stands in `looks.py`.  A process is killed, or held while something else happens,
at a random touch of the world outside (`launched.py`) or after a random time; the touch is drawn from as many as such a
process was seen to make.  FAULT narrows what goes wrong to the faults whose names hold it.
"""

from __future__ import annotations

import os
import queue
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
from contextlib import suppress
from pathlib import Path

import pymysql

from domain.context import SESSION, Filters
from domain.errors import Unavailable
from hooks.shelf import read_seen
from mcp_server.answers import exit_code
from mcp_server.bootstrap import build
from tests.faults.computers import (
    PASSWORD,
    PERSON,
    Computer,
    Fate,
    Session,
    computers,
    goes_on,
    stands_still,
    waited_for_a_turn,
)
from tests.faults.looks import ids_told, look, store_of, told_well
from tests.faults.tally import Tally
from tests.kit.mariadb import MariaDB
from tests.kit.orphans import Nursery
from tests.kit.proxy import Proxy

HOUR_S = 3600
PATIENCE_S = 120
AWAY_ROUNDS = 3
"""Rounds of twenty minutes: an hour."""
QUIET, CHANGES = "nothing", "changes"
NOTES = ("Stop", "PreCompact", "PostCompact", "SessionEnd")
ROOM_MB = 56
"""All that the server can keep, so that its disk can be full."""
MORE_ROOM_MB = 8
ENDS = frozenset({0, exit_code(Unavailable("")), -signal.SIGKILL})
"""How a drain may end: done, something still waits, killed by us."""
LATER_S = 120
"""By so much later the last drain looks: half-written files of killed processes are litter by then."""


class Rounds:
    """Plays them on the computers of one vault."""

    def __init__(
        self,
        there: list[Computer],
        seed: int,
        nursery: Nursery,
        *,
        proxy: Proxy | None = None,
        server: MariaDB | None = None,
        database: str = "",
        only: str = "",
    ) -> None:
        self.there = there
        self.nursery = nursery
        self.proxy = proxy
        self.server = server
        self.database = database
        self.dice = random.Random(seed)
        self.tally = Tally()
        self.sessions: list[Session] = []
        self.forgotten: dict[str, str] = {}
        self._touches = {"SessionStart": 15, "note": 10, "drain": 80, "server": 80, "import": 80}
        self._touches |= {f"{kind} {CHANGES}": most // 5 for kind, most in self._touches.items()}
        self._turns = Counter({kind: self.dice.randint(0, 9) for kind in self._touches})
        self._away = 0
        self._locked: sqlite3.Connection | None = None
        anywhen: dict[str, Callable[[Session], None]] = {
            QUIET: self._quiet,
            "kill -9 of a hook": self._killed_hook,
            "kill -9 of a drain": self._killed_drain,
            "kill -9 of the server and its drain": self._killed_server,
            "kill -9 of an import": self._killed_import,
            "two drains at once": self._two_drains,
            "a hook writes while a drain is at work": self._hook_beside_a_drain,
            "full disk": self._full_disk,
            "the clock is set back": self._set_back,
        }
        self._while_there: dict[str, Callable[[Session], None]] = {
            "the database goes away for an hour": self._goes_away,
            "a record is forgotten": self._forgotten,
        }
        if len(there) > 1:
            anywhen["the same session on two computers"] = self._resumed
        if server is not None:
            self._while_there["kill -9 of MariaDB"] = self._killed_database
            self._while_there["the database's disk is full"] = self._full_database
        self._every = {**anywhen, **self._while_there}
        self.faults = [name for name in self._every if only in name]

    def play(self, rounds: int, told: Callable[[int], None] = lambda _: None) -> Tally:
        """Plays so many rounds, each fault about as often as the others, and looks at what they left."""
        try:
            for number in range(rounds):
                possible = [name for name in self.faults if not (self._away and name in self._while_there)] or [QUIET]
                fewest = min(self.tally.faults[name] for name in possible)
                name = self.dice.choice([name for name in possible if self.tally.faults[name] <= fewest])
                self.tally.faults[name] += 1
                self._every[name](self._session())
                self._time_passes()
                self.nursery.orphans()
                if number % 5 == 0:
                    self.tally.floors.append(self.there[0].floor())
                told(number + 1)
        finally:
            self._comes_back()
        self._settle()
        self.tally.exits.update(self.nursery.exits)
        self.tally.wrong += [f"a detached drain ended with {code}" for code in self.nursery.exits if code not in ENDS]
        look(self.there, self.sessions, self.forgotten, store_of(self.there[0], self.server, self.database), self.tally)
        return self.tally

    # --- what is ordinary ------------------------------------------------------------------------------------------

    def _session(self) -> Session:
        """One that goes on, or a new one, in which something was just said."""
        going = [one for one in self.sessions if not (one.is_forgotten or one.is_older)]
        if going and self.dice.random() < 0.5:
            session = self.dice.choice(going[-20:])
            if self.dice.random() < 0.5:
                self._hook("SessionStart", session, self.dice.choice(["resume", "compact"]))
        else:
            session = self._new()
            # The plugin may come while a session is already going on: only its notes lead to that one.
            if self.dice.random() < 0.8:
                self._hook("SessionStart", session)
        self._say(session)
        return session

    def _new(self, computer: Computer | None = None, *, is_older: bool = False) -> Session:
        session_id = str(uuid.UUID(int=self.dice.getrandbits(128), version=4))
        session = Session(computer or self.dice.choice(self.there), session_id, is_older=is_older)
        self.sessions.append(session)
        self._say(session)
        return session

    def _say(self, session: Session) -> None:
        session.says(f"zq{self.tally.words:06d}part", session.computer.now())
        self.tally.words += 1

    def _hook(self, event: str, session: Session, source: str = "", fate: Fate | None = None) -> None:
        """Runs a hook; with a fate, as far as that lets it."""
        home = str(session.computer.home)
        before = read_seen(home, session.session_id) if source == "resume" else None
        begun = time.monotonic()
        process = session.computer.hook(event, session, source, fate)
        if fate is not None and not fate:
            time.sleep(self.dice.uniform(0, 0.12))
            process.kill()
        waited = waited_for_a_turn(process)
        took = time.monotonic() - begun
        out, errors = process.communicate(timeout=PATIENCE_S)
        if self._was_met(process, event if event in self._touches else "note", fate):
            return
        if not fate:
            self.tally.timed(event, took, waited)
        if process.returncode or errors or (out and event != "SessionStart"):
            self.tally.wrong.append(f"{event} ended with {process.returncode} and said {(out + errors)[:200]!r}")
        full = session.computer.disk.is_full or "room" in (fate or {})
        session.is_known |= not full
        if event == "SessionStart":
            self._check_told(out, session, before, full=full)

    def _check_told(self, out: bytes, session: Session, before: object, *, full: bool) -> None:
        try:
            ids = ids_told(told_well(out))
        except ValueError as error:
            self.tally.wrong.append(f"SessionStart said what the client does not take ({error}): {out[:200]!r}")
            return
        if len(ids) != len(set(ids)):
            self.tally.wrong.append(f"told twice in one block: {ids}")
        stamps = getattr(before, "stamps", {})
        after = read_seen(str(session.computer.home), session.session_id)
        for record_id in ids if after is not None and not full else ():
            if stamps.get(record_id, -1) >= after.stamps.get(record_id, 0):
                self.tally.wrong.append(f"told again in a session that goes on: {record_id}")
        self.tally.wrong += [
            f"told, though forgotten: {one}" for one in ids if one in self.forgotten and not self._away
        ]

    def _was_met(self, process: subprocess.Popen[bytes], kind: str, fate: Fate | None) -> bool:
        """Whether a process that was to be killed died of it; how many touches such a process makes is learned."""
        if fate is None or "room" in fate:
            return False
        met = process.returncode == -signal.SIGKILL
        self.tally.ended[f"{kind} {'killed' if met else 'done'}"] += 1
        self._learn(kind, fate, met=met)
        return met

    def _learn(self, kind: str, fate: Fate, *, met: bool) -> None:
        if fate.get("touch"):
            kind = f"{kind} {CHANGES}" if fate.get(CHANGES) else kind
            most = self._touches[kind]
            self._touches[kind] = max(most, fate["touch"] + 1 + most // 10) if met else max(4, most - 1 - most // 10)

    def _sync(self, computer: Computer, fate: Fate | None = None) -> int:
        process = computer.sync(fate)
        if fate is not None and not fate:
            self._kill_soon(process, 2.0)
        code = self._ended(process)
        self._was_met(process, "drain", fate)
        return code

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        _, errors = process.communicate(timeout=PATIENCE_S)
        code = process.returncode
        self.tally.exits[code] += 1
        if code not in ENDS:
            self.tally.wrong.append(f"a drain ended with {code} and said {errors[-300:].decode()}")
        return code

    def _kill_soon(self, process: subprocess.Popen[bytes], within: float) -> None:
        timer = threading.Timer(self.dice.uniform(0, within), process.kill)
        timer.daemon = True
        timer.start()

    def _deadly(self, kind: str) -> Fate:
        """A death at a random touch, or at a change, each in its turn; or, told by an empty fate, after a random time."""
        way = self.dice.choice(["time", "touch", "touch", CHANGES, CHANGES])
        if way == "time":
            return {}
        if way == CHANGES:
            self._turns[kind] += 1
            touch = 1 + self._turns[kind] % self._touches[f"{kind} {CHANGES}"]
        else:
            touch = self.dice.randint(1, self._touches[kind])
        return {"touch": touch, "after": self.dice.random() < 0.5, CHANGES: way == CHANGES}

    def _held(self, computer: Computer) -> tuple[subprocess.Popen[bytes], bool]:
        """A drain that stands still at a random touch, and whether it does: it may have been done before."""
        fate: Fate = {**self._deadly("drain"), "holds": True}
        fate.setdefault("touch", 1)
        process = computer.sync(fate)
        holds = stands_still(process)
        self.tally.ended[f"drain {'held' if holds else 'done'}"] += 1
        self._learn("drain", fate, met=holds)
        return process, holds

    # --- what goes wrong -------------------------------------------------------------------------------------------

    def _quiet(self, session: Session) -> None:
        self._hook(self.dice.choice(NOTES), session)

    def _killed_hook(self, session: Session) -> None:
        if self.dice.random() < 0.5:
            # Killed from its first moment on: perhaps no hook of it ever ends.
            session = self._new()
            self._hook("SessionStart", session, fate=self._deadly("SessionStart"))
        event = self.dice.choice(NOTES)
        self._hook(event, session, fate=self._deadly("note"))

    def _killed_drain(self, session: Session) -> None:
        self._hook(self.dice.choice(NOTES), session)
        self._sync(session.computer, self._deadly("drain"))
        if self.dice.random() < 0.3:
            time.sleep(self.dice.uniform(0, 1.0))
            for drain in self.nursery.orphans():
                os.kill(drain, signal.SIGKILL)  # not reaped yet: the id is still its own

    def _killed_server(self, session: Session) -> None:
        """The server of a client, asked by the prompt hook and draining beside it, until it is killed or done."""
        self._hook("Stop", session)
        fate = self._deadly("server")
        wire = session.computer.serve(fate)
        if not fate:
            self._kill_soon(wire.process, 3.0)  # type: ignore[arg-type]
        try:
            with suppress(AssertionError, OSError, queue.Empty):
                wire.handshake()
                other = self.dice.choice(self.sessions).session_id
                prompt = f"What of the part {self.dice.choice(session.words)}?"
                wire.call(
                    "prompt_context", modern=False, prompt=prompt, session_id=other, cwd=str(session.computer.folder)
                )
                until = time.monotonic() + 4
                while session.computer.is_behind() and wire.process.poll() is None and time.monotonic() < until:
                    time.sleep(0.02)
                if code := wire.hang_up():
                    self.tally.wrong += [f"the server ended with {code}"] if code != -signal.SIGKILL else []
            wire.process.wait(PATIENCE_S)
            self._was_met(wire.process, "server", fate)  # type: ignore[arg-type]
        finally:
            wire.close()

    def _killed_import(self, session: Session) -> None:
        """Of sessions that were over before the plugin came; beside a drain, now and then."""
        for _ in range(self.dice.randint(1, 4)):
            self._say(self._new(session.computer, is_older=True))
        self._hook(self.dice.choice(NOTES), session)
        fate = self._deadly("import")
        process = session.computer.imports(fate)
        if not fate:
            self._kill_soon(process, 3.0)
        self._ended(process)
        self._was_met(process, "import", fate)

    def _two_drains(self, session: Session) -> None:
        """One stands still in the middle, another comes; a third may be on its way, started by the session's end."""
        self._hook(self.dice.choice(NOTES), session)
        first, holds = self._held(session.computer)
        second = session.computer.sync()
        time.sleep(self.dice.uniform(0, 1.5) if holds else 0)
        goes_on(first)
        self._ended(first)
        self._ended(second)

    def _hook_beside_a_drain(self, session: Session) -> None:
        self._hook("Stop", session)
        drain, _ = self._held(session.computer)
        self._say(session)
        if self.dice.random() < 0.8:
            self._hook(self.dice.choice(NOTES), session)
        if self.dice.random() < 0.3:
            drain.kill()
        goes_on(drain)
        self._ended(drain)

    def _full_disk(self, session: Session) -> None:
        """The disk of the data directory is full, or no file grows past a size."""
        computer = session.computer
        if computer.disk.is_own and self.dice.random() < 0.6:
            computer.disk.fill(self.dice)
            try:
                self._hook(self.dice.choice(["SessionStart", *NOTES]), session)
                self._sync(computer)
                self.nursery.wait(PATIENCE_S)
            finally:
                computer.disk.make_room()
            return
        fate: Fate = {"room": self.dice.choice([0, 0, 100, 5_000, 200_000])}
        self._hook(self.dice.choice(["SessionStart", *NOTES]), session, fate=fate)
        self._sync(computer, fate)

    def _goes_away(self, session: Session) -> None:
        self._away = AWAY_ROUNDS
        if self.proxy is not None:
            self.dice.choice([self.proxy.refuse, self.proxy.fall_silent, self.proxy.swallow])()
        elif self.dice.random() < 0.5:
            self._locked = sqlite3.connect(self._file, isolation_level=None, timeout=30)
            self._locked.execute("BEGIN EXCLUSIVE")
        else:
            self._file.rename(self._file.with_suffix(".elsewhere"))
        self._hook("SessionStart", session, "resume")
        self._hook("SessionEnd", session)
        self._sync(session.computer)

    def _set_back(self, session: Session) -> None:
        """Before the hook, or between it and the drain; and now and then it is set right again."""
        back = self.dice.choice([60, HOUR_S, 24 * HOUR_S])
        computer = session.computer
        early = self.dice.random() < 0.5
        computer.shift_s -= back if early else 0
        self._say(session)
        self._hook(self.dice.choice(NOTES), session)
        computer.shift_s -= 0 if early else back
        self._sync(computer)
        if self.dice.random() < 0.5:
            computer.shift_s = 0
            self._say(session)
            self._hook("Stop", session)

    def _forgotten(self, session: Session) -> None:
        """A record is forgotten, now and then while a drain is about to keep its session again."""
        self._hook("Stop", session)
        self._sync(session.computer)
        drain, held = None, False
        if self.dice.random() < 0.5:
            self._say(session)
            self._hook("Stop", session)
            drain, held = self._held(session.computer)
        try:
            self._forget(session)
        except Unavailable:  # the drain stands still with what is asked for in its hand
            if not held:
                raise
        finally:
            if drain is not None:
                goes_on(drain)
                self._ended(drain)
        self._say(session)
        self._hook("Stop", session)

    def _forget(self, session: Session) -> None:
        app = build(session.computer.settings)
        try:
            person = app.identity.actor(app.identity.login(PERSON, PASSWORD))
            for word in session.words[-2:]:
                for hit in app.context.recall(person, word, Filters(kind=SESSION)).hits:
                    record = app.context.get(person, hit.record_id)
                    if word not in record.body_person or record.session_id != session.session_id:
                        continue
                    whose = next(
                        one
                        for one in self.sessions
                        if (one.computer.name, one.session_id) == (record.machine_name, record.session_id)
                    )
                    app.context.forget(person, record.record_id, "to test")
                    whose.is_forgotten = True
                    self.forgotten[record.record_id] = word
        finally:
            app.close()

    def _resumed(self, session: Session) -> None:
        """The session goes on elsewhere with all that it holds; from then on both go on, in one round or in others."""
        self._hook("Stop", session)
        twin = next(
            (
                one
                for one in self.sessions
                if one.session_id == session.session_id and one.computer is not session.computer
            ),
            None,
        )
        if twin is None:
            twin = session.resumed_on(next(one for one in self.there if one is not session.computer))
            self.sessions.append(twin)
            self._hook("SessionStart", twin, "resume")
        for one in self.dice.sample([session, twin], 2):
            self._say(one)
        drains = []
        for one in self.dice.sample([session, twin], 2):
            self._hook(self.dice.choice(NOTES), one)
            drains.append(one.computer.sync())
        for drain in drains:
            self._ended(drain)

    def _killed_database(self, session: Session) -> None:
        self._hook("Stop", session)
        assert self.server is not None
        drain, _ = self._held(session.computer)
        self.server.kill()
        self._hook("SessionStart", session, "resume")
        if self.dice.random() < 0.5:
            goes_on(drain)
        self._start_server()
        goes_on(drain)
        self._ended(drain)

    def _full_database(self, session: Session) -> None:
        """The server's disk takes nothing any more, until its administrator has found a larger one."""
        assert self.server is not None
        server, size = self.server, 1 << 20
        server.execute("CREATE TABLE IF NOT EXISTS filler (piece LONGBLOB)", database=self.database)
        while size > 1 << 12:
            try:
                server.execute("INSERT INTO filler VALUES (REPEAT('x', %s))", [size], database=self.database)
            except pymysql.err.Error:
                size //= 2
        try:
            self._hook("SessionStart", session, "resume")
            self._hook(self.dice.choice(NOTES), session)
            self._sync(session.computer)
            self.nursery.wait(PATIENCE_S)
        finally:
            server.kill()
            server.room_mb += MORE_ROOM_MB
            self._start_server()
            server.execute("DROP TABLE filler", database=self.database)

    # --- and goes on -----------------------------------------------------------------------------------------------

    @property
    def _file(self) -> Path:
        return self.there[0].home / "claudetools.db"

    def _start_server(self) -> None:
        assert self.server is not None
        self.server.start()
        for process in self.server.processes:
            self.nursery.ours(process)

    def _time_passes(self) -> None:
        """Twenty minutes for everybody, while the database is away; at last it is back."""
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
        if (elsewhere := self._file.with_suffix(".elsewhere")).exists():
            elsewhere.rename(self._file)

    def _settle(self) -> None:
        """All is well: everything is drained, and sessions of which no hook ever told are gone on with."""
        self.nursery.wait(PATIENCE_S)
        for computer in self.there:
            computer.shift_s = LATER_S
            self._last_sync(computer)
        for session in self.sessions:
            if not (session.is_known or session.is_forgotten or session.is_older):
                self.tally.unknown += 1
                self._hook("Stop", session)
        for computer in self.there:
            if self._ended(computer.imports()):
                self.tally.wrong.append(f"the import of {computer.name} did not end well")
        for computer in self.there:
            self._hook("SessionStart", Session(computer, str(uuid.uuid4())))
            self._last_sync(computer)

    def _last_sync(self, computer: Computer) -> None:
        if code := self._sync(computer):
            self.tally.wrong.append(f"the last drain of {computer.name} ended with {code}")


def run(kind: str, rounds: int, seed: int, told: Callable[[int], None] = lambda _: None, *, only: str = "") -> Tally:
    """Plays rounds on a database of a kind (`sqlite` or `mariadb`) of its own; only faults whose names hold `only`."""
    place = Path(tempfile.mkdtemp(prefix="claudetools-faults-"))
    try:
        if kind == "sqlite":
            with Nursery() as nursery, computers(place, None, nursery.ours) as (there, _, _):
                return Rounds(there, seed, nursery, only=only).play(rounds, told)
        with (
            MariaDB(durable=True, room_mb=ROOM_MB) as server,
            Nursery() as nursery,
            computers(place, server, nursery.ours) as (there, proxy, name),
        ):
            return Rounds(there, seed, nursery, proxy=proxy, server=server, database=name, only=only).play(rounds, told)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    """By hand, with any number."""
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # disks and servers are taken away all the same
    kind = sys.argv[1]
    rounds, seed = (int(word) for word in [*sys.argv[2:4], "1"][:2])
    only = "".join(sys.argv[4:])
    tally = run(kind, rounds, seed, lambda number: print(number, end=" ", flush=True), only=only)
    print(f"\n{rounds} rounds on {kind} with seed {seed}", *tally.lines(), sep="\n")


if __name__ == "__main__":
    main()
