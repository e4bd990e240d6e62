"""The persons of a vault: added, listed, given a role or a password, shut out and let in again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from domain import policy
from domain.actors import Actor, Subject
from domain.errors import Conflict, Denied, Invalid, NotFound
from domain.identity import ROLE_SCOPES, ROLES, Person, check_password_form, hash_secret
from domain.ids import is_id, new_id
from domain.plain import Plain
from mcp_server.work import AuditedUnit, Unit, Work

MAX_NAME = 64
_LIST = "claudetools person list"


@dataclass(frozen=True, slots=True)
class PersonView:
    """A person as lists show one."""

    name: str
    role: str
    state: str
    has_factor: bool
    agents: int
    created_us: int


class Persons:
    """The use cases around persons."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def every(self, actor: Actor) -> list[PersonView]:
        """Everybody, whoever was shut out included."""
        with self._work.reading(actor) as unit:
            policy.may(actor, "credential.search")
            agents = unit.identity.agents()
            found = []
            for name in unit.identity.person_names():
                person = _person(unit, name)
                factor = unit.approvals.factor(person.person_id)
                found.append(
                    PersonView(
                        person.name,
                        person.role,
                        person.state,
                        factor is not None and factor.state == "active",
                        sum(one.owner_id == person.person_id and one.state == "active" for one in agents),
                        person.created_us,
                    )
                )
            return found

    def add(self, actor: Actor, name: str, role: str, password: Plain) -> PersonView:
        """Adds a person with a first password.  Raises Invalid, Conflict where there is one of that name, Denied."""
        policy.persons(actor)
        wrong = {}
        if not 1 <= len(name.strip()) <= MAX_NAME or name != name.strip() or not name.isprintable():
            wrong["name"] = f"1 to {MAX_NAME} printable characters, without spaces around it"
        elif is_id(name, "pe"):
            wrong["name"] = "has the form of an id, by which nobody could be found"
        if role not in ROLES:
            wrong["role"] = "one of: " + ", ".join(ROLES)
        if wrong:
            raise Invalid("that person cannot be added", fields=wrong, hint="claudetools person add --help")
        check_password_form(password.expose())
        self._work.permit(actor, "person.create")
        hashed = hash_secret(password.expose())

        def add(unit: AuditedUnit) -> PersonView:
            person = Person(new_id("pe"), name, role, hashed, "active", unit.now_us)
            unit.about(Subject("person", person.person_id, name))
            if unit.identity.person(name) is not None:
                raise Conflict("there is a person of that name already", hint=_LIST)
            unit.identity.add_person(person)
            unit.note(role=role)
            return PersonView(name, role, "active", False, 0, unit.now_us)  # a column of the view

        return self._work.done(actor, "person.create", add, subject=Subject("person"))[0]

    def set_password(self, actor: Actor, password: Plain, *, of: str = "") -> str:
        """Gives the person who acts, or as an owner another one, a new password.  Returns whose it is.

        Raises Invalid, Denied, NotFound.
        """
        policy.persons(actor)
        check_password_form(password.expose())
        hashed = hash_secret(password.expose())

        def change(_unit: AuditedUnit, person: Person) -> Person:
            if person.person_id != actor.id:
                _must_own(actor)
                _must_not_outrank(actor, person)
            return replace(person, password_hash=hashed)

        return self._changed(actor, "person.password", of or actor.name, change).name

    def set_role(self, actor: Actor, name: str, role: str) -> Person:
        """Gives a person another role.  Raises Invalid, Conflict for the last owner, Denied, NotFound."""
        if role not in ROLES:
            raise Invalid("there is no such role", fields={"role": "one of: " + ", ".join(ROLES)})

        def change(unit: AuditedUnit, person: Person) -> Person:
            if person.role == role:
                raise Conflict(f"{person.name} has that role already", hint=_LIST)
            _must_leave_an_owner(unit, person)
            unit.note(role=role, before=person.role)
            return replace(person, role=role)

        return self._changed(actor, "person.update", name, change)

    def revoke(self, actor: Actor, name: str) -> Person:
        """Shuts a person out, and with him every agent of his.  Raises Conflict for the last owner, Denied, NotFound."""

        def change(unit: AuditedUnit, person: Person) -> Person:
            if person.state != "active":
                raise Conflict(f"{person.name} is shut out already", hint=_LIST)
            if person.person_id == actor.id:
                raise Conflict("nobody shuts himself out", hint="another owner can")
            _must_leave_an_owner(unit, person)
            return replace(person, state="revoked")

        return self._changed(actor, "person.revoke", name, change)

    def restore(self, actor: Actor, name: str) -> Person:
        """Lets a person in again, with the password from before.  Raises Conflict, Denied, NotFound."""

        def change(_unit: AuditedUnit, person: Person) -> Person:
            if person.state == "active":
                raise Conflict(f"{person.name} was not shut out", hint=_LIST)
            return replace(person, state="active")

        return self._changed(actor, "person.restore", name, change)

    def _changed(self, actor: Actor, action: str, name: str, change: Callable[[AuditedUnit, Person], Person]) -> Person:
        def do(unit: AuditedUnit) -> Person:
            policy.persons(actor)
            unit.identity.hold_persons()  # before anything is read of whom: two owners may be at it at once
            person = _person(unit, name)
            unit.about(Subject("person", person.person_id, person.name))
            after = change(unit, person)
            unit.identity.replace_person(after)
            return after

        return self._work.done(actor, action, do, subject=Subject("person"))[0]


def _person(unit: Unit, name: str) -> Person:
    person = unit.identity.person(name)
    if person is None:
        raise NotFound("there is no such person", hint=_LIST)
    return person


def _must_own(actor: Actor) -> None:
    if "keys:write" not in actor.scopes:
        raise Denied("another person's password is for owners to set", hint="ask an owner of the vault")


def _must_not_outrank(actor: Actor, person: Person) -> None:
    """Whoever sets another's password could act as him: nobody gets more rights by that than he has."""
    if not ROLE_SCOPES.get(person.role, frozenset()) <= actor.scopes:
        raise Denied(f"{person.name} may do more than you", hint="ask an owner of the vault")


def _must_leave_an_owner(unit: Unit, leaving: Person) -> None:
    if "keys:write" not in ROLE_SCOPES.get(leaving.role, frozenset()):
        return
    people = (unit.identity.person(name) for name in unit.identity.person_names())
    if not any(
        one is not None
        and one.state == "active"
        and one.person_id != leaving.person_id
        and "keys:write" in ROLE_SCOPES.get(one.role, frozenset())
        for one in people
    ):
        raise Conflict(f"{leaving.name} is the last owner of this vault", hint="claudetools person add --role owner")


__all__ = ["PersonView", "Persons"]
