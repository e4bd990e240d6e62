"""`claudetools context import`: the transcripts that Claude Code already has on this machine."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import ClaudeToolsError
from domain.moments import FORMS, span
from mcp_server.cli import acting, show
from mcp_server.cli.progress import progress

if TYPE_CHECKING:
    from mcp_server.services.importing import Imported, Plan

AGAIN = "claudetools context import"


def import_(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="The client's folder of projects, or that of one project; `projects` in $CLAUDE_CONFIG_DIR or ~/.claude by default.",
        ),
    ] = None,
    *,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help=f"Only sessions that were written since: {FORMS}.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what there is to import.")] = False,
    json: show.Json = False,
) -> None:
    """Capture the sessions whose transcripts Claude Code already has on this machine.

    Those that it will delete first come first.  What is kept already is passed over, so that an import that was ended goes on
    where it was; what was forgotten stays forgotten.  Exit code 1 where a transcript could not be read.
    """
    from mcp_server.services.importing import Importing
    from mcp_server.services.recall import own_zone

    projects = folder or Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude") / "projects"
    since_us = span(since, time.time_ns() // 1000, own_zone(), name="--since").since_us if since else 0
    with acting.vault() as vault:
        importing = Importing(vault.capture)
        plan = importing.plan(projects, since_us)
        if dry_run:
            _tell_plan(plan, json=json)
            return
        try:
            with progress("import", "sessions") as tell:
                done = importing.run(plan, tell)
        except (KeyboardInterrupt, ClaudeToolsError):
            show.note(f"what was imported so far is kept; go on with: {AGAIN}")
            raise
    _tell(done, json=json)
    if done.failed:
        raise typer.Exit(1)


def _tell_plan(plan: Plan, *, json: bool) -> None:
    if json:
        show.as_json(
            {
                "sessions": len(plan.wanted),
                "bytes": plan.size,
                "kept": plan.kept,
                "forgotten": plan.forgotten,
                "older": plan.older,
            }
        )
        return
    show.pairs(
        (
            ("to import", f"{len(plan.wanted)} sessions, {_megabytes(plan.size)}"),
            ("already there", plan.kept or ""),
            ("forgotten", plan.forgotten or ""),
            ("older", plan.older or ""),
        )
    )


def _tell(done: Imported, *, json: bool) -> None:
    if json:
        show.as_json(
            {
                "imported": done.sessions,
                "kept": done.kept,
                "forgotten": done.forgotten,
                "empty": done.empty,
                "failed": [{"path": str(path), "reason": reason} for path, reason in done.failed],
                "bytes": done.size,
                "tokens": {"raw": done.raw_tokens, "digest": done.digest_tokens},
                "struck": dict(sorted(done.struck.items())),
            }
        )
        return
    struck = ", ".join(f"{rule} {count}" for rule, count in done.struck.most_common())
    show.pairs(
        (
            ("imported", f"{done.sessions} sessions, {_megabytes(done.size)}"),
            ("already there", done.kept or ""),
            ("forgotten", done.forgotten or ""),
            ("nothing said", done.empty or ""),
            (
                "tokens",
                f"{done.raw_tokens:,} in the sessions, {done.digest_tokens:,} kept to be told" if done.sessions else "",
            ),
            ("struck", f"{done.struck.total()} ({struck})" if struck else ""),
            ("failed", "\n".join(f"{path}: {reason}" for path, reason in done.failed)),
        )
    )


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB" if size >= 1_000_000 else f"{-(-size // 1_000)} kB"  # noqa: PLR2004
