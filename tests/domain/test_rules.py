"""The rules of a policy: how they are written, read, and when one lets more through than another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Broken, Invalid
from domain.rules import (
    MINUTES_A_DAY,
    NONE,
    Hours,
    Rules,
    Uses,
    looser,
    read_hours,
    read_uses,
    stored_rules,
    together,
    with_rules,
)

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
hours = st.builds(
    Hours,
    st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    st.integers(0, MINUTES_A_DAY - 1),
    st.integers(0, MINUTES_A_DAY),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"]),
).filter(lambda it: it.start != it.end)
uses = st.builds(Uses, st.integers(1, 10_000), st.sampled_from([60, 300, 3600, 8 * 3600, 24 * 3600, 7 * 24 * 3600]))
names = st.lists(st.sampled_from(["curl", "/usr/bin/psql", "ssh"]), unique=True).map(tuple)
places = st.lists(st.sampled_from(["db.example", "*.acme.example", "db:5432"]), unique=True).map(tuple)
rules = st.builds(Rules, st.booleans(), st.booleans(), names, places, st.none() | hours, st.none() | uses)


@given(rules)
def test_rules_are_read_back_as_they_were_stored(it: Rules):
    assert stored_rules(it.stored()) == it
    assert (it.stored() is None) == (it == NONE) == (not it)


@given(hours)
def test_hours_are_read_back_as_they_are_shown(it: Hours):
    assert read_hours(str(it), "") == it


@given(uses)
def test_uses_are_read_back_as_they_are_shown(it: Uses):
    assert read_uses(str(it)) == it


@given(hours, st.integers(0, 7 * MINUTES_A_DAY - 1))
def test_hours_are_open_in_their_own_minutes_alone(it: Hours, minute: int):
    length = (it.end - it.start) % MINUTES_A_DAY or MINUTES_A_DAY
    begun = [day * MINUTES_A_DAY + it.start for day in it.days]
    inside = any((minute - start) % (7 * MINUTES_A_DAY) < length for start in begun)
    assert it.open_at(MONDAY + timedelta(minutes=minute)) == inside


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Mon-Fri 08:00-18:00 Europe/Berlin", "Mon-Fri 08:00-18:00 Europe/Berlin"),
        ("mon, wed,fri 8:00 - 18:30", "Mon,Wed,Fri 08:00-18:30 UTC"),
        ("22:00-06:00", "Mon-Sun 22:00-06:00 UTC"),
        ("Sat-Mon 00:00-24:00", "Mon,Sat-Sun 00:00-24:00 UTC"),
    ],
)
def test_hours_may_be_written_as_people_write_them(text: str, shown: str):
    assert str(read_hours(text, "UTC")) == shown


@pytest.mark.parametrize(
    "text", ["", "8-18", "25:00-26:00", "08:00-08:00", "08:60-09:00", "Xyz 08:00-09:00", "08:00-24:30"]
)
def test_what_are_no_hours_is_refused_with_an_example(text: str):
    with pytest.raises(Invalid) as refused:
        read_hours(text, "UTC")
    assert "Mon-Fri 08:00-18:00" in refused.value.fields["hours"]


@pytest.mark.parametrize("text", ["", "5", "0/h", "5/w", "99999/h", "5/40d", "-1/h", "5/0h"])
def test_what_is_no_limit_of_uses_is_refused_with_an_example(text: str):
    with pytest.raises(Invalid) as refused:
        read_uses(text)
    assert "5/h" in refused.value.fields["uses"]


def test_every_rule_that_does_not_fit_is_named_at_once():
    with pytest.raises(Invalid) as refused:
        with_rules(NONE, {"hours": "never", "uses": "often", "hosts": ["a b"], "programs": ["a/b"]}, "UTC")
    assert set(refused.value.fields) == {"hours", "uses", "hosts", "programs"}


@given(rules, rules)
def test_no_rule_that_is_ended_or_widened_goes_unnoticed(before: Rules, after: Rules):
    found = looser(before, after)
    assert looser(before, before) == ()
    assert looser(NONE, after) == ()
    if before.step_up and not after.step_up:
        assert "step_up" in found
    if before.programs and not (after.programs and set(after.programs) <= set(before.programs)):
        assert "programs" in found
    if before.uses and not (
        after.uses and after.uses.most <= before.uses.most and after.uses.window_s >= before.uses.window_s
    ):
        assert "uses" in found
    if before.hours and after.hours != before.hours:
        assert "hours" in found


@given(rules, rules)
def test_two_sets_of_rules_together_let_no_more_through_than_the_first(first: Rules, other: Rules):
    assert looser(first, together(first, other)) == ()
    assert together(NONE, other) == other


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"hours":3}', "not json"])
def test_rules_that_nobody_wrote_are_told_as_broken(text: str):
    with pytest.raises(Broken):
        stored_rules(text)
