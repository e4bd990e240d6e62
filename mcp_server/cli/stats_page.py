"""The page that `context stats --html` writes: one file, without scripts and without the network.

Every number of a plot stands in a table beside it.  Names of projects and machines are other
people's text: all of it is escaped, and the page's own policy lets nothing run or load.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape

from domain.tallies import Counted, Tally
from hooks.telling import short

WIDTH, HEIGHT = 480, 180
"""Of a plot, in its own units: drawn at 0.75 to 1.2 pixels each, so that its letters can be read on a phone."""
_LEFT, _BELOW = 40, 22
_ROW, _BAR = 36, 10
_LONGEST_LABEL = 44
_MOST_ROWS = 20
_MOST_DAYS = 110
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #fff; --card: #f6f8fa;
  --one: #0a5fb4; --two: #a04a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9da7b3; --line: #30363d; --paper: #0d1117;
  --card: #161b22; --one: #6cb6ff; --two: #f0a35e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 50rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0; color: var(--soft); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .5rem; margin: 1rem 0; }
dl div { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .75rem; }
dt { color: var(--soft); font-size: .85rem; } dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
svg { width: 100%; max-width: 36rem; height: auto; display: block; margin-bottom: .75rem; }
svg text { fill: var(--soft); font-size: 14px; }
.one { fill: var(--one); } .two { fill: var(--two); } .axis { stroke: var(--line); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
th { color: var(--soft); font-weight: 600; font-size: .85rem; }
@media (max-width: 34rem) { table { font-size: .85rem; } th, td { padding: .25rem .3rem; } }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--soft); }
"""


