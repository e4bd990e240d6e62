"""The product's own memory, for measuring: transcripts in through its spool and drain, questions through its recall."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from benchmarks.memory.questions import Question, Told
from benchmarks.store import agent, store
from domain.actors import Actor
from domain.context import ContextRecord, Filters
from hooks import shelf, spool
from hooks.project import identify
from mcp_server.bootstrap import App
from tests.kit.mariadb import MariaDB

MOST = 20
_PATIENCE_S = 60.0


class Memory:
    """One installation whose sessions are captured and asked for, each in the folder of its repository.

    Sessions without a repository are asked for without a place.
    """

    def __init__(self, app: App, place: Path) -> None:
        self.app = app
        self._place = place
        self._actor: Actor = agent(app)
        self._now = app.work.clock
        self._names: dict[str, str] = {}
        self.prompted: list[tuple[Question, list[str]]] = []

    def folder(self, repo: str, branch: str = "") -> Path:
        """The folder of a repository, with a branch checked out."""
        made = self._place / (repo.replace("/", "+") or "pool")
        git = made / ".git"
        git.mkdir(parents=True, exist_ok=True)
        (git / "HEAD").write_text(f"ref: refs/heads/{branch or 'main'}\n", encoding="utf-8")
        (git / "config").write_text(
            f'[remote "origin"]\n\turl = https://git.example/{repo or "pool"}.git\n', encoding="utf-8"
        )
        return made

    def keep(self, *told: Told) -> None:
        """Captures sessions: the note that a hook would leave, and a drain.  Raises RuntimeError where one is not kept."""
        for one in told:
            folder = str(self.folder(one.repo, one.branch))
            spool.put(
                str(self.app.settings.home),
                identify(folder, self.app.settings.machine_id),
                session_id=one.name,
                transcript_path=str(one.path),
                folder=folder,
                client="",
                event="SessionEnd",
            )
        done = self.app.capture.drain()
        if done.waiting or done.set_aside or done.troubles:
            raise RuntimeError(f"not all was captured: {done}")

    def records(self) -> dict[str, ContextRecord]:
        """What is kept, by the names of sessions."""
        with self.app.work.reading(None) as unit:
            return {record.session_id: record for _, record in unit.context.below(None, 100_000)}

    def ask(self, question: Question, most: int = MOST) -> tuple[list[str], float]:
        """The names of the sessions that recall answers with, best first, and the milliseconds that took."""
        where = str(self.folder(question.repo, question.branch)) if question.repo else ""
        with self._at(question.at_us):
            begun = time.perf_counter()
            asked = Filters(project="." if where else "")
            hits = self.app.context.recall(self._actor, question.text, asked, cwd=where, limit=most).hits
            taken = (time.perf_counter() - begun) * 1000
        return [self._name(hit.record_id) for hit in hits], taken

    def prompt(self, question: Question) -> list[str]:
        """The names of the sessions of which a prompt is told; none where it is told nothing."""
        session_id = str(uuid.uuid4())
        seen = shelf.Seen({})
        seen.prompted = True
        seen.folder = str(self.folder(question.repo, question.branch))
        shelf.write_seen(str(self.app.settings.home), session_id, seen)
        with self._at(question.at_us):
            block = self.app.context.prompt(
                session_id, question.text, seen.folder, begun=time.monotonic() + _PATIENCE_S
            )
        return [self._name(word) for word in dict.fromkeys(block.split()) if word.startswith("cx_")]

    @contextlib.contextmanager
    def _at(self, at_us: int) -> Iterator[None]:
        """The time of the database is another for a while."""
        self.app.work.clock = (lambda: at_us) if at_us else self._now
        try:
            yield
        finally:
            self.app.work.clock = self._now

    def _name(self, record_id: str) -> str:
        if record_id not in self._names:
            self._names = {record.record_id: name for name, record in self.records().items()}
        return self._names.get(record_id, record_id)


@contextlib.contextmanager
def memory(server: MariaDB | None = None) -> Iterator[Memory]:
    """A memory of its own on a server, or else embedded."""
    place = Path(tempfile.mkdtemp(prefix="claudetools-bench-"))
    try:
        with store(server) as app:
            yield Memory(app, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
