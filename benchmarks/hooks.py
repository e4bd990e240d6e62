"""Each hook as a cold process, from spawn to exit, over a memory of 10,000 records."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.store import store
from benchmarks.timing import Figure, processes, show
from domain.ids import new_id
from domain.recall import term_counts
from domain.text import index_tokens
from hooks.project import identify
from mcp_server.bootstrap import App
from storage.context import Context, ContextRecord
from storage.transaction import begin

RECORDS = 10_000
PROJECTS = 40
RUNS = 30

_WORDS = ["deploy", "nginx", "certificate", "backup", "restore", "tenant", "mailbox", "firewall", "rule", "migrate", "schema", "index", "timeout", "retry", "gitea", "runner", "pipeline", "token", "rotate", "vpn", "switch", "printer", "license", "group", "policy", "disk", "snapshot", "replica", "query", "cache", "session", "login", "invoice", "export", "parser", "worker", "queue"]  # fmt: skip


def main() -> None:
    """Prints the table."""
    with store() as app:
        project = app.settings.home.parent / "project"
        _repository(project)
        fill(app, identify(str(project), app.settings.machine_id).project_id)
        transcript = project / "transcript.jsonl"
        transcript.write_text("{}\n", encoding="utf-8")
        env = {"PATH": os.environ["PATH"], "HOME": str(project), "CLAUDE_PROJECT_DIR": str(project)}
        settings = str(app.settings.hooks_settings_file)

        def run(event: str, **said: str) -> Figure:
            return processes(
                event,
                [sys.executable, "-I", "-m", "hooks", event, settings],
                runs=RUNS,
                stdin=_input(transcript, project, event, said),
                cwd=project,
                env=env,
            )

        floor = processes("the bare interpreter", [sys.executable, "-I", "-c", "pass"], runs=RUNS, cwd=project)
        figures = [
            run("SessionStart", source="startup"),
            run("Stop"),
            run("PreCompact", trigger="auto"),
            run("PostCompact", trigger="auto"),
            run("SessionEnd", reason="clear"),
        ]
        targets = {
            "SessionStart": "<= 80 ms",
            "Stop": "<= 40 ms",
            "PreCompact": "<= 40 ms",
            "PostCompact": "<= 40 ms",
            "SessionEnd": "<= 60 ms",
        }
        show(f"hooks as cold processes, {RECORDS:,} records", floor, figures, targets)


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
    for start in range(0, records, 500):
        with begin(app.engine, write=True) as transaction:
            context = Context(transaction.connection)
            for number in range(start, min(start + 500, records)):
                context.keep(_record(app, chance, number, project_id, now))
            transaction.commit()


def _record(app: App, chance: random.Random, number: int, project_id: str, now: int) -> ContextRecord:
    person = " ".join(chance.choices(_WORDS, k=30))
    rest = " ".join(chance.choices(_WORDS, k=300))
    said, other = index_tokens(person), index_tokens(rest)
    at_us = now - number * 60_000_000
    return ContextRecord(
        record_id=new_id("cx"),
        kind="session",
        title=person[:60],
        digest=f"Asked: {person}\nOutcome: {rest[:300]}\nFiles: src/app_{number}.py",
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