def page(counted: Counted, *, made_us: int, since: str = "") -> str:
    """The page, as HTML in UTF-8.  `since` says in words from when on was counted."""
    total = counted.total
    scope = f"since {since}" if since else "all of it"
    body = [
        "<h1>ClaudeTools: the memory</h1>",
        f"<p>{escape(scope)}, as of {_moment(made_us)}.</p>",
        _facts(
            ("records", f"{total.records:,}"),
            ("tokens of their sessions", short(total.raw_tokens)),
            ("tokens kept to be told", short(total.digest_tokens)),
            ("saved", f"{total.saved:.1%}"),
            ("struck before it was kept", f"{sum(counted.struck.values()):,}"),
        ),
    ]
    if not total.records:
        body.append("<p>Nothing is remembered yet.</p>")
    else:
        body += [
            _section("Records by day", _days(counted), _day_table(counted)),
            _section("Projects", _bars(counted.by_project()), _table("project", counted.by_project())),
            _section("Machines", _bars(counted.by_machine()), _table("machine", counted.by_machine())),
            _section("Persons", "", _table("person", counted.by_person())),
        ]
        if counted.by_client():
            body.append(_section("Clients", "", _table("client", counted.by_client())))
        body.append(_section("Kinds", "", _table("kind", counted.by_kind())))
        body.append(_section("Raw against kept", _against(total), ""))
        body.append(_section("Struck", _struck_bars(counted), _struck_table(counted)))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>ClaudeTools: the memory</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def day_of(number: int) -> str:
    """A counted day as a date."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)).strftime("%Y-%m-%d")


def _facts(*facts: tuple[str, str]) -> str:
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{escape(said)}</dd></div>" for name, said in facts) + "</dl>"


def _section(title: str, plot: str, table: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{plot}\n{table}\n</section>"


def _days(counted: Counted) -> str:
    """Columns, one a day; of a long time one for several days."""
    days = counted.by_day()
    step = -(-len(days) // _MOST_DAYS)
    columns = [
        (days[at][0], sum(tally.records for _, tally in days[at : at + step])) for at in range(0, len(days), step)
    ]
    highest = max(1, *(records for _, records in columns)) if columns else 1
    wide = (WIDTH - _LEFT) / len(columns)
    bars = []
    for at, (day, records) in enumerate(columns):
        tall = (HEIGHT - _BELOW - 12) * records / highest
        x, y = _LEFT + at * wide, HEIGHT - _BELOW - tall
        until = f" to {day_of(day + step - 1)}" if step > 1 else ""
        bars.append(
            f'<rect class="one" x="{x:.1f}" y="{y:.1f}" width="{max(0.8, wide - 1):.1f}" height="{tall:.1f}">'
            f"<title>{day_of(day)}{until}: {records:,}</title></rect>"
        )
    base = HEIGHT - _BELOW
    axis = (
        f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{WIDTH}" y2="{base}"/>'
        f'<text x="{_LEFT - 6}" y="20" text-anchor="end">{highest:,}</text>'
        f'<text x="{_LEFT - 6}" y="{base}" text-anchor="end">0</text>'
        f'<text x="{_LEFT}" y="{HEIGHT - 6}">{day_of(days[0][0])}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 6}" text-anchor="end">{day_of(days[-1][0])}</text>'
    )
    each = f", a column for {step} days" if step > 1 else ""
    return _svg(HEIGHT, f"Records by day{each}; at most {highest:,}", axis + "".join(bars))


def _bars(tallies: Sequence[Tally]) -> str:
    return _rows([(tally.name, tally.records, "one") for tally in tallies[:_MOST_ROWS]], "Records")


def _against(total: Tally) -> str:
    rows = [("raw", total.raw_tokens, "two"), ("kept", total.digest_tokens, "one")]
    return _rows(rows, "Tokens of the sessions, and tokens kept of them to be told")


def _struck_bars(counted: Counted) -> str:
    found = sorted(counted.struck.items(), key=lambda item: (-item[1], item[0]))
    if not found:
        return "<p>Nothing had to be struck.</p>"
    return _rows([(rule, times, "two") for rule, times in found[:_MOST_ROWS]], "Struck by rule")


def _rows(rows: Sequence[tuple[str, int, str]], about: str) -> str:
    """Lying bars, each under its name and number."""
    highest = max(1, *(number for _, number, _ in rows)) if rows else 1
    parts = []
    for at, (name, number, kind) in enumerate(rows):
        y = at * _ROW
        label = name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"
        parts.append(
            f'<text x="0" y="{y + 16}">{escape(label)}</text>'
            f'<text x="{WIDTH}" y="{y + 16}" text-anchor="end">{number:,}</text>'
            f'<rect class="{kind}" x="0" y="{y + 21}" width="{max(1.0, WIDTH * number / highest):.1f}" height="{_BAR}">'
            f"<title>{escape(name)}: {number:,}</title></rect>"
        )
    return _svg(max(_ROW, _ROW * len(rows)), about, "".join(parts))


def _svg(tall: int, about: str, inside: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {tall}" role="img" aria-label="{escape(about)}">{inside}</svg>'


def _table(what: str, tallies: Sequence[Tally]) -> str:
    heads = (what, "records", "raw tokens", "kept tokens", "saved", "newest")
    rows = [
        (
            tally.name,
            f"{tally.records:,}",
            f"{tally.raw_tokens:,}",
            f"{tally.digest_tokens:,}",
            f"{tally.saved:.1%}",
            _moment(tally.newest_us)[:10],
        )
        for tally in tallies
    ]
    return _folded(heads, rows)


def _day_table(counted: Counted) -> str:
    rows = [
        (day_of(day), f"{tally.records:,}", f"{tally.raw_tokens:,}", f"{tally.digest_tokens:,}")
        for day, tally in reversed(counted.by_day())
        if tally.records
    ]
    return _folded(("day", "records", "raw tokens", "kept tokens"), rows, shut=True)


def _struck_table(counted: Counted) -> str:
    found = sorted(counted.struck.items(), key=lambda item: (-item[1], item[0]))
    return _folded(("rule", "times"), [(rule, f"{times:,}") for rule, times in found], shut=True) if found else ""


def _folded(heads: Sequence[str], rows: Sequence[Sequence[str]], *, shut: bool = False) -> str:
    """A table; a long one is folded up until somebody opens it."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    table = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return f"<details><summary>The numbers</summary>{table}</details>" if shut or len(rows) > _MOST_ROWS else table


def _moment(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
