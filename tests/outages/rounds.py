"""Random rounds of work in which something is killed or the line fails, and what must hold after all of them.

python -m tests.outages.rounds ROUNDS [SEED]
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kit.mariadb import MariaDB
from tests.kit.proxy import Proxy
from tests.outages.conftest import Site, found
from tests.server.conftest import Wire

STATEMENTS = ("INSERT INTO audit", "EXECUTE claudetools_entry", "COMMIT", "SELECT", "START", "INSERT INTO context")
DRAIN = "kill -9 of the drain"
HALF = 0.5
LATE_S = 2.5
"""What takes a running server longer is noted.  The first call of a process is not measured: it waits for its start."""


@dataclass
class Tally:
    """What happened."""

    faults: Counter[str] = field(default_factory=Counter)
    acknowledged: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    sessions: list[str] = field(default_factory=list)
    late: list[tuple[str, float]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Rounds:
    """Plays them on one vault.  `longest` is how many seconds a round goes on after its fault."""

    def __init__(self, site: Site, seed: int, *, longest: float = 2.0) -> None:
        self.site = site
        self.dice = random.Random(seed)
        self.longest = longest
        self.tally = Tally()
        self._wire: Wire | None = None
        self._drain: subprocess.Popen[bytes] | None = None
        self.faults: dict[str, Callable[[], object]] = {
            "kill -9 of the server process": self._kill_server,
            "kill -9 of the client": self._hang_up,
            DRAIN: lambda: self._drain and self._drain.kill(),
            "kill -9 of MariaDB": self._restart,
            "the port is closed": site.proxy.refuse,
            "the line falls silent": site.proxy.fall_silent,
            "nobody is connected": site.proxy.swallow,
            "connections break": site.proxy.break_all,
            "a statement is cut off": self._cut,
            "the line is slow": lambda: site.proxy.delay(self.dice.choice((40, 200))),
        }

    @property
    def wire(self) -> Wire:
        """The server process: the one that has lived so long, or a new one."""
        if self._wire is None or self._wire.process.poll() is not None or self._wire.process.stdin.closed:
            self.close()
            self._wire = Wire(self.site.home)
        return self._wire

    def close(self) -> None:
        """Ends the server process."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def play(self, rounds: int, told: Callable[[int], None] = lambda _: None) -> Tally:
        """Plays so many rounds, each fault about as often as the others, and looks at what they left."""
        for number in range(rounds):
            names = [name for name in self.faults if self.tally.faults[name] <= min(self._counts())]
            self._round(number, self.dice.choice(names))
            told(number + 1)
        self.close()
        self.look()
        return self.tally

    def _counts(self) -> list[int]:
        return [self.tally.faults[name] for name in self.faults]

    def _round(self, number: int, fault: str) -> None:
        site, dice, tally = self.site, self.dice, self.tally
        tally.faults[fault] += 1
        session = f"{number:08d}-0000-4000-8000-{dice.getrandbits(48):012x}"
        transcript = site.transcript(
            session, f"Please repair thing number {number}: it fails under load", f"Thing {number} is repaired."
        )
        wire = self.wire
        if site.hook("Stop", session, transcript) != (0, b"", b""):
            tally.wrong.append(f"{fault}: the Stop hook ended in trouble")
        tally.sessions.append(session)
        self._drain = site.sync(start=True) if fault == DRAIN or dice.random() < HALF else None
        strike = threading.Timer(dice.uniform(0, 0.3), self.faults[fault])
        try:
            self._ask(wire, fault, strike)
        finally:
            if strike.ident is not None:
                strike.join()
            self._start(fault, session, transcript)
            if self._drain is not None and dice.random() < HALF:
                self._drain.kill()
            site.proxy.pass_on()
            if self._drain is not None:
                self._drain.wait()

    def _ask(self, wire: Wire, fault: str, strike: threading.Timer) -> None:
        """Opens values until the round is over or the server process is gone.  The fault comes after the first answer."""
        until = 0.0
        while True:
            begun = time.monotonic()
            answer = self._reveal(wire)
            if answer is None:
                return
            if answer.get("isError"):
                error: dict[str, Any] = answer["structuredContent"]["error"]
                self.tally.refused[f"{error['code']}: {error['message']}"] += 1
                if error["code"] != "unavailable":
                    self.tally.wrong.append(f"{fault}: {error['code']}: {error['message']}")
            else:
                self.tally.acknowledged.append(answer["structuredContent"]["entry"])
            took = time.monotonic() - begun
            if not until:
                strike.start()
                until = time.monotonic() + self.dice.uniform(0.15, 1) * self.longest
            elif took > LATE_S:
                self.tally.late.append((fault, round(took, 2)))
            if time.monotonic() > until and not strike.is_alive():
                return

    def _reveal(self, wire: Wire) -> dict[str, Any] | None:
        arguments = {"reference": self.site.reference, "purpose": "to test"}
        try:
            begun = wire.begin("tools/call", {"name": "credential_reveal", "arguments": arguments})
            answer: dict[str, Any] = wire.answer(begun)["result"]  # type: ignore[assignment]
        except (AssertionError, OSError, ValueError):  # it is gone, or its pipe is
            return None
        return answer

    def _start(self, fault: str, session: str, transcript: Path) -> None:
        """A session that starts just now."""
        code, said, errors = self.site.hook("SessionStart", f"{session}-next", transcript, source="startup")
        if code or errors or (said and not isinstance(json.loads(said), dict)):
            self.tally.wrong.append(f"{fault}: the SessionStart hook ended with {code}")

    def _kill_server(self) -> None:
        if self._wire is not None:
            self._wire.process.kill()
            self._wire.process.wait()

    def _hang_up(self) -> None:
        """What the server process sees of a client that was killed."""
        if self._wire is not None:
            self._wire.process.stdin.close()

    def _restart(self) -> None:
        self.site.server.kill()
        self.site.server.start()

    def _cut(self) -> None:
        self.site.proxy.cut(self.dice.choice(STATEMENTS), self.dice.choice(("before", "within", "after")), keep=20)

    def look(self) -> None:
        """Notes what is missing, double, or wrong with the log, now that all is well."""
        site, tally = self.site, self.tally
        site.proxy.pass_on()
        if code := site.sync():
            tally.wrong.append(f"the last drain ended with {code}")
        entries = Counter(site.entries())
        tally.wrong += [f"acknowledged and lost: {one}" for one in tally.acknowledged if one not in entries]
        tally.wrong += [f"twice in the log: {one}" for one, times in entries.items() if times > 1]
        records = Counter(one for (one,) in site.query("SELECT session_id FROM context_records WHERE state = 'active'"))
        tally.wrong += [f"never recorded: {one}" for one in tally.sessions if one not in records]
        tally.wrong += [f"recorded twice: {one}" for one, times in records.items() if times > 1]
        counted = dict(site.query("SELECT term, documents FROM context_frequencies WHERE term = '#records'"))
        if int(counted["#records"]) != records.total():
            tally.wrong.append(f"{records.total()} records, and the statistics speak of {counted['#records']}")
        tally.wrong += [f"verify: {finding}" for finding in site.verified()]


def main() -> None:
    """By hand, with any number."""
    rounds, seed = (int(word) for word in [*sys.argv[1:], "1"][:2])
    place = Path(tempfile.mkdtemp(prefix="claudetools-rounds-"))
    try:
        with MariaDB(durable=True) as server, Proxy(server.port) as proxy:
            played = Rounds(found(place, server, proxy), seed)
            tally = played.play(rounds, lambda number: print(number, end=" ", flush=True))
            print(f"\n{rounds} rounds with seed {seed}:", dict(tally.faults))
            print(f"{len(tally.acknowledged)} acknowledged; {tally.refused.total()} refused:", dict(tally.refused))
            print(f"{len(tally.late)} answers after more than {LATE_S} s:", tally.late)
            print("\n".join(tally.wrong) or "nothing is missing, nothing is double, and verify is well")
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
