"""Puts a vault back from a backup, into an empty database of either kind.

The backup is read whole before anything is written.  While rows arrive the database carries a notice and opens for nobody;
a run that was cut off goes on where it stopped.  Only when every table has the number of rows and the digest that the
backup tells, and the audit log verifies, is the notice lifted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from socket import gethostname
from typing import BinaryIO

from sqlalchemy import Engine

from domain.actors import Subject
from domain.backup import Event, Header, Values
from domain.errors import Broken, ClaudeToolsError, Conflict, Invalid
from mcp_server.bootstrap import App, assemble, build
from mcp_server.bootstrap.arriving import index, open_place, prepare
from mcp_server.bootstrap.backup import Checked, Progress, Source, begin, check, events, keyring_for
from mcp_server.bootstrap.database import with_accounts
from mcp_server.bootstrap.hooks_settings import write_hooks_settings
from mcp_server.bootstrap.installation import add_machine, keep_agent
from mcp_server.bootstrap.opening import address_of
from mcp_server.bootstrap.recovery import recover
from mcp_server.bootstrap.wanted import DEFAULT_AGENT, Report, Step
from mcp_server.config import (
    Settings,
    data_directory,
    load_settings,
    make_private_directory,
    save_settings,
)
from mcp_server.keyring import Keyring
from storage.address import Address
from storage.engine import open_engine
from storage.guard import Guard
from storage.identity import Identity
from storage.keys import read_vault_id
from storage.migrations import upgrade
from storage.rows import digest, shape_of, snapshot, sync
from storage.transaction import begin as transaction
from storage.transfer import is_on_its_way, lift_notice

RECOVER = "claudetools keys recover"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be put back where.

    `recovery_key` is asked for where this computer's own keys do not open the backup, or when it becomes a new machine of
    the vault.  `database` is None for the installation's own place.  `damaged` goes on although the vault was tampered
    with before the backup was made.
    """

    file: Path
    recovery_key: Callable[[], str]
    home: Path | None = None
    database: Address | None = None
    machine: str = ""
    damaged: bool = False
    accounts: bool = True
    """Whether accounts with fewer rights are made for the program and its hooks, where that may be done."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back, and how many entries this machine had written that are not in it."""

    checked: Checked
    place: str
    settings: Settings
    lost: bool


def restore(wanted: Wanted, report: Report, tell: Progress) -> Restored:
    """Checks the backup, fills the database, verifies it, and makes this computer a machine of the vault.

    Raises Broken for a backup that is not whole or not as it was made, Denied for another vault's recovery key, Conflict
    where the database is not empty or this computer belongs to another vault.
    """
    home = data_directory(wanted.home)
    settings = load_settings(home) if (home / "settings.json").exists() else None
    asked = _Once(wanted.recovery_key)
    try:
        stream = wanted.file.open("rb")
    except OSError as error:
        raise Invalid(f"the backup cannot be read: {error.strerror}", hint="claudetools backup restore FILE") from None
    with stream:
        source = begin(stream)
        address = _place(settings, home, source.header, wanted.database)
        keyring = keyring_for(source, settings, None, asked)
        checked = check(source, keyring, lambda table, rows: tell(table, rows, 0))
        if checked.findings and not wanted.damaged:
            raise Broken(
                f"the vault in this backup was tampered with before it was made: {len(checked.findings)} findings",
                hint="claudetools backup check FILE tells them; --damaged restores it all the same",
            )
        report(Step(f"backup is whole: {checked.rows} rows, {checked.entries} audit entries", changed=False))
        settings = _settings(settings, home, source.header, address, wanted.machine)
        with closing(_Engine(open_place(address))) as place:
            went_on = _fill(place.engine, _again(stream, source), keyring, checked, tell)
            report(Step(f"database {address.place}" + (", gone on where it stopped" if went_on else ""), changed=True))
            lost = _verify(settings, place.engine, keyring, damaged=wanted.damaged)
            settings = _named(settings, place.engine, keyring)
            if address.password:
                settings = with_accounts(settings, address, report, make=wanted.accounts)
            elif address.is_mariadb and not address.password_file:
                settings.database_password_file.unlink(missing_ok=True)  # the account needs none; it would be offered
            # The settings first: whoever is cut off here goes on with `keys recover`.
            save_settings(settings)
            lift_notice(place.engine)
    report(Step("every row and the audit log verified", changed=False))
    settings = _become_machine(settings, asked, report)
    with closing(build(settings)) as app:
        _record(app, checked)
    return Restored(checked, address.place, settings, lost)


class _Once:
    """Asks for the recovery key at most once."""

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._key = ""

    def __call__(self) -> str:
        self._key = self._key or self._ask()
        return self._key


@dataclass(frozen=True, slots=True)
class _Engine:
    engine: Engine

    def close(self) -> None:
        self.engine.dispose()


def _place(settings: Settings | None, home: Path, header: Header, wanted: Address | None) -> Address:
    """Where the vault goes.  Raises Conflict where this computer has a vault that would be lost from sight."""
    if settings is None:
        return wanted or address_of(Settings(home=home))
    if settings.vault_id and settings.vault_id != header.vault_id:
        raise Conflict(
            "this computer belongs to another vault than the backup's",
            hint="restore beside it: claudetools backup restore FILE --home DIR",
        )
    own = address_of(settings)
    if wanted is not None and wanted.url != own.url and _lives(own):
        raise Conflict(
            f"this computer has its vault in {own.place}, and it opens",
            hint="to move it: claudetools move --to URL; to restore beside it: --home DIR",
        )
    return wanted or own


