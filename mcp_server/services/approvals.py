"""Approvals: a person shows a one-time code for a credential, or lets another person use it, for a while.

They meet the rules `step-up` and `approval` of the exposure policy, for that person and the agents that act for him.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from domain import policy
from domain.actors import Actor, Subject
from domain.approvals import MINUTE_US, MINUTES, MOST_MINUTES, Approval, Kind
from domain.credentials import Head
from domain.errors import Conflict, Denied, Invalid, NotFound
from domain.identity import ROLE_SCOPES
from domain.ids import is_id, new_id
from mcp_server.services.redaction import Redaction
from mcp_server.work import AuditedUnit, Unit, Work
from mcp_server.work.loading import head_of

_LIST = "claudetools approval list"


class Proving(Protocol):
    """What checks one-time codes (services.factors)."""

    def has(self, actor: Actor) -> bool:
        """Whether the person has a second factor."""

    def prove(self, actor: Actor, code: str) -> None:
        """Raises where the code is not one of now."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An approval with the names of whom and what it is about."""

    approval: Approval
    reference: str
    person: str
    by: str


class Approvals:
    """The use cases around approvals."""

    def __init__(self, work: Work, redaction: Redaction, factors: Proving) -> None:
        self._work = work
        self._redaction = redaction
        self._factors = factors

    def needs_code(self, actor: Actor) -> bool:
        """Whether this person shows a one-time code with every approval that he gives."""
        return self._factors.has(actor)

    def step_up(self, actor: Actor, reference: str, code: str, *, minutes: int = MINUTES, purpose: str = "") -> Shown:
        """Lets the person and the agents that act for him use a credential that asks for a step-up.

        Raises NotFound without a second factor, Unauthenticated for a wrong code, Conflict where it is not asked for.
        """
        said = self._checked(actor, minutes, purpose)
        self._must_ask(actor, reference, "step_up")
        self._factors.prove(actor, code)
        return self._give(actor, reference, "step_up", actor.owner_id or actor.id, minutes, said)

    def give(
        self, actor: Actor, reference: str, to: str, *, code: str = "", minutes: int = MINUTES, purpose: str = ""
    ) -> Shown:
        """Lets another person, and the agents that act for him, use a credential that asks for approval.

        Raises Denied for one's own approval, NotFound for a person that does not exist, Unauthenticated for a wrong code.
        """
        said = self._checked(actor, minutes, purpose)
        self._must_ask(actor, reference, "approval")
        with self._work.permitted(actor, "approval.give", purpose=said) as unit:
            person = unit.identity.person(to)
            if person is None or person.state != "active":
                raise NotFound("there is no such active person", hint="claudetools person list")
            if person.person_id == (actor.owner_id or actor.id):
                raise Denied(
                    "nobody approves what he does himself",
                    hint="ask another person; for a one-time code of your own: claudetools approval step-up --help",
                )
        if self._factors.has(actor):
            self._factors.prove(actor, code)
        return self._give(actor, reference, "approval", person.person_id, minutes, said)

    def open(self, actor: Actor) -> list[Shown]:
        """Every approval that holds now."""
        with self._work.reading(actor) as unit:
            policy.may(actor, "credential.search")
            return [self._shown(unit, one) for one in unit.approvals.open(unit.now_us)]

    def withdraw(self, actor: Actor, approval_id: str) -> Shown:
        """Ends an approval now: whoever gave it, whoever has it, and owners.  Raises NotFound, Conflict, Denied."""

        def change(unit: AuditedUnit) -> Shown:
            policy.approve(actor)
            found = unit.approvals.one(approval_id) if is_id(approval_id, "ap") else None
            if found is None:
                raise NotFound("there is no such approval", hint=_LIST)
            unit.about(Subject("approval", found.approval_id, self._shown(unit, found).reference))
            if actor.id not in (found.by_id, found.person_id) and "keys:write" not in actor.scopes:
                raise Denied("that approval is somebody else's", hint="an owner can withdraw it")
            if found.withdrawn_us is not None or found.until_us <= unit.now_us:
                raise Conflict("that approval does not hold any more", hint=_LIST)
            after = replace(found, withdrawn_us=unit.now_us)
            unit.approvals.replace(after)
            return self._shown(unit, after)

        return self._work.done(actor, "approval.withdraw", change, subject=Subject("approval"))[0]

    def _checked(self, actor: Actor, minutes: int, purpose: str) -> str:
        policy.approve(actor)
        wrong = {}
        if not 1 <= minutes <= MOST_MINUTES:
            wrong["minutes"] = f"1 to {MOST_MINUTES}"
        if len(purpose) > policy.MAX_PURPOSE or not (purpose or "-").isprintable():
            wrong["purpose"] = f"one line of at most {policy.MAX_PURPOSE} characters"
        if wrong:
            raise Invalid("that cannot be approved", fields=wrong)
        return self._redaction.text(purpose)

    def _must_ask(self, actor: Actor, reference: str, kind: Kind) -> None:
        with self._work.permitted(actor, "approval.give") as unit:
            _must_ask(head_of(unit, reference), kind)

    def _give(self, actor: Actor, reference: str, kind: Kind, person_id: str, minutes: int, purpose: str) -> Shown:
        def give(unit: AuditedUnit) -> Shown:
            head = head_of(unit, reference)
            _must_ask(head, kind)
            made = Approval(
                new_id("ap"),
                head.credential_id,
                kind,
                person_id,
                actor.id,
                purpose,
                unit.now_us,
                unit.now_us + minutes * MINUTE_US,
            )
            unit.about(Subject("approval", made.approval_id, head.reference, head.client_id))
            unit.approvals.add(made)
            shown = self._shown(unit, made)
            unit.note(kind=kind, credential=head.credential_id, person=shown.person, minutes=minutes)
            return shown

        return self._work.done(actor, "approval.give", give, subject=Subject("approval"), purpose=purpose)[0]

    @staticmethod
    def _shown(unit: Unit, approval: Approval) -> Shown:
        head = unit.credentials.load(approval.credential_id)
        names = [unit.identity.person(one) for one in (approval.person_id, approval.by_id)]
        whom, by = (one.name if one is not None else "" for one in names)
        return Shown(approval, head.reference if head is not None else "", whom, by)


def others_can_approve(unit: Unit, actor: Actor) -> bool:
    """Whether there is anybody else who could approve what this person does."""
    for name in unit.identity.person_names():
        person = unit.identity.person(name)
        if person is None or person.state != "active" or person.person_id == (actor.owner_id or actor.id):
            continue
        if policy.APPROVES in ROLE_SCOPES.get(person.role, frozenset()):
            return True
    return False


def _must_ask(head: Head, kind: Kind) -> None:
    if not (head.rules.step_up if kind == "step_up" else head.rules.approval):
        raise Conflict(
            f"{head.reference} asks for no {'step-up' if kind == 'step_up' else 'approval'}",
            hint=f"claudetools exposure rules {head.reference}",
        )
