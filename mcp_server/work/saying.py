"""What the doors say of an act: its subject, its entry, and why it is to be done again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError

from domain.actors import Subject
from domain.audit import Entry
from domain.errors import Broken, Conflict, Unavailable
from mcp_server.work.unit import AuditedUnit, Unit
from storage.transaction import told


def turned() -> Unavailable:
    """What to answer where the root key was turned while an act went on."""
    error = Unavailable("the vault's root key was replaced meanwhile", hint="try again")
    error.again = True
    return error


def fits(unit: Unit) -> bool:
    """Whether the vault's row was written under the root key that this process holds."""
    try:
        unit.keys.vault()
    except Broken:
        return False
    return True


@contextmanager
def first_come() -> Iterator[None]:
    """Says of a unique key that was taken between looking and writing that the act may be done again."""
    try:
        with told():
            yield
    except Conflict as error:
        error.again = error.again or isinstance(error.__context__, IntegrityError)
        raise


def known_subject(said: Subject | Callable[[], Subject] | None, unit: AuditedUnit | None, action: str) -> Subject:
    """What an act is about: what it found, or else what its caller said."""
    if unit is not None and unit.subject.type:
        return unit.subject
    if said is None:
        return Subject(action.partition(".")[0])
    return said() if callable(said) else said


def entry_of(unit: AuditedUnit, action: str, subject: Subject, purpose: str) -> Entry:
    """The entry of an act that went well."""
    return Entry(
        entry_id=unit.entry_id,
        at_us=unit.now_us,
        action=action,
        outcome="ok",
        actor=unit.actor,
        subject=subject,
        revision=_revision(unit, subject),
        purpose=purpose,
        facts=unit.facts,
    )


def _revision(unit: AuditedUnit, subject: Subject) -> int | None:
    """The new revision of the guarded row that the act changed: one act, one such row."""
    if not unit.changed:
        return None
    (changed,) = unit.changed  # more than one would leave a row that no entry vouches for
    if changed[:2] != (subject.type, subject.id):
        raise RuntimeError("an audited act changed a guarded row that is not its subject")
    return changed[2]
