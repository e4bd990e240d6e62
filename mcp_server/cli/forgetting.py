"""What `claudetools context forget` asks, does and prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import NotFound
from mcp_server.answers import iso
from mcp_server.cli import acting, ask, show

if TYPE_CHECKING:
    from domain.context import Doomed, Filters
    from mcp_server.services.forgetting import Forgotten

_PROJECTS = 10


def one(record_id: str, purpose: str, *, yes: bool, as_json: bool) -> None:
    """Removes one record, after a yes.  Raises NotFound, Invalid."""
    with acting.logged_in() as (vault, actor):
        ask.confirm("Remove it for good?", yes=yes)
        gone = vault.context.forget(actor, record_id, purpose)
    if as_json:
        show.as_json({"id": gone.record_id, "entry": gone.entry})
        return
    print(f"forgot {gone.record_id} (audit entry {gone.entry})")
    _untidy(gone)


def many(filters: Filters, purpose: str, *, preview: bool, yes: bool, as_json: bool) -> None:
    """Tells what would go, and removes it after a yes.  Raises NotFound, Invalid."""
    cwd = str(Path.cwd())
    with acting.logged_in() as (vault, actor):
        doomed, scope = vault.context.forgetting.doomed(actor, filters, cwd=cwd)
        if preview and as_json:
            show.as_json({"records": doomed.records, **_facts(doomed, scope)})
            return
        if preview or not (yes or as_json):
            _tell(doomed, scope)
        if preview:
            return
        if not doomed.records:
            raise NotFound("nothing is remembered of that", hint="claudetools context recall")
        ask.confirm(f"Remove {_number(doomed.records)} for good?", yes=yes)
        gone = vault.context.forgetting.all_of(actor, filters, purpose, cwd=cwd)
    if as_json:
        show.as_json({"records": gone.records, "entry": gone.entry, **_facts(doomed, scope)})
        return
    print(f"forgot {_number(gone.records)} (audit entry {gone.entry})")
    show.note("backups and the database server's own logs hold what they held")
    _untidy(gone)


def _tell(doomed: Doomed, scope: str) -> None:
    projects = [f"{number:,} of {name or 'no project'}" for name, number in doomed.projects[:_PROJECTS]]
    if len(doomed.projects) > _PROJECTS:
        projects.append(f"and of {len(doomed.projects) - _PROJECTS} more")
    show.pairs(
        (
            ("asked", scope),
            ("records", f"{doomed.records:,}"),
            ("from", show.moment(doomed.oldest_us) if doomed.records else ""),
            ("to", show.moment(doomed.newest_us) if doomed.records else ""),
            ("projects", "\n".join(projects)),
            ("such as", "\n".join(doomed.titles)),
        )
    )


def _facts(doomed: Doomed, scope: str) -> dict[str, object]:
    return {
        "asked": scope,
        "oldest_at": iso(doomed.oldest_us) if doomed.records else None,
        "newest_at": iso(doomed.newest_us) if doomed.records else None,
        "projects": dict(doomed.projects),
    }


def _number(records: int) -> str:
    return f"{records:,} record{'' if records == 1 else 's'}"


def _untidy(gone: Forgotten) -> None:
    if not gone.index_tidied:
        show.note(
            "single words of it leave the server's index files when the next session is captured, or with: claudetools sync"
        )
