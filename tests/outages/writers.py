"""Many processes that open values at once, killed at random until each has what it was to have.

python -m tests.outages.writers PROCESSES EACH [SEED]
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.mariadb import MariaDB
from tests.kit.proxy import Proxy
from tests.outages.conftest import Site, found

VICTIM = Path(__file__).parents[1] / "strongroom" / "victim.py"
SLOW_MS = 20


@dataclass
class Writer:
    """One process after the other that opens values; what it printed was handed out."""

    home: Path
    token: str
    reference: str
    acknowledged: list[str] = field(default_factory=list)
    kills: int = 0

    def write(self, each: int, dice: random.Random) -> None:
        """Goes on until there are as many as wanted; kills at random."""
        parent = subprocess.Popen(
            [sys.executable, str(VICTIM), str(self.home), self.token, self.reference],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        try:
            assert parent.stdin is not None
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"ready\n"
            while len(self.acknowledged) < each:
                parent.stdin.write(b"go\n")
                parent.stdin.flush()
                child = int(parent.stdout.readline())
                life = dice.randrange(5, max(6, min(60, each // 2)))
                while life and (line := parent.stdout.readline()) != b"dead\n":
                    assert line.startswith(b"au_"), line
                    self.acknowledged.append(line.decode().strip())
                    life -= 1
                if not life:
                    threading.Event().wait(dice.random() * 0.02)  # killed at any point of the next one
                    os.kill(child, signal.SIGKILL)
                    self.kills += 1
                    while (line := parent.stdout.readline()) != b"dead\n":
                        assert line.startswith(b"au_"), line
                        self.acknowledged.append(line.decode().strip())
        finally:
            parent.kill()
            parent.communicate()


def token_of(site: Site) -> str:
    """A token of the site's agent."""
    app = site.open()
    try:
        return app.identity.prove(app.settings.agent_secret_file.read_text())
    finally:
        app.close()


def behind(site: Site, port: int, name: str) -> Path:
    """A copy of the installation that reaches the server by another port."""
    home = site.home.with_name(name)
    shutil.copytree(site.home, home)
    for file in (home / "settings.json", home / "hooks.json"):
        file.write_text(file.read_text().replace(str(site.proxy.port), str(port)).replace(str(site.home), str(home)))
    return home


def write_at_once(site: Site, processes: int, each: int, seed: int) -> list[Writer]:
    """All at once; three of them, where there are so many, over a slow line."""
    dice = random.Random(seed)
    token = token_of(site)
    with Proxy(site.server.port) as slow:
        slow.delay(SLOW_MS)
        far = behind(site, slow.port, f"far-{seed}")
        slowly = min(3, processes - 1)
        writers = [Writer(far if number < slowly else site.home, token, site.reference) for number in range(processes)]
        trouble: list[BaseException] = []

        def run(writer: Writer, own: random.Random) -> None:
            try:
                writer.write(each, own)
            except BaseException as error:  # noqa: BLE001 - told by the caller
                trouble.append(error)

        threads = [threading.Thread(target=run, args=(one, random.Random(dice.random()))) for one in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if trouble:
        raise trouble[0]
    return writers


def wrong_with(site: Site, writers: list[Writer]) -> list[str]:
    """What is not as it must be, a line each: a lost entry, one that stands there twice, a fork, a finding."""
    said = [entry for writer in writers for entry in writer.acknowledged]
    entries = site.entries()
    lines = [f"acknowledged and lost: {entry}" for entry in set(said) - set(entries)]
    lines += ["acknowledged twice"] * (len(said) - len(set(said)))
    lines += ["an entry twice"] * (len(entries) - len(set(entries)))
    forks = site.query("SELECT chain_id, prev_hash, COUNT(*) FROM audit_entries GROUP BY 1, 2 HAVING COUNT(*) > 1")
    lines += [f"a fork in {chain}" for chain, _, _ in forks]
    return lines + [f"verify: {finding}" for finding in site.verified()]


def main() -> None:
    """By hand, with any number."""
    processes, each, seed = (int(word) for word in [*sys.argv[1:], "1"][:3])
    place = Path(tempfile.mkdtemp(prefix="claudetools-writers-"))
    try:
        with MariaDB(durable=True) as server, Proxy(server.port) as proxy:
            site = found(place, server, proxy)
            begun = time.monotonic()
            writers = write_at_once(site, processes, each, seed)
            took = time.monotonic() - begun
            number, kills = sum(len(one.acknowledged) for one in writers), sum(one.kills for one in writers)
            chains = site.query("SELECT COUNT(*) FROM audit_chains")[0][0]
            print(
                f"{number} acknowledged in {took:.1f} s, {kills} kills, {len(site.entries())} entries, {chains} chains"
            )
            print("\n".join(wrong_with(site, writers)) or "nothing is wrong")
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
