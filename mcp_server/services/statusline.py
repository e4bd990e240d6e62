"""The status line in the client's user settings: put there where a person asks for it, and taken out byte for byte.

The client shows one status line, so one that a person has set is never replaced: what would have to be called from it is
told instead.  What the settings file was before, and a hash of what we made of it, lie in the data directory.

Standard library only: `setup.sh --uninstall` runs this with any Python when the environment is gone.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from domain.errors import Conflict
from mcp_server.config import Settings, make_private_directory, write_private
from mcp_server.services import claude_settings
from mcp_server.services.claude_settings import SETTINGS, ClientFolder, Json
from mcp_server.services.plugin import Report, interpreter

KEY = "statusLine"
_OURS = ("-I", "-m", "hooks", "StatusLine")
_PRIVATE = 0o600

State = Literal["on", "off", "another", "elsewhere"]
"""`another`: a person's own; `elsewhere`: ours, of another data directory or environment."""


@dataclass(frozen=True, slots=True)
class _Before:
    """What the settings file was, and the hash of what we made of it."""

    content: bytes | None
    mode: int
    made: str
    made_folder: bool


def command(home: Path) -> str:
    """The command line that the client runs, for a shell."""
    return shlex.join([str(interpreter()), *_OURS, str(Settings(home).hooks_settings_file)])


def state(home: Path, folder: ClientFolder | None = None) -> State:
    """What stands in the client's user settings; `off` too where they cannot be read."""
    found = claude_settings.read_json((folder or claude_settings.client_folder()).path(SETTINGS)) or {}
    if KEY not in found:
        return "off"
    entry = found[KEY]
    said = entry.get("command") if isinstance(entry, dict) else None
    if said == command(home):
        return "on"
    return "elsewhere" if isinstance(said, str) and _is_ours(said) else "another"


def turn_on(home: Path, *, check: bool = False, folder: ClientFolder | None = None) -> Report:
    """Puts our status line into the client's user settings.

    Raises:
        Conflict: the settings are not a JSON object, or hold a status line of the person's own.
    """
    folder = folder or claude_settings.client_folder()
    path = folder.path(SETTINGS)
    found = claude_settings.read_json(path)
    if found is None:
        raise Conflict(
            f"{path} is not a JSON object, so nothing was changed",
            hint="mend that file (Claude Code cannot read it either), then: claudetools statusline on",
        )
    now = state(home, folder)
    if now == "on":
        return Report(changed=False, lines=("status line: on (unchanged)",))
    if now == "another":
        raise Conflict(
            "Claude Code shows a status line of your own, and it shows one alone",
            hint=f'in its script, with the input kept in $input: printf %s "$input" | {command(home)}',
        )
    if check:
        return Report(changed=True, lines=(f"status line: would be put into {path}",))
    before = _read(path)
    text = json.dumps({**found, KEY: _entry(home)}, indent=2, ensure_ascii=False) + "\n"
    mode = path.stat().st_mode & 0o777 if before is not None else _PRIVATE
    made_folder = not path.parent.is_dir()
    path.parent.mkdir(parents=True, exist_ok=True)
    # First what it was: a process that ends in between has changed nothing.
    if now == "off":
        _save(home, folder, _Before(before, mode, _hash(text.encode()), made_folder))
    claude_settings.replace(path, text.encode(), mode)
    return Report(changed=True, lines=("status line: on; the next session of Claude Code shows it",))


def turn_off(home: Path, *, check: bool = False, folder: ClientFolder | None = None) -> Report:
    """Takes our status line out of the client's user settings; a person's own stays.

    A file that nobody has written since becomes the bytes that it was; of another only the entry goes.
    """
    folder = folder or claude_settings.client_folder()
    path = folder.path(SETTINGS)
    if state(home, folder) not in ("on", "elsewhere"):
        if not check:
            _record(home, folder).unlink(missing_ok=True)
        return Report(changed=False, lines=("status line: nothing of ours to take out",))
    if check:
        return Report(changed=True, lines=(f"status line: would be taken out of {path}",))
    before = _load(home, folder)
    content = path.read_bytes()
    found: Json = json.loads(content)
    left = {name: value for name, value in found.items() if name != KEY}
    was = before.content if before is not None else None
    if before is not None and was is None and not left:
        path.unlink()
        if before.made_folder:
            with contextlib.suppress(OSError):
                path.parent.rmdir()
    elif before is not None and was is not None and (_hash(content) == before.made or _says(was, left)):
        claude_settings.replace(path, was, before.mode)
    else:
        text = json.dumps(left, indent=2, ensure_ascii=False) + "\n"
        claude_settings.replace(path, text.encode(), path.stat().st_mode & 0o777)
    _record(home, folder).unlink(missing_ok=True)
    return Report(changed=True, lines=("status line: taken out",))


def _entry(home: Path) -> Json:
    return {"type": "command", "command": command(home), "padding": 0}


def _is_ours(said: str) -> bool:
    try:
        words = shlex.split(said)
    except ValueError:
        return False
    return len(words) == len(_OURS) + 2 and tuple(words[1:-1]) == _OURS


def _says(content: bytes, value: Json) -> bool:
    return claude_settings.same(json.loads(content or b"{}"), value)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _record(home: Path, folder: ClientFolder) -> Path:
    return home / "claude-settings" / f"{folder.key()}.statusline.json"


def _save(home: Path, folder: ClientFolder, before: _Before) -> None:
    file = _record(home, folder)
    make_private_directory(file.parent)
    content = None if before.content is None else base64.b64encode(before.content).decode()
    said = {"content": content, "mode": before.mode, "made": before.made, "made_folder": before.made_folder}
    write_private(file, json.dumps(said, indent=1))


def _load(home: Path, folder: ClientFolder) -> _Before | None:
    said = claude_settings.read_json(_record(home, folder))
    if not said:
        return None
    content = said.get("content")
    return _Before(
        base64.b64decode(content) if isinstance(content, str) else None,
        int(str(said.get("mode", _PRIVATE))),
        str(said.get("made", "")),
        bool(said.get("made_folder")),
    )
