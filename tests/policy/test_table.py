"""What the exposure policy answers is what the table in docs/policy.md says, for every combination."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from domain import policy
from domain.actors import AGENT_SCOPES, SCOPES, Actor
from domain.credentials import Head
from domain.errors import Denied
from domain.policy import TO_CALLER, Met, Target
from domain.rules import Hours, Rules, Uses
from tests.policy.table import COLUMNS, SAYS, Case, answer, cases, rows

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)  # a Wednesday
NOW_US = int(NOON.timestamp() * 1_000_000)
ANNA = {"owner_id": "pe_1", "owner_name": "anna"}
ACTORS = {
    "agent": Actor("agent", "ag_1", "claude", **ANNA, scopes=AGENT_SCOPES),
    "person": Actor("person", "pe_1", "anna", **ANNA, scopes=SCOPES),
}
TARGETS = {"reveal": TO_CALLER, "recipe": Target("/usr/bin/curl", ("db.example",)), "run": Target("/usr/bin/curl")}


def head_of(case: Case) -> Head:
    """A credential with the level and the rules of a case."""
    weekdays = tuple(range(5))
    rules = Rules(
        step_up=case.step_up != "none",
        approval=case.approval != "none",
        hours=None if case.hours == "none" else Hours(weekdays if case.hours == "inside" else (5, 6), 480, 1080, "UTC"),
        uses=None if case.uses == "none" else Uses(2, 3600),
    )
    return Head(
        *("cr_1", "acme/db/backup", "password", "cl_1", "", "", "Database", "backup", ""),
        *((), (), {}, False, False, None, None, None, case.level, "active", {"password": 1}, 1, 0, 0, None),
        rules=rules,
    )


def decide(case: Case) -> None:
    """What the rules say of a case.  Raises Denied."""
    actor, head = ACTORS[case.who], head_of(case)
    if case.act == "reveal":
        policy.decrypt(actor, head, "password", "test")
    else:
        policy.use(actor, head, "test")
    opened = [NOW_US - 1800 * 1_000_000] * (2 if case.uses == "used up" else 1)
    met = Met(NOW_US, NOON, case.step_up == "given", case.approval == "given", opened)
    policy.meet(actor, head, "password", TARGETS[case.act], met)


def test_every_combination_is_answered_as_the_table_says():
    wrong = []
    for case in cases():
        expected = answer(case)
        try:
            decide(case)
            got = "let"
        except Denied as refusal:
            got = "refused"
            if expected.answer == "refused" and not any(said in refusal.message for said in SAYS[expected.because]):
                wrong.append((case, expected.because, refusal.message))
        if got != expected.answer:
            wrong.append((case, expected.answer, got))
    assert not wrong, f"{len(wrong)} of {len(list(cases()))}, the first: {wrong[0]}"


def test_every_row_of_the_table_is_reached():
    reached = {id_of(answer(case)) for case in cases()}
    assert reached == {id_of(row) for row in rows()}


def id_of(row: object) -> str:
    return str(row)


@pytest.mark.parametrize("because", [row.because for row in rows() if row.answer == "refused"])
def test_a_refusal_names_the_credential_and_who_can_grant_it(because: str):
    case = next(case for case in cases() if answer(case).because == because)
    with pytest.raises(Denied, match="acme/db/backup") as refused:
        decide(case)
    assert "claudetools" in (refused.value.hint or "")
    who = {"step-up": "anna can", "approval": "anybody else", "its level": "a person can"}.get(because, "an owner can")
    assert (refused.value.hint or "").startswith(who)


def test_the_table_speaks_of_every_thing_that_the_cases_differ_in():
    case = next(iter(cases()))
    assert tuple(case.cells()) == COLUMNS
    assert all(set(row.cells) == set(COLUMNS) for row in rows())


PROGRAMS = Rules(programs=("curl", "/opt/own/tool"))
HOSTS = Rules(hosts=("*.example", "db.acme:5432"))


@pytest.mark.parametrize(
    ("rules", "target", "let"),
    [
        (PROGRAMS, Target("/usr/bin/curl"), True),
        (PROGRAMS, Target("/opt/own/tool"), True),
        (PROGRAMS, Target("/tmp/own/tool"), False),
        (PROGRAMS, Target("/usr/bin/curl2"), False),
        (Rules(programs=("http",)), Target("http"), True),
        (Rules(programs=("http",)), Target("/usr/bin/http"), False),
        (Rules(programs=("/usr/bin/http",)), Target("/usr/bin/http"), True),
        (HOSTS, Target("/usr/bin/curl", ("db.example",)), True),
        (HOSTS, Target("/usr/bin/curl", ("db.example", "evil.test")), False),
        (HOSTS, Target("/usr/bin/curl", ("*.example",)), True),
        (HOSTS, Target("/usr/bin/curl", ("*.test",)), False),
        (HOSTS, Target("/usr/bin/curl", ("db.acme:5432",)), True),
        (HOSTS, Target("/usr/bin/curl", ("db.acme",)), False),
        (HOSTS, Target("/usr/bin/curl", ("db.acme:22",)), False),
        (HOSTS, Target("/usr/bin/curl"), False),
    ],
)
@pytest.mark.parametrize("who", ["agent", "person"])
def test_a_use_goes_to_the_programs_and_hosts_of_its_rules_alone(rules: Rules, target: Target, let: bool, who: str):
    head = _with(rules)
    if let:
        policy.meet(ACTORS[who], head, "password", target, Met())
        return
    with pytest.raises(Denied, match="goes to these"):
        policy.meet(ACTORS[who], head, "password", target, Met())


@pytest.mark.parametrize("rules", [PROGRAMS, HOSTS])
def test_what_goes_to_some_programs_alone_is_not_opened_for_an_agent(rules: Rules):
    with pytest.raises(Denied, match="does not leave to an agent"):
        policy.meet(ACTORS["agent"], _with(rules), "password", TO_CALLER, Met())
    policy.meet(ACTORS["person"], _with(rules), "password", TO_CALLER, Met())


def test_a_zone_that_is_not_known_here_keeps_it_closed():
    with pytest.raises(Denied, match="time zone is not known"):
        policy.meet(
            ACTORS["person"], _with(Rules(hours=Hours((0,), 0, 60, "Mars/Olympus"))), "password", TO_CALLER, Met()
        )


def test_the_refusal_of_a_used_up_window_tells_when_it_is_free_again():
    head = _with(Rules(uses=Uses(2, 3600)))
    opened = [NOW_US - 3000 * 1_000_000, NOW_US - 60 * 1_000_000]
    with pytest.raises(Denied, match="again in 10 minutes"):
        policy.meet(ACTORS["agent"], head, "password", TO_CALLER, Met(NOW_US, opened_us=opened))


def test_agents_set_no_rules_and_only_owners_loosen_them():
    before, after = Rules(step_up=True), Rules()
    technician = Actor("person", "pe_2", "ben", "pe_2", "ben", scopes=SCOPES - {"keys:write"})
    for actor, one, other in (
        (ACTORS["agent"], after, before),
        (ACTORS["agent"], before, after),
        (technician, before, after),
    ):
        with pytest.raises(Denied):
            policy.set_rules(actor, one, other, "acme/db/backup")
    assert policy.set_rules(technician, after, before, "acme/db/backup") == ()
    assert policy.set_rules(ACTORS["person"], before, after, "acme/db/backup") == ("step_up",)


def _with(rules: Rules) -> Head:
    from dataclasses import replace

    return replace(head_of(Case("agent", "reveal", "reveal", "none", "none", "none", "none")), rules=rules)
