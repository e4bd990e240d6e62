"""The rules of an exposure policy, beside its level: what must be so before a value is opened for anybody.

Step-up: the person who acts, or for whom an agent acts, has shown a one-time code (RFC 6238) a short while ago.  Approval:
another person has let him.  Programs and hosts: what a program is, and where it speaks to.  Hours: when.  Uses: how often
each secret field in a sliding window.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from domain.errors import Broken, Invalid
from domain.hosts import HOST, HTTP, allows

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTES_AN_HOUR = 60
MINUTES_A_DAY = 24 * MINUTES_AN_HOUR
MOST_USES = 10_000
MOST_LISTED = 50
LONGEST_WINDOW_S = 31 * 24 * 3600
SHORTEST_WINDOW_S = 60
_UNITS = {"m": 60, "h": 3600, "d": 24 * 3600}
_HOURS = re.compile(r"(?:([A-Za-z, -]+)\s+)?(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})(?:\s+(\S+))?\s*\Z")
_USES = re.compile(r"(\d{1,5})\s*/\s*(\d{1,3})?([mhd])\Z")
_PROGRAM = re.compile(r"[^\s/][^/\n]{0,254}\Z|/[^\n\0]{1,1000}\Z")


@dataclass(frozen=True, slots=True)
class Hours:
    """From `start` to before `end` (minutes of the day) on these days (0 is Monday), by the clocks of a time zone.

    Where the end is not after the start it is that of the next day; the day is the one it began on.
    """

    days: tuple[int, ...]
    start: int
    end: int
    zone: str

    def open_at(self, local: datetime) -> bool:
        """Whether a moment, told by the clocks of that zone, lies in them."""
        day, minute = local.weekday(), local.hour * 60 + local.minute
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % 7 in self.days and minute < self.end)

    def __str__(self) -> str:
        return f"{_days(self.days)} {_clock(self.start)}-{_clock(self.end)} {self.zone}"


@dataclass(frozen=True, slots=True)
class Uses:
    """How often at most each secret field is opened within the last `window_s` seconds."""

    most: int
    window_s: int

    def __str__(self) -> str:
        unit = next(unit for unit in ("d", "h", "m") if self.window_s % _UNITS[unit] == 0)
        number = self.window_s // _UNITS[unit]
        return f"{self.most}/{number if number > 1 else ''}{unit}"


@dataclass(frozen=True, slots=True)
class Rules:
    """All of them; none is set: nothing more than the level is asked."""

    step_up: bool = False
    approval: bool = False
    programs: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    hours: Hours | None = None
    uses: Uses | None = None

    def __bool__(self) -> bool:
        return self != NONE

    def stored(self) -> str | None:
        """As it stands in a row; None without any rule."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")) if self else None

    def told(self) -> tuple[str, ...]:
        """Each rule in words, as lists show it."""
        return tuple(
            said
            for said in (
                "step-up" if self.step_up else "",
                "approval" if self.approval else "",
                f"programs {', '.join(self.programs)}" if self.programs else "",
                f"hosts {', '.join(self.hosts)}" if self.hosts else "",
                f"hours {self.hours}" if self.hours else "",
                f"uses {self.uses}" if self.uses else "",
            )
            if said
        )

    def allows_program(self, path: str) -> bool:
        """Whether a program (its real path) is among those that are listed, by path or by name.

        `http` is a request that the product makes itself; a program of that name is listed by its path.
        """
        name = path.rpartition("/")[2]
        return not self.programs or path in self.programs or (name in self.programs and name != HTTP)

    def allows_hosts(self, hosts: Sequence[str]) -> bool:
        """Whether all hosts that a program may be sent to are among those that are listed; none known is not enough."""
        if not self.hosts:
            return True
        return bool(hosts) and all(one in self.hosts or allows(self.hosts, one) for one in hosts)


NONE = Rules()


