"""What `claudetools context stats` prints and writes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import Invalid
from domain.moments import span
from hooks.telling import short
from mcp_server.answers import iso
from mcp_server.cli import acting, show
from mcp_server.cli.stats_page import day_of, page
from mcp_server.config import write_private
from mcp_server.services.recall import own_zone

if TYPE_CHECKING:
    from domain.tallies import Counted, Tally

_DAYS = 30
_ROWS = 12
_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"


def tell(since: str, html: Path | None, *, as_json: bool) -> None:
    """Prints the counts, or writes them as a page.  Raises Invalid."""
    now_us = time.time_ns() // 1000
    zone = own_zone()
    found = span(since, now_us, zone, name="--since") if since else None
    with acting.logged_in() as (vault, actor):
        counted = vault.tallies.counted(actor, since_us=found.since_us if found else 0)
    if html is not None:
        told = show.day(found.since_us) if found else ""
        _write(html, page(counted, made_us=now_us, since=told))
    if as_json:
        show.as_json({**_as_json(counted), **({"file": str(html)} if html is not None else {})})
        return
    if html is not None:
        print(f"wrote {show.clean(html)}")
        return
    _print(counted)


def _write(file: Path, text: str) -> None:
    try:
        write_private(file, text)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that names no file"
        raise Invalid(f"the page cannot be written: {why}", fields={"--html": "name another file"}) from None


def _print(counted: Counted) -> None:
    total = counted.total
    show.pairs(
        (
            ("records", f"{total.records:,}"),
            ("tokens", f"{short(total.raw_tokens)} raw, {short(total.digest_tokens)} kept ({total.saved:.1%} saved)"),
            ("struck", f"{sum(counted.struck.values()):,}"),
        )
    )
    if not total.records:
        return
    days = counted.by_day()
    print(f"\nthe last {min(_DAYS, len(days))} days:" if len(days) > 1 else "")
    show.table(("day", "records", ""), _barred([(day_of(day), tally.records) for day, tally in days[-_DAYS:]]))
    for what, tallies in (
        ("project", counted.by_project()),
        ("machine", counted.by_machine()),
        ("person", counted.by_person()),
        ("client", counted.by_client()),
        ("kind", counted.by_kind()),
    ):
        if tallies:
            show.table((what, "records", "", "raw", "kept", "saved"), _tallied(tallies))
    if counted.struck:
        rules = sorted(counted.struck.items(), key=lambda item: (-item[1], item[0]))
        show.table(("struck", "times", ""), _barred(rules[:_ROWS]))


def _tallied(tallies: Sequence[Tally]) -> Iterator[tuple[str, ...]]:
    highest = max(tally.records for tally in tallies)
    for tally in tallies[:_ROWS]:
        tokens = (short(tally.raw_tokens), short(tally.digest_tokens), f"{tally.saved:.1%}")
        yield (tally.name, f"{tally.records:,}", _bar(tally.records, highest), *tokens)
    if len(tallies) > _ROWS:
        yield (f"{len(tallies) - _ROWS} more", f"{sum(tally.records for tally in tallies[_ROWS:]):,}", "", "", "", "")


def _barred(rows: Sequence[tuple[str, int]]) -> Iterator[tuple[str, str, str]]:
    highest = max((number for _, number in rows), default=1)
    for name, number in rows:
        yield (name, f"{number:,}", _bar(number, highest))


def _bar(number: int, highest: int) -> str:
    eighths = round(_BAR * 8 * number / max(1, highest))
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def _as_json(counted: Counted) -> dict[str, object]:
    def listed(tallies: Sequence[Tally]) -> list[dict[str, object]]:
        return [{"id": tally.key, "name": tally.name, **_numbers(tally)} for tally in tallies]

    return {
        "total": _numbers(counted.total),
        "days": [{"day": day_of(day), **_numbers(tally)} for day, tally in counted.by_day() if tally.records],
        "projects": listed(counted.by_project()),
        "machines": listed(counted.by_machine()),
        "persons": listed(counted.by_person()),
        "clients": listed(counted.by_client()),
        "kinds": listed(counted.by_kind()),
        "struck": dict(sorted(counted.struck.items())),
        "since": iso(counted.since_us) if counted.since_us else None,
    }


def _numbers(tally: Tally) -> dict[str, object]:
    return {
        "records": tally.records,
        "raw_tokens": tally.raw_tokens,
        "digest_tokens": tally.digest_tokens,
        "newest_at": iso(tally.newest_us) if tally.newest_us else None,
    }
