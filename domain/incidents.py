"""Security incidents: what kinds there are, which moves are legal, and what a timeline holds.

Rules:

- investigating -> contained -> resolved | monitoring; monitoring -> resolved | investigating;
  resolved -> investigating, which is reopening.
- Contained needs at least one containment action on the timeline.
- Resolved needs a root cause, and every linked credential rotated or waived with a reason.
- Reopening needs a reason.
- The timeline only grows: a correction is a new entry that names the one it corrects.
- Text that came from outside is kept as it came, and is shown to a model inside a fence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from domain.errors import Conflict, Invalid
from domain.indicators import Indicator, IndicatorDraft, has_controls
from domain.playbooks import PLAYBOOKS
from domain.recall import harmless

State = Literal["investigating", "contained", "monitoring", "resolved"]
STATES: tuple[State, ...] = ("investigating", "contained", "monitoring", "resolved")
SEVERITIES = ("informational", "low", "medium", "high", "critical")
TYPES: tuple[str, ...] = tuple(PLAYBOOKS)
"""The incident types, in the order of the playbook table."""

MOVES: dict[State, tuple[State, ...]] = {
    "investigating": ("contained",),
    "contained": ("resolved", "monitoring"),
    "monitoring": ("resolved", "investigating"),
    "resolved": ("investigating",),
}
"""Where an incident can go from each state."""

ENTRY_KINDS = (
    "note",
    "observation",
    "containment",
    "eradication",
    "recovery",
    "communication",
    "move",
    "change",
    "correction",
)
OWN_KINDS = ("move", "change")
"""Kinds that the product writes by itself; nobody hands them in."""
LINK_KINDS = ("credential", "agent", "audit", "context")

MAX_TITLE = 200
MAX_TEXT = 64 * 1024
MAX_SOURCE = 200
MAX_LIST = 50
MAX_WAIVER = 500
MAX_DATE = 40
TEXTS = ("description", "findings", "root_cause", "remediation")
_HINT = "claudetools incident --help"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TECHNIQUE = re.compile(r"(T[0-9]{4}(\.[0-9]{3})?|TA[0-9]{4})?")


@dataclass(frozen=True, slots=True)
class When:
    """A moment as somebody told it: microseconds UTC, the words used, and how exact they are."""

    us: int
    text: str
    precision: str


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident without its timeline, indicators and links."""

    incident_id: str
    client_id: str
    service_id: str
    infrastructure_id: str
    type: str
    severity: str
    state: State
    title: str
    description: str
    findings: str
    root_cause: str
    remediation: str
    owner_id: str
    owner_name: str
    occurred_us: int
    opened_us: int
    updated_us: int
    contained_us: int | None = None
    resolved_us: int | None = None
    revision: int = 1


@dataclass(frozen=True, slots=True)
class EntryDraft:
    """A timeline entry as it is handed in.  `occurred_at` is ISO 8601; empty means now."""

    text: str
    kind: str = "note"
    occurred_at: str = ""
    source: str = ""
    technique: str = ""
    corrects: str = ""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One entry of the timeline; `seq` counts from 1 and has no gaps."""

    entry_id: str
    incident_id: str
    seq: int
    kind: str
    occurred: When
    recorded_us: int
    source: str
    actor_kind: str
    actor_id: str
    actor_name: str
    technique: str
    corrects: str
    audit_entry: str
    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """Something that the incident is about.  `waived` is why a credential need not be rotated."""

    incident_id: str
    kind: str
    target_id: str
    target_name: str
    waived: str
    added_us: int


@dataclass(frozen=True, slots=True)
class IncidentDraft:
    """An incident to be opened."""

    type: str
    title: str
    severity: str = "medium"
    description: str = ""
    findings: str = ""
    remediation: str = ""
    occurred_at: str = ""
    client: str = ""
    service: str = ""
    infrastructure: str = ""
    indicators: tuple[IndicatorDraft, ...] = ()
    credentials: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What an update does; everything given happens together or not at all.

    `waive` maps references of linked credentials to the reason why they need no rotation.
    """

    state: str = ""
    reason: str = ""
    severity: str = ""
    owner: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    entries: tuple[EntryDraft, ...] = ()
    indicators: tuple[IndicatorDraft, ...] = ()
    credentials: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    audit_entries: tuple[str, ...] = ()
    waive: Mapping[str, str] = field(default_factory=dict)
    expected_revision: int | None = None

    def __bool__(self) -> bool:
        return any(
            getattr(self, name) for name in self.__dataclass_fields__ if name not in ("reason", "expected_revision")
        )


