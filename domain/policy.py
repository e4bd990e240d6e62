"""May this actor do this?  Each function returns, or raises Denied with the reason and who can.

Exposure levels, from closed to open: metadata < strict < sealed < reveal.  Only `reveal` lets a
value leave to an agent.  Private keys, refresh tokens and TOTP seeds never leave to an agent,
whatever the level.  Persons use the command line, which asks for their password each time.

Beside the level stand rules (domain.rules), which bind persons too.  `docs/policy.md` has the whole table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.actors import Actor
from domain.credentials import AT_MOST_SEALED, EXPOSURES, TYPES, Head
from domain.errors import Denied, Invalid, NotFound
from domain.rules import DAYS, Rules, looser

APPROVES = "credentials:decrypt"
"""Who may open a credential may let others."""
_EVERYBODY = "registry:read"
"""What every role has."""

_SCOPES: dict[str, str] = {
    "credential.view": "credentials:read",
    "credential.search": "credentials:read",
    "credential.create": "credentials:write",
    "credential.update": "credentials:write",
    "credential.delete": "credentials:write",
    "credential.rotate": "credentials:write",
    "credential.decrypt": "credentials:decrypt",
    "credential.use": "credentials:use",
    "credential.outcome": "credentials:use",
    "recipe.search": "credentials:read",
    "recipe.add": "credentials:write",
    "recipe.approve": "credentials:decrypt",
    "recipe.retire": "credentials:write",
    "credential.export": "keys:write",
    "credential.paste": "credentials:read",
    "credential.report": "credentials:read",
    "report.weak": "credentials:decrypt",
    "incident.open": "incidents:write",
    "incident.update": "incidents:write",
    "incident.search": "incidents:read",
    "audit.search": "audit:read",
    "context.recall": "context:read",
    "context.get": "context:read",
    "context.save": "context:write",
    "context.forget": "context:write",
    "context.scan": "context:read",
    "context.strike": "context:write",
    "registry.find": "registry:read",
    "registry.save": "registry:write",
    "agent.enroll": "agents:write",
    "agent.revoke": "agents:write",
    "machine.enroll": "agents:write",
    "machine.invite": "keys:write",
    "machine.uninvite": "keys:write",
    "machine.revoke": "keys:write",
    "person.create": "keys:write",
    "person.update": "keys:write",
    "person.revoke": "keys:write",
    "person.restore": "keys:write",
    "person.password": _EVERYBODY,
    "key.create": "credentials:write",
    "key.slot": "keys:write",
    "key.rotate": "keys:write",
    "key.rewrap": "keys:write",
    "key.load": "keys:write",
    "key.reseal": "keys:write",
    "key.shred": "keys:write",
    "vault.move": "keys:write",
    "vault.exposure": "keys:write",
    "vault.rules": "keys:write",
    "factor.add": "credentials:read",
    "factor.prove": "credentials:read",
    "factor.remove": "credentials:read",
    "approval.give": APPROVES,
    "approval.withdraw": "credentials:decrypt",
    "backup.create": "keys:write",
}

_IMPLIED = {"credentials:use": "credentials:decrypt"}
"""Who may see a value may use it without seeing it."""

_MACHINE_ACTIONS = frozenset(
    {
        "redaction.load",
        "redaction.strike",
        "vault.create",
        "machine.enroll",
        "machine.uninvite",
        "person.create",
        "person.login",
        "agent.enroll",
        "agent.prove",
        "key.slot",
        "backup.restore",
        "chain.close",
    }
)

MAX_PURPOSE = 500


def may(actor: Actor, action: str) -> None:
    """Whether the actor's role and scopes cover the action at all."""
    if actor.kind == "machine":
        if action not in _MACHINE_ACTIONS:
            raise Denied(f"a machine does not do {action} by itself", hint="act as a person or an agent")
        return
    scope = _SCOPES.get(action)
    if scope is None:
        raise Denied(f"{action} is not for persons and agents", hint="claudetools --help")
    if scope not in actor.scopes and _IMPLIED.get(scope) not in actor.scopes:
        raise Denied(
            f"{actor.name} has no right to {action}: the scope {scope} was not granted",
            hint="an owner can enroll the agent with that scope: claudetools agent enroll --help",
        )


