"""`claudetools doctor`: one line a check, and what to type next where something is wrong."""

from __future__ import annotations

import json as encoding
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from domain.errors import ClaudeToolsError
from mcp_server.cli import show
from mcp_server.cli.init import PASSWORD_FILE, RECOVERY_FILE
from mcp_server.config import SETUP_HINT, Settings, load_settings, read_private

if TYPE_CHECKING:
    from mcp_server.bootstrap import App

app = typer.Typer(add_completion=False)

State = Literal["ok", "note", "problem"]
RECOVER = "claudetools keys recover"
PRIVATE_DIRECTORY, PRIVATE_FILE = 0o700, 0o600
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, how it is, and the next command to type."""

    name: str
    state: State
    text: str
    next: str = ""


@app.command()
def doctor(*, json: show.Json = False) -> None:
    """Check everything that ClaudeTools stands on.  Exit code 1 where there is a problem."""
    checks: list[Check] = []
    for check in _checks():
        checks.append(check)
        if not json:
            _print(check)
    problems = sum(check.state == "problem" for check in checks)
    if json:
        found = [{"name": c.name, "state": c.state, "text": c.text, "next": c.next} for c in checks]
        show.as_json({"ok": not problems, "checks": found})
    else:
        print("all well" if not problems else f"{problems} problem{'s' if problems > 1 else ''}")
    if problems:
        raise typer.Exit(1)


def _print(check: Check) -> None:
    print(f"{check.name:<13} {check.state:<8} {show.clean(check.text)}", flush=True)
    if check.next:
        print(f"{'':<22} next: {show.clean(check.next)}", flush=True)


def _checks() -> Iterator[Check]:
    yield _interpreter()
    yield _packages()
    try:
        settings = load_settings()
    except ClaudeToolsError as error:
        yield _problem("data", error)
        return
    yield _tried("data", lambda: _directories(settings))
    app: App | None = None
    try:
        from mcp_server.bootstrap import build

        app = build(settings)
        opens = Check("database", "ok", f"{_place(settings)} opens, and the root key opens the vault")
    except Exception as error:  # noqa: BLE001  # every failure is a line of the answer
        opens = _problem("database", error)
    if app is not None and not settings.root_key_file.exists():
        yield Check("root key", "ok", "no key file on this machine: the vault opens by another slot")
    else:
        yield _tried("root key", lambda: _key(settings.root_key_file, "the root key file"))
    yield _tried("machine key", lambda: _key(settings.machine_key_file, "this machine's audit key"))
    yield opens
    yield from _server(settings)
    if app is not None:
        opened = app
        try:
            yield _tried("agent", lambda: _agent(opened))
            yield _tried("audit log", lambda: _audit(opened))
            with suppress(ClaudeToolsError):
                opened.machines.sweep()
        finally:
            opened.close()
    yield _tried("hooks", lambda: _hooks(settings))
    yield _tried("plugin", lambda: _plugin(settings))
    yield _tried("status line", lambda: _statusline(settings))
    yield _tried("spool", lambda: _spool(settings))
    yield from _left_over()
    yield _tier(settings)


def _place(settings: Settings) -> str:
    from mcp_server.bootstrap.opening import address_of

    return address_of(settings).place


def _server(settings: Settings) -> Iterator[Check]:
    from mcp_server.bootstrap.examining import examine

    try:
        for one in examine(settings):
            yield Check(one.name, one.state, one.text, one.next)
    except Exception as error:  # noqa: BLE001  # every failure is a line of the answer
        yield _problem("server", error)


def _tried(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  # every failure is a line of the answer
        return _problem(name, error)


def _problem(name: str, error: Exception) -> Check:
    if isinstance(error, ClaudeToolsError):
        return Check(name, "problem", error.message, error.hint)
    reason = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
    return Check(name, "problem", f"could not be checked ({type(error).__name__}{reason})")


def _interpreter() -> Check:
    said = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < OLDEST_PYTHON:
        return Check("python", "problem", f"{said} is too old", SETUP_HINT)
    return Check("python", "ok", f"{said} at {sys.executable}")


def _packages() -> Check:
    try:
        named = [
            line.partition(";")[0].strip() for line in metadata.requires("claudetools") or () if "extra ==" not in line
        ]
    except metadata.PackageNotFoundError:
        return Check("packages", "problem", "the package claudetools is not installed here", SETUP_HINT)
    missing = []
    for line in named:
        name = "".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0]
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", "problem", f"missing: {', '.join(sorted(missing))}", SETUP_HINT)
    return Check("packages", "ok", f"claudetools {metadata.version('claudetools')} and the {len(named)} it needs")


def _directories(settings: Settings) -> Check:
    wrong: list[str] = []
    for place in settings.directories():
        if not place.is_dir():
            wrong.append(f"mkdir -m 700 {place}")
        elif stat.S_IMODE(place.stat().st_mode) != PRIVATE_DIRECTORY:
            wrong.append(f"chmod 700 {place}")
        elif place.stat().st_uid != os.getuid():
            wrong.append(f"chown -R {os.getuid()} {place}")
    files = [settings.settings_file, settings.database_file, settings.hooks_settings_file, settings.login_file]
    files += [settings.root_key_file, settings.machine_key_file, settings.agent_secret_file]
    files += [settings.database_password_file, settings.hooks_password_file]
    wrong += [f"chmod 600 {file}" for file in files if file.is_file() and _mode(file) & ~PRIVATE_FILE]
    if wrong:
        return Check("data", "problem", f"{settings.home} is not as private as it must be", " && ".join(wrong))
    return Check("data", "ok", f"{settings.home}, for its owner alone")


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def _key(file: Path, what: str) -> Check:
    read_private(file, what, RECOVER)
    return Check("root key" if "root" in what else "machine key", "ok", str(file))


def _agent(app: App) -> Check:
    settings = app.settings
    if not settings.agent_id:
        return Check("agent", "problem", "no agent is enrolled on this machine", "claudetools agent enroll claude-code")
    file = settings.agent_secret_file
    secret = read_private(file, "the agent's secret", f"claudetools agent enroll {settings.agent_name}")
    token = app.identity.prove(secret.decode("utf-8", "replace").strip())
    actor = app.identity.actor(token)
    return Check("agent", "ok", f"{actor.name}, for {actor.owner_name} on {actor.machine_name}, proved itself")


def _audit(app: App) -> Check:
    verdict = app.audit.verify()
    if verdict.ok:
        return Check(
            "audit log", "ok", f"{verdict.entries} entries in {verdict.chains} chains are as they were written"
        )
    first = verdict.findings[0]
    text = f"{len(verdict.findings)} findings, the first: {first.verdict} at {first.where}"
    return Check("audit log", "problem", text, "claudetools audit verify")


def _hooks(settings: Settings) -> Check:
    from mcp_server.bootstrap.hooks_settings import hooks_database

    file = settings.hooks_settings_file
    raw = read_private(file, "the hooks' settings file", SETUP_HINT)
    try:
        said = encoding.loads(raw)
    except ValueError:
        said = None
    expected = {"home": str(settings.home), "database": hooks_database(settings), "machine_id": settings.machine_id}
    if not isinstance(said, dict) or any(said.get(name) != value for name, value in expected.items()):
        return Check("hooks", "problem", f"{file} does not belong to this installation", SETUP_HINT)
    return Check("hooks", "ok", f"read {file}")


def _plugin(settings: Settings) -> Check:
    from mcp_server.services import plugin

    found = plugin.status(settings.home)
    install = "claudetools plugin install"
    if not found.written:
        return Check("plugin", "problem", f"{found.folder} is missing or not as this version writes it", install)
    if found.registration == "enabled":
        return Check("plugin", "ok", f"{found.folder}, enabled in Claude Code")
    if found.registration in ("partial", "elsewhere"):
        return Check(
            "plugin", "problem", f"Claude Code knows it only in part, or another one ({found.registration})", install
        )
    if found.registration == "disabled":
        return Check("plugin", "note", "switched off in Claude Code", f"claude plugin enable {plugin.PLUGIN_ID}")
    if not found.client:
        return Check(
            "plugin",
            "note",
            f"{found.folder} is written; `claude` is not on PATH",
            " && ".join(plugin.commands(settings.home)),
        )
    return Check("plugin", "note", f"{found.folder} is written; Claude Code does not know it yet", install)


def _statusline(settings: Settings) -> Check:
    from mcp_server.services import statusline

    found = statusline.state(settings.home)
    turn_on = "claudetools statusline on"
    if found == "on":
        return Check("status line", "ok", "on")
    if found == "elsewhere":
        return Check("status line", "note", "Claude Code shows that of another installation", turn_on)
    if found == "another":
        return Check("status line", "ok", "Claude Code shows one of your own (claudetools statusline show)")
    return Check("status line", "ok", f"off ({turn_on})")


def _spool(settings: Settings) -> Check:
    from hooks import spool

    waiting = sum(1 for _ in spool.pending(str(settings.home)))
    aside = len(list(settings.spool_dir.glob(f"*{spool.ASIDE}")))
    if waiting:
        return Check("spool", "note", f"{waiting} sessions wait to be captured", "claudetools sync")
    if aside:
        return Check("spool", "note", f"{aside} notes could not be captured and were set aside in {settings.spool_dir}")
    return Check("spool", "ok", "no session waits to be captured")


def _left_over() -> Iterator[Check]:
    for name, what in ((RECOVERY_FILE, "recovery key"), (PASSWORD_FILE, "password")):
        file = Path.home() / name
        if file.exists():
            text = f"{file} is still on this machine: keep it somewhere else"
            yield Check(what, "note", text, f"shred -u {file}")


def _tier(settings: Settings) -> Check:
    text = {
        "embedded": "the key lies on this machine: whoever runs programs as this user can read it; approvals are a workflow",
        "direct": "every laptop holds the key: there are no walls between clients against a technician's own laptop",
        "server": "keys and database stay with the server",
    }[settings.tier]
    return Check("tier", "note", f"{settings.tier}: {text}")