@dataclass(frozen=True, slots=True)
class Whole:
    """An incident with all that belongs to it."""

    incident: Incident
    client: str
    service: str
    infrastructure: str
    timeline: tuple[TimelineEntry, ...]
    indicators: tuple[Indicator, ...]
    links: tuple[Link, ...]


def check_draft(draft: IncidentDraft) -> None:
    """Raises Invalid with every field that cannot be used and why."""
    wrong: dict[str, str] = {}
    _one_of(wrong, "type", draft.type, TYPES)
    _one_of(wrong, "severity", draft.severity, SEVERITIES)
    _title(wrong, draft.title)
    for name in ("description", "findings", "remediation"):
        _text(wrong, name, getattr(draft, name))
    for name in ("client", "service", "infrastructure"):
        _line(wrong, name, getattr(draft, name), 255)
    _lists(wrong, draft.indicators, draft.credentials, draft.agents)
    _refuse(wrong, "this incident cannot be opened as it is")


def check_changes(changes: Changes) -> None:
    """Raises Invalid with every field that cannot be used and why."""
    wrong: dict[str, str] = {}
    if changes.state:
        _one_of(wrong, "state", changes.state, STATES)
    if changes.severity:
        _one_of(wrong, "severity", changes.severity, SEVERITIES)
    if changes.title:
        _title(wrong, changes.title)
    _line(wrong, "owner", changes.owner, 64)
    _text(wrong, "reason", changes.reason, 2000)
    for name, text in changes.texts.items():
        if name not in TEXTS:
            wrong["texts"] = "only: " + ", ".join(TEXTS)
        else:
            _text(wrong, name, text)
    for entry in changes.entries:
        _entry(wrong, entry)
    for reason in changes.waive.values():
        if not reason.strip() or len(reason) > MAX_WAIVER or "\x00" in reason:
            wrong["waive"] = f"each waiver needs a reason of at most {MAX_WAIVER} characters"
    _lists(wrong, changes.indicators, changes.credentials, changes.agents, changes.audit_entries)
    if len(changes.entries) > MAX_LIST:
        wrong["entries"] = f"at most {MAX_LIST} at a time"
    if not changes and not wrong:
        wrong["changes"] = "name at least one: a state, a note, an action, a field, an indicator"
    _refuse(wrong, "this incident cannot be changed like that")


def check_move(
    incident: Incident,
    to: str,
    *,
    containment: bool,
    root_cause: str,
    unsettled: Sequence[str],
    reason: str,
) -> State:
    """Whether the incident may go to this state now.

    `containment`: there is a containment action.  `unsettled`: references of linked credentials
    that are neither rotated nor waived.  Raises Conflict for a move that does not exist, Invalid
    for one that lacks something.
    """
    state = next((name for name in STATES if name == to), None)
    possible = MOVES[incident.state]
    if state is None or state not in possible:
        raise Conflict(
            f"the incident is {incident.state}; from there it goes to: {', '.join(possible)}",
            hint=f"claudetools incident update {incident.incident_id} --state {possible[0]}",
            fields={"state": "one of: " + ", ".join(possible)},
        )
    wrong: dict[str, str] = {}
    if state == "contained" and not containment:
        wrong["entries"] = "needed: what was done to contain it, as an entry of kind containment"
    if state == "resolved":
        if not root_cause.strip():
            wrong["root_cause"] = "needed: why it could happen"
        if unsettled:
            wrong["credentials"] = "rotate or waive with a reason: " + ", ".join(unsettled)
    if incident.state == "resolved" and not reason.strip():
        wrong["reason"] = "needed: why the incident is opened again"
    _refuse(wrong, f"the incident cannot become {state} yet")
    return state


