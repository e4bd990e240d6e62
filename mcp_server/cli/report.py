"""`claudetools report`: at-risk, expiring, unused, reused, weak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mcp_server.answers import iso
from mcp_server.cli import acting, ask, show
from mcp_server.cli.progress import progress

if TYPE_CHECKING:
    from domain.reports import Line, Report

app = typer.Typer(help="Credentials that need attention.", no_args_is_help=True, add_completion=False)

Client = Annotated[str, typer.Option("--client", help="Only this client's.")]
Most = Annotated[int, typer.Option("--limit", help="How many at most, 1 to 1000.")]
_NOTHING = {
    "at-risk": "no value that was seen is still in use",
    "expiring": "nothing expires or is due for rotation in that time",
    "unused": "everything was used in that time",
    "reused": "no two credentials share a value",
    "weak": "no value that people chose is soon guessed",
}


@app.command("at-risk")
def at_risk(*, client: Client = "", limit: Most = 100, json: show.Json = False) -> None:
    """Credentials whose value a model or a person saw and that were not rotated since."""
    _open("at-risk", client, None, limit, as_json=json)


@app.command()
def expiring(
    *,
    client: Client = "",
    days: Annotated[int, typer.Option("--days", help="How many days to look ahead.")] = 30,
    limit: Most = 100,
    json: show.Json = False,
) -> None:
    """Credentials that expire or are due for rotation in so many days, and those that should have been already."""
    _open("expiring", client, days, limit, as_json=json)


@app.command()
def unused(
    *,
    client: Client = "",
    days: Annotated[int, typer.Option("--days", help="For how many days nobody used them.")] = 90,
    limit: Most = 100,
    json: show.Json = False,
) -> None:
    """Credentials that nobody opened or used for so many days, as the audit log tells."""
    _open("unused", client, days, limit, as_json=json)


@app.command()
def reused(*, client: Client = "", limit: Most = 100, json: show.Json = False) -> None:
    """Credentials that share a value.  Nothing is opened for that."""
    _open("reused", client, None, limit, as_json=json)


@app.command()
def weak(
    *,
    client: Client = "",
    score: Annotated[int, typer.Option("--score", help="Tell those up to this score, 0 (worst) to 4.")] = 2,
    limit: Most = 100,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Passwords that are soon guessed.  Opens them all here to judge them: asks for your password, refuses under Claude Code.

    No value is shown, and neither value nor score is kept.
    """
    with acting.at_the_terminal("judging every password", password_file) as (vault, actor), progress("judging") as tell:
        report = vault.reports.weak(
            actor, client=client, most=score, limit=limit, progress=lambda done, total: tell("", done, total)
        )
    _print(report, as_json=json)


def _open(kind: str, client: str, days: int | None, limit: int, *, as_json: bool) -> None:
    with acting.logged_in() as (vault, actor):
        report = vault.reports.open(actor, kind, client=client, days=days, limit=limit)
    _print(report, as_json=as_json)


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        items = [_facts(line) for line in report.lines]
        show.as_json({"report": report.kind, "items": items, "total": report.total})
        return
    show.table(
        ("reference", "for", "why", "since" if report.kind != "expiring" else "when", "field", "same value as"),
        (
            (
                line.it.reference,
                line.it.head.service_name,
                line.why,
                show.day(line.at_us),
                ", ".join(line.fields),
                ", ".join(line.others),
            )
            for line in report.lines
        ),
        empty=_NOTHING[report.kind],
    )
    if report.total > len(report.lines):
        show.note(f"the first {len(report.lines)} of {report.total}: --limit {min(report.total, 1000)}")


def _facts(line: Line) -> dict[str, object]:
    facts: dict[str, object] = {
        "reference": line.it.reference,
        "client": line.it.client,
        "service_name": line.it.head.service_name,
        "why": line.why,
        "at": iso(line.at_us),
        "fields": list(line.fields),
        "same_value_as": list(line.others),
    }
    return facts if line.score is None else {**facts, "score": line.score}
