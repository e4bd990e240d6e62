"""What setup writes for the client: resolved, and unable to stop a prompt."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from mcp_server.services import plugin


def command_lines(home: Path) -> dict[str, list[dict[str, Any]]]:
    """Event name to the hooks that run at it."""
    events = json.loads((home / "plugin/hooks/hooks.json").read_text())["hooks"]
    return {event: [hook for group in groups for hook in group["hooks"]] for event, groups in events.items()}


def test_every_command_line_names_our_interpreter_isolated_and_a_module(home: Path) -> None:
    plugin.write(home)
    for event, hooks in command_lines(home).items():
        for hook in hooks:
            if hook["type"] == "mcp_tool":
                continue
            assert hook["command"] == str(plugin.interpreter())
            assert hook["args"] == ["-I", "-m", "hooks", event, str(home / "hooks.json")]
            assert hook.get("onFailure", "continue") == "continue"
    server = json.loads((home / "plugin/.mcp.json").read_text())["mcpServers"]["claudetools"]
    assert [server["command"], *server["args"]] == [
        str(plugin.interpreter()), "-I", "-m", "mcp_server", "mcp", "--home", str(home)
    ]  # fmt: skip


def test_no_template_word_is_left_and_odd_paths_stay_json(tmp_path: Path) -> None:
    odd = tmp_path / 'a "quoted" \\ folder, ünïcode'
    odd.mkdir()
    plugin.write(odd)
    for file in (odd / "plugin").rglob("*"):
        if file.is_file():
            assert b"{{" not in file.read_bytes()
    assert command_lines(odd)["Stop"][0]["args"][-1] == str(odd / "hooks.json")


def test_the_prompt_hook_calls_the_tool_of_our_own_server_within_two_seconds(home: Path) -> None:
    plugin.write(home)
    (hook,) = command_lines(home)["UserPromptSubmit"]
    assert hook["type"] == "mcp_tool"
    assert hook["server"] == "plugin:claudetools:claudetools"
    assert hook["timeout"] == 2
    assert set(hook["input"]) == {"prompt", "session_id", "cwd", "transcript_path"}


def test_the_files_are_their_owners_alone(home: Path) -> None:
    plugin.write(home)
    for path in [home / "plugin", *(home / "plugin").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_changed_file_is_written_again(home: Path) -> None:
    plugin.write(home)
    hooks = home / "plugin/hooks/hooks.json"
    good = hooks.read_bytes()
    hooks.write_text("{}")
    assert not plugin.status(home).written
    assert plugin.write(home).changed
    assert hooks.read_bytes() == good


def test_no_hook_command_line_of_a_half_removed_install_ends_with_the_blocking_status(home: Path) -> None:
    """Exit status 2 blocks a prompt. A Python whose modules or settings are gone must end with any other."""
    plugin.write(home)
    lines = [hook for hooks in command_lines(home).values() for hook in hooks if hook["type"] == "command"]
    assert len(lines) == 5
    for hook in lines:
        for arguments in (hook["args"], [word if word != "hooks" else "no_such_module" for word in hook["args"]]):
            for interpreter in (sys.executable, sys._base_executable):  # type: ignore[attr-defined]
                ended = subprocess.run(
                    [interpreter, *arguments], input=b"{}", capture_output=True, check=False, timeout=30, cwd=home
                )
                assert ended.returncode != 2, ended.stderr


def test_taking_out_needs_nothing_but_the_standard_library(home: Path) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import mcp_server.services.plugin; print(*sys.modules)"
    root = str(Path(plugin.__file__).parents[2])
    ended = subprocess.run([sys.executable, "-I", "-S", "-c", code, root], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ended.stdout.split()}
    assert loaded <= {*sys.stdlib_module_names, "__main__", "domain", "mcp_server"}
