"""Machines: who is in, invitations for others, and shutting one out.

An invitation signs with a key of its own until its machine is enrolled: the audit log tells a used, late or wrong attempt
as the act of a machine in the state `invited`, which may do nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from domain.actors import Actor, Subject
from domain.errors import Conflict, Denied, Invalid, NotFound, TooMany, Unauthenticated
from domain.identity import (
    FAILURE_WINDOW_US,
    FAILURES_ALLOWED,
    INVITED,
    ROLE_SCOPES,
    Contact,
    Machine,
    Person,
    check_secret,
)
from domain.ids import is_id, new_id
from domain.invitations import (
    SHARE_BYTES,
    VALID_US,
    Enclosed,
    Invitation,
    Letter,
    format_code,
    new_code,
)
from domain.plain import Plain
from mcp_server import __version__
from mcp_server.keyring import Keyring, machine_public_key_of, new_slot_key
from mcp_server.work import AuditedUnit, Unit, Work

MAX_NAME = 64
_NO_SHARE = b"\0" * SHARE_BYTES
LIST = "claudetools machine list"


@dataclass(frozen=True, slots=True)
class MachineView:
    """One machine, for lists; `agents` are the names of its active agents.

    `seen_us` is when a server last started there (None: never), `program` its release.
    """

    machine_id: str
    name: str
    state: str
    created_us: int
    agents: tuple[str, ...]
    seen_us: int | None = None
    program: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """How another machine comes to the database: its address without a password, the certificate, and the accounts."""

    address: str
    fingerprint: str
    password: Plain
    hooks_account: str
    hooks_password: Plain


@dataclass(frozen=True, slots=True)
class Invited:
    """A new invitation: the text to carry over, and the code to tell by another way."""

    invitation: Invitation
    text: str = field(repr=False)
    code: Plain


class Machines:
    """The machines of this vault."""

    def __init__(self, work: Work, keyring: Keyring, machine: Actor) -> None:
        self._work = work
        self._keyring = keyring
        self._machine = machine

    # Inviting.

    def invite(self, actor: Actor, label: str, reach: Reach) -> Invited:
        """Makes an invitation that is good once, for ten minutes.  Raises Denied, Invalid."""
        label = label.strip() or "new machine"
        check_name(label, "name")
        self.sweep()
        invitation_id, seed, share, code = new_id("iv"), new_slot_key(), os.urandom(SHARE_BYTES), new_code()
        enclosed = Enclosed(reach.password, reach.hooks_account, reach.hooks_password, seed)
        letter = Letter(self._keyring.vault_id, invitation_id, reach.address, reach.fingerprint, b"")
        sealed = self._keyring.seal_letter(letter, code, share, enclosed)
        signer = signer_of(invitation_id)
        # First the key that its attempts are signed with: an entry under an unknown key is told as forged.
        name = f"invitation {label}"[:MAX_NAME]
        with self._work.audited(actor, "machine.invite", Subject("machine", signer, name)) as unit:
            unit.identity.add_machine(Machine(signer, name, machine_public_key_of(seed), INVITED, unit.now_us))
        with self._work.audited(actor, "machine.invite", Subject("invitation", invitation_id, label)) as unit:
            now = unit.now_us
            made = Invitation(invitation_id, actor.id, label, share, "open", now, now + VALID_US)
            unit.invitations.add(made)
        return Invited(made, sealed.text(), Plain(format_code(code)))

    def invitations(self, actor: Actor) -> list[Invitation]:
        """Every invitation, newest first."""
        with self._work.reading(actor) as unit:
            return [replace(one, state=one.state_at(unit.now_us)) for one in unit.invitations.every()]

    def invitation(self, invitation_id: str) -> Invitation:
        """One invitation as it is now.  Raises NotFound."""
        with self._work.reading(None) as unit:
            found = _found(unit, invitation_id)
            return replace(found, state=found.state_at(unit.now_us))

    def withdraw(self, actor: Actor, invitation_id: str) -> Invitation:
        """Ends an invitation that nobody used.  Raises NotFound, Conflict."""
        with self._work.audited(actor, "machine.uninvite", Subject("invitation", invitation_id)) as unit:
            found = _found(unit, invitation_id)
            unit.about(Subject("invitation", found.invitation_id, found.label))
            if found.state != "open":
                raise Conflict(f"that invitation is {found.state} already", hint=LIST)
            ended = replace(found, state="revoked", share=_NO_SHARE)
            if not unit.invitations.replace(ended):
                raise Conflict("that invitation was used meanwhile", hint=LIST)
        return ended

    def sweep(self) -> int:
        """Ends what has run out, so that what would open it is gone.  Returns how many there were."""
        with self._work.reading(None) as unit:
            overdue = unit.invitations.overdue(unit.now_us)
        for invitation_id in overdue:
            subject = Subject("invitation", invitation_id)
            with self._work.audited(self._machine, "machine.uninvite", subject, state="expired") as audited:
                found = _found(audited, invitation_id)
                audited.about(Subject("invitation", invitation_id, found.label))
                if found.state == "open":
                    audited.invitations.replace(replace(found, state="expired", share=_NO_SHARE))
        return len(overdue)

    # Shutting out.

    def machines(self, actor: Actor) -> list[MachineView]:
        """Every machine, revoked ones included; invitations are not machines yet."""
        with self._work.reading(actor) as unit:
            contacts = unit.contacts.every()
            return [_view(unit, one, contacts) for one in unit.identity.machines() if one.state != INVITED]

    def report_in(self) -> None:
        """Tells the others that this machine is here, and with which release.  Raises Unavailable, Conflict, Denied."""
        with self._work.recording(self._machine) as unit:
            unit.contacts.seen(self._machine.id, __version__, unit.now_us)

    def find(self, actor: Actor, name_or_id: str) -> MachineView:
        """One machine by name or id.  Raises NotFound, Conflict where several have the name."""
        with self._work.reading(actor) as unit:
            return _view(unit, _one(unit, name_or_id))

    def revoke(self, actor: Actor, name_or_id: str) -> MachineView:
        """Shuts a machine out, and its agents: it is refused at its next call, and its key slot is taken out.

        Raises NotFound, Conflict where it is out already, is the last one, or several have the name.
        """
        with self._work.audited(actor, "machine.revoke", Subject("machine")) as unit:
            found = _one(unit, name_or_id)
            unit.about(Subject("machine", found.machine_id, found.name))
            if found.state != "active":
                raise Conflict(f"{found.name} is revoked already", hint=LIST)
            if sum(one.state == "active" for one in unit.identity.machines()) == 1:
                raise Conflict(
                    f"{found.name} is the last machine: nobody could act any more",
                    hint="claudetools machine invite, and revoke it from the other one",
                )
            unit.identity.replace_machine(replace(found, state="revoked"))
            unit.note(slots=unit.keys.drop_slots(found.machine_id))
        if found.machine_id != actor.machine_id:  # who shut out his own machine is out
            self._revoke_agents(actor, found)
        return MachineView(found.machine_id, found.name, "revoked", found.created_us, ())

    def _revoke_agents(self, actor: Actor, machine: Machine) -> None:
        """Each with its entry.  They are out with their machine already; this is for whoever reads the list of agents."""
        with self._work.reading(actor) as unit:
            left = [
                one for one in unit.identity.agents() if one.machine_id == machine.machine_id and one.state == "active"
            ]
        for agent in left:
            with self._work.audited(actor, "agent.revoke", Subject("agent", agent.agent_id, agent.name)) as audited:
                audited.identity.replace_agent(replace(agent, state="revoked", revoked_us=audited.now_us))


class Admission:
    """What an invitation's holder does before the machine is enrolled; signed with the invitation's own key."""

    def __init__(self, work: Work, invitation_id: str, label: str) -> None:
        self._work = work
        self._subject = Subject("invitation", invitation_id, label)
        machine_id, name = signer_of(invitation_id), f"invitation {label}"[:MAX_NAME]
        self._actor = Actor(
            "machine", machine_id, name, machine_id=machine_id, machine_name=name, verified=frozenset({"machine"}),
            tier="direct",
        )  # fmt: skip

    def refuse(self, found: Invitation, now_us: int) -> None:
        """Raises Denied, with its entry, for an invitation that was used, withdrawn or has run out."""
        state = found.state_at(now_us)
        if state == "open":
            return
        message, alert = {
            "used": ("this invitation was used already", "an invitation was used a second time"),
            "revoked": ("this invitation was withdrawn", "a withdrawn invitation was used"),
        }.get(state, ("this invitation has run out: it was good for ten minutes", ""))
        facts = {"state": state, **({"alert": alert} if alert else {})}
        with self._work.audited(self._actor, "machine.enroll", self._subject, **facts):
            raise Denied(message, hint="have a new one made: claudetools machine invite")

    def person(self, name: str, password: str) -> Person:
        """The person who joins, by name and password.  Raises Unauthenticated, Denied, TooMany; each with its entry."""
        with self._work.reading(None) as unit:
            found = unit.identity.person(name)
            subject = Subject("person", found.person_id if found else "", found.name if found else "")
            failures = unit.audit.failures("machine.enroll", subject.id, self._work.clock() - FAILURE_WINDOW_US)
        try:
            return check_person(found, password, failures)
        except (Unauthenticated, Denied, TooMany) as wrong:
            with self._work.audited(self._actor, "machine.enroll", subject, invitation=self._subject.id):
                raise wrong from None

    def use(self, person: Person, machine_id: str, also: Callable[[AuditedUnit], None]) -> None:
        """Uses the invitation up for this machine; `also` happens in the same transaction.

        Raises Denied where another machine was faster, or the person may not.
        """
        actor = replace(
            self._actor, kind="person", id=person.person_id, name=person.name, owner_id=person.person_id,
            owner_name=person.name, verified=frozenset({"person", "machine"}), scopes=ROLE_SCOPES.get(person.role, frozenset()),
        )  # fmt: skip
        with self._work.audited(actor, "machine.enroll", self._subject, machine=machine_id) as unit:
            found = _found(unit, self._subject.id)
            used = replace(found, state="used", share=_NO_SHARE, used_us=unit.now_us, machine_id=machine_id)
            if found.state_at(unit.now_us) != "open" or not unit.invitations.replace(used):
                raise Denied("this invitation was used already", hint="have a new one made: claudetools machine invite")
            also(unit)


def check_person(found: Person | None, password: str, failures: int = 0) -> Person:
    """The person, if that is the password.  Raises Unauthenticated, Denied for one who was shut out, TooMany."""
    if failures >= FAILURES_ALLOWED:
        raise TooMany(
            "too many wrong attempts: locked for five minutes",
            seconds=FAILURE_WINDOW_US // 1_000_000,
            hint="wait, then try again",
        )
    try:
        check_secret(found.password_hash if found else "", password)
    except Unauthenticated:
        raise Unauthenticated("that name and password do not belong together", hint="--person NAME") from None
    if found is None or found.state != "active":
        raise Denied("that person was shut out", hint="ask an owner of the vault")
    return found


def check_name(name: str, field_name: str) -> None:
    """Raises Invalid for what cannot be a machine's name."""
    if not 1 <= len(name.strip()) <= MAX_NAME or not name.isprintable():
        raise Invalid("that name cannot be used", fields={field_name: f"1 to {MAX_NAME} printable characters"})