def stored_rules(text: str | None) -> Rules:
    """Rules out of a row.  Raises Broken."""
    if text is None:
        return NONE
    try:
        said: dict[str, Any] = json.loads(text)
        hours, uses = said["hours"], said["uses"]
        return Rules(
            step_up=said["step_up"],
            approval=said["approval"],
            programs=tuple(said["programs"]),
            hosts=tuple(said["hosts"]),
            hours=Hours(**{**hours, "days": tuple(hours["days"])}) if hours else None,
            uses=Uses(**uses) if uses else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Broken("the rules of a credential do not read", hint="claudetools upgrade") from None


def with_rules(before: Rules, said: Mapping[str, Any], zone: str) -> Rules:
    """The rules with those of `said` in place.

    Its keys: `step_up`, `approval` (flags), `programs`, `hosts` (lists of text), `hours`, `uses` (text as `read_hours` and
    `read_uses` take it).  Empty ends a rule.  `zone` is for hours that name none.  Raises Invalid with every one that does not fit.
    """
    wrong: dict[str, str] = {}
    made: dict[str, Any] = {}
    for name, value in said.items():
        try:
            made[name] = _READERS[name](value, zone)
        except Invalid as error:
            wrong |= error.fields
    if wrong:
        listed = "; ".join(f"{name}: {why}" for name, why in wrong.items())
        raise Invalid(f"those rules cannot be: {listed}", fields=wrong, hint="claudetools exposure rules --help")
    return replace(before, **made)


def read_hours(text: str, zone: str) -> Hours:
    """`Mon-Fri 08:00-18:00 Europe/Berlin`; without days every day, without a zone the one given.  Raises Invalid.

    Whether there is such a zone is for the caller to find.
    """
    found = _HOURS.match(text.strip())
    wrong = Invalid(
        "those are no hours",
        fields={"hours": "as in: Mon-Fri 08:00-18:00 Europe/Berlin; days and zone may be left out"},
    )
    if found is None:
        raise wrong
    days = _read_days(found[1]) if found[1] else tuple(range(7))
    start, end = int(found[2]) * 60 + int(found[3]), int(found[4]) * 60 + int(found[5])
    at_most = MINUTES_A_DAY
    if (
        not days
        or not start < at_most
        or not end <= at_most
        or max(int(found[3]), int(found[5])) >= MINUTES_AN_HOUR
        or start == end
    ):
        raise wrong
    return Hours(days, start, end, found[6] or zone)


def read_uses(text: str) -> Uses:
    """`5/h`, `20/8h`, `3/7d`: so many in the last hour, eight hours, seven days.  Raises Invalid."""
    found = _USES.match(text.strip())
    most = int(found[1]) if found else 0
    window = int(found[2] or 1) * _UNITS[found[3]] if found else 0
    if not 1 <= most <= MOST_USES or not SHORTEST_WINDOW_S <= window <= LONGEST_WINDOW_S:
        reason = f"as in 5/h, 20/8h or 3/7d; 1 to {MOST_USES} uses in a minute to 31 days"
        raise Invalid("that is no limit of uses", fields={"uses": reason})
    return Uses(most, window)


def looser(before: Rules, after: Rules) -> tuple[str, ...]:
    """The names of the rules by which `after` lets through more than `before`."""
    return tuple(one.name for one in fields(Rules) if _looser(one.name, before, after))


def together(first: Rules, other: Rules) -> Rules:
    """Both: of each rule the other's, unless that lets more through than the first's."""
    return replace(other, **{name: getattr(first, name) for name in looser(first, other)})


def _looser(name: str, before: Rules, after: Rules) -> bool:
    was, now = getattr(before, name), getattr(after, name)
    if was == now or not was:
        return False
    if not now:
        return True
    if name in ("programs", "hosts"):
        return not set(now) <= set(was)
    if name == "uses":
        return bool(now.most > was.most or now.window_s < was.window_s)
    return True  # other hours: who looks whether they lie within the old ones


def _read_flag(value: object, _zone: str) -> bool:
    return bool(value)


def _read_programs(value: Sequence[str], _zone: str) -> tuple[str, ...]:
    if len(value) > MOST_LISTED or not all(_PROGRAM.match(one) for one in value):
        raise Invalid("", fields={"programs": f"at most {MOST_LISTED} names or whole paths of programs"})
    return tuple(dict.fromkeys(value))


def _read_hosts(value: Sequence[str], _zone: str) -> tuple[str, ...]:
    if len(value) > MOST_LISTED or not all(HOST.match(one) for one in value):
        raise Invalid("", fields={"hosts": f"at most {MOST_LISTED}, as in db.example, *.example or db.example:5432"})
    return tuple(dict.fromkeys(one.lower() for one in value))


_READERS: dict[str, Any] = {
    "step_up": _read_flag,
    "approval": _read_flag,
    "programs": _read_programs,
    "hosts": _read_hosts,
    "hours": lambda value, zone: read_hours(value, zone) if value else None,
    "uses": lambda value, _zone: read_uses(value) if value else None,
}


def _read_days(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in re.split(r"[,\s]+", text.strip()):
        first, dash, last = part.partition("-")
        try:
            start = DAYS.index(first[:3].title())
            end = DAYS.index(last[:3].title()) if dash else start
        except ValueError:
            return ()
        found |= {(start + step) % 7 for step in range((end - start) % 7 + 1)}
    return tuple(sorted(found))


def _days(days: tuple[int, ...]) -> str:
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(DAYS[run[0]] if len(run) == 1 else f"{DAYS[run[0]]}-{DAYS[run[-1]]}" for run in runs)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
