"""The drain: from notes in the spool to records, once and whole."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.parse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.context import ContextRecord
from domain.drafts import Draft
from domain.errors import Unavailable
from domain.plain import Plain
from hooks import shelf, spool
from mcp_server.services import capture as capturing
from mcp_server.services import rescan

VALUE = "Tr0ub4dor&3 of the old gateway"


def test_a_session_becomes_one_record(place: Any):
    session = place.session().work()
    session.note()
    outcome = place.app.capture.drain()
    assert (outcome.captured, outcome.waiting, outcome.set_aside) == (1, 0, 0)
    (row,) = place.records()
    assert row["title"].startswith("Move the checkout service")
    assert "Edited: checkout.py" in row["digest"]
    assert row["session_id"] == session.session_id
    assert row["project_name"] == "shop"
    assert row["owner_name"] == "anna"
    assert row["transcript_size"] == session.transcript.stat().st_size
    assert row["raw_tokens"] > 0
    assert json.loads(row["provenance"])["Asked"] == "person"
    assert not spool.is_waiting(place.home)


def test_draining_twice_writes_once(place: Any):
    session = place.session().work()
    for _ in range(3):
        session.note()
        place.app.capture.drain()
    assert len(place.records()) == 1


def test_a_session_that_grew_replaces_its_record(place: Any):
    session = place.session().work()
    session.note()
    place.app.capture.drain()
    (before,) = place.records()
    session.ask("We decided: retries stay at three, never four")
    session.note()
    assert place.app.capture.drain().captured == 1
    (after,) = place.records()
    assert after["record_id"] == before["record_id"]
    assert "retries stay at three" in after["digest"]
    assert after["updated_us"] > before["updated_us"]


def test_an_older_capture_never_overwrites_a_newer_one(place: Any):
    session = place.session().work()
    session.ask("and the second half of it too, please")
    session.note()
    place.app.capture.drain()
    (newer,) = place.records()
    session.transcript.write_text(session.transcript.read_text().splitlines(keepends=True)[0])
    session.note()
    assert place.app.capture.drain().unchanged == 1
    assert place.records() == [newer]


def test_frequencies_count_each_record_once_however_often_it_is_replaced(place: Any):
    session = place.session().work()
    session.note()
    place.app.capture.drain()
    once = place.terms()
    assert once["#records"] == 1
    session.write({"type": "mode"})
    session.note()
    place.app.capture.drain()
    assert place.terms() == once


def test_subagent_files_belong_to_their_session(place: Any):
    session = place.session().work()
    folder = session.transcript.with_suffix("") / "subagents"
    folder.mkdir(parents=True)
    rows = [
        {
            "type": "assistant",
            "isSidechain": True,
            "message": {"content": [{"type": "text", "text": "the subagent saw frobnicator.conf"}]},
        }
    ]
    (folder / "agent-a1.jsonl").write_text("\n".join(map(json.dumps, rows)))
    session.note()
    place.app.capture.drain()
    (row,) = place.records()
    assert "frobnicator.conf" in row["body_rest"]


@pytest.mark.parametrize(
    "form",
    [
        lambda value: value,
        lambda value: base64.b64encode(value.encode()).decode(),
        urllib.parse.quote,
        lambda value: value.encode().hex(),
        lambda value: json.dumps(value)[1:-1],
    ],
)
def test_no_vault_value_reaches_a_record_and_its_reference_does(place: Any, form: Any):
    made = place.app.credentials.create(
        place.vault.person, Draft("password", "Old Gateway", values={"password": Plain(VALUE)})
    )
    session = place.session().work()
    session.call("Bash", f"password is {form(VALUE)} ok", command=f"login --with '{form(VALUE)}'")
    session.call("Bash", f"Error: wrong password {form(VALUE)}", failed=True, command="login")
    session.ask(f"never use {form(VALUE)} again")
    session.say(f"I will not use {form(VALUE)} again, understood and noted.")
    session.note()
    place.app.capture.drain()
    (row,) = place.records()
    kept = json.dumps(row)
    assert VALUE not in kept
    assert form(VALUE) not in kept
    assert "{{credential:" in row["digest"]
    assert made.description.reference.rpartition("/")[2] in row["digest"]
    assert sum(json.loads(row["struck"]).values()) > 0
    assert form(VALUE).encode() not in place.vault.store.contents()
    for entry in Path(place.home).rglob("*"):
        if entry.is_file() and not entry.name.startswith("claudetools.db"):
            assert form(VALUE).encode() not in entry.read_bytes(), entry


def test_values_of_our_own_tools_are_never_kept(place: Any):
    session = place.session().work()
    session.call(
        "mcp__plugin_claudetools_claudetools__credential_reveal",
        '{"value": "HIDDEN-VALUE-1"}',
        reference="acme/gw/admin",
        purpose="HIDDEN-VALUE-1",
    )
    session.note()
    place.app.capture.drain()
    (row,) = place.records()
    assert "HIDDEN-VALUE-1" not in json.dumps(row)
    assert "credential_reveal acme/gw/admin" in row["body_rest"]


def test_a_known_format_is_struck(place: Any):
    session = place.session().work()
    token = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
    session.ask(f"use the token {token} for it")
    session.note()
    place.app.capture.drain()
    assert token not in json.dumps(place.records())


def test_a_transcript_that_is_not_there_yet_is_waited_for(place: Any):
    session = place.session()
    session.note()
    assert place.app.capture.drain().waiting == 1
    session.work()
    assert place.app.capture.drain().captured == 1


def test_a_transcript_that_is_gone_is_told_and_set_aside_and_the_others_come_through(
    place: Any, monkeypatch: pytest.MonkeyPatch
):
    gone, here = place.session(), place.session().work()
    gone.note()
    here.note()
    monkeypatch.setattr(capturing, "GONE_US", 0)
    outcome = place.app.capture.drain()
    assert (outcome.captured, outcome.set_aside) == (1, 1)
    assert gone.session_id in outcome.troubles[0]
    assert not spool.is_waiting(place.home)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00" * 100, b"{" * 5000, b"[]\n" * 50, b'{"type": "user"'])
def test_an_unreadable_transcript_does_not_keep_the_others_waiting(place: Any, content: bytes):
    bad, good = place.session(), place.session().work()
    bad.transcript.write_bytes(content)
    bad.note()
    good.note()
    place.app.capture.drain()
    assert [row["session_id"] for row in place.records()] == [good.session_id]


def test_a_torn_last_line_loses_only_itself(place: Any):
    session = place.session().work()
    with session.transcript.open("a") as out:
        out.write('{"type": "user", "message": {"content": "TORN')
    session.note()
    place.app.capture.drain()
    (row,) = place.records()
    assert "TORN" not in json.dumps(row)
    assert "Edited: checkout.py" in row["digest"]


def test_a_transcript_that_is_a_pipe_is_not_waited_for(place: Any):
    session = place.session()
    os.mkfifo(session.transcript)
    session.note()
    assert place.app.capture.drain().captured == 0


def test_while_the_database_is_away_the_notes_stay(place: Any):
    session = place.session().work()
    session.note()
    store = place.vault.store
    place.app.engine.dispose()
    kept = store.keep()
    store.remove()
    with pytest.raises(Unavailable):
        place.app.capture.drain()
    assert spool.is_waiting(place.home)
    store.put_back(kept)
    assert place.app.capture.drain().captured == 1


def test_a_newer_note_that_came_in_meanwhile_stays(place: Any, monkeypatch: pytest.MonkeyPatch):
    session = place.session().work()
    session.note()
    reading = capturing.Followed.catch_up

    def read_and_meanwhile(followed: Any) -> int:
        told = reading(followed)
        session.ask("one more thing, about the retries of it")
        session.note()
        return told

    with monkeypatch.context() as patched:
        patched.setattr(capturing.Followed, "catch_up", read_and_meanwhile)
        place.app.capture.drain()
    assert spool.is_waiting(place.home)
    place.app.capture.drain()
    (row,) = place.records()
    assert "about the retries" in row["body_person"]
    assert not spool.is_waiting(place.home)


def test_a_second_drain_waits_for_the_first_and_then_gives_up(place: Any):
    place.session().work().note()
    lock = os.open(place.app.settings.spool_dir / capturing.LOCK_FILE, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        outcome = place.app.capture.drain(wait=0.05)
    finally:
        os.close(lock)
    assert outcome.busy
    assert outcome.waiting == 1
    assert place.app.capture.drain().captured == 1


def test_drains_at_once_write_each_session_once(place: Any):
    for number in range(6):
        place.session().work(f"part{number}").note()
    threads = [threading.Thread(target=place.app.capture.drain) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(place.records()) == 6
    assert place.terms()["#records"] == 6


DRAIN = """
import sys
from pathlib import Path
from mcp_server.bootstrap import build
from mcp_server.config import load_settings
app = build(load_settings(Path(sys.argv[1])))
print("ready", flush=True)
app.capture.drain()
"""


@pytest.mark.parametrize("delay_ms", [0, 5, 15, 30, 60, 120])
def test_killed_at_any_moment_nothing_is_lost_or_double(place: Any, delay_ms: int):
    sessions = [place.session().work(f"part{number}") for number in range(8)]
    for session in sessions:
        session.note()
    drain = subprocess.Popen(
        [sys.executable, "-c", DRAIN, place.home], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert drain.stdout is not None
    drain.stdout.readline()
    try:
        drain.wait(delay_ms / 1000)
    except subprocess.TimeoutExpired:
        drain.send_signal(signal.SIGKILL)
    drain.wait()
    drain.stdout.close()
    place.app.capture.drain()
    assert sorted(row["session_id"] for row in place.records()) == sorted(session.session_id for session in sessions)
    assert place.terms()["#records"] == 8
    assert not spool.is_waiting(place.home)
    assert sorted(path.name for path in place.app.settings.spool_dir.iterdir()) == [capturing.LOCK_FILE]


def test_a_session_whose_hooks_never_left_a_note_is_adopted(place: Any):
    session = place.session()
    session.started()
    session.work()
    assert place.app.capture.drain().captured == 1
    assert place.records()[0]["session_id"] == session.session_id
    assert place.app.capture.drain().captured == 0


def test_a_captured_session_that_grew_without_a_note_is_adopted_again(place: Any):
    session = place.session()
    session.started()
    session.work()
    session.note()
    place.app.capture.drain()
    session.ask("We decided: the port stays 9443 for good")
    place.app.capture.drain()
    assert "the port stays 9443" in place.records()[0]["digest"]


def test_a_failing_record_is_set_aside_after_a_few_tries(place: Any, monkeypatch: pytest.MonkeyPatch):
    bad, good = place.session().work("bad"), place.session().work("good")
    bad.note()
    good.note()
    account = capturing.Followed.account

    def fail_for_bad(followed: Any) -> Any:
        if "bad service" in account(followed).body().person:
            raise RuntimeError("HIDDEN")
        return account(followed)

    monkeypatch.setattr(capturing.Followed, "account", fail_for_bad)
    outcomes = [place.app.capture.drain() for _ in range(capturing.MOST_FAILURES)]
    assert outcomes[0].captured == 1
    assert outcomes[0].waiting == 1
    assert outcomes[-1].set_aside == 1
    assert not spool.is_waiting(place.home)
    assert "HIDDEN" not in Path(place.home, "log", "hooks.log").read_text()


def test_a_session_with_nothing_said_leaves_no_record(place: Any):
    session = place.session()
    session.write({"type": "mode"}, {"type": "last-prompt", "lastPrompt": "x"})
    session.note()
    place.app.capture.drain()
    assert place.records() == []
    assert not spool.is_waiting(place.home)


def test_the_branch_of_the_work_is_kept_and_the_default_one_is_none(place: Any):
    for branch in ("main", "topic/gateway"):
        session = place.session().work(branch.replace("/", ""))
        session.write({"type": "user", "message": {"content": "go on with it, please"}, "gitBranch": branch})
        session.note()
    place.app.capture.drain()
    assert sorted(row["branch"] for row in place.records()) == ["", "topic/gateway"]


def test_a_note_that_a_killed_drain_held_in_its_hand_is_captured(place: Any):
    session = place.session().work()
    session.note()
    folder = place.app.settings.spool_dir
    (folder / f"{session.session_id}.json").rename(folder / f".taken.{session.session_id}.json")
    assert place.app.capture.drain().captured == 1
    assert not spool.is_waiting(place.home)


def test_captures_that_arrive_out_of_order_leave_the_longest(place: Any):
    record = ContextRecord("cx_1", "session", "long", "Asked: long", 1, 1, session_key="ma:s", transcript_size=20)
    shorter = replace(record, record_id="cx_2", title="short", digest="Asked: short", transcript_size=10)
    for one in (record, shorter, replace(shorter, transcript_size=20)):
        with place.app.work.recording(place.app.machine) as unit:
            unit.context.keep(one)
    assert [row["title"] for row in place.records()] == ["long"]


def test_a_value_that_came_into_the_vault_later_is_struck_from_what_was_kept(place: Any):
    session = place.session().work()
    session.ask(f"we decided to use {VALUE} for the gateway")
    session.note()
    note = place.app.context.save(place.vault.agent, kind="fact", title="the gateway", text=f"opens with {VALUE}")
    place.app.capture.drain()
    shelf.put_on_shelf(place.home, place.records()[0]["project"], f"{note.record.record_id} {VALUE}")
    assert VALUE in json.dumps(place.records())
    place.vault.add(values={"password": Plain(VALUE)})
    place.app.capture.drain()
    assert VALUE not in json.dumps(place.records())
    assert json.dumps(place.records()).count("{{credential:") >= 2
    assert shelf.from_shelf(place.home, place.records()[0]["project"]).text == ""
    assert place.terms()["#records"] == 2
    assert "the gateway" in [hit.title for hit in place.app.context.recall(place.vault.agent, "gateway opens").hits]


def test_a_value_that_came_into_the_vault_while_a_session_goes_on_is_struck_from_all_of_it(place: Any):
    session = place.session().work()
    session.ask(f"we decided to use {VALUE} for the gateway")
    session.note()
    place.app.capture.drain()
    place.vault.add(values={"password": Plain(VALUE)})
    place.app.capture.drain()  # all records are struck of it by now
    session.ask("and one thing more, please")
    session.note()
    assert place.app.capture.drain().captured == 1
    (row,) = place.records()
    assert "one thing more" in row["body_person"]
    assert VALUE not in json.dumps(place.records())


def test_a_turns_end_reads_what_is_new_of_a_session(place: Any, monkeypatch: pytest.MonkeyPatch):
    session = place.session()
    for number in range(50):
        session.work(f"part{number}")
    read: list[int] = []
    catch_up = capturing.Followed.catch_up

    def counted(followed: Any) -> int:
        before = followed.bytes_read
        size = catch_up(followed)
        read.append(followed.bytes_read - before)
        return size

    monkeypatch.setattr(capturing.Followed, "catch_up", counted)
    session.note()
    place.app.capture.drain()
    size = session.transcript.stat().st_size
    session.ask("and one thing more, please")
    session.note()
    place.app.capture.drain()
    assert read == [size, session.transcript.stat().st_size - size]
    assert "one thing more" in place.records()[0]["body_person"]


def test_striking_again_goes_on_where_it_stopped(place: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rescan, "STRIKE_BATCH", 2)
    for number in range(5):
        session = place.session().work(f"part{number}")
        session.ask(f"we decided to use {VALUE} for it")
        session.note()
    place.app.capture.drain()
    place.vault.add(values={"password": Plain(VALUE)})
    rounds = [place.app.capture.strike_again(within=0) for _ in range(4)]
    assert rounds == [2, 2, 1, 0]
    assert VALUE not in json.dumps(place.records())


def test_what_a_session_says_after_its_last_note_is_captured_though_no_hook_saw_its_start(place: Any):
    """It was going on when the plugin came, and its client was killed later."""
    session = place.session().work()
    session.note()
    place.app.capture.drain()
    assert place.app.capture.drain().captured == 0
    session.ask("And then the barometer was to be calibrated as well, please")
    assert place.app.capture.drain().captured == 1
    (row,) = place.records()
    assert "barometer" in row["body_person"]


def test_a_full_disk_keeps_no_session_from_being_captured(place: Any):
    session = place.session().work()
    session.note()
    shutil.rmtree(Path(place.home) / shelf.SEEN, ignore_errors=True)
    (Path(place.home) / shelf.SEEN).write_text("a file where a folder must be")
    assert place.app.capture.drain().captured == 1
    assert not spool.is_waiting(place.home)
