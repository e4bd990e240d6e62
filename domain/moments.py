"""Times in plain words: "last week", "3 days ago", "november", "2026-11-20..2026-11-24", to a span of microseconds.

Days, weeks (Monday to Sunday), months and years are whole ones, in the zone that is given.  What
counts backwards ("last 3 days", "2w") ends now.  A weekday is the last one that was, today
included; a month without a year the last that has begun.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from domain.errors import Invalid

FORMS = (
    "today, yesterday, monday, last week, this month, 3 days ago, last 10 days, 2w, november, 2026-11, 2026-11-20, "
    "20 november 2026, 2026-11-20T14:30+01:00, A..B, since A, until B, before B"
)
LONGEST = 80
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_NUMBERS = {
    word: at
    for at, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 1)
}
_NUMBERS |= {"a": 1, "an": 1, "a few": 3, "few": 3, "a couple of": 2, "couple of": 2}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)

_DAY = "|".join(f"{name}|{name[:3]}" for name in _DAYS) + "|tues|thur|thurs"
_MONTH = "|".join(f"{name}|{name[:3]}" for name in _MONTHS) + "|sept"
_COUNT = r"\d{1,4}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True))
_UNIT = "minute|min|hour|hr|day|week|month|year"
_SHORT = {"min": "minute", "hr": "hour", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, both ends in it; microseconds since 1970, UTC.  0 leaves an end open."""

    since_us: int = 0
    until_us: int = 0

    def shown(self, zone: tzinfo) -> str:
        """The span for people: its days in this zone, or times where it is not made of whole days."""
        since, until = (_EPOCH + us * _TICK for us in (self.since_us, self.until_us))
        since, until = since.astimezone(zone), (until + _TICK).astimezone(zone)
        whole = all(not us or not (at.hour or at.minute) for us, at in ((self.since_us, since), (self.until_us, until)))
        last = until - _TICK
        form = "%a %Y-%m-%d" if whole else "%Y-%m-%d %H:%M"
        if not self.until_us:
            return f"since {since:{form}}"
        if not self.since_us:
            return f"until {last:{form}}"
        return f"{since:{form}}" if whole and since.date() == last.date() else f"{since:{form}} to {last:{form}}"


class _Unread(Exception):
    """These words name no time."""


class _Clock:
    """The present moment, and days as spans, in one zone."""

    def __init__(self, now_us: int, zone: tzinfo) -> None:
        self.zone = zone
        self.now_us = now_us
        self.now = (_EPOCH + now_us * _TICK).astimezone(zone)
        self.today = self.now.date()

    def midnight(self, day: date) -> int:
        return _us(datetime(day.year, day.month, day.day, tzinfo=self.zone))

    def days(self, first: date, after: date) -> Span:
        """From the beginning of a day to just before another one."""
        return Span(self.midnight(first), self.midnight(after) - 1)

    def day(self, day: date) -> Span:
        return self.days(day, day + timedelta(days=1))

    def week(self, back: int) -> Span:
        monday = self.today - timedelta(days=self.today.weekday() + 7 * back)
        return self.days(monday, monday + timedelta(days=7))

    def month(self, year: int, month: int) -> Span:
        """A month; one out of 1 to 12 counts on into the years beside."""
        return self.days(_first(year, month), _first(year, month + 1))

    def year(self, year: int) -> Span:
        return self.days(date(year, 1, 1), date(year + 1, 1, 1))

    def unit(self, unit: str, back: int) -> Span:
        """The day, week, month or year that is so many before this one; of minutes and hours all since then."""
        if unit == "day":
            return self.day(self.today - timedelta(days=back))
        if unit == "week":
            return self.week(back)
        if unit == "month":
            return self.month(self.today.year, self.today.month - back)
        if unit == "year":
            return self.year(self.today.year - back)
        return self.past(unit, back)

    def past(self, unit: str, count: int) -> Span:
        """From so long ago until now."""
        if unit in ("month", "year"):
            months = count * (12 if unit == "year" else 1)
            first = _first(self.today.year, self.today.month - months)
            last = _first(self.today.year, self.today.month - months + 1) - timedelta(days=1)
            since = self.midnight(first.replace(day=min(self.today.day, last.day)))
        elif unit in ("day", "week"):
            since = self.midnight(self.today - timedelta(days=count * (7 if unit == "week" else 1)))
        else:
            since = self.now_us - count * timedelta(**{f"{unit}s": 1}) // _TICK
        return Span(since, self.now_us)


