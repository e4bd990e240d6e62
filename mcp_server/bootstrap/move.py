"""Moves a vault to another database, and back: copied, closed, caught up, compared, and only then opened in its new place.

1. The rows are copied while everybody goes on working; a copy that was cut off goes on where it stopped.
2. The old database is closed: a notice for whoever opens it, and triggers that refuse every new entry and record, so that
   no process of any machine writes on there.
3. What came in meanwhile follows, and every table and the whole audit log are compared.  Until here the move can be taken
   back (`cancel`), and is when anything fails.
4. The notice says that the vault has moved; the new place opens; this machine's settings name it.

The old database is kept until it is told to be forgotten.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine

from domain.actors import Actor, Subject
from domain.errors import Broken, ClaudeToolsError, Conflict, Denied, NotFound
from domain.plain import Plain
from mcp_server.bootstrap import App, assemble
from mcp_server.bootstrap.arriving import index, open_place, place_of, prepare
from mcp_server.bootstrap.database import keep_accounts, with_accounts
from mcp_server.bootstrap.hooks_settings import write_hooks_settings
from mcp_server.bootstrap.opening import address_of, check_version, open_keyring, printable
from mcp_server.bootstrap.wanted import Report, Step
from mcp_server.config import Settings, read_private, save_settings, write_private
from mcp_server.keyring import Keyring
from mcp_server.work import HeadNotes
from storage.address import Address
from storage.engine import clock_of, open_engine
from storage.keys import read_vault_id
from storage.rows import count, digest, read, shapes, snapshot, sync
from storage.transaction import begin
from storage.transfer import (
    Notice,
    State,
    is_on_its_way,
    lift_fence,
    lift_notice,
    may_close,
    raise_fence,
    read_notice,
    write_notice,
)

Progress = Callable[[str, int, int], None]
MOVE = "claudetools move"
CANCEL = "claudetools move --cancel"
FOLLOW = "claudetools move --follow"
_TABLE = "transfer"
_MARK = ".moved-"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where to, and with which account the old database is closed (None: the one this installation works with).

    `accounts`: whether accounts with fewer rights are made in the new place, where that may be done.
    """

    target: Address
    owner: Address | None = None
    accounts: bool = True


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved: rows, audit entries, and where the old database is kept."""

    rows: int
    entries: int
    place: str
    kept: str


def unfinished(settings: Settings) -> Notice | None:
    """The notice of a move from this installation's database that was cut off; None where there is none.

    Raises Broken where the notice was not written by a holder of the vault's keys.
    """
    address = address_of(settings)
    if not address.is_mariadb and not Path(address.path).exists():
        return None
    with _opened(address) as engine:
        with begin(engine, write=False) as transaction:
            if not is_on_its_way(transaction.connection):
                return None
            notice = read_notice(transaction.connection)
        if notice is None or notice.state == "arriving":
            return None
        keyring = open_keyring(settings, engine)
        if not hmac.compare_digest(notice.mac, keyring.mac(_TABLE, notice.said())):
            raise Broken("the notice that this vault has moved was not written with the vault's keys", hint=CANCEL)
        return notice


def target_of(settings: Settings, notice: Notice) -> Address:
    """Where a move that was cut off leads to.  Its account's password is asked for anew."""
    return place_of(notice.place, settings.home)


