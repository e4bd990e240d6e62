"""SessionStart: what earlier sessions left, told in time or not at all."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hooks import shelf, spool
from hooks.project import identify
from storage.address import parse_address
from storage.engine import open_engine
from storage.migrations import upgrade
from tests.hooks.conftest import Desk
from tests.kit.mariadb import OWNER
from tests.kit.stores import Databases, MariaDBStore, OnMariaDB, dropped_after

NOWHERE = "/nowhere/claudetools.db"
DIGEST = "Asked: move the checkout to the gateway\nOutcome: it speaks to the gateway\nEdited: checkout.py"


def project(desk: Any, folder: Path | None = None) -> str:
    return identify(str(folder or desk.folder), "ma_1").project_id


def keep(desk: Any, title: str = "move the checkout", **more: Any) -> str:
    return str(desk.keep(project(desk), title=title, outcome="it speaks", digest=more.pop("digest", DIGEST), **more))


@pytest.fixture(scope="module")
def empty(database: Databases) -> Iterator[MariaDBStore | None]:
    """A database with the product's tables, where they lie on a server."""
    with dropped_after():
        if not isinstance(database, OnMariaDB):
            yield None
            return
        store = MariaDBStore(database.server, database.make())
        address = parse_address(store.server.url(store.name), base="/")
        engine = open_engine(address.changed(password=store.server.passwords[OWNER]))
        upgrade(engine)
        engine.dispose()
        machine = {"machine_id": "ma_1", "name": "desk", "public_key": b"", "state": "active"}
        store.put("machines", machine | {"created_us": 1, "revision": 1, "mac": b""})
        yield store


@pytest.fixture
def desk(empty: MariaDBStore | None, tmp_path: Path) -> Desk:
    """A desk whose memory lies in a file, and one whose memory lies on a server."""
    server = MariaDBStore(empty.server, empty.copy()) if empty is not None else None
    return Desk(tmp_path / "data", tmp_path / "work", server)


ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def known(desk: Any) -> str:
    """A record of this project."""
    return keep(desk)


@pytest.mark.parametrize("source", ["startup", "clear", "compact"])
def test_a_session_is_told_of_the_newest_record_whole(desk: Any, known: str, source: str):
    block = desk.told(source)
    assert known in block
    for line in DIGEST.splitlines():
        assert line in block
    assert "Reference data" in block
    assert len(block) <= 4_000


@pytest.mark.parametrize("source", ["resume", "fork"])
def test_a_session_that_goes_on_is_told_little(desk: Any, known: str, source: str):
    block = desk.told(source)
    assert known in block
    assert "Edited: checkout.py" not in block


def test_what_a_session_was_told_it_is_not_told_again_when_it_resumes(desk: Any, known: str):
    assert known in desk.told("startup", session="s-1")
    assert desk.told("resume", session="s-1") == ""
    newer = keep(desk, "another matter", digest="Asked: something else entirely")
    block = desk.told("resume", session="s-1")
    assert newer in block
    assert known not in block


def test_after_compaction_it_is_told_again(desk: Any, known: str):
    desk.told("startup", session="s-1")
    assert known in desk.told("compact", session="s-1")


def test_its_own_record_is_not_told_to_a_session(desk: Any):
    keep(desk, session_id="s-1")
    assert desk.told("startup", session="s-1") == ""
    assert desk.told("resume", session="s-1") == ""


def test_after_a_compaction_what_it_did_itself_is_news_again(desk: Any):
    own = keep(desk, session_id="s-1")
    assert own in desk.told("compact", session="s-1")


def test_other_projects_stay_out(desk: Any, tmp_path: Path):
    desk.keep("pj_other", title="OTHER", digest="Asked: OTHER")
    assert desk.told() == ""


def test_records_of_the_client_are_told_in_all_its_folders(desk: Any):
    desk.keep("pj_other", client="ACME", title="the vpn of acme", digest="Asked: the vpn of acme")
    (desk.home / "bindings.json").write_text(json.dumps({"folders": {str(desk.folder.resolve()): "ACME"}}))
    assert "the vpn of acme" in desk.told()


def test_forgotten_and_superseded_records_are_not_told(desk: Any):
    keep(desk, state="forgotten")
    keep(desk, superseded_by="cx_x")
    assert desk.told() == ""


def test_many_long_records_stay_within_the_block(desk: Any):
    for number in range(60):
        keep(desk, f"matter {number} " + "word " * 40, digest=f"Asked: matter {number}\nNames: " + "name " * 800)
    block = desk.told()
    assert 2_000 < len(block) <= 4_000
    assert "more: context_recall" in block


