"""Off-boarding a client: its keys are destroyed, and what was sealed under them or told of it is taken out.

Each step is one act with its entry and does nothing where it was done: cut off, the same again does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from domain.actors import Actor, Subject
from domain.errors import Denied
from domain.registry import RegistryItem
from mcp_server.work import AuditedUnit, Work

Tell = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a client: keys that are not destroyed, credentials, sealed values, incidents with texts."""

    keys: int
    credentials: int
    values: int
    incidents: int


class Shredding:
    """The use cases of off-boarding, but for the memory and the root key."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def left(self, actor: Actor, client: RegistryItem) -> Left:
        """What would be destroyed.  Changes nothing.  Raises Broken where a key of the client was tampered with."""
        with self._work.reading(actor) as unit:
            keys = sum(key.state != "destroyed" for key in unit.keys.every(client.id))
            return Left(keys, *unit.shredding.counts(client.id))

    def begin(self, actor: Actor, client: RegistryItem, purpose: str) -> str:
        """The entry that says what is going to be destroyed and why.  Raises Denied for anybody but a person."""
        if actor.kind != "person":
            raise Denied("only a person destroys a client's keys", hint="claudetools keys shred CLIENT")
        left = self.left(actor, client)

        def say(unit: AuditedUnit) -> None:
            unit.note(keys=left.keys, credentials=left.credentials, values=left.values, incidents=left.incidents)

        return self._work.done(actor, "key.shred", say, subject=_subject(client), purpose=purpose)[1].entry_id

    def destroy(self, actor: Actor, client: RegistryItem, tell: Tell) -> None:
        """Destroys the client's keys and takes out its credentials' values, open fields and history, and its texts."""
        with self._work.reading(actor) as unit:
            keys = [key for key in unit.keys.every(client.id) if key.state != "destroyed"]
        for key in keys:
            subject = Subject("client_key", f"{client.id}.{key.version}", client.slug, client.id)

            def destroy_key(unit: AuditedUnit, version: int = key.version) -> None:
                found = unit.keys.version(client.id, version)
                if found is not None:
                    unit.keys.replace(replace(found, state="destroyed", wrapped=b""))

            self._work.done(actor, "key.shred", destroy_key, subject=subject, version=key.version)
        with self._work.reading(actor) as unit:
            ids = unit.shredding.credentials(client.id)
        for number, credential_id in enumerate(ids):
            self._work.done(actor, "key.shred", lambda unit, at=credential_id: _empty(unit, at))  # type: ignore[misc]
            tell("credentials", number + 1, len(ids))
        with self._work.reading(actor) as unit:
            incident_ids = unit.shredding.incidents(client.id)
        for number, incident_id in enumerate(incident_ids):

            def empty_incident(unit: AuditedUnit, at: str = incident_id) -> None:
                unit.shredding.empty_incident(at)

            self._work.done(actor, "key.shred", empty_incident, subject=Subject("incident", incident_id, "", client.id))
            tell("incidents", number + 1, len(incident_ids))
        self._work.done(
            actor, "key.shred", lambda unit: unit.shredding.empty_registry(client.id), subject=_subject(client)
        )


def _subject(client: RegistryItem) -> Subject:
    return Subject("client", client.id, client.slug, client.id)


def _empty(unit: AuditedUnit, credential_id: str) -> None:
    head = unit.credentials.load(credential_id)
    if head is None:
        return
    unit.about(Subject("credential", head.credential_id, head.reference, head.client_id))
    unit.credentials.replace(
        replace(
            head,
            state="deleted",
            deleted_us=head.deleted_us or unit.now_us,
            updated_us=unit.now_us,
            fields={},
            open={},
            username="",
            external_url="",
            service_name="",
            ports=(),
            tags=(),
        )
    )
    unit.note(values=unit.shredding.drop_sealed(head.credential_id))
