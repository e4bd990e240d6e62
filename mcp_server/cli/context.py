"""`claudetools context`: what is remembered of earlier work."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.context import KINDS, Filters
from domain.errors import Invalid
from domain.moments import FORMS
from mcp_server.answers import iso
from mcp_server.cli import acting, importing, presence, show
from mcp_server.cli.scan import scan
from mcp_server.services.claude_settings import client_folder

if TYPE_CHECKING:
    from domain.context import ContextRecord
    from mcp_server.services.explaining import Explanation

app = typer.Typer(help="The memory: what earlier sessions left.", no_args_is_help=True, add_completion=False)

app.command()(scan)

RecordId = Annotated[str, typer.Argument(metavar="ID", help="cx_..., as `recall` shows it.")]


@app.command()
def recall(
    query: Annotated[str, typer.Argument(help="Words to look for; without them, the newest.")] = "",
    *,
    when: Annotated[str, typer.Option("--when", help="Only of this time: " + FORMS + ".")] = "",
    since: Annotated[str, typer.Option("--since", help="Only since this time.")] = "",
    until: Annotated[str, typer.Option("--until", help="Only until this time, which is in it.")] = "",
    here: Annotated[bool, typer.Option("--here", help="Only of the present folder's project.")] = False,
    project: Annotated[str, typer.Option("--project", help="Only of the project of this name or id.")] = "",
    client: Annotated[str, typer.Option("--client", help="Only of this client.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="One of: " + ", ".join(KINDS) + ".")] = "",
    of: Annotated[str, typer.Option("--person", help="Only of this person; `me` is you.")] = "",
    machine: Annotated[str, typer.Option("--machine", help="Only of this machine; `.` is this one.")] = "",
    branch: Annotated[str, typer.Option("--branch", help="Only of this branch; `.` is the present one.")] = "",
    file: Annotated[str, typer.Option("--file", help="Only where this file was changed: a path, or its end.")] = "",
    tag: Annotated[str, typer.Option("--tag", help="Only with this tag.")] = "",
    limit: Annotated[int, typer.Option("--limit", help="How many at most, 1 to 20.")] = 10,
    json: show.Json = False,
) -> None:
    """Look up earlier work, best first; a time in the question itself ("... last week?") counts as --when."""
    if here and project:
        raise Invalid("name a project, or say --here", fields={"--project": "not with --here"})
    filters = Filters(
        project="." if here else project, client=client, kind=kind, machine=machine, person=of,
        branch=branch, file=file, tag=tag, when=when, since=since, until=until,
    )  # fmt: skip
    with acting.logged_in() as (vault, actor):
        found = vault.context.recall(actor, query, filters, cwd=str(Path.cwd()), limit=limit)
    hits = found.hits
    if json:
        items = [
            {
                "id": hit.record_id,
                "kind": hit.kind,
                "title": hit.title,
                "outcome": hit.outcome,
                "updated_at": iso(hit.updated_us),
                "machine": hit.machine_name,
                "person": hit.owner_name,
                "project": hit.project,
                "project_name": hit.project_name,
                "client": hit.client,
                "branch": hit.branch,
                "score": round(hit.score, 4),
            }
            for hit in hits
        ]
        show.as_json({"items": items, "asked": found.scope})
        return
    show.table(
        ("record", "when", "kind", "project", "title", "outcome"),
        ((h.record_id, show.moment(h.updated_us), h.kind, h.project_name, h.title, h.outcome) for h in hits),
        empty="nothing is remembered of that",
    )
    show.note(f"asked: {found.scope}")


@app.command("show")
def show_(
    record_id: RecordId,
    *,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="What its digest kept and dropped, and why; from the session's transcript."),
    ] = False,
    json: show.Json = False,
) -> None:
    """Show one record whole."""
    with acting.logged_in() as (vault, actor):
        record = vault.context.get(actor, record_id)
        explained = vault.explaining.explain(record, client_folder().root / "projects") if explain else None
    if json:
        show.as_json(_as_json(record) | ({"explained": asdict(explained)} if explained else {}))
        return
    if explained:
        _explain(explained)
        return
    show.pairs(
        (
            ("record", record.record_id),
            ("kind", record.kind),
            ("title", record.title),
            ("project", record.project_name),
            ("client", record.client),
            ("branch", record.branch),
            ("session", record.session_id),
            ("machine", record.machine_name),
            ("person", record.owner_name),
            ("from", show.moment(record.created_us)),
            ("to", show.moment(record.updated_us)),
            ("outcome", record.outcome),
            ("tags", ", ".join(record.tags)),
            ("files", "\n".join(record.files)),
            ("commits", ", ".join(record.commits)),
            ("struck", ", ".join(f"{rule} {count}" for rule, count in record.struck.items())),
        )
    )
    print()
    print(show.clean(record.digest))


def _explain(explained: Explanation) -> None:
    show.table(
        ("head", "candidates", "kept", "tokens", "told elsewhere", "over its share", "over the budget"),
        (
            (h.head, h.candidates, h.kept, h.tokens, h.told_elsewhere, h.over_share, h.over_budget)
            for h in explained.heads
        ),
    )
    print(
        f"\n{explained.tokens} of {explained.budget} tokens spent, of a session of {explained.raw_tokens}: "
        "candidates are taken in the order of their worth, and no head takes more than its share"
    )
    for head in explained.heads:
        without_room = head.over_share + head.over_budget
        if without_room:
            more = without_room - len(head.dropped)
            print(f"\ndropped of {head.head}:")
            print("\n".join(f"  {show.clean(text)}" for text in head.dropped))
            if more > 0:
                print(f"  and {more} more")
    if explained.changed:
        show.note("the record holds another digest: its session has gone on, or an earlier release made it")


@app.command()
def forget(
    record_id: Annotated[str, typer.Argument(metavar="[ID]", help="cx_..., as `recall` shows it; or name many:")] = "",
    *,
    client: Annotated[str, typer.Option("--client", help="All of this client.")] = "",
    project: Annotated[
        str, typer.Option("--project", help="All of the project of this name or id; `.` is this folder's.")
    ] = "",
    session: Annotated[str, typer.Option("--session", help="All of this Claude Code session.")] = "",
    of: Annotated[str, typer.Option("--person", help="All of this person; `me` is you.")] = "",
    machine: Annotated[str, typer.Option("--machine", help="All of this machine; `.` is this one.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="All of this kind: " + ", ".join(KINDS) + ".")] = "",
    tag: Annotated[str, typer.Option("--tag", help="All with this tag.")] = "",
    before: Annotated[
        str, typer.Option("--before", help="All that last changed before: 2026-01-01, 6 months ago.")
    ] = "",
    when: Annotated[str, typer.Option("--when", help="All of this time, as `recall` takes it.")] = "",
    purpose: Annotated[str, typer.Option("--purpose", help="Why; goes into the audit log.")] = "",
    preview: Annotated[bool, typer.Option("--preview", help="Tell what would go, and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: show.Json = False,
) -> None:
    """Remove records for good: one, or all that are everything you say.  Refuses under Claude Code.

    They leave the database, its index and every machine's shelf; their sessions are not captured again. Backups keep what
    they hold.
    """
    from mcp_server.cli import forgetting

    presence.refuse_under_claude("removing records")
    if before and when:
        raise Invalid("say --before or --when, not both", fields={"--before": "not with --when"})
    filters = Filters(
        client=client, project=project, session=session, person=of, machine=machine, kind=kind, tag=tag,
        when=f"before {before}" if before else when,
    )  # fmt: skip
    if record_id and filters != Filters():
        raise Invalid("name one record or many, not both", fields={"ID": "alone"})
    if record_id:
        forgetting.one(record_id, purpose, yes=yes, as_json=json)
    else:
        forgetting.many(filters, purpose, preview=preview, yes=yes, as_json=json)


app.command("import")(importing.import_)


@app.command()
def status(*, json: show.Json = False) -> None:
    """Tell how the memory stands: what it holds, what waits or failed, the last capture, and whether its database answers.

    What this machine knows by itself is told without a login, and while the database is away.
    """
    from mcp_server.cli import standing

    standing.tell(as_json=json)


@app.command()
def stats(
    *,
    since: Annotated[str, typer.Option("--since", help="Only what changed since: 3 months ago, 2w, 2026-11-01.")] = "",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write it as a page that opens in any browser.")
    ] = None,
    json: show.Json = False,
) -> None:
    """Show what the memory holds: records by day, project and machine, tokens raw and kept, and what was struck."""
    from mcp_server.cli import counting

    counting.tell(since, html, as_json=json)


def _as_json(record: ContextRecord) -> dict[str, object]:
    return {
        "id": record.record_id,
        "kind": record.kind,
        "title": record.title,
        "digest": record.digest,
        "outcome": record.outcome,
        "project": record.project_name,
        "client": record.client,
        "branch": record.branch,
        "session": record.session_id,
        "machine": record.machine_name,
        "person": record.owner_name,
        "created_at": iso(record.created_us),
        "updated_at": iso(record.updated_us),
        "tags": list(record.tags),
        "files": list(record.files),
        "commits": list(record.commits),
        "struck": dict(record.struck),
        "tokens": {"raw": record.raw_tokens, "digest": record.digest_tokens},
    }
