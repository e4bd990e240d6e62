"""A vault in which things have happened, and the ways to use and to damage its rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyotp
from sqlalchemy import Boolean, Column, Integer, LargeBinary

from domain.drafts import Generate
from domain.plain import Plain
from mcp_server.bootstrap import build
from mcp_server.config import load_settings
from mcp_server.services.machines import Reach
from tests.kit.stores import Raw
from tests.strongroom.vault import Template, Vault

FIRST = "acme/gitea-admin/admin"
OTHER = "acme/wiki/admin"


def tell(template: Template) -> None:
    """Fills an installation with credentials, an agent that was revoked, refusals and several chains."""
    vault = Vault(template, template.home)
    app, agent, person = vault.app, vault.agent, vault.person
    values = {"password": Plain("first value, quite long"), "notes": Plain("a note, quite long")}
    vault.add(client="ACME", name="Gitea Admin", username="admin", values=values, tags=("a",), open={})
    vault.add(client="ACME", name="Wiki", username="admin", values={"password": Plain("another value, quite long")})
    app.credentials.reveal(agent, FIRST, purpose="log in")
    app.credentials.update(person, FIRST, {"external_url": "https://git.example.org", "ports": [443]})
    app.credentials.rotate(agent, FIRST, generate=Generate())
    app.credentials.rotate(agent, OTHER, generate=Generate())
    app.identity.enroll(person, "helper")
    app.identity.revoke(person, "helper")
    app.machines.invite(
        person, "laptop", Reach("mariadb+pymysql://app@db.example.org/vault", "", Plain("x"), "", Plain(""))
    )
    program = shutil.which("git", path="/usr/bin:/bin:/usr/local/bin")
    argv = ["hash-object", "--stdin"]
    app.recipes.add(person, {"name": "hash", "program": program, "argv": argv, "feeds": [{"into": "stdin"}]})
    app.recipes.approve(person, "hash")
    app.keys._begin(person, "data", "")
    seed = app.factors.begin(person)
    app.factors.add(person, seed, pyotp.TOTP(seed.expose()).at(app.work.clock() // 1_000_000 - 30))
    app.rules.set(person, OTHER, {"step_up": True}, zone="UTC")
    app.approvals.step_up(person, OTHER, pyotp.TOTP(seed.expose()).at(app.work.clock() // 1_000_000), minutes=720)
    vault.close()
    again = build(load_settings(template.home))  # a second process, with a chain of its own
    again.credentials.search(agent, "gitea")
    again.credentials.reveal(person, OTHER, purpose="look at it")
    again.close()


def uses(vault: Vault) -> dict[str, Callable[[], object]]:
    """For each guarded table, an act that leans on its rows."""
    app = vault.app
    return {
        "vault": lambda: app.credentials.reveal(vault.person, FIRST, purpose="log in"),
        "machines": lambda: app.credentials.reveal(vault.person, FIRST, purpose="log in"),
        "persons": lambda: app.credentials.reveal(vault.person, FIRST, purpose="log in"),
        "agents": lambda: app.credentials.reveal(vault.agent, FIRST, purpose="log in"),
        "client_keys": lambda: app.credentials.reveal(vault.agent, FIRST, purpose="log in"),
        "invitations": lambda: app.machines.invitations(vault.person),
        "recipes": lambda: app.use.by_recipe(vault.agent, "hash", FIRST, {}, "compare"),
        "credentials": lambda: app.credentials.reveal(vault.agent, FIRST, purpose="log in"),
        "key_runs": lambda: app.keys.unfinished(vault.person),
        "approvals": lambda: app.credentials.reveal(vault.person, OTHER, purpose="look at it"),
        "second_factors": lambda: app.factors.has(vault.person),
    }


def damages(column: Column[Any], value: object) -> Iterator[tuple[str, object]]:
    """Other values for a cell: a plausible one, nothing, and values of other types."""
    if isinstance(column.type, Boolean):
        yield "turned round", 1 - int(bool(value))
    elif isinstance(column.type, Integer) or (isinstance(value, int) and not isinstance(value, bool)):
        yield "one more", int(str(value or 0)) + 1
        yield "half", int(str(value or 0)) + 0.5
        yield "text", "x"
    elif isinstance(column.type, LargeBinary):
        raw = bytes(value or b"\0")  # type: ignore[arg-type]
        yield "one bit", bytes([raw[0] ^ 1]) + raw[1:]
        yield "empty", b""
        yield "text", "x"
        yield "number", 5
    else:
        yield "a letter more", f"{value}x"
        yield "empty" if value else "filled", "" if value else "x"
        yield "bytes", b"\xff\xfe"
        yield "text that is no UTF-8", Raw(b"\xff\xfe")
    if column.nullable:
        yield "nothing" if value is not None else "something", None if value is not None else 7


@contextmanager
def damaged(vault: Vault, table: str, key: dict[str, object], column: str, value: object) -> Iterator[bool]:
    """Changes one cell by SQL, and puts it back.  Gives whether the database took it for a change."""
    with vault.store.damaged(table, key, column, value) as changed:
        yield changed