def signer_of(invitation_id: str) -> str:
    """The machine id under which an invitation's own key stands in the list of machines."""
    return "ma" + invitation_id.removeprefix("iv")


def _found(unit: Unit, invitation_id: str) -> Invitation:
    found = unit.invitations.one(invitation_id)
    if found is None:
        raise NotFound("there is no such invitation", hint=LIST)
    return found


def _one(unit: Unit, name_or_id: str) -> Machine:
    if is_id(name_or_id, "ma"):
        found = unit.identity.machine(name_or_id)
        if found is None or found.state == INVITED:
            raise NotFound("there is no such machine", hint=LIST)
        return found
    named = [one for one in unit.identity.machines() if one.name == name_or_id and one.state != INVITED]
    active = [one for one in named if one.state == "active"] or named
    if not active:
        raise NotFound("there is no such machine", hint=LIST)
    if len(active) > 1:
        ids = ", ".join(one.machine_id for one in active)
        raise Conflict(f"{len(active)} machines have that name: {ids}", hint="name the one you mean by its id")
    return active[0]


def _view(unit: Unit, machine: Machine, contacts: Mapping[str, Contact] | None = None) -> MachineView:
    agents = tuple(
        one.name for one in unit.identity.agents() if one.machine_id == machine.machine_id and one.state == "active"
    )
    view = MachineView(machine.machine_id, machine.name, machine.state, machine.created_us, agents)
    contact = (contacts or {}).get(machine.machine_id)
    return view if contact is None else replace(view, seen_us=contact.seen_us, program=contact.program)
