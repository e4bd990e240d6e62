"""What a large memory costs, on each database: a session's start, recall, capture, and the disk.

Real sessions are captured by the product; from their records a memory of each size is made (`benchmarks.memory.filling`).
Records of the smallest sizes are whole; of larger ones the bodies and the rare terms are cut, for the disk's sake.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.memory.dataset import Options, Session, sessions
from benchmarks.memory.filling import BODY, NEW, RARE, Maker, Material, filler
from benchmarks.memory.memory import Memory, memory
from benchmarks.memory.questions import Told
from benchmarks.store import agent, durable_server
from benchmarks.timing import Figure, processes
from domain.actors import Subject
from domain.context import ContextRecord, Filters
from domain.ids import new_id
from hooks import shelf, trust
from hooks.project import identify
from storage.address import parse_address
from storage.context import Context
from storage.transaction import begin
from tests.kit.mariadb import MariaDB

WHOLE = 20_000
"""Up to so many records are whole."""
STARTS, ASKED, CAPTURES = 40, 60, 20
POOL_MB = 128
"""MariaDB's own default for its buffer pool, as a server that nobody tuned has it."""
SAMPLE = 400
LONGEST = 4_000
TARGETS = {
    "a session's start, a large project": 120.0,
    "a session's start, a small project": 120.0,
    "a session's start, large and not trusted": 120.0,
}
RECALL_MS, GROWTH = 60.0, 2.5


@dataclass
class Column:
    """What was measured at one size."""

    records: int
    figures: dict[str, Figure] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)


def main(options: Options) -> None:
    """Prints a table for each database."""
    real = sessions(options)
    for kind in ("sqlite", "mariadb"):
        with _database(kind) as server:
            told, records = _captured(kind, real, server)
            material = Material(records)
            _agrees(kind, material, server)
            columns = [_measured(kind, material, count, server) for count in options.scale]
        _show(kind, told, columns)


@contextlib.contextmanager
def _database(kind: str) -> Iterator[MariaDB | None]:
    if kind == "sqlite":
        yield None
        return
    with durable_server() as server:
        server.execute(f"SET GLOBAL innodb_buffer_pool_size = {POOL_MB << 20}")
        server.execute("SET GLOBAL innodb_log_file_size = 100663296")
        yield server


