"""`claudetools context import` at the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    """A client's folder with two transcripts, one of them a month old."""
    folder = tmp_path / "client" / "projects" / "-work-shop"
    folder.mkdir(parents=True)
    (tmp_path / "work").mkdir()
    for name, age in (("checkout", 0), ("login", 20)):
        rows = [
            {"type": "user", "message": {"content": f"Move the {name} service, password=hunter2-Xk9vQ3rT8w"}, "cwd": str(tmp_path / "work")},
            {"type": "assistant", "message": {"content": [{"type": "text", "text": "It is moved."}]}},
        ]  # fmt: skip
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({**row, "timestamp": "2026-11-20T10:00:00.000Z"}) + "\n" for row in rows))
        written = time.time() - age * 86_400
        os.utime(path, (written, written))
    return folder.parent


def test_transcripts_are_imported_once_and_told_at_the_end(person: Run, projects: Path) -> None:
    planned = person("context", "import", str(projects), "--dry-run", "--json").json
    assert (planned["sessions"], planned["kept"]) == (2, 0)
    done = person("context", "import", str(projects), "--json").json
    assert (done["imported"], done["failed"], done["empty"]) == (2, [], 0)
    assert done["bytes"] == planned["bytes"] > 0
    assert done["tokens"]["raw"] > 0
    assert sum(done["struck"].values()) >= 2
    told = person("context", "import", str(projects))
    assert told.code == 0
    assert "0 sessions" in told.out
    assert "already there  2" in told.out
    found = person("context", "recall", "checkout service", "--json").json["items"]
    assert any("Move the checkout service" in item["title"] for item in found)
    assert "hunter2" not in json.dumps(found)


def test_only_what_was_written_since_a_time_is_imported(person: Run, projects: Path) -> None:
    planned = person("context", "import", str(projects), "--since", "last 7 days", "--dry-run", "--json").json
    assert (planned["sessions"], planned["older"]) == (1, 1)
    refused = person("context", "import", str(projects), "--since", "sometime", "--json")
    assert refused.code == 2
    assert "--since" in refused.error["fields"]


def test_the_clients_own_folder_is_the_default(person: Run, projects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(projects.parent))
    assert person("context", "import", "--dry-run", "--json").json["sessions"] == 2


def test_a_folder_that_is_none_is_refused_with_the_next_command(person: Run, tmp_path: Path) -> None:
    refused = person("context", "import", str(tmp_path / "nowhere"), "--json")
    assert refused.code == 2
    assert refused.error["hint"] == "claudetools context import DIR"


def test_an_import_that_is_stopped_says_how_to_go_on(
    person: Run, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp_server.services.capture import Capture

    capture_one, calls = Capture.capture_one, []

    def stopped_at_the_second(self, note, wait):
        calls.append(note)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return capture_one(self, note, wait)

    with monkeypatch.context() as patched:
        patched.setattr(Capture, "capture_one", stopped_at_the_second)
        stopped = person("context", "import", str(projects))
    assert stopped.code == 130
    assert "go on with: claudetools context import" in stopped.err
    assert person("context", "import", str(projects), "--json").json["imported"] == 1


def session_start(home: Path, folder: Path, session: str) -> str:
    """What the hook prints for a session that starts in a folder."""
    event = {
        "session_id": session,
        "transcript_path": str(folder / f"{session}.jsonl"),
        "cwd": str(folder),
        "source": "startup",
    }
    command = [sys.executable, "-I", "-m", "hooks", "SessionStart", str(home / "hooks.json")]
    environment = {**os.environ, "CLAUDE_PROJECT_DIR": str(folder)}
    done = subprocess.run(command, input=json.dumps(event), capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def test_a_session_start_in_such_a_project_tells_of_it(person: Run, home: Path, projects: Path, tmp_path: Path) -> None:
    person("context", "import", str(projects))
    told = session_start(home, tmp_path / "work", "new")
    assert "Move the checkout service" in told
    assert "hunter2" not in told


def test_the_clients_own_notes_are_told_on_other_machines_alone(
    person: Run, home: Path, projects: Path, tmp_path: Path
) -> None:
    folder = projects / "-work-shop" / "memory"
    folder.mkdir()
    (folder / "port.md").write_text("# The gateway's port\n\nIt listens on 9443.\n")
    person("context", "import", str(projects))
    assert person("context", "recall", "gateway port", "--json").json["items"][0]["kind"] == "memory"
    assert "The gateway's port" not in session_start(home, tmp_path / "work", "here")
    settings = home / "hooks.json"
    settings.chmod(0o600)
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "machine_name": "another"}))
    assert "[memory] The gateway's port" in session_start(home, tmp_path / "work", "there")