def span(text: str, now_us: int, zone: tzinfo, *, name: str = "when") -> Span:
    """The span that words name.  Raises Invalid, naming the field `name` and the forms that are read."""
    said = " ".join(text.lower().split()).strip(" ?!,;")
    try:
        if not said or len(said) > LONGEST:
            raise _Unread
        found = _range(said, _Clock(now_us, zone))
    except (_Unread, ValueError, OverflowError):
        raise Invalid(f"{name} is no time that can be read", fields={name: f"such as: {FORMS}"}) from None
    if found.until_us and found.since_us > found.until_us:
        raise Invalid(f"{name} ends before it begins", fields={name: "the earlier time first"})
    if found.since_us > now_us:
        raise Invalid(f"{name} lies in the future", fields={name: "a time that has been"})
    return found


def in_question(question: str, now_us: int, zone: tzinfo) -> tuple[str, str, Span] | None:
    """The time that a question names, where it is clear that it does: (the rest, the words, the span).

    Only a phrase that can be nothing but a time, alone at the question's beginning or end or
    before what the question is about ("what did we do last week about backups"); not between
    quotes.  None where there is none, or more than one.  A month by its name is none either: its words
    are indexed with each record's days and count as such, and what was in November may have been told
    in December.
    """
    found = list(_PHRASE.finditer(question)) if len(question) <= _LONGEST_QUESTION else []
    if len(found) != 1 or not _stands_alone(question, found[0]):
        return None
    (match,) = found
    try:
        read = span(match["time"], now_us, zone)
    except Invalid:
        return None
    rest = f"{question[: match.start()].rstrip(' ,')} {question[match.end() :].lstrip(' ,')}"
    return rest.strip(), match["time"], read


_LONGEST_QUESTION = 400
_SURE = "|".join(
    (
        r"(?:the )?(?:last|past|previous) (?:week|month|year)",
        r"this (?:week|month|year)",
        r"yesterday|today",
        rf"(?:the )?(?:last|past) (?:{_COUNT}) (?:{_UNIT})s?",
        rf"(?:{_COUNT}) (?:{_UNIT})s? ago",
        rf"last (?:{'|'.join(_DAYS)})",
        rf"(?:since|before|until) (?:{'|'.join(_DAYS)}|yesterday|last week|last month|\d{{4}}-\d\d-\d\d)",
        r"\d{4}-\d\d-\d\d(?: ?\.\. ?\d{4}-\d\d-\d\d)?",
    )
)
_INSIDE = rf"(?<=on )(?:{'|'.join(_DAYS)})"
_PHRASE = re.compile(
    rf"""(?<![\w"'`/.-])(?:(?:in|on|from|during|of)[ ])?(?P<time>{_SURE.replace(" ", "[ ]")}|{_INSIDE.replace(" ", "[ ]")})(?![\w"'`/.:-])""",
    re.IGNORECASE | re.VERBOSE,
)
_GOES_ON = re.compile(r"\s*(?:$|[?!.,;:]*\s*$|,|(?:about|with|on|for|regarding|concerning|to|at|in)\b)", re.IGNORECASE)


def _stands_alone(question: str, match: re.Match[str]) -> bool:
    after = question[match.end() :]
    if not question[: match.start()].strip():
        return re.match(r" of\b", after, re.IGNORECASE) is None
    return _GOES_ON.match(after) is not None


def _range(said: str, clock: _Clock) -> Span:
    for pattern, read in _RANGES:
        match = pattern.fullmatch(said)
        if match:
            return read(match, clock)
    return _point(said, clock)


def _between(match: re.Match[str], clock: _Clock) -> Span:
    since, until = match["since"], match["until"]
    if not since and not until:
        raise _Unread
    return Span(_point(since, clock).since_us if since else 0, _point(until, clock).until_us if until else 0)


_RANGES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], _Clock], Span]], ...] = (
    (re.compile(r"(?P<since>.*?) ?\.\. ?(?P<until>.*)"), _between),
    (re.compile(r"(?:from )?(?P<since>.+?) (?:to|until|till) (?P<until>.+)"), _between),
    (re.compile(r"between (?P<since>.+?) and (?P<until>.+)"), _between),
    (re.compile(r"(?:since|from) (?P<since>.+)"), lambda m, clock: Span(_point(m["since"], clock).since_us)),
    (re.compile(r"after (?P<since>.+)"), lambda m, clock: Span(_point(m["since"], clock).until_us + 1)),
    (re.compile(r"(?:until|till|up to) (?P<until>.+)"), lambda m, clock: Span(0, _point(m["until"], clock).until_us)),
    (re.compile(r"before (?P<until>.+)"), lambda m, clock: Span(0, _point(m["until"], clock).since_us - 1)),
)


def _point(said: str, clock: _Clock) -> Span:
    said = re.sub(r"^(?:(?:on|in|during|at) )?(?:the )?", "", said.strip())
    for pattern, read in _POINTS:
        match = pattern.fullmatch(said)
        if match:
            return read(match, clock)
    return _written(said, clock)


