"""Transcripts that lie on the machine already: imported once, in any number of runs, and saved before they are deleted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import pytest

from domain.errors import Invalid, Unavailable
from domain.plain import Plain
from hooks import spool
from mcp_server.services import capture as capturing
from mcp_server.services.importing import Imported, Importing
from mcp_server.services.sessions import kept_days

VALUE = "Tr0ub4dor&3 of the old gateway"
DAY_S = 86_400


def transcript(
    place: Any, name: str, *, folder: PurePath | None = None, slug: str = "-work-shop", age_days: float = 0
) -> Path:
    """A transcript as the client leaves it, of a session that no hook told of."""
    path = place.root / "projects" / slug / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    rows = [
        {"type": "mode", "mode": "normal"},
        {"type": "user", "message": {"content": f"Move the {name} service to the billing gateway, it opens with {VALUE}"},
         "cwd": str(folder or place.folder()), "gitBranch": "topic/gateway"},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": f"The {name} service is moved to it."}]}},
    ]  # fmt: skip
    for second, row in enumerate(rows):
        row["timestamp"] = f"2026-11-20T10:00:{second:02d}.000Z"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    written = time.time() - age_days * DAY_S
    os.utime(path, (written, written))
    return path


def run(place: Any, **more: Any) -> Imported:
    importing = Importing(place.app.capture)
    return importing.run(importing.plan(place.root / "projects", **more), lambda *_: None)


def titles(place: Any) -> list[str]:
    return sorted(str(row["title"]).split()[2] for row in place.records())


def test_sessions_are_imported_as_their_hooks_would_have_told_of_them(place: Any):
    place.vault.add(values={"password": Plain(VALUE)})
    transcript(place, "checkout")
    done = run(place)
    assert (done.sessions, done.failed, done.empty) == (1, [], 0)
    assert done.struck["vault value"] >= 1
    (row,) = place.records()
    assert VALUE not in json.dumps(row)
    session = place.session().work()
    session.note()
    place.app.capture.drain()
    first, second = place.records()
    assert (
        (first["project"], first["project_name"])
        == (second["project"], second["project_name"])
        == (row["project"], "shop")
    )
    assert row["branch"] == "topic/gateway"
    assert row["session_id"] == "checkout"
    assert not spool.is_waiting(place.home)


def test_what_is_there_already_is_passed_over_and_what_grew_is_read_again(place: Any):
    path = transcript(place, "checkout")
    transcript(place, "login")
    assert run(place).sessions == 2
    again = run(place)
    assert (again.sessions, again.kept) == (0, 2)
    with path.open("a") as out:
        out.write(
            json.dumps({"type": "user", "message": {"content": "We decided: retries stay at three, for good"}}) + "\n"
        )
    assert (run(place).sessions, len(place.records())) == (1, 2)
    assert any("retries stay at three" in str(row["digest"]) for row in place.records())


def test_a_forgotten_session_is_not_imported_again(place: Any):
    path = transcript(place, "checkout")
    run(place)
    place.app.context.forget(place.vault.agent, str(place.records()[0]["record_id"]), "it is nobody's business")
    with path.open("a") as out:
        out.write(json.dumps({"type": "user", "message": {"content": "and one thing more, please"}}) + "\n")
    done = run(place)
    assert (done.sessions, done.forgotten) == (0, 1)


def test_those_that_are_deleted_first_come_first(place: Any):
    for name, age in (("newer", 1), ("oldest", 25), ("older", 12)):
        transcript(place, name, age_days=age)
    plan = Importing(place.app.capture).plan(place.root / "projects")
    assert [one.session_id for one in plan.wanted] == ["oldest", "older", "newer"]
    since = int((time.time() - 15 * DAY_S) * 1_000_000)
    later = Importing(place.app.capture).plan(place.root / "projects", since)
    assert ([one.session_id for one in later.wanted], later.older) == (["older", "newer"], 1)


def test_a_folder_that_is_gone_is_known_by_its_path(place: Any):
    transcript(place, "checkout", folder=place.root / "was" / "here")
    transcript(place, "login", folder=place.root / "was" / "here", slug="-other")
    run(place)
    first, second = place.records()
    assert first["project"] == second["project"] != ""
    assert first["project_name"] == "here"


def test_a_folder_of_another_system_is_known_by_its_path(place: Any):
    transcript(place, "checkout", folder=PureWindowsPath(r"D:\work\shop"))
    transcript(place, "login", folder=PureWindowsPath(r"D:\work\shop"), slug="-other")
    transcript(place, "search", folder=PureWindowsPath(r"work\shop"), slug="-third")
    run(place)
    told = {str(row["title"]).split()[2]: (row["project"], row["project_name"]) for row in place.records()}
    assert told["checkout"] == told["login"] != ("", "")
    assert told["checkout"][1] == "shop"
    assert told["search"] == ("", "")


def test_files_that_are_no_sessions_are_left_alone(place: Any):
    path = transcript(place, "checkout")
    (path.parent / "agent-a1.jsonl").write_text(path.read_text())
    (path.parent / "link.jsonl").symlink_to(path)
    (path.parent / "empty.jsonl").touch()
    os.mkfifo(path.parent / "pipe.jsonl")
    (path.parent / "not a session!.jsonl").write_text(path.read_text())
    assert run(place).sessions == 1
    assert titles(place) == ["checkout"]


def test_a_transcript_without_anything_said_is_told_as_empty(place: Any):
    transcript(place, "checkout").write_text(json.dumps({"type": "mode"}) + "\n")
    done = run(place)
    assert (done.sessions, done.empty) == (0, 1)


def test_one_that_cannot_be_read_keeps_no_other_waiting(place: Any, monkeypatch: pytest.MonkeyPatch):
    transcript(place, "bad", age_days=2)
    transcript(place, "good")
    account = capturing.Followed.account

    def fail_for_bad(followed: Any) -> Any:
        if followed.path.stem == "bad":
            raise RuntimeError("HIDDEN")
        return account(followed)

    monkeypatch.setattr(capturing.Followed, "account", fail_for_bad)
    done = run(place)
    assert [(path.stem, reason) for path, reason in done.failed] == [("bad", "RuntimeError")]
    assert titles(place) == ["good"]


def test_while_the_database_is_away_an_import_ends_and_later_goes_on(place: Any, monkeypatch: pytest.MonkeyPatch):
    for name in ("one", "two", "three"):
        transcript(place, name)
    importing = Importing(place.app.capture)
    plan = importing.plan(place.root / "projects")
    recorded, calls = place.app.work.recorded, []

    def away_later(*given: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise Unavailable("the database is away")
        return recorded(*given)

    with monkeypatch.context() as patched:
        patched.setattr(place.app.work, "recorded", away_later)
        with pytest.raises(Unavailable):
            importing.run(plan, lambda *_: None)
    assert len(place.records()) == 1
    assert run(place).sessions == 2
    assert titles(place) == ["one", "three", "two"]


def test_no_folder_is_told_as_such(place: Any):
    with pytest.raises(Invalid) as refused:
        Importing(place.app.capture).plan(place.root / "nowhere")
    assert "DIR" in refused.value.fields


IMPORT = """
import sys
from pathlib import Path, PurePath, PureWindowsPath
from mcp_server.bootstrap import build
from mcp_server.config import load_settings
from mcp_server.services.importing import Importing
app = build(load_settings(Path(sys.argv[1])))
importing = Importing(app.capture)
plan = importing.plan(Path(sys.argv[2]))
print("ready", flush=True)
importing.run(plan, lambda *_: None)
"""


@pytest.mark.parametrize("delay_ms", [0, 20, 60, 120])
def test_killed_at_any_moment_an_import_goes_on_where_it_was(place: Any, delay_ms: int):
    names = [f"part{number}" for number in range(8)]
    for name in names:
        transcript(place, name)
    command = [sys.executable, "-c", IMPORT, place.home, place.root / "projects"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        process.wait(delay_ms / 1000)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    before = len(place.records())
    done = run(place)
    assert (done.sessions, done.kept) == (8 - before, before)
    assert sorted(str(row["session_id"]) for row in place.records()) == names
    assert place.terms()["#records"] == 8


# ---- before they are deleted ----------------------------------------------------------------------------------------


def set_up_days_ago(place: Any, days: float) -> None:
    at = time.time() - days * DAY_S
    os.utime(place.app.settings.machine_key_file, (at, at))


def seen_here(place: Any) -> None:
    """A session whose transcript lies in the client's folder, so that this is known."""
    session = place.session().work("present")
    (place.root / "projects" / "-work-shop").mkdir(exist_ok=True)
    path = place.root / "projects" / "-work-shop" / f"{session.session_id}.jsonl"
    session.transcript.rename(path)
    spool.put(
        place.home,
        spool_project(place),
        session_id=session.session_id,
        transcript_path=str(path),
        folder=str(session.folder),
        client="",
        event="Stop",
    )