def start(app: App, actor: Actor, wanted: Wanted, report: Report, tell: Progress) -> Moved:
    """Moves this installation's vault.  Raises Conflict where the target is not empty, Denied without the right.

    Whatever fails before the new place is opened leaves the vault open where it was.
    """
    settings, target = app.settings, wanted.target
    origin = address_of(settings)
    if (target.kind, target.place) == (origin.kind, origin.place):
        raise Conflict(f"the vault is in {origin.place} already", hint="name another database")
    subject = Subject("vault", app.keyring.vault_id, "vault")
    with app.work.audited(actor, "vault.move", subject, to=target.place):
        pass
    with _opened(wanted.owner or origin) as old, _opened_new(target) as new:
        _ask_rights(old, wanted.owner or origin)
        went_on = prepare(new, app.keyring.vault_id, origin.place, clock_of(new)())
        rows = _bring(settings, app.keyring, old, new, tell)
        again = ", gone on where it stopped" if went_on else ""
        report(Step(f"{rows} rows copied to {target.place}{again}, and verified there", changed=True))
        try:
            _close(old, app.keyring, "moving", target)
            _catch_up(app.keyring, old, new, target, report, tell)
        except BaseException:
            _take_back(old)
            raise
        return _switch(settings, app.keyring, old, new, wanted, report)


def go_on(settings: Settings, wanted: Wanted, report: Report, tell: Progress) -> Moved:
    """Finishes a move that was cut off when the old database was closed already."""
    notice = unfinished(settings)
    if notice is None:
        raise NotFound("no move of this installation's vault was cut off", hint=f"{MOVE} --to URL")
    if target_of(settings, notice).place != wanted.target.place:
        raise Conflict(f"this vault is on its way to {printable(notice.place)}", hint=f"{MOVE}, or {CANCEL}")
    with _opened(wanted.owner or address_of(settings)) as old, _opened_new(wanted.target) as new:
        keyring = open_keyring(settings, old)
        if notice.state == "moving":
            _ask_rights(old, wanted.owner or address_of(settings))
            prepare(new, keyring.vault_id, address_of(settings).place, clock_of(new)())
            _bring(settings, keyring, old, new, tell)
            _catch_up(keyring, old, new, wanted.target, report, tell)
        return _switch(settings, keyring, old, new, wanted, report)


def tidy(settings: Settings) -> bool:
    """Ends a move that was cut off when this machine worked in the new place already.  False where there is nothing to do."""
    place = kept(settings)
    origin = place.partition(_MARK)[0]
    in_use = settings.is_embedded and origin == str(settings.database_file)
    left = _MARK in place and "://" not in place and Path(origin).exists() and not in_use
    if left:
        _put_aside(place, place_of(origin, settings.home))
    return write_hooks_settings(settings) or left


def cancel(settings: Settings, owner: Address | None) -> None:
    """Opens the old database again.  Raises NotFound where nothing was begun, Conflict where the vault has moved."""
    address = owner or address_of(settings)
    with _opened(address) as old:
        with begin(old, write=False) as transaction:
            notice = read_notice(transaction.connection) if is_on_its_way(transaction.connection) else None
        if notice is None or notice.state == "arriving":
            raise NotFound("no move of this installation's vault was cut off", hint=f"{MOVE} --to URL")
        if notice.state == "moved":
            raise Conflict(
                f"the vault has moved to {printable(notice.place)}, which may be in use already",
                hint=f"finish it: {MOVE}",
            )
        _ask_rights(old, address)
        lift_fence(old)
        lift_notice(old)


def follow(settings: Settings, address: Address) -> Settings:
    """Another machine of the vault works where the vault was moved to, with the keys that it has.

    Raises Conflict where its own database is open still, Denied where the other place is another vault or does not know
    this machine, Broken where the audit log there is not the one that this machine wrote in.
    """
    if _is_open(address_of(settings)):
        raise Conflict(f"the vault is open in {address_of(settings).place}", hint="claudetools doctor")
    with _opened(address) as engine:
        with begin(engine, write=False) as transaction:
            check_version(transaction.connection)
            vault_id = read_vault_id(transaction.connection)
        if vault_id != settings.vault_id:
            raise Denied(f"{address.place} does not hold this machine's vault", hint=f"{FOLLOW} --to URL")
        keyring = open_keyring(settings, engine)
        app = assemble(settings, engine, keyring)
        with app.work.reading(app.machine) as unit:
            known = unit.identity.machine(settings.machine_id)
        if known is None or known.public_key != keyring.machine_public_key():
            raise Denied(
                "the vault there does not know this machine's audit key", hint="./setup.sh --invitation-file FILE"
            )
        if not app.audit.verify().ok:
            raise Broken(
                "the audit log there is not the one that this machine wrote in", hint="ask who moved the vault"
            )
    settings = keep_accounts(settings, address, Plain(address.password), "", Plain(""))
    write_hooks_settings(settings)
    return settings


