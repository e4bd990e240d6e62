"""The client's settings: merged when we come, byte for byte as before when we go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domain.errors import Conflict, Unavailable
from mcp_server.services import plugin
from mcp_server.services.claude_settings import ClientFolder

ODD = b'{"model":"opus",  "permissions": {"allow":["Bash(ls:*)"]},\n\t"env":{"A":"\\u00e9"}, "enabledPlugins":{ }}'


def snapshot(top: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder below `top` with its mode and bytes."""
    return {
        str(path.relative_to(top)): (path.stat().st_mode, b"" if path.is_dir() else path.read_bytes())
        for path in sorted(top.rglob("*"))
    }


def set_up(home: Path) -> plugin.Report:
    plugin.write(home)
    return plugin.register(home)


def test_a_bare_client_is_left_as_bare_as_it_was(client: ClientFolder, user: Path, home: Path) -> None:
    before = snapshot(user)
    assert set_up(home).changed
    assert plugin.status(home).registration == "enabled"
    plugin.unregister(home)
    assert snapshot(user) == before


@pytest.mark.parametrize("settings", [ODD, b"{}", b"", b'{"enabledPlugins":{"other@shop":true}}\n\n', b'{"a":1}'])
def test_settings_are_given_back_byte_for_byte(client: ClientFolder, user: Path, home: Path, settings: bytes) -> None:
    file = client.root / "settings.json"
    file.parent.mkdir()
    file.write_bytes(settings)
    file.chmod(0o640)
    client.state_file.write_bytes(b'{"hasCompletedOnboarding" : true}')
    before = snapshot(user)
    set_up(home)
    assert file.read_bytes() != settings
    plugin.unregister(home)
    assert snapshot(user) == before


def test_what_the_user_changed_meanwhile_stays(client: ClientFolder, home: Path) -> None:
    file = client.root / "settings.json"
    file.parent.mkdir()
    file.write_bytes(ODD)
    set_up(home)
    changed = json.loads(file.read_text())
    changed["model"] = "haiku"
    changed["enabledPlugins"]["other@shop"] = True
    file.write_text(json.dumps(changed))
    plugin.unregister(home)
    expected = {**json.loads(ODD), "model": "haiku", "enabledPlugins": {"other@shop": True}}
    assert json.loads(file.read_text()) == expected


def test_a_linked_settings_file_stays_a_link(client: ClientFolder, user: Path, home: Path) -> None:
    target = user / "dotfiles.json"
    target.write_bytes(ODD)
    client.root.mkdir()
    (client.root / "settings.json").symlink_to(target)
    set_up(home)
    plugin.unregister(home)
    assert (client.root / "settings.json").is_symlink()
    assert target.read_bytes() == ODD


def test_a_second_run_changes_nothing(client: ClientFolder, user: Path, home: Path) -> None:
    set_up(home)
    before = snapshot(user), snapshot(home)
    assert not plugin.write(home).changed
    assert not plugin.register(home).changed
    assert (snapshot(user), snapshot(home)) == before


def test_check_tells_and_changes_nothing(client: ClientFolder, user: Path, home: Path) -> None:
    assert plugin.write(home, check=True).changed
    assert plugin.register(home, check=True).changed
    assert snapshot(user) == {}
    assert snapshot(home) == {}
    set_up(home)
    before = snapshot(user), snapshot(home)
    assert plugin.unregister(home, check=True).changed
    assert plugin.remove(home, check=True).changed
    assert (snapshot(user), snapshot(home)) == before


def test_a_plugin_that_the_user_switched_off_stays_off(client: ClientFolder, home: Path) -> None:
    set_up(home)
    file = client.root / "settings.json"
    settings = json.loads(file.read_text())
    settings["enabledPlugins"][plugin.PLUGIN_ID] = False
    file.write_text(json.dumps(settings))
    assert not plugin.register(home).changed
    assert plugin.status(home).registration == "disabled"


