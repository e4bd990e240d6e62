"""The database of an installation: reached, brought to this program's revision, and left with an account of few rights."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import Conflict, Invalid
from domain.plain import Plain
from mcp_server.bootstrap import accounts
from mcp_server.bootstrap.opening import address_of, refuse_on_its_way
from mcp_server.bootstrap.reaching import knock, reach
from mcp_server.bootstrap.wanted import Report, Step, Wanted
from mcp_server.config import Settings, save_settings, write_private
from storage.address import Address, parse_address
from storage.engine import open_engine
from storage.keys import read_vault_id
from storage.migrations import current_revision, head_revision, known, upgrade
from storage.transaction import begin

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from mcp_server.bootstrap.joining import Opened


def choose(settings: Settings, wanted: Wanted) -> Settings:
    """The settings with the database that was asked for.

    Raises Conflict where this installation has its vault in another one already.
    """
    if not wanted.database:
        return settings
    asked, now = parse_address(wanted.database, base=str(settings.home)), address_of(settings)
    if settings.vault_id and (asked.kind, asked.place) == (now.kind, now.place):
        if asked.is_mariadb and (asked.tls, asked.ca, asked.fingerprint) != (now.tls, now.ca, now.fingerprint):
            raise Conflict(
                "this installation reaches its database with other settings for encryption already",
                hint="claudetools database pin SHA256, for a certificate that is new",
            )
        return settings
    if settings.vault_id or (settings.is_embedded and settings.database_file.exists()):
        raise Conflict(
            f"this installation has its vault in {now.place} already",
            hint=f"claudetools move --to {asked.url}",
        )
    if not asked.is_mariadb:
        raise Invalid("--database takes the URL of a MariaDB", hint="--database mariadb+pymysql://USER@HOST/DATABASE")
    return replace(settings, database=asked.url, tier="direct")


def prepare(
    settings: Settings, wanted: Wanted, report: Report, opened: Opened | None = None
) -> tuple[Settings, Engine]:
    """The database, reached, with its tables and accounts.  Raises Invalid, Unavailable, Conflict.

    On an empty database the account of the URL makes tables and accounts, and is not kept where they could be made.  What
    an invitation brought is kept once it was taken.
    """
    if settings.is_embedded:
        changed = make_file(settings)
        report(Step(f"database {settings.database_file}", changed))
        return settings, open_engine(address_of(settings))
    settings = replace(settings, tier="direct")
    kept = _with_right_password(settings)
    address = kept
    if opened is not None:
        address = kept.changed(password=opened.enclosed.password.expose(), password_file="")
        if address.tls:  # for joining, exactly the server that the invitation was made at
            address = address.changed(ca="", fingerprint=opened.invitation.letter.fingerprint)
        knock(address)
    elif not kept.password_file:
        address = reach(kept, wanted.database_password, wanted.ask_database_password)
    engine = open_engine(address)
    try:
        fresh = is_empty(engine)
        changed = bring_up(engine, address)
        report(Step(f"database {address.place}", changed))
        if opened is None and not kept.password_file:
            make = wanted.database_accounts and (fresh or not has_vault(engine))
            settings = with_accounts(settings, address, report, make=make)
            engine.dispose()
            engine = open_engine(address_of(settings))
    except BaseException:
        engine.dispose()
        raise
    return settings, engine


def _with_right_password(settings: Settings) -> Address:
    """The address with its password file; without, where a setup that was cut off left another account's there."""
    address = address_of(settings)
    if settings.vault_id or not address.password_file:
        return address
    try:
        knock(address)
    except Invalid:
        return address.changed(password_file="")
    return address


def make_file(settings: Settings) -> bool:
    """Makes the embedded file, or brings it to this program's revision.  False where there was nothing to do."""
    fresh = not settings.database_file.exists()
    # Made private before SQLite opens it: its journal files take the same mode.
    settings.database_file.touch(mode=0o600)
    address = address_of(settings)
    engine = open_engine(address)
    try:
        copy_before(settings, engine)
        return bring_up(engine, address) or fresh
    finally:
        engine.dispose()


def copy_before(settings: Settings, engine: Engine) -> Path | None:
    """A copy of an embedded database that is about to be upgraded; None where nothing is to be.

    It lies beside the database, named by the revision it is at, and is as closed as the database itself.  A copy that is
    there already is kept: it is from before an upgrade that was cut off.
    """
    before = revision_of(engine)
    if not before or before == head_revision() or not known(before):
        return None
    copy = settings.database_file.with_name(f"{settings.database_file.name}.before-{before}")
    if copy.exists():
        return copy
    part = copy.with_name(f".{copy.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    with closing(sqlite3.connect(settings.database_file)) as source, closing(sqlite3.connect(part)) as target:
        source.backup(target)
    part.replace(copy)
    return copy


def revision_of(engine: Engine) -> str:
    """The revision that a database is at; "" for an empty one."""
    with begin(engine, write=False) as transaction:
        return current_revision(transaction.connection)


def is_empty(engine: Engine) -> bool:
    """Whether nothing was made in this database yet."""
    return not revision_of(engine)


def has_vault(engine: Engine) -> bool:
    """Whether a vault was founded in this database, which has its tables."""
    with begin(engine, write=False) as transaction:
        return read_vault_id(transaction.connection) is not None


def bring_up(engine: Engine, address: Address) -> bool:
    """Brings a database to this program's revision.  False where it is there.

    An empty one, or one without a vault, is made; another is upgraded where it is an embedded file.  Raises Conflict where
    a newer program made it, or where an upgrade needs the owner's account and a backup first.
    """
    before = revision_of(engine)
    if before:
        refuse_on_its_way(engine)
    if before == head_revision():
        return False
    if not known(before):
        raise Conflict(f"the database was made by a newer program: {address.place}", hint="git pull && ./setup.sh")
    if before and address.is_mariadb and has_vault(engine):
        raise Conflict(
            f"the database was made by an older program: {address.place}", hint="claudetools upgrade --owner ACCOUNT"
        )
    upgrade(engine)
    return True


def with_accounts(settings: Settings, address: Address, report: Report, *, make: bool) -> Settings:
    """New accounts for a new vault; the given one, kept, for a vault whose machines use the accounts already."""
    given = Plain(address.password)
    if make:
        try:
            made, password, hooks_password = accounts.make(address)
        except accounts.Refused:
            note = f"{address.user} may not make accounts: `claudetools database accounts` prints what the administrator runs"
            report(Step(f"database account {address.user}, with all its rights", changed=True, note=note))
            return keep_accounts(settings, address, given, "", Plain(""))
        application = address.changed(user=made.application, password=password.expose())
        with suppress(Invalid):
            reach(application, password, None)
            settings = keep_accounts(settings, application, password, made.hooks, hooks_password)
            report(Step(f"database accounts {made.application} and {made.hooks}", changed=True))
            return settings
        note = f"{made.application} was made and is not let in from here; {address.user} is used"
        report(Step(f"database account {address.user}, with all its rights", changed=True, note=note))
    return keep_accounts(settings, address, given, "", Plain(""))


def keep_accounts(
    settings: Settings, address: Address, password: Plain, hooks_account: str, hooks_password: Plain
) -> Settings:
    """Writes down with which accounts this machine works: passwords into files of their own, then the settings."""
    if password:
        write_private(settings.database_password_file, password.expose() + "\n")
    else:
        settings.database_password_file.unlink(missing_ok=True)
    if hooks_account:
        write_private(settings.hooks_password_file, hooks_password.expose() + "\n")
    settings = replace(settings, database=address.url, hooks_account=hooks_account, tier="direct")
    save_settings(settings)
    return settings
