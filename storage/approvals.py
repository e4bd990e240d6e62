"""What persons let each other do with a credential for a while, and their second factors: guarded rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from domain.approvals import Approval, SecondFactor
from storage.engine import as_bytes
from storage.guard import Condition, Guard, Row, first_come
from storage.schema import approvals, second_factors

SUBJECT = "approval"
_KEY = "approval_id"
FACTOR = "second_factor"
_COLUMNS = tuple(Approval.__dataclass_fields__)
_FACTOR_COLUMNS = tuple(SecondFactor.__dataclass_fields__)


class Approvals:
    """The approvals of one unit of work.  Every read checks MAC and revision."""

    def __init__(self, connection: Connection, guard: Guard) -> None:
        self._connection = connection
        self._guard = guard

    def one(self, approval_id: str) -> Approval | None:
        """One approval.  Raises Broken."""
        row = self._guard.one(approvals, SUBJECT, _KEY, approval_id=approval_id)
        return None if row is None else Approval(**{name: row[name] for name in _COLUMNS})

    def valid(self, credential_id: str, person_id: str, now_us: int) -> list[Approval]:
        """Those for a person and a credential that hold now, the one that ends last first."""
        return self._where(
            approvals.c.credential_id == credential_id,
            approvals.c.person_id == person_id,
            approvals.c.until_us > now_us,
            approvals.c.withdrawn_us.is_(None),
        )

    def open(self, now_us: int) -> list[Approval]:
        """All that hold now."""
        return self._where(approvals.c.until_us > now_us, approvals.c.withdrawn_us.is_(None))

    def add(self, approval: Approval) -> None:
        """Stores a new one."""
        self._guard.insert(approvals, SUBJECT, _KEY, _row(approval, _COLUMNS))

    def replace(self, approval: Approval) -> None:
        """Stores a changed one.  Raises Conflict where it was changed meanwhile."""
        if not self._guard.update(approvals, SUBJECT, _KEY, _row(approval, _COLUMNS), approval.revision):
            raise first_come("that approval was changed meanwhile", "claudetools approval list")

    def _where(self, *conditions: Condition) -> list[Approval]:
        query = select(approvals.c[_KEY]).where(*conditions).order_by(approvals.c.until_us.desc())
        ids = list(self._connection.execute(query).scalars())
        return [found for found in map(self.one, ids) if found is not None]

    # Second factors.

    def factor(self, person_id: str) -> SecondFactor | None:
        """A person's, removed ones included.  Raises Broken, also where the row was taken out."""
        row = self._guard.one(second_factors, FACTOR, "person_id", person_id=person_id)
        if row is None:
            self._guard.must_be_new(FACTOR, person_id)  # else who takes the row out takes the code away
            return None
        return SecondFactor(**{name: row[name] for name in _FACTOR_COLUMNS} | {"sealed": as_bytes(row["sealed"])})

    def add_factor(self, factor: SecondFactor) -> None:
        """Stores a person's first one."""
        self._guard.insert(second_factors, FACTOR, "person_id", _row(factor, _FACTOR_COLUMNS))

    def replace_factor(self, factor: SecondFactor) -> None:
        """Stores a changed one.  Raises Conflict where it was changed meanwhile."""
        row = _row(factor, _FACTOR_COLUMNS)
        if not self._guard.update(second_factors, FACTOR, "person_id", row, factor.revision):
            raise first_come("that second factor was changed meanwhile", "claudetools factor show")


def _row(thing: object, names: tuple[str, ...]) -> Row:
    row: dict[str, Any] = {name: getattr(thing, name) for name in names if name != "revision"}
    return row
