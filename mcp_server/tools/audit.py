"""Who did what, when and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mcp.server.mcpserver.tools import Tool
from pydantic import Field

from mcp_server.answers import iso, micros
from mcp_server.callers import Door
from mcp_server.tools import Lean, Toolbox, about, one_of

if TYPE_CHECKING:
    from mcp_server.services.audit import EntryView

ACTION = about(
    "credential.decrypt, .view, .create, .update, .rotate, .delete, incident.open, ... or a beginning: credential."
)
SINCE = about("2027-01-31 or 2027-01-31T08:00Z")


class Entry(Lean):
    """One audit entry.  `verified` names the parts of who that were proved, `asserted` those that were only said."""

    entry: str
    at: str
    action: str
    outcome: str
    subject: str = ""
    subject_type: str = ""
    purpose: str = ""
    actor: str
    actor_kind: str
    owner: str = ""
    machine: str = ""
    session: str = ""
    verified: list[str] = Field(default_factory=list)
    asserted: list[str] = Field(default_factory=list)
    facts: dict[str, object] = Field(default_factory=dict)

    @classmethod
    def of(cls, it: EntryView) -> Entry:
        """The answer's form of an entry."""
        return cls(
            entry=it.entry,
            at=iso(it.at_us),
            action=it.action,
            outcome=it.outcome,
            subject=it.subject or it.subject_id,
            subject_type=it.subject_type,
            purpose=it.purpose,
            actor=it.actor,
            actor_kind=it.actor_kind,
            owner=it.owner,
            machine=it.machine,
            session=it.session,
            verified=list(it.verified),
            asserted=list(it.asserted),
            facts=dict(it.facts),
        )


class Entries(Lean):
    """A page of entries, newest first; `next_cursor` is empty at the end."""

    items: list[Entry]
    next_cursor: str = ""


def offer(door: Door) -> list[Tool]:
    """The tools of this room."""
    box = Toolbox()

    @box.tool(
        "Search the audit log", reads=True, search_hint="audit log who used revealed decrypted changed when why history"
    )
    def audit_search(
        action: Annotated[str, ACTION] = "",
        subject: Annotated[str, about("reference, id or name of what it was about")] = "",
        actor: Annotated[str, about("name of the agent or person")] = "",
        session: Annotated[str, about("Claude session id")] = "",
        outcome: Annotated[str, one_of(("ok", "denied", "failed"))] = "",
        since: Annotated[str, SINCE] = "",
        until: Annotated[str, SINCE] = "",
        limit: int = 20,
        cursor: str = "",
    ) -> Entries:
        """Who used, opened or changed what, when and why: newest entries first."""
        app, asking = door.enter()
        page = app.audit.search(
            asking,
            action=action,
            subject=subject,
            actor_name=actor,
            session=session,
            outcome=outcome,
            since_us=micros(since, "since"),
            until_us=micros(until, "until"),
            limit=limit,
            cursor=cursor,
        )
        return Entries(items=[Entry.of(it) for it in page.items], next_cursor=page.next_cursor)

    return box.tools
