"""All active credentials at once, by their open fields: what is picked from at a terminal."""

from __future__ import annotations

from domain.actors import Actor, Subject
from domain.credentials import Description
from mcp_server.work import AuditedUnit, Work


class Picking:
    """What one vault has to pick from."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def everything(self, actor: Actor) -> list[Description]:
        """Every active credential, under one entry."""

        def look(unit: AuditedUnit) -> list[Description]:
            found = unit.reports.active("")
            unit.note(found=len(found))
            return found

        return self._work.done(actor, "credential.search", look, subject=Subject("vault"))[0]
