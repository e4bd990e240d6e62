"""A client that does to the settings files what the real one does, for tests that need it absent, refusing or present.

The real client is driven by tests/client; this stand-in writes the same entries (seen with 2.1.330), so that every
state of the files can be reached in milliseconds.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mcp_server.services.claude_settings import ClientFolder, client_folder

CLIENT = r"""#!{python} -I
import json, os, pathlib, sys
root = pathlib.Path(os.environ.get("CLAUDE_CONFIG_DIR") or os.path.expanduser("~/.claude"))
state = root / ".claude.json" if os.environ.get("CLAUDE_CONFIG_DIR") else pathlib.Path(os.path.expanduser("~/.claude.json"))
def read(path, empty):
    return json.loads(path.read_text() or "{{}}") if path.exists() else empty
def write(path, value, end=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + end)
settings, markets, installed = root / "settings.json", root / "plugins/known_marketplaces.json", root / "plugins/installed_plugins.json"
if os.environ.get("CLIENT_REFUSES") in sys.argv:
    sys.exit("refused, as the test asked")
was = read(state, {{}})
if "machineID" not in was:
    if state.exists():
        (root / "backups").mkdir(parents=True, exist_ok=True)
        (root / "backups/.claude.json.backup.1").write_text(state.read_text())
    write(state, {{**was, "machineID": "made by the client", "userID": "made by the client"}})
s, m, i = read(settings, {{}}), read(markets, {{}}), read(installed, {{"version": 2, "plugins": {{}}}})
match sys.argv[1:]:
    case ["plugin", "marketplace", "add", path]:
        source = {{"source": "directory", "path": path}}
        m["claudetools"] = {{"source": source, "installLocation": path}}
        s.setdefault("extraKnownMarketplaces", {{}})["claudetools"] = {{"source": source}}
        (root / "plugins/marketplaces").mkdir(parents=True, exist_ok=True)
    case ["plugin", "install", name]:
        s.setdefault("enabledPlugins", {{}})[name] = True
        i["plugins"][name] = [{{"scope": "user"}}]
        (root / "plugins/cache/claudetools/claudetools").mkdir(parents=True, exist_ok=True)
    case ["plugin", "uninstall", name]:
        s.setdefault("enabledPlugins", {{}}).pop(name, None)
        i["plugins"].pop(name, None)
    case ["plugin", "marketplace", "remove", name]:
        s.setdefault("extraKnownMarketplaces", {{}}).pop(name, None)
        m.pop(name, None)
    case _:
        sys.exit("unknown command")
write(settings, s, "\n")
write(markets, m)
write(installed, i)
"""


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home folder, empty, with nothing but the system's programs on PATH."""
    home = tmp_path / "user"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return home


@pytest.fixture
def client(user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClientFolder:
    """The stand-in client on PATH, and its folder."""
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text(CLIENT.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return client_folder()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty data directory."""
    place = tmp_path / "data"
    place.mkdir(mode=0o700)
    return place
