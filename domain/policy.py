"""May this actor do this?  Each function returns, or raises Denied with the reason and who can.

Exposure levels, from closed to open: metadata < strict < sealed < reveal.  Only `reveal` lets a
value leave to an agent.  Private keys, refresh tokens and TOTP seeds never leave to an agent,
whatever the level.  Persons use the command line, which asks for their password each time.
"""

from __future__ import annotations

from domain.actors import Actor
from domain.credentials import AT_MOST_SEALED, EXPOSURES, TYPES, Head
from domain.errors import Denied, Invalid, NotFound

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
    "key.create": "credentials:write",
    "key.slot": "keys:write",
    "key.rotate": "keys:write",
    "key.rewrap": "keys:write",
    "key.load": "keys:write",
    "key.reseal": "keys:write",
    "key.shred": "keys:write",
    "vault.move": "keys:write",
    "vault.exposure": "keys:write",
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
