"""Facets: what a record can be filtered by, as words beside its terms that no text can hold.

They stand in the same index (`domain.postings`), so that a filter costs what a term costs, however many records there are.
A path is found by itself, by its last two parts and by its name alone; who asks for more of its end looks at the records.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from domain.context import Wanted
from domain.recall import DAY_US

_MOST_DAYS = 62
"""Longer spans are asked for by whole months, and by days at their ends."""


FIELDS = {
    "kind": ("kind",),
    "project": ("project",),
    "project_name": ("named",),
    "client": ("client",),
    "branch": ("branch",),
    "machine_id": ("machine",),
    "machine_name": ("machine",),
    "owner_id": ("owner", "person"),
    "owner_name": ("person",),
}
"""The fields of a record whose values are facets, and of which kinds."""


def facets(fields: Mapping[str, str], updated_us: int, tags: Iterable[str], files: Iterable[str]) -> set[str]:
    """All facets of a record; `fields` are those of FIELDS."""
    said = {f"#{name}:{fields[field]}" for field, names in FIELDS.items() for name in names if fields[field]}
    day = updated_us // DAY_US
    said.update((f"#day:{day}", f"#month:{_month(day)}"))
    said.update(f"#tag:{tag}" for tag in tags)
    for file in files:
        said.update(f"#file:{end}" for end in (file, *_ends(file)))
    return said


def asked(wanted: Wanted, oldest_us: int, newest_us: int) -> list[list[str]]:
    """Groups of facets, of each of which a record that is wanted has one; none for everything.

    The times of the oldest and the newest record bound a span that is open.
    """
    groups: list[list[str]] = []
    places = [f"#{name}:{value}" for name, value in (("project", wanted.project), ("client", wanted.client)) if value]
    if places:
        groups.append(places)
    for name, value in (
        ("kind", wanted.kind),
        ("named", wanted.project_name),
        ("branch", wanted.branch),
        ("machine", wanted.machine),
        ("person", wanted.person),
        ("owner", wanted.owner_id),
        ("tag", wanted.tag),
        ("file", next(iter(_ends(wanted.file)), wanted.file) if wanted.file else ""),
    ):
        if value:
            groups.append([f"#{name}:{value}"])
    if wanted.since_us or wanted.until_us:
        first = max(wanted.since_us, oldest_us) // DAY_US
        last = (min(wanted.until_us, newest_us) if wanted.until_us else newest_us) // DAY_US
        groups.append(list(_span(first, last)))
    return groups


def _span(first: int, last: int) -> Iterator[str]:
    if last - first < _MOST_DAYS:
        yield from (f"#day:{day}" for day in range(first, last + 1))
        return
    months = dict.fromkeys(_month(day) for day in range(first, last + 1))
    inner = [month for month in months if month not in (_month(first), _month(last))]
    yield from (f"#month:{month}" for month in inner)
    yield from (f"#day:{day}" for day in range(first, first + 31) if _month(day) == _month(first))
    yield from (f"#day:{day}" for day in range(last - 30, last + 1) if _month(day) == _month(last))


def _month(day: int) -> str:
    return time.strftime("%Y-%m", time.gmtime(day * 86_400))


def _ends(file: str) -> Sequence[str]:
    """The last two parts of a path and its name, as far as it has more than these."""
    parts = [part for part in file.rsplit("/", 2) if part]
    if "/" not in file or not parts:
        return ()
    return ("/".join(parts[-2:]), parts[-1]) if len(parts) > 1 else (parts[-1],)
