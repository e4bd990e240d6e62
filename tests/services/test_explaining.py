"""A digest explained from its transcript: what was kept, what fell out, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.context import ContextRecord
from domain.drafts import Draft
from domain.errors import Invalid, NotFound
from domain.plain import Plain

VALUE = "Tr0ub4dor&3 of the old gateway"


def kept(place: Any, session: Any) -> ContextRecord:
    """The record that capture makes of a session."""
    session.note()
    place.app.capture.drain()
    (row,) = place.records()
    record: ContextRecord = place.app.context.get(place.vault.person, row["record_id"])
    return record


def test_every_line_of_the_record_is_counted_under_its_head(place: Any):
    record = kept(place, place.session().work())
    explained = place.app.explaining.explain(record, place.projects)
    assert not explained.changed
    assert {head.head for head in explained.heads if head.kept} == {
        line.partition(":")[0] for line in record.digest.splitlines()
    }
    for head in explained.heads:
        assert head.candidates == head.kept + head.told_elsewhere + head.over_share + head.over_budget
    assert explained.tokens == record.digest_tokens <= explained.budget
    assert explained.raw_tokens == record.raw_tokens


def test_what_fell_out_is_told_with_its_reason(place: Any):
    session = place.session().work()
    for number in range(400):
        session.call("Read", "x", file_path=f"/elsewhere/warehouse/hall/{number}/shelf_{number}.py")
    explained = place.app.explaining.explain(kept(place, session), place.projects)
    (read,) = [head for head in explained.heads if head.head == "Read"]
    assert read.candidates >= 400
    assert 0 < read.kept < 100
    assert read.over_share + read.over_budget > 300
    assert read.dropped
    assert all(".py" in path for path in read.dropped)


def test_no_value_of_the_vault_is_shown_of_what_fell_out(place: Any):
    place.app.credentials.create(
        place.vault.person, Draft("password", "Old Gateway", values={"password": Plain(VALUE)})
    )
    session = place.session().work()
    for number in range(200):
        session.call("Bash", f"Error: part {number} has {VALUE}", failed=True, command=f"login part{number} {VALUE}")
    explained = place.app.explaining.explain(kept(place, session), place.projects)
    assert any(head.dropped for head in explained.heads if head.head == "Error")
    assert VALUE not in repr(explained)


def test_a_session_that_went_on_is_said_to_differ(place: Any):
    session = place.session().work()
    record = kept(place, session)
    session.ask("We decided: retries stay at three, never four")
    assert place.app.explaining.explain(record, place.projects).changed


def test_a_transcript_that_is_gone_is_said_plainly(place: Any):
    session = place.session().work()
    record = kept(place, session)
    session.transcript.unlink()
    with pytest.raises(NotFound, match="its transcript is no longer on this machine"):
        place.app.explaining.explain(record, place.projects)


def test_a_session_of_another_machine_cannot_be_explained_here(place: Any):
    record = kept(place, place.session().work())
    with pytest.raises(NotFound, match="the session ran on laptopZ"):
        place.app.explaining.explain(replace(record, machine_id="ma_other", machine_name="laptopZ"), place.projects)


def test_a_note_has_no_digest_that_was_made(place: Any):
    record = kept(place, place.session().work())
    with pytest.raises(Invalid, match="only a session's record"):
        place.app.explaining.explain(replace(record, kind="decision"), place.projects)
