"""Audited decrypts beside plain one-row inserts with the same commit settings, over both databases.

The floor is what no audited act can beat: one row of an audit entry's shape, durably committed by
the bare driver, on the same server, measured in the same run and in turn with ours.
"""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pymysql
from rich.console import Console
from rich.table import Table

from benchmarks.store import agent, behind, durable_server, store, token
from benchmarks.timing import Figure, calls, show
from domain.drafts import Draft, Generate
from domain.ids import new_id
from mcp_server.bootstrap import App, build
from mcp_server.config import load_settings
from storage.schema import audit_entries
from storage.transaction import begin
from tests.kit.mariadb import MariaDB
from tests.kit.proxy import Proxy

WRITERS = (1, 4, 8)
ROUNDS = 3
EACH = 200
FAR_MS = 20
ACTS = 30
PATIENCE_S = 120

_COLUMNS = [column.name for column in audit_entries.c]
_ENTRY = (
    *("credential.decrypt", "ok", "agent", "ag_" + "a" * 26, "claude-code", "pe_" + "b" * 26, "anna"),
    *("ma_" + "c" * 26, "workbench", "5f3a1c9e-session", "agent machine owner", "direct", "cl_" + "d" * 26),
    *("credential", "cr_" + "e" * 26, "acme/gitea/admin", None, "log in to look at a failed build", 1, "x" * 900),
)


@dataclass(frozen=True, slots=True)
class Job:
    """What one writer process does: `what` is insert or reveal."""

    what: str
    home: str
    socket: str
    database: str
    password: str
    references: tuple[str, ...]
    token: str
    distinct: bool


def main() -> None:
    """Prints the tables of both databases."""
    _embedded()
    with durable_server() as server, store(server) as app:
        references = _filled(app)
        _near(server, app, references)
        _far(server, app, references)


def _filled(app: App, number: int = 20) -> tuple[str, ...]:
    person = agent(app)
    made = []
    for which in range(number):
        draft = Draft("password", f"Service {which}", client="acme", username="admin", generate=Generate())
        made.append(app.credentials.create(person, draft).description.reference)
    return tuple(made)


# ---- writers ------------------------------------------------------------------------------------------------------------


def _near(server: MariaDB, app: App, references: tuple[str, ...]) -> None:
    database = app.settings.database.rpartition("/")[2].partition("?")[0]
    table = Table(title="strongroom on MariaDB, commits flushed to disk: per second", title_justify="left")
    for column in (
        "writers",
        "plain INSERT",
        "reveal, one credential",
        "x floor",
        "of twenty, each purpose new",
        "x floor",
        "target",
    ):
        table.add_column(column, justify="right")
    common = {
        "home": str(app.settings.home),
        "socket": str(server.socket),
        "database": database,
        "password": server.passwords["root"],
        "token": token(app),
    }
    server.execute(f"CREATE TABLE `{database}`.bench_entries LIKE `{database}`.audit_entries")
    kinds = {
        "insert": Job("insert", references=(), distinct=False, **common),
        "one": Job("reveal", references=references[:1], distinct=False, **common),
        "many": Job("reveal", references=references, distinct=True, **common),
    }
    for writers in WRITERS:
        rates: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(ROUNDS):  # in turn, so that a drift of the machine meets all
            for name, job in kinds.items():
                rates[name].append(_rate(job, writers))
        floor, one, many = (statistics.median(rates[name]) for name in kinds)
        table.add_row(
            str(writers),
            f"{floor:.0f}",
            f"{one:.0f}",
            f"{one / floor:.2f}",
            f"{many:.0f}",
            f"{many / floor:.2f}",
            ">= 0.6",
        )
    Console(width=130).print(table)
    if not app.audit.verify().ok:
        raise RuntimeError("the log does not verify after the benchmark")


def _rate(job: Job, writers: int) -> float:
    context = multiprocessing.get_context("spawn")
    start, end = context.Barrier(writers + 1), context.Barrier(writers + 1)
    children = [context.Process(target=_write, args=(job, start, end)) for _ in range(writers)]
    for child in children:
        child.start()
    start.wait(PATIENCE_S)
    begun = time.perf_counter()
    end.wait(PATIENCE_S)
    taken = time.perf_counter() - begun
    for child in children:
        child.join()
        if child.exitcode:
            raise RuntimeError(f"a writer ended with {child.exitcode}")
    return writers * EACH / taken


def _write(job: Job, start: Barrier, end: Barrier) -> None:
    with (_inserting if job.what == "insert" else _revealing)(job) as act:
        for number in range(5):
            act(-1 - number)
        start.wait(PATIENCE_S)
        for number in range(EACH):
            act(number)
        end.wait(PATIENCE_S)


