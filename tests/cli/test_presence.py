"""A value is for a person: under Claude Code the commands that show or use one refuse."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcp_server.cli import presence


@pytest.mark.parametrize("name", ["CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SESSION_ID"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("credential", "reveal", "own/gitea/x", "--purpose", "x"),
        ("credential", "show", "own/gitea/x", "--values", "--purpose", "x"),
        ("credential", "update", "own/gitea/x", "--exposure", "reveal"),
        ("agent", "enroll", "another"),
    ],
)
def test_what_shows_or_uses_a_value_refuses_in_its_environment(
    person, password_file: Path, monkeypatch: pytest.MonkeyPatch, name: str, arguments: tuple[str, ...]
) -> None:
    person("credential", "add", "Gitea", "--generate", "--username", "x")
    monkeypatch.setenv(name, "1")
    said = person(*arguments, "--password-file", str(password_file))
    assert said.code == 4
    assert said.out == ""
    assert "another terminal" in said.err
    decrypts = person("audit", "search", "--action", "credential.decrypt", "--json").json["items"]
    assert decrypts == []


def test_what_cannot_be_taken_back_refuses_in_its_environment(person, monkeypatch: pytest.MonkeyPatch) -> None:
    person("credential", "add", "Gitea", "--generate", "--username", "x")
    monkeypatch.setenv("CLAUDECODE", "1")
    assert person("credential", "rm", "own/gitea/x", "--yes").code == 4
    assert person("context", "forget", "cx_any", "--yes", "--purpose", "x").code == 4
    assert person("credential", "list", "--json").json["total"] == 1


def test_open_fields_are_shown_under_claude_code(person, monkeypatch: pytest.MonkeyPatch) -> None:
    person("credential", "add", "Gitea", "--generate", "--username", "x")
    monkeypatch.setenv("CLAUDECODE", "1")
    monkeypatch.setenv("CLAUDE_CODE_SESSION_ID", "session-7")
    assert person("credential", "show", "own/gitea/x").code == 0
    (entry, *_) = person("audit", "search", "--action", "credential.view", "--json").json["items"]
    assert entry["session"] == "session-7"
    assert "session" in entry["asserted"]


def test_a_parent_process_named_claude_is_noticed_though_the_environment_is_clean(
    command, tmp_path: Path, password_file: Path
) -> None:
    claude = tmp_path / "claude"
    claude.write_text('#!/bin/sh\n"$@"\nexit $?\n')
    claude.chmod(0o755)
    said = command(
        *("credential", "reveal", "own/gitea/x", "--purpose", "x", "--password-file", str(password_file)),
        under=(str(claude), "sh", "-c", '"$@"; exit $?', "sh"),
    )
    assert said.code == 4
    assert "not for Claude Code" in said.err


def test_the_parents_are_read_from_the_process_table(tmp_path: Path) -> None:
    parent = tmp_path / str(os.getppid())
    above = tmp_path / "4242"
    for place in (parent, above):
        place.mkdir()
    (parent / "comm").write_text("bash\n")
    (parent / "cmdline").write_bytes(b"bash\0-l\0")
    (parent / "stat").write_text(f"{os.getppid()} (odd) name) S 4242 1 1 0\n")
    (above / "stat").write_text("4242 (node) S 1 1 1 0\n")
    (above / "comm").write_text("node\n")
    (above / "cmdline").write_bytes(b"node\0/usr/lib/node_modules/npm/bin/npm\0")
    assert not presence.under_claude({}, tmp_path)
    (above / "cmdline").write_bytes(b"node\0/usr/lib/node_modules/@anthropic-ai/claude-code/cli.js\0")
    assert presence.under_claude({}, tmp_path)
    (above / "cmdline").write_bytes(b"/opt/claude\0--continue\0")
    assert presence.under_claude({}, tmp_path)
    (above / "cmdline").write_bytes(b"renamed\0")
    assert not presence.under_claude({}, tmp_path)
    (above / "exe").symlink_to("/home/ann/.local/share/claude/versions/2.1.330")
    assert presence.under_claude({}, tmp_path)


def test_settings_that_people_export_are_no_sign_of_claude_code(tmp_path: Path) -> None:
    assert not presence.under_claude({"CLAUDE_CODE_USE_BEDROCK": "1", "CLAUDETOOLS_HOME": "/x"}, tmp_path)