def decrypt(actor: Actor, head: Head, field: str, purpose: str) -> None:
    """Whether a value may leave to this actor.

    Raises NotFound for a deleted credential or a field that is not set, Invalid without a
    purpose, Denied where the exposure policy keeps the value in.
    """
    if head.state == "deleted":
        raise NotFound("that credential was deleted", hint="claudetools credential list")
    if field not in head.fields:
        names = ", ".join(sorted(head.fields)) or "none"
        raise NotFound(
            f"{head.reference} has no such secret field; it has: {names}",
            hint=f"claudetools credential show {head.reference}",
        )
    if not purpose.strip():
        raise Invalid(
            "a reason is needed to open a secret field",
            fields={"purpose": "say in a few words what the value is needed for"},
        )
    if actor.kind == "person":
        return
    person_way = f"a person can open it: claudetools credential reveal {head.reference}"
    if field in (*TYPES[head.type].at_most_sealed, *AT_MOST_SEALED):
        raise Denied(f"{field} of {head.reference} never leaves to an agent", hint=person_way)
    if head.exposure != "reveal":
        raise Denied(
            f"{head.reference} is set to {head.exposure}: its value does not leave to an agent",
            hint=person_way,
        )


def use(actor: Actor, head: Head, purpose: str) -> None:
    """Whether a program may be given values of this credential, which the caller never sees.

    Raises NotFound for a deleted credential, Invalid without a purpose, Denied where its level is `metadata` or it was retired.
    """
    if head.state == "deleted":
        raise NotFound("that credential was deleted", hint="claudetools credential list")
    if not purpose.strip():
        raise Invalid(
            "a reason is needed to use a credential",
            fields={"purpose": "say in a few words what it is used for"},
        )
    if actor.kind != "person" and (head.exposure == "metadata" or head.state == "retired"):
        why = "set to metadata" if head.exposure == "metadata" else "retired"
        raise Denied(
            f"{head.reference} is {why}: agents do not use it",
            hint=f"a person can change that: claudetools credential update {head.reference} --help",
        )


def write_recipe(actor: Actor) -> None:
    """Whether this actor may write, approve or retire recipes: persons alone."""
    if actor.kind != "person":
        raise Denied(
            "recipes are written and approved by persons",
            hint="a person can, at the command line: claudetools recipe --help",
        )


def expose(actor: Actor, head: Head, wanted: str) -> None:
    """Whether this actor may set the exposure to `wanted`: agents may tighten it, persons loosen it too."""
    levels = [str(level) for level in EXPOSURES]
    if actor.kind != "person" and levels.index(wanted) > levels.index(head.exposure):
        raise Denied(
            f"an agent does not loosen the exposure of {head.reference}",
            hint="a person of the vault can, at the command line",
        )


def judge(actor: Actor) -> None:
    """Whether this actor may have all values opened, to be told which are weak."""
    if actor.kind != "person":
        raise Denied("an agent does not have all values opened", hint="a person can: claudetools report weak")


def create(actor: Actor, wanted: str, default: str) -> str:
    """The level of a new credential: what was asked for, or the vault's default.  Raises Denied for an agent that asks for more."""
    levels = [str(level) for level in EXPOSURES]
    if not wanted:
        return default
    if actor.kind != "person" and levels.index(wanted) > levels.index(default):
        raise Denied(
            f"new credentials of this vault are set to {default}: an agent does not make one that is open further",
            hint="leave exposure out; a person of the vault can set another",
        )
    return wanted


@dataclass(frozen=True, slots=True)
class Target:
    """What a value is opened for: the caller (no program), or a program (its real path) that may be sent to these hosts."""

    program: str = ""
    hosts: tuple[str, ...] = ()


TO_CALLER = Target()


@dataclass(frozen=True, slots=True)
class Met:
    """What is so at this moment, as far as the rules ask for it.

    `local`: the time by the clocks of the rule's zone (None: this machine does not know the zone).  `opened_us`: when the
    field was opened within the window, oldest first.
    """

    now_us: int = 0
    local: datetime | None = None
    stepped_up: bool = False
    approved: bool = False
    opened_us: Sequence[int] = ()