def test_settings_that_are_no_json_are_not_touched(client: ClientFolder, user: Path, home: Path) -> None:
    client.root.mkdir()
    (client.root / "settings.json").write_text('{"model":"opus", // a comment\n}')
    plugin.write(home)
    before = snapshot(user)
    with pytest.raises(Conflict, match="not a JSON object"):
        plugin.register(home)
    assert snapshot(user) == before


def test_a_registration_that_broke_off_is_finished_and_still_given_back(
    client: ClientFolder, user: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.root.mkdir()
    (client.root / "settings.json").write_bytes(ODD)
    before = snapshot(user)
    plugin.write(home)
    with monkeypatch.context() as refusing:
        refusing.setenv("CLIENT_REFUSES", "install")
        with pytest.raises(Unavailable) as refusal:
            plugin.register(home)
    assert refusal.value.hint == "claude plugin install claudetools@claudetools"
    assert plugin.status(home).registration == "partial"
    plugin.register(home)
    assert plugin.status(home).registration == "enabled"
    plugin.unregister(home)
    assert snapshot(user) == before


def test_a_state_file_that_the_client_used_meanwhile_stays_as_it_is(
    client: ClientFolder, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.root.mkdir()
    client.state_file.write_bytes(b'{"numStartups": 1}')
    plugin.write(home)
    with monkeypatch.context() as refusing:
        refusing.setenv("CLIENT_REFUSES", "install")
        with pytest.raises(Unavailable):
            plugin.register(home)
    used = {**json.loads(client.state_file.read_text()), "numStartups": 2}
    client.state_file.write_text(json.dumps(used))
    plugin.register(home)
    plugin.unregister(home)
    assert json.loads(client.state_file.read_text()) == used


@pytest.mark.parametrize("how", ["gone", "refuses"])
def test_taking_out_works_without_the_clients_help(
    client: ClientFolder, user: Path, home: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    client.root.mkdir()
    (client.root / "settings.json").write_bytes(ODD)
    before = snapshot(user)
    set_up(home)
    if how == "gone":
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
    else:
        monkeypatch.setenv("CLIENT_REFUSES", "plugin")
    plugin.unregister(home)
    assert snapshot(user) == before


def test_without_the_kept_copy_only_our_entries_go(client: ClientFolder, home: Path) -> None:
    client.root.mkdir()
    (client.root / "settings.json").write_bytes(b'{"model":"opus"}')
    set_up(home)
    for record in (home / "claude-settings").iterdir():
        record.unlink()
    plugin.unregister(home)
    assert json.loads((client.root / "settings.json").read_text()) == {"model": "opus"}


def test_another_marketplace_of_our_name_is_refused(client: ClientFolder, home: Path) -> None:
    (client.root / "plugins").mkdir(parents=True)
    stranger = {"claudetools": {"source": {"source": "github", "repo": "someone/else"}}}
    (client.root / "plugins/known_marketplaces.json").write_text(json.dumps(stranger))
    plugin.write(home)
    with pytest.raises(Conflict) as refusal:
        plugin.register(home)
    assert refusal.value.hint == "claude plugin marketplace remove claudetools"
    assert not plugin.unregister(home).changed


def test_a_data_directory_that_moved_is_registered_at_its_new_place(
    client: ClientFolder, home: Path, tmp_path: Path
) -> None:
    set_up(home)
    moved = tmp_path / "moved"
    home.rename(moved)
    assert plugin.status(moved).registration == "elsewhere"
    set_up(moved)
    assert plugin.status(moved).registration == "enabled"
    plugin.unregister(moved)
    assert plugin.status(moved).registration == "absent"


def test_without_the_client_the_two_commands_are_told(user: Path, home: Path) -> None:
    plugin.write(home)
    report = plugin.register(home)
    assert not report.changed
    told = "\n".join(report.lines)
    assert f"claude plugin marketplace add {home}/plugin" in told
    assert "claude plugin install claudetools@claudetools" in told
    assert f"{home}/plugin/.mcp.json" in told
