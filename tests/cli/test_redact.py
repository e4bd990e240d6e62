"""`claudetools redact` and `claudetools context scan`: what is struck from pipes, and found in what is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hooks import spool
from hooks.project import identify
from mcp_server.config import load_settings
from tests.kit.stores import store_of

VALUE = "Tr0ub4dor&3 of the old gateway"
TOKEN = "gh" + "p_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"


@pytest.fixture
def piped(environment: dict[str, str], tmp_path: Path) -> Any:
    """Runs `claudetools redact` as a process with these bytes; gives exit code, stdout and stderr."""

    def run(given: bytes, *options: str, **more: str) -> tuple[int, bytes, str]:
        command = [sys.executable, "-I", "-m", "mcp_server", "redact", *options]
        done = subprocess.run(
            command, input=given, capture_output=True, env=environment | more, cwd=tmp_path, timeout=120, check=False
        )
        return done.returncode, done.stdout, done.stderr.decode()

    return run


def added(person: Any, tmp_path: Path, value: str = VALUE) -> Any:
    """A credential with this value; what its command said."""
    file = tmp_path / "value.txt"
    file.write_text(value)
    file.chmod(0o600)
    said = person("credential", "add", "Old Gateway", "--client", "ACME", "--value-file", str(file), "--json")
    assert said.code == 0, said.all
    return said.json


def remembered(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person: Any, said: str) -> None:
    """A session in which this was said is captured."""
    monkeypatch.setattr("mcp_server.services.transcripts.WRITE_LAG_S", 0.0)
    folder = tmp_path / "shop"
    folder.mkdir(exist_ok=True)
    transcript = tmp_path / f"{len(list(tmp_path.glob('*.jsonl')))}.jsonl"
    row = {"type": "user", "message": {"content": said}, "timestamp": "2026-11-23T10:00:00.000Z", "cwd": str(folder)}
    transcript.write_text(json.dumps(row) + "\n")
    spool.put(
        str(home),
        identify(str(folder), load_settings(home).machine_id),
        session_id=transcript.stem,
        transcript_path=str(transcript),
        folder=str(folder),
        client="",
        event="Stop",
    )
    assert person("sync").code == 0


def test_a_pipe_is_struck_of_formats_and_of_the_vaults_values(person: Any, piped: Any, tmp_path: Path) -> None:
    reference = added(person, tmp_path)["reference"]
    text = f"export T={TOKEN}\nlogin {VALUE}\nöffne 7\n"
    code, out, err = piped(text.encode(), "--counts", CLAUDECODE="1")
    assert code == 0
    assert TOKEN not in out.decode()
    assert out.decode().splitlines()[1:] == ["login {{credential:" + reference + "#password}}", "öffne 7"]
    assert "1 vault value" in err
    assert VALUE not in err
    code, out, err = piped(text.encode(), "--no-values", "--json")
    assert code == 0
    assert VALUE in out.decode()
    assert sum(json.loads(err)["struck"].values()) == 1


def test_without_a_vault_formats_are_struck_and_it_is_said(piped: Any, tmp_path: Path) -> None:
    code, out, err = piped(f"T={TOKEN}\n".encode(), CLAUDETOOLS_HOME=str(tmp_path / "none"))
    assert code == 0
    assert TOKEN not in out.decode()
    assert "the vault's own values are not struck" in err
    code, out, err = piped(b"x", "--values", CLAUDETOOLS_HOME=str(tmp_path / "none"))
    assert (code, out) == (2, b"")


def test_bytes_that_are_no_text_go_through_or_are_refused(piped: Any) -> None:
    strange = b"caf\xe9 \xff\xfe line\n" * 3
    assert piped(strange, "--no-values")[:2] == (0, strange)
    assert piped(b"", "--no-values")[:2] == (0, b"")
    code, out, err = piped("T=x\n".encode("utf-16-le"), "--no-values")
    assert (code, out) == (2, b"")
    assert "no text in UTF-8" in err


def test_a_reader_that_leaves_ends_it_quietly(environment: dict[str, str], tmp_path: Path) -> None:
    line = f"yes line | {sys.executable} -I -m mcp_server redact --no-values | head -n 2"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, env=environment, cwd=tmp_path, timeout=120, check=False
    )
    assert done.stdout == b"line\nline\n"
    assert b"Traceback" not in done.stderr


def test_who_adds_a_value_that_the_memory_holds_is_told(
    person: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        remembered(home, tmp_path, monkeypatch, person, f"the gateway takes {VALUE} as it is, keep that in mind")
    said = added(person, tmp_path)
    assert said["memory"]["records"] == 2
    assert said["memory"]["looked_through"]
    assert person("incident", "show", said["memory"]["incident"]).code == 0
    remembered(home, tmp_path, monkeypatch, person, "the next one will be kD8#other-value-too, from monday on")
    file = tmp_path / "value.txt"
    file.write_text("kD8#other-value-too")
    told = person("credential", "rotate", said["reference"], "--value-file", str(file))
    assert f"its value stood in 1 record of the memory: struck, incident {said['memory']['incident']}" in told.out
    assert "kD8#other" not in told.all


def test_a_scan_tells_what_newer_rules_find_and_strikes_it_where_asked(
    person: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered(home, tmp_path, monkeypatch, person, "we looked at the checkout service and moved it to port 9443")
    clean = person("context", "scan", "--json")
    assert (clean.code, clean.json["looked_through"], clean.json["counts"]) == (0, 1, {})
    store = store_of(home)
    (row,) = store.rows("context_records")
    store.sql(
        "UPDATE context_records SET body_rest = ?, tags = ? WHERE record_id = ?",
        f"T={TOKEN}",
        json.dumps([TOKEN]),
        row["record_id"],
    )
    found = person("context", "scan", "--json")
    assert found.code == 8
    assert list(found.json["records"]) == [row["record_id"]]
    assert sum(found.json["counts"].values()) == 2
    assert TOKEN not in found.all
    assert TOKEN in json.dumps(store.rows("context_records"))
    told = person("context", "scan", "--fix")
    assert told.code == 0
    assert row["record_id"] in told.out
    assert TOKEN not in json.dumps(store.rows("context_records")) + told.all
    actions = [entry["action"] for entry in store.rows("audit_entries")]
    assert actions.count("context.strike") == 1
    assert actions.count("context.scan") == 2
    assert person("context", "scan").code == 0


def test_a_scan_tells_of_incidents_and_leaves_them(person: Any, home: Path) -> None:
    opened = person("incident", "open", "phishing", "A mail", "--json")
    assert opened.code == 0, opened.all
    store = store_of(home)
    store.sql("UPDATE incidents SET findings = ?", f"it asked for {TOKEN}")
    said = person("context", "scan", "--fix", "--json")
    assert said.code == 8
    assert len(said.json["incidents"]) == 1
    assert TOKEN in json.dumps(store.rows("incidents"))
    assert TOKEN not in said.all


def test_a_scan_needs_a_person(run: Any) -> None:
    assert run("context", "scan").code == 3
    assert os.environ.get("CLAUDETOOLS_HOME")
