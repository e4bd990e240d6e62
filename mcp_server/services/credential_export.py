"""Credentials taken out, to be encrypted for somebody: each value is opened under its own audit entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from domain import policy
from domain.actors import Actor, Subject
from domain.credentials import Head
from domain.errors import Broken, Denied, Invalid, NotFound
from domain.importing.entries import MAX_ENTRIES
from domain.importing.own import Exported
from domain.plain import Plain
from mcp_server.keyring import Keyring
from mcp_server.services.redaction import Redaction
from mcp_server.work import AuditedUnit, Found, Work
from mcp_server.work.ruling import must_meet

Tell = Callable[[str, int, int], None]


@dataclass(slots=True)
class Taken:
    """What was opened, by reference why a credential could not be, and those that wait for a value."""

    exported: list[Exported] = field(default_factory=list)
    values: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    without_value: list[str] = field(default_factory=list)


class CredentialExport:
    """Exports of one vault."""

    def __init__(self, work: Work, keyring: Keyring, redaction: Redaction) -> None:
        self._work = work
        self._keyring = keyring
        self._redaction = redaction

    def take(self, actor: Actor, *, client: str = "", purpose: str, tell: Tell) -> Taken:
        """Opens every value of the active credentials, of one client or of all.

        A credential is taken whole or left out with the reason.  Raises Denied for who may not, Invalid without a purpose,
        NotFound for a client that is none.
        """
        if not purpose.strip() or len(purpose) > policy.MAX_PURPOSE:
            raise Invalid(
                "a reason is needed to open the values",
                fields={
                    "purpose": f"say in a few words what the export is for; at most {policy.MAX_PURPOSE} characters"
                },
            )
        with self._work.permitted(actor, "credential.export", purpose=self._redaction.text(purpose)) as unit:
            if actor.kind != "person":
                raise Denied("an agent does not export credentials", hint="claudetools credential export --help")
            wanted = ""
            if client:
                owner = unit.registry.client(client)
                if owner is None:
                    raise NotFound("there is no such client", hint="claudetools client list")
                wanted = owner.slug
            found = unit.reports.active(wanted)
            names: dict[str, str] = {}
            for head in (one.head for one in found):
                if head.client_id not in names:
                    of = unit.registry.by_id("client", head.client_id)
                    names[head.client_id] = of.name if of is not None else ""
        if len(found) > MAX_ENTRIES:
            raise Invalid(f"there are more than {MAX_ENTRIES} credentials", hint="--client CLIENT, one after the other")
        taken = Taken()
        for done, one in enumerate(found):
            tell("", done, len(found))
            head = one.head
            if not head.fields:
                taken.without_value.append(head.reference)
                continue
            try:
                values = {name: self._open(actor, head, name, purpose) for name in sorted(head.fields)}
            except (Denied, NotFound, Broken) as error:
                taken.left_out[head.reference] = error.message
                continue
            taken.values += len(values)
            taken.exported.append(Exported(one, names[head.client_id], values))
        tell("", len(found), len(found))
        return taken

    def _open(self, actor: Actor, known: Head, name: str, purpose: str) -> Plain:
        def find(unit: AuditedUnit) -> Found:
            head = unit.credentials.load(known.credential_id)
            if head is None:
                raise NotFound("it is gone")
            subject = Subject("credential", head.credential_id, head.reference, head.client_id)
            unit.about(subject)
            policy.decrypt(actor, head, name, purpose)
            must_meet(unit, actor, head, name)
            sealed = unit.credentials.sealed(head, name)
            key = unit.keys.version(head.client_id, sealed.client_key_version)
            if key is None or key.state == "destroyed":
                raise NotFound(f"the key of the client of {head.reference} was destroyed")
            return Found(subject, sealed)

        ticket, found = self._work.disclose(
            actor,
            "credential.export",
            find,
            purpose=self._redaction.words(purpose),
            credential=known.credential_id,
            field=name,
        )
        return self._keyring.unseal(ticket, found.sealed)
