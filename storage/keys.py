"""The vault's row, its key slots, and the wrapped client keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, String, column, func, literal, select, table

from domain.errors import NotFound
from storage.engine import as_bytes
from storage.guard import Guard, first_come
from storage.schema import MIN_READER, MIN_WRITER, client_keys, compatibility, key_slots, vault

SUBJECT = "client_key"


@dataclass(frozen=True, slots=True)
class Slot:
    """One way to open the root key: a kind (domain.slots), a label, and the wrapped key."""

    slot_id: str
    kind: str
    label: str
    wrapped: bytes
    created_us: int


@dataclass(frozen=True, slots=True)
class WrappedClientKey:
    """A client's key as it is stored."""

    client_id: str
    version: int
    state: str
    wrapped: bytes


def read_vault_id(connection: Connection) -> str | None:
    """The vault's id, needed to open its key; None where no vault was made yet."""
    return connection.execute(select(vault.c.vault_id)).scalar()


def read_slots(connection: Connection) -> list[Slot]:
    """Every key slot."""
    rows = connection.execute(select(key_slots).order_by(key_slots.c.created_us)).mappings()
    return [Slot(r["slot_id"], r["kind"], r["label"], as_bytes(r["wrapped"]), r["created_us"]) for r in rows]


def read_compatibility(connection: Connection) -> tuple[int, int, str]:
    """The oldest program that may read this database, the oldest that may write it, and its revision."""
    row = connection.execute(
        select(_VERSION.c.version_num, compatibility.c.min_reader, compatibility.c.min_writer).select_from(
            _VERSION.outerjoin(compatibility, literal(True))
        )
    ).first()
    if row is None:
        return 0, 0, ""
    return row.min_reader or 0, row.min_writer or 0, row.version_num


_VERSION = table("alembic_version", column("version_num", String))


class Keys:
    """The keys of one unit of work; everything is stored wrapped."""

    def __init__(self, connection: Connection, guard: Guard) -> None:
        self._connection = connection
        self._guard = guard

    def create_vault(self, values: Mapping[str, Any]) -> None:
        """Stores the vault's one row."""
        self._guard.insert(vault, "vault", "vault_id", values)
        self._connection.execute(compatibility.insert().values(id=1, min_reader=MIN_READER, min_writer=MIN_WRITER))

    def vault(self) -> Mapping[str, Any] | None:
        """The vault's row, checked.  Raises Broken."""
        return self._guard.one(vault, "vault", "vault_id")

    def set_defaults(self, row: Mapping[str, Any], **columns: str | None) -> None:
        """Sets what new credentials get.  Raises Conflict where the vault's row was changed meanwhile."""
        values = {column.name: row[column.name] for column in vault.c if column.name not in ("revision", "mac")}
        if not self._guard.update(vault, "vault", "vault_id", values | columns, row["revision"]):
            raise first_come("the vault's row was changed meanwhile", "try again")

    def put_slot(self, slot: Slot) -> None:
        """Stores a slot in place of the ones of the same kind and label."""
        self._connection.execute(
            key_slots.delete().where(key_slots.c.kind == slot.kind, key_slots.c.label == slot.label)
        )
        self._connection.execute(
            key_slots.insert().values(
                slot_id=slot.slot_id,
                kind=slot.kind,
                label=slot.label,
                wrapped=slot.wrapped,
                created_us=slot.created_us,
            )
        )

    def drop_slots(self, label: str) -> int:
        """Takes out the slots of one label: what only they open stays closed.  Returns how many there were."""
        return self._connection.execute(key_slots.delete().where(key_slots.c.label == label)).rowcount

    def active(self, client_id: str) -> WrappedClientKey | None:
        """The key that seals new versions of this client's credentials.  Raises Broken."""
        return self._one(client_id=client_id, state="active")

    def newest(self, client_id: str) -> WrappedClientKey | None:
        """The newest version of a client's key, whatever its state.  Raises Broken."""
        query = select(func.max(client_keys.c.version)).where(client_keys.c.client_id == client_id)
        version = self._connection.execute(query).scalar()
        return None if version is None else self._one(client_id=client_id, version=version)

    def every(self, client_id: str) -> list[WrappedClientKey]:
        """All versions of a client's key, each checked.  Raises Broken."""
        query = select(client_keys.c.version).where(client_keys.c.client_id == client_id)
        versions = self._connection.execute(query.order_by(client_keys.c.version)).scalars().all()
        return [key for key in (self.version(client_id, one) for one in versions) if key is not None]

    def replace(self, key: WrappedClientKey) -> None:
        """Stores a client key in another state.  Raises Conflict where it was changed meanwhile, NotFound, Broken."""
        row = self._guard.one(client_keys, SUBJECT, "client_key_id", client_id=key.client_id, version=key.version)
        if row is None:
            raise NotFound("that client key is gone", hint="claudetools audit verify")
        after = {
            **{column.name: row[column.name] for column in client_keys.c},
            "state": key.state,
            "wrapped": key.wrapped,
        }
        if not self._guard.update(client_keys, SUBJECT, "client_key_id", after, row["revision"]):
            raise first_come("that client key was changed meanwhile", "try again")

    def touch_vault(self) -> None:
        """Gives the vault's row a new revision: what its entry tells is about the whole of it.  Raises Broken."""
        row = self.vault()
        if row is None:
            raise NotFound("there is no vault here", hint="./setup.sh")
        after = {column.name: row[column.name] for column in vault.c}
        if not self._guard.update(vault, "vault", "vault_id", after, row["revision"]):
            raise first_come("the vault was changed meanwhile", "try again")

    def slots(self) -> list[Slot]:
        """Every key slot."""
        return read_slots(self._connection)

    def drop_slot(self, slot_id: str) -> bool:
        """Takes one slot out; False where it is gone already."""
        return bool(self._connection.execute(key_slots.delete().where(key_slots.c.slot_id == slot_id)).rowcount)

    def replace_slots(self, slots: Iterable[Slot]) -> None:
        """Puts these slots in the place of all that there are."""
        self._connection.execute(key_slots.delete())
        for slot in slots:
            self.put_slot(slot)

    def version(self, client_id: str, version: int) -> WrappedClientKey | None:
        """One version of a client's key.  Raises Broken."""
        return self._one(client_id=client_id, version=version)

    def create(self, client_id: str, version: int, wrapped: bytes, now_us: int) -> None:
        """Stores a new, active client key.  Raises Conflict where that version exists."""
        self._guard.insert(
            client_keys,
            SUBJECT,
            "client_key_id",
            {
                "client_key_id": key_id(client_id, version),
                "client_id": client_id,
                "version": version,
                "state": "active",
                "wrapped": wrapped,
                "created_us": now_us,
            },
        )

    def _one(self, **columns: str | int) -> WrappedClientKey | None:
        row = self._guard.one(client_keys, SUBJECT, "client_key_id", **columns)
        if row is None:
            return None
        return WrappedClientKey(row["client_id"], row["version"], row["state"], row["wrapped"])


def key_id(client_id: str, version: int) -> str:
    """The id under which the audit log knows a client key."""
    return f"{client_id}.{version}"
