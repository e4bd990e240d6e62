"""Where we run: a folder that wants our hooks to run its code, and an installation that is broken or half gone."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.laptop import CHECKOUT, Laptop, tool
from tests.kit.model import calls, says
from tests.kit.stores import SQLiteStore, store_of

NAMES = (
    "hooks", "storage", "domain", "mcp_server", "json", "sqlite3", "hashlib", "sitecustomize", "usercustomize", "typing",
    "mcp", "anyio", "cryptography", "sqlalchemy",
)  # fmt: skip


def plant(folder: Path, mark: Path) -> None:
    """Fills a folder with modules named as ours and as those that ours import; each leaves a mark when it is run."""
    code = f"open({str(mark)!r}, 'a').write(__name__ + '\\n')\n"
    for name in NAMES:
        if name in {"hooks", "storage", "domain", "mcp_server", "mcp"}:
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(code)
            (folder / name / "__main__.py").write_text(code)
        else:
            (folder / f"{name}.py").write_text(code)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (folder / ".env").write_text(f"CLAUDETOOLS_HOME={elsewhere}\nPYTHONPATH={folder}\n")
    (folder / "pyproject.toml").write_text("[project]\nname = 'claudetools'\n")
    (folder / ".claude").mkdir()
    env = {"PYTHONPATH": str(folder), "PYTHONSTARTUP": str(folder / "json.py"), "CLAUDETOOLS_HOME": str(elsewhere)}
    (folder / ".claude" / "settings.json").write_text(json.dumps({"env": env}))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_in_a_hostile_folder_our_hooks_and_our_server_run_our_code(laptop: Laptop):
    folder, mark = laptop.place("hostile"), laptop.home / "mark"
    plant(folder, mark)
    spoken = "Please remember that the hostile folder was visited on a Tuesday"

    run = laptop.run(spoken, calls(tool("status")), says("It was a Tuesday."), cwd=folder)
    laptop.settle()
    again = laptop.run("hello", says("hi"), cwd=folder)

    assert run.server == "connected"
    assert not run.last.results[-1].get("is_error")
    assert "hostile folder was visited on a Tuesday" in again.first.notes
    assert not mark.exists(), f"code of the folder was run: {mark.read_text()}"
    assert list((folder / "elsewhere").iterdir()) == []


def interpreter_gone(laptop: Laptop) -> None:
    replace_interpreter(laptop, str(laptop.root / "gone" / "bin" / "python"))


def packages_gone(laptop: Laptop) -> None:
    replace_interpreter(laptop, "/usr/bin/python3")


def half_removed(laptop: Laptop) -> None:
    """An environment that has lost half of what it held: our hooks and server, but nothing that they lean on."""
    place = laptop.root / "half"
    packages = place / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (place / "bin").mkdir(parents=True)
    (place / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    (place / "bin" / "python").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    for package in ("hooks", "mcp_server"):
        shutil.copytree(CHECKOUT / package, packages / package)
    replace_interpreter(laptop, str(place / "bin" / "python"))


def replace_interpreter(laptop: Laptop, program: str) -> None:
    server, hooks = laptop.data / "plugin" / ".mcp.json", laptop.data / "plugin" / "hooks" / "hooks.json"
    ours = json.dumps(json.loads(server.read_text())["mcpServers"]["claudetools"]["command"])
    for file in (server, hooks):
        file.write_text(file.read_text().replace(ours, json.dumps(program)))


def settings_gone(laptop: Laptop) -> None:
    (laptop.data / "settings.json").unlink()
    (laptop.data / "hooks.json").unlink()


def settings_torn(laptop: Laptop) -> None:
    for name in ("settings.json", "hooks.json"):
        (laptop.data / name).write_text('{"home": ')


def plugin_gone(laptop: Laptop) -> None:
    shutil.rmtree(laptop.data / "plugin")


def data_gone(laptop: Laptop) -> None:
    shutil.rmtree(laptop.data)


def keys_gone(laptop: Laptop) -> None:
    shutil.rmtree(laptop.data / "keys")
    shutil.rmtree(laptop.data / "agents")


def database_gone(laptop: Laptop) -> None:
    store_of(laptop.data).remove()


def database_torn(laptop: Laptop) -> None:
    (laptop.data / "claudetools.db").write_bytes(b"SQLite format 3\x00" + b"torn" * 4096)


def tables_gone(laptop: Laptop) -> None:
    store = store_of(laptop.data)
    if isinstance(store, SQLiteStore):
        store.remove()
        sqlite3.connect(store.file).close()
    else:
        store.spoil()


def account_shut_out(laptop: Laptop) -> None:
    for file in (laptop.data / "keys").glob("*.password"):
        file.write_text("another password\n")


def spool_is_no_folder(laptop: Laptop) -> None:
    for name in ("spool", "shelf", "seen", "log"):
        shutil.rmtree(laptop.data / name, ignore_errors=True)
        (laptop.data / name).write_text("in the way")


BREAKAGES = [
    interpreter_gone, packages_gone, half_removed, settings_gone, settings_torn, plugin_gone, data_gone, keys_gone, database_gone,
    database_torn, tables_gone, spool_is_no_folder,
]  # fmt: skip


@pytest.mark.parametrize(
    ("database", "breakage"),
    [
        *(("sqlite", it) for it in BREAKAGES),
        *(("mariadb", it) for it in (database_gone, tables_gone, account_shut_out)),
    ],
    indirect=["database"],
)
def test_a_broken_installation_never_holds_up_a_prompt(laptop: Laptop, breakage: Callable[[Laptop], None]):
    breakage(laptop)

    with laptop.stream(says("first answer"), says("second answer"), says("third answer")) as session:
        answers = [session.say("a first prompt, long enough to be looked up"), session.say("a second prompt, as long")]
        session.say("/compact")
        answers.append(session.say("a third prompt, after the compaction"))

    assert [answer["result"] for answer in answers] == ["first answer", "second answer", "third answer"]
    assert session.process.returncode == 0
