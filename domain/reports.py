"""Which credentials need somebody's attention, and why.  Open fields, dates and counts; never a value.

- at-risk: a model or a person saw a value that is still the current one.
- expiring: it expires, or its rotation is due, within so many days, or should have been already.
- unused: nobody has opened or used it for so many days.
- reused: another credential has the same value; told by the blind index, nothing is opened.
- weak: its value is soon guessed; every value is opened for that within this process, under one audit entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.credentials import DAY_US, Description, Head

OPEN_KINDS = ("at-risk", "expiring", "unused", "reused")
"""The reports that open nothing."""

USES = ("credential.decrypt", "credential.use", "credential.run", "credential.paste")
"""What counts as a use."""

JUDGED = ("password", "shared_secret", "passphrase")
"""The secret fields that people choose."""

MOST_DAYS = 3650


@dataclass(frozen=True, slots=True)
class Line:
    """One credential in a report.

    `why` in words; `at_us` the time that it is sorted by; `fields` the secret fields that it is about; `others` the
    references that share a value; `score` of a weak one, 0 to 4.
    """

    it: Description
    why: str
    at_us: int | None = None
    fields: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    score: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The lines that were asked for, and how many there are in all."""

    kind: str
    lines: tuple[Line, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Shared:
    """One secret field of one version, and the mark that equal values have in common."""

    credential_id: str
    field: str
    version: int
    mark: bytes


@dataclass(frozen=True, slots=True)
class Due:
    """When one credential of a client expires, and when its rotation is due; None for what is not soon."""

    client: str
    expires_us: int | None
    rotation_us: int | None


def rotation_us(head: Head) -> int | None:
    """When its next rotation is due; None where it has no such rule."""
    return next_rotation_us(head.rotate_every_days, head.last_rotated_us, head.created_us)


def next_rotation_us(every_days: int | None, last_us: int | None, created_us: int) -> int | None:
    """The same, by what decides it."""
    if every_days is None:
        return None
    return (last_us if last_us is not None else created_us) + every_days * DAY_US


def at_risk(found: Iterable[Description], seen: Mapping[tuple[str, int], int]) -> list[Line]:
    """`seen` says when a version of a credential was seen."""
    lines = []
    for it in found:
        times = {name: seen.get((it.head.credential_id, version)) for name, version in it.head.fields.items()}
        fields = tuple(sorted(name for name, at_us in times.items() if at_us is not None))
        if fields:
            first = min(at_us for at_us in times.values() if at_us is not None)
            lines.append(Line(it, "was seen and not rotated since", first, fields))
    return sorted(lines, key=_by_time)


def expiring(found: Iterable[Description], now_us: int, until_us: int) -> list[Line]:
    """What expires or is due for rotation before `until_us`."""
    lines = []
    for it in found:
        for ahead, past, at_us in (
            ("expires", "expired", it.head.expires_us),
            ("rotation is due", "rotation was due", rotation_us(it.head)),
        ):
            if at_us is not None and at_us <= until_us:
                lines.append(Line(it, f"{past if at_us < now_us else ahead} {distance(at_us, now_us)}", at_us))
    return sorted(lines, key=_by_time)


def unused(found: Iterable[Description], last: Mapping[str, int], now_us: int) -> list[Line]:
    """`last` says when each credential was used last."""
    lines = []
    for it in found:
        at_us = last.get(it.head.credential_id)
        why = "was never used" if at_us is None else f"was last used {distance(at_us, now_us)}"
        lines.append(Line(it, why, at_us if at_us is not None else it.head.created_us))
    return sorted(lines, key=_by_time)


def reused(found: Iterable[Description], shared: Iterable[Shared], client: str = "") -> list[Line]:
    """Current values that several credentials share; with a client, those that one of its own is among."""
    known = {it.head.credential_id: it for it in found}
    groups: dict[bytes, dict[str, str]] = {}
    for one in shared:
        it = known.get(one.credential_id)
        if it is not None and it.head.fields.get(one.field) == one.version:
            groups.setdefault(one.mark, {})[one.credential_id] = one.field
    lines = []
    for group in groups.values():
        members = sorted((known[key] for key in group), key=lambda it: it.reference)
        if len(members) > 1 and (not client or any(it.client == client for it in members)):
            for it in members:
                others = tuple(other.reference for other in members if other is not it)
                lines.append(Line(it, "has the value of another one", None, (group[it.head.credential_id],), others))
    return sorted(lines, key=lambda line: (min(line.it.reference, *line.others), line.it.reference))


def weak(judged: Iterable[tuple[Description, str, int, str]], most: int) -> list[Line]:
    """Those whose score is at most `most`; each comes as description, field, score, and the reason in words."""
    lines = [Line(it, why, None, (field,), score=score) for it, field, score, why in judged if score <= most]
    return sorted(lines, key=lambda line: (line.score or 0, line.it.reference))


def distance(at_us: int, now_us: int) -> str:
    """`in 5 days`, `today`, `12 days ago`."""
    days = at_us // DAY_US - now_us // DAY_US
    if days == 0:
        return "today"
    counted = f"{abs(days)} day{'s' if abs(days) > 1 else ''}"
    return f"in {counted}" if days > 0 else f"{counted} ago"


def page(kind: str, lines: Sequence[Line], limit: int) -> Report:
    """The first lines of a report."""
    return Report(kind, tuple(lines[:limit]), len(lines))


def _by_time(line: Line) -> tuple[int, str]:
    return line.at_us or 0, line.it.reference
