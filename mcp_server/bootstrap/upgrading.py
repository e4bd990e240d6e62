"""Brings a database that an older program made to this program's revision, after a copy or a backup of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import ClaudeToolsError, Conflict, Denied
from domain.plain import Plain
from mcp_server.bootstrap import accounts, assemble, backup
from mcp_server.bootstrap.database import copy_before, revision_of
from mcp_server.bootstrap.hooks_settings import write_hooks_settings
from mcp_server.bootstrap.installation import person_actor
from mcp_server.bootstrap.opening import address_of, check_version, open_keyring
from mcp_server.bootstrap.reaching import reach
from mcp_server.bootstrap.wanted import Report, Step
from mcp_server.config import Settings
from storage.address import Address
from storage.context import Context
from storage.engine import open_engine
from storage.keys import read_compatibility
from storage.migrations import head_revision, known, upgrade
from storage.rows import PATIENCE_S
from storage.schema import SCHEMA_VERSION
from storage.transaction import begin

if TYPE_CHECKING:
    from sqlalchemy import Engine

OWNER = "claudetools upgrade --owner ACCOUNT"
_INDEXED = 200
_CHANGES_TABLES = ("ALTER", "CREATE")


def upgrade_database(
    settings: Settings,
    report: Report,
    *,
    owner: str = "",
    given: Plain | None = None,
    ask: Callable[[str], Plain] | None = None,
    backup_to: Path | None = None,
) -> bool:
    """Upgrades the database of this installation.  False where there was nothing to do.

    `owner` is the account that may change tables on a server, `given` its password; `backup_to` where a backup is written
    first (an embedded file is copied beside itself).  Raises Conflict where a newer program made the database or it is on
    its way elsewhere, Denied where the account may not change tables.
    """
    address = address_of(settings)
    if owner and address.is_mariadb:
        address = reach(address.changed(user=owner, password_file=""), given, ask)
    engine = open_engine(address)
    try:
        before = revision_of(engine)
        _must_be_ours(settings, address, before)
        if before == head_revision():
            report(Step(f"database {address.place} at revision {before}", changed=False))
            return False
        if not address.is_mariadb:
            report(Step(f"copy {copy_before(settings, engine)}", changed=True))
        else:
            _may_change_tables(address)
            if backup_to is not None:
                _back_up(settings, backup_to)
                report(Step(f"backup {backup_to}", changed=True))
        upgrade(engine)
        indexed = _index(engine)
    finally:
        engine.dispose()
    report(Step(f"database {address.place} from revision {before} to {head_revision()}", changed=True))
    if indexed:
        report(Step(f"index of {indexed} context records", changed=True))
    if owner and settings.hooks_account:
        named = accounts.Accounts(address_of(settings).user, settings.hooks_account)
        try:
            accounts.give_rights(address, named)
            report(Step(f"rights of {named.application} and {named.hooks}", changed=True))
        except accounts.Refused:
            note = "`claudetools database accounts` prints what the server's administrator runs"
            report(Step(f"rights of {named.application} could not be given", changed=False, note=note))
    write_hooks_settings(settings)
    return True


def _index(engine: Engine) -> int:
    """Indexes the memory's records; cut off, the next drain goes on with it.  Returns how many."""
    done = 0
    while True:
        with begin(engine, write=True, wait_s=PATIENCE_S) as transaction:
            indexed = Context(transaction.connection).index_missing(_INDEXED)
            transaction.commit()
        done += indexed
        if not indexed:
            return done


def _must_be_ours(settings: Settings, address: Address, before: str) -> None:
    if not before:
        raise Conflict(f"nothing was set up in {address.place} yet", hint="./setup.sh")
    if not known(before):
        raise Conflict(f"the database was made by a newer program: {address.place}", hint="git pull && ./setup.sh")
    engine = open_engine(address_of(settings))
    try:
        with begin(engine, write=False) as transaction:
            min_reader, min_writer, _ = read_compatibility(transaction.connection)
            if max(min_reader, min_writer) > SCHEMA_VERSION:
                check_version(transaction.connection)  # says why
    finally:
        engine.dispose()


def _may_change_tables(address: Address) -> None:
    wide = accounts.too_wide(accounts.read_grants(address), address.name)
    if "ALL PRIVILEGES on the audit tables" in wide or set(_CHANGES_TABLES) <= set(wide):
        return
    raise Denied(f"the account {address.user} may not change tables", hint=OWNER)


def _back_up(settings: Settings, file: Path) -> None:
    engine = open_engine(address_of(settings))
    try:
        app = assemble(settings, engine, open_keyring(settings, engine))
        backup.create_file(app, person_actor(app, settings.person_name), file, lambda _table, _done, _all: None)
    except ClaudeToolsError as error:
        raise Conflict(
            f"no backup could be made first: {error.message}",
            hint="with the program that made this database: claudetools backup create; then claudetools upgrade --no-backup",
        ) from None
    finally:
        engine.dispose()