def _tell(kind: str, said: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {kind}: {said}", flush=True)


def _captured(kind: str, real: Sequence[Session], server: MariaDB | None) -> tuple[str, list[ContextRecord]]:
    """What capturing the real sessions cost, and their records."""
    with memory(server) as kept:
        one = [Told(str(uuid.uuid4()), session.path, session.repo, 0, "") for session in real]
        begun = time.perf_counter()
        kept.keep(*one)
        taken = time.perf_counter() - begun
        records = list(kept.records().values())
    size = sum(session.path.stat().st_size for session in real) / 1e6
    tokens = sum(record.raw_tokens for record in records)
    said = (
        f"capture of {len(records)} real sessions: {size:.0f} MB of transcripts in {taken:.0f} s, {size / taken:.1f} MB/s; "
        f"{tokens / taken / 1000:.0f} thousand tokens/s of text that the model saw"
    )
    _tell(kind, said)
    return said, records


def _agrees(kind: str, material: Material, server: MariaDB | None) -> None:
    """Raises RuntimeError where records written in bulk are indexed otherwise than by the product."""
    found: list[list[object]] = []
    for bulk in (True, False):
        with memory(server) as kept:
            now_us = kept.app.work.clock()
            made = list(Maker(material, ["git:a", "git:b"], SAMPLE, now_us, whole=True))
            if bulk:
                with filler(_place(kept), server, lambda _said: None) as fill:
                    fill.fill(material, made, SAMPLE)
            else:
                for one in made:
                    with begin(kept.app.engine, write=True) as unit:
                        Context(unit.connection).keep(one.record, is_new=True)
                        unit.commit()
            with begin(kept.app.engine, write=False) as unit:
                run = unit.connection.exec_driver_sql
                found.append(
                    [
                        sorted(
                            (term, block, bytes(held)) for term, block, held in run("SELECT * FROM context_postings")
                        ),
                        sorted(tuple(row) for row in run("SELECT term, documents FROM context_frequencies")),
                        sorted(row[0] for row in run("SELECT number FROM context_records WHERE indexed = 1")),
                    ]
                )
    if found[0] != found[1]:
        raise RuntimeError(f"{kind}: records written in bulk are indexed otherwise than by the product")
    _tell(kind, f"{SAMPLE} records written in bulk and one by one are indexed alike")


def _measured(kind: str, material: Material, count: int, server: MariaDB | None) -> Column:
    column = Column(count)
    with memory(server) as kept:
        app, whole = kept.app, count <= WHOLE
        known = [identify(str(kept.folder(name)), app.settings.machine_id) for name in ("large", "small")]
        projects = [one.project_id for one in known]
        for one in known:
            trust.trust(str(app.settings.home), one)
        now_us = app.work.clock()
        empty = _disk(kept, server)
        begun = time.perf_counter()
        if server is not None:
            server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 0")
        with filler(_place(kept), server, lambda said: _tell(kind, said)) as fill:
            fill.fill(material, Maker(material, projects, count, now_us, whole=whole), count)
        if server is not None:
            server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        gc.collect()
        _tell(kind, f"{count:,} records filled in {time.perf_counter() - begun:.0f} s")
        column.said["disk, KB a record"] = f"{(_disk(kept, server) - empty) / count / 1000:.1f}" + (
            " whole" if whole else " cut"
        )
        _starts(kept, column)
        _recalls(kept, material, column)
        _captures(kept, material, column, now_us)
        for name, figure in column.figures.items():  # a run that is cut off later has said this much
            _tell(kind, f"{count:,}: {name}: {figure.median:.1f} / {figure.p95:.1f} ms")
    return column


def _starts(kept: Memory, column: Column) -> None:
    places = {f"a {size} project": kept.folder(size, "feature-x") for size in ("large", "small")}
    places["large and not trusted"] = Path(_second_clone(kept, "large"))
    for place, folder in places.items():
        command = [sys.executable, "-I", "-m", "hooks", "SessionStart", str(kept.app.settings.hooks_settings_file)]
        name = f"a session's start, {place}"
        column.figures[name] = processes(
            name,
            command,
            runs=STARTS,
            stdin=lambda run, folder=folder: _event(run, folder),  # type: ignore[misc]  # bound at once
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "CLAUDE_PROJECT_DIR": str(folder)},
        )
    driver = "pymysql" if kept.app.engine.dialect.name != "sqlite" else "sqlite3"
    for name, code in (("floor: the interpreter", "pass"), (f"floor: with {driver}", f"import {driver}")):
        column.figures[name] = processes(name, [sys.executable, "-I", "-c", code], runs=STARTS)


def _event(run: int, folder: Path) -> bytes:
    said = {
        "session_id": f"00000000-0000-4000-8000-{run:012d}",
        "transcript_path": str(folder / "none.jsonl"),
        "cwd": str(folder),
        "hook_event_name": "SessionStart",
        "source": "startup",
    }
    return json.dumps(said).encode() + b"\n"


def _recalls(kept: Memory, material: Material, column: Column) -> None:
    app, chance = kept.app, random.Random(5)
    actor = agent(app)
    large, small = (str(kept.folder(name, "feature-x")) for name in ("large", "small"))
    strange = _second_clone(kept, "large")
    prompts = [record.body_person[:LONGEST] for record in material.records if len(record.body_person) >= 40]
    chance.shuffle(prompts)
    titles = [record.title.split() for record in material.records if len(record.title.split()) >= 4]
    short = [" ".join(chance.sample(chance.choice(titles), 3)) for _ in range(ASKED)]
    paths = [path for record in material.records for path in record.files] or ["main.go"]

    def recall(question: str, cwd: str = "", **narrowed: str) -> Callable[[], object]:
        return lambda: app.context.recall(actor, question, Filters(**narrowed), cwd=cwd)

    def prompt(question: str, cwd: str) -> Callable[[], object]:
        session_id = str(uuid.uuid4())
        seen = shelf.Seen({})
        seen.prompted, seen.folder = True, cwd
        shelf.write_seen(str(app.settings.home), session_id, seen)
        return lambda: app.context.prompt(session_id, question, cwd, owner_id=actor.owner_id)

    asked: dict[str, list[Callable[[], object]]] = {
        "a prompt, a large project": [prompt(text, large) for text in prompts],
        "a prompt, a small project": [prompt(text, small) for text in prompts],
        "recall: prompts, over all": [recall(text) for text in prompts],
        "recall: prompts, a large project": [recall(text, large, project=".") for text in prompts],
        "recall: three words, over all": [recall(text) for text in short],
        "recall: three words, a large project": [recall(text, large, project=".") for text in short],
        "recall: three words, large and not trusted": [recall(text, strange, project=".") for text in short],
        "list: large and not trusted": [recall("", strange)] * ASKED,
        "recall: three words, a person's, a month": [
            recall(text, person="person-3", since="2 months ago", until="1 month ago") for text in short
        ],
        "list: a kind and a machine": [recall("", machine=f"machine-{at % 40}", kind="session") for at in range(ASKED)],
        "list: a file": [recall("", file=chance.choice(paths)) for _ in range(ASKED)],
        "list: a tag, a branch": [recall("", tag=f"tag-{at % 50}", branch=f"feature-{at}-1") for at in range(ASKED)],
        "list: nothing narrowed": [recall("", small)] * ASKED,
    }
    for name, acts in asked.items():
        column.figures[name] = _timed(name, acts)

    def audit() -> None:
        with app.work.audited(actor, "context.recall", Subject("context"), hits=0):
            pass

    name = "of it: the audit entry of a recall"
    column.figures[name] = _timed(name, [audit] * ASKED)


