"""What is not documented fails here: commands, tools, actions, errors, settings, dependencies and hooks."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from domain import errors
from mcp_server import answers
from mcp_server.config import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@cache
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_reference", DOCS / "write_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def page(name: str) -> str:
    return (DOCS / name).read_text()


def kinds(base: type[errors.ClaudeToolsError]) -> set[type[errors.ClaudeToolsError]]:
    return {kind for direct in base.__subclasses__() for kind in (direct, *kinds(direct))}


@pytest.mark.parametrize("name", ["actions.md", "commands.md"])
def test_the_reference_is_as_the_program_tells_it(name: str) -> None:
    assert (DOCS / "reference" / name).read_text() == writer().page(name), "run `make docs` and commit"


def test_every_command_and_every_option_says_what_it_does() -> None:
    for path, command in writer().every_command():
        assert (command.help or "").strip(), path
        for parameter in command.params:
            assert parameter.name == "help" or (getattr(parameter, "help", None) or "").strip(), (path, parameter.name)


def test_every_error_class_has_its_row() -> None:
    for kind in kinds(errors.ClaudeToolsError):
        if kind.__module__ != errors.__name__:
            continue
        row = answers.TABLE[kind]
        line = f"| `{kind.__name__}` | `{row.code}` | {row.status} | {row.exit} | {row.retry} |"
        assert line in page("errors.md")
        assert row.code == kind.code
    assert f"`{answers.INTERNAL.code}` (HTTP {answers.INTERNAL.status}, exit {answers.INTERNAL.exit})" in page(
        "errors.md"
    )


def test_every_action_says_what_it_means() -> None:
    from domain.actors import ACTIONS

    for action, meaning in ACTIONS.items():
        assert re.fullmatch(r"[a-z]+\.[a-z]+", action)
        assert meaning


def test_every_action_that_the_program_writes_is_in_the_list() -> None:
    from domain.actors import ACTIONS

    nouns = {action.partition(".")[0] for action in ACTIONS}
    pattern = re.compile(rf'"((?:{"|".join(sorted(nouns))})\.[a-z]+)"')
    for file in (ROOT / "mcp_server/services").rglob("*.py"):
        for action in pattern.findall(file.read_text()):
            assert action in ACTIONS, f"{action} in {file.relative_to(ROOT)}"


def test_every_setting_is_documented() -> None:
    for field in dataclasses.fields(Settings):
        assert f"`{field.name}`" in page("settings.md"), field.name


def test_every_setting_of_the_hooks_is_documented() -> None:
    from hooks.event import Settings as HooksSettings

    for name in HooksSettings.__slots__:
        assert f"`{name}`" in page("settings.md").partition("## hooks.json")[2], name


def test_every_environment_variable_is_documented() -> None:
    sources = [file for room in ("domain", "storage", "hooks", "mcp_server") for file in (ROOT / room).rglob("*.py")]
    used = {name for file in sources for name in re.findall(r"\bCLAUDETOOLS_[A-Z_]+", file.read_text())}
    assert used
    for name in used:
        assert f"`{name}`" in page("settings.md"), name


def test_every_dependency_has_its_reason_and_nothing_else_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    asked = [*project["project"]["dependencies"], *(line for group in groups.values() for line in group)]
    names = {re.split(r"[<>=\[;]", line)[0].strip().lower() for line in asked}
    told = set(re.findall(r"^\| `([^`]+)` \| \S", page("dependencies.md"), re.MULTILINE))
    assert told == names


def test_every_dependency_is_pinned_with_hashes() -> None:
    for file in ROOT.glob("requirements*.txt"):
        text = file.read_text()
        assert "://" not in text
        for block in re.split(r"\n(?=\S)", text):
            if not block.startswith("#"):
                assert re.match(r"[a-z0-9-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", block, re.DOTALL), block[:60]


def test_every_hook_of_the_plugin_is_documented() -> None:
    events = json.loads((ROOT / "hooks/plugin/hooks.json").read_text())["hooks"]
    told = set(re.findall(r"^\| `([A-Z]\w+)` \|", page("hooks.md"), re.MULTILINE))
    assert told == set(events)


def test_the_skill_names_only_tools_that_exist_and_all_that_a_model_sees() -> None:
    from mcp_server.callers import Door
    from mcp_server.server import ToolServer

    offered = ToolServer(Door(Path("/nonexistent"))).offered
    seen = {name for name, tool in offered.items() if "ui" not in (tool.meta or {})}
    told = set(re.findall(r"`([a-z]+(?:_[a-z]+)?)`", (ROOT / "hooks/plugin/SKILL.md").read_text()))
    assert told - {"purpose", "code", "hint"} == seen


def test_links_between_the_pages_lead_somewhere() -> None:
    for file in [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", file.read_text()):
            if "://" not in target:
                assert (file.parent / target).exists(), f"{target} in {file.relative_to(ROOT)}"


def test_the_options_of_setup_are_in_its_help_and_in_its_cases() -> None:
    text = (ROOT / "setup.sh").read_text()
    told = set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))
    read = set(re.findall(r"^            (--[a-z-]+)(?: \| -h)?\)", text, re.MULTILINE))
    assert told
    assert told == read
