"""Forgetting many records at once: exactly those, everywhere, under one entry with their number."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.context import Filters
from domain.errors import Denied, Invalid, NotFound, Unavailable
from hooks import shelf
from mcp_server.services import forgetting

ANIMALS = ("wombat", "tapir", "lemur", "okapi")


@pytest.fixture
def filled(place: Any) -> Any:
    """Sessions of two folders, and notes of a client and of none."""
    for name in ("shop", "bakery"):
        for subject in ("checkout", "till"):
            place.session(name).work(f"{name}{subject}").note()
    place.app.capture.drain()
    for number, client in enumerate(("acme", "acme", "other", "")):
        place.app.context.save(
            place.vault.agent, kind="fact", title=f"note {number}", text=f"{ANIMALS[number]} runs", client=client
        )
    return place


def titles(place: Any) -> list[str]:
    return sorted(row["title"] for row in place.records() if row["state"] == "active")


def forget(place: Any, purpose: str = "the contract ended", **filters: str) -> Any:
    return place.app.context.forgetting.all_of(place.vault.person, Filters(**filters), purpose)


def test_all_of_a_client_are_forgotten_under_one_entry_with_their_number(filled: Any):
    with filled.vault.writes() as entries:
        gone = forget(filled, client="ACME")
    assert gone.records == 2
    (entry,) = entries
    assert (entry["action"], entry["entry_id"]) == ("context.forget", gone.entry)
    assert entry["said"]["facts"] == {"records": 2}
    assert entry["said"]["purpose"] == "the contract ended [all projects; client acme]"
    left = titles(filled)
    assert "note 0" not in left
    assert "note 1" not in left
    assert {"note 2", "note 3"} <= set(left)
    assert len(left) == 6


def test_nothing_of_them_is_left_in_terms_rows_and_shelves(filled: Any):
    assert any("wombat" in term for term in filled.terms())
    ids = [row["record_id"] for row in filled.records() if row["client"] == "acme"]
    shelf.put_on_shelf(filled.home, "pj_x", f"- {ids[1]} note 1")
    shelf.put_on_shelf(filled.home, "pj_y", "- cx_another")
    forget(filled, client="acme")
    assert not any(word in term for term in filled.terms() for word in ("wombat", "tapir"))
    assert "wombat" not in json.dumps(filled.vault.rows("context_records"), default=repr)
    assert shelf.from_shelf(filled.home, "pj_x").text == ""
    assert shelf.from_shelf(filled.home, "pj_y").text
    assert filled.app.context.recall(filled.vault.agent, "wombat").hits == ()
    assert filled.terms()["#records"] == 6


def test_a_project_and_its_sessions_are_forgotten_and_not_captured_again(filled: Any):
    assert forget(filled, project="shop").records == 2
    for subject in ("checkout", "till"):
        assert f"shop{subject}" not in " ".join(titles(filled))
    gone = [row["session_key"].partition(":")[2] for row in filled.records() if row["state"] == "forgotten"]
    assert len(gone) == 2
    again = filled.session("shop")
    again.session_id = gone[0]
    again.ask("Move the shopcheckout service once more")
    again.note()
    filled.app.capture.drain()
    assert "shopcheckout" not in " ".join(titles(filled))


def test_what_is_named_together_must_all_hold(filled: Any):
    with pytest.raises(NotFound):
        forget(filled, client="acme", project="shop")
    assert len(titles(filled)) == 8


@pytest.mark.parametrize(
    ("filters", "number"),
    [
        ({"kind": "fact"}, 4),
        ({"machine": "."}, 8),
        ({"person": "me"}, 8),
        ({"when": "today", "kind": "fact"}, 4),
        ({"when": "before 2026-11-24"}, 4),
    ],
)
def test_a_preview_counts_and_changes_nothing(filled: Any, filters: dict[str, str], number: int):
    doomed, _ = filled.app.context.forgetting.doomed(filled.vault.person, Filters(**filters))
    assert doomed.records == number
    assert sum(records for _, records in doomed.projects) == number
    assert 0 < doomed.oldest_us <= doomed.newest_us
    assert len(titles(filled)) == 8


def test_one_session_is_forgotten(filled: Any):
    session_id = next(row["session_id"] for row in filled.records() if "bakerytill" in row["title"])
    assert forget(filled, session=session_id).records == 1
    assert "bakerytill" not in " ".join(titles(filled))


@pytest.mark.parametrize(
    ("filters", "purpose", "wrong"),
    [
        ({}, "x", "filters"),
        ({"client": "acme"}, " ", "purpose"),
        ({"when": "someday"}, "x", "when"),
        ({"kind": "x"}, "x", "kind"),
    ],
)
def test_it_takes_a_filter_and_a_reason(filled: Any, filters: dict[str, str], purpose: str, wrong: str):
    with pytest.raises(Invalid) as refused:
        forget(filled, purpose, **filters)
    assert list(refused.value.fields) == [wrong]
    assert len(titles(filled)) == 8


def test_who_may_not_forget_forgets_nothing(filled: Any):
    from dataclasses import replace

    reader = replace(filled.vault.person, scopes=frozenset({"context:read"}))
    with pytest.raises(Denied):
        filled.app.context.forgetting.all_of(reader, Filters(client="acme"), "x")
    assert len(titles(filled)) == 8


def test_where_it_is_cut_off_it_says_how_far_it_came_and_the_same_again_removes_the_rest(
    filled: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(forgetting, "AT_ONCE", 1)

    def cut(gone: int) -> None:
        if gone == 1:
            raise Unavailable("the database went away")

    with pytest.raises(Unavailable) as failed:
        filled.app.context.forgetting.all_of(filled.vault.person, Filters(kind="fact"), "x", report=cut)
    assert failed.value.message.startswith("1 of 4 records are gone")
    assert len(titles(filled)) == 7
    assert forget(filled, kind="fact").records == 3
    assert len(titles(filled)) == 4


def test_what_is_saved_meanwhile_stays(filled: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forgetting, "AT_ONCE", 1)

    def save(gone: int) -> None:
        if gone == 1:
            filled.app.context.save(filled.vault.agent, kind="fact", title="the newest", text="came in between")

    gone = filled.app.context.forgetting.all_of(filled.vault.person, Filters(kind="fact"), "x", report=save)
    assert gone.records == 4
    assert "the newest" in titles(filled)
