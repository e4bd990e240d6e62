"""Claude Code's own auto memory: kept as records, replaced and taken out with its files, struck like everything."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from domain.plain import Plain
from domain.recall import Record, is_before_it
from mcp_server.bootstrap import build
from mcp_server.services import auto_memory

VALUE = "Tr0ub4dor&3 of the old gateway"
NOTE = """---
name: gateway-port
description: "which port the gateway listens on"
---

# The gateway's port

The gateway listens on 9443 on every machine.
"""


def folder(place: Any) -> Path:
    made: Path = place.projects / "memory"
    made.mkdir(exist_ok=True)
    return made


def write(place: Any, name: str, text: str, second: int = 0) -> Path:
    path = folder(place) / name
    path.write_text(text)
    at = 1_795_000_000 + second
    os.utime(path, (at, at))
    return path


def drain(place: Any) -> None:
    session = place.session().work("checkout")
    session.note()
    place.app.capture.drain()


def kept(place: Any) -> dict[str, dict[str, Any]]:
    return {row["title"]: row for row in place.records() if row["kind"] == "memory" and row["state"] == "active"}


def test_a_file_becomes_a_record_in_claudes_words(place: Any):
    write(place, "gateway_port.md", NOTE)
    drain(place)
    (row,) = kept(place).values()
    assert row["title"] == "The gateway's port"
    assert row["outcome"] == "which port the gateway listens on"
    assert row["digest"].splitlines()[-1] == "Note: The gateway listens on 9443 on every machine."
    assert json.loads(row["provenance"]) == {"Note": "claude"}
    assert row["project_name"] == "shop"
    assert row["owner_name"] == "anna"
    found = place.app.context.recall(place.vault.agent, "which port does the gateway listen on")
    assert "The gateway's port" in [hit.title for hit in found.hits]


def test_without_a_heading_it_is_called_as_its_file(place: Any):
    write(place, "retries.md", "Retries stay at three.\n")
    drain(place)
    assert list(kept(place)) == ["retries"]


def test_a_file_that_was_written_replaces_its_record_and_one_that_was_not_is_left_alone(place: Any):
    write(place, "port.md", "# Port\n\nIt is 9443.\n")
    drain(place)
    (before,) = kept(place).values()
    drain(place)
    assert list(kept(place).values()) == [before]
    write(place, "port.md", "# Port\n\nIt is 8443 since the move.\n", 60)
    drain(place)
    (after,) = kept(place).values()
    assert after["record_id"] == before["record_id"]
    assert "8443 since the move" in after["digest"]
    assert "9443" not in after["body_rest"]


def test_a_file_that_is_gone_takes_its_record_along_and_may_come_again(place: Any):
    path = write(place, "port.md", "# Port\n\nIt is 9443.\n")
    write(place, "host.md", "# Host\n\nIt is gw.example.\n")
    drain(place)
    terms = place.terms()["#records"]
    path.unlink()
    drain(place)
    assert list(kept(place)) == ["Host"]
    assert "9443" not in json.dumps([row for row in place.records() if row["kind"] == "memory"])
    assert place.terms()["#records"] == terms  # one more session, one record less
    write(place, "port.md", "# Port\n\nIt is 9443 again.\n", 60)
    drain(place)
    assert sorted(kept(place)) == ["Host", "Port"]


def test_the_whole_folder_gone_takes_all_of_it_along(place: Any):
    path = write(place, "port.md", "# Port\n\nIt is 9443.\n")
    drain(place)
    path.unlink()
    folder(place).rmdir()
    drain(place)
    assert kept(place) == {}


def test_a_process_that_begins_notices_what_is_gone(place: Any):
    path = write(place, "port.md", "# Port\n\nIt is 9443.\n")
    drain(place)
    path.unlink()
    again = build(place.app.settings)
    session = place.session().work("login")
    session.note()
    again.capture.drain()
    again.close()
    assert kept(place) == {}


def test_one_that_cannot_be_read_keeps_no_session_waiting(place: Any, monkeypatch: pytest.MonkeyPatch):
    write(place, "port.md", "# Port\n\nIt is 9443.\n")
    monkeypatch.setattr(auto_memory, "what_is_told", lambda *_: (_ for _ in ()).throw(RuntimeError("HIDDEN")))
    drain(place)
    assert [row["kind"] for row in place.records()] == ["session"]
    assert "HIDDEN" not in Path(place.home, "log", "hooks.log").read_text()


def test_a_forgotten_one_stays_forgotten_while_its_file_changes(place: Any):
    write(place, "port.md", "# Port\n\nIt is 9443.\n")
    drain(place)
    place.app.context.forget(place.vault.agent, kept(place)["Port"]["record_id"], "wrong")
    write(place, "port.md", "# Port\n\nIt is 8443.\n", 60)
    drain(place)
    assert kept(place) == {}


def test_secrets_are_struck_from_it(place: Any):
    place.vault.add(values={"password": Plain(VALUE)})
    write(place, "login.md", f"# Login {VALUE}\n\nIt opens with {VALUE}.\n")
    drain(place)
    (row,) = kept(place).values()
    assert VALUE not in json.dumps(place.records())
    assert "{{credential:" in row["digest"]


def test_links_pipes_and_what_is_too_large_are_not_read(place: Any, tmp_path: Path):
    secret = tmp_path / "secret.md"
    secret.write_text("# HIDDEN\n\nof another folder\n")
    (folder(place) / "link.md").symlink_to(secret)
    os.mkfifo(folder(place) / "pipe.md")
    write(place, "large.md", "# Large\n" + "word " * 200_000)
    write(place, "other.txt", "# Text\n\nno note\n")
    write(place, "empty.md", "")
    write(place, "port.md", "# Port\n\nIt is 9443.\n")
    drain(place)
    assert list(kept(place)) == ["Port"]


def test_a_memory_folder_that_is_a_link_is_not_read(place: Any, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "port.md").write_text("# HIDDEN\n\nof another folder\n")
    (place.projects / "memory").symlink_to(tmp_path / "elsewhere")
    drain(place)
    assert kept(place) == {}


def test_of_a_long_note_the_digest_tells_the_beginning_and_the_rest_is_found(place: Any):
    lines = "\n".join(f"- host number {number} answers on port {9_000 + number}" for number in range(400))
    write(place, "hosts.md", f"# Hosts\n\n{lines}\n\nthe last is the frobnicator\n")
    drain(place)
    row = kept(place)["Hosts"]
    assert row["digest_tokens"] <= 1_300 < row["raw_tokens"]
    assert "frobnicator" in row["body_rest"]


@pytest.mark.parametrize(
    ("kind", "machine", "is_there"), [("memory", "desk", True), ("memory", "other", False), ("fact", "desk", False)]
)
def test_on_its_own_machine_it_is_not_told_again(kind: str, machine: str, is_there: bool):
    assert is_before_it(Record("cx_1", kind=kind, machine_name=machine), "desk") is is_there


def test_names_of_any_length_make_keys_that_fit(tmp_path: Path):
    place = tmp_path / ("p" * 120) / "memory"
    place.mkdir(parents=True)
    (place / ("ä" * 100 + ".md")).write_text("x")
    (place / ("a" * 200 + ".md")).write_text("x")
    keys = [file.key for file in auto_memory.files(place)]
    assert len(set(keys)) == 2
    assert all(len(key) <= 150 and key.startswith(auto_memory.prefix(place)) for key in keys)


@pytest.mark.parametrize(
    "text", ["# a" + " " * 200_000 + "b\n", "---" + "\n" * 200_000 + "x"], ids=["a wide heading", "an open head"]
)
def test_no_file_takes_longer_than_its_length(place: Any, text: str):
    write(place, "odd.md", text)
    drain(place)  # else it would not come to an end
    assert len(kept(place)) == 1


def test_the_title_is_the_first_heading_that_says_something(place: Any):
    write(place, "one.md", "#\n# ##\n## The gateway's ports ##\nwords\n")
    drain(place)
    assert list(kept(place)) == ["The gateway's ports"]


def test_no_name_of_a_file_stands_in_the_database_as_it_is(place: Any):
    name = "ghp_" + "k3J9dLmQ2xV7bN4tR8wY1zC6hF5gS0pAqEuX" + ".md"
    write(place, name, "The gateway listens on 9443.\n")
    drain(place)
    (row,) = kept(place).values()
    assert name[:-3] not in repr(row)
