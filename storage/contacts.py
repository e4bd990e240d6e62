"""When each machine was last here, and with which release of the program: what it says of itself."""

from __future__ import annotations

from sqlalchemy import Connection, select

from domain.identity import Contact
from storage.schema import machine_contacts


class Contacts:
    """The contacts of one unit of work."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def seen(self, machine_id: str, program: str, now_us: int) -> None:
        """Notes that a machine is here now.  Raises Conflict where another process of it was faster."""
        values = {"seen_us": now_us, "program": program[:32]}
        mine = machine_contacts.c.machine_id == machine_id
        if self._connection.execute(machine_contacts.update().where(mine).values(values)).rowcount == 0:
            self._connection.execute(machine_contacts.insert().values(machine_id=machine_id, **values))

    def every(self) -> dict[str, Contact]:
        """The last contact of each machine that ever told of one."""
        rows = self._connection.execute(select(machine_contacts))
        return {row.machine_id: Contact(int(row.seen_us), row.program) for row in rows}
