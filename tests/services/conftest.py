"""An installation, a project folder, and sessions whose transcripts the client wrote."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hooks import shelf, spool
from hooks.project import identify
from mcp_server.bootstrap import App
from tests.kit.stores import Databases
from tests.strongroom.vault import Template, Vault, copy_home, make_template


@dataclass
class Session:
    """One Claude Code session in a folder: what is said is in its transcript at once."""

    place: Place
    folder: Path
    session_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    calls: int = 0

    @property
    def transcript(self) -> Path:
        """Its transcript file."""
        return self.place.projects / f"{self.session_id}.jsonl"

    def write(self, *rows: object) -> None:
        """Appends rows, as the client does."""
        with self.transcript.open("a") as out:
            for row in rows:
                out.write(json.dumps(row) + "\n")

    def ask(self, text: str) -> None:
        """A prompt."""
        self.write(
            {"type": "user", "message": {"content": text}, "timestamp": self.place.tick(), "cwd": str(self.folder)}
        )

    def say(self, text: str) -> None:
        """An answer."""
        self.write(
            {
                "type": "assistant",
                "message": {"content": [{"type": "text", "text": text}]},
                "timestamp": self.place.tick(),
            }
        )

    def call(self, tool: str, outcome: str = "ok", failed: bool = False, **given: object) -> None:
        """A tool call and its result."""
        self.calls += 1
        call = f"t{self.calls}"
        used = {"type": "tool_use", "id": call, "name": tool, "input": given}
        back = {"type": "tool_result", "tool_use_id": call, "content": outcome, "is_error": failed}
        self.write(
            {"type": "assistant", "message": {"content": [used]}, "timestamp": self.place.tick()},
            {"type": "user", "message": {"content": [back]}, "timestamp": self.place.tick()},
        )

    def note(self, event: str = "Stop") -> None:
        """What the Stop hook leaves."""
        spool.put(
            self.place.home,
            identify(str(self.folder), self.place.machine_id),
            session_id=self.session_id,
            transcript_path=str(self.transcript),
            folder=str(self.folder),
            client="",
            event=event,
        )

    def started(self) -> None:
        """What the SessionStart hook leaves where nothing was told."""
        seen = shelf.Seen({})
        seen.project = identify(str(self.folder), self.place.machine_id).project_id
        seen.folder, seen.transcript_path = str(self.folder), str(self.transcript)
        shelf.write_seen(self.place.home, self.session_id, seen)

    def work(self, subject: str = "checkout") -> Session:
        """A small session about something."""
        self.ask(f"Move the {subject} service to the billing gateway on port 9443")
        self.call("Edit", file_path=str(self.folder / f"{subject}.py"), new_string=f"def {subject}_port(): ...")
        self.say(f"The {subject} service now speaks to the billing gateway.")
        return self


@dataclass
class Place:
    """A vault, and folders to work in."""

    vault: Vault
    root: Path
    second: int = 0

    def __post_init__(self) -> None:
        self.projects.mkdir()

    @property
    def app(self) -> App:
        """The open application."""
        return self.vault.app

    @property
    def home(self) -> str:
        """The data directory."""
        return str(self.vault.home)

    @property
    def machine_id(self) -> str:
        """This machine."""
        return self.app.settings.machine_id

    @property
    def projects(self) -> Path:
        """Where the client keeps its transcripts."""
        return self.root / "projects"

    def tick(self) -> str:
        """The next moment, as transcripts write it."""
        self.second += 1
        return f"2026-11-23T{10 + self.second // 3600:02d}:{self.second // 60 % 60:02d}:{self.second % 60:02d}.000Z"

    def folder(self, name: str = "shop", remote: str = "") -> Path:
        """A folder with a repository of a remote."""
        made = self.root / name
        if not made.exists():
            (made / ".git").mkdir(parents=True)
            (made / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
            url = remote or f"https://git.example/acme/{name.partition('-')[0]}.git"
            (made / ".git" / "config").write_text(f'[remote "origin"]\n\turl = {url}\n')
        return made

    def session(self, name: str = "shop") -> Session:
        """A session in a folder."""
        return Session(self, self.folder(name))

    def records(self) -> list[dict[str, Any]]:
        """The rows of all records."""
        return self.vault.rows("context_records")

    def terms(self) -> dict[str, int]:
        """The document frequencies."""
        return dict(self.vault.sql("SELECT term, documents FROM context_frequencies"))


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory, database: Databases) -> Template:
    """The installation that every place of these tests is a copy of."""
    return make_template(tmp_path_factory.mktemp("services") / "home", database)


@pytest.fixture
def place(installation: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place."""
    monkeypatch.delenv("CLAUDE_PROJECT_DIR", raising=False)
    monkeypatch.setattr("mcp_server.services.transcripts.WRITE_LAG_S", 0.0)
    vault = Vault(installation, copy_home(installation.home, tmp_path / "home"))
    yield Place(vault, tmp_path)
    vault.close()