def test_a_missing_database_is_answered_from_the_shelf_with_its_date(desk: Any, known: str):
    desk.told()
    desk.store.remove()
    block = desk.told(session="s-2")
    assert known in block
    assert "could not be read; this is what was known on 20" in block
    assert ("FileNotFoundError" if desk.store.kind == "sqlite" else "errno 1049") in desk.log()


def test_a_session_that_goes_on_is_not_told_the_shelf_once_more(desk: Any, known: str):
    assert known in desk.told()
    desk.configure(database=NOWHERE)
    assert desk.told("resume") == ""
    assert known in desk.told("compact"), "what it was told is gone from the conversation"


def test_what_the_shelf_told_is_not_news_when_the_database_is_back(desk: Any, known: str):
    desk.told(session="s-before")
    desk.configure(database=NOWHERE)
    assert known in desk.told()
    seen = shelf.read_seen(str(desk.home), "s-new")
    assert seen is not None
    assert seen.figures.records == 1
    desk.configure()
    assert desk.told("resume") == ""


def test_without_database_and_shelf_nothing_is_said_but_that_there_was_trouble(desk: Any):
    desk.store.remove()
    first = json.loads(desk.run("SessionStart", desk.event(source="startup")))
    assert list(first) == ["systemMessage"]
    assert "hooks.log" in first["systemMessage"]


def test_trouble_is_told_once(desk: Any):
    desk.run("Stop", b"{")
    assert "Refused" in json.loads(desk.run("SessionStart", desk.event(source="startup")))["systemMessage"]
    assert desk.run("SessionStart", desk.event(source="startup")) == ""


def test_a_damaged_database_breaks_nothing(desk: Any, known: str):
    desk.told()
    desk.store.spoil()
    assert known in desk.told(session="s-2")


@ON_SQLITE
def test_a_database_that_does_not_answer_is_not_waited_for(desk: Any, known: str):
    desk.told()
    desk.configure(deadline_ms=150)
    connection = sqlite3.connect(desk.store.file, isolation_level=None)
    try:
        # Out of WAL an exclusive lock keeps readers out for as long as the driver is willing to wait: 300 ms.
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        block = desk.told(session="s-2")
    finally:
        connection.close()
    assert known in block
    assert "did not answer in time" in block


