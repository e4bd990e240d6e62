"""What a session was given, in figures and in words."""

from __future__ import annotations

import pytest

from domain.recall import Record
from domain.tokens import estimate
from hooks.shelf import Seen, read_seen
from hooks.telling import Figures, age, short
from tests.hooks.conftest import NOW_US, Desk
from tests.hooks.test_session_start import keep

HOUR_US = 3_600_000_000


def given(*records: Record, tokens: int = 100, ahead_us: int = 0) -> Figures:
    figures = Figures({})
    figures.add(records, tokens, ahead_us=ahead_us)
    return figures


def record(name: str, raw_tokens: int, hours_ago: float = 0, machine: str = "desk") -> Record:
    return Record(
        name, raw_tokens=raw_tokens, machine_name=machine, updated_us=NOW_US - int(hours_ago * HOUR_US), title=name
    )


def test_the_line_tells_how_many_what_they_save_and_where_and_when_the_newest_was_made():
    figures = given(record("a", 40_000, 30), record("b", 18_500, 3, "laptopB"), tokens=500)
    assert figures.line(NOW_US) == "2 records · 58k tokens saved · newest laptopB 3 h ago"


def test_where_nothing_was_told_there_is_no_line():
    assert given().line(NOW_US) == ""


def test_notes_that_are_told_whole_save_nothing_and_it_is_not_said():
    assert given(record("a", 20, machine="")).line(NOW_US) == "1 record · newest just now"


def test_a_record_that_is_told_once_more_counts_once_and_its_tokens_are_spent_twice():
    figures = given(record("a", 10_000), tokens=1_000)
    figures.add([record("a", 10_000)], 1_000)
    assert (figures.records, figures.saved) == (1, 8_000)


def test_the_age_is_by_this_machines_clock_whatever_the_servers_says():
    assert given(record("a", 10, 2), ahead_us=5 * HOUR_US).line(NOW_US).endswith("newest desk 7 h ago")


def test_a_machines_name_that_a_terminal_would_obey_is_harmless():
    assert "\x1b" not in given(record("a", 1, machine="\x1b[31mred")).line(NOW_US)


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0"), (999, "999"), (1_000, "1.0k"), (9_949, "9.9k"), (9_950, "10k"), (58_400, "58k"), (999_600, "1.0M")],
)
def test_a_number_is_said_in_few_characters(number: int, said: str):
    assert short(number) == said


@pytest.mark.parametrize(
    ("hours", "said"), [(-1, "just now"), (0.01, "just now"), (0.5, "30 min ago"), (23.9, "23 h ago"), (49, "2 d ago")]
)
def test_an_age_is_said_in_one_unit(hours: float, said: str):
    assert age(int(hours * HOUR_US)) == said


def test_a_session_keeps_what_it_was_told_in_figures(desk: Desk):
    keep(desk, raw_tokens=58_000, machine_name="laptopB", updated_us=NOW_US - 3 * HOUR_US)
    block = desk.told()
    seen = read_seen(str(desk.home), "s-new")
    assert seen is not None
    assert block
    assert seen.figures.line().startswith("1 record · 58k tokens saved · newest laptopB 3 h ago")
    assert 0 < seen.figures.tokens < len(block)


def test_a_session_that_goes_on_adds_and_one_that_was_compacted_begins_anew(desk: Desk):
    keep(desk, raw_tokens=10_000)
    desk.told()
    keep(desk, "another thing altogether", digest="Asked: paint the shed", raw_tokens=20_000)
    desk.told("resume")
    resumed = read_seen(str(desk.home), "s-new")
    assert resumed is not None
    assert (resumed.figures.records, resumed.figures.raw_tokens) == (2, 30_000)
    block = desk.told("compact")
    compacted = read_seen(str(desk.home), "s-new")
    assert compacted is not None
    assert (compacted.figures.records, compacted.figures.raw_tokens) == (2, 30_000)
    assert compacted.figures.tokens == estimate(block)


def test_damaged_figures_are_none():
    assert Seen({"figures": [1]}).figures.line(NOW_US) == ""
    assert Figures({"records": -3, "tokens": "x", "counted": 5}).line(NOW_US) == ""
