"""The only doors to the database: units of work with their audit entry.

- `reading(actor)`: read-only.
- `audited(actor, action, subject, ...)`: one transaction, exactly one audit entry, committed
  together or not at all.
- `done(actor, action, do, ...)`: the same for an act that may be done again: where another writer
  came first, or where what was seen has changed meanwhile, it is.
- `disclose(...)`: an audited act whose entry is committed before it hands out the ticket that
  `Keyring.unseal` demands.
- `recording(machine)`, `recorded(machine, do)`: what machines write by themselves; no entry, no
  strongroom.

The root key may be turned while this process runs (`claudetools keys rotate root`).  Every unit asks which turn the
database is at, in a statement that it needs anyway, and an entry is stored only where it is still that one; a process
that is behind takes up the new root key and goes on.

A refusal is an entry too, in a second short transaction.  An act whose entry cannot be written
does not happen: the caller gets `unavailable`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Engine

from domain import policy
from domain.actors import Actor, Subject
from domain.audit import BulkTicket, Entry, FactValue, Link, Opening, Outcome, Receipt, Ticket
from domain.credentials import SealedField
from domain.errors import (
    Broken,
    ClaudeToolsError,
    Conflict,
    Denied,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from domain.ids import new_id
from mcp_server.keyring import Keyring
from mcp_server.work.admission import OwnKey, admit, question_of
from mcp_server.work.chain import Chain, HeadNotes
from mcp_server.work.saying import entry_of, first_come, fits, known_subject, turned
from mcp_server.work.sights import Sights
from mcp_server.work.unit import AuditedUnit, RecordingUnit, Unit
from mcp_server.work.words import Plainly, Words
from storage.audit import Audit
from storage.credentials import Names
from storage.rows import snapshot
from storage.sight import Question, Sight
from storage.transaction import Transaction, begin, told

Clock = Callable[[], int]
T = TypeVar("T")

TRIES = 12
"""How often the same is tried where another writer came first."""
TRY_FOR_S = 1.2
"""How long it is tried: the caller is to hear within 2.5 s."""
PATIENCE_S = 1.8
"""How long an entry may wait, first for the entries of other threads and then for the database."""
LEAST_S = 0.4
"""How much of that the database has at least."""
ASK_WITHIN_S = 0.6
"""After a lost reply the entry is looked for only where no more time has passed: the caller is still waiting."""
AT_LENGTH_S = 60.0
"""How long one answer of a server may take in `audited_at_length`."""
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


class _Changed(Exception):
    """What an act leans on is not as it was seen; nothing of the act has happened."""


class _Turned(Exception):
    """The root key was turned; nothing of the act has happened."""


class _Behind(Exception):
    """The matcher does not hold all of the vault's values; nothing of the act has happened."""