def test_the_first_line_a_hostile_folder_could_say_is_never_run(desk: Any, known: str, tmp_path: Path):
    for module in (
        "json",
        "os",
        "re",
        "sqlite3",
        "threading",
        "hooks",
        "storage",
        "domain",
        "sitecustomize",
        "usercustomize",
    ):
        (desk.folder / f"{module}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'w').write('x')\nraise SystemExit(2)\n"
        )
    for package in ("hooks", "storage", "domain", "mcp_server"):
        (desk.folder / package).mkdir()
        (desk.folder / package / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write('x')\n")
        (desk.folder / package / "__main__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write('x')\n")
    (desk.folder / ".env").write_text("PYTHONPATH=.\n")
    where = {
        "PYTHONPATH": str(desk.folder),
        "PYTHONSTARTUP": str(desk.folder / "json.py"),
        "PYTHONHOME": str(desk.folder),
    }
    answer = desk.run("SessionStart", desk.event(source="startup"), **where)
    assert known in answer
    desk.run("Stop", desk.event(), **where)
    desk.run("SessionEnd", desk.event(), **where)
    assert not (tmp_path / "ran").exists()


@ON_SQLITE
@pytest.mark.parametrize(
    ("event", "reads"),
    [("SessionStart", True), ("Stop", False), ("PreCompact", False), ("PostCompact", False), ("SessionEnd", False)],
)
def test_a_hook_imports_nothing_that_is_slow(desk: Any, known: str, event: str, reads: bool, tmp_path: Path):
    probe = (
        "import sys, runpy, os\n"
        "def leave(code):\n"
        f"    open({str(tmp_path / 'modules')!r}, 'w').write('\\n'.join(sorted(sys.modules)))\n"
        "os._exit = leave\n"
        f"sys.argv = ['hooks', {event!r}, {str(desk.settings)!r}]\n"
        "runpy.run_module('hooks', run_name='__main__')\n"
    )
    import subprocess
    import sys

    subprocess.run(
        [sys.executable, "-I", "-c", probe],
        input=json.dumps(desk.event(source="startup")).encode(),
        cwd=desk.folder,
        capture_output=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in (tmp_path / "modules").read_text().split("\n")}
    slow = {"sqlalchemy", "pydantic", "mcp", "alembic", "cryptography", "typer", "rich", "asyncio", "dataclasses", "pathlib", "typing",
            "tempfile", "urllib", "http", "logging", "subprocess", "socket", "ssl", "snowballstemmer", "argon2", "jwt", "random"}  # fmt: skip
    # runpy of the probe itself imports pathlib nowhere; what is found here the hook brought in.
    assert loaded & slow == set()
    assert ("sqlite3" in loaded) is reads


def test_an_install_that_lost_its_storage_still_lets_the_session_start(desk: Any, tmp_path: Path):
    """Half removed: the hooks are there, what they read with is not."""
    import subprocess
    import sys

    import domain
    import hooks

    copy = tmp_path / "half"
    for package in (hooks, domain):
        source = Path(package.__file__).parent
        shutil.copytree(source, copy / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    code = f"import sys; sys.path[:] = [{str(copy)!r}] + [p for p in sys.path if 'site-packages' not in p]; sys.argv = ['hooks', 'SessionStart', {str(desk.settings)!r}]; import runpy; runpy.run_module('hooks', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        input=json.dumps(desk.event(source="startup")).encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == b""


def test_seen_files_say_where_a_session_can_be_read_from(desk: Any, known: str):
    desk.told(session="s-1")
    said = json.loads((desk.home / "seen" / "s-1.json").read_text())
    assert said["transcript_path"].endswith("/s-1.jsonl")
    assert said["stamps"] == {known: said["stamps"][known]}
    assert said["told"] == [], "a prompt about it may still bring it up"
    assert said["at_us"] <= time.time_ns() // 1000


def leave(desk: Any) -> Path:
    """The note of a session that just ended."""
    transcript = desk.home.parent / "s-before.jsonl"
    transcript.write_text("{}\n")
    desk.run("Stop", desk.event("s-before"))
    (note,) = (desk.home / "spool").glob("[!.]*.json")
    return Path(note)


def test_a_session_that_is_being_captured_is_waited_for(desk: Any):
    desk.configure(deadline_ms=20_000)
    note = leave(desk)
    mark = spool.mark_draining(str(desk.home))
    hook = desk.start("SessionStart", desk.event("s-new", source="startup"))
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            hook.wait(0.5)
        kept = keep(desk)
        note.unlink()
        out, _ = hook.communicate(timeout=30)
    finally:
        os.close(mark)
        hook.kill()
        hook.wait()
    assert kept in json.loads(out)["hookSpecificOutput"]["additionalContext"]


def test_a_note_that_nobody_captures_is_not_waited_for(desk: Any, known: str):
    desk.configure(deadline_ms=20_000)
    leave(desk)
    os.close(spool.mark_draining(str(desk.home)))
    hook = desk.start("SessionStart", desk.event("s-new", source="startup"))
    try:
        out, _ = hook.communicate(timeout=15)  # far below the deadline
    finally:
        hook.kill()
        hook.wait()
    assert known in json.loads(out)["hookSpecificOutput"]["additionalContext"]


@pytest.mark.parametrize("spoiled", ["shelf", "seen", "log"])
def test_a_disk_that_takes_nothing_keeps_no_session_from_being_told(desk: Any, known: str, spoiled: str):
    (desk.home / spoiled).write_text("a file where a folder must be")
    assert known in desk.told()


def test_a_note_of_what_was_forgotten_that_cannot_be_written_keeps_no_session_from_being_told(desk: Any, known: str):
    (desk.home / "forgotten.json").mkdir()
    assert known in desk.told()


def line(desk: Any, source: str = "startup", session: str = "s-new") -> str:
    """What the person is shown at a session's start."""
    out = desk.run("SessionStart", desk.event(session, source=source))
    return str(json.loads(out).get("systemMessage", "")) if out else ""


def test_one_line_tells_the_person_what_the_session_was_told(desk: Any):
    now_us = time.time_ns() // 1000
    keep(desk, machine_name="laptopB", raw_tokens=50_000, updated_us=now_us - 3 * 3_600_000_000 - 300_000_000)
    keep(desk, "mend the till", digest="Asked: mend the till", raw_tokens=8_000, updated_us=now_us - 90_000_000_000)
    assert line(desk) == "ClaudeTools: 2 records · 58k tokens saved · newest laptopB 3 h ago"
    assert line(desk, "clear", "s-2").startswith("ClaudeTools: 2 records")


def test_the_line_is_told_where_a_session_begins_something_was_told_and_nobody_turned_it_off(desk: Any):
    assert line(desk) == ""
    keep(desk, raw_tokens=50_000)
    for source in ("resume", "compact"):
        assert line(desk, source, f"s-{source}") == ""
    desk.configure(start_line="off")
    assert line(desk, session="s-off") == ""
