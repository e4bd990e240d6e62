"""Times in plain words, in the zone of whoever says them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.moments import FORMS, Span, in_question, span

BERLIN = ZoneInfo("Europe/Berlin")
FRIDAY = datetime(2026, 11, 27, 15, 30, tzinfo=BERLIN)


def us(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def local(year: int, month: int, day: int, hour: int = 0, minute: int = 0, zone: tzinfo = BERLIN) -> int:
    return us(datetime(year, month, day, hour, minute, tzinfo=zone))


def read(said: str, now: datetime = FRIDAY, zone: tzinfo = BERLIN) -> Span:
    return span(said, us(now), zone)


@pytest.mark.parametrize(
    ("said", "first", "after"),
    [
        ("today", (2026, 11, 27), (2026, 11, 28)),
        ("yesterday", (2026, 11, 26), (2026, 11, 27)),
        ("This Week", (2026, 11, 23), (2026, 11, 30)),
        ("last week", (2026, 11, 16), (2026, 11, 23)),
        ("the week before last", (2026, 11, 9), (2026, 11, 16)),
        ("this month", (2026, 11, 1), (2026, 12, 1)),
        ("last month", (2026, 10, 1), (2026, 11, 1)),
        ("last year", (2025, 1, 1), (2026, 1, 1)),
        ("3 days ago", (2026, 11, 24), (2026, 11, 25)),
        ("three weeks ago", (2026, 11, 2), (2026, 11, 9)),
        ("11 months ago", (2025, 12, 1), (2026, 1, 1)),
        ("monday", (2026, 11, 23), (2026, 11, 24)),
        ("friday", (2026, 11, 27), (2026, 11, 28)),
        ("last friday", (2026, 11, 20), (2026, 11, 21)),
        ("on tue", (2026, 11, 24), (2026, 11, 25)),
        ("november", (2026, 11, 1), (2026, 12, 1)),
        ("in december", (2025, 12, 1), (2026, 1, 1)),
        ("feb 2024", (2024, 2, 1), (2024, 3, 1)),
        ("november 20", (2026, 11, 20), (2026, 11, 21)),
        ("20. november", (2026, 11, 20), (2026, 11, 21)),
        ("December 3rd", (2025, 12, 3), (2025, 12, 4)),
        ("3 december 2024", (2024, 12, 3), (2024, 12, 4)),
        ("2026", (2026, 1, 1), (2027, 1, 1)),
        ("2026-11", (2026, 11, 1), (2026, 12, 1)),
        ("2026-W47", (2026, 11, 16), (2026, 11, 23)),
        ("2026-11-20", (2026, 11, 20), (2026, 11, 21)),
        ("2026-11-20..2026-11-24", (2026, 11, 20), (2026, 11, 25)),
        ("from monday to wednesday", (2026, 11, 23), (2026, 11, 26)),
        ("between last week and yesterday", (2026, 11, 16), (2026, 11, 27)),
    ],
)
def test_words_name_whole_days(said: str, first: tuple[int, int, int], after: tuple[int, int, int]) -> None:
    assert read(said) == Span(local(*first), local(*after) - 1)


@pytest.mark.parametrize(
    ("said", "since"),
    [
        ("2w", (2026, 11, 13)),
        ("last 10 days", (2026, 11, 17)),
        ("past 3 months", (2026, 8, 27)),
        ("the last two weeks", (2026, 11, 13)),
        ("past week", (2026, 11, 20)),
        ("1y", (2025, 11, 27)),
        ("12h", (2026, 11, 27, 3, 30)),
        ("5 hours ago", (2026, 11, 27, 10, 30)),
    ],
)
def test_what_counts_backwards_ends_now(said: str, since: tuple[int, ...]) -> None:
    assert read(said) == Span(local(*since), us(FRIDAY))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("since monday", Span(local(2026, 11, 23), 0)),
        ("after 2026-11-20", Span(local(2026, 11, 21), 0)),
        ("until yesterday", Span(0, local(2026, 11, 27) - 1)),
        ("before november", Span(0, local(2026, 11, 1) - 1)),
        ("2026-11-20..", Span(local(2026, 11, 20), 0)),
        ("..2026-11-20", Span(0, local(2026, 11, 21) - 1)),
    ],
)
def test_an_end_may_stay_open(said: str, expected: Span) -> None:
    assert read(said) == expected


@pytest.mark.parametrize(
    ("said", "since"),
    [
        ("2026-11-20T14:30", local(2026, 11, 20, 14, 30)),
        ("2026-11-20 14:30", local(2026, 11, 20, 14, 30)),
        ("2026-11-20T14:30Z", local(2026, 11, 20, 14, 30, UTC)),
        ("2026-11-20T14:30-05:00", local(2026, 11, 20, 19, 30, UTC)),
    ],
)
def test_a_time_is_in_its_own_zone_or_in_the_persons(said: str, since: int) -> None:
    assert read(said) == Span(since, since + 60_000_000 - 1)


def test_the_same_words_are_another_day_elsewhere() -> None:
    late = datetime(2026, 11, 27, 23, 30, tzinfo=BERLIN)
    assert read("today", late, ZoneInfo("Asia/Tokyo")).since_us == local(2026, 11, 28, zone=ZoneInfo("Asia/Tokyo"))


def test_a_day_on_which_the_clocks_change_is_as_long_as_it_is() -> None:
    found = read("2026-10-25")
    assert found.until_us + 1 - found.since_us == 25 * 3_600_000_000


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "such as"),
        ("tomorrow", "such as"),
        ("someday", "such as"),
        ("2026-13-01", "such as"),
        ("2026-02-30", "such as"),
        ("99999999 days ago", "such as"),
        ("9999 years ago", "such as"),
        ("..", "such as"),
        ("x" * 500, "such as"),
        ("2027", "a time that has been"),
        ("monday..2026-11-01", "the earlier time first"),
    ],
)
def test_what_names_no_time_is_told_with_the_forms(said: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        span(said, us(FRIDAY), BERLIN, name="since")
    assert list(refused.value.fields) == ["since"]
    assert why in refused.value.fields["since"]


def test_every_form_that_is_told_is_read() -> None:
    for form in FORMS.split(", "):
        read(form.replace("A", "last month").replace("B", "yesterday"))


@given(st.text(max_size=90), st.integers(0, 4_000_000_000_000_000))
def test_no_text_breaks_the_reader(said: str, now_us: int) -> None:
    try:
        found = span(said, now_us, UTC)
    except Invalid:
        return
    assert not found.until_us or found.since_us <= found.until_us


@pytest.mark.parametrize(
    ("question", "rest", "time"),
    [
        (
            "What did we do about the failing backup last week?",
            "What did we do about the failing backup ?",
            "last week",
        ),
        ("What did we do last week about backups", "What did we do about backups", "last week"),
        ("yesterday, the VPN", "the VPN", "yesterday"),
        ("errors from the last 3 days", "errors", "the last 3 days"),
        ("what happened on monday with the vpn", "what happened with the vpn", "monday"),
        ("certificate renewal since monday", "certificate renewal", "since monday"),
        ("2026-11-20 outage", "outage", "2026-11-20"),
    ],
)
def test_a_question_names_its_time(question: str, rest: str, time: str) -> None:
    found = in_question(question, us(FRIDAY), BERLIN)
    assert found is not None
    assert found[:2] == (rest, time)
    assert found[2] == read(time)


@pytest.mark.parametrize(
    "question",
    [
        'the "last week" label is wrong',
        "last week of month report",
        "yesterday's backup",
        "compare last week and last month",
        "the report that sums the last 7 days wrongly",
        "error at 2026-11-20T10:00:00",
        "in november we changed dns",
        "march of the penguins",
        "may we deploy",
        "logs/2026-11-20/app.log",
        "",
        "last week " * 100,
    ],
)
def test_words_that_may_mean_something_else_stay_words(question: str) -> None:
    assert in_question(question, us(FRIDAY), BERLIN) is None


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("today", "Fri 2026-11-27"),
        ("last week", "Mon 2026-11-16 to Sun 2026-11-22"),
        ("since monday", "since Mon 2026-11-23"),
        ("until yesterday", "until Thu 2026-11-26"),
        ("12h", "2026-11-27 03:30 to 2026-11-27 15:30"),
    ],
)
def test_a_span_is_shown_in_days_where_it_is_made_of_days(said: str, shown: str) -> None:
    assert read(said).shown(BERLIN) == shown
