"""Computers on one vault, their hooks, drains and servers as processes, and transcripts as the client writes them.

Every process can be started with a fate (`launched.py`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.plain import Plain
from hooks.spool import is_waiting
from mcp_server.bootstrap.installation import create
from mcp_server.bootstrap.wanted import RecoveryKey, Wanted
from mcp_server.config import Settings, load_settings
from tests.faults.disk import Disk
from tests.kit.mariadb import OWNER, MariaDB
from tests.kit.proxy import Proxy
from tests.server.conftest import Wire

PERSON, PASSWORD = "ann", "correct horse battery staple"
LAUNCHED = Path(__file__).with_name("launched.py")

Fate = dict[str, Any]
"""What `launched.py` does to a process; empty for nothing."""


@dataclass
class Session:
    """One session on one computer: what was said in it, and whether a hook of it ever ended undisturbed."""

    computer: Computer
    session_id: str
    words: list[str] = field(default_factory=list)
    is_known: bool = False
    is_forgotten: bool = False
    is_older: bool = False
    """Whether it was over before the plugin came, so that an import alone leads to it."""

    @property
    def transcript(self) -> Path:
        """Its file."""
        folder = self.computer.older if self.is_older else self.computer.projects
        return folder / f"{self.session_id}.jsonl"

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
    """One installation and a folder to work in.  `started` is told of every process that it starts."""

    name: str
    place: Path
    started: Callable[[int], None]
    shift_s: int = 0
    disk: Disk = field(init=False)

    def __post_init__(self) -> None:
        self.disk = Disk(self.place / "disk")
        for made in (self.folder, self.projects, self.older):
            made.mkdir(parents=True)
        git = self.folder / ".git"
        git.mkdir()
        (git / "HEAD").write_text("ref: refs/heads/main\n")
        (git / "config").write_text('[remote "origin"]\n\turl = https://git.example/acme/shop.git\n')

    @property
    def home(self) -> Path:
        """The data directory."""
        return self.disk.place / "home"

    @property
    def folder(self) -> Path:
        """Where the person works."""
        return self.place / "shop"

    @property
    def projects(self) -> Path:
        """Where the client keeps its transcripts."""
        return self.place / "projects"

    @property
    def older(self) -> Path:
        """Where those lie that are to be imported."""
        return self.place / "older"

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return load_settings(self.home)

    def now(self) -> float:
        """The time that its clock shows, in seconds."""
        return time.time() + self.shift_s

    def hook(self, event: str, session: Session, source: str = "", fate: Fate | None = None) -> subprocess.Popen[bytes]:
        """Starts a hook."""
        said = {
            "session_id": session.session_id,
            "transcript_path": str(session.transcript),
            "cwd": str(self.folder),
            "hook_event_name": event,
            **({"source": source or "startup"} if event == "SessionStart" else {}),
        }
        process = self._start("hooks", event, str(self.settings.hooks_settings_file), fate=fate or {})
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(said).encode() + b"\n")
            process.stdin.close()
        except BrokenPipeError:  # it was killed before it read
            pass
        process.stdin = None
        return process

    def sync(self, fate: Fate | None = None) -> subprocess.Popen[bytes]:
        """Starts a drain.  Its touches count from when it has the drain's lock file open."""
        return self._start("mcp_server", "sync", "--quiet", "--home", str(self.home), fate=_while_draining(fate))

    def imports(self, fate: Fate | None = None) -> subprocess.Popen[bytes]:
        """Starts an import of the older sessions."""
        arguments = ("context", "import", str(self.older), "--json", "--home", str(self.home))
        return self._start("mcp_server", *arguments, fate=_while_draining(fate))

    def serve(self, fate: Fate | None = None) -> Wire:
        """Starts the server that a client has.  Its touches count in the thread that drains."""
        said = json.dumps({"shift_s": self.shift_s, **_while_draining(fate)})
        launched = [str(LAUNCHED), said, "mcp_server", "mcp", "--home", str(self.home)]
        wire = Wire(
            self.home,
            f"import runpy, sys; sys.argv = {launched!r}; runpy.run_path(sys.argv[0], run_name='__main__')",
            env={"CLAUDE_PROJECT_DIR": str(self.folder), "HOME": str(self.place)},
        )
        self.started(wire.process.pid)
        return wire

    def floor(self) -> float:
        """How long the bare interpreter takes just now, in seconds."""
        begun = time.monotonic()
        process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "pass"])
        self.started(process.pid)
        process.wait()
        return time.monotonic() - begun

    def _start(self, module: str, *arguments: str, fate: Fate) -> subprocess.Popen[bytes]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("CLAUDE", "PYTHON"))}
        whole = {**({"shift_s": self.shift_s} if self.shift_s else {}), **fate}
        command = [str(LAUNCHED), json.dumps(whole), module] if whole else ["-m", module]
        process = subprocess.Popen(
            [sys.executable, "-I", *command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env={**clean, "HOME": str(self.place)},
        )
        self.started(process.pid)
        return process

    def is_behind(self) -> bool:
        """Whether notes wait."""
        return is_waiting(str(self.home))


def _while_draining(fate: Fate | None) -> Fate:
    return {**fate, "since": ".lock"} if fate and "touch" in fate else fate or {}


def stands_still(process: subprocess.Popen[bytes]) -> bool:
    """Waits until a process stands still or has ended; whether it stands still."""
    found = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    return found is not None and found.si_code == os.CLD_STOPPED


def waited_for_a_turn(process: subprocess.Popen[bytes]) -> float:
    """Waits for the end of a process that nobody has waited for yet; how long others kept the processor from it, in seconds.

    The kernel counts it (Documentation/scheduler/sched-stats.rst, "/proc/<pid>/schedstat"); 0 where it does not.
    """
    with suppress(ChildProcessError):  # whoever takes in the orphans came first, and keeps the exit code
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    try:
        return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def goes_on(process: subprocess.Popen[bytes]) -> None:
    """Lets a process go on."""
    process.send_signal(signal.SIGCONT)


@contextmanager
def computers(
    place: Path, server: MariaDB | None, started: Callable[[int], None]
) -> Iterator[tuple[list[Computer], Proxy | None, str]]:
    """Two computers behind a proxy on a server, or one with its own file; and the name of the database."""
    with ExitStack() as stack:

        def computer(name: str) -> Computer:
            made = Computer(name, place / name, started)
            stack.callback(made.disk.close)
            return made

        if server is None:
            one = computer("desk")
            create(_wanted(one, "", None, deliver=lambda _key: None), lambda _step: None)
            yield [one], None, ""
            return
        name = server.database()
        shown: list[str] = []
        proxy = stack.enter_context(Proxy(server.port))
        url = server.url(name, port=proxy.port)
        password = Plain(server.passwords[OWNER])
        desk, laptop = computer("desk"), computer("laptop")
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
