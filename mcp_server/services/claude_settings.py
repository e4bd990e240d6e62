"""The settings files of the Claude Code client: remembered before we are registered, given back after.

1. Before the first registration the bytes and the mode of every file that registration touches are kept.
2. After it is taken back, what is left of us in those files goes, the maps that were made for us included.
3. A file that then says the same as the kept bytes becomes those very bytes; one that was not there before and says
   nothing now is removed, and so are the folders that were made for it.
4. What else changed meanwhile is the user's and stays.  A file that is not JSON is never written.

Standard library only: `setup.sh --uninstall` runs this with any Python when the environment is gone.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from domain.errors import Conflict
from mcp_server.config import make_private_directory, write_private

Json = dict[str, object]

SETTINGS = "settings.json"
MARKETPLACES = "plugins/known_marketplaces.json"
INSTALLED = "plugins/installed_plugins.json"
STATE = ".claude.json"
FILES = (SETTINGS, MARKETPLACES, INSTALLED, STATE)
FOLDERS = ("", "plugins", "plugins/cache", "plugins/marketplaces", "plugins/data", "backups")
EMPTY: dict[str, Json] = {INSTALLED: {"version": 2, "plugins": {}}}


@dataclass(frozen=True, slots=True)
class ClientFolder:
    """Where the client keeps its files.

    `root` is `$CLAUDE_CONFIG_DIR` or `~/.claude`; the state file lies in the first and beside the second.
    """

    root: Path
    state_file: Path

    def path(self, name: str) -> Path:
        """The path of one of `FILES`."""
        return self.state_file if name == STATE else self.root / name

    def key(self) -> str:
        """A name for this folder, fit for a file name."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:16]


def client_folder() -> ClientFolder:
    """The folder of the client that this user runs."""
    named = os.environ.get("CLAUDE_CONFIG_DIR")
    if named:
        root = Path(named).absolute()
        return ClientFolder(root, root / STATE)
    return ClientFolder(Path.home() / ".claude", Path.home() / STATE)


@dataclass(slots=True)
class Kept:
    """What the client's files were before we were registered.

    `files` maps a name of `FILES` to its bytes in base64 (None: there was no such file); `modes` to its permission
    bits; `folders` are those that were missing; `state` is a hash of what the client's own commands left in its state file
    when they registered us; `backups` the copies of that file that they made.
    """

    files: dict[str, str | None] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    state: str = ""
    backups: list[str] = field(default_factory=list)

    def before(self, name: str) -> bytes | None:
        """The bytes that `name` held, None where it was missing."""
        kept = self.files.get(name)
        return None if kept is None else base64.b64decode(kept)


def read_json(path: Path) -> Json | None:
    """The object that a file holds, an empty one where the file is missing; None where it holds anything else."""
    try:
        value = json.loads(path.read_bytes() or b"{}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def require_readable(folder: ClientFolder) -> None:
    """Refuse to begin where a file of the client could not be merged.

    Raises:
        Conflict: a settings file is not a JSON object.
    """
    for name in FILES:
        if read_json(folder.path(name)) is None:
            raise Conflict(
                f"{folder.path(name)} is not a JSON object, so nothing was registered",
                hint="mend that file (Claude Code cannot read it either), then run ./setup.sh again",
            )


def keep(folder: ClientFolder) -> Kept:
    """Read what the client's files are now."""
    kept = Kept(folders=[name for name in FOLDERS if not (folder.root / name).is_dir()])
    for name in FILES:
        path = folder.path(name)
        try:
            kept.files[name] = base64.b64encode(path.read_bytes()).decode()
            kept.modes[name] = path.stat().st_mode & 0o777
        except FileNotFoundError:
            kept.files[name] = None
    return kept


def backups(folder: ClientFolder) -> set[str]:
    """The names of the copies that the client made of its state file."""
    return {path.name for path in (folder.root / "backups").glob(".claude.json.backup.*")}


def state_hash(folder: ClientFolder) -> str:
    """A hash of what the client's state file says."""
    said = json.dumps(read_json(folder.state_file), sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def save(kept: Kept, file: Path) -> None:
    """Write `kept` to a file of its owner's alone."""
    make_private_directory(file.parent)
    write_private(file, json.dumps(asdict(kept), indent=1))


def load(file: Path) -> Kept | None:
    """What `save` wrote, None where there is nothing."""
    found = read_json(file)
    return Kept(**found) if found else None  # type: ignore[arg-type]  # our own file, written by save()


def replace(path: Path, content: bytes, mode: int) -> None:
    """Put `content` in place of a file in one step, through a link to where it leads."""
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    beside.chmod(mode)
    beside.replace(target)


def without(name: str, found: Json, entries: Iterable[tuple[str, str]], before: Json) -> Json:
    """`found` less our entries, each named by its map ("" for the file itself) and its key.

    A map that is left empty goes too, unless it stood there before or belongs to the form of the file.
    """
    left = dict(found)
    for outer, inner in entries:
        if not outer:
            left.pop(inner, None)
            continue
        table = left.get(outer)
        if isinstance(table, dict):
            left[outer] = {key: value for key, value in table.items() if key != inner}
            if not left[outer] and outer not in before and outer not in EMPTY.get(name, {}):
                del left[outer]
    return left


def give_back(
    folder: ClientFolder, kept: Kept | None, entries: Mapping[str, Iterable[tuple[str, str]]], *, untouched: bool
) -> list[str]:
    """Take out what is left of us and give back the kept bytes where nothing else changed.

    Args:
        folder: the client's folder.
        kept: what `keep` read before the first registration; None where that is not known.
        entries: for a name of `FILES`, our (map, key) pairs in it.
        untouched: only our own runs of the client wrote to its state file since `keep`.

    Returns:
        The paths that were written or removed.
    """
    touched: list[str] = []
    for name in FILES:
        path = folder.path(name)
        found = read_json(path) if path.exists() else None
        if found is None:
            continue
        was = None if kept is None else kept.before(name)
        before: Json = json.loads(was) if was else {}
        left = without(name, found, entries.get(name, ()), before)
        if name == STATE:
            if kept is None or not untouched:
                continue
            left = before
        if kept is not None and was is None and same(left, EMPTY.get(name, {})):
            path.unlink()
        elif kept is not None and was is not None and same(left, before):
            if path.read_bytes() == was:
                continue
            replace(path, was, kept.modes[name])
        elif same(left, found):
            continue
        else:
            text = json.dumps(left, indent=2, ensure_ascii=False) + "\n"
            replace(path, text.encode(), path.stat().st_mode & 0o777)
        touched.append(str(path))
    return touched


def remove_leftovers(folder: ClientFolder, kept: Kept) -> None:
    """Remove the state file's copies and the empty folders that came with our registration."""
    for backup in kept.backups:
        (folder.root / "backups" / backup).unlink(missing_ok=True)
    for name in reversed(kept.folders):
        with contextlib.suppress(OSError):
            (folder.root / name).rmdir()


def same(one: object, other: object) -> bool:
    """Whether two values say the same, whatever the order of their keys."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