class Work:
    """Opens transactions over one engine, under one keyring, into one audit chain."""

    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        notes: HeadNotes,
        machine_id: str,
        clock: Clock = now_us,
        renew: Callable[[], bool] = lambda: False,
    ) -> None:
        self._engine = engine
        self._renew = renew
        self._keyring = keyring
        self._chain = Chain(keyring, notes, machine_id)
        self._own_key = OwnKey(machine_id, keyring)
        self._sights = Sights()
        self.notes = notes
        self.clock = clock

    @contextmanager
    def reading(self, actor: Actor | None) -> Iterator[Unit]:
        """A read-only unit.  `None` reads without an actor: status, doctor and verify."""

        def enter(stack: ExitStack) -> Unit:
            transaction = stack.enter_context(begin(self._engine, write=False))
            unit = Unit(transaction.connection, self._keyring.mac, self.clock())
            if actor is not None:
                self._let_in(unit, actor, unit.look(question_of(actor)))
            return unit

        with self._current(enter) as unit:
            yield unit

    @contextmanager
    def steady(self) -> Iterator[Unit]:
        """A read-only unit, without an actor, that sees the whole database as it is now, whatever others write meanwhile."""
        before = self._keyring.stamp
        with snapshot(self._engine) as connection:
            unit = Unit(connection, self._keyring.mac, self.clock())
            if fits(unit):
                yield unit
                return
        # The root key was turned, or the vault's row was tampered with: then the reader is to find that.
        self._renewed(before)
        with snapshot(self._engine) as connection:
            yield Unit(connection, self._keyring.mac, self.clock())

    def permit(self, actor: Actor, action: str, *, purpose: str = "") -> None:
        """Refuses, with its entry, an act of several steps (or one without an entry) before the first of them."""
        with self.permitted(actor, action, purpose=purpose):
            pass

    @contextmanager
    def permitted(self, actor: Actor, action: str, *, purpose: str = "") -> Iterator[Unit]:
        """The same, with a unit for what the act must know before its first step.  A refusal in the block is recorded too."""
        try:
            with self.reading(actor) as unit:
                policy.may(actor, action)
                yield unit
        except _REFUSALS as error:
            self._refusal(actor, action, Subject(action.partition(".")[0]), purpose, {}, error)
            raise

    @contextmanager
    def recording(self, machine: Actor) -> Iterator[RecordingUnit]:
        """What a machine writes by itself, committed at the end of the block."""

        def enter(stack: ExitStack) -> tuple[Transaction, RecordingUnit]:
            transaction = stack.enter_context(begin(self._engine, write=True))
            unit = Unit(transaction.connection, self._keyring.mac, self.clock())
            self._let_in(unit, machine, unit.look(question_of(machine)))
            return transaction, RecordingUnit(transaction.connection, unit._guard, unit.now_us)  # noqa: SLF001  # same room

        with self._current(enter) as (transaction, recording):
            yield recording
            transaction.commit()

    def recorded(self, machine: Actor, do: Callable[[RecordingUnit], T]) -> T:
        """The same with a function, which is called again where another writer came first.

        `do` has no effect but in its unit.
        """
        for _ in range(TRIES - 1):
            try:
                with self.recording(machine) as unit:
                    made = do(unit)
            except Unavailable as error:
                if not error.again:
                    raise
            else:
                return made
        with self.recording(machine) as unit:
            made = do(unit)
        return made  # noqa: RET504  # only once the block has committed

    @contextmanager
    def audited(
        self,
        actor: Actor,
        action: str,
        subject: Subject | Callable[[], Subject] | None = None,
        *,
        purpose: str = "",
        credential: str = "",
        **facts: FactValue,
    ) -> Iterator[AuditedUnit]:
        """One transaction with exactly one audit entry, committed together or not at all.

        `purpose` and the facts must already be free of vault values (services.redaction).  What
        the block raises rolls everything back and is recorded as a refusal.  `credential` is the
        reference that the block will load: its row comes with those of the actor.
        """
        with self._audited(actor, action, subject, purpose, credential, facts) as unit:
            yield unit

    @contextmanager
    def audited_at_length(
        self, actor: Actor, action: str, subject: Subject, facts: dict[str, FactValue]
    ) -> Iterator[AuditedUnit]:
        """The same for what is known to take a server seconds."""
        with self._audited(actor, action, subject, "", "", facts, AT_LENGTH_S) as unit:
            yield unit

    @contextmanager
    def _audited(
        self,
        actor: Actor,
        action: str,
        subject: Subject | Callable[[], Subject] | None,
        purpose: str,
        credential: str,
        facts: dict[str, FactValue],
        wait_s: float = 0.0,
    ) -> Iterator[AuditedUnit]:
        unit: AuditedUnit | None = None

        def enter(stack: ExitStack) -> tuple[Transaction, AuditedUnit]:
            nonlocal unit
            transaction = stack.enter_context(begin(self._engine, write=True, wait_s=wait_s))
            unit = self._unit(transaction, actor, facts)
            if action in _UNADMITTED:
                self._stand_alone(unit)
            else:
                sight = unit.look(question_of(actor, credential=credential))
                self._let_in(unit, actor, sight, signs=True)
            policy.may(actor, action)
            return transaction, unit

        try:
            with self._current(enter) as (transaction, unit):
                yield unit
                entry = entry_of(unit, action, known_subject(subject, unit, action), purpose)
                unit.commit_known(self._commit(transaction, entry, generation=unit.generation))
        except Unavailable:
            # The entry could not be written; a second try would keep the caller waiting.
            raise
        except ClaudeToolsError as error:
            self._refusal(actor, action, known_subject(subject, unit, action), purpose, facts, error)
            raise

    def done(
        self,
        actor: Actor,
        action: str,
        do: Callable[[AuditedUnit], T],
        *,
        subject: Subject | Callable[[], Subject] | None = None,
        purpose: Words | str = "",
        credential: str = "",
        **facts: FactValue,
    ) -> tuple[T, AuditedUnit]:
        """An audited act as a function, which is called again where another writer came first.

        `do` has no effect but in its unit.  `purpose` may be text that is not struck yet.
        """
        question = question_of(actor, credential=credential)
        return self._done(actor, action, do, question, subject, purpose, facts)

    def disclose(
        self,
        actor: Actor,
        action: str,
        find: Callable[[AuditedUnit], Found],
        *,
        purpose: Words | str,
        credential: str,
        field: str = "",
        subject: Subject | Callable[[], Subject] | None = None,
    ) -> tuple[Ticket, Found]:
        """Commits the entry of a decrypt, then hands out the ticket for that very field.

        `find` runs inside the transaction: it loads the field and asks the policy.  It may be called
        again.  What an earlier disclosure has seen is not read again: the entry is stored only
        where all of it is unchanged, row for row, at that moment.
        """

        def look_up(unit: AuditedUnit) -> Found:
            found = find(unit)
            unit.about(found.subject)
            unit.note(field=found.sealed.field, version=found.sealed.version)
            return found

        question = question_of(actor, credential=credential, field=field, opens=True)
        found, unit = self._done(actor, action, look_up, question, subject, purpose, {})
        sealed = found.sealed
        ticket = Ticket(unit.receipt, sealed.credential_id, sealed.field, sealed.version, sealed.blob)
        return ticket, found

    def load_sealed(
        self, actor: Actor, find: Callable[[AuditedUnit], list[SealedField]], level: str
    ) -> tuple[BulkTicket, list[SealedField]]:
        """The same as `load_to_judge` under one `key.load` entry: for a rotation of keys of that level."""

        def load(unit: AuditedUnit) -> list[SealedField]:
            unit.note(level=level)
            return find(unit)

        return self.load_to_judge(actor, "key.load", load)

    def load_values(self, machine: Actor) -> tuple[BulkTicket, list[SealedField], int]:
        """Commits one `redaction.load` entry with the number of values, then hands them out sealed, with their mark."""
        with self.audited(machine, "redaction.load", Subject("vault")) as unit:
            # The mark first: a value that comes in between is loaded, and loaded again.
            mark = unit.credentials.mark()
            fields = list(unit.credentials.every_sealed())
            unit.note(values=len(fields))
        return BulkTicket(unit.receipt, len(fields)), fields, mark

    def load_to_judge(
        self, actor: Actor, action: str, find: Callable[[AuditedUnit], list[SealedField]]
    ) -> tuple[BulkTicket, list[SealedField]]:
        """Commits one entry with the number of values that are to be judged here, then hands them out sealed."""

        def count(unit: AuditedUnit) -> list[SealedField]:
            fields = find(unit)
            unit.note(values=len(fields))
            return fields

        fields, unit = self.done(actor, action, count, subject=Subject("vault"))
        return BulkTicket(unit.receipt, len(fields)), fields

    # What the doors are made of.

    @contextmanager
    def _current(self, enter: Callable[[ExitStack], T]) -> Iterator[T]:
        """A unit that was entered under the root key that the database is at.

        It is entered once more where the root key was found turned.  Where that is found later, inside the block, the
        caller hears `unavailable` and may do the same again.
        """
        with ExitStack() as stack:
            before = self._keyring.stamp
            try:
                entered = enter(stack)
            except (_Turned, Broken) as error:
                stack.close()
                if not self._renewed(before) and isinstance(error, Broken):
                    raise
                before = self._keyring.stamp
                try:
                    entered = enter(stack)
                except _Turned:
                    raise turned() from None
            try:
                yield entered
            except (_Turned, Broken) as error:
                stack.close()
                if not self._renewed(before) and isinstance(error, Broken):
                    raise
                raise turned() from None

    def _renewed(self, before: object) -> bool:
        """Takes up the root key that the database is at.  Whether this process has another one than `before` now."""
        self._renew()
        return self._keyring.stamp is not before

    def _let_in(self, unit: Unit, actor: Actor, sight: Sight, *, signs: bool = False, seen: bool = False) -> None:
        """Admission, under the root key that the database is at.  Raises _Turned where that is another.

        `seen`: by an earlier act; then the entry alone tells whether it is still so.
        """
        if self._keyring.generation not in (None, sight.root):
            raise _Turned
        if signs:
            self._own_key.check(unit)
        admit(unit, actor)
        if not seen:  # a row fitted, and beside it stood which turn of the root key this is
            self._keyring.learn(sight.root)
        if isinstance(unit, AuditedUnit):
            unit.generation = sight.root

    def _stand_alone(self, unit: AuditedUnit) -> None:
        """The same for what happens before anybody is let in: that the vault's row fits is what there is to go by."""
        if self._keyring.signs_alone():
            return
        unit.generation = unit.rekeying.generation()
        if self._keyring.generation not in (None, unit.generation):
            raise _Turned
        unit.keys.vault()

    def _unit(self, transaction: Transaction, actor: Actor, facts: dict[str, FactValue]) -> AuditedUnit:
        return AuditedUnit(
            transaction.connection,
            self._keyring.mac,
            self.clock(),
            actor=actor,
            subject=Subject(""),
            entry_id=new_id("au"),
            facts=dict(facts),
        )

    def _done(
        self,
        actor: Actor,
        action: str,
        do: Callable[[AuditedUnit], T],
        question: Question,
        subject: Subject | Callable[[], Subject] | None,
        purpose: Words | str,
        facts: dict[str, FactValue],
    ) -> tuple[T, AuditedUnit]:
        words = Plainly(purpose) if isinstance(purpose, str) else purpose
        until = time.monotonic() + TRY_FOR_S
        for left in reversed(range(TRIES)):
            last = not left or time.monotonic() > until
            known = None if last else self._sights.get(question)
            try:
                return self._attempt(actor, action, do, question, known, subject, words, facts, last=last)
            except _Changed:
                self._sights.drop(question)
            except _Turned:
                self._sights.drop(question)
                self._renew()
                if last:
                    raise turned() from None
            except _Behind:
                self._sights.drop(question)
                words.renew()
            except Unavailable as error:
                if not error.again or last:
                    raise
            if last:
                break
        raise Unavailable("what this act leans on keeps changing", hint="try again")

    def _attempt(
        self,
        actor: Actor,
        action: str,
        do: Callable[[AuditedUnit], T],
        question: Question,
        known: Sight | None,
        subject: Subject | Callable[[], Subject] | None,
        words: Words,
        facts: dict[str, FactValue],
        *,
        last: bool,
    ) -> tuple[T, AuditedUnit]:
        unit: AuditedUnit | None = None
        said, before = "", self._keyring.stamp
        try:
            with begin(self._engine, write=True) as transaction:
                unit = self._unit(transaction, actor, facts)
                sight = known or unit.look(question)
                if known is not None:
                    unit.see(known)
                struck = words.struck(sight.mark)
                if struck is None:
                    raise _Behind
                said = struck
                self._let_in(unit, actor, sight, signs=True, seen=known is not None)
                policy.may(actor, action)
                with first_come():
                    made = do(unit)
                entry = entry_of(unit, action, known_subject(subject, unit, action), said)
                # Where something was written, the rows are held, or checked by their revision.
                condition = sight if question.opens and sight.whole and unit.sight is sight else None
                unit.commit_known(self._commit(transaction, entry, condition, generation=unit.generation))
                if condition is not None:
                    self._sights.keep(question, condition)
                return made, unit
        except Unavailable:
            raise
        except ClaudeToolsError as error:
            # Nobody is refused for what was seen a while ago, or for losing a race that can be run again.
            if known is not None or (isinstance(error, Conflict) and error.again and not last):
                raise _Changed from None
            if isinstance(error, Broken) and not last and self._renewed(before):
                raise _Turned from None
            self._refusal(actor, action, known_subject(subject, unit, action), said, facts, error)
            raise

    def _commit(
        self,
        transaction: Transaction,
        entry: Entry,
        condition: Sight | None = None,
        *,
        generation: int | None = None,
    ) -> Receipt:
        begun = time.monotonic()
        with self._chain.turn(PATIENCE_S - LEAST_S):
            opening, made = self._chain.next(entry)
            try:
                with told():
                    patience = PATIENCE_S - (time.monotonic() - begun)
                    self._store(transaction, opening, made, condition, patience, generation)
                transaction.commit()
            except ClaudeToolsError as error:
                if isinstance(error, Unavailable) and error.again:
                    raise  # nothing of it happened, and nothing of it can still happen
                if not self._came_through(entry, made, time.monotonic() - begun):
                    # It may still come through, and what is appended now must not meet it.
                    self._chain.abandon()
                    raise
            return self._chain.advance(made, entry.entry_id)

    @staticmethod
    def _store(
        transaction: Transaction,
        opening: Opening | None,
        made: Link,
        condition: Sight | None,
        patience: float,
        generation: int | None,
    ) -> None:
        audit = Audit(transaction.connection)
        audit.wait_at_most(patience)
        if opening is not None:
            audit.open_chain(opening)
        with transaction.last_write():
            if condition is None and generation is None:
                audit.append(made)
            elif condition is None:
                if not audit.append_under(made, generation or 0):
                    raise _Turned
            elif not audit.append_while(made, condition):
                raise _Changed

    def _came_through(self, entry: Entry, made: Link, waited_s: float) -> bool:
        """Whether a commit that reported a failure is there all the same."""
        if waited_s > ASK_WITHIN_S:
            return False
        try:
            with begin(self._engine, write=False) as transaction:
                stored = Audit(transaction.connection).hash_of(entry.entry_id)
        except ClaudeToolsError:
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
        if self._own_key.is_foreign:
            return  # what this process signs now would be told as forged
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
        for left in reversed(range(TRIES)):
            try:
                with begin(self._engine, write=True) as transaction:
                    self._commit(transaction, entry)
                break
            except Unavailable as busy:
                if not busy.again or not left:
                    raise
        error.entry = entry.entry_id


__all__ = [
    "AuditedUnit",
    "Found",
    "HeadNotes",
    "Names",
    "RecordingUnit",
    "Unit",
    "Words",
    "Work",
    "admit",
    "now_us",
]
