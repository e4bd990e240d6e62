"""Reports: what needs attention is told, and nothing is opened but by the one that says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain.actors import Actor
from domain.credentials import DAY_US
from domain.drafts import Draft
from domain.errors import Denied
from domain.plain import Plain
from mcp_server.bootstrap import App, build
from mcp_server.bootstrap.installation import person_actor
from mcp_server.callers import Door
from mcp_server.config import load_settings

STRONG = "vK9#tLq2!wZr7&xB"
SHARED = "Lp4$yHn8?cTm1%sD"


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now_us = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now_us

    def days_pass(self, days: int) -> None:
        self.now_us += days * DAY_US


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vault(home: Path, clock: Clock) -> Iterator[App]:
    app = build(load_settings(home), clock=clock)
    yield app
    app.close()


@pytest.fixture
def ann(vault: App) -> Actor:
    return person_actor(vault, "ann")


@pytest.fixture
def agent(home: Path, vault: App) -> Actor:
    return Door(home, session_id="s-1", build=lambda _settings: vault).enter().actor


@pytest.fixture
def add(vault: App, ann: Actor) -> Callable[..., str]:
    """Stores a credential and gives its reference."""

    def one(name: str, value: str, client: str = "acme", **more: object) -> str:
        values = {"password": Plain(value), **more.pop("values", {})}
        return vault.credentials.create(
            ann, Draft("password", name, client=client, values=values, **more)
        ).description.reference

    return one


def references(vault: App, actor: Actor, kind: str, **asked: object) -> list[str]:
    return [line.it.reference for line in vault.reports.open(actor, kind, **asked).lines]


def test_at_risk_is_what_was_seen_until_it_is_rotated(vault: App, ann: Actor, agent: Actor, add) -> None:
    first, _ = add("Mail", STRONG), add("Web", SHARED)
    assert references(vault, ann, "at-risk") == []
    vault.credentials.reveal(agent, first, purpose="a test")
    (line,) = vault.reports.open(ann, "at-risk").lines
    assert (line.it.reference, line.fields) == (first, ("password",))
    assert references(vault, ann, "at-risk", client="acme") == [first]
    vault.credentials.rotate(agent, first, value=Plain("seen too, because it came from a model"))
    assert references(vault, ann, "at-risk") == [first]
    vault.credentials.rotate(ann, first, value=Plain(STRONG + "2"))
    assert references(vault, ann, "at-risk") == []


def test_another_field_that_was_seen_stays_at_risk(vault: App, ann: Actor, agent: Actor, add) -> None:
    first = add("Mail", STRONG, values={"totp_seed": Plain("JBSWY3DPEHPK3PXP")})
    vault.credentials.reveal(agent, first, purpose="a test")
    vault.credentials.rotate(ann, first, value=Plain(SHARED))
    (line,) = vault.reports.open(ann, "at-risk").lines
    assert line.fields == ("totp_seed",)


def test_expiring_looks_ahead_and_tells_what_should_have_been(vault: App, ann: Actor, clock: Clock, add) -> None:
    soon = add("Soon", STRONG, expires_us=clock() + 5 * DAY_US)
    late = add("Late", STRONG, expires_us=clock() - 2 * DAY_US)
    due = add("Due", STRONG, rotate_every_days=10)
    add("Later", STRONG, expires_us=clock() + 40 * DAY_US)
    add("Never", STRONG)
    lines = vault.reports.open(ann, "expiring").lines
    assert [(line.it.reference, line.why) for line in lines] == [
        (late, "expired 2 days ago"),
        (soon, "expires in 5 days"),
        (due, "rotation is due in 10 days"),
    ]
    assert references(vault, ann, "expiring", days=7) == [late, soon]
    clock.days_pass(11)
    assert [line.why for line in vault.reports.open(ann, "expiring", days=1).lines][-1] == "rotation was due 1 day ago"


def test_unused_counts_what_was_opened_or_pasted(vault: App, ann: Actor, agent: Actor, clock: Clock, add) -> None:
    used, never, seen = add("Used", STRONG), add("Never", SHARED), add("Seen", STRONG + "3")
    clock.days_pass(60)
    vault.credentials.reveal(ann, seen, purpose="a test")
    clock.days_pass(50)
    vault.credentials.reveal(ann, used, purpose="a test")
    vault.credentials.describe(ann, never)
    fresh = add("Fresh", STRONG + "4")
    assert references(vault, ann, "unused") == [never]
    assert references(vault, ann, "unused", days=40) == [never, seen]
    clock.days_pass(100)
    lines = vault.reports.open(ann, "unused").lines
    assert {line.it.reference: line.why for line in lines} == {
        never: "was never used",
        seen: "was last used 150 days ago",
        used: "was last used 100 days ago",
        fresh: "was never used",
    }


def test_reused_groups_those_that_share_a_current_value_and_opens_nothing(vault: App, ann: Actor, add) -> None:
    first = add("One", SHARED)
    second = add("Two", SHARED, client="globex", values={"notes": Plain("the same words")})
    add("Three", STRONG, values={"notes": Plain("the same words")})
    before = len(vault.audit.search(ann, action="credential.decrypt").items)
    lines = vault.reports.open(ann, "reused").lines
    assert [(line.it.reference, line.others, line.fields) for line in lines] == [
        (first, (second,), ("password",)),
        (second, (first,), ("password",)),
    ]
    assert references(vault, ann, "reused", client="globex") == [first, second]
    assert len(vault.audit.search(ann, action="credential.decrypt").items) == before
    vault.credentials.rotate(ann, second, value=Plain(STRONG + "5"))
    assert references(vault, ann, "reused") == []


def test_weak_tells_scores_under_one_entry_with_the_number_of_values(
    person, add, password_file: Path, vault: App
) -> None:
    weak, strong = add("Weak", "Acme2024!", username="admin"), add("Strong", STRONG)
    gone = add("Gone", "password1")
    vault.credentials.delete(person_actor(vault, "ann"), gone)
    said = person("report", "weak", "--json", "--password-file", str(password_file))
    assert said.code == 0, said.err
    assert [(it["reference"], it["fields"]) for it in said.json["items"]] == [(weak, ["password"])]
    assert said.json["items"][0]["score"] <= 2
    assert "Acme2024!" not in said.all
    all_told = person("report", "weak", "--score", "4", "--json", "--password-file", str(password_file))
    assert {it["reference"] for it in all_told.json["items"]} == {weak, strong}
    entry = person("audit", "search", "--action", "report.weak", "--json").json["items"][0]
    assert entry["facts"] == {"values": 2}
    assert not vault.credentials.describe(person_actor(vault, "ann"), weak).exposed


def test_weak_is_for_persons_alone(vault: App, agent: Actor, person, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Denied):
        vault.reports.weak(agent)
    monkeypatch.setenv("CLAUDECODE", "1")
    assert person("report", "weak").code == 4


def test_a_report_about_nobody_is_no_good_news(person) -> None:
    for kind in ("at-risk", "expiring", "unused", "reused"):
        assert person("report", kind, "--client", "nobody").code == 5
    assert "no value that was seen is still in use" in person("report", "at-risk").out
    assert person("report", "expiring", "--days", "0").code == 2
    assert person("report", "unused", "--limit", "0").code == 2


def test_a_table_for_people_names_what_and_why(person, add, clock: Clock) -> None:
    clock.now_us = 1
    add("Mail", STRONG, expires_us=DAY_US)
    said = person("report", "expiring")
    assert "acme/mail/password" in said.out
    assert "expired" in said.out
    assert STRONG not in said.all


def test_what_is_due_is_left_for_the_hooks_as_times_alone(
    home: Path, vault: App, ann: Actor, add, clock: Clock
) -> None:
    add("Mail", STRONG, expires_us=clock() + 5 * DAY_US)
    due = add("Web", SHARED, rotate_every_days=10)
    add("Later", STRONG, client="globex", expires_us=clock() + 200 * DAY_US, rotate_every_days=300)
    vault.reminders.refresh()
    left = json.loads((home / "due.json").read_text())
    assert left == {"acme": [[clock() + 5 * DAY_US], [clock() + 10 * DAY_US]]}
    clock.days_pass(8)
    vault.credentials.rotate(ann, due, value=Plain(STRONG + "6"))
    vault.reminders.refresh()
    assert json.loads((home / "due.json").read_text())["acme"][1] == [clock() + 10 * DAY_US]


def test_a_command_that_rotates_takes_its_reminder_away(person, home: Path) -> None:
    assert person("credential", "add", "Mail", "--client", "acme", "--generate", "--expires", "2020-01-31").code == 0
    assert len(json.loads((home / "due.json").read_text())["acme"][0]) == 1
    assert person("credential", "update", "acme/mail/password", "--expires", "never").code == 0
    assert json.loads((home / "due.json").read_text()) == {}