def _calendar(match: re.Match[str], clock: _Clock) -> Span:
    if match["which"] == "past":
        return clock.past(match["unit"], 1)
    return clock.unit(match["unit"], 0 if match["which"] in ("this", "current") else 1)


def _counted(match: re.Match[str]) -> tuple[str, int]:
    said = match["count"]
    count = int(said) if said.isdigit() else _NUMBERS[said]
    return _SHORT.get(match["unit"], match["unit"]), count


def _weekday(match: re.Match[str], clock: _Clock) -> Span:
    wanted = next(at for at, name in enumerate(_DAYS) if name.startswith(match["day"][:3]))
    back = (clock.today.weekday() - wanted) % 7
    if not back and match["last"]:
        back = 7
    return clock.day(clock.today - timedelta(days=back))


def _month(match: re.Match[str], clock: _Clock) -> Span:
    month = _number_of_month(match["month"])
    year = int(match["year"]) if match["year"] else clock.today.year - (month > clock.today.month)
    return clock.month(year - (1 if match["last"] and month == clock.today.month and not match["year"] else 0), month)


def _dated(match: re.Match[str], clock: _Clock) -> Span:
    month, day = _number_of_month(match["month"]), int(match["day"])
    if match["year"]:
        return clock.day(date(int(match["year"]), month, day))
    this = date(clock.today.year, month, day)
    return clock.day(this if this <= clock.today else date(clock.today.year - 1, month, day))


_POINTS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], _Clock], Span]], ...] = (
    (re.compile(r"now"), lambda _, clock: Span(clock.now_us, clock.now_us)),
    (re.compile(r"today|this morning|tonight"), lambda _, clock: clock.day(clock.today)),
    (re.compile(r"yesterday|last night"), lambda _, clock: clock.day(clock.today - timedelta(days=1))),
    (re.compile(r"day before yesterday"), lambda _, clock: clock.day(clock.today - timedelta(days=2))),
    (re.compile(r"week before last"), lambda _, clock: clock.week(2)),
    (re.compile(r"(?P<which>this|current|last|previous|past) (?P<unit>day|week|month|year)"), _calendar),
    (re.compile(rf"(?P<count>{_COUNT}) ?(?P<unit>{_UNIT})s? ago"), lambda m, clock: clock.unit(*_counted(m))),
    (re.compile(rf"(?:last|past|previous) (?P<count>{_COUNT}) (?P<unit>{_UNIT})s?"), lambda m, clock: clock.past(*_counted(m))),
    (re.compile(rf"(?P<count>\d{{1,4}}) ?(?P<unit>{_UNIT}|min|h|d|w|mo|y)s?"), lambda m, clock: clock.past(*_counted(m))),
    (re.compile(rf"(?P<last>last )?(?P<day>{_DAY})"), _weekday),
    (re.compile(rf"(?P<last>last )?(?P<month>{_MONTH})(?:,? (?P<year>\d{{4}}))?"), _month),
    (re.compile(rf"(?P<month>{_MONTH})\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>\d{{4}}))?"), _dated),
    (re.compile(rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)? (?:of )?(?P<month>{_MONTH})(?:,? (?P<year>\d{{4}}))?"), _dated),
    (re.compile(r"(?P<year>(?:19|20)\d\d)"), lambda m, clock: clock.year(int(m["year"]))),
    (re.compile(r"(?P<year>\d{4})-(?P<month>0[1-9]|1[0-2])"), lambda m, clock: clock.month(int(m["year"]), int(m["month"]))),
)  # fmt: skip


def _written(said: str, clock: _Clock) -> Span:
    """ISO 8601: a day, an ISO week, or a time (of which it is that minute, or second)."""
    week = re.fullmatch(r"(\d{4})-?w(\d\d)", said)
    if week:
        monday = date.fromisocalendar(int(week[1]), int(week[2]), 1)
        return clock.days(monday, monday + timedelta(days=7))
    if not re.match(r"\d{4}-\d\d-\d\d", said):
        raise _Unread
    if len(said) == len("2026-11-20"):
        return clock.day(date.fromisoformat(said))
    at = datetime.fromisoformat(said.upper().replace(" +", "+").replace(" Z", "Z"))
    since = _us(at if at.tzinfo is not None else at.replace(tzinfo=clock.zone))
    precision = timedelta(seconds=1) if at.second or said.count(":") > 2 else timedelta(minutes=1)  # noqa: PLR2004
    return Span(since, since + precision // _TICK - 1)


def _us(at: datetime) -> int:
    return (at - _EPOCH) // _TICK


def _first(year: int, month: int) -> date:
    return date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)


def _number_of_month(word: str) -> int:
    return next(at for at, name in enumerate(_MONTHS, 1) if name.startswith(word[:3]))
