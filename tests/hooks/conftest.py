"""Hooks as the client runs them: cold processes, fed one event, in somebody else's folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Integer

from storage.address import parse_address
from storage.schema import context_records
from tests.kit.mariadb import OWNER
from tests.kit.stores import MariaDBStore, SQLiteStore, Store, keep_password

NOW_US = time.time_ns() // 1000
COLUMNS = [column.name for column in context_records.columns if column.name != "number"]
NUMBERS = [name for name in COLUMNS if isinstance(context_records.columns[name].type, Integer)]


@dataclass
class Desk:
    """A data directory with settings and a database, and a folder in which a person works."""

    home: Path
    folder: Path
    server: MariaDBStore | None = None
    settings: Path = field(init=False)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.home.mkdir(mode=0o700)
        self.folder.mkdir()
        self.settings = self.home / "hooks.json"
        if self.server is not None:
            self.store = self.server
            keep_password(self.home, self.server.server.passwords[OWNER])
        else:
            self.store = SQLiteStore(self.home / "claudetools.db")
            self.store.sql("PRAGMA journal_mode=WAL")
            self.store.sql(f"CREATE TABLE context_records (number INTEGER PRIMARY KEY, {', '.join(COLUMNS)})")
            for place in ("project", "client"):  # which the hooks' reader names
                self.store.sql(f"CREATE INDEX ix_context_{place} ON context_records ({place}, updated_us)")
        self.configure()

    def configure(self, **more: object) -> None:
        """Writes the settings that setup would write."""
        said = {"home": str(self.home), "machine_id": "ma_1", "machine_name": "desk", "owner_id": "pe_me"}
        if self.server is not None:
            address = parse_address(self.server.server.url(self.server.name), base=str(self.home))
            password_file = str(self.home / "keys" / "database.password")
            said |= {"database": address.changed(password_file=password_file).flat()}
        self.settings.write_text(json.dumps({**said, **more}))

    def keep(self, project: str, **more: Any) -> str:
        """Puts a record into the database."""
        record_id = f"cx_{uuid.uuid4().hex[:26]}"
        row = dict.fromkeys(COLUMNS, "") | dict.fromkeys(NUMBERS, 0)
        row |= {
            "record_id": record_id,
            "session_key": record_id,
            "state": "active",
            "kind": "session",
            "project": project,
            "owner_id": "pe_me",
            "updated_us": NOW_US,
        }
        self.store.put("context_records", row | more)
        return record_id

    def start(
        self, event: str, said: object, *, cwd: Path | None = None, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Starts a hook, as the client does."""
        there = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home.parent),
            "CLAUDE_PROJECT_DIR": str(cwd or self.folder),
        }
        hook = subprocess.Popen(
            [sys.executable, "-I", "-m", "hooks", event, str(self.settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd or self.folder,
            env=there | environment,
        )
        assert hook.stdin is not None
        hook.stdin.write(said if isinstance(said, bytes) else json.dumps(said).encode() + b"\n")
        hook.stdin.close()
        hook.stdin = None
        return hook

    def run(self, event: str, said: object, *, cwd: Path | None = None, **environment: str) -> str:
        """Runs a hook to its end and gives what it printed.  It exits 0 and says nothing on stderr, always."""
        hook = self.start(event, said, cwd=cwd, **environment)
        out, err = hook.communicate(timeout=30)
        assert hook.returncode == 0
        assert err == b""
        return out.decode()

    def told(self, source: str = "startup", *, session: str = "s-new", cwd: Path | None = None, **more: object) -> str:
        """The block that a starting session is given."""
        out = self.run("SessionStart", self.event(session, source=source, cwd=cwd, **more), cwd=cwd)
        if not out:
            return ""
        answer = json.loads(out)
        return str(answer.get("hookSpecificOutput", {}).get("additionalContext", ""))

    def event(self, session: str = "s-1", *, cwd: Path | None = None, **more: object) -> dict[str, object]:
        """An event as the client writes it."""
        folder = cwd or self.folder
        return {
            "session_id": session,
            "transcript_path": str(self.home.parent / f"{session}.jsonl"),
            "cwd": str(folder),
            **more,
        }

    def notes(self) -> dict[str, dict[str, Any]]:
        """The notes in the spool, by session."""
        return {path.stem: json.loads(path.read_text()) for path in (self.home / "spool").glob("[!.]*.json")}

    def log(self) -> str:
        """The log file of the hooks."""
        file = self.home / "log" / "hooks.log"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk."""
    return Desk(tmp_path / "data", tmp_path / "work")


def make_repository(folder: Path, *, remote: str = "", head: str = "ref: refs/heads/main") -> Path:
    """A repository's small files, as git writes them."""
    git = folder / ".git"
    git.mkdir(parents=True)
    (git / "HEAD").write_text(head + "\n")
    config = "[core]\n\tbare = false\n"
    if remote:
        config += f'[remote "origin"]\n\turl = {remote}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'
    (git / "config").write_text(config)
    return folder
