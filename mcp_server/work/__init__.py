"""The only doors to the database: units of work with their audit entry.

- `reading(actor)`: read-only.
- `audited(actor, action, subject, ...)`: one transaction, exactly one audit entry, committed
  together or not at all.
- `disclose(...)`: an audited act whose entry is committed before it hands out the ticket that
  `Keyring.unseal` demands.
- `recording(machine)`: what machines write by themselves; no entry, no strongroom.

A refusal is an entry too, in a second short transaction.  An act whose entry cannot be written
does not happen: the caller gets `unavailable`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from domain import policy
from domain.actors import Actor, Subject
from domain.audit import BulkTicket, Entry, FactValue, Link, Outcome, Receipt, Ticket
from domain.credentials import SealedField
from domain.errors import (
    Broken,
    ClaudeToolsError,
    Denied,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from domain.ids import new_id
from mcp_server.keyring import Keyring
from mcp_server.work.chain import Chain, HeadNotes
from mcp_server.work.unit import AuditedUnit, RecordingUnit, Unit
from storage.audit import Audit
from storage.transaction import Transaction, begin

Clock = Callable[[], int]

_REFUSALS = (Denied, NotFound, Unauthenticated)
_UNADMITTED = frozenset({"vault.create", "machine.enroll"})


def now_us() -> int:
    """The time in microseconds since 1970, UTC."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Found:
    """What a disclosure found inside its transaction: whose field, and its sealed bytes."""

    subject: Subject
    sealed: SealedField


class Work:
    """Opens transactions over one engine, under one keyring, into one audit chain."""

    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        notes: HeadNotes,
        machine_id: str,
        clock: Clock = now_us,
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._chain = Chain(keyring, notes, machine_id)
        self._machine_id = machine_id
        self._key_checked = False
        self.notes = notes
        self.clock = clock

    @contextmanager
    def reading(self, actor: Actor | None) -> Iterator[Unit]:
        """A read-only unit.  `None` reads without an actor: status, doctor and verify."""
        with begin(self._engine, write=False) as transaction:
            unit = Unit(transaction.connection, self._keyring.mac, self.clock())
            if actor is not None:
                admit(unit, actor)
            yield unit

    def permit(self, actor: Actor, action: str, *, purpose: str = "") -> None:
        """Refuses, with its entry, an act of several steps (or one without an entry) before the first of them."""
        try:
            with self.reading(actor):
                policy.may(actor, action)
        except _REFUSALS as error:
            self._refusal(actor, action, Subject(action.partition(".")[0]), purpose, {}, error)
            raise

    @contextmanager
    def recording(self, machine: Actor) -> Iterator[RecordingUnit]:
        """What a machine writes by itself, committed at the end of the block."""
        with begin(self._engine, write=True) as transaction:
            unit = Unit(transaction.connection, self._keyring.mac, self.clock())
            admit(unit, machine)
            yield RecordingUnit(transaction.connection, unit._guard, unit.now_us)  # noqa: SLF001  # same room
            transaction.commit()

    @contextmanager
    def audited(
        self,
        actor: Actor,
        action: str,
        subject: Subject | None = None,
        *,
        purpose: str = "",
        **facts: FactValue,
    ) -> Iterator[AuditedUnit]:
        """One transaction with exactly one audit entry, committed together or not at all.

        `purpose` and the facts must already be free of vault values (services.redaction).  What
        the block raises rolls everything back and is recorded as a refusal.
        """
        if action not in _UNADMITTED:
            self._check_own_key()
        entry_id = new_id("au")
        said = Entry(entry_id, 0, action, "ok", actor, subject or Subject(action.partition(".")[0]))
        unit: AuditedUnit | None = None
        try:
            with begin(self._engine, write=True) as transaction:
                unit = AuditedUnit(
                    transaction.connection,
                    self._keyring.mac,
                    self.clock(),
                    actor=actor,
                    subject=said.subject,
                    entry_id=entry_id,
                    facts=dict(facts),
                )
                if action not in _UNADMITTED:
                    admit(unit, actor)
                policy.may(actor, action)
                yield unit
                entry = _entry(unit, action, "ok", purpose, _revision(unit))
                unit.commit_known(self._commit(transaction, unit.audit, entry))
        except Unavailable:
            # The entry could not be written; a second try would keep the caller waiting.
            raise
        except ClaudeToolsError as error:
            about = unit.subject if unit is not None else said.subject
            self._refusal(actor, action, about, purpose, facts, error)
            raise

    def disclose(
        self,
        actor: Actor,
        action: str,
        find: Callable[[AuditedUnit], Found],
        *,
        purpose: str,
        subject: Subject | None = None,
    ) -> tuple[Ticket, Found]:
        """Commits the entry of a decrypt, then hands out the ticket for that very field.

        `find` runs inside the transaction: it loads the field and asks the policy.
        """
        with self.audited(actor, action, subject, purpose=purpose) as unit:
            found = find(unit)
            unit.about(found.subject)
            unit.note(field=found.sealed.field, version=found.sealed.version)
        sealed = found.sealed
        ticket = Ticket(unit.receipt, sealed.credential_id, sealed.field, sealed.version, sealed.blob)
        return ticket, found

    def load_values(self, machine: Actor) -> tuple[BulkTicket, list[SealedField], tuple[int, int]]:
        """Commits one `redaction.load` entry with the number of values, then hands them out sealed."""
        with self.audited(machine, "redaction.load", Subject("vault")) as unit:
            state = unit.credentials.sealed_state()
            fields = list(unit.credentials.every_sealed())
            unit.note(values=len(fields))
        return BulkTicket(unit.receipt, len(fields)), fields, state

    def _check_own_key(self) -> None:
        """Once a process: what another machine's key signs would be told as forged.  Raises Broken."""
        if self._key_checked:
            return
        try:
            with self.reading(None) as unit:
                machine = unit.identity.machine(self._machine_id)
        except Broken:
            return  # the act itself refuses, and records it
        if machine is not None and machine.public_key != self._keyring.machine_public_key():
            raise Broken("this machine's audit key is another machine's", hint="claudetools keys recover")
        self._key_checked = True

    def _commit(self, transaction: Transaction, audit: Audit, entry: Entry) -> Receipt:
        with self._chain.lock:
            made = self._chain.append(audit, entry)
            try:
                transaction.commit()
            except ClaudeToolsError:
                if not self._came_through(entry, made):
                    raise
            return self._chain.advance(made, entry.entry_id)

    def _came_through(self, entry: Entry, made: Link) -> bool:
        """Whether a commit that reported a failure is there all the same."""
        try:
            with begin(self._engine, write=False) as transaction:
                stored = Audit(transaction.connection).hash_of(entry.entry_id)
        except ClaudeToolsError:
            self._chain.abandon()
            return False
        return stored == made.hash

    def _refusal(
        self,
        actor: Actor,
        action: str,
        subject: Subject,
        purpose: str,
        facts: dict[str, FactValue],
        error: ClaudeToolsError,
    ) -> None:
        outcome: Outcome = "denied" if isinstance(error, _REFUSALS) else "failed"
        entry = Entry(
            entry_id=new_id("au"),
            at_us=self.clock(),
            action=action,
            outcome=outcome,
            actor=actor,
            subject=subject,
            purpose=purpose,
            facts={**facts, "error": error.code},
        )
        with begin(self._engine, write=True) as transaction:
            self._commit(transaction, Audit(transaction.connection), entry)
        error.entry = entry.entry_id


