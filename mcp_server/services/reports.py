"""Reports: which credentials are at risk, expiring, unused, reused or weak."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from domain import policy, reports
from domain.actors import Actor, Subject
from domain.credentials import DAY_US, Description, SealedField, slug
from domain.errors import Invalid, NotFound
from domain.reports import JUDGED, MOST_DAYS, OPEN_KINDS, USES, Line, Report
from domain.strength import MOST, Strength, judge
from mcp_server.keyring import Keyring
from mcp_server.services.pages import check_questions
from mcp_server.work import AuditedUnit, Unit, Work

DAYS = {"expiring": 30, "unused": 90}
"""How many days these look ahead or back, where nobody says."""
MOST_LINES = 1000
WEAK = 2
"""Up to this score a value is told as weak."""


class Reports:
    """The reports over one vault."""

    def __init__(self, work: Work, keyring: Keyring) -> None:
        self._work = work
        self._keyring = keyring

    def open(self, actor: Actor, kind: str, *, client: str = "", days: int | None = None, limit: int = 100) -> Report:
        """One of the reports that open nothing.  Without `days`, the usual number.  Raises Invalid, NotFound."""
        _check(client, limit)
        if kind not in OPEN_KINDS:
            raise Invalid("no such report", fields={"report": "one of: " + ", ".join(OPEN_KINDS)})
        if days is not None and (kind not in DAYS or not 1 <= days <= MOST_DAYS):
            why = f"1 to {MOST_DAYS}" if kind in DAYS else f"{kind} takes none"
            raise Invalid("that is no number of days for this report", fields={"days": why})
        span_us = (days or DAYS.get(kind, 0)) * DAY_US

        def look(unit: AuditedUnit) -> list[Line]:
            lines = _LOOKS[kind](unit, _client(unit, client), span_us)
            unit.note(report=kind, found=len(lines))
            return lines

        lines, _ = self._work.done(actor, "credential.report", look, subject=Subject("vault"))
        return reports.page(kind, lines, limit)

    def weak(
        self,
        actor: Actor,
        *,
        client: str = "",
        most: int = WEAK,
        limit: int = 100,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> Report:
        """Which values that people chose are soon guessed: up to the score `most`.

        Each is opened here, judged and forgotten; neither value nor score is kept.  Raises Denied for an agent.
        """
        _check(client, limit)
        if not 0 <= most <= MOST:
            raise Invalid("that is no score", fields={"score": f"0 to {MOST}"})
        known: dict[str, Description] = {}

        def find(unit: AuditedUnit) -> list[SealedField]:
            policy.judge(actor)
            known.clear()
            for it in unit.reports.active(_client(unit, client)):
                known[it.head.credential_id] = it
            return [sealed for sealed in unit.credentials.every_sealed(*JUDGED) if _is_current(known, sealed)]

        ticket, fields = self._work.load_to_judge(actor, "report.weak", find)
        judged: list[tuple[Description, str, int, str]] = []
        for number, (sealed, value) in enumerate(self._keyring.unseal_to_judge(ticket, fields), 1):
            it = known[sealed.credential_id]
            strength: Strength = judge(value, _beside(it))
            judged.append((it, sealed.field, strength.score, strength.why))
            progress(number, len(fields))
        return reports.page("weak", reports.weak(judged, most), limit)


def _at_risk(unit: Unit, client: str, _span_us: int) -> list[Line]:
    found, seen = unit.reports.seen(client)
    return reports.at_risk(found, seen)


def _expiring(unit: Unit, client: str, span_us: int) -> list[Line]:
    until_us = unit.now_us + span_us
    return reports.expiring(unit.reports.dated(client, until_us), unit.now_us, until_us)


def _unused(unit: Unit, client: str, span_us: int) -> list[Line]:
    found, last = unit.reports.unused(client, unit.now_us - span_us, USES)
    return reports.unused(found, last, unit.now_us)


def _reused(unit: Unit, client: str, _span_us: int) -> list[Line]:
    found, shared = unit.reports.shared()
    return reports.reused(found, shared, client)


_LOOKS: dict[str, Callable[[Unit, str, int], list[Line]]] = {
    "at-risk": _at_risk,
    "expiring": _expiring,
    "unused": _unused,
    "reused": _reused,
}


def _is_current(known: Mapping[str, Description], sealed: SealedField) -> bool:
    it = known.get(sealed.credential_id)
    return it is not None and it.head.fields.get(sealed.field) == sealed.version


def _check(client: str, limit: int) -> None:
    check_questions(client=client)
    if not 1 <= limit <= MOST_LINES:
        raise Invalid("that is no number of lines", fields={"limit": f"1 to {MOST_LINES}"})


def _client(unit: Unit, client: str) -> str:
    """The slug of a client that is asked for; "" for none.  A report about nobody would read like good news."""
    if not client:
        return ""
    known = unit.registry.client(client)
    if known is None:
        raise NotFound("there is no such client", hint="claudetools client list")
    return known.slug


def _beside(it: Description) -> list[str]:
    """The words of a credential that a password is often made from."""
    head = it.head
    words = [head.username, head.service_name, it.client, it.service, it.infrastructure, head.external_url, *head.tags]
    return [word for text in words for word in (text, *slug(text).split("-")) if text]
