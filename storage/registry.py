"""Clients, services and infrastructure."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Table, case, func, or_, select

from domain.registry import RegistryItem, RegistryKind
from storage.guard import Condition
from storage.schema import clients, infrastructure, services

_TABLES: dict[str, tuple[Table, str]] = {
    "client": (clients, "client_id"),
    "service": (services, "service_id"),
    "infrastructure": (infrastructure, "infrastructure_id"),
}


class Registry:
    """Whose and what there is, in one unit of work."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def client(self, text: str) -> RegistryItem | None:
        """One client by id, slug, or name (in any case)."""
        return self._one("client", text, "")

    def belonging(self, kind: RegistryKind, text: str, client_id: str) -> RegistryItem | None:
        """One service or infrastructure of a client, by id, slug, or name."""
        return self._one(kind, text, client_id)

    def by_id(self, kind: RegistryKind, item_id: str) -> RegistryItem | None:
        """One item by its id."""
        table, key = _TABLES[kind]
        return self._first(kind, table, table.c[key] == item_id)

    def find(
        self, kind: RegistryKind, words: list[str], *, client_id: str, after: str, limit: int
    ) -> list[RegistryItem]:
        """Items that hold every word in name, slug, URL or note, ordered by id of slug."""
        table, key = _TABLES[kind]
        conditions: list[Condition] = [table.c[key] > after]
        for word in words:
            columns = (table.c.name, table.c.slug, table.c.url, table.c.note)
            conditions.append(or_(*(c.icontains(word, autoescape=True) for c in columns)))
        if client_id:
            conditions.append(table.c.client_id == client_id)
        rows = self._connection.execute(
            self._select(table).where(*conditions).order_by(table.c[key]).limit(limit)
        ).mappings()
        return [_item(kind, key, row) for row in rows]

    def add(self, item: RegistryItem) -> None:
        """Stores a new item.  Raises Conflict where its slug is taken."""
        table, key = _TABLES[item.kind]
        values = {key: item.id, "client_id": item.client_id, "created_us": item.created_us}
        self._connection.execute(table.insert().values({**values, **_changing(item)}))

    def replace(self, item: RegistryItem) -> None:
        """Stores a changed item; its slug stays, because references name it."""
        table, key = _TABLES[item.kind]
        changed = {k: v for k, v in _changing(item).items() if k != "slug"}
        self._connection.execute(table.update().where(table.c[key] == item.id).values(changed))

    def _one(self, kind: RegistryKind, text: str, client_id: str) -> RegistryItem | None:
        table, key = _TABLES[kind]
        exact = or_(table.c[key] == text, table.c.slug == text)
        condition = or_(exact, func.lower(table.c.name) == text.lower())
        conditions = [condition] + ([table.c.client_id == client_id] if client_id else [])
        # An exact slug or id wins over a name that happens to be alike.
        query = self._select(table).where(*conditions).order_by(case((exact, 0), else_=1), table.c[key]).limit(1)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else _item(kind, key, row)

    def is_taken(self, kind: RegistryKind, slug: str, client_id: str) -> bool:
        """Whether an item (of this client, where it belongs to one) has this slug already."""
        table, key = _TABLES[kind]
        conditions = [table.c.slug == slug] + ([table.c.client_id == client_id] if kind != "client" else [])
        return self._connection.execute(select(table.c[key]).where(*conditions)).first() is not None

    def _first(self, kind: RegistryKind, table: Table, *conditions: Condition) -> RegistryItem | None:
        row = self._connection.execute(self._select(table).where(*conditions)).mappings().first()
        return None if row is None else _item(kind, _TABLES[kind][1], row)

    @staticmethod
    def _select(table: Table) -> Select[Any]:
        if table is clients:
            return select(clients, clients.c.slug.label("client_slug"))
        return select(table, clients.c.slug.label("client_slug")).join(
            clients, clients.c.client_id == table.c.client_id
        )


def _changing(item: RegistryItem) -> dict[str, Any]:
    return {
        "slug": item.slug,
        "name": item.name,
        "url": item.url,
        "note": item.note,
        "updated_us": item.updated_us,
    }


def _item(kind: RegistryKind, key: str, row: RowMapping) -> RegistryItem:
    return RegistryItem(
        kind=kind,
        id=row[key],
        slug=row["slug"],
        name=row["name"],
        client=row["client_slug"],
        client_id=row["client_id"],
        url=row["url"],
        note=row["note"],
        created_us=row["created_us"],
        updated_us=row["updated_us"],
    )