def _is_open(address: Address) -> bool:
    if not address.is_mariadb and not Path(address.path).exists():
        return False
    try:
        with _opened(address) as engine, begin(engine, write=False) as transaction:
            return read_vault_id(transaction.connection) is not None and not is_on_its_way(transaction.connection)
    except ClaudeToolsError:
        return False


# The steps.


def _ask_rights(old: Engine, address: Address) -> None:
    try:
        may_close(old)
    except ClaudeToolsError:
        raise Denied(
            f"the account {address.user} may not close {address.place}: that takes tables and triggers",
            hint="name the account that made the tables: --owner ACCOUNT",
        ) from None


def _bring(settings: Settings, keyring: Keyring, old: Engine, new: Engine, tell: Progress) -> int:
    """Copies everything and verifies the audit log where it arrived.  Returns the number of rows.

    Raises Broken where something is wrong there that was not wrong before.
    """
    notes = HeadNotes(settings.heads_dir).read()  # before the rows: what is noted is committed, and must arrive
    rows = sum(number for number, _ in _copy(old, new, tell).values())
    tell("verify", 0, 0)
    after = assemble(settings, new, keyring).audit.verify(notes)
    if not after.ok:
        before = {
            (found.verdict, found.where) for found in assemble(settings, old, keyring).audit.verify(notes).findings
        }
        if not {(found.verdict, found.where) for found in after.findings} <= before:
            raise Broken("the audit log does not verify as it did", hint="claudetools audit verify")
    return rows


def _copy(old: Engine, new: Engine, tell: Progress) -> dict[str, tuple[int, str]]:
    """Makes the new database hold what the old one holds.  Returns the number of rows and the digest of each table."""
    copied: dict[str, tuple[int, str]] = {}
    with snapshot(old) as connection:
        total = sum(count(connection, shape) for shape in shapes())
        done = 0
        for shape in shapes():
            made = sync(new, shape, read(connection, shape), lambda table, rows: tell(table, done + rows, total))  # noqa: B023  # called here alone
            done += made.rows
            copied[shape.name] = made.rows, made.hex()
    return copied


def _close(old: Engine, keyring: Keyring, state: State, target: Address) -> None:
    notice = Notice(state, keyring.vault_id, target.url, clock_of(old)())
    write_notice(old, replace(notice, mac=keyring.mac(_TABLE, notice.said())))
    raise_fence(old)


def _take_back(old: Engine) -> None:
    """Opens the old database again after a failure.  Where that fails too, `cancel` is left."""
    with suppress(ClaudeToolsError):
        lift_fence(old)
        lift_notice(old)


def _catch_up(keyring: Keyring, old: Engine, new: Engine, target: Address, report: Report, tell: Progress) -> None:
    """What came in since, then the comparison of every row; with the second notice there is no way back."""
    copied = _copy(old, new, tell)
    index(new, lambda table, rows: tell(table, rows, 0))
    _compare(copied, new, tell)
    report(Step("every row and every audit entry is the same in both", changed=False))
    _close(old, keyring, "moved", target)


def _compare(copied: Mapping[str, tuple[int, str]], new: Engine, tell: Progress) -> None:
    """Reads everything back.  Raises Broken where a table is not what was read from the old one."""
    with snapshot(new) as connection:
        for shape in shapes():
            tell(f"compare {shape.name}", 0, 0)
            if digest(connection, shape) != copied[shape.name]:
                raise Broken(f"the table {shape.name} did not arrive as it was", hint="run it again")


