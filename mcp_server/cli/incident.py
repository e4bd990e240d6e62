"""`claudetools incident`: open, list, show, update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Invalid
from domain.incidents import (
    ENTRY_KINDS,
    OWN_KINDS,
    SEVERITIES,
    STATES,
    TYPES,
    Changes,
    EntryDraft,
    Incident,
    IncidentDraft,
    Whole,
)
from domain.indicators import KINDS, TLP, IndicatorDraft, defang
from mcp_server.answers import iso
from mcp_server.cli import acting, ask, show

if TYPE_CHECKING:
    from mcp_server.services.incidents import Done, Summary

app = typer.Typer(help="Security incidents.", no_args_is_help=True, add_completion=False)

_KINDS = tuple(kind for kind in ENTRY_KINDS if kind not in OWN_KINDS)

Id = Annotated[str, typer.Argument(metavar="ID", help="in_..., as `list` shows it.")]
Severity = Annotated[str, typer.Option("--severity", help="One of: " + ", ".join(SEVERITIES) + ".")]
Indicators = Annotated[
    list[str] | None,
    typer.Option(
        "--indicator", metavar="[KIND=]VALUE", help="An address, domain, URL, hash, file or account; may be repeated."
    ),
]
Tlp = Annotated[str, typer.Option("--tlp", help="Mark of these indicators: " + ", ".join(TLP) + ".")]
Credentials = Annotated[
    list[str] | None,
    typer.Option("--credential", metavar="REFERENCE", help="A credential it touches; may be repeated."),
]
Agents = Annotated[list[str] | None, typer.Option("--agent", help="An agent it touches; may be repeated.")]


@app.command("open")
def open_(
    type: Annotated[str, typer.Argument(help="One of: " + ", ".join(TYPES) + ".")],
    title: Annotated[str, typer.Argument(help="One line that says what happened.")],
    *,
    severity: Severity = "medium",
    description: Annotated[str, typer.Option("--description", help="What is known.")] = "",
    description_file: Annotated[
        str,
        typer.Option("--description-file", metavar="FILE", help="The description from a file, - for standard input."),
    ] = "",
    date: Annotated[str, typer.Option("--date", help="When it happened: 2027-01-31 or 2027-01-31T08:00+01:00.")] = "",
    client: Annotated[str, typer.Option("--client", help="Whose incident it is.")] = "",
    service: Annotated[str, typer.Option("--service", help="The client's service it is about.")] = "",
    infrastructure: Annotated[
        str, typer.Option("--infrastructure", help="The client's infrastructure it is about.")
    ] = "",
    findings: Annotated[str, typer.Option("--findings", help="What was found out so far.")] = "",
    remediation: Annotated[str, typer.Option("--remediation", help="What is to be done about it.")] = "",
    indicator: Indicators = None,
    tlp: Tlp = "amber",
    credential: Credentials = None,
    agent: Agents = None,
    json: show.Json = False,
) -> None:
    """Open an incident, and get the first steps of its playbook."""
    draft = IncidentDraft(
        type=type,
        title=title,
        severity=severity,
        description=ask.long_text(description, description_file, "--description"),
        findings=findings,
        remediation=remediation,
        occurred_at=date,
        client=client,
        service=service,
        infrastructure=infrastructure,
        indicators=_indicators(indicator, tlp),
        credentials=tuple(credential or ()),
        agents=tuple(agent or ()),
    )
    with acting.logged_in() as (vault, actor):
        done = vault.incidents.open(actor, draft)
    if json:
        show.as_json(_done_json(done))
        return
    print(f"opened {done.whole.incident.incident_id} ({done.playbook.name}, audit entry {done.entry})")
    for number, text in enumerate(done.playbook.steps, 1):
        print(f"  {number}. {text}")


@app.command("list")
def list_(
    query: Annotated[str, typer.Argument(help="Words that its texts must hold.")] = "",
    *,
    client: Annotated[str, typer.Option("--client", help="Only this client's.")] = "",
    type: Annotated[str, typer.Option("--type", help="Only of this type.")] = "",
    severity: Annotated[str, typer.Option("--severity", help="Only of this severity.")] = "",
    state: Annotated[str, typer.Option("--state", help="open, any, " + ", ".join(STATES) + ".")] = "open",
    indicator: Annotated[str, typer.Option("--indicator", help="Only with this very value.")] = "",
    credential: Annotated[str, typer.Option("--credential", help="Only linked to this reference.")] = "",
    limit: show.Limit = 20,
    cursor: show.Cursor = "",
    json: show.Json = False,
) -> None:
    """List incidents, newest first; without --state those that are not resolved."""
    with acting.logged_in() as (vault, actor):
        page = vault.incidents.search(
            actor,
            query,
            client=client,
            type=type,
            severity=severity,
            state="" if state == "any" else state,
            indicator=indicator,
            credential=credential,
            limit=limit,
            cursor=cursor,
        )
    if json:
        items = [_summary_json(one) for one in page.items]
        show.as_json({"items": items, "next_cursor": page.next_cursor, "total": page.total})
        return
    show.table(
        ("incident", "opened", "type", "severity", "state", "client", "owner", "title"),
        (
            (i.incident_id, show.moment(i.opened_us), i.type, i.severity, i.state, one.client, i.owner_name, i.title)
            for one in page.items
            for i in (one.incident,)
        ),
        empty="no incidents",
    )
    show.next_page(page.next_cursor)


@app.command("show")
def show_(incident_id: Id, *, json: show.Json = False) -> None:
    """Show one incident with its timeline, indicators and links."""
    with acting.logged_in() as (vault, actor):
        whole = vault.incidents.get(actor, incident_id)
    if json:
        show.as_json(_whole_json(whole))
        return
    it = whole.incident
    show.pairs(
        (
            ("incident", it.incident_id),
            ("title", it.title),
            ("type", it.type),
            ("severity", it.severity),
            ("state", it.state),
            ("client", "/".join(part for part in (whole.client, whole.service, whole.infrastructure) if part)),
            ("owner", it.owner_name),
            ("happened", show.moment(it.occurred_us)),
            ("opened", show.moment(it.opened_us)),
            ("contained", show.moment(it.contained_us)),
            ("resolved", show.moment(it.resolved_us)),
            ("description", it.description),
            ("findings", it.findings),
            ("root cause", it.root_cause),
            ("remediation", it.remediation),
        )
    )
    show.table(
        ("", "when", "kind", "who", "what", "technique"),
        ((e.seq, show.moment(e.occurred.us), e.kind, e.actor_name, e.text, e.technique) for e in whole.timeline),
    )
    if whole.indicators:
        rows = ((one.kind, defang(one.kind, one.value), one.tlp, one.note) for one in whole.indicators)
        show.table(("indicator", "value", "TLP", "note"), rows)
    if whole.links:
        rows_of_links = ((one.kind, one.target_name, one.waived) for one in whole.links)
        show.table(("linked", "to", "rotation waived"), rows_of_links)


@app.command()
def update(
    incident_id: Id,
    *,
    state: Annotated[str, typer.Option("--state", help="Where it goes: " + ", ".join(STATES) + ".")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why it goes there; needed to open it again.")] = "",
    severity: Annotated[str, typer.Option("--severity", help="One of: " + ", ".join(SEVERITIES) + ".")] = "",
    owner: Annotated[str, typer.Option("--owner", help="The person who now has it.")] = "",
    title: Annotated[str, typer.Option("--title", help="A new title.")] = "",
    description: Annotated[str, typer.Option("--description", help="A new description.")] = "",
    findings: Annotated[str, typer.Option("--findings", help="What was found out.")] = "",
    root_cause: Annotated[str, typer.Option("--root-cause", help="Why it could happen; needed to resolve it.")] = "",
    remediation: Annotated[str, typer.Option("--remediation", help="What is done about it.")] = "",
    note: Annotated[str, typer.Option("--note", help="A timeline entry.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="Of the entry: " + ", ".join(_KINDS) + ".")] = "note",
    at: Annotated[str, typer.Option("--at", help="When the entry's event happened; else now.")] = "",
    source: Annotated[str, typer.Option("--source", help="Where the entry comes from.")] = "",
    technique: Annotated[str, typer.Option("--technique", help="ATT&CK id of the entry, such as T1566.002.")] = "",
    corrects: Annotated[str, typer.Option("--corrects", help="The entry (tl_...) that a correction is about.")] = "",
    indicator: Indicators = None,
    tlp: Tlp = "amber",
    credential: Credentials = None,
    agent: Agents = None,
    audit_entry: Annotated[
        list[str] | None, typer.Option("--audit-entry", help="An audit entry (au_...) as evidence.")
    ] = None,
    waive: Annotated[
        list[str] | None,
        typer.Option("--waive", metavar="REFERENCE=REASON", help="Why a linked credential needs no rotation."),
    ] = None,
    revision: Annotated[int, typer.Option("--revision", help="Only if it still is at this revision.")] = 0,
    json: show.Json = False,
) -> None:
    """Move an incident, edit it, add to its timeline: all of it, or nothing."""
    texts = {"description": description, "findings": findings, "root_cause": root_cause, "remediation": remediation}
    entries = (EntryDraft(note, kind, at, source, technique, corrects),) if note else ()
    if not note and (at or source or technique or corrects or kind != "note"):
        raise Invalid(
            "--kind, --at, --source, --technique and --corrects belong to a --note", fields={"--note": "needed"}
        )
    changes = Changes(
        state=state,
        reason=reason,
        severity=severity,
        owner=owner,
        title=title,
        texts={name: text for name, text in texts.items() if text},
        entries=entries,
        indicators=_indicators(indicator, tlp),
        credentials=tuple(credential or ()),
        agents=tuple(agent or ()),
        audit_entries=tuple(audit_entry or ()),
        waive=_waivers(waive or ()),
        expected_revision=revision or None,
    )
    with acting.logged_in() as (vault, actor):
        done = vault.incidents.update(actor, incident_id, changes)
    if json:
        show.as_json(_done_json(done))
        return
    it = done.whole.incident
    print(f"{it.incident_id} is {it.state}: {', '.join(done.changed)} (audit entry {done.entry})")


def _indicators(given: Sequence[str] | None, tlp: str) -> tuple[IndicatorDraft, ...]:
    drafts = []
    for one in given or ():
        kind, mark, value = one.partition("=")
        named = bool(mark) and kind in KINDS
        drafts.append(IndicatorDraft(value if named else one, kind if named else "", tlp))
    return tuple(drafts)


def _waivers(given: Sequence[str]) -> dict[str, str]:
    waivers = {}
    for one in given:
        reference, mark, reason = one.partition("=")
        if not mark:
            raise Invalid("--waive takes REFERENCE=REASON", fields={"--waive": "REFERENCE=REASON"})
        waivers[reference] = reason
    return waivers


def _done_json(done: Done) -> dict[str, object]:
    return {
        "incident": _whole_json(done.whole),
        "entry": done.entry,
        "changed": list(done.changed),
        "playbook": {
            "name": done.playbook.name,
            "techniques": list(done.playbook.techniques),
            "veris": done.playbook.veris,
            "steps": list(done.playbook.steps),
        },
    }


def _head_json(it: Incident, client: str, service: str, infrastructure: str) -> dict[str, object]:
    return {
        "id": it.incident_id,
        "title": it.title,
        "type": it.type,
        "severity": it.severity,
        "state": it.state,
        "client": client,
        "service": service,
        "infrastructure": infrastructure,
        "owner": it.owner_name,
        "occurred_at": iso(it.occurred_us),
        "opened_at": iso(it.opened_us),
        "updated_at": iso(it.updated_us),
        "contained_at": iso(it.contained_us),
        "resolved_at": iso(it.resolved_us),
        "revision": it.revision,
    }


def _summary_json(one: Summary) -> dict[str, object]:
    return _head_json(one.incident, one.client, one.service, one.infrastructure)


def _whole_json(whole: Whole) -> dict[str, object]:
    it = whole.incident
    return {
        **_head_json(it, whole.client, whole.service, whole.infrastructure),
        "description": it.description,
        "findings": it.findings,
        "root_cause": it.root_cause,
        "remediation": it.remediation,
        "timeline": [
            {
                "id": entry.entry_id,
                "seq": entry.seq,
                "kind": entry.kind,
                "occurred_at": iso(entry.occurred.us),
                "occurred_text": entry.occurred.text,
                "precision": entry.occurred.precision,
                "recorded_at": iso(entry.recorded_us),
                "actor": entry.actor_name,
                "actor_kind": entry.actor_kind,
                "source": entry.source,
                "technique": entry.technique,
                "corrects": entry.corrects,
                "entry": entry.audit_entry,
                "text": entry.text,
            }
            for entry in whole.timeline
        ],
        "indicators": [
            {
                "id": one.indicator_id,
                "kind": one.kind,
                "value": one.value,
                "shown": defang(one.kind, one.value),
                "tlp": one.tlp,
                "note": one.note,
                "first_seen_at": iso(one.first_seen_us),
                "last_seen_at": iso(one.last_seen_us),
            }
            for one in whole.indicators
        ],
        "links": [
            {"kind": one.kind, "id": one.target_id, "name": one.target_name, "waived": one.waived}
            for one in whole.links
        ],
    }
