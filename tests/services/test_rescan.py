"""A value that comes into the vault after it was written down: struck, audited, and told in one incident."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from domain.errors import Unavailable
from domain.incidents import Changes
from domain.plain import Plain
from mcp_server.services import rescan
from storage.incidents import Incidents

VALUE = "Tr0ub4dor&3 of the old gateway"


def remember(place: Any, subject: str = "checkout", value: str = VALUE) -> None:
    """A session that holds the value is captured before the vault knows it."""
    session = place.session().work(subject)
    session.ask(f"the gateway of {subject} takes {value} as it is, keep that in mind")
    session.note()
    assert place.app.capture.drain().captured == 1


def incidents(place: Any) -> list[dict[str, Any]]:
    """The rows of all incidents."""
    return place.vault.rows("incidents")


def strikes(place: Any) -> list[dict[str, Any]]:
    """The audit entries of strikes."""
    return [entry for entry in place.vault.entries() if entry["action"] == "redaction.strike"]


def test_an_added_value_is_struck_audited_and_told_in_an_incident(place: Any):
    remember(place, "checkout")
    remember(place, "billing")
    assert VALUE in json.dumps(place.records())
    reference = place.vault.add(client="ACME", values={"password": Plain(VALUE)}).description.reference
    looked = place.app.rescan.look_again()
    assert looked.found == {reference: 2}
    assert looked.whole
    assert VALUE not in json.dumps(place.records())
    ids = sorted(row["record_id"] for row in place.records())
    (entry,) = strikes(place)
    assert entry["subject_name"] == reference
    assert entry["said"]["actor"]["kind"] == "machine"
    facts = entry["said"]["facts"]
    assert sorted(facts["records"]) == ids
    assert facts["found"] == {reference: 2}
    assert facts["times"][reference] >= 2
    (incident,) = incidents(place)
    assert facts["incidents"] == [incident["incident_id"]] == list(looked.incidents.values())
    assert (incident["type"], incident["severity"], incident["state"]) == ("data_breach", "medium", "investigating")
    whole = place.app.incidents.get(place.vault.person, incident["incident_id"])
    assert {(link.kind, link.target_id) for link in whole.links if link.kind == "context"} == {
        ("context", i) for i in ids
    }
    assert [link.target_name for link in whole.links if link.kind == "credential"] == [reference]
    assert [one.kind for one in whole.timeline] == ["move", "observation", "containment"]
    assert all(record_id in whole.timeline[1].text for record_id in ids)
    assert place.app.settings.machine_name in whole.timeline[1].text
    assert whole.client == "acme"
    assert VALUE not in repr(whole) + json.dumps(entry["said"])
    assert place.app.audit.verify().findings == ()


def test_an_agent_then_sees_the_live_reference(place: Any):
    remember(place)
    reference = place.vault.add(values={"password": Plain(VALUE)}).description.reference
    place.app.rescan.look_again()
    record = place.app.context.get(place.vault.agent, place.records()[0]["record_id"])
    assert "{{credential:" + reference + "#password}}" in repr(record)
    assert VALUE not in repr(record)


def test_while_its_incident_is_open_a_credential_gets_no_second_one(place: Any):
    remember(place)
    reference = place.vault.add(values={"password": Plain(VALUE)}).description.reference
    place.app.capture.drain()
    (incident,) = incidents(place)
    remember(place, "billing", "another secret of it, 77!x")
    place.app.credentials.rotate(place.vault.person, reference, value=Plain("another secret of it, 77!x"))
    place.app.capture.drain()
    assert len(strikes(place)) == 2
    (after,) = incidents(place)
    assert after["incident_id"] == incident["incident_id"]
    assert after["revision"] == incident["revision"] + 1
    whole = place.app.incidents.get(place.vault.person, incident["incident_id"])
    assert [one.kind for one in whole.timeline].count("observation") == 2
    assert sum(link.kind == "context" for link in whole.links) == 2


def test_after_it_was_resolved_a_new_finding_is_a_new_incident(place: Any):
    remember(place)
    reference = place.vault.add(values={"password": Plain(VALUE)}).description.reference
    place.app.rescan.look_again()
    person, first = place.vault.person, incidents(place)[0]["incident_id"]
    place.app.incidents.update(person, first, Changes(state="contained"))
    settled = Changes(state="resolved", texts={"root_cause": "pasted"}, waive={reference: "was never in use"})
    place.app.incidents.update(person, first, settled)
    remember(place, "billing", "another secret of it, 77!x")
    place.app.credentials.rotate(person, reference, value=Plain("another secret of it, 77!x"))
    place.app.rescan.look_again()
    states = [row["state"] for row in incidents(place)]
    assert sorted(states) == ["investigating", "resolved"]


def test_two_credentials_in_one_record_are_two_incidents_in_one_act(place: Any):
    remember(place, value=f"{VALUE} or else kD8#other-value-too")
    one = place.vault.add(name="One", values={"password": Plain(VALUE)}).description.reference
    two = place.vault.add(name="Two", values={"password": Plain("kD8#other-value-too")}).description.reference
    place.app.rescan.look_again()
    (entry,) = strikes(place)
    assert entry["said"]["facts"]["found"] == {one: 1, two: 1}
    assert len(incidents(place)) == 2


def test_an_act_that_fails_leaves_all_as_it_was_and_the_next_does_all_of_it(
    place: Any, monkeypatch: pytest.MonkeyPatch
):
    remember(place)
    place.vault.add(values={"password": Plain(VALUE)})
    before = place.records()
    with monkeypatch.context() as broken:

        def fails(*_: object) -> None:
            raise Unavailable("the disk is full")

        broken.setattr(Incidents, "add", fails)
        with pytest.raises(Unavailable):
            place.app.rescan.look_again()
    assert place.records() == before
    assert incidents(place) == []
    assert strikes(place) == []
    assert place.app.rescan.look_again().records == [before[0]["record_id"]]
    assert len(incidents(place)) == len(strikes(place)) == 1


def test_two_machines_at_once_strike_once_and_open_one_incident(place: Any, monkeypatch: pytest.MonkeyPatch):
    for number in range(6):
        remember(place, f"part{number}")
    place.vault.add(values={"password": Plain(VALUE)})
    monkeypatch.setattr(rescan, "ONE_ACT", 1)
    from mcp_server.bootstrap import build

    others = [build(place.app.settings) for _ in range(2)]
    together, found, wrong = threading.Barrier(2), [], []

    def look(app: Any) -> None:
        try:
            app.redaction.current()
            together.wait(20)
            found.append(app.rescan.look_again(20))
        except Exception as error:  # noqa: BLE001  # told below
            wrong.append(error)

    threads = [threading.Thread(target=look, args=(app,)) for app in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for app in others:
        app.close()
    assert not wrong
    assert sorted(found[0].records + found[1].records) == sorted(row["record_id"] for row in place.records())
    assert VALUE not in json.dumps(place.records())
    assert len(strikes(place)) == 6
    (incident,) = incidents(place)
    assert incident["revision"] == 6
    assert place.app.audit.verify().findings == ()


def test_a_record_of_two_persons_or_machines_makes_it_severe(place: Any):
    remember(place)
    remember(place, "billing")
    store = place.vault.store
    store.sql(
        "UPDATE context_records SET machine_id = ? WHERE record_id = ?", "ma_other", place.records()[0]["record_id"]
    )
    place.vault.add(values={"password": Plain(VALUE)})
    place.app.rescan.look_again()
    assert incidents(place)[0]["severity"] == "high"


def test_a_value_in_the_name_of_a_branch_is_struck_too(place: Any):
    value = "Tr0ub4dor-3-of-the-old-gateway"
    session = place.session().work("checkout")
    session.write({"type": "user", "message": {"content": "go on with it, please"}, "gitBranch": f"topic/{value}"})
    session.note()
    place.app.capture.drain()
    assert value in json.dumps(place.records())
    reference = place.vault.add(client="ACME", values={"password": Plain(value)}).description.reference
    assert place.app.rescan.look_again().found == {reference: 1}
    assert value not in json.dumps(place.records())


def test_a_key_in_the_name_of_a_branch_is_not_kept(place: Any):
    key = "glpat-" + "x7Kq2mVn9TzR4wBc6Ydf"
    session = place.session().work("checkout")
    session.write({"type": "user", "message": {"content": "go on with it, please"}, "gitBranch": f"topic/{key}"})
    session.note()
    place.app.capture.drain()
    (row,) = place.records()
    assert key not in json.dumps(row)
    assert row["branch"].startswith("topic/[struck: ")
