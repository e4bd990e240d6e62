"""Computers on one vault, their hooks and drains as processes, and transcripts as the client writes them.

A process can be started with a clock that is off, or on a disk that takes nothing any more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from domain.plain import Plain
from hooks.spool import is_waiting
from mcp_server.bootstrap.installation import create
from mcp_server.bootstrap.wanted import RecoveryKey, Wanted
from mcp_server.config import Settings, load_settings
from tests.kit.mariadb import OWNER, MariaDB
from tests.kit.proxy import Proxy

PERSON, PASSWORD = "ann", "correct horse battery staple"
OFF = """
import resource, runpy, sys, time
shift, full, module = int(sys.argv[1]), sys.argv[2] == "full", sys.argv[3]
if shift:
    now, now_ns = time.time, time.time_ns
    time.time, time.time_ns = lambda: now() + shift, lambda: now_ns() + shift * 1_000_000_000
if full:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
sys.argv = [module, *sys.argv[4:]]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Runs a module whose clock is off by so many seconds, or for which no file grows any more."""


@dataclass
class Session:
    """One session on one computer: what was said in it, and whether a hook of it ever ended undisturbed."""

    computer: Computer
    session_id: str
    words: list[str] = field(default_factory=list)
    is_known: bool = False
    is_forgotten: bool = False

    @property
    def transcript(self) -> Path:
        """Its file."""
        return self.computer.projects / f"{self.session_id}.jsonl"

    def says(self, word: str, at_s: float) -> None:
        """The person says a word that stands nowhere else, and Claude answers."""
        self.words.append(word)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at_s))
        row = {"sessionId": self.session_id, "timestamp": stamp, "cwd": str(self.computer.folder)}
        text = f"Please repair the part called {word}, it fails under load"
        answer = {"role": "assistant", "content": [{"type": "text", "text": f"The part {word} is repaired now."}]}
        with self.transcript.open("a") as out:
            out.write(json.dumps({**row, "type": "user", "message": {"role": "user", "content": text}}) + "\n")
            out.write(json.dumps({**row, "type": "assistant", "message": answer}) + "\n")

    def resumed_on(self, other: Computer) -> Session:
        """The same session on another computer, with everything that it holds so far."""
        twin = Session(other, self.session_id, list(self.words))
        twin.transcript.write_bytes(self.transcript.read_bytes())
        return twin


@dataclass
class Computer:
    """One installation and a folder to work in."""

    name: str
    place: Path
    shift_s: int = 0

    def __post_init__(self) -> None:
        for made in (self.folder, self.projects):
            made.mkdir(parents=True)
        git = self.folder / ".git"
        git.mkdir()
        (git / "HEAD").write_text("ref: refs/heads/main\n")
        (git / "config").write_text('[remote "origin"]\n\turl = https://git.example/acme/shop.git\n')

    @property
    def home(self) -> Path:
        """The data directory."""
        return self.place / "home"

    @property
    def folder(self) -> Path:
        """Where the person works."""
        return self.place / "shop"

    @property
    def projects(self) -> Path:
        """Where the client keeps its transcripts."""
        return self.place / "projects"

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return load_settings(self.home)

    def now(self) -> float:
        """The time that its clock shows, in seconds."""
        return time.time() + self.shift_s

    def hook(self, event: str, session: Session, *, full: bool = False) -> subprocess.Popen[bytes]:
        """Starts a hook."""
        said = {
            "session_id": session.session_id,
            "transcript_path": str(session.transcript),
            "cwd": str(self.folder),
            "hook_event_name": event,
            **({"source": "startup"} if event == "SessionStart" else {}),
        }
        process = self._start("hooks", event, str(self.settings.hooks_settings_file), full=full)
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(said).encode() + b"\n")
            process.stdin.close()
        except BrokenPipeError:  # it was killed before it read
            pass
        process.stdin = None
        return process

    def sync(self, *, full: bool = False) -> subprocess.Popen[bytes]:
        """Starts a drain."""
        return self._start("mcp_server", "sync", "--quiet", "--home", str(self.home), full=full)

    def _start(self, module: str, *arguments: str, full: bool) -> subprocess.Popen[bytes]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("CLAUDE", "PYTHON"))}
        off = [sys.executable, "-I", "-c", OFF, str(self.shift_s), "full" if full else "", module]
        plain = [sys.executable, "-I", "-m", module]
        return subprocess.Popen(
            [*(off if self.shift_s or full else plain), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=clean,
        )

    def is_behind(self) -> bool:
        """Whether notes wait."""
        return is_waiting(str(self.home))


@contextmanager
def computers(place: Path, server: MariaDB | None) -> Iterator[tuple[list[Computer], Proxy | None, str]]:
    """Two computers behind a proxy on a server, or one with its own file; and the name of the database."""
    if server is None:
        one = Computer("desk", place / "desk")
        create(_wanted(one, "", None, deliver=lambda _key: None), lambda _step: None)
        yield [one], None, ""
        return
    name = server.database()
    shown: list[str] = []
    with Proxy(server.port) as proxy:
        url = server.url(name, port=proxy.port)
        password = Plain(server.passwords[OWNER])
        desk, laptop = Computer("desk", place / "desk"), Computer("laptop", place / "laptop")
        create(_wanted(desk, url, password, deliver=lambda key: shown.append(key.expose())), lambda _step: None)
        entry = RecoveryKey(Plain(shown[0]))
        create(
            _wanted(laptop, url, password, entry=lambda: entry, login=lambda _name: Plain(PASSWORD)), lambda _step: None
        )
        yield [desk, laptop], proxy, name


def _wanted(computer: Computer, url: str, password: Plain | None, **more: object) -> Wanted:
    said: dict[str, object] = {
        "home": computer.home,
        "machine": computer.name,
        "user": PERSON,
        "password": lambda: Plain(PASSWORD),
        "deliver": lambda _key: None,
        "database": url,
        "database_password": password,
    }
    return Wanted(**{**said, **more})  # type: ignore[arg-type]  # named as Wanted names them