def _entry(unit: AuditedUnit, action: str, outcome: Outcome, purpose: str, revision: int | None) -> Entry:
    return Entry(
        entry_id=unit.entry_id,
        at_us=unit.now_us,
        action=action,
        outcome=outcome,
        actor=unit.actor,
        subject=unit.subject,
        revision=revision,
        purpose=purpose,
        facts=unit.facts,
    )


def _revision(unit: AuditedUnit) -> int | None:
    """The new revision of the guarded row that the act changed: one act, one such row."""
    if not unit.changed:
        return None
    (changed,) = unit.changed  # more than one would leave a row that no entry vouches for
    if changed[:2] != (unit.subject.type, unit.subject.id):
        raise RuntimeError("an audited act changed a guarded row that is not its subject")
    return changed[2]


def admit(unit: Unit, actor: Actor) -> None:
    """Checks, in the act's own transaction, that who acts is still allowed in.

    Raises Denied for a revoked agent, person or machine, Unauthenticated for one that does not
    exist, Broken for a row that was tampered with.
    """
    machine = unit.identity.machine(actor.machine_id or actor.id)
    if machine is None:
        raise Unauthenticated("this machine is not enrolled here", hint="./setup.sh")
    if machine.state != "active":
        raise Denied("this machine was revoked", hint="an owner can enroll it again: ./setup.sh")
    if actor.kind == "machine":
        return
    person = unit.identity.person(actor.id if actor.kind == "person" else actor.owner_id)
    if person is None:
        raise Unauthenticated("that person does not exist", hint="claudetools login")
    if person.state != "active":
        raise Denied("that person was shut out", hint="ask an owner of the vault")
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


__all__ = [
    "AuditedUnit",
    "Found",
    "HeadNotes",
    "RecordingUnit",
    "Unit",
    "Work",
    "admit",
    "now_us",
]
