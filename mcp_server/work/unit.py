"""A unit of work: the repositories of one transaction, and what its audit entry will say."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from sqlalchemy import Connection

from domain.actors import Actor, Subject
from domain.audit import FactValue, Receipt
from domain.verify import Finding
from storage.approvals import Approvals
from storage.audit import Audit
from storage.contacts import Contacts
from storage.context import Context
from storage.context_erasure import ContextErasure
from storage.context_tallies import ContextTallies
from storage.credentials import Credentials
from storage.guard import Guard, Mac
from storage.identity import Identity
from storage.incidents import Incidents
from storage.inspect import guarded_rows, sealed_rows
from storage.invitations import Invitations
from storage.keys import Keys
from storage.recipes import Recipes
from storage.registry import Registry
from storage.rekeying import GuardedRow, Rekeying
from storage.reports import Reports
from storage.runs import Runs
from storage.shredding import Shredding
from storage.sight import Question, Sight, look


class RecordingUnit:
    """What a machine may write by itself: captured context, and nothing of the strongroom."""

    def __init__(self, connection: Connection, guard: Guard, now_us: int) -> None:
        self._connection = connection
        self._guard = guard
        self.now_us = now_us

    @cached_property
    def context(self) -> Context:
        """Context records."""
        return Context(self._connection, self._guard)

    @cached_property
    def context_erasure(self) -> ContextErasure:
        """Context records that are forgotten together."""
        return ContextErasure(self._connection)

    @cached_property
    def context_tallies(self) -> ContextTallies:
        """Counts over context records."""
        return ContextTallies(self._connection)

    @cached_property
    def contacts(self) -> Contacts:
        """When each machine was last here."""
        return Contacts(self._connection)


class Unit(RecordingUnit):
    """All repositories, over one transaction."""

    def __init__(self, connection: Connection, mac: Mac, now_us: int) -> None:
        super().__init__(connection, Guard(connection, mac), now_us)

    def inspect(self) -> Iterator[Finding]:
        """Everything that is wrong with the guarded rows and the sealed fields."""
        yield from guarded_rows(self._connection, self._guard)
        yield from sealed_rows(self._connection)

    def look(self, question: Question) -> Sight:
        """Reads in one statement what the repositories would ask for one after the other."""
        sight = look(self._connection, question)
        self._guard.see(sight)
        return sight

    def see(self, sight: Sight) -> None:
        """Takes what an earlier act has seen and checked; the entry will hold it against the rows."""
        self._guard.see(sight, trusted=True)

    @property
    def sight(self) -> Sight | None:
        """What `look` or `see` brought; None once a row of it was changed."""
        return self._guard.sight

    @property
    def changed(self) -> list[tuple[str, str, int]]:
        """The guarded rows that this unit changed: (subject type, id, new revision)."""
        return self._guard.changed

    @cached_property
    def credentials(self) -> Credentials:
        """Credential heads, versions and sealed fields."""
        return Credentials(self._connection, self._guard)

    @cached_property
    def reports(self) -> Reports:
        """Questions over all credentials."""
        return Reports(self._connection, self.credentials)

    @cached_property
    def audit(self) -> Audit:
        """The audit log."""
        return Audit(self._connection)

    @cached_property
    def identity(self) -> Identity:
        """Machines, persons, agents."""
        return Identity(self._connection, self._guard)

    @cached_property
    def invitations(self) -> Invitations:
        """Invitations for machines."""
        return Invitations(self._connection, self._guard)

    @cached_property
    def recipes(self) -> Recipes:
        """Recipes."""
        return Recipes(self._connection, self._guard)

    @cached_property
    def approvals(self) -> Approvals:
        """What persons let each other do for a while, and their second factors."""
        return Approvals(self._connection, self._guard)

    @cached_property
    def registry(self) -> Registry:
        """Clients, services, infrastructure."""
        return Registry(self._connection)

    @cached_property
    def incidents(self) -> Incidents:
        """Incidents."""
        return Incidents(self._connection, self._guard)

    @cached_property
    def runs(self) -> Runs:
        """Rotations of keys."""
        return Runs(self._connection, self._guard)

    @cached_property
    def shredding(self) -> Shredding:
        """What is left of a client whose keys are destroyed."""
        return Shredding(self._connection, self._guard)

    @cached_property
    def rekeying(self) -> Rekeying:
        """The keys below the root, many at a time."""
        return Rekeying(self._connection)

    def check(self, found: GuardedRow) -> None:
        """Holds a guarded row against its MAC and the audit log.  Raises Broken."""
        self._guard.check(found.table, found.row, found.subject, found.key)
        self._guard.check_revision(found.row, found.logged, found.subject, found.key)

    @cached_property
    def keys(self) -> Keys:
        """Vault row, key slots, client keys."""
        return Keys(self._connection, self._guard)


class AuditedUnit(Unit):
    """A unit whose commit carries exactly one audit entry."""

    def __init__(
        self,
        connection: Connection,
        mac: Mac,
        now_us: int,
        *,
        actor: Actor,
        subject: Subject,
        entry_id: str,
        facts: dict[str, FactValue],
    ) -> None:
        super().__init__(connection, mac, now_us)
        self.actor = actor
        self.subject = subject
        self.entry_id = entry_id
        self.facts = facts
        self._receipt: Receipt | None = None
        self.generation: int | None = None
        """The generation of the root key under which this unit writes; its entry is stored where it is that still."""

    def about(self, subject: Subject) -> None:
        """Says what the act is about, once that is known."""
        self.subject = subject

    def note(self, **facts: FactValue) -> None:
        """Adds facts to the entry.  Names and numbers only, never a value."""
        self.facts.update(facts)

    @property
    def receipt(self) -> Receipt:
        """The committed entry.  Only after the block has ended well."""
        if self._receipt is None:
            raise RuntimeError("the audit entry is not committed yet")
        return self._receipt

    def commit_known(self, receipt: Receipt) -> None:
        """Called by the door when the commit is known."""
        self._receipt = receipt
