"""Who acts: an enrolled agent for its owner, a person, or a machine by itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

ActorKind = Literal["agent", "person", "machine"]
Tier = Literal["embedded", "direct", "server"]

SCOPES: frozenset[str] = frozenset(
    {
        "credentials:read",
        "credentials:write",
        "credentials:decrypt",
        "credentials:use",
        "incidents:read",
        "incidents:write",
        "audit:read",
        "context:read",
        "context:write",
        "registry:read",
        "registry:write",
        "agents:write",
        "keys:write",
    }
)
AGENT_SCOPES: frozenset[str] = SCOPES - {"agents:write", "keys:write"}


@dataclass(frozen=True, slots=True)
class Actor:
    """The one who acts, as every audit entry records it.

    `verified` names the parts that were proved (agent, owner, machine); the rest, the Claude
    session among them, is only asserted by the caller.
    """

    kind: ActorKind
    id: str
    name: str
    owner_id: str = ""
    owner_name: str = ""
    machine_id: str = ""
    machine_name: str = ""
    session_id: str = ""
    verified: frozenset[str] = frozenset()
    scopes: frozenset[str] = field(default=frozenset(), repr=False)
    tier: Tier = "embedded"

    def in_session(self, session_id: str) -> Actor:
        """The same actor, speaking for another Claude Code session."""
        return replace(self, session_id=session_id)


@dataclass(frozen=True, slots=True)
class Subject:
    """What an act is about: a kind of thing, its id, and its name at that time."""

    type: str
    id: str = ""
    name: str = ""
    client_id: str = ""


ACTIONS: dict[str, str] = {
    "credential.view": "the open fields of one credential were read",
    "credential.search": "credentials were searched; open fields only",
    "credential.create": "a credential was made",
    "credential.update": "fields of a credential were changed; their names are listed",
    "credential.delete": "a credential was taken out of use; its history stays",
    "credential.rotate": "a credential got a new value as a new version",
    "credential.decrypt": "a secret field was opened for the caller",
    "credential.use": "a secret field was opened for a program, which a recipe or a person's yes started; the caller never saw it",
    "credential.outcome": "such a program ended: how, after how long, and how often its output held the value",
    "recipe.add": "a recipe was written; it is a draft",
    "recipe.approve": "a person approved a recipe: from now on agents may use credentials by it",
    "recipe.retire": "a recipe was taken out of use",
    "recipe.search": "recipes were listed",
    "credential.paste": "a value of the vault went into a conversation with a prompt; that version is exposed",
    "credential.report": "credentials that need attention were listed; open fields only",
    "report.weak": "the values that people chose were opened within one process to judge them; no score is kept",
    "credential.export": "a secret field was opened to be written into an encrypted file",
    "redaction.load": "all vault values were loaded into a machine's matcher, to strike them from text",
    "redaction.strike": "a vault value was struck from records that were written before it came in; an incident tells of it",
    "incident.open": "an incident was opened",
    "incident.search": "incidents were searched or read",
    "incident.update": "an incident was moved, edited or got a timeline entry",
    "audit.search": "the audit log was searched",
    "context.recall": "earlier work was looked up by a question",
    "context.get": "a whole context record was read",
    "context.save": "a note was kept in the memory on purpose",
    "context.scan": "the memory was looked through for secrets; records are named, never what they hold",
    "context.strike": "what today's rules take for secrets was struck from context records",
    "context.forget": "a context record was removed for good",
    "registry.find": "clients, services and infrastructure were looked up; refusals only",
    "registry.save": "a client, service or infrastructure was made or changed",
    "agent.enroll": "a program was enrolled as an agent of a person",
    "agent.revoke": "an agent was shut out",
    "agent.prove": "an agent's secret was checked",
    "person.create": "a person was made, by the setup or by an owner",
    "person.update": "a person got another role",
    "person.revoke": "a person was shut out, with all agents",
    "person.restore": "a person was let in again",
    "person.login": "a person's password was checked",
    "person.password": "a person's password was changed",
    "machine.enroll": "a machine and its audit key were registered, or somebody tried to with an invitation",
    "machine.invite": "an invitation for another machine was made",
    "machine.uninvite": "an invitation was withdrawn, or ran out unused",
    "machine.revoke": "a machine was shut out, with all its agents",
    "vault.create": "the vault was made",
    "vault.exposure": "how far the values of new credentials may go was set",
    "approval.give": "a person showed a one-time code for a credential, or let another person use it for a while",
    "approval.withdraw": "such an approval was withdrawn",
    "factor.add": "a person got a second factor",
    "factor.prove": "a person's one-time code was checked",
    "factor.remove": "a second factor was taken away, by a code of it or by an owner",
    "vault.rules": "the rules that new credentials get were set",
    "vault.move": "the vault is moved to another database",
    "backup.create": "a backup of the whole vault was made; everything secret in it stays sealed",
    "backup.restore": "the vault was put back from a backup",
    "key.create": "a client key was made",
    "key.slot": "a key slot of the root key was made, replaced or removed",
    "key.rotate": "a key was replaced: a client's key got a new version, or the root key was turned",
    "key.rewrap": "data keys were wrapped under a client's new key; no value was opened",
    "key.load": "values were opened in bulk to be sealed again or to be indexed anew; nothing of it leaves the process",
    "key.reseal": "values were sealed again under fresh data keys",
    "key.shred": "a client's keys were destroyed for good, with what was sealed under them",
    "chain.close": "a chain was closed because a commit's outcome could not be known",
}
"""Every action word an audit entry can carry, with its meaning."""
