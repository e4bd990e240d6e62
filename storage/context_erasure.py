"""Which records a person wants to be rid of, all at once: counted first, then forgotten in small transactions."""

from __future__ import annotations

import json

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from domain.context import Doomed, Wanted
from storage.schema import context_records

_ROWS = context_records.c
_SHOWN = 5


class ContextErasure:
    """The records of one unit of work that would be forgotten together."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def doomed(self, wanted: Wanted) -> Doomed:
        """What would go: how many, from when to when, of which projects, and the titles of the newest."""
        scope = _scope(wanted)
        total = self._connection.execute(
            select(func.count(), func.min(_ROWS.updated_us), func.max(_ROWS.updated_us)).where(scope)
        ).one()
        projects = self._connection.execute(
            select(_ROWS.project_name, func.count().label("records"))
            .where(scope)
            .group_by(_ROWS.project_name)
            .order_by(func.count().desc(), _ROWS.project_name)
        )
        titles = self._connection.execute(
            select(_ROWS.title).where(scope).order_by(_ROWS.updated_us.desc()).limit(_SHOWN)
        )
        return Doomed(
            records=int(total[0]),
            oldest_us=int(total[1] or 0),
            newest_us=int(total[2] or 0),
            projects=tuple((str(row.project_name), int(row.records)) for row in projects),
            titles=tuple(str(title) for title in titles.scalars()),
        )

    def next(self, wanted: Wanted, most: int) -> list[str]:
        """The ids of the next of them; none at the end."""
        found = self._connection.execute(
            select(_ROWS.record_id).where(_scope(wanted)).order_by(_ROWS.number).limit(most)
        )
        return [str(record_id) for record_id in found.scalars()]


def _scope(wanted: Wanted) -> ColumnElement[bool]:
    """Records that are all of what is wanted: here a project and a client together are both.  Superseded ones, too."""
    exact = (
        (_ROWS.project, wanted.project),
        (_ROWS.project_name, wanted.project_name),
        (_ROWS.client, wanted.client),
        (_ROWS.kind, wanted.kind),
        (_ROWS.branch, wanted.branch),
        (_ROWS.session_id, wanted.session),
    )
    held = [_ROWS.state == "active", *(column == value for column, value in exact if value)]
    if wanted.machine:
        held.append(or_(_ROWS.machine_id == wanted.machine, _ROWS.machine_name == wanted.machine))
    if wanted.person:
        held.append(or_(_ROWS.owner_id == wanted.person, _ROWS.owner_name == wanted.person))
    if wanted.since_us:
        held.append(_ROWS.updated_us >= wanted.since_us)
    if wanted.until_us:
        held.append(_ROWS.updated_us <= wanted.until_us)
    if wanted.tag:
        held.append(_ROWS.tags.contains(json.dumps(wanted.tag, ensure_ascii=False), autoescape=True))
    return and_(*held)
