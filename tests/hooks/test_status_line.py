"""The status line: one line of what the session was given, and nothing else, whatever is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.hooks.conftest import NOW_US, Desk
from tests.hooks.test_session_start import NOWHERE, keep

HOUR_US = 3_600_000_000


def shown(desk: Any, session: str = "s-new", **more: object) -> str:
    """What the client shows: it sends more than a hook is sent."""
    said = desk.event(session, model={"id": "m"}, workspace={"current_dir": "/x"}, context_window={}, **more)
    return str(desk.run("StatusLine", said))


def test_it_tells_what_the_session_was_given(desk: Desk):
    keep(desk, raw_tokens=58_400, machine_name="laptopB", updated_us=NOW_US - 3 * HOUR_US)
    desk.told()
    assert shown(desk) == "memory: 1 record · 58k tokens saved · newest laptopB 3 h ago\n"


def test_a_project_without_records_is_said_to_be_one(desk: Desk):
    desk.told()
    assert shown(desk) == "memory: nothing of this project yet\n"


def test_a_database_that_is_away_is_told_beside_what_the_shelf_told(desk: Desk):
    keep(desk, raw_tokens=58_400)
    desk.told(session="s-before")
    desk.configure(database=NOWHERE)
    desk.told()
    assert shown(desk).startswith("memory: 1 record · 58k tokens saved")
    assert shown(desk).endswith(" · database away\n")


def test_notes_that_wait_longer_than_a_drain_takes_are_counted(desk: Desk):
    desk.told()
    for session in ("s-1", "s-2", "s-3"):
        desk.run("Stop", desk.event(session))
    assert "waiting" not in shown(desk)
    for session in ("s-1", "s-2"):
        os.utime(desk.home / "spool" / f"{session}.json", (time.time() - 120,) * 2)
    assert shown(desk).endswith(" · 2 sessions waiting to be kept\n")


@pytest.mark.parametrize(
    "said",
    [b"", b"{", b"[]", b"{}", json.dumps({"session_id": "../../etc/passwd"}).encode(), b'{"session_id": "s-none"}'],
)
def test_what_it_does_not_understand_shows_nothing_and_is_no_trouble(desk: Desk, said: bytes):
    assert desk.run("StatusLine", said) == ""
    assert desk.log() == ""


@pytest.mark.parametrize("damaged", [b"", b"{", b"[1]", b'{"figures": 7, "trouble": []}', b"\xff\xfe"])
def test_a_damaged_note_of_the_session_shows_no_error(desk: Desk, damaged: bytes):
    desk.told()
    (desk.home / "seen" / "s-new.json").write_bytes(damaged)
    assert "error" not in shown(desk).lower()


def test_it_loads_neither_the_database_nor_the_ranking(desk: Desk, tmp_path: Any):
    desk.told()
    loaded = tmp_path / "loaded"
    probe = (
        "import sys, runpy, os; leave = os._exit\n"
        f"os._exit = lambda code: (open({str(loaded)!r}, 'w').write(' '.join(sys.modules)), leave(code))\n"
        "sys.argv = ['hooks', *sys.argv[1:]]; runpy.run_module('hooks', run_name='__main__')"
    )
    said = json.dumps(desk.event("s-new")).encode()
    subprocess.run([sys.executable, "-I", "-c", probe, "StatusLine", str(desk.settings)], input=said, check=True)
    assert not {"sqlite3", "pymysql", "storage", "domain", "socket"} & set(loaded.read_text().split())
