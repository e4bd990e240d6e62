"""How far values may go by default, and for many credentials at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from domain import policy
from domain.actors import Actor, Subject
from domain.credentials import EXPOSURES, Exposure, Head
from domain.errors import Conflict, NotFound
from mcp_server.work import AuditedUnit, Work

_PAGE = 200


class Levels:
    """The vault's default, and levels for many."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def default(self, actor: Actor) -> str:
        """The level that a new credential gets."""
        with self._work.reading(actor) as unit:
            return str((unit.keys.vault() or {}).get("default_exposure", EXPOSURES[-1]))

    def set_default(self, actor: Actor, level: Exposure) -> str:
        """Sets it, and gives the one before.  Raises Denied for an agent, Conflict where it is so already."""

        def change(unit: AuditedUnit) -> str:
            row = unit.keys.vault()
            if row is None:
                raise NotFound("there is no vault here", hint="./setup.sh")
            unit.about(Subject("vault", str(row["vault_id"]), "vault"))
            before = str(row["default_exposure"])
            if before == level:
                raise Conflict(f"the default is {level} already", hint="claudetools exposure show")
            unit.keys.set_defaults(row, default_exposure=level)
            unit.note(level=level, before=before)
            return before

        return self._work.done(actor, "vault.exposure", change, subject=Subject("vault"))[0]

    def set_all(
        self,
        actor: Actor,
        level: Exposure,
        *,
        client: str = "",
        loosen: bool = False,
        tell: Callable[[int], None] = lambda _: None,
    ) -> tuple[int, int]:
        """Brings every active credential (of a client) down to a level; with `loosen`, up to it too.

        Each has its own entry, so it may be ended and begun again.  Returns how many were changed, and how many not.
        """
        changed = left = 0
        after = ""
        while True:
            with self._work.reading(actor) as unit:
                page, _ = unit.credentials.search(
                    [], client=client, type_="", tag="", state="", after=after, limit=_PAGE
                )
            for head, _names in page:
                after = head.reference
                if head.state == "deleted" or not _moves(head, level, loosen=loosen):
                    left += head.state != "deleted"
                    continue
                self._set(actor, head.credential_id, level, loosen=loosen)
                changed += 1
                tell(changed)
            if len(page) < _PAGE:
                return changed, left

    def _set(self, actor: Actor, credential_id: str, level: Exposure, *, loosen: bool) -> None:
        def change(unit: AuditedUnit) -> None:
            head = unit.credentials.load(credential_id)
            if head is None:
                raise NotFound("that credential is gone", hint="claudetools credential list")
            unit.about(Subject("credential", head.credential_id, head.reference, head.client_id))
            policy.expose(actor, head, level)
            if _moves(head, level, loosen=loosen):
                unit.credentials.replace(replace(head, exposure=level, updated_us=unit.now_us))
            unit.note(changed=["exposure"])

        self._work.done(actor, "credential.update", change, subject=Subject("credential", credential_id))


def _moves(head: Head, level: Exposure, *, loosen: bool) -> bool:
    now, then = EXPOSURES.index(head.exposure), EXPOSURES.index(level)
    return then < now or (loosen and then > now)
