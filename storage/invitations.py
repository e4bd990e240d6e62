"""Invitations: guarded rows, so that nobody revives one by writing into the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from domain.invitations import Invitation
from storage.engine import as_bytes
from storage.guard import Guard, Row
from storage.schema import invitations

SUBJECT = "invitation"
_KEY = "invitation_id"


def read_invitation(connection: Connection, invitation_id: str) -> Invitation | None:
    """An invitation's row as it stands, unchecked: whoever is invited has no key yet to check it with."""
    query = select(invitations).where(invitations.c.invitation_id == invitation_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _invitation(row)


class Invitations:
    """The invitations of one unit of work.  Every read checks MAC and revision."""

    def __init__(self, connection: Connection, guard: Guard) -> None:
        self._connection = connection
        self._guard = guard

    def one(self, invitation_id: str) -> Invitation | None:
        """One invitation.  Raises Broken."""
        row = self._guard.one(invitations, SUBJECT, _KEY, invitation_id=invitation_id)
        return None if row is None else _invitation(row)

    def every(self) -> list[Invitation]:
        """Every invitation, newest first, each checked.  Raises Broken."""
        ids = self._connection.execute(select(invitations.c[_KEY]).order_by(invitations.c.created_us.desc())).scalars()
        return [found for found in map(self.one, list(ids)) if found is not None]

    def overdue(self, now_us: int) -> list[str]:
        """The ids of those that are open past their time; unchecked."""
        query = select(invitations.c[_KEY]).where(invitations.c.state == "open", invitations.c.expires_us <= now_us)
        return list(self._connection.execute(query).scalars())

    def add(self, invitation: Invitation) -> None:
        """Stores a new invitation."""
        self._guard.insert(invitations, SUBJECT, _KEY, _row(invitation))

    def replace(self, invitation: Invitation) -> bool:
        """Stores a changed invitation; False where it was changed meanwhile."""
        return self._guard.update(invitations, SUBJECT, _KEY, _row(invitation), invitation.revision)


def _row(invitation: Invitation) -> dict[str, Any]:
    names = Invitation.__dataclass_fields__
    return {name: getattr(invitation, name) for name in names if name != "revision"}


def _invitation(row: Row) -> Invitation:
    values = {name: row[name] for name in Invitation.__dataclass_fields__}
    return Invitation(**{**values, "share": as_bytes(row["share"])})