def _second_clone(kept: Memory, name: str) -> str:
    """A folder that claims a project's remote and was trusted by nobody."""
    clone = kept.folder(name).parent / f"{name}-again"
    if not clone.exists():
        shutil.copytree(kept.folder(name), clone)
    return str(clone)


def _timed(name: str, acts: Sequence[Callable[[], object]]) -> Figure:
    acts = list(acts)[: ASKED + 5]
    samples = []
    for act in acts:
        begun = time.perf_counter()
        act()
        samples.append((time.perf_counter() - begun) * 1000)
    return Figure(name, tuple(samples[min(5, len(samples) - 1) :]))


def _captures(kept: Memory, material: Material, column: Column, now_us: int) -> None:
    """A new session, and the same once it has grown a little, each in its own transaction."""
    new, grown = [], []
    for one in Maker(material, ["git:a", "git:b"], CAPTURES, now_us, whole=True):
        record = replace(one.record, record_id=new_id("cx"), session_key=f"new:{one.record.session_key}")
        more = replace(
            record,
            transcript_size=record.transcript_size + 1,
            terms=record.terms + "".join(f"xgrown{word}:0,1 " for word in "abcdefgh"),
        )
        for version, samples in ((record, new), (more, grown)):
            begun = time.perf_counter()
            with begin(kept.app.engine, write=True, wait_s=60) as unit:
                Context(unit.connection).keep(version)
                unit.commit()
            samples.append((time.perf_counter() - begun) * 1000)
    column.figures["a new record written"] = Figure("new", tuple(new))
    column.figures["a grown record written again"] = Figure("grown", tuple(grown))


def _place(kept: Memory) -> str:
    settings = kept.app.settings
    address = parse_address(settings.database, base=str(settings.home))
    return address.name if address.is_mariadb else address.path


def _disk(kept: Memory, server: MariaDB | None) -> int:
    """Bytes on the disk."""
    if server is None:
        return sum(file.stat().st_size for file in Path(_place(kept)).parent.glob(f"{Path(_place(kept)).name}*"))
    return (server.place / "data" / "ibdata1").stat().st_size


def _show(kind: str, told: str, columns: Sequence[Column]) -> None:
    pool = f", buffer pool {POOL_MB} MB" if kind == "mariadb" else ""
    table = Table(title=f"{kind}{pool}: median / p95 ms", title_justify="left")
    table.add_column("what")
    for column in columns:
        table.add_column(f"{column.records:,}", justify="right")
    table.add_column("growth p50 / p95", justify="right")
    table.add_column("target")
    for name in columns[0].figures:
        row = [f"{column.figures[name].median:.1f} / {column.figures[name].p95:.1f}" for column in columns]
        growth, target = "", ""
        if len(columns) > 1:
            last, before = columns[-1].figures[name], columns[-2].figures[name]
            growth = f"{last.median / before.median:.2f} / {last.p95 / before.p95:.2f}"
        if name in TARGETS:
            target = f"p95 <= {TARGETS[name]:.0f}"
        elif name.startswith(("recall", "list", "a prompt")):
            target = f"p95 <= {RECALL_MS:.0f}, growth <= {GROWTH}"
        table.add_row(name, *row, growth, target)
    for name in columns[0].said:
        table.add_row(name, *(column.said[name] for column in columns), "", "")
    Console(width=150).print(table)
    print(told)
    print(
        f"records above {WHOLE:,}: bodies cut to {BODY} characters each, of rare terms {RARE} of the project's and {NEW} new ones; "
        "on MariaDB the index of release 0.1.0 is left out, which nothing here reads"
    )
