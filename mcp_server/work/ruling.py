"""Whether the rules of a credential let a field of it be opened now, asked in the act's own transaction."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from domain import policy
from domain.actors import Actor
from domain.credentials import Head
from domain.identity import ROLE_SCOPES
from domain.policy import APPROVES, TO_CALLER, Met, Target
from domain.rules import Hours
from mcp_server.work.unit import AuditedUnit, Unit


def must_meet(unit: Unit, actor: Actor, head: Head, field: str, target: Target = TO_CALLER) -> None:
    """Raises Denied with the first rule that is not met.  Asks the database for nothing where there are none.

    In an audited unit the credential is held until its end, so that no two acts take the last of a limited number of uses.
    """
    rules = head.rules
    if not rules:
        return
    kinds: set[str] = set()
    if rules.step_up or rules.approval:
        whose = actor.owner_id or actor.id
        kinds = {
            one.kind
            for one in unit.approvals.valid(head.credential_id, whose, unit.now_us)
            if (one.kind == "step_up") == (one.by_id == whose) and _may_approve(unit, one.by_id)
        }
    opened: list[int] = []
    if rules.uses is not None:
        if isinstance(unit, AuditedUnit):
            unit.credentials.hold(head)
        opened = unit.audit.opened(head.credential_id, field, unit.now_us - rules.uses.window_s * 1_000_000)
    met = Met(
        now_us=unit.now_us,
        local=local_time(rules.hours, unit.now_us) if rules.hours is not None else None,
        stepped_up="step_up" in kinds,
        approved="approval" in kinds,
        opened_us=opened,
    )
    policy.meet(actor, head, field, target, met)


def _may_approve(unit: Unit, person_id: str) -> bool:
    """Whether who gave an approval might give it still: it ends with the rights of whoever gave it."""
    person = unit.identity.person(person_id)
    return person is not None and person.state == "active" and APPROVES in ROLE_SCOPES.get(person.role, frozenset())


def local_time(hours: Hours, now_us: int) -> datetime | None:
    """The time by the clocks of its zone; None for a zone that this machine does not know."""
    try:
        return datetime.fromtimestamp(now_us / 1_000_000, UTC).astimezone(ZoneInfo(hours.zone))
    except (ValueError, OSError, LookupError):  # no such zone, or no place that tells of zones
        return None
