"""What there is to say about a database server and our accounts on it: what `doctor` tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from domain.errors import ClaudeToolsError
from mcp_server.bootstrap import accounts
from mcp_server.bootstrap.opening import address_of, hooks_address_of
from mcp_server.bootstrap.reaching import connect
from mcp_server.config import Settings
from storage.address import Address, needs_tls

if TYPE_CHECKING:
    from storage.dial import Line

CLOCK_S = 60
TRIGGERS = frozenset(f"{table}_no_{moment}" for table in accounts.APPEND_ONLY for moment in ("update", "delete"))
SQL = "claudetools database accounts"
OLDEST = (10, 6)


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was looked at, how it is, and what to type next."""

    name: str
    state: Literal["ok", "note", "problem"]
    text: str
    next: str = ""


def examine(settings: Settings) -> Iterator[Remark]:
    """Everything about the server of this installation; nothing for an embedded vault."""
    if settings.is_embedded:
        return
    address = address_of(settings)
    with closing(connect(address)) as line:
        yield _server(line)
        yield _encryption(address)
        yield _clock(line)
        wide = accounts.too_wide(_ask(line, "SHOW GRANTS"), address.name)
        yield _application(address, wide)
        if wide:  # an account of few rights sees no triggers, and needs none
            yield _triggers(line, address)
    yield _hooks(settings, address)


def _ask(line: Line, statement: str, *given: object) -> list[str]:
    with closing(line.cursor()) as cursor:
        cursor.execute(statement, given or None)
        return [str(row[0]) for row in cursor.fetchall()]


def _server(line: Line) -> Remark:
    said = _ask(line, "SELECT VERSION()")[0]
    numbers = tuple(int(part) for part in said.split("-")[0].split(".")[:2] if part.isdigit())
    if "mariadb" not in said.lower():
        return Remark("server", "note", f"{said}: not a MariaDB; what was tried stands in docs/machines.md")
    if numbers < OLDEST:
        return Remark("server", "note", f"{said} is older than what was tried ({'.'.join(map(str, OLDEST))})")
    return Remark("server", "ok", said)


def _encryption(address: Address) -> Remark:
    if address.fingerprint:
        return Remark("encryption", "ok", f"TLS, and exactly the certificate {address.fingerprint[:16]}...")
    if address.tls:
        return Remark(
            "encryption", "ok", f"TLS, the server's name proved by {address.ca or 'an authority of this machine'}"
        )
    if needs_tls(address.host, address.unix_socket):
        return Remark(
            "encryption", "note", f"none to {address.host}: only right where the way there is encrypted already"
        )
    return Remark("encryption", "ok", "none needed: the server is on this machine")


def _clock(line: Line) -> Remark:
    theirs = float(_ask(line, "SELECT UNIX_TIMESTAMP(NOW(6))")[0])
    behind = theirs - time.time()
    if abs(behind) < CLOCK_S:
        return Remark("clock", "ok", f"{abs(behind):.1f} s from the server's")
    text = f"{abs(behind):.0f} s {'behind' if behind > 0 else 'ahead of'} the server's; times are taken from the server"
    return Remark("clock", "note", text, "set this machine's clock")


def _application(address: Address, wide: list[str]) -> Remark:
    if not wide:
        return Remark("account", "ok", f"{address.user} cannot change the audit log or the tables")
    return Remark("account", "note", f"{address.user} may do more than it needs: {', '.join(wide)}", SQL)


def _triggers(line: Line, address: Address) -> Remark:
    query = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = %s"
    missing = sorted(TRIGGERS - set(_ask(line, query, address.name)))
    if missing:
        return Remark(
            "triggers",
            "problem",
            f"missing: {', '.join(missing)}",
            "claudetools audit verify; then tell the administrator",
        )
    return Remark("triggers", "ok", "refuse to change or delete audit entries")


def _hooks(settings: Settings, address: Address) -> Remark:
    hooks = hooks_address_of(settings)
    if not settings.hooks_account:
        return Remark("hooks account", "note", f"none of their own: hooks read as {address.user}", SQL)
    try:
        with closing(connect(hooks)) as line:
            for table in accounts.HOOKS_READ:
                _ask(line, f"SELECT count(*) FROM {table} WHERE 1 = 0")  # noqa: S608  # our own names
            _ask(line, f"SELECT {accounts.HOOKS_MACHINES} FROM machines WHERE 1 = 0")  # noqa: S608
            wide = accounts.hooks_too_wide(_ask(line, "SHOW GRANTS"), address.name)
    except ClaudeToolsError as error:
        return Remark("hooks account", "problem", error.message, error.hint)
    except Exception as error:  # noqa: BLE001  # the driver's: a right is missing
        return Remark(
            "hooks account", "problem", f"{hooks.user} cannot read what hooks tell ({type(error).__name__})", SQL
        )
    if wide:
        return Remark("hooks account", "note", f"{hooks.user} may do more than it needs: {', '.join(wide)}", SQL)
    return Remark("hooks account", "ok", f"{hooks.user} reads the memory and nothing else")
