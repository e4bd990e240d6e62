"""A person's machine for one test: an empty home, Claude Code with a scripted model, and ClaudeTools set up in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.kit.client import KEY, Conversation, Run, environment, run_once
from tests.kit.install_client import VERSION
from tests.kit.model import Json, Request, ScriptedModel, Turn
from tests.kit.orphans import Nursery
from tests.kit.stores import copy_database, store_of
from tests.kit.terminal import Terminal

SERVER = "mcp__plugin_claudetools_claudetools"
ALLOWED = ("Bash", "Edit", "Write", "Read", SERVER)
"""What a person has allowed beforehand in these tests: the client's own tools and all of the product's."""
PERSON = "ada"
PASSWORD = "correct horse battery staple of the tests"
CHECKOUT = Path(__file__).parents[2]


def tool(name: str) -> str:
    """The name under which a model calls a tool of the product."""
    return f"{SERVER}__{name}"


@dataclass(slots=True)
class Laptop:
    """The machine.  Leave its block to end everything that it started."""

    root: Path
    client: Path
    model: ScriptedModel = field(default_factory=ScriptedModel)
    nursery: Nursery = field(default_factory=Nursery)
    _open: ExitStack = field(default_factory=ExitStack)
    _count: int = 0

    def __enter__(self) -> Self:
        for place in (self.home, self.bin, self.root / "runs"):
            place.mkdir(parents=True, exist_ok=True)
        link = self.bin / "claude"
        if not link.is_symlink():
            link.symlink_to(self.client)
        self._open.enter_context(self.model)
        self._open.enter_context(self.nursery)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    # -- places

    @property
    def home(self) -> Path:
        """The person's home."""
        return self.root / "home"

    @property
    def bin(self) -> Path:
        """What stands on this machine's PATH before the system's programs."""
        return self.root / "bin"

    @property
    def data(self) -> Path:
        """The data directory of ClaudeTools."""
        return self.home / ".local" / "share" / "claudetools"

    @property
    def settings(self) -> Path:
        """The person's settings of Claude Code."""
        return self.home / ".claude" / "settings.json"

    def place(self, name: str) -> Path:
        """A folder in the home, made where it is not yet."""
        place = self.home / name
        place.mkdir(parents=True, exist_ok=True)
        return place

    def clone(self, name: str, remote: Path) -> Path:
        """A clone of `remote` in the home."""
        self.git("clone", "-q", str(remote), str(self.home / name))
        return self.home / name

    def remote(self, name: str = "shop", files: Mapping[str, str] | None = None) -> Path:
        """A bare repository with one commit, to clone from."""
        seed, bare = self.place(f"seed-{name}"), self.root / f"{name}.git"
        self.git("init", "-q", "-b", "main", str(seed))
        for path, content in (files or {"app.py": "PORT = 8080\n"}).items():
            (seed / path).write_text(content)
        self.git("-C", str(seed), "add", ".")
        self.git("-C", str(seed), "commit", "-q", "-m", "begin")
        self.git("clone", "-q", "--bare", str(seed), str(bare))
        shutil.rmtree(seed)
        return bare

    def git(self, *arguments: str) -> str:
        """Runs git as this person."""
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        return self.command("git", *who, *arguments).stdout

    # -- the product

    def claudetools(self, *arguments: str, stdin: str = "", status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Runs the command line of ClaudeTools as this person, from a terminal outside Claude Code."""
        return self.command(sys.executable, "-I", "-m", "mcp_server", *arguments, stdin=stdin, status=status)

    def kept(self) -> dict[str, bytes]:
        """Every file of the data directory but the keys, and the database: with spool, shelf, logs, notes."""
        store = store_of(self.data)
        elsewhere = {} if store.kind == "sqlite" else {"the database": store.contents()}
        return elsewhere | {
            str(path.relative_to(self.data)): path.read_bytes()
            for path in self.data.rglob("*")
            if path.is_file() and path.parent.name not in {"keys", "agents"}
        }

    def command(self, *command: str, stdin: str = "", status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Runs a program as this person.  Raises AssertionError with what it said when it ends otherwise than `status`."""
        ended = subprocess.run(
            command, cwd=self.home, env=self.environment(), input=stdin, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        if status is not None and ended.returncode != status:
            raise AssertionError(
                f"{command[:8]} ended with {ended.returncode}:\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
            )
        return ended

    def set_up(self, *options: str) -> None:
        """Sets ClaudeTools up as setup.sh does, for which the environment that runs the tests is made already.

        `options` are more of `claudetools init`, such as where the database is.
        """
        password = self.root / "password"
        password.write_text(PASSWORD + "\n")
        password.chmod(0o600)
        keys = ("--password-file", str(password), "--recovery-file", str(self.root / "recovery-key"))
        self.claudetools("init", "--home", str(self.data), "--non-interactive", "--person", PERSON, *keys, *options)
        self.claudetools("plugin", "install", "--home", str(self.data))

    def be_patient(self) -> None:
        """Gives the hooks all the time they may need on a busy machine: how fast they are is for the benchmarks."""
        plugin = self.data / "plugin" / "hooks" / "hooks.json"
        said = json.loads(plugin.read_text())
        said["hooks"]["UserPromptSubmit"][0]["hooks"][0]["timeout"] = 30
        plugin.write_text(json.dumps(said))
        settings = self.data / "hooks.json"
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "deadline_ms": 20_000}))

    def log_in(self) -> None:
        """Logs the person in at the command line."""
        self.claudetools("login", "--password-file", str(self.root / "password"))

    def settle(self) -> None:
        """Waits until what was started detached has done its work, and nothing waits to be recorded."""
        self.nursery.wait()
        waiting = self.waiting()
        assert not waiting, f"still to be recorded: {waiting}"

    def waiting(self) -> list[str]:
        """The notes in the spool."""
        spool = self.data / "spool"
        return [note.name for note in spool.iterdir() if not note.name.startswith(".")] if spool.is_dir() else []

    # -- the client

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of everything on this machine."""
        return {**environment(self.home, self.model, [self.bin]), **(extra or {})}

    def run(
        self,
        prompt: str,
        *turns: Turn,
        cwd: Path | None = None,
        allow: Sequence[str] = ALLOWED,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> Run:
        """One `claude -p` with a prompt; the script must be played to its end, and no further."""
        self.model.script(*turns)
        command = (*self._headless(allow), *arguments, prompt)
        run = run_once(command, cwd or self.place("work"), self.environment(env), self.model, self._errors_file())
        self.model.played_out()
        return run

    def stream(
        self,
        *turns: Turn,
        cwd: Path | None = None,
        allow: Sequence[str] = ALLOWED,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> Conversation:
        """A conversation of several prompts in one session; a context manager."""
        self.model.script(*turns)
        command = (*self._headless(allow), "--input-format", "stream-json", *arguments)
        return _Tracked(
            command,
            cwd or self.place("work"),
            self.environment(env),
            self.model,
            self._errors_file(),
            nursery=self.nursery,
        )

    def terminal(
        self,
        *turns: Turn,
        cwd: Path | None = None,
        allow: Sequence[str] = ALLOWED,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> Terminal:
        """The interactive client on a screen, past its first-start dialogs; a context manager."""
        self.model.script(*turns)
        place = cwd or self.place("work")
        self._introduce(place)
        command = (
            str(self.client), "--permission-mode", "default", "--allowedTools", ",".join(allow), *self._logged(), *arguments,
        )  # fmt: skip
        return _TrackedTerminal(command, place, self.environment(env), nursery=self.nursery)

    @property
    def requests(self) -> list[Request]:
        """Every request that the model had."""
        return self.model.requests

    def _headless(self, allow: Sequence[str]) -> tuple[str, ...]:
        asked = ("--output-format", "stream-json", "--verbose", "--allowedTools", ",".join(allow))
        return (str(self.client), "-p", *asked, *self._logged())

    def _logged(self) -> tuple[str, str]:
        return ("--debug-file", str(self._errors_file().with_suffix(".debug")))

    def _errors_file(self) -> Path:
        self._count += 1
        return self.root / "runs" / f"{self._count}.err"

    def _introduce(self, place: Path) -> None:
        """Tells the client that this person knows it and trusts the folder."""
        file = self.home / ".claude.json"
        state: Json = json.loads(file.read_text()) if file.exists() else {}
        projects = state.setdefault("projects", {})
        assert isinstance(projects, dict)
        projects.setdefault(str(place), {}).update(
            {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
        )
        state |= {
            "hasCompletedOnboarding": True,
            "lastOnboardingVersion": VERSION,
            "theme": "dark",
            "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
        }
        file.write_text(json.dumps(state))


@dataclass(slots=True)
class _Tracked(Conversation):
    nursery: Nursery = field(kw_only=True)

    def __enter__(self) -> Self:
        Conversation.__enter__(self)
        self.nursery.ours(self.process.pid)
        return self


@dataclass(slots=True)
class _TrackedTerminal(Terminal):
    nursery: Nursery = field(kw_only=True)

    def __enter__(self) -> Self:
        Terminal.__enter__(self)
        assert self._process is not None
        self.nursery.ours(self._process.pid)
        return self


def copy_laptop(original: Path, copy: Path) -> None:
    """Copies a machine to another folder, lets its files speak of that folder, and gives it a database of its own."""
    shutil.copytree(original, copy, symlinks=True)
    before, after = str(original).encode(), str(copy).encode()
    for folder, _, names in os.walk(copy):
        for name in names:
            file = Path(folder, name)
            if file.is_symlink() or file.suffix not in {".json", ".jsonl", ".md"}:
                continue
            content = file.read_bytes()
            if before in content:
                mode = file.stat().st_mode
                file.write_bytes(content.replace(before, after))
                file.chmod(mode)
    data = Path(".local", "share", "claudetools")
    copy_database(store_of(original / "home" / data), copy / "home" / data)
