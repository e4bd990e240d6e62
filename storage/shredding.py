"""What is left of a client when its keys are destroyed: counted, and taken out."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from storage.guard import Guard
from storage.schema import (
    clients,
    credential_versions,
    credentials,
    incident_indicators,
    incident_timeline,
    incidents,
    infrastructure,
    marks,
    sealed_fields,
    services,
)
from storage.sight import SEALED

GONE = "[shredded]"
"""What stands where a text was, and must not be empty."""


class Shredding:
    """One client's rows, in one unit of work."""

    def __init__(self, connection: Connection, guard: Guard) -> None:
        self._connection = connection
        self._guard = guard

    def counts(self, client_id: str) -> tuple[int, int, int]:
        """How many credentials a client has, sealed values, and incidents with texts."""
        c, run = credentials.c, self._connection.execute
        heads = run(select(func.count()).where(c.client_id == client_id, c.fields != "{}")).scalar_one()
        values = run(
            select(func.count())
            .select_from(sealed_fields)
            .join(credentials, c.credential_id == sealed_fields.c.credential_id)
            .where(c.client_id == client_id)
        ).scalar_one()
        return int(heads), int(values), len(self.incidents(client_id))

    def credentials(self, client_id: str) -> list[str]:
        """The ids of its credentials that anything is left of; unchecked."""
        c = credentials.c
        query = select(c.credential_id).where(c.client_id == client_id)
        left = (c.fields != "{}") | (c.username != "") | (c.open != "{}") | (c.external_url != "")
        return list(self._connection.execute(query.where(left).order_by(c.credential_id)).scalars())

    def drop_sealed(self, credential_id: str) -> int:
        """Takes out every version of a credential and what is sealed in it.  Returns how many values there were."""
        self._guard.forget()
        run = self._connection.execute
        gone = run(sealed_fields.delete().where(sealed_fields.c.credential_id == credential_id)).rowcount
        run(credential_versions.delete().where(credential_versions.c.credential_id == credential_id))
        # So that matchers elsewhere forget the values, too.
        run(marks.update().where(marks.c.name == SEALED).values(value=marks.c.value + 1))
        return gone

    def incidents(self, client_id: str) -> list[str]:
        """The ids of its incidents whose texts are there."""
        i = incidents.c
        query = select(i.incident_id).where(i.client_id == client_id, i.title != GONE)
        return list(self._connection.execute(query.order_by(i.incident_id)).scalars())

    def empty_incident(self, incident_id: str) -> None:
        """Takes an incident's texts out, those of its timeline, and its indicators.  That it was, and when, stays."""
        run = self._connection.execute
        texts = dict.fromkeys(("description", "findings", "root_cause", "remediation"), "")
        i, t = incidents.c, incident_timeline.c
        run(incidents.update().where(i.incident_id == incident_id).values(title=GONE, revision=i.revision + 1, **texts))
        run(incident_timeline.update().where(t.incident_id == incident_id).values(text=GONE, source=""))
        run(incident_indicators.delete().where(incident_indicators.c.incident_id == incident_id))

    def empty_registry(self, client_id: str) -> None:
        """Takes out what was noted of the client, its services and its infrastructure; their names stay in references."""
        for table in (clients, services, infrastructure):
            self._connection.execute(table.update().where(table.c.client_id == client_id).values(url="", note=""))
