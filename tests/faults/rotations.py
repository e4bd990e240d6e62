"""Rounds of rotating keys that are killed at a random moment, while others read and write.

python -m tests.faults.rotations sqlite|mariadb ROUNDS [SEED [CREDENTIALS]]

Each round begins a rotation of a random level and kills it after a random time, as long as such a rotation takes at
most.  Then everything must be as well as before: the audit log and every guarded row verify, every value comes out, and
the readers were refused nothing beyond one retry.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from domain.drafts import Draft
from domain.plain import Plain
from mcp_server.bootstrap import App, build
from mcp_server.bootstrap.installation import Wanted, create, person_actor
from mcp_server.config import load_settings
from tests.faults.rotator import PERSON, rotate
from tests.kit.mariadb import MariaDB
from tests.kit.stores import Databases, OnMariaDB, OnSQLite

LEVELS = ("root", "client", "data")
CREDENTIALS = 24
READERS = 2
ROOT = Path(__file__).parents[2]


@dataclass
class Tally:
    """What happened: rotations by level that were killed and that came through, what readers saw, and what was wrong."""

    killed: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    turns: int = 0
    acts: int = 0
    once: int = 0
    wrong: list[str] = field(default_factory=list)


def run(database: Databases, place: Path, rounds: int, seed: int, credentials: int = CREDENTIALS) -> Tally:
    """Plays the rounds on a new vault."""
    home = place / "home"
    create(
        Wanted(
            home=home,
            person=PERSON,
            password=lambda: Plain("correct horse battery"),
            deliver=lambda _key: None,
            **database.asked(),
        ),
        lambda _step: None,
    )
    with closing(build(load_settings(home))) as app:
        _fill(app, credentials)
        longest = {level: _timed(app, level) for level in LEVELS}
    tally = Tally()
    dice = random.Random(seed)
    rotator = _started("rotate", str(home))
    readers = [_started("read", str(home), str(number)) for number in range(READERS)]
    try:
        for number in range(rounds):
            level = dice.choice(LEVELS)
            for reader in readers:
                _tell(reader, "go")
            _round(rotator, level, longest, dice, tally, number)
            for reader in readers:
                _tell(reader, "rest")
                assert reader.stdout is not None
                assert reader.stdout.readline() == b"rests\n"
            with closing(build(load_settings(home))) as app:
                tally.wrong += _looked(app, f"round {number} ({level})")
            if tally.wrong:
                break
    finally:
        rotator.kill()
        rotator.communicate()
        for reader in readers:
            out, _ = reader.communicate()
            said = json.loads(out.splitlines()[-1]) if reader.returncode == 0 else {}
            tally.acts += said.get("acts", 0)
            tally.once += said.get("once", 0)
            tally.wrong += said.get("wrong", ["a reader ended by itself"])
    with closing(build(load_settings(home))) as app:
        actor = person_actor(app, PERSON)
        # At the end all that is unfinished ends, and nothing is left under an older key.
        rotate(app, "client")
        if app.keys.unfinished(actor) is not None:
            tally.wrong.append("a run does not end")
        tally.wrong += _looked(app, "at the end")
        with app.work.reading(actor) as unit:
            tally.turns = unit.rekeying.generation() or 0
    return tally


def _fill(app: App, credentials: int) -> None:
    actor = person_actor(app, PERSON)
    for number in range(credentials):
        client = f"client{number % 4}"
        reference = f"{client}/wiki/user-{number}"
        values = {"password": Plain(f"value of {reference}")}
        draft = Draft("password", "Wiki", client=client, username=f"user {number}", values=values)
        assert app.credentials.create(actor, draft).description.reference == reference
    for number in range(READERS):
        draft = Draft("password", "Own", client="reader", username=str(number), values={"password": Plain("the first")})
        app.credentials.create(actor, draft)


def _timed(app: App, level: str) -> float:
    begun = time.monotonic()
    rotate(app, level)
    return time.monotonic() - begun


def _started(*what: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.rotator", *what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def _tell(process: subprocess.Popen[bytes], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())
    process.stdin.flush()


def _round(
    rotator: subprocess.Popen[bytes],
    level: str,
    longest: dict[str, float],
    dice: random.Random,
    tally: Tally,
    number: int,
) -> None:
    _tell(rotator, level)
    assert rotator.stdout is not None
    child = int(rotator.stdout.readline())
    # Opening the vault comes before, and beside readers everything takes longer.
    threading.Event().wait(dice.random() * (longest[level] * 1.5 + 0.2))
    with suppress(ProcessLookupError):  # it came through
        os.kill(child, signal.SIGKILL)
    said = ""
    while (line := rotator.stdout.readline().decode().strip()) != "dead":
        if not line:
            tally.wrong.append(f"round {number}: the rotator ended")
            return
        said = line
    if said.startswith("done failed"):
        tally.wrong.append(f"round {number}: {level}: {said}")
    elif said:
        tally.done[said.removeprefix("done ")] += 1
    else:
        tally.killed[level] += 1


def _looked(app: App, when: str) -> list[str]:
    """What is wrong now: with the audit log, a guarded row, or a value."""
    wrong = [f"{when}: {one.verdict} {one.where}: {one.what}" for one in app.audit.verify().findings]
    with app.work.steady() as unit:
        fields = list(unit.credentials.every_sealed())
        blinds = unit.rekeying.blinds()
    for sealed in fields:
        place = (sealed.credential_id, sealed.version, sealed.field)
        opened = list(app.keyring.unseal_for_matcher(_free(), [sealed]))
        if not opened:
            wrong.append(f"{when}: {sealed.reference}, version {sealed.version} does not open")
        elif app.keyring.blind(opened[0][1]) != blinds.get(place):
            wrong.append(f"{when}: the blind index of {sealed.reference} is another's")
    return wrong


def _free() -> object:
    """A ticket for looking behind the product."""
    from domain.audit import BulkTicket, Receipt

    return BulkTicket(Receipt("", "", 0, b""), 1)


def main() -> None:
    """Plays as many rounds as asked."""
    kind, rounds = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    credentials = int(sys.argv[4]) if len(sys.argv) > 4 else CREDENTIALS
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            tally = run(OnSQLite(), Path(folder), rounds, seed, credentials)
        else:
            with MariaDB() as server:
                tally = run(OnMariaDB(server), Path(folder), rounds, seed, credentials)
    print(tally)
    sys.exit(bool(tally.wrong))


if __name__ == "__main__":
    main()
