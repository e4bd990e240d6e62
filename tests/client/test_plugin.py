"""The installed plugin as the real client sees it: listed, valid, connected, and gone without a trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcp_server.server import INSTRUCTIONS
from tests.kit.laptop import Laptop, tool
from tests.kit.model import calls, says

SETTINGS = """{
    "model": "opus",   "env": {"EDITOR": "vi"},
\t"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "true"}]}]},
  "permissions": { "allow": [ "Bash(ls:*)" ] }
}
"""
ALWAYS = {tool("credential_search"), tool("context_recall")}
DEFERRED = {
    tool(name)
    for name in (
        "status", "credential_get", "credential_reveal", "credential_use", "credential_run", "recipe_list", "credential_create", "credential_update", "credential_delete",
        "credential_rotate", "audit_search", "incident_open", "incident_search", "incident_update", "context_get",
        "context_save", "context_forget", "client_use", "registry_find", "registry_save",
        "credential_report",
    )
}  # fmt: skip

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def user_files(home: Path) -> dict[str, bytes]:
    """What stands in the client's own files, by path."""
    found = [home / ".claude.json", *(home / ".claude").rglob("*")]
    return {str(path.relative_to(home)): path.read_bytes() for path in found if path.is_file()}


@ON_SQLITE
def test_the_client_lists_the_plugin_as_enabled(laptop: Laptop):
    listed = json.loads(laptop.command("claude", "plugin", "list", "--json").stdout)

    plugin = next(it for it in listed if it["id"] == "claudetools@claudetools")
    assert plugin["enabled"] is True
    assert not plugin.get("errors")


@ON_SQLITE
def test_the_client_finds_the_plugin_valid(laptop: Laptop):
    ended = laptop.command("claude", "plugin", "validate", str(laptop.data / "plugin"), status=None)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Validation passed" in ended.stdout


def test_a_session_has_the_server_the_tools_and_the_guide(laptop: Laptop):
    run = laptop.run("hello", calls("Bash", command="true", description="Nothing"), says("hi"))

    assert run.server == "connected"
    start = run.event("system", "init")
    named = {name for name in start["tools"] if name.startswith(tool(""))}
    assert named == ALWAYS | DEFERRED
    assert "claudetools:guide" in start["slash_commands"] + start.get("skills", [])
    assert {name for name in run.first.tools if name.startswith(tool(""))} == ALWAYS
    assert INSTRUCTIONS.strip()[:200] in run.last.text
    assert len(INSTRUCTIONS) < 2000


@pytest.mark.parametrize("before", [None, SETTINGS], ids=["a new person", "a person with settings"])
def test_taking_the_plugin_out_leaves_the_clients_files_byte_for_byte(bare_laptop: Laptop, before: str | None):
    laptop = bare_laptop
    if before is not None:
        laptop.run("hello", says("a person who has used the client before"))
        laptop.settings.write_text(before)
    files = user_files(laptop.home)

    laptop.set_up()
    assert user_files(laptop.home) != files
    laptop.claudetools("plugin", "uninstall", "--home", str(laptop.data))

    assert user_files(laptop.home) == files


def test_a_persons_settings_survive_work_between_setting_up_and_taking_out(bare_laptop: Laptop):
    laptop = bare_laptop
    laptop.settings.parent.mkdir()
    laptop.settings.write_text(SETTINGS)

    laptop.set_up()
    assert json.loads(laptop.settings.read_text()).items() >= json.loads(SETTINGS).items()
    laptop.run("hello", says("hi"))
    laptop.settle()
    laptop.claudetools("plugin", "uninstall", "--home", str(laptop.data))

    assert laptop.settings.read_text() == SETTINGS
    assert laptop.data.is_dir()
    assert not (laptop.data / "plugin").exists()
    listed = laptop.command("claude", "plugin", "list", "--json").stdout
    assert "claudetools" not in listed


def test_setting_up_again_changes_nothing(bare_laptop: Laptop):
    laptop = bare_laptop
    laptop.set_up()
    files = user_files(laptop.home)

    again = laptop.claudetools("plugin", "install", "--home", str(laptop.data))

    assert "changed: no" in again.stdout
    assert user_files(laptop.home) == files