@contextmanager
def _inserting(job: Job) -> Iterator[Callable[[int], object]]:
    line = pymysql.connect(
        unix_socket=job.socket,
        user="root",
        password=job.password,
        database=job.database,
        charset="utf8mb4",
        autocommit=True,
        ssl_disabled=True,
    )
    marks = ", ".join(["%s"] * len(_COLUMNS))
    statement = f"INSERT INTO bench_entries ({', '.join(_COLUMNS)}) VALUES ({marks})"  # our own names
    chain = new_id("ch")
    with closing(line), line.cursor() as cursor:

        def insert(number: int) -> None:
            tail = (os.urandom(32), os.urandom(32), os.urandom(64))
            cursor.execute(statement, (chain, number, new_id("au"), time.time_ns() // 1000, *_ENTRY, *tail))

        yield insert


@contextmanager
def _revealing(job: Job) -> Iterator[Callable[[int], object]]:
    app = build(load_settings(Path(job.home)))
    try:
        actor = app.identity.actor(job.token)

        def reveal(number: int) -> None:
            which = job.references[number % len(job.references)]
            purpose = "log in to look at a failed build"
            app.credentials.reveal(actor, which, purpose=f"{purpose} {number}" if job.distinct else purpose)

        yield reveal
    finally:
        app.close()


# ---- far away -----------------------------------------------------------------------------------------------------------


def _far(server: MariaDB, app: App, references: Sequence[str]) -> None:
    """Each act through a proxy that adds a round trip of 20 ms."""
    with Proxy(server.port) as proxy:
        far = behind(app, proxy)
        try:
            actor = agent(far)
            one = references[0]
            proxy.delay(FAR_MS)
            engine = far.engine

            def trip() -> None:
                with begin(engine, write=False) as transaction:
                    transaction.connection.exec_driver_sql("SELECT 1")

            numbers = iter(range(100_000))
            fresh = iter(references[1:])
            acts: dict[str, Callable[[], object]] = {
                "reveal, seen before": lambda: far.credentials.reveal(actor, one, purpose=f"look {next(numbers)}"),
                "describe": lambda: far.credentials.describe(actor, one),
                "search": lambda: far.credentials.search(actor, "service"),
                "update": lambda: far.credentials.update(actor, one, {"username": f"user-{next(numbers)}"}),
                "rotate": lambda: far.credentials.rotate(actor, one, generate=Generate()),
                "search the audit log": lambda: far.audit.search(actor, action="credential.decrypt"),
                "recall": lambda: far.context.recall(actor, "failed build"),
                "keep a note": lambda: far.context.save(
                    actor, kind="fact", title="A note", text=f"It is {next(numbers)}"
                ),
            }
            floor = calls("one round trip", trip, runs=ACTS)
            figures = [calls(name, act, runs=ACTS) for name, act in acts.items()]
            figures.insert(1, _first(far, actor, fresh))
            show(
                f"acts at {FAR_MS} ms from the server: x floor is the number of round trips",
                floor,
                figures,
                {"reveal, seen before": "<= 2.5", "reveal, for the first time": "<= 2.5"},
            )
        finally:
            far.close()


def _first(far: App, actor: object, references: Iterator[str]) -> Figure:
    samples = []
    for reference in references:
        begun = time.perf_counter()
        far.credentials.reveal(actor, reference, purpose="look")  # type: ignore[arg-type]
        samples.append((time.perf_counter() - begun) * 1000)
    return Figure("reveal, for the first time", tuple(samples), "its versions were exposed before")


# ---- embedded -----------------------------------------------------------------------------------------------------------


def _embedded() -> None:
    with store() as app:
        actor = agent(app)
        (reference,) = _filled(app, 1)
        marks = ", ".join("?" * len(_COLUMNS))
        chain, numbers = new_id("ch"), iter(range(100_000))
        with closing(sqlite3.connect(app.settings.database_file, isolation_level=None)) as line:
            line.execute("PRAGMA synchronous=FULL")
            line.execute(f"CREATE TABLE bench_entries ({', '.join(_COLUMNS)}, PRIMARY KEY (chain_id, seq))")

            def insert() -> None:
                tail = (os.urandom(32), os.urandom(32), os.urandom(64))
                row = (chain, next(numbers), new_id("au"), time.time_ns() // 1000, *_ENTRY, *tail)
                line.execute(f"INSERT INTO bench_entries VALUES ({marks})", row)  # question marks

            floor = calls("plain INSERT by the driver", insert, runs=EACH)
            figures = [
                calls("reveal", lambda: app.credentials.reveal(actor, reference, purpose="measure"), runs=EACH),
                calls("describe", lambda: app.credentials.describe(actor, reference), runs=EACH),
                calls("search", lambda: app.credentials.search(actor, "service"), runs=EACH),
                calls("verify the whole log", app.audit.verify, runs=3),
            ]
        show("strongroom in an embedded vault", floor, figures, {})
