"""The evaluation data, as its files say it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for: where the data lies, and how much is measured."""

    transcripts: Path
    manifest: Path
    secrets: Path
    locomo: Path
    scale: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    rounds: int = 500
    budget: int = 1000


@dataclass(frozen=True, slots=True)
class Session:
    """One transcript and what its manifest's row says of it; `row` is that row whole."""

    path: Path
    repo: str
    first: str
    last: str
    branches: tuple[str, ...]
    files: tuple[str, ...]
    summaries: tuple[str, ...]
    row: Mapping[str, object]


def sessions(options: Options) -> list[Session]:
    """The sessions of the manifest whose transcripts are there, oldest first.  Raises FileNotFoundError."""
    found = [_session(options, row) for row in rows(options.manifest)]
    return sorted((one for one in found if one.path.is_file()), key=lambda one: (one.first, str(one.path)))


def rows(path: Path) -> Iterator[dict[str, object]]:
    """The rows of a JSON lines file.  Raises FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; give it with --data or by itself")
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            if line.strip():
                yield json.loads(line)


def _session(options: Options, row: Mapping[str, object]) -> Session:
    return Session(
        path=options.transcripts / str(row["path"]),
        repo=str(row.get("repo", "")),
        first=str(row.get("first_ts", "")),
        last=str(row.get("last_ts", "")),
        branches=_texts(row.get("branches")),
        files=_texts(row.get("files_touched")),
        summaries=tuple(_summary(one) for one in _list(row.get("summaries"))),
        row=row,
    )


def _summary(said: object) -> str:
    """A model's summary as text, however it is laid out."""
    if isinstance(said, Mapping):
        return "\n".join(_summary(part) for part in said.values())
    if isinstance(said, list):
        return "\n".join(_summary(part) for part in said)
    return "" if said is None else str(said)


def _texts(said: object) -> tuple[str, ...]:
    return tuple(str(one) for one in _list(said))


def _list(said: object) -> list[object]:
    return said if isinstance(said, list) else []
