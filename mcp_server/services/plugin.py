"""The installed plugin: written with resolved paths, made known to Claude Code, and taken out again.

Claude Code reads the plugin from `<data directory>/plugin`, registered as a local marketplace.  The command lines in it
name the interpreter of our environment and `-m`, never a script: a missing interpreter or module is no block of a prompt
for the client, while Python answers a missing script with exit status 2, which is one.

Standard library only: `setup.sh --uninstall` runs this with any Python when the environment is gone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from domain.errors import Conflict, Unavailable
from mcp_server import __version__
from mcp_server.config import Settings, make_private_directory, write_private
from mcp_server.services import claude_settings
from mcp_server.services.claude_settings import INSTALLED, MARKETPLACES, SETTINGS, ClientFolder, Json, Kept

PLUGIN = "claudetools"
MARKETPLACE = "claudetools"
PLUGIN_ID = f"{PLUGIN}@{MARKETPLACE}"

TEMPLATES = {
    "plugin.json": ".claude-plugin/plugin.json",
    "marketplace.json": ".claude-plugin/marketplace.json",
    "hooks.json": "hooks/hooks.json",
    "mcp.json": ".mcp.json",
    "SKILL.md": "skills/guide/SKILL.md",
    "README.md": "README.md",
    "icon.png": ".claude-plugin/icon.png",
}
ENTRIES = {
    SETTINGS: (("enabledPlugins", PLUGIN_ID), ("extraKnownMarketplaces", MARKETPLACE), ("pluginConfigs", PLUGIN_ID)),
    MARKETPLACES: (("", MARKETPLACE),),
    INSTALLED: (("plugins", PLUGIN_ID),),
}
CLIENT_SECONDS = 120.0

State = Literal["absent", "partial", "elsewhere", "disabled", "enabled"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a step found or did: whether anything changed, and one line for each thing a person may want to know."""

    changed: bool
    lines: tuple[str, ...]

    def shown(self) -> str:
        """The lines in two columns, as every step of setup prints itself."""
        pairs = [line.partition(": ") for line in self.lines]
        return "\n".join(
            f"{what:<13} {rest}" if colon and not what.startswith(" ") else f"{'':<13} {line.strip()}"
            for line, (what, colon, rest) in zip(self.lines, pairs, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Status:
    """The plugin as it stands: whether its files are as this version writes them, and what the client knows of it."""

    written: bool
    registration: State
    folder: Path
    client: str


def plugin_folder(home: Path) -> Path:
    """Where the installed plugin lies in a data directory."""
    return Settings(home).plugin_dir


def interpreter() -> Path:
    """The Python of the environment that runs this, by the path that belongs to the environment."""
    return Path(sys.prefix) / "bin" / "python" if sys.prefix != sys.base_prefix else Path(sys.executable)


def rendered(home: Path) -> dict[str, bytes]:
    """The files of the installed plugin, path to content, for the data directory `home`."""
    words = {
        "interpreter": str(interpreter()),
        "home": str(home),
        "hooks_settings": str(Settings(home).hooks_settings_file),
        "version": __version__,
    }
    templates = resources.files("hooks") / "plugin"
    files: dict[str, bytes] = {}
    for name, target in TEMPLATES.items():
        content = (templates / name).read_bytes()
        if name.endswith(".json"):
            content = (json.dumps(_filled(json.loads(content), words), indent=2, ensure_ascii=False) + "\n").encode()
        files[target] = content
    return files


def _filled(value: object, words: dict[str, str]) -> object:
    """`value` with every {{word}} in its strings replaced, so that no path has to be escaped for JSON."""
    if isinstance(value, str):
        for word, meaning in words.items():
            value = value.replace("{{" + word + "}}", meaning)
        return value
    if isinstance(value, list):
        return [_filled(item, words) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, words) for key, item in value.items()}
    return value


def write(home: Path, *, check: bool = False) -> Report:
    """Write the installed plugin into `home`; files that are as they should be are left alone.

    With `check`, only tell what would be written.
    """
    folder = plugin_folder(home)
    stale = {name: content for name, content in rendered(home).items() if _content(folder / name) != content}
    if not stale:
        return Report(changed=False, lines=(f"plugin: {folder} (unchanged)",))
    if check:
        return Report(changed=True, lines=(f"plugin: would write {folder}",))
    for name, content in stale.items():
        target = folder / name
        for place in reversed([target.parent, *target.parent.parents]):
            if place.is_relative_to(folder):
                make_private_directory(place)
        write_private(target, content)
    return Report(changed=True, lines=(f"plugin: written to {folder}",))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def status(home: Path, folder: ClientFolder | None = None) -> Status:
    """The plugin as it stands, read from files alone: the client is not started."""
    folder = folder or claude_settings.client_folder()
    source = plugin_folder(home)
    written = all(_content(source / name) == content for name, content in rendered(home).items())
    return Status(written, _registration(source, folder), source, shutil.which("claude") or "")


def _registration(source: Path, folder: ClientFolder) -> State:
    found = {name: claude_settings.read_json(folder.path(name)) or {} for name in ENTRIES}
    market = found[MARKETPLACES].get(MARKETPLACE)
    enabled = _table(found[SETTINGS], "enabledPlugins").get(PLUGIN_ID)
    installed = _table(found[INSTALLED], "plugins").get(PLUGIN_ID)
    declared = _table(found[SETTINGS], "extraKnownMarketplaces").get(MARKETPLACE)
    if market is None and enabled is None and installed is None and declared is None:
        return "absent"
    for entry in (market, declared):
        if isinstance(entry, dict) and _table(entry, "source").get("path") != str(source):
            return "elsewhere"
    if market is None or installed is None or declared is None or enabled is None:
        return "partial"
    return "enabled" if enabled else "disabled"


def _table(value: Json, key: str) -> Json:
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def commands(home: Path) -> tuple[str, str]:
    """The two commands that make the plugin known to Claude Code, for a person to type."""
    return f"claude plugin marketplace add {plugin_folder(home)}", f"claude plugin install {PLUGIN_ID}"


def register(home: Path, *, check: bool = False, folder: ClientFolder | None = None) -> Report:
    """Make the written plugin known to Claude Code, where `claude` is on PATH; else tell how.

    The files of the client that this touches are kept first.  A plugin that the user switched off stays off.

    Raises:
        Conflict: a file of the client is not JSON, or another marketplace has our name.
        Unavailable: the client refused or did not answer.
    """
    folder = folder or claude_settings.client_folder()
    now = status(home, folder)
    if now.registration == "enabled":
        return Report(changed=False, lines=("claude code: plugin enabled (unchanged)",))
    if now.registration == "disabled":
        return Report(
            changed=False,
            lines=(f"claude code: plugin registered, switched off by you (claude plugin enable {PLUGIN_ID})",),
        )
    if not now.client:
        return Report(changed=False, lines=("claude code: `claude` is not on PATH; when it is, type", *_told(home)))
    if check:
        return Report(changed=True, lines=("claude code: would register the plugin",))
    claude_settings.require_readable(folder)
    if now.registration == "elsewhere":
        _leave_old_place(folder, now.client)
    record = _record(home, folder)
    kept = claude_settings.load(record)
    if now.registration == "absent" or (kept is None and _registration(now.folder, folder) == "absent"):
        kept = claude_settings.keep(folder)
        claude_settings.save(kept, record)
    ours = kept is not None and kept.state in {"", claude_settings.state_hash(folder)}
    try:
        _run(folder, kept, now.client, ("marketplace", "add", str(now.folder)))
        _run(folder, kept, now.client, ("install", PLUGIN_ID))
    finally:
        if kept is not None:
            # Once the client itself ran in between, its state file is its own and is not given back.
            kept.state = claude_settings.state_hash(folder) if ours else "the client's own"
            claude_settings.save(kept, record)
    return Report(changed=True, lines=("claude code: plugin registered and enabled",))


def untouched(home: Path) -> Report:
    """What to tell a person who wants Claude Code left alone."""
    return Report(changed=False, lines=("claude code: left alone; to register the plugin, type", *_told(home)))


def _told(home: Path) -> tuple[str, ...]:
    other = plugin_folder(home) / ".mcp.json"
    return (*(f"  {command}" for command in commands(home)), f"other clients: the server's entry is in {other}")


def _leave_old_place(folder: ClientFolder, client: str) -> None:
    """Take out a registration of ours that names another data directory.

    Raises:
        Conflict: it is not ours.
    """
    market = _table(claude_settings.read_json(folder.path(MARKETPLACES)) or {}, MARKETPLACE)
    place = Path(str(_table(market, "source").get("path", "")))
    manifest = claude_settings.read_json(place / TEMPLATES["plugin.json"]) or {}
    gone = _table(market, "source").get("source") == "directory" and not place.is_dir()
    if not gone and manifest.get("name") != PLUGIN:
        raise Conflict(
            f"Claude Code already has another marketplace called {MARKETPLACE}",
            hint=f"claude plugin marketplace remove {MARKETPLACE}",
        )
    _run(folder, None, client, ("marketplace", "remove", MARKETPLACE))


def unregister(home: Path, *, check: bool = False, folder: ClientFolder | None = None) -> Report:
    """Take the plugin out of Claude Code and give the client's files back as they were.

    Works without the client too: then our entries are taken out of its files here.
    """
    folder = folder or claude_settings.client_folder()
    record = _record(home, folder)
    kept = claude_settings.load(record)
    state = _registration(plugin_folder(home), folder)
    if state == "elsewhere" or (state == "absent" and kept is None):
        return Report(changed=False, lines=("claude code: nothing of ours to take out",))
    if check:
        return Report(changed=True, lines=("claude code: would take the plugin out",))
    untouched = kept is not None and kept.state == claude_settings.state_hash(folder)
    client = shutil.which("claude")
    if client is not None and state != "absent":
        for arguments in (("uninstall", PLUGIN_ID), ("marketplace", "remove", MARKETPLACE)):
            try:
                _run(folder, kept, client, arguments)
            except Unavailable:  # what the client left is taken out below
                continue
    for place in (f"cache/{MARKETPLACE}", f"marketplaces/{MARKETPLACE}", f"data/{PLUGIN}-{MARKETPLACE}"):
        shutil.rmtree(folder.root / "plugins" / place, ignore_errors=True)
    touched = claude_settings.give_back(folder, kept, ENTRIES, untouched=untouched)
    if kept is not None:
        claude_settings.remove_leftovers(folder, kept)
        record.unlink()
    return Report(changed=True, lines=("claude code: plugin taken out", *(f"  gave back {path}" for path in touched)))


def remove(home: Path, *, check: bool = False) -> Report:
    """Remove the installed plugin's folder; the data stays."""
    folder = plugin_folder(home)
    if not folder.is_dir():
        return Report(changed=False, lines=())
    if check:
        return Report(changed=True, lines=(f"plugin: would remove {folder}",))
    shutil.rmtree(folder)
    return Report(changed=True, lines=(f"plugin: removed {folder}",))


def _record(home: Path, folder: ClientFolder) -> Path:
    return home / "claude-settings" / f"{folder.key()}.json"


def _run(folder: ClientFolder, kept: Kept | None, client: str, arguments: tuple[str, ...]) -> None:
    """Run `claude plugin ARGUMENTS` and note in `kept` the copies that it made of its state file.

    Raises:
        Unavailable: it failed or took too long.
    """
    copies = claude_settings.backups(folder)
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1"}
    command = (client, "plugin", *arguments)
    try:
        ended = subprocess.run(
            command, env={**os.environ, **quiet}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=CLIENT_SECONDS, check=False,
        )  # fmt: skip
        failed = ended.returncode != 0
        said = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-1:] if failed else []
    except (OSError, subprocess.TimeoutExpired) as error:
        failed, said = True, [type(error).__name__]
    if kept is not None:
        kept.backups = sorted({*kept.backups, *(claude_settings.backups(folder) - copies)})
    if failed:
        raise Unavailable(
            f"Claude Code did not carry out `claude plugin {arguments[0]}`: {' '.join(said)[:300]}",
            hint=" ".join(("claude", "plugin", *arguments)),
        )
