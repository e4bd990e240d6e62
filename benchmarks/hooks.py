"""Each hook as a cold process, from spawn to exit, over a memory of 10,000 records."""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.store import store
from benchmarks.timing import Figure, processes, show
from domain.ids import new_id
from domain.recall import term_counts
from domain.text import index_tokens
from hooks.project import identify
from hooks.trust import trust
from mcp_server.bootstrap import App
from mcp_server.config import write_private
from storage.address import from_flat
from storage.context import Context, ContextRecord
from storage.transaction import begin
from tests.kit.certificates import Authority
from tests.kit.mariadb import MariaDB
from tests.kit.proxy import Proxy

RECORDS = 10_000
ON_A_SERVER = 2_000
PROJECTS = 40
RUNS = 30
FAR_MS = 40
BATCH = 50
NAMES = 300
"""Names of code in a digest, so that it is about as long as real ones."""
NEW_FOLDER = "SessionStart, not trusted"
"""A folder that nobody named on this machine: five times as many records are read, since other persons' are left out."""

_WORDS = ["deploy", "nginx", "certificate", "backup", "restore", "tenant", "mailbox", "firewall", "rule", "migrate", "schema", "index", "timeout", "retry", "gitea", "runner", "pipeline", "token", "rotate", "vpn", "switch", "printer", "license", "group", "policy", "disk", "snapshot", "replica", "query", "cache", "session", "login", "invoice", "export", "parser", "worker", "queue"]  # fmt: skip


def main() -> None:
    """Prints the tables."""
    with store() as app:
        ground = _ground(app)
        new = ground.run("SessionStart", source="startup")
        trust(str(app.settings.home), identify(str(ground.project), app.settings.machine_id))
        figures = [
            ground.run("SessionStart", source="startup"),
            Figure(NEW_FOLDER, new.samples, new.note),
            ground.run("Stop"),
            ground.run("PreCompact", trigger="auto"),
            ground.run("PostCompact", trigger="auto"),
            ground.run("SessionEnd", reason="clear"),
            ground.run("StatusLine"),
        ]
        targets = {
            "SessionStart": "<= 80 ms",
            NEW_FOLDER: "<= 80 ms",
            "Stop": "<= 40 ms",
            "PreCompact": "<= 40 ms",
            "PostCompact": "<= 40 ms",
            "SessionEnd": "<= 60 ms",
            "StatusLine": "near the floor",
        }
        show(f"hooks as cold processes, {RECORDS:,} records", ground.floor(), figures, targets)
    _on_a_server()


def _on_a_server() -> None:
    """SessionStart beside a server, and over TLS to one that is far away."""
    with tempfile.TemporaryDirectory(prefix="claudetools-bench-") as place:
        authority = Authority(Path(place))
        with MariaDB(tls=authority.sign()) as server, store(server) as app, Proxy(server.port) as proxy:
            ground = _ground(app, ON_A_SERVER)
            near = ground.run("SessionStart", source="startup")
            said = json.loads(ground.settings.read_text(encoding="utf-8"))
            through = {
                "host": "127.0.0.1",
                "port": proxy.port,
                "unix_socket": "",
                "tls": True,
                "ca": str(authority.file),
            }
            said["database"] = from_flat(said["database"]).changed(**through).flat()
            write_private(ground.settings, json.dumps(said))
            proxy.delay(FAR_MS)
            far = ground.run("SessionStart", source="startup")
            show(
                f"a session's start with its memory on MariaDB, {ON_A_SERVER:,} records",
                ground.floor(),
                [
                    Figure("beside the server", near.samples, near.note),
                    Figure(f"over TLS, {FAR_MS} ms away", far.samples, far.note),
                ],
                {
                    "beside the server": "<= 110 ms",
                    f"over TLS, {FAR_MS} ms away": f"<= 60 ms + 7 round trips = {60 + 7 * FAR_MS} ms",
                },
            )


@dataclass(frozen=True, slots=True)
class Ground:
    """A project with a memory, on which hooks are run."""

    project: Path
    transcript: Path
    settings: Path

    def run(self, event: str, **said: str) -> Figure:
        """One hook, many times, each a process of its own."""
        return processes(
            event,
            [sys.executable, "-I", "-m", "hooks", event, str(self.settings)],
            runs=RUNS,
            stdin=_input(self.transcript, self.project, event, said),
            cwd=self.project,
            env={"PATH": os.environ["PATH"], "HOME": str(self.project), "CLAUDE_PROJECT_DIR": str(self.project)},
        )

    def floor(self) -> Figure:
        """The same processes with nothing in them."""
        return processes("the bare interpreter", [sys.executable, "-I", "-c", "pass"], runs=RUNS, cwd=self.project)


def _ground(app: App, records: int = RECORDS) -> Ground:
    project = app.settings.home.parent / "project"
    _repository(project)
    fill(app, identify(str(project), app.settings.machine_id).project_id, records)
    transcript = project / "transcript.jsonl"
    transcript.write_text("{}\n", encoding="utf-8")
    return Ground(project, transcript, app.settings.hooks_settings_file)


def _input(transcript: Path, project: Path, name: str, said: dict[str, str]) -> Callable[[int], bytes]:
    def make(run: int) -> bytes:
        event = {
            "session_id": f"00000000-0000-4000-8000-{run:012d}",
            "transcript_path": str(transcript),
            "cwd": str(project),
            "hook_event_name": name,
            **said,
        }
        return json.dumps(event).encode() + b"\n"

    return make


def _repository(project: Path) -> None:
    git = project / ".git"
    git.mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/feature\n", encoding="utf-8")
    (git / "config").write_text('[remote "origin"]\n\turl = https://git.example.org/acme/site.git\n', encoding="utf-8")


def fill(app: App, project_id: str, records: int = RECORDS) -> None:
    """Writes made-up records, one in forty of the measured project, as capture would."""
    chance = random.Random(7)  # the same memory in every run
    now = app.work.clock()
    for start in range(0, records, BATCH):
        with begin(app.engine, write=True) as transaction:
            context = Context(transaction.connection)
            for number in range(start, min(start + BATCH, records)):
                context.keep(_record(app, chance, number, project_id, now))
            transaction.commit()


def _record(app: App, chance: random.Random, number: int, project_id: str, now: int) -> ContextRecord:
    person = " ".join(chance.choices(_WORDS, k=30))
    rest = " ".join(chance.choices(_WORDS, k=300))
    said, other = index_tokens(person), index_tokens(rest)
    names = " ".join(f"{chance.choice(_WORDS)}_{number}_{at}" for at in range(NAMES))
    at_us = now - number * 60_000_000
    return ContextRecord(
        record_id=new_id("cx"),
        kind="session",
        title=person[:60],
        digest=f"Asked: {person}\nOutcome: {rest[:300]}\nEdited: src/app_{number}.py\nNames: {names}",
        created_us=at_us,
        updated_us=at_us,
        session_key=f"{app.settings.machine_id}:{number}",
        project=project_id if number % PROJECTS == 0 else f"project-{number % PROJECTS}",
        machine_id=app.settings.machine_id,
        machine_name=app.settings.machine_name,
        session_id=str(number),
        outcome=rest[:200],
        transcript_size=1000,
        raw_tokens=58_000,
        digest_tokens=900,
        person_length=len(said),
        rest_length=len(other),
        terms=term_counts(said, other),
        body_person=person,
        body_rest=rest,
    )
