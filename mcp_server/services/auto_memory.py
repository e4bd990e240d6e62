"""Claude Code's own auto memory: the notes that it keeps for a project, as Markdown files on one machine.

Each file is a record of its own, replaced when the file is written, and taken out when the file is
gone.  Its words are Claude's.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from domain.context import MEMORY, ContextRecord
from domain.digest import BUDGET
from domain.errors import Broken, Denied, Unauthenticated, Unavailable
from domain.ids import new_id
from domain.indexing import indexed
from domain.redaction import Redactor
from domain.shortening import one_line, shortened
from domain.striking import strike_all
from domain.tokens import estimate
from domain.transcript import clean
from hooks import spool
from hooks.files import log_trouble
from mcp_server.config import Settings
from mcp_server.services.records import Records

FOLDER = "memory"
PROVENANCE = {"Note": "claude"}
MOST_FILES = 200
LONGEST_FILE = 512 * 1024
LONGEST_BODY = 60_000
_HEADING = re.compile(r"^#{1,6}[ \t](.*)$", re.MULTILINE)
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A file of the auto memory; `written_us` orders its states."""

    path: Path
    written_us: int

    @property
    def key(self) -> str:
        """By what it is known on its machine: the hashes of its folder and its name, which may say anything."""
        return f"{prefix(self.path.parent)}{_hashed(self.path.name)}"


def prefix(folder: Path) -> str:
    """What the keys of all files of a memory folder begin with."""
    return f"memory:{_hashed(folder.parent.name)}/"


def files(folder: Path) -> list[MemoryFile]:
    """The files of a memory folder: regular ones, no links, not above the size that is read."""
    found: list[MemoryFile] = []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []
    for entry in entries:
        try:
            state = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if entry.name.endswith(".md") and stat.S_ISREG(state.st_mode) and 0 < state.st_size <= LONGEST_FILE:
            found.append(MemoryFile(Path(entry.path), state.st_mtime_ns // 1000))
    return found[:MOST_FILES]


def is_folder(folder: Path) -> bool:
    """Whether a memory folder is there, and no link."""
    return folder.is_dir() and not folder.is_symlink()


def what_is_told(file: MemoryFile, redactor: Redactor) -> ContextRecord | None:
    """What is remembered of a file, struck; who wrote it where, and its terms, are left to the caller.  None for an empty one, or a link.

    Raises OSError.
    """
    descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        said = clean(stream.read(LONGEST_FILE).decode("utf-8", "replace").replace("\r\n", "\n"))
    struck = redactor.strike(said)
    fields, text = _parted(struck.text)
    if not text.strip():
        return None
    (name,), hidden = strike_all(redactor.strike, [file.path.stem])
    title = one_line(_heading(text) or fields.get("name", "") or name, 110)
    outcome = one_line(fields.get("description", ""), 240)
    digest = "\n".join(_within(text, BUDGET))
    body = shortened(text, LONGEST_BODY)
    return ContextRecord(
        record_id=new_id("cx"),
        kind=MEMORY,
        title=title,
        outcome=outcome,
        digest=digest,
        created_us=file.written_us,
        updated_us=file.written_us,
        transcript_size=file.written_us,
        raw_tokens=estimate(text),
        digest_tokens=estimate(digest),
        body_rest=body,
        struck=dict(struck.counts) | dict(hidden),
        provenance=PROVENANCE,
    )


def _parted(text: str) -> tuple[dict[str, str], str]:
    """The fields at the head of a file, and its text."""
    front = _FRONT.match(text)
    if front is None:
        return {}, text
    pairs = (line.partition(":") for line in front.group(1).splitlines())
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}, text[front.end() :]


def _heading(text: str) -> str:
    """The first heading that says something; "" where there is none."""
    said = (match.group(1).strip().rstrip("#").rstrip() for match in _HEADING.finditer(text))
    return next((words for words in said if words), "")


def _within(text: str, budget: int) -> Iterator[str]:
    used = 0
    for line in text.splitlines():
        if not line.strip():
            continue
        note = f"Note: {one_line(line, 400)}"
        used += estimate(f"\n{note}") + 1  # what rounding takes off each
        if used > budget:
            return
        yield note


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]


class AutoMemory:
    """Keeps the auto memory of this machine's projects."""

    def __init__(self, settings: Settings, records: Records) -> None:
        self._settings = settings
        self._records = records
        self._there: dict[Path, list[MemoryFile]] = {}

    def remember(self, folder: Path, note: spool.Note) -> None:
        """Keeps the auto memory of a project as it is now: files that were written, and without those that are gone."""
        place = folder / FOLDER
        there = files(place) if is_folder(place) else []
        if self._there.get(folder) == there or not note.project:
            return
        keys = {self._records.key(file.key): file for file in there}
        known = self._records.sizes_below(prefix(place))
        for key, file in keys.items():
            size = known.get(key)
            if size is None or 0 <= size < file.written_us:
                try:
                    self._records.keep(partial(self._record, note, file), is_new=size is None)
                except (Unavailable, Denied, Unauthenticated, Broken):
                    raise
                except Exception as error:  # noqa: BLE001 - a file that cannot be read keeps no session waiting
                    log_trouble(str(self._settings.home), "auto memory", error)
                    return
        gone = [key for key, size in known.items() if key not in keys and size >= 0]
        if gone:
            self._records.withdraw(gone)
        self._there[folder] = there

    def _record(self, note: spool.Note, file: MemoryFile, redactor: Redactor) -> ContextRecord | None:
        told = what_is_told(file, redactor)
        if told is None:
            return None
        (project_name, client), _ = strike_all(redactor.strike, [note.project_name, note.client])
        owner_id, owner_name = self._records.owned_by()
        moment_us = self._records.by_the_database(file.written_us)
        record = replace(
            told,
            created_us=moment_us,
            updated_us=moment_us,
            session_key=self._records.key(file.key),
            project=note.project,
            project_name=project_name[:200],
            client=client[:200],
            machine_id=self._settings.machine_id,
            machine_name=self._settings.machine_name,
            agent_id=self._settings.agent_id,
            owner_id=owner_id,
            owner_name=owner_name,
        )
        return indexed(record)
