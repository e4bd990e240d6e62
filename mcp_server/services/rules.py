"""Rules of the exposure policy: of a credential, and those that new ones get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from domain import policy
from domain.actors import Actor, Subject
from domain.credentials import Head
from domain.errors import Conflict, Denied, Invalid, NotFound
from domain.rules import NONE, Rules, stored_rules, with_rules
from mcp_server.services.approvals import others_can_approve
from mcp_server.work import AuditedUnit, Unit, Work
from mcp_server.work.loading import head_of
from mcp_server.work.ruling import local_time, must_meet

_SHOW = "claudetools exposure rules --help"


@dataclass(frozen=True, slots=True)
class Ruled:
    """Whose rules, what they were and what they are."""

    whose: str
    before: Rules
    rules: Rules
    level: str


class PolicyRules:
    """The use cases around rules."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def of(self, actor: Actor, reference: str = "") -> Ruled:
        """The rules of a credential, or those that new ones get.  Raises NotFound."""
        with self._work.reading(actor) as unit:
            policy.may(actor, "credential.view")
            if not reference:
                row = unit.keys.vault() or {}
                rules = stored_rules(row.get("default_rules"))
                return Ruled("new credentials", rules, rules, str(row.get("default_exposure", "")))
            head = head_of(unit, reference)
            return Ruled(head.reference, head.rules, head.rules, head.exposure)

    def set(self, actor: Actor, reference: str, said: Mapping[str, Any], *, zone: str, clear: bool = False) -> Ruled:
        """Puts rules of a credential in place (`said` as `domain.rules.with_rules` takes it); `clear` ends all others.

        Loosening one is for owners, who must themselves meet the step-up and the approval that it asked for.  Raises Denied,
        Invalid, NotFound, Conflict where nothing would change.
        """

        def change(unit: AuditedUnit) -> Ruled:
            head = head_of(unit, reference)
            unit.about(Subject("credential", head.credential_id, head.reference, head.client_id))
            after = self._after(unit, actor, head.rules, said, zone, head.reference, clear=clear)
            if policy.set_rules(actor, head.rules, after, head.reference):
                _must_meet_to_loosen(unit, actor, head)
            unit.credentials.replace(replace(head, rules=after, updated_us=unit.now_us))
            unit.note(changed=["rules"], rules=list(after.told()))
            return Ruled(head.reference, head.rules, after, head.exposure)

        return self._work.done(actor, "credential.update", change, subject=Subject("credential"))[0]

    def set_default(self, actor: Actor, said: Mapping[str, Any], *, zone: str, clear: bool = False) -> Ruled:
        """The same for what new credentials get; those that are there keep theirs."""

        def change(unit: AuditedUnit) -> Ruled:
            row = unit.keys.vault()
            if row is None:
                raise NotFound("there is no vault here", hint="./setup.sh")
            unit.about(Subject("vault", str(row["vault_id"]), "vault"))
            before = stored_rules(row["default_rules"])
            after = self._after(unit, actor, before, said, zone, "new credentials", clear=clear)
            policy.set_rules(actor, before, after, "new credentials")
            unit.keys.set_defaults(row, default_rules=after.stored())
            unit.note(rules=list(after.told()))
            return Ruled("new credentials", before, after, str(row["default_exposure"]))

        return self._work.done(actor, "vault.rules", change, subject=Subject("vault"))[0]

    @staticmethod
    def _after(
        unit: Unit, actor: Actor, before: Rules, said: Mapping[str, Any], zone: str, whose: str, *, clear: bool
    ) -> Rules:
        after = with_rules(NONE if clear else before, said, zone)
        if after == before:
            raise Conflict(f"the rules of {whose} are that already", hint=_SHOW)
        if after.hours is not None and after.hours != before.hours and _now(after, unit.now_us) is None:
            raise Invalid(
                "that is no time zone that this machine knows",
                fields={"hours": "end with a zone as in Europe/Berlin, or UTC"},
                hint=_SHOW,
            )
        if after.approval and not before.approval and not others_can_approve(unit, actor):
            raise Invalid(
                "nobody else could approve anything: this vault has no other person who may open credentials",
                fields={"approval": "needs a second person"},
                hint="claudetools person add NAME",
            )
        return after


def _must_meet_to_loosen(unit: AuditedUnit, actor: Actor, head: Head) -> None:
    """Who loosens a rule has to meet its step-up and approval; an approval that nobody is left to give is not asked for."""
    asked = Rules(step_up=head.rules.step_up, approval=head.rules.approval and others_can_approve(unit, actor))
    try:
        must_meet(unit, actor, replace(head, rules=asked), "")
    except Denied as error:
        raise Denied(f"these rules are loosened under themselves alone: {error.message}", hint=error.hint) from None


def _now(rules: Rules, now_us: int) -> datetime | None:
    return local_time(rules.hours, now_us) if rules.hours is not None else None