def _lives(address: Address) -> bool:
    """Whether a database holds a vault that opens; one that cannot be asked is gone."""
    if not address.is_mariadb and not Path(address.path).exists():
        return False
    with closing(_Engine(open_engine(address))) as place:
        try:
            with transaction(place.engine, write=False) as unit:
                return read_vault_id(unit.connection) is not None and not is_on_its_way(unit.connection)
        except ClaudeToolsError:
            return False


def _settings(settings: Settings | None, home: Path, header: Header, address: Address, machine: str) -> Settings:
    """The installation's settings for the new place; written only when the vault has arrived."""
    made = settings or Settings(home=home)
    for folder in made.directories():
        make_private_directory(folder)
    if address.is_mariadb:
        made = replace(made, database=address.url, tier="direct")
    else:
        path = "claudetools.db" if address.path == str(home / "claudetools.db") else address.path
        made = replace(made, database=path, tier="embedded", hooks_account="")
    name = made.machine_name or machine or gethostname() or "machine"
    return replace(made, vault_id=header.vault_id, machine_name=name[:64])


def _again(stream: BinaryIO, before: Source) -> Source:
    stream.seek(0)
    source = begin(stream)
    if source.preamble != before.preamble:
        raise Broken("the backup changed while it was read")
    return source


def _fill(engine: Engine, source: Source, keyring: Keyring, checked: Checked, tell: Progress) -> bool:
    header = source.header
    went_on = prepare(engine, header.vault_id, "a backup", time.time_ns() // 1000, header.revision)
    done = 0

    def told(table: str, rows: int) -> None:
        tell(table, done + rows, checked.rows)

    stream = events(source, keyring)
    digests: dict[str, str] = {}
    for event in stream:
        shape = shape_of(event.table, event.columns)  # a table begins: its rows are taken below
        rows = _Rows(stream)
        made = sync(engine, shape, rows, told)
        done += made.rows
        digests[event.table] = made.hex()
        with snapshot(engine) as connection:
            if digest(connection, shape) != (rows.end.rows, rows.end.digest):
                raise Broken(f"the table {event.table} did not arrive as it was", hint="run it again")
    upgrade(engine)
    index(engine, told)
    return went_on


class _Rows:
    """The rows of one table, up to its end."""

    def __init__(self, stream: Iterator[Event]) -> None:
        self._stream = stream
        self.end = Event("end", "")

    def __iter__(self) -> Iterator[Values]:
        for event in self._stream:
            if event.kind == "end":
                self.end = event
                return
            yield event.values


def _verify(settings: Settings, engine: Engine, keyring: Keyring, *, damaged: bool) -> bool:
    """Verifies the audit log in its new place.  True where this machine has written more than the backup knows.

    Raises Broken where something is wrong that was not wrong in the backup.
    """
    app = assemble(settings, engine, keyring)
    notes = app.work.notes
    verdict = app.audit.verify(notes={})
    if not verdict.ok and not damaged:
        raise Broken(
            f"the restored vault does not verify: {len(verdict.findings)} findings",
            hint="claudetools backup check FILE",
        )
    if verdict.findings == app.audit.verify(notes=notes.read()).findings:
        return False
    # What this machine wrote after the backup was made is gone, and that is known: its notes of it are kept aside.
    file = settings.heads_dir / "heads.log"
    file.rename(file.with_name(f"heads.log.before-restore-{time.strftime('%Y%m%d-%H%M%S')}"))
    return True


def _named(settings: Settings, engine: Engine, keyring: Keyring) -> Settings:
    """The settings with a person of the vault: the one who was named before, else the first."""
    with transaction(engine, write=False) as unit:
        names = Identity(unit.connection, Guard(unit.connection, keyring.mac)).person_names()
    if settings.person_name in names or not names:
        return settings
    return replace(settings, person_name=names[0])


def _become_machine(settings: Settings, recovery_key: Callable[[], str], report: Report) -> Settings:
    """This computer as a machine of the restored vault: as it was, where its keys fit; a new one otherwise."""
    try:
        app = build(settings)
    except ClaudeToolsError:
        return recover(settings.home, recovery_key(), report)
    with closing(app):
        with app.work.reading(None) as unit:
            known = unit.identity.machine(settings.machine_id)
            agent = unit.identity.agent(settings.agent_id) if settings.agent_id else None
        if known is not None and known.public_key != app.keyring.machine_public_key():
            return recover(settings.home, recovery_key(), report)
        add_machine(app)
        report(Step(f"machine {settings.machine_name}", known is None))
        if agent is None or not settings.agent_secret_file.exists():
            settings = keep_agent(app, settings, settings.agent_name or DEFAULT_AGENT)
    write_hooks_settings(settings)
    return settings


def _record(app: App, checked: Checked) -> None:
    subject = Subject("vault", app.settings.vault_id, "vault")
    made = checked.header.created_us
    with app.work.audited(app.machine, "backup.restore", subject, rows=checked.rows, made_us=made):
        pass
