"""`claudetools audit`: who did what and why, and whether the log is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Broken
from mcp_server.answers import exit_code, iso, micros
from mcp_server.cli import acting, show

if TYPE_CHECKING:
    from mcp_server.services.audit import EntryView

app = typer.Typer(help="The audit log.", no_args_is_help=True, add_completion=False)


@app.command()
def search(
    *,
    action: Annotated[str, typer.Option("--action", help="A word such as credential.decrypt, or its beginning.")] = "",
    subject: Annotated[str, typer.Option("--subject", help="What it was about: a reference, a name, an id.")] = "",
    actor_name: Annotated[str, typer.Option("--actor", help="Who did it.")] = "",
    session: Annotated[str, typer.Option("--session", help="In which Claude Code session.")] = "",
    outcome: Annotated[str, typer.Option("--outcome", help="ok, denied or failed.")] = "",
    since: Annotated[str, typer.Option("--since", help="From this date or time on, UTC without an offset.")] = "",
    until: Annotated[str, typer.Option("--until", help="Up to this date or time.")] = "",
    limit: show.Limit = 20,
    cursor: show.Cursor = "",
    json: show.Json = False,
) -> None:
    """Search the audit log, newest first."""
    with acting.logged_in() as (vault, actor):
        page = vault.audit.search(
            actor,
            action=action,
            subject=subject,
            actor_name=actor_name,
            session=session,
            outcome=outcome,
            since_us=micros(since, "--since"),
            until_us=micros(until, "--until"),
            limit=limit,
            cursor=cursor,
        )
    if json:
        show.as_json({"items": [_as_json(one) for one in page.items], "next_cursor": page.next_cursor})
        return
    show.table(
        ("when", "action", "outcome", "who", "for", "machine", "session", "about", "why"),
        (
            (
                show.moment(one.at_us),
                one.action,
                one.outcome,
                one.actor,
                one.owner,
                one.machine,
                one.session[:8],
                one.subject,
                one.purpose,
            )
            for one in page.items
        ),
        empty="no entries",
    )
    show.next_page(page.next_cursor)


@app.command()
def verify(*, json: show.Json = False) -> None:
    """Check every chain, signature and guarded row.  Exit code 8 where anything is wrong; needs no login."""
    with acting.vault() as vault:
        verdict = vault.audit.verify()
    if json:
        findings = [{"verdict": f.verdict, "where": f.where, "what": f.what} for f in verdict.findings]
        show.as_json({"ok": verdict.ok, "entries": verdict.entries, "chains": verdict.chains, "findings": findings})
    elif verdict.ok:
        print(f"well: {verdict.entries} entries in {verdict.chains} chains, and every guarded row")
    else:
        rows = ((f.verdict, f.where, f.what) for f in verdict.findings)
        show.table(("verdict", "where", "what"), rows)
        print(f"{len(verdict.findings)} findings in {verdict.entries} entries of {verdict.chains} chains")
    if not verdict.ok:
        raise typer.Exit(exit_code(Broken("")))


def _as_json(one: EntryView) -> dict[str, object]:
    return {
        "entry": one.entry,
        "at": iso(one.at_us),
        "action": one.action,
        "outcome": one.outcome,
        "actor": one.actor,
        "actor_kind": one.actor_kind,
        "owner": one.owner,
        "machine": one.machine,
        "session": one.session,
        "verified": list(one.verified),
        "asserted": list(one.asserted),
        "tier": one.tier,
        "subject_type": one.subject_type,
        "subject": one.subject,
        "subject_id": one.subject_id,
        "purpose": one.purpose,
        "facts": dict(one.facts),
    }
