"""`claudetools context scan`: whether anything that is kept holds a secret by today's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Broken
from mcp_server.answers import exit_code
from mcp_server.cli import acting, show
from mcp_server.cli.progress import progress

if TYPE_CHECKING:
    from mcp_server.services.scanning import Scanned


def scan(
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Strike what is found from the records, audited.")] = False,
    json: show.Json = False,
) -> None:
    """Look through all that is kept for secrets, by today's rules and the vault's values.

    Exit code 8 where something was found and still stands.
    """
    with acting.logged_in() as (vault, actor), progress("looked through") as tell:
        looked = vault.rescan.look_again(float("inf")) if fix else None
        found = vault.scan.scan(actor, fix=fix, tell=tell)
    incidents = dict(looked.incidents) if looked is not None else {}
    if json:
        show.as_json(
            {
                "looked_through": found.looked,
                "counts": dict(found.counts),
                "records": found.records,
                "incidents": found.incidents,
                "struck": found.fixed,
                "opened": incidents,
                "entries": found.entries,
            }
        )
    else:
        _told(found, incidents)
    if not found.is_clean:
        raise typer.Exit(exit_code(Broken("")))


def _told(found: Scanned, opened: dict[str, str]) -> None:
    for reference, incident in sorted(opened.items()):
        print(f"a value of {reference} stood in the memory: struck, incident {incident}")
    rows = [
        (record_id, _rules(counts), "struck" if record_id in found.fixed else "")
        for record_id, counts in found.records.items()
    ]
    rows += [(incident, _rules(counts), "evidence: left as it is") for incident, counts in found.incidents.items()]
    show.table(("where", "what", ""), rows, empty=f"nothing found in {found.looked} records and the incidents")
    if found.records and not found.fixed:
        show.note("strike it: claudetools context scan --fix")


def _rules(counts: dict[str, int]) -> str:
    return ", ".join(f"{rule} {number}" for rule, number in sorted(counts.items()))
