"""Stop, PreCompact, PostCompact, SessionEnd: a pointer in the spool, and nothing printed."""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from hooks import spool

EVENTS = ["Stop", "PreCompact", "PostCompact"]


@pytest.mark.parametrize("event", EVENTS)
def test_a_note_points_to_the_transcript_and_holds_nothing_of_it(desk: Any, event: str):
    said = desk.event("s-1", last_assistant_message="HIDDEN", compact_summary="HIDDEN", custom_instructions="HIDDEN")
    Path(said["transcript_path"]).write_text("HIDDEN\n")
    assert desk.run(event, said) == ""
    note = desk.notes()["s-1"]
    assert note["transcript_path"] == said["transcript_path"]
    assert note["size"] == 7
    assert note["project"].startswith("pj_")
    assert "HIDDEN" not in json.dumps(note)


def test_notes_are_private(desk: Any):
    old = os.umask(0)
    try:
        desk.run("Stop", desk.event())
    finally:
        os.umask(old)
    assert stat.S_IMODE((desk.home / "spool" / "s-1.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((desk.home / "spool").stat().st_mode) & 0o077 == 0


def test_a_later_note_replaces_the_earlier_one(desk: Any):
    desk.run("Stop", desk.event())
    first = desk.notes()["s-1"]
    desk.run("PreCompact", desk.event())
    assert list(desk.notes()) == ["s-1"]
    assert desk.notes()["s-1"]["at_us"] > first["at_us"]


@pytest.mark.parametrize(
    "session", ["../../x", "/etc/x", "", "a/b", ".", "..", "x" * 500, "a\0b", "-x", "a b", None, 7, ["s"]]
)
def test_a_hostile_session_id_writes_nothing(desk: Any, tmp_path: Path, session: object):
    before = {path for path in tmp_path.rglob("*") if "log" not in path.parts}
    desk.run("Stop", desk.event() | {"session_id": session})
    assert {path for path in tmp_path.rglob("*") if "log" not in path.parts} == before
    assert "Refused" in desk.log()


@pytest.mark.parametrize(
    "path", ["relative.jsonl", "/etc/passwd", "", "/x\0.jsonl", "/" + "x" * 5000 + ".jsonl", None, {}]
)
def test_what_is_no_transcript_path_leaves_no_note(desk: Any, path: object):
    assert desk.run("Stop", desk.event() | {"transcript_path": path}) == ""
    assert desk.notes() == {}


@pytest.mark.parametrize("said", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b"7", b"[" * 100_000, b"{}"])
def test_whatever_comes_in_the_hook_ends_well(desk: Any, said: bytes):
    for event in ("Stop", "SessionStart", "SessionEnd", "Unknown", ""):
        assert desk.run(event, said) == ""


def test_the_log_never_repeats_what_came_in(desk: Any):
    desk.run("Stop", b'{"session_id": "HIDDEN/../HIDDEN", "transcript_path": "HIDDEN"}')
    assert desk.log()
    assert "HIDDEN" not in desk.log()


def test_a_subagent_leaves_no_note(desk: Any):
    desk.run("Stop", desk.event(agent_id="a1", agent_type=""))
    assert desk.notes() == {}


def test_a_spool_that_cannot_be_written_breaks_nothing(desk: Any):
    (desk.home / "spool").write_text("a file where the folder should be")
    assert desk.run("Stop", desk.event()) == ""
    assert "Stop" in desk.log()


@pytest.mark.parametrize("settings", ["", "{", "[]", "{}", '{"home": "relative"}', '{"home": 7}'])
def test_broken_settings_break_nothing(desk: Any, settings: str):
    desk.settings.write_text(settings)
    for event in ("Stop", "SessionStart", "SessionEnd"):
        assert desk.run(event, desk.event()) == ""


def test_missing_settings_break_nothing(desk: Any):
    desk.settings.unlink()
    assert desk.run("Stop", desk.event()) == ""


def test_the_end_of_a_session_starts_a_drain_that_the_hook_does_not_wait_for(desk: Any):
    # The drain of this desk finds no installation and ends by itself; the note stays for a later one.
    assert desk.run("SessionEnd", desk.event(reason="other")) == ""
    assert desk.notes()["s-1"]["event"] == "SessionEnd"
    assert desk.log() == ""


def test_a_drain_that_has_yet_to_look_spares_the_next_ones(desk: Any):
    home, mark = str(desk.home), desk.home / "spool" / ".draining"
    desk.run("Stop", desk.event("s-1"))
    claim = spool.claim_start(home)
    assert claim is not None
    try:
        desk.run("SessionEnd", desk.event("s-2", reason="other"))
        assert not mark.exists(), "a second drain was started"
    finally:
        os.close(claim)
    assert set(desk.notes()) == {"s-1", "s-2"}
    desk.run("SessionEnd", desk.event("s-3", reason="other"))
    assert mark.exists()


def test_a_drain_that_begins_to_look_lets_go_of_its_claim(desk: Any, monkeypatch: pytest.MonkeyPatch):
    home = str(desk.home)
    desk.run("Stop", desk.event("s-1"))
    claim = spool.claim_start(home)
    assert spool.claim_start(home) is None
    monkeypatch.setenv(spool.STARTING_VARIABLE, str(claim))
    spool.begin_to_look(home)
    again = spool.claim_start(home)
    assert again is not None
    os.close(again)


@pytest.mark.parametrize("said", ["", "x", "-1", "1", "999999"])
def test_a_claim_that_is_none_closes_nothing(desk: Any, monkeypatch: pytest.MonkeyPatch, said: str):
    desk.run("Stop", desk.event("s-1"))
    os.close(spool.claim_start(str(desk.home)))
    monkeypatch.setenv(spool.STARTING_VARIABLE, said)
    spool.begin_to_look(str(desk.home))
    os.fstat(1)


def test_a_note_taken_out_is_gone_and_a_newer_one_stays(desk: Any):
    home = str(desk.home)
    desk.run("Stop", desk.event("s-1"))
    (old,) = spool.pending(home)
    desk.run("Stop", desk.event("s-1"))
    assert spool.take_out(old) is False
    (new,) = spool.pending(home)
    assert new.at_us > old.at_us
    assert spool.take_out(new) is True
    assert not spool.is_waiting(home)
    assert spool.take_out(new) is True


def test_a_note_in_the_hand_of_a_killed_process_is_put_back(desk: Any):
    home = str(desk.home)
    desk.run("Stop", desk.event("s-1"))
    folder = desk.home / "spool"
    (folder / "s-1.json").rename(folder / ".taken.s-1.json")
    spool.recover(home)
    assert [note.session_id for note in spool.pending(home)] == ["s-1"]
    assert sorted(path.name for path in folder.iterdir()) == ["s-1.json"]


def test_a_newer_note_is_not_overwritten_by_one_that_is_put_back(desk: Any):
    home = str(desk.home)
    folder = desk.home / "spool"
    desk.run("Stop", desk.event("s-1"))
    (folder / "s-1.json").rename(folder / ".taken.s-1.json")
    desk.run("PreCompact", desk.event("s-1"))
    spool.recover(home)
    assert [note.event for note in spool.pending(home)] == ["PreCompact"]


@pytest.mark.parametrize("trouble", [errno.EPERM, errno.ENOSPC, errno.EMLINK])
def test_a_note_is_put_back_where_the_disk_takes_no_second_name(
    desk: Any, monkeypatch: pytest.MonkeyPatch, trouble: int
):
    home = str(desk.home)
    desk.run("Stop", desk.event("s-1"))
    (old,) = spool.pending(home)
    desk.run("PreCompact", desk.event("s-1"))

    def refuse(*_: object) -> None:
        raise OSError(trouble, "no")

    monkeypatch.setattr(os, "link", refuse)
    assert spool.take_out(old) is False
    assert [note.event for note in spool.pending(home)] == ["PreCompact"]


def test_a_note_that_cannot_be_set_aside_because_the_disk_is_full_stays(desk: Any, monkeypatch: pytest.MonkeyPatch):
    desk.run("Stop", desk.event("s-1"))
    file = desk.home / "spool" / "s-1.json"

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no")

    monkeypatch.setattr(os, "makedirs", refuse)
    spool.set_aside(str(file))
    assert file.exists()


def test_half_written_files_of_killed_processes_are_removed_once_they_are_old(desk: Any):
    desk.run("Stop", desk.event("s-1"))
    old, fresh = [], []
    for folder in ("", "log", "seen", "shelf", "spool"):
        (desk.home / folder).mkdir(exist_ok=True)
        for files, name in ((old, ".one.json.7.8.part"), (fresh, ".two.json.7.9.part")):
            file = desk.home / folder / name
            file.write_text('{"text": "half a bl')
            files.append(file)
    for file in old:
        os.utime(file, (time.time() - 120,) * 2)
    spool.recover(str(desk.home))
    assert not any(file.exists() for file in old)
    assert all(file.exists() for file in fresh)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"session_id": "other"}', '{"session_id": "s-9", "transcript_path": "../x"}']
)
def test_a_damaged_note_is_set_aside_and_the_others_come_through(desk: Any, content: str):
    desk.run("Stop", desk.event("s-1"))
    (desk.home / "spool" / "s-9.json").write_text(content)
    assert [note.session_id for note in spool.pending(str(desk.home))] == ["s-1"]
    assert (desk.home / "spool" / ".aside" / "s-9.json").exists()
