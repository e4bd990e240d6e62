"""Where `claudetools demo` plays: a throw-away installation, two clones of one project, and a made-up session."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from domain.errors import Unavailable
from domain.plain import Plain
from mcp_server.config import Settings

if TYPE_CHECKING:
    from mcp.client.stdio import StdioServerParameters

REMOTE = "git@git.example.com:acme/shop.git"
PATIENCE_S = 60.0
_KEPT = ("LANG", "LC_ALL", "PATH", "TMPDIR", "TZ")


class Stage:
    """Everything of one demo, in one temporary directory.  Leaving the `with` block removes it all."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="claudetools-demo-"))
        self.home = self.place / "data"
        self.user = self.place / "user"
        self.sessions = (str(uuid4()), str(uuid4()))

    def __enter__(self) -> Self:
        self.user.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        self._wait_for_drains()
        shutil.rmtree(self.place, ignore_errors=True)

    def set_up(self) -> tuple[Settings, list[str]]:
        """Makes the installation as `claudetools init` does.  Returns its settings and the steps that were taken."""
        from mcp_server.bootstrap.installation import Step, Wanted, create

        steps: list[Step] = []
        kept: list[Plain] = []  # the recovery key of a vault that lives for a minute
        wanted = Wanted(
            home=self.home,
            person="Robin",
            machine="laptop-1",
            password=lambda: Plain(secrets.token_urlsafe(18)),
            deliver=kept.append,
        )
        settings = create(wanted, steps.append)
        return settings, [step.text.replace(str(self.place), "") for step in steps]

    def server(self) -> StdioServerParameters:
        """How the stdio server is started, as the plugin does, in the first session."""
        from mcp.client.stdio import StdioServerParameters

        arguments = ["-I", "-m", "mcp_server", "mcp", "--home", str(self.home)]
        environment = {**self._environment(), "CLAUDE_CODE_SESSION_ID": self.sessions[0]}
        return StdioServerParameters(command=sys.executable, args=arguments, env=environment, cwd=self.user)

    def clone(self, name: str) -> Path:
        """A clone of the project: what of it the hooks look at."""
        folder = self.user / name
        git = folder / ".git"
        git.mkdir(parents=True)
        (git / "HEAD").write_text("ref: refs/heads/main\n")
        (git / "config").write_text(f'[core]\n\trepositoryformatversion = 0\n[remote "origin"]\n\turl = {REMOTE}\n')
        return folder

    def transcript(self, folder: Path, value: str) -> Path:
        """A session as Claude Code writes it down, in which a command printed a vault value by mistake."""
        file = self.user / ".claude" / "projects" / "shop" / f"{self.sessions[0]}.jsonl"
        file.parent.mkdir(parents=True)
        at = datetime.now(UTC) - timedelta(minutes=20)
        common = {"sessionId": self.sessions[0], "cwd": str(folder), "gitBranch": "main", "isSidechain": False}
        rows = []
        for number, (kind, content) in enumerate(_story(str(folder), value)):
            said = (at + timedelta(seconds=30 * number)).isoformat().replace("+00:00", "Z")
            message = {"role": kind, "content": content}
            rows.append({**common, "type": kind, "uuid": str(uuid4()), "timestamp": said, "message": message})
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    def hook(self, event: str, session_id: str, folder: Path, transcript: Path, **more: str) -> str:
        """Runs one hook as Claude Code does: a process of its own, told the event on its standard input."""
        said = {
            "session_id": session_id,
            "transcript_path": str(transcript),
            "cwd": str(folder),
            "hook_event_name": event,
            **more,
        }
        done = subprocess.run(
            [sys.executable, "-I", "-m", "hooks", event, str(self.home / "hooks.json")],
            input=json.dumps(said),
            env={**self._environment(), "CLAUDE_PROJECT_DIR": str(folder)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        return done.stdout

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return {**kept, "HOME": str(self.user), "CLAUDETOOLS_HOME": str(self.home)}

    def _wait_for_drains(self) -> None:
        """Waits until the drain that the end of the session started has left: it works in the directory to be removed."""
        end = time.monotonic() + PATIENCE_S
        while any(_is_drain(process, self.home) for process in Path("/proc").glob("[0-9]*")):
            if time.monotonic() > end:
                raise Unavailable(f"a drain is still at work in {self.place}", hint=f"rm -r {self.place}")
            time.sleep(0.05)


def _is_drain(process: Path, home: Path) -> bool:
    try:
        return str(home).encode() in (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _story(folder: str, value: str) -> Sequence[tuple[str, object]]:
    """The rows of the made-up session: what the person and Claude said, and three tool calls with their results."""

    def uses(name: str, call: str, **given: str) -> list[dict[str, object]]:
        return [{"type": "tool_use", "id": call, "name": name, "input": given}]

    def result(call: str, text: str, *, failed: bool = False) -> list[dict[str, object]]:
        return [{"type": "tool_result", "tool_use_id": call, "content": text, "is_error": failed}]

    test = "python -m pytest tests/test_checkout.py"
    failure = (
        "Exit code 1\nFAILED tests/test_checkout.py::test_total_with_tax\n"
        "TypeError: unsupported operand type(s) for *: 'Decimal' and 'float'"
    )
    return (
        ("user", "Checkout totals are wrong for orders with tax. Find out why and fix it."),
        ("assistant", uses("Bash", "toolu_1", command=test)),
        ("user", result("toolu_1", failure, failed=True)),
        (
            "assistant",
            uses(
                "Edit",
                "toolu_2",
                file_path=f"{folder}/shop/checkout.py",
                old_string="total * 1.19",
                new_string='total * Decimal("1.19")',
            ),
        ),
        ("user", result("toolu_2", "The file has been updated.")),
        ("assistant", uses("Bash", "toolu_3", command="env | grep GITEA")),
        ("user", result("toolu_3", f"GITEA_PASSWORD={value}")),
        ("assistant", uses("Bash", "toolu_4", command=test)),
        ("user", result("toolu_4", "5 passed in 0.41s")),
        (
            "assistant",
            [
                {
                    "type": "text",
                    "text": "Fixed: the tax rate was a float, so Decimal totals could not be multiplied. "
                    "We decided to keep all money as Decimal and never as float. The tests pass.",
                }
            ],
        ),
    )