def meet(actor: Actor, head: Head, field: str, target: Target, met: Met) -> None:
    """Whether the rules of a credential let one of its fields be opened now.

    Raises Denied, which names the first rule that is not met and who can do something about it.
    """
    rules = head.rules
    whom = actor.owner_name or actor.name
    loosen = f"an owner can change that rule: claudetools exposure rules {head.reference} --help"
    _meet_target(actor, head, target, loosen)
    if rules.hours is not None and (met.local is None or not rules.hours.open_at(met.local)):
        there = (
            f"it is {DAYS[met.local.weekday()]} {met.local:%H:%M} there"
            if met.local
            else "that time zone is not known here"
        )
        raise Denied(f"{head.reference} is opened in its hours alone ({rules.hours}): {there}", hint=loosen)
    if rules.step_up and not met.stepped_up:
        raise Denied(
            f"{head.reference} is opened after a step-up alone: {whom} has shown no one-time code for it lately",
            hint=f"{whom} can, at a terminal: claudetools approval step-up {head.reference}",
        )
    if rules.approval and not met.approved:
        raise Denied(
            f"{head.reference} is opened with the approval of another person alone, and {whom} has none",
            hint=f"anybody else who may open it can, at a terminal: claudetools approval give {head.reference} --for {whom}",
        )
    if rules.uses is not None and len(met.opened_us) >= rules.uses.most:
        free = met.opened_us[len(met.opened_us) - rules.uses.most] + rules.uses.window_s * 1_000_000
        minutes = max(1, -(-(free - met.now_us) // 60_000_000))
        raise Denied(
            f"{field} of {head.reference} was opened as often as its limit of uses allows ({rules.uses}); "
            f"again in {minutes} {'minute' if minutes == 1 else 'minutes'}",
            hint=loosen,
        )


def _meet_target(actor: Actor, head: Head, target: Target, hint: str) -> None:
    rules = head.rules
    if not target.program:
        if actor.kind != "person" and (rules.programs or rules.hosts):
            raise Denied(
                f"{head.reference} goes to the programs and hosts of its rules alone: its value does not leave to an agent",
                hint="use it by a recipe (recipe_list tells which), or a person can open it: "
                f"claudetools credential reveal {head.reference}",
            )
        return
    if not rules.allows_program(target.program):
        raise Denied(f"{head.reference} goes to these programs alone: {', '.join(rules.programs)}", hint=hint)
    if not rules.allows_hosts(target.hosts):
        raise Denied(
            f"{head.reference} goes to these hosts alone: {', '.join(rules.hosts)}; "
            + ("this use may reach others" if target.hosts else "of this use it is not known where it goes"),
            hint=f"a recipe whose hosts are among them may use it: claudetools recipe list; or {hint}",
        )


def set_rules(actor: Actor, before: Rules, after: Rules, whose: str) -> tuple[str, ...]:
    """Whether this actor may put other rules in place; the names of those that are loosened by it.  Raises Denied."""
    if actor.kind != "person":
        raise Denied(
            f"the rules of {whose} are set by persons",
            hint="a person can, at a terminal: claudetools exposure rules --help",
        )
    loosened = looser(before, after)
    if loosened and "keys:write" not in actor.scopes:
        raise Denied(
            f"{actor.name} may not loosen the rules of {whose} ({', '.join(loosened)}): that is for owners",
            hint="an owner can, at a terminal: claudetools exposure rules --help",
        )
    return loosened


def persons(actor: Actor) -> None:
    """Whether this actor may change anything about persons, himself included: persons alone."""
    if actor.kind != "person":
        raise Denied(
            "persons are looked after by persons", hint="a person can, at a terminal: claudetools person --help"
        )


def approve(actor: Actor) -> None:
    """Whether this actor may approve anything or step up: persons alone."""
    if actor.kind != "person":
        raise Denied("approvals are given by persons", hint="a person can, at a terminal: claudetools approval --help")
