"""The status line in the client's settings: a person's own is never touched, and ours leaves no trace."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from domain.errors import Conflict
from mcp_server.services import plugin, statusline
from mcp_server.services.claude_settings import ClientFolder
from mcp_server.services.taking_out import take_out
from tests.plugin.test_registration import ODD, set_up, snapshot

OWN = b'{"statusLine": {"type":"command",  "command": "~/bin/line.sh"}, "model":"opus"}'


@pytest.fixture
def settings(client: ClientFolder) -> Path:
    """The client's user settings."""
    client.root.mkdir()
    return client.root / "settings.json"


@pytest.mark.parametrize("before", [ODD, b"{}", b"", b'{"a":1}\n\n', b'{ "model" : "\xc3\xa9" }'])
def test_settings_are_given_back_byte_for_byte(settings: Path, user: Path, home: Path, before: bytes) -> None:
    settings.write_bytes(before)
    settings.chmod(0o640)
    was = snapshot(user)
    assert statusline.turn_on(home).changed
    assert json.loads(settings.read_bytes())["statusLine"]["command"] == statusline.command(home)
    assert settings.stat().st_mode & 0o777 == 0o640
    assert statusline.state(home) == "on"
    assert statusline.turn_off(home).changed
    assert snapshot(user) == was
    assert not list((home / "claude-settings").iterdir())


def test_a_client_that_had_no_settings_has_none_afterwards(client: ClientFolder, user: Path, home: Path) -> None:
    was = snapshot(user)
    statusline.turn_on(home)
    statusline.turn_off(home)
    assert snapshot(user) == was


def test_a_persons_own_line_stays_and_they_are_told_what_to_call(settings: Path, home: Path) -> None:
    settings.write_bytes(OWN)
    with pytest.raises(Conflict) as refused:
        statusline.turn_on(home)
    assert statusline.command(home) in refused.value.hint
    assert statusline.state(home) == "another"
    assert not statusline.turn_off(home).changed
    assert settings.read_bytes() == OWN


def test_a_line_that_a_person_set_after_ours_stays(settings: Path, home: Path) -> None:
    settings.write_bytes(b'{"model":"opus"}')
    statusline.turn_on(home)
    settings.write_bytes(OWN)
    assert not statusline.turn_off(home).changed
    assert settings.read_bytes() == OWN


def test_what_the_person_changed_meanwhile_stays(settings: Path, home: Path) -> None:
    settings.write_bytes(b'{"model":"opus"}')
    statusline.turn_on(home)
    settings.write_text(json.dumps({**json.loads(settings.read_bytes()), "model": "haiku", "env": {}}))
    statusline.turn_off(home)
    assert json.loads(settings.read_bytes()) == {"model": "haiku", "env": {}}


def test_settings_that_are_no_object_are_not_written(settings: Path, home: Path) -> None:
    settings.write_bytes(b"[1, 2")
    with pytest.raises(Conflict):
        statusline.turn_on(home)
    assert settings.read_bytes() == b"[1, 2"


def test_a_second_time_changes_nothing_and_check_changes_nothing(settings: Path, user: Path, home: Path) -> None:
    settings.write_bytes(ODD)
    was = snapshot(user), snapshot(home)
    assert statusline.turn_on(home, check=True).changed
    assert (snapshot(user), snapshot(home)) == was
    statusline.turn_on(home)
    was = snapshot(user), snapshot(home)
    assert not statusline.turn_on(home).changed
    assert statusline.turn_off(home, check=True).changed
    assert (snapshot(user), snapshot(home)) == was


def test_that_of_an_installation_that_moved_is_replaced_and_leaves_no_trace_either(
    settings: Path, home: Path, tmp_path: Path
) -> None:
    settings.write_bytes(b'{"model":"opus"}')
    statusline.turn_on(tmp_path / "old home")
    assert statusline.state(home) == "elsewhere"
    statusline.turn_on(home)
    assert statusline.state(home) == "on"
    statusline.turn_off(home)
    assert json.loads(settings.read_bytes()) == {"model": "opus"}


@pytest.mark.parametrize("first", ["plugin", "status line"])
@pytest.mark.parametrize("before", [ODD, None])
def test_taking_everything_out_gives_the_settings_back(
    client: ClientFolder, user: Path, home: Path, first: str, before: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if before is not None:
        client.root.mkdir()
        (client.root / "settings.json").write_bytes(before)
    was = snapshot(user)
    steps = [lambda: set_up(home), lambda: statusline.turn_on(home)]
    for step in steps if first == "plugin" else reversed(steps):
        step()
    assert take_out(str(home)) == 0
    now = snapshot(user)
    if first == "plugin":
        assert now == was
    else:  # what the plugin found was ours, so the words stay and not their layout
        found = now.get(".claude/settings.json")
        assert json.loads(found[1] if found else b"{}") == json.loads(before or b"{}") | (
            {"enabledPlugins": {}} if before is ODD else {}
        )
    assert "status line" in capsys.readouterr().out
    assert plugin.status(home).registration == "absent"


def test_the_command_runs_in_a_shell_whatever_the_folders_are_called(tmp_path: Path, client: ClientFolder) -> None:
    home = tmp_path / "a home; touch it's $HOME"
    home.mkdir()
    (home / "hooks.json").write_text(json.dumps({"home": str(home)}))
    (home / "seen").mkdir()
    figures = {"records": 2, "raw_tokens": 3000, "tokens": 1000}
    (home / "seen" / "s-1.json").write_text(json.dumps({"session_id": "s-1", "figures": figures}))
    line = statusline.command(home)
    assert shlex.split(line)[-1] == str(home / "hooks.json")
    ran = subprocess.run(
        ["/bin/sh", "-c", line], input=b'{"session_id": "s-1"}', capture_output=True, check=True, cwd=tmp_path
    )
    assert (ran.stdout.decode(), ran.stderr) == ("memory: 2 records · 2.0k tokens saved\n", b"")
