"""The sessions whose transcripts Claude Code keeps on this machine, found by their files."""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hooks import spool
from hooks.event import is_session_id, is_transcript_path
from hooks.files import read_object
from hooks.project import client_of, identify, of_another_system
from mcp_server.services.transcripts import read_part, total_size

KEPT_DAYS = 30
"""How long the client keeps a transcript that is not written any more, where its settings do not say."""
_LONGEST_KEPT = 100_000
_DAY_S = 86_400
_HEAD = 1 << 18
_FOLDER = re.compile(rb'"cwd": ?("(?:[^"\\]|\\.)*")')
_SUBAGENT = "agent-"


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A session's transcript: `size` with its subagents', `written_s` when the main file was last written."""

    path: Path
    size: int
    written_s: float

    @property
    def session_id(self) -> str:
        """The session, by which the file is called."""
        return self.path.stem


def on_disk(folder: Path, since_s: float = 0.0, before_s: float = math.inf) -> Iterator[OnDisk]:
    """The sessions in the client's folder of projects, or in that of one project, written at a time within.

    What cannot be read is left out.
    """
    for place in [folder, *_subfolders(folder)]:
        try:
            files = sorted(place.glob("*.jsonl"))
        except OSError:
            continue
        for path in files:
            if path.name.startswith(_SUBAGENT) or not is_session_id(path.stem) or not is_transcript_path(str(path)):
                continue
            try:
                state = path.lstat()
            except OSError:
                continue
            if stat.S_ISREG(state.st_mode) and state.st_size and since_s <= state.st_mtime < before_s:
                yield OnDisk(path, total_size(path), state.st_mtime)


def kept_days(projects: Path) -> int:
    """How many days the client keeps transcripts, by its user's settings beside the folder of projects."""
    said = read_object(str(projects.parent / "settings.json")).get("cleanupPeriodDays")
    return said if isinstance(said, int) and not isinstance(said, bool) and 0 < said < _LONGEST_KEPT else KEPT_DAYS


def soon_deleted(projects: Iterable[Path], now_s: float, since_s: float) -> list[OnDisk]:
    """The sessions that were written after `since_s` and that the client deletes within a tenth of its time, oldest first.

    A session of which the client says nothing any more is deleted by the time of its file.
    """
    found: list[OnDisk] = []
    for folder in projects:
        days = kept_days(folder)
        before_s = now_s - (days - max(1.0, days / 10)) * _DAY_S
        found += on_disk(folder, since_s, before_s)
    return sorted(found, key=lambda one: one.written_s)


def note_of(path: Path, home: str, machine_id: str) -> spool.Note:
    """The note that its hooks would have left of a session, by what its first rows say.

    Its folder may be gone, or one of another system: then the project is known by the path alone.
    The branch is left to the rows: what is checked out today says nothing of then.
    """
    folder = _started_in(path)
    project = of_another_system(folder, machine_id)
    if project is not None:
        folder = ""  # nothing here lies below it
    elif folder:
        project = identify(folder, machine_id)
    return spool.Note(
        "",
        "",
        {
            "session_id": path.stem,
            "transcript_path": str(path),
            "cwd": folder,
            "project": project.project_id if project else "",
            "project_name": project.name if project else "",
            "client": client_of(home, folder, path.stem),
            "event": "import",
        },
    )


def _started_in(path: Path) -> str:
    found = _FOLDER.search(read_part(path, 0, _HEAD))
    if found is None:
        return ""
    try:
        folder = str(json.loads(found.group(1)))
    except ValueError:
        return ""
    return folder if "\0" not in folder and (folder.startswith("/") or of_another_system(folder, "")) else ""


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())
    except OSError:
        return []
