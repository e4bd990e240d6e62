"""Whether who acts is still let in, asked in the act's own transaction."""

from __future__ import annotations

from domain.actors import Actor
from domain.errors import Broken, Denied, Unauthenticated
from domain.identity import ROLE_SCOPES
from mcp_server.keyring import Keyring
from mcp_server.work.unit import Unit
from storage.sight import Question


def question_of(actor: Actor, *, credential: str = "", field: str = "", opens: bool = False) -> Question:
    """The rows on which an actor's admission rests, and the credential that he asks for."""
    return Question(
        machine_id=actor.machine_id or actor.id,
        person_id={"machine": "", "person": actor.id, "agent": actor.owner_id}[actor.kind],
        agent_id=actor.id if actor.kind == "agent" else "",
        credential=credential,
        field=field,
        opens=opens,
    )


def admit(unit: Unit, actor: Actor) -> None:
    """Checks that who acts is still allowed in.

    Raises Denied for a revoked agent, person or machine and for rights that were taken since the
    proof, Unauthenticated for one that does not exist, Broken for a row that was tampered with.
    """
    machine = unit.identity.machine(actor.machine_id or actor.id)
    if machine is None:
        raise Unauthenticated("this machine is not enrolled here", hint="./setup.sh")
    if machine.state != "active":
        raise Denied("this machine was revoked", hint="have an invitation made: claudetools machine invite")
    if actor.kind == "machine":
        return
    person = unit.identity.person(actor.id if actor.kind == "person" else actor.owner_id)
    if person is None:
        raise Unauthenticated("that person does not exist", hint="claudetools login")
    if person.state != "active":
        raise Denied("that person was shut out", hint="ask an owner of the vault")
    rights = ROLE_SCOPES.get(person.role, frozenset())
    # Who sets a machine up acts by holding its keys, not by a role.
    if actor.kind == "person" and "person" in actor.verified and not actor.scopes <= rights:
        raise Denied(f"{person.name} has fewer rights now than this login", hint="claudetools login")
    if actor.kind == "agent":
        agent = unit.identity.agent(actor.id)
        if agent is None:
            raise Unauthenticated("that agent does not exist", hint="claudetools agent list")
        if agent.state != "active":
            raise Denied(
                f"the agent {agent.name} was revoked",
                hint="an owner can enroll it again: claudetools agent enroll",
            )
        if agent.machine_id != actor.machine_id or agent.owner_id != actor.owner_id:
            raise Denied("that agent belongs to another machine or person")
        if not actor.scopes <= agent.scopes & rights:
            raise Denied(
                f"the agent {agent.name} has fewer rights now than when it proved itself",
                hint="it proves itself anew within 15 minutes, or when Claude Code is started again",
            )


class OwnKey:
    """Whether this process signs with the key that its machine's row names.

    What another machine's key signs would be told as forged, so nothing is written with it, not
    even a refusal (`is_foreign`).  Asked until it was found well once: a machine keeps its key.
    """

    def __init__(self, machine_id: str, keyring: Keyring) -> None:
        self._machine_id = machine_id
        self._keyring = keyring
        self._is_well = False
        self.is_foreign = False

    def check(self, unit: Unit) -> None:
        """Raises Broken where the key is another's."""
        if self._is_well:
            return
        try:
            machine = unit.identity.machine(self._machine_id)
        except Broken:
            return  # the act itself refuses, and records it
        self.is_foreign = machine is not None and machine.public_key != self._keyring.machine_public_key()
        if self.is_foreign:
            raise Broken("this machine's audit key is another machine's", hint="claudetools keys recover")
        self._is_well = True
