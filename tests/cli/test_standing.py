"""`context status`: how the memory stands, with and without a login, a database, and sessions that cannot be captured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hooks import spool
from hooks.project import identify
from tests.cli.conftest import Run


def leave(home: Path, session: str, transcript: Path) -> None:
    """The note of a session."""
    machine = json.loads((home / "settings.json").read_text())["machine_id"]
    spool.put(
        str(home),
        identify(str(transcript.parent), machine),
        session_id=session,
        transcript_path=str(transcript),
        folder=str(transcript.parent),
        client="",
        event="Stop",
    )


@pytest.fixture
def transcript(tmp_path: Path) -> Path:
    """A session about a backup, in a folder called shop."""
    (tmp_path / "shop").mkdir()
    file = tmp_path / "shop" / "s-1.jsonl"
    rows = [
        {"type": "user", "message": {"content": "Why does the nightly backup of the NAS fail?"}},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": "Its disk was full."}]}},
    ]
    file.write_text("".join(json.dumps({**row, "timestamp": "2026-11-23T10:00:00.000Z"}) + "\n" for row in rows))
    return file


def test_what_this_machine_knows_is_told_without_a_login(run: Run, home: Path, transcript: Path) -> None:
    leave(home, "s-1", transcript)
    said = run("context", "status")
    assert said.code == 0, said.err
    assert "waiting       1, the oldest since just now" in said.out
    assert "answers in" in said.out
    assert "remembered" not in said.out
    assert "claudetools sync" in said.err
    assert "claudetools login" in said.err
    told = run("context", "status", "--json").json
    assert told["waiting"] == 1
    assert told["database"]["reachable"] is True
    assert "records" not in told


def test_a_person_is_told_of_the_last_capture_and_of_every_machine(person: Run, home: Path, transcript: Path) -> None:
    assert "nothing yet" in person("context", "status").out
    leave(home, "s-1", transcript)
    assert person("sync", "--json").json["captured"] == 1
    said = person("context", "status").out
    assert "just now (session s-1, in shop)" in said
    assert "just now: 1 captured" in said
    assert "1 session" in said
    assert "desk (this one)" in said
    told = person("context", "status", "--json").json
    assert told["last_capture"]["session"] == "s-1"
    (machine,) = told["machines"]
    assert (machine["name"], machine["this"], machine["records"]) == ("desk", True, 1)
    assert told["records"] == {"session": 1}


def test_a_session_that_was_set_aside_says_why_and_can_be_tried_again(
    person: Run, home: Path, transcript: Path
) -> None:
    gone = transcript.parent / "s-2.jsonl"
    leave(home, "s-2", gone)
    note = home / "spool" / "s-2.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "at_us": 1}))
    assert person("sync", "--json").json["set_aside"] == 1
    said = person("context", "status")
    assert "set aside: session s-2 in shop: its transcript is gone" in said.err
    assert "claudetools sync --retry" in said.err
    (one,) = person("context", "status", "--json").json["aside"]
    assert (one["session"], one["why"]) == ("s-2", "its transcript is gone")
    gone.write_text(transcript.read_text())
    assert person("sync", "--retry", "--json").json["captured"] == 1
    assert person("context", "status", "--json").json["set_aside"] == 0


def test_a_newer_note_is_not_replaced_by_one_that_was_set_aside(home: Path, transcript: Path) -> None:
    leave(home, "s-1", transcript.parent / "gone.jsonl")
    spool.set_aside(str(home / "spool" / "s-1.json"), "a reason")
    leave(home, "s-1", transcript)
    assert spool.retry(str(home)) == 1
    (note,) = spool.pending(str(home))
    assert note.transcript_path == str(transcript)
    assert list(spool.aside(str(home))) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_while_the_database_is_away_the_rest_is_told(person: Run, home: Path, transcript: Path) -> None:
    leave(home, "s-1", transcript)
    (home / "claudetools.db").rename(home / "away.db")
    said = person("context", "status")
    assert said.code == 0, said.err
    assert "waiting       1" in said.out
    assert "database  away: " in said.out
    assert "claudetools doctor" in said.err
    assert person("context", "status", "--json").json["database"]["reachable"] is False
    assert person("sync").code != 0


def test_what_kept_a_drain_from_its_work_is_told_until_one_succeeds(home: Path, run: Run) -> None:
    spool.note_drain(str(home), trouble="the database is away")
    assert ": the database is away" in run("context", "status").out
    assert run("sync").code == 0
    assert "the database is away" not in run("context", "status").out


def test_a_damaged_note_is_set_aside_and_told(person: Run, home: Path) -> None:
    (home / "spool" / "s-9.json").write_text("{")
    assert person("sync").code == 0
    assert "session s-9: the note is damaged" in person("context", "status").err


def test_all_of_a_project_are_shown_and_then_forgotten(person: Run, home: Path, transcript: Path) -> None:
    leave(home, "s-1", transcript)
    person("sync")
    asked = ("context", "forget", "--project", "shop", "--purpose", "the contract ended")
    shown = person(*asked, "--preview")
    assert shown.code == 0, shown.err
    assert "records   1" in shown.out
    assert "Why does the nightly backup of the NAS fail?" in shown.out
    assert person(*asked).code == 2, "without a terminal it needs --yes"
    assert person("context", "forget", "--yes", "--purpose", "x").code == 2, "never everything"
    assert person("context", "forget", "cx_x", "--client", "acme").code == 2
    assert person("context", "forget", "--before", "today", "--when", "today").code == 2
    gone = person(*asked, "--yes", "--json")
    assert gone.json["records"] == 1
    assert person("context", "recall", "nightly backup").out == "nothing is remembered of that\n"
    assert person(*asked, "--yes").code == 5


def test_claude_code_does_not_forget_for_the_person(person: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")
    assert person("context", "forget", "--client", "acme", "--yes", "--purpose", "x").code == 4
