"""The memory in use: what a prompt is told, and recall, get, save, forget."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.context import Filters
from domain.errors import Denied, Invalid, NotFound
from domain.plain import Plain
from hooks import shelf, spool, trust
from hooks.project import bind, identify
from mcp_server.services import context as serving

QUESTION = "Which port does the billing gateway listen on for the checkout service?"
UNRELATED = "Write a haiku about the sea in winter, three lines please"


def new_session(place: Any, *, seen: bool = True) -> str:
    """A session that has just started, and was told nothing yet."""
    session_id = str(uuid.uuid4())
    if seen:
        shelf.write_seen(place.home, session_id, shelf.Seen({}))
    return session_id


def prompted(place: Any) -> str:
    """A session whose first prompt was answered before there was anything."""
    session_id = new_session(place)
    seen = shelf.Seen({})
    seen.prompted = True
    seen.folder = str(place.folder())
    shelf.write_seen(place.home, session_id, seen)
    return session_id


def prompt(place: Any, session_id: str, said: str, folder: str = "shop") -> str:
    return str(place.app.context.prompt(session_id, said, str(place.folder(folder))))


@pytest.fixture
def kept(place: Any) -> Any:
    """A captured session about the checkout service."""
    session = place.session().work()
    session.note()
    place.app.capture.drain()
    return session


@pytest.fixture
def agent(place: Any) -> Any:
    """The agent, in a session."""
    return place.vault.agent


def test_the_first_prompt_is_told_what_the_session_before_left_though_it_waits_in_the_spool(place: Any):
    session = place.session().work()
    session.note("SessionEnd")
    told = prompt(place, new_session(place), "hello", "shop-2")
    assert "Asked: Move the checkout service" in told
    assert "Edited: checkout.py" in told
    assert len(told) <= 4_000


def test_the_first_prompt_is_told_of_a_session_that_was_killed(place: Any):
    session = place.session()
    session.started()
    session.work()
    assert "Edited: checkout.py" in prompt(place, new_session(place), "hello")


def test_the_first_prompt_waits_for_another_process_that_drains_but_not_for_long(
    place: Any, monkeypatch: pytest.MonkeyPatch
):
    place.session().work().note()
    monkeypatch.setattr(serving, "LATE_WAIT_S", 0.1)
    entered = threading.Event()
    with place.app.capture._alone(1.0):
        answered: list[str] = []
        asking = threading.Thread(
            target=lambda: (entered.set(), answered.append(prompt(place, new_session(place), "hello")))
        )
        asking.start()
        entered.wait(5)
        asking.join(10)
    assert answered == [""]
    assert spool.is_waiting(place.home)


def test_what_was_told_at_the_start_is_not_told_again(place: Any, kept: Any):
    session_id = new_session(place)
    seen = shelf.Seen({"stamps": {place.records()[0]["record_id"]: place.records()[0]["updated_us"]}})
    shelf.write_seen(place.home, session_id, seen)
    assert prompt(place, session_id, "hello") == ""


def test_what_changed_since_is_told(place: Any, kept: Any):
    session_id = new_session(place)
    seen = shelf.Seen({"stamps": {place.records()[0]["record_id"]: place.records()[0]["updated_us"]}})
    shelf.write_seen(place.home, session_id, seen)
    kept.ask("We decided: retries stay at three, never four")
    kept.note()
    assert "retries stay at three" in prompt(place, session_id, "hello")


def test_only_the_first_prompt_is_told_late(place: Any):
    session_id = new_session(place)
    assert prompt(place, session_id, "hello") == ""
    session = place.session().work()
    session.note()
    place.app.capture.drain()
    assert prompt(place, session_id, "hello") == ""


def test_a_session_is_not_told_of_itself(place: Any):
    session = place.session().work()
    session.started()
    session.note()
    place.app.capture.drain()
    assert prompt(place, session.session_id, QUESTION) == ""


def test_a_prompt_about_earlier_work_is_told_in_a_few_lines(place: Any, kept: Any):
    told = prompt(place, prompted(place), QUESTION)
    assert place.records()[0]["record_id"] in told
    assert len(told) <= 600


def test_the_same_record_is_not_told_twice_in_a_session(place: Any, kept: Any):
    session_id = prompted(place)
    assert prompt(place, session_id, QUESTION)
    assert prompt(place, session_id, QUESTION) == ""


@pytest.mark.parametrize(
    "said",
    [
        UNRELATED,
        "yes",
        "billing gateway",
        "/review the billing gateway of the checkout service",
        "<task-notification>the billing gateway of the checkout service</task-notification>",
        "",
        "\x00" * 50,
        "please run the tests and commit the changes",
    ],
)
def test_what_asks_for_nothing_is_told_nothing(place: Any, kept: Any, said: str):
    assert prompt(place, prompted(place), said) == ""


def test_a_machines_prompt_does_not_count_as_the_first(place: Any, kept: Any):
    session_id = new_session(place)
    assert prompt(place, session_id, "<task-notification>done</task-notification>") == ""
    assert "checkout" in prompt(place, session_id, "hello")


def test_another_project_is_told_nothing(place: Any, kept: Any):
    assert prompt(place, new_session(place), QUESTION, "bakery") == ""


def test_folders_of_one_client_share_their_records(place: Any):
    for name in ("shop", "bakery"):
        bind(place.home, client="ACME", folder=str(place.folder(name)))
    session = place.session().work()
    spool.put(
        place.home,
        serving.identify(str(session.folder), place.machine_id),
        session_id=session.session_id,
        transcript_path=str(session.transcript),
        folder=str(session.folder),
        client="ACME",
        event="Stop",
    )
    place.app.capture.drain()
    assert "checkout" in prompt(place, new_session(place), "hello", "bakery")


@pytest.mark.parametrize("session_id", ["", "../../x", "a/b", "\0", "x" * 300])
def test_a_hostile_session_id_writes_no_file(place: Any, kept: Any, session_id: str, tmp_path: Any):
    before = sorted(tmp_path.rglob("*.json"))
    prompt(place, session_id, QUESTION)
    assert sorted(tmp_path.rglob("*.json")) == before


def test_recall_finds_and_is_audited(place: Any, kept: Any, agent: Any):
    with place.vault.writes() as entries:
        hits = place.app.context.recall(agent, "billing gateway checkout", cwd=str(place.folder())).hits
    assert [hit.title for hit in hits] == ["Move the checkout service to the billing gateway on port 9443"]
    assert hits[0].record_id in hits[0].line
    assert [(entry["action"], entry["said"]["facts"]) for entry in entries] == [("context.recall", {"hits": 1})]


def test_recall_of_nothing_lists_the_newest_of_the_place(place: Any, kept: Any, agent: Any):
    assert [hit.record_id for hit in place.app.context.recall(agent, "", cwd=str(place.folder())).hits] == [
        place.records()[0]["record_id"]
    ]
    assert place.app.context.recall(agent, "", cwd=str(place.folder("bakery"))).hits == ()


def test_recall_reaches_other_projects_unless_told_to_stay(place: Any, kept: Any, agent: Any):
    there = str(place.folder("bakery"))
    assert len(place.app.context.recall(agent, "billing gateway", cwd=there).hits) == 1
    assert place.app.context.recall(agent, "billing gateway", Filters(project="."), cwd=there).hits == ()


@pytest.mark.parametrize(
    "query", ['"', "*", "a OR b", "NEAR(x)", ") --", "terms:x", "\0", "日本", "x" * 50_000, "{{}}", "^billing"]
)
def test_no_question_breaks_the_search(place: Any, kept: Any, agent: Any, query: str):
    place.app.context.recall(agent, query)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "nonsense"},
        {"limit": 0},
        {"limit": 1000},
        {"when": "nonsense"},
        {"when": "today", "since": "monday"},
        {"since": "nonsense"},
        {"until": "2027"},
        {"since": "today", "until": "yesterday"},
        {"tag": "x" * 301},
        {"person": "nonsense\0"},
        {"project": "."},
        {"branch": "."},
    ],
)
def test_what_recall_cannot_do_it_says(place: Any, agent: Any, wrong: dict[str, Any]):
    limit = {"limit": wrong["limit"]} if "limit" in wrong else {}
    filters = Filters(**{name: value for name, value in wrong.items() if name != "limit"})
    with pytest.raises(Invalid) as refused:
        place.app.context.recall(agent, "x", filters, **limit)
    assert list(refused.value.fields) == list(wrong)[:1]
    assert "nonsense" not in str(refused.value.fields)


def test_get_gives_the_record_whole_and_is_audited(place: Any, kept: Any, agent: Any):
    record_id = place.records()[0]["record_id"]
    with place.vault.writes() as entries:
        record = place.app.context.get(agent, record_id)
    assert "Edited: checkout.py" in record.digest
    assert record.files == ("checkout.py",)
    assert [(entry["action"], entry["subject_id"], entry["outcome"]) for entry in entries] == [
        ("context.get", record_id, "ok")
    ]


@pytest.mark.parametrize("record_id", ["cx_" + "a" * 26, "HIDDEN", "", "cr_" + "a" * 26])
def test_what_is_not_there_is_said_without_repeating_it(place: Any, agent: Any, record_id: str):
    for ask in (
        lambda: place.app.context.get(agent, record_id),
        lambda: place.app.context.forget(agent, record_id, "tidy up"),
    ):
        with pytest.raises(NotFound) as refused:
            ask()
        assert "HIDDEN" not in refused.value.message + refused.value.hint
    assert "HIDDEN" not in json.dumps(place.vault.rows("audit_entries"), default=repr)


def test_a_saved_note_is_found_and_told(place: Any, agent: Any):
    with place.vault.writes() as entries:
        saved = place.app.context.save(
            agent,
            kind="decision",
            title="Retries stay at three",
            text="The gateway throttles the fourth.",
            tags=["Gateway"],
            cwd=str(place.folder()),
        )
    assert [entry["action"] for entry in entries] == ["context.save"]
    assert saved.entry == entries[0]["entry_id"]
    assert saved.record.tags == ("gateway",)
    assert [hit.kind for hit in place.app.context.recall(agent, "throttles retries").hits] == ["decision"]
    assert "Note: The gateway throttles the fourth." in prompt(place, new_session(place), "hello")


def test_a_saved_note_holds_no_vault_value(place: Any, agent: Any):
    value = "the old Gateway password 7"
    place.vault.add(values={"password": Plain(value)})
    saved = place.app.context.save(agent, kind="fact", title=f"It is {value}", text=f"use {value} there", tags=[value])
    assert value not in json.dumps(place.records())
    assert "{{credential:" in saved.record.title
    assert value not in json.dumps(place.vault.rows("audit_entries"), default=repr)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("kind", {"kind": "session"}),
        ("title", {"title": " "}),
        ("title", {"title": "x" * 500}),
        ("text", {"text": ""}),
        ("text", {"text": "x" * 1_000_000}),
        ("text", {"text": "a\0b"}),
        ("tags", {"tags": ["x"] * 50}),
        ("tags", {"tags": [""]}),
    ],
)
def test_a_note_that_cannot_be_kept_is_refused_by_field(place: Any, agent: Any, field: str, wrong: dict[str, Any]):
    said = {"kind": "fact", "title": "t", "text": "x"} | wrong
    with pytest.raises(Invalid) as refused:
        place.app.context.save(agent, **said)
    assert field in refused.value.fields
    assert place.records() == []


def test_a_forgotten_record_is_gone_everywhere_and_does_not_come_back(place: Any, kept: Any, agent: Any):
    record_id = place.records()[0]["record_id"]
    project = place.records()[0]["project"]
    shelf.put_on_shelf(place.home, project, f"block with {record_id} in it")
    with place.vault.writes() as entries:
        place.app.context.forget(agent, record_id, "the client asked")
    assert [(entry["action"], entry["said"]["purpose"]) for entry in entries] == [
        ("context.forget", "the client asked")
    ]
    assert "checkout" not in json.dumps(place.vault.dump(), default=repr)
    assert shelf.from_shelf(place.home, project).text == ""
    assert place.app.context.recall(agent, "billing gateway checkout").hits == ()
    assert place.terms().get("#records") == 0
    kept.ask("and now more about the checkout service")
    kept.note()
    place.app.capture.drain()
    assert "checkout" not in json.dumps(place.vault.dump(), default=repr)
    assert not spool.is_waiting(place.home)
    assert prompt(place, new_session(place), QUESTION) == ""


def test_forgetting_wants_a_reason(place: Any, kept: Any, agent: Any):
    with pytest.raises(Invalid):
        place.app.context.forget(agent, place.records()[0]["record_id"], " ")
    assert place.records()[0]["state"] == "active"


def test_a_revoked_agent_recalls_nothing(place: Any, kept: Any, agent: Any):
    place.app.identity.revoke(place.vault.person, agent.id)
    with pytest.raises(Denied):
        place.app.context.recall(agent, "billing gateway")
    with pytest.raises(Denied):
        place.app.context.get(agent, place.records()[0]["record_id"])


def note(place: Any, title: str, **more: Any) -> str:
    return str(
        place.app.context.save(
            more.pop("actor", place.vault.agent),
            kind=more.pop("kind", "fact"),
            title=title,
            text=f"{title}, at length",
            **more,
        ).record.record_id
    )


def found(place: Any, query: str = "", *, cwd: str = "", **filters: str) -> list[str]:
    answer = place.app.context.recall(place.vault.agent, query, Filters(**filters), cwd=cwd, limit=20)
    return [hit.title for hit in answer.hits]


def aged(place: Any, title: str, when: str) -> None:
    """As if a record had been kept then."""
    at_us = int(datetime.fromisoformat(when).timestamp()) * 1_000_000
    place.vault.sql("UPDATE context_records SET updated_us = ? WHERE title = ?", at_us, title)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"kind": "warning"}, ["the restore is slow"]),
        ({"tag": "Backup"}, ["the restore is slow"]),
        ({"client": "ACME"}, ["the mail gateway moved"]),
        ({"project": "bakery"}, ["the oven has a sensor"]),
        ({"person": "me"}, ["the mail gateway moved", "the oven has a sensor", "the restore is slow"]),
        ({"person": "nobody"}, []),
        ({"machine": "workbench", "kind": "warning"}, ["the restore is slow"]),
        ({"machine": ".", "kind": "warning"}, ["the restore is slow"]),
        ({"machine": "elsewhere"}, []),
        ({"when": "2026-11-18"}, ["the oven has a sensor"]),
        ({"since": "2026-11-18", "until": "2026-11-19"}, ["the mail gateway moved", "the oven has a sensor"]),
        ({"when": "before 2026-11-18"}, ["the restore is slow"]),
    ],
)
def test_recall_is_narrowed_by_every_filter(place: Any, filters: dict[str, str], expected: list[str]):
    note(place, "the restore is slow", kind="warning", tags=["backup"])
    note(place, "the oven has a sensor", cwd=str(place.folder("bakery")))
    note(place, "the mail gateway moved", client="acme")
    for title, when in (
        ("the restore is slow", "2026-11-17T12:00:00+00:00"),
        ("the oven has a sensor", "2026-11-18T12:00:00+00:00"),
        ("the mail gateway moved", "2026-11-19T12:00:00+00:00"),
    ):
        aged(place, title, when)
    assert found(place, **filters) == expected
    assert sorted(found(place, "at length", **filters)) == sorted(expected)


def test_recall_by_file_and_branch(place: Any):
    session = place.session()
    (session.folder / ".git" / "HEAD").write_text("ref: refs/heads/fix-port\n")
    session.work().note()
    place.app.capture.drain()
    title = "Move the checkout service to the billing gateway on port 9443"
    assert found(place, file="checkout.py") == [title]
    assert found(place, file="out.py") == []
    assert found(place, branch="fix-port") == [title]
    assert found(place, branch=".", cwd=str(session.folder)) == [title]
    assert found(place, branch="other") == []


def test_a_time_in_the_question_is_a_filter_and_the_answer_says_so(place: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    now = datetime.fromtimestamp(place.app.work.clock() / 1_000_000, UTC)
    for title, days in (("failing backup: the disk was full", 7), ("failing backup: the key was old", 40)):
        note(place, title)
        aged(place, title, (now - timedelta(days=days)).isoformat())
    answer = place.app.context.recall(place.vault.agent, "What did we do about the failing backup last week?")
    assert [hit.title for hit in answer.hits] == ["failing backup: the disk was full"]
    assert "“last week” read as Mon " in answer.scope
    named = place.app.context.recall(place.vault.agent, "failing backup last week", Filters(when="60d")).hits
    assert len(named) == 2, "a time that is given is the time"


def test_where_nothing_is_of_the_time_in_the_question_any_time_answers(place: Any):
    note(place, "failing backup: the key was old")
    aged(place, "failing backup: the key was old", "2025-03-01T12:00:00+00:00")
    answer = place.app.context.recall(place.vault.agent, "failing backup yesterday")
    assert [hit.title for hit in answer.hits] == ["failing backup: the key was old"]
    assert answer.scope.startswith("all projects; nothing of ")


def test_a_question_that_is_nothing_but_a_time_lists_what_is_of_it(place: Any):
    note(place, "the oven has a sensor", cwd=str(place.folder("bakery")))
    assert found(place, "what did we do today?") == ["the oven has a sensor"]
    assert found(place, "what did we do yesterday?") == []


def test_recall_says_which_project_a_record_is_of_where_it_is_another(place: Any, kept: Any, agent: Any):
    for folder, told in (("bakery", " in shop cx_"), ("shop", "workbench cx_")):
        (hit,) = place.app.context.recall(agent, "billing gateway", cwd=str(place.folder(folder))).hits
        assert told in hit.line


def test_recall_marks_what_the_session_was_told_and_a_prompt_does_not_repeat_what_it_listed(place: Any, kept: Any):
    session_id = prompted(place)
    agent = place.app.identity.actor(place.vault.template.agent_token, session_id=session_id)
    (hit,) = place.app.context.recall(agent, "billing gateway", cwd=str(place.folder())).hits
    assert not hit.told
    assert prompt(place, session_id, QUESTION) == ""
    (again,) = place.app.context.recall(agent, "billing gateway", cwd=str(place.folder())).hits
    assert again.told
    assert again.line == f"{hit.line} [told already]"


def test_recall_marks_what_the_start_told(place: Any, kept: Any):
    session_id = new_session(place)
    assert "checkout" in prompt(place, session_id, "hello")
    agent = place.app.identity.actor(place.vault.template.agent_token, session_id=session_id)
    assert [hit.told for hit in place.app.context.recall(agent, "billing gateway").hits] == [True]


def of_another(place: Any) -> None:
    """As if all that is kept had been left by somebody else."""
    place.vault.sql("UPDATE context_records SET owner_id = 'pe_other', owner_name = 'Bea'")


def test_a_prompt_is_told_other_persons_records_in_a_trusted_folder_alone(place: Any, kept: Any):
    trust.adopt(place.home, place.machine_id)
    of_another(place)
    assert prompt(place, new_session(place), "hello") == ""
    assert prompt(place, prompted(place), QUESTION) == ""
    trust.trust(place.home, identify(str(place.folder()), place.machine_id))
    assert "Asked: Move the checkout service" in prompt(place, new_session(place), "hello")
    assert "checkout" in prompt(place, prompted(place), QUESTION)


def test_recall_of_this_project_leaves_other_persons_records_out_where_the_folder_is_new_and_says_so(
    place: Any, kept: Any, agent: Any
):
    trust.adopt(place.home, place.machine_id)
    of_another(place)
    here = str(place.folder())
    for query, filters in (("", Filters()), ("billing gateway", Filters(project=".")), ("", Filters(project="."))):
        answer = place.app.context.recall(agent, query, filters, cwd=here)
        assert answer.hits == ()
        assert "claudetools project trust" in answer.scope
    assert (
        "trust" not in place.app.context.recall(agent, "", Filters(project="."), cwd=str(place.folder("bakery"))).scope
    )
    everywhere = place.app.context.recall(agent, "billing gateway", cwd=here)
    assert len(everywhere.hits) == 1, "asked for by its words, not by what a folder says of itself"
    assert "The checkout service now speaks" not in everywhere.hits[0].line
    trust.trust(place.home, identify(here, place.machine_id))
    assert len(place.app.context.recall(agent, "billing gateway", Filters(project="."), cwd=here).hits) == 1


def test_a_note_of_another_persons_agent_shows_its_title_only_where_it_is_asked_for(place: Any):
    here = str(place.folder())
    note(place, "the billing gateway throttles at ten retries a second", kind="warning", cwd=here)
    trust.trust(place.home, identify(here, place.machine_id))
    of_another(place)
    told = prompt(place, prompted(place), "how often does the billing gateway throttle retries a second?")
    assert "written by an assistant" in told
    assert "throttles" not in told
    assert found(place, "billing gateway throttles") == ["the billing gateway throttles at ten retries a second"]


def test_the_session_that_asks_comes_last(place: Any, kept: Any):
    asking = place.session()
    asking.ask("billing gateway checkout billing gateway checkout on port 9443?")
    asking.say("Let me look.")
    asking.note()
    place.app.capture.drain()
    agent = place.app.identity.actor(place.vault.template.agent_token, session_id=asking.session_id)
    for query in ("billing gateway checkout", ""):
        hits = place.app.context.recall(agent, query, cwd=str(place.folder())).hits
        assert [hit.line.endswith("[this session]") for hit in hits] == [False, True]
        assert len(place.app.context.recall(agent, query, cwd=str(place.folder()), limit=1).hits) == 1
