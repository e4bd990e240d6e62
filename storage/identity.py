"""Machines, persons and agents: guarded rows that give authority."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, select

from domain.identity import Agent, Machine, Person
from domain.ids import is_id
from storage.engine import is_mariadb
from storage.guard import Guard, first_come
from storage.schema import agents, machines, persons


def read_machine_state(connection: Connection, machine_id: str) -> str:
    """A machine's state as it stands, unchecked, for telling why its key opens nothing; "" where it is not known."""
    return connection.execute(select(machines.c.state).where(machines.c.machine_id == machine_id)).scalar() or ""


_Thing = TypeVar("_Thing", Machine, Person)
_Made = TypeVar("_Made")


class Identity:
    """Who there is, in one unit of work.  Every single read checks MAC and revision."""

    def __init__(self, connection: Connection, guard: Guard) -> None:
        self._connection = connection
        self._guard = guard

    def _one(
        self, table: Table, subject: str, key: str, make: Callable[[Mapping[str, Any]], _Made], **columns: str
    ) -> _Made | None:
        row = self._guard.one(table, subject, key, **columns)
        return None if row is None else self._guard.made(table, make, row, **columns)

    def machine(self, machine_id: str) -> Machine | None:
        """One machine.  Raises Broken."""
        return self._one(machines, "machine", "machine_id", partial(_of, Machine), machine_id=machine_id)

    def machines(self) -> list[Machine]:
        """Every machine, each checked.  Raises Broken."""
        ids = self._connection.execute(select(machines.c.machine_id).order_by(machines.c.created_us)).scalars()
        return [found for found in map(self.machine, ids) if found is not None]

    def add_machine(self, machine: Machine) -> None:
        """Registers a machine."""
        self._guard.insert(machines, "machine", "machine_id", _row(machine))

    def replace_machine(self, machine: Machine) -> None:
        """Stores a changed machine.  Raises Conflict."""
        if not self._guard.update(machines, "machine", "machine_id", _row(machine), machine.revision):
            raise first_come("that machine was changed meanwhile", "claudetools machine list")

    def person(self, name_or_id: str) -> Person | None:
        """One person by name or id.  Raises Broken."""
        column = "person_id" if is_id(name_or_id, "pe") else "name"
        return self._one(persons, "person", "person_id", partial(_of, Person), **{column: name_or_id})

    def person_names(self) -> list[str]:
        """Every person's name; unchecked, for choosing only."""
        return list(self._connection.execute(select(persons.c.name).order_by(persons.c.created_us)).scalars())

    def hold_persons(self) -> None:
        """From now on until the end of the unit nobody else changes a person: who is left may be counted."""
        if is_mariadb(self._connection):  # SQLite has one writer at a time
            query = select(persons.c.person_id).order_by(persons.c.person_id).with_for_update()
            self._connection.execute(query).all()

    def add_person(self, person: Person) -> None:
        """Adds a person.  Raises Conflict where the name is taken."""
        self._guard.insert(persons, "person", "person_id", _row(person))

    def replace_person(self, person: Person) -> None:
        """Stores a changed person.  Raises Conflict."""
        if not self._guard.update(persons, "person", "person_id", _row(person), person.revision):
            raise first_come("that person was changed meanwhile", "try again")

    def agent(self, name_or_id: str, machine_id: str = "") -> Agent | None:
        """One agent by id, or by name on a machine.  Raises Broken."""
        by: dict[str, str] = {"agent_id": name_or_id} if is_id(name_or_id, "ag") else {"name": name_or_id}
        if machine_id and "name" in by:
            by["machine_id"] = machine_id
        return self._one(agents, "agent", "agent_id", _agent, **by)

    def agents(self) -> list[Agent]:
        """Every agent, revoked ones included, each checked.  Raises Broken."""
        ids = self._connection.execute(select(agents.c.agent_id).order_by(agents.c.created_us)).scalars()
        return [found for found in map(self.agent, ids) if found is not None]

    def add_agent(self, agent: Agent) -> None:
        """Enrols an agent.  Raises Conflict where the name is taken on its machine."""
        self._guard.insert(agents, "agent", "agent_id", _agent_row(agent))

    def replace_agent(self, agent: Agent) -> None:
        """Stores a changed agent.  Raises Conflict."""
        if not self._guard.update(agents, "agent", "agent_id", _agent_row(agent), agent.revision):
            raise first_come("that agent was changed meanwhile", "claudetools agent list")


def _row(thing: Machine | Person) -> dict[str, Any]:
    names = type(thing).__dataclass_fields__
    return {name: getattr(thing, name) for name in names if name != "revision"}


def _of(kind: type[_Thing], row: Mapping[str, Any]) -> _Thing:
    return kind(**{name: row[name] for name in kind.__dataclass_fields__})


def _agent_row(agent: Agent) -> dict[str, Any]:
    names = Agent.__dataclass_fields__
    row = {name: getattr(agent, name) for name in names if name != "revision"}
    return {**row, "scopes": json.dumps(sorted(agent.scopes))}


def _agent(row: Mapping[str, Any]) -> Agent:
    values = {name: row[name] for name in Agent.__dataclass_fields__}
    return Agent(**{**values, "scopes": frozenset(json.loads(row["scopes"]))})
