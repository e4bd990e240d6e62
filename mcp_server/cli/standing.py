"""What `claudetools context status` prints: this machine first, then the database, then what the vault holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from domain.context import MEMORY
from domain.errors import ClaudeToolsError, Unauthenticated
from hooks.telling import age, short
from mcp_server.answers import iso
from mcp_server.cli import acting, show
from mcp_server.config import load_settings
from mcp_server.services.tallies import Here, Reached, here, oldest

if TYPE_CHECKING:
    from domain.tallies import Counted

_MOST_TOLD = 10


def tell(*, as_json: bool) -> None:
    """Prints it.  Raises Invalid where nothing is set up."""
    settings = load_settings()
    local = here(str(settings.home))
    reached = _reached()
    counted, login = _counted() if reached.reachable else (None, "")
    if as_json:
        show.as_json(_as_json(local, reached, counted, settings.machine_id))
        return
    _here(local)
    _database(reached, local)
    if counted is not None:
        _vault(counted, settings.machine_id)
    elif login:
        show.note(f"what the vault holds: {login}")


def _reached() -> Reached:
    try:
        with acting.vault() as vault:
            return vault.tallies.reached()
    except ClaudeToolsError as error:
        return Reached(reachable=False, why=error.message)


def _counted() -> tuple[Counted | None, str]:
    """The vault's counts; or what to type for them."""
    try:
        with acting.logged_in() as (vault, actor):
            return vault.tallies.by_machine(actor), ""
    except Unauthenticated:
        return None, acting.LOGIN


def _here(local: Here) -> None:
    drain = local.drain
    if drain.captured_us:
        where = f", in {drain.captured_project}" if drain.captured_project else ""
        captured = f"{_ago(drain.captured_us)} (session {drain.captured_session}{where})"
    else:
        captured = "nothing yet (what was imported does not count)"
    waiting = f"{len(local.waiting)}, the oldest since {_ago(oldest(local.waiting))}" if local.waiting else "nothing"
    show.pairs(
        (
            ("last capture", captured),
            ("last drain", f"{_ago(drain.at_us)}{_outcome(local)}" if drain.at_us else ""),
            ("waiting", waiting),
            ("set aside", str(len(local.aside)) if local.aside else "nothing"),
            ("hooks' log", local.trouble or "no trouble"),
            ("trusted", f"{local.trusted} folder{'' if local.trusted == 1 else 's'}" if local.trusted else ""),
        )
    )
    for one in local.aside[:_MOST_TOLD]:
        where = f" in {one.project_name}" if one.project_name else ""
        show.note(f"set aside: session {one.session_id}{where}: {one.why or 'it could not be captured'}")
    if local.waiting:
        show.note("capture them now: claudetools sync")
    if local.aside:
        show.note("try what was set aside again: claudetools sync --retry")


def _outcome(local: Here) -> str:
    drain = local.drain
    if drain.trouble:
        return f": {drain.trouble}"
    said = [(drain.captured, "captured"), (drain.waiting, "left waiting"), (drain.set_aside, "set aside")]
    return ": " + (", ".join(f"{number} {what}" for number, what in said if number) or "nothing new")


def _database(reached: Reached, local: Here) -> None:
    print()
    if not reached.reachable:
        show.pairs((("database", f"away: {reached.why}"),))
        show.note("what sessions leave is kept here until it is back; what is wrong with it: claudetools doctor")
        return
    open_ends = [
        "values that are new in the vault are struck from older records by the next drain" if reached.behind else "",
        "single words of forgotten records leave the index with the next drain" if local.untidy else "",
    ]
    show.pairs((("database", f"answers in {reached.ms:.1f} ms"), ("to do", "\n".join(one for one in open_ends if one))))


def _vault(counted: Counted, machine_id: str) -> None:
    total = counted.total
    kinds = ", ".join(f"{tally.records:,} {_several(tally.name, tally.records)}" for tally in counted.by_kind())
    show.pairs((("remembered", kinds or "nothing"),))
    if not total.records:
        return
    print()
    show.table(
        ("machine", "records", "newest", "tokens raw", "kept"),
        (
            (
                f"{tally.name} (this one)" if tally.key == machine_id else tally.name,
                f"{tally.records:,}",
                _ago(tally.newest_us),
                short(tally.raw_tokens),
                short(tally.digest_tokens),
            )
            for tally in counted.by_machine()
        ),
    )


def _several(kind: str, number: int) -> str:
    return kind if number == 1 else "memories" if kind == MEMORY else f"{kind}s"


def _ago(at_us: int) -> str:
    return age(time.time_ns() // 1000 - at_us)


def _as_json(local: Here, reached: Reached, counted: Counted | None, machine_id: str) -> dict[str, object]:
    drain = local.drain
    said: dict[str, object] = {
        "waiting": len(local.waiting),
        "oldest_waiting_at": iso(oldest(local.waiting)) if local.waiting else None,
        "set_aside": len(local.aside),
        "aside": [
            {
                "session": one.session_id,
                "project": one.project_name,
                "why": one.why,
                "transcript": one.transcript_path,
                "at": iso(one.at_us) if one.at_us else None,
            }
            for one in local.aside
        ],
        "last_capture": {
            "at": iso(drain.captured_us) if drain.captured_us else None,
            "session": drain.captured_session,
            "project": drain.captured_project,
        },
        "last_drain": {
            "at": iso(drain.at_us) if drain.at_us else None,
            "captured": drain.captured,
            "waiting": drain.waiting,
            "set_aside": drain.set_aside,
            "trouble": drain.trouble,
        },
        "hooks_trouble": local.trouble,
        "trusted_folders": local.trusted,
        "database": {
            "reachable": reached.reachable,
            "ms": round(reached.ms, 2),
            "why": reached.why,
            "values_to_strike": reached.behind,
            "index_to_tidy": local.untidy,
        },
    }
    if counted is not None:
        said["records"] = {tally.name: tally.records for tally in counted.by_kind()}
        said["machines"] = [
            {
                "id": tally.key,
                "name": tally.name,
                "this": tally.key == machine_id,
                "records": tally.records,
                "last_capture_at": iso(tally.newest_us),
                "raw_tokens": tally.raw_tokens,
                "digest_tokens": tally.digest_tokens,
            }
            for tally in counted.by_machine()
        ]
    return said