def _switch(settings: Settings, keyring: Keyring, old: Engine, new: Engine, wanted: Wanted, report: Report) -> Moved:
    target, origin = wanted.target, address_of(settings)
    with snapshot(new) as connection:
        counts = {shape.name: count(connection, shape) for shape in shapes()}
    lift_notice(new)
    record: dict[str, str] = {"database": settings.database, "kept": origin.url}
    if not origin.is_mariadb:
        record["kept"] = _free_name(Path(origin.path))
    elif settings.database_password_file.exists():
        password = read_private(settings.database_password_file, "the database password file", MOVE)
        write_private(_old_password_file(settings), password)
    write_private(_record_file(settings), json.dumps(record, indent=2, sort_keys=True) + "\n")
    if target.is_mariadb:
        moved = replace(settings, database=target.url, hooks_account="", tier="direct")
        # From here on this machine works in the new place.
        if target.password:
            moved = with_accounts(moved, target, report, make=wanted.accounts)
            if moved.database != target.url:  # with the account by which other machines follow
                _close(old, keyring, "moved", address_of(moved))
        else:
            settings.database_password_file.unlink(missing_ok=True)
            save_settings(moved)
    else:
        below = Path(target.path).parent == settings.home
        name = Path(target.path).name if below else target.path
        moved = replace(settings, database=name, hooks_account="", tier="embedded")
        save_settings(moved)
        settings.database_password_file.unlink(missing_ok=True)
    old.dispose()
    _put_aside(record["kept"], origin)
    write_hooks_settings(moved)
    report(Step(f"settings name {target.place}", changed=True))
    return Moved(sum(counts.values()), counts["audit_entries"], target.place, record["kept"])


def _put_aside(name: str, origin: Address) -> None:
    """Gives an embedded file that was left the name under which it is kept.

    Processes that have it open notice (SQLite compares the file with its name), and leave the journal of a new file of the
    old name alone.
    """
    if origin.is_mariadb:
        return
    with suppress(ClaudeToolsError), _opened(origin) as engine, begin(engine, write=False) as transaction:
        transaction.connection.exec_driver_sql(
            "SELECT count(*) FROM compatibility"
        )  # the last to close empties the journal
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(origin.path + suffix).rename(name + suffix)


# The old database, afterwards.


def kept(settings: Settings) -> str:
    """Where the database is kept that this vault moved away from; "" where there is none."""
    try:
        said = json.loads(_record_file(settings).read_text(encoding="utf-8"))
        return str(said["kept"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def forget_old(settings: Settings) -> str:
    """Removes the embedded file that was kept.  Returns what is left to do: SQL for a server's administrator, or "".

    Raises NotFound where nothing is kept.
    """
    place = kept(settings)
    if not place:
        raise NotFound("no database is kept from a move")
    left = ""
    if "://" in place:
        left = f"DROP DATABASE `{place_of(place, settings.home).name.replace('`', '``')}`;"
    else:
        for suffix in ("", "-wal", "-shm"):
            Path(place + suffix).unlink(missing_ok=True)
    _old_password_file(settings).unlink(missing_ok=True)
    _record_file(settings).unlink(missing_ok=True)
    return left


def _record_file(settings: Settings) -> Path:
    return settings.home / "moved.json"


def _old_password_file(settings: Settings) -> Path:
    return settings.database_password_file.with_name("database.password.old")


def _free_name(file: Path) -> str:
    wanted = file.with_name(f"{file.name}{_MARK}{time.strftime('%Y%m%d')}")
    free, number = wanted, 1
    while free.exists():
        number += 1
        free = wanted.with_name(f"{wanted.name}-{number}")
    return str(free)


@contextmanager
def _opened(address: Address) -> Iterator[Engine]:
    engine = open_engine(address)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _opened_new(address: Address) -> Iterator[Engine]:
    engine = open_place(address)
    try:
        yield engine
    finally:
        engine.dispose()