def spool_project(place: Any) -> Any:
    from hooks.project import identify

    return identify(str(place.folder()), place.machine_id)


def test_what_the_client_will_soon_delete_is_captured_though_no_hook_told_of_it(place: Any):
    set_up_days_ago(place, 40)
    transcript(place, "soon", age_days=28)
    transcript(place, "later", age_days=20)
    transcript(place, "before", age_days=60)
    seen_here(place)
    assert place.app.capture.drain().captured == 2
    assert titles(place) == ["present", "soon"]
    place.app.capture.drain()
    assert len(place.records()) == 2


def test_one_drain_saves_a_few_and_the_next_ones_go_on(place: Any):
    set_up_days_ago(place, 40)
    for number in range(5):
        transcript(place, f"soon{number}", age_days=28)
    seen_here(place)
    assert [place.app.capture.drain().captured for _ in range(3)] == [
        1 + capturing.MOST_SAVED,
        5 - capturing.MOST_SAVED,
        0,
    ]


def test_what_was_forgotten_or_kept_is_not_saved_again(place: Any):
    set_up_days_ago(place, 40)
    transcript(place, "soon", age_days=28)
    run(place)
    place.app.context.forget(place.vault.agent, str(place.records()[0]["record_id"]), "it is nobody's business")
    seen_here(place)
    place.app.capture.drain()
    assert [row["title"] for row in place.records() if row["state"] == "active" and "soon" in str(row["title"])] == []


@pytest.mark.parametrize(
    ("said", "days"),
    [
        ("", 30),
        ('{"cleanupPeriodDays": 90}', 90),
        ('{"cleanupPeriodDays": true}', 30),
        ('{"cleanupPeriodDays": -1}', 30),
        ("{", 30),
    ],
)
def test_how_long_the_client_keeps_transcripts_is_in_its_settings(tmp_path: Path, said: str, days: int):
    if said:
        (tmp_path / "settings.json").write_text(said)
    assert kept_days(tmp_path / "projects") == days


def test_a_fork_of_a_session_tells_what_is_its_own(place: Any):
    parent = transcript(place, "parent", age_days=2)
    fork = transcript(place, "fork")
    copied = [json.loads(line) for line in parent.read_text().splitlines()]
    for row in copied:
        row |= {"sessionId": "fork", "forkedFrom": {"sessionId": "parent", "messageUuid": "u"}}
    own = fork.read_text()
    fork.write_text("".join(json.dumps(row) + "\n" for row in copied) + own)
    run(place)
    told = {str(row["session_id"]): row for row in place.records()}
    assert "Move the parent service" not in json.dumps(told["fork"])
    assert "Move the fork service" in json.dumps(told["fork"])