def settled(link: Link, rotated_us: int | None, opened_us: int, *, gone: bool) -> bool:
    """Whether a linked credential is no open end: waived, deleted, or rotated since the opening."""
    return bool(link.waived) or gone or (rotated_us is not None and rotated_us >= opened_us)


def moment(text: str, name: str, now_us: int) -> When:
    """Reads ISO 8601 (a date, or a time with or without offset, then UTC); empty is now.

    The words are kept beside the time in UTC, with their precision.  Raises Invalid naming the
    field.
    """
    said = text.strip()
    if not said:
        return When(now_us, "", "microsecond")
    try:
        at = datetime.fromisoformat(said) if len(said) <= MAX_DATE else None
        at = at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
        us = None if at is None else (at - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        us = None
    if us is None:
        why = "write it as 2027-01-31 or 2027-01-31T08:00+01:00"
        raise Invalid(f"{name} is no date", fields={name: why}, hint=_HINT)
    if us > now_us + 86_400_000_000:
        raise Invalid(f"{name} lies in the future", fields={name: "a time that has been"})
    return When(us, said, _precision(said))


def fence(text: str) -> str:
    """Text from outside, marked as data for a model; a forged closing mark is defused.

    Empty text stays empty.
    """
    if not text.strip():
        return text
    return f"<untrusted-text>\n{harmless(text)}\n</untrusted-text>"


def _precision(said: str) -> str:
    clock = re.split(r"[T ]", said, maxsplit=1)
    if len(clock) == 1:
        return "day"
    digits = re.split(r"[Zz+-]", clock[1], maxsplit=1)[0]
    if "." in digits or "," in digits:
        return "microsecond"
    return "second" if len(digits.replace(":", "")) > len("HHMM") else "minute"


def _entry(wrong: dict[str, str], entry: EntryDraft) -> None:
    offered = tuple(kind for kind in ENTRY_KINDS if kind not in OWN_KINDS)
    _one_of(wrong, "kind", entry.kind, offered)
    if not entry.text.strip():
        wrong["text"] = "needed: what happened or was done"
    _text(wrong, "text", entry.text)
    _line(wrong, "source", entry.source, MAX_SOURCE)
    if _TECHNIQUE.fullmatch(entry.technique) is None:
        wrong["technique"] = "an ATT&CK id such as T1566.002 or TA0001"
    if (entry.kind == "correction") != bool(entry.corrects):
        wrong["corrects"] = "a correction names the entry it corrects, and only a correction does"


def _lists(
    wrong: dict[str, str],
    indicators: Sequence[IndicatorDraft],
    credentials: Sequence[str],
    agents: Sequence[str],
    audit_entries: Sequence[str] = (),
) -> None:
    named = {
        "indicators": indicators,
        "credentials": credentials,
        "agents": agents,
        "audit_entries": audit_entries,
    }
    for name, items in named.items():
        if len(items) > MAX_LIST:
            wrong[name] = f"at most {MAX_LIST} at a time"


def _one_of(wrong: dict[str, str], name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        wrong[name] = "one of: " + ", ".join(allowed)


def _title(wrong: dict[str, str], title: str) -> None:
    if not title.strip():
        wrong["title"] = "needed: one line that says what happened"
    _line(wrong, "title", title, MAX_TITLE)


def _line(wrong: dict[str, str], name: str, text: str, limit: int) -> None:
    if len(text) > limit:
        wrong[name] = f"at most {limit} characters"
    elif has_controls(text):
        wrong[name] = "one line, without control characters"


def _text(wrong: dict[str, str], name: str, text: str, limit: int = MAX_TEXT) -> None:
    if len(text) > limit:
        wrong[name] = f"at most {limit} characters"
    elif "\x00" in text:
        wrong[name] = "holds a NUL character"


def _refuse(wrong: Mapping[str, str], message: str) -> None:
    if wrong:
        listed = "; ".join(f"{name}: {why}" for name, why in wrong.items())
        raise Invalid(f"{message}: {listed}", fields=wrong, hint=_HINT)
