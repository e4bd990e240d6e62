"""The borders that import-linter cannot say: what a cold hook may load, and how long a file may be."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOOKS_MAY = {"domain.recall", "domain.tokens", "storage.direct"}
# Parts of a server's address, and how one is dialled; the errors only where a person wrote an address.
LEANS_ON = {
    "storage/direct.py": {"domain.recall", "storage.address", "storage.dial"},
    "storage/address.py": {"domain.errors"},
}
LONGEST = 600
MAY_BE_LONG = {"storage/schema.py"}  # a page one wants whole


def imported(file: Path) -> set[str]:
    """Every module that a file imports, at any depth of its code; types-only imports left out."""
    names: set[str] = set()
    tree = ast.parse(file.read_text())
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            parent = (ROOT / node.module.replace(".", "/")).is_dir()
            names |= {f"{node.module}.{alias.name}" if parent else node.module for alias in node.names}
    return names


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] in {"domain", "storage", "hooks", "mcp_server"}}


def strangers(names: set[str]) -> set[str]:
    tops = {name.partition(".")[0] for name in names - ours(names)}
    return tops - set(sys.stdlib_module_names)


@pytest.mark.parametrize("file", sorted((ROOT / "hooks").glob("*.py")), ids=lambda file: file.name)
def test_a_hook_imports_the_standard_library_the_ranking_and_the_reader_alone(file: Path) -> None:
    names = imported(file)
    assert strangers(names) <= {"pymysql"}
    assert {name for name in ours(names) if not name.startswith("hooks.")} <= HOOKS_MAY


@pytest.mark.parametrize(
    "name",
    [
        "domain/recall.py",
        "domain/tokens.py",
        "storage/direct.py",
        "storage/address.py",
        "storage/dial.py",
        "domain/errors.py",
    ],
)
def test_what_a_hook_imports_leans_on_the_standard_library_and_the_driver_alone(name: str) -> None:
    names = imported(ROOT / name)
    assert strangers(names) <= ({"pymysql"} if name == "storage/dial.py" else set())
    assert ours(names) <= LEANS_ON.get(name, set())


@pytest.mark.parametrize("room", ["domain", "storage", "hooks", "mcp_server"])
def test_no_file_is_longer_than_one_can_hold_in_mind(room: str) -> None:
    for file in (ROOT / room).rglob("*.py"):
        path = str(file.relative_to(ROOT))
        if path not in MAY_BE_LONG:
            assert len(file.read_text().splitlines()) <= LONGEST, path
