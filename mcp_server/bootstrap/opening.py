"""Opens what is there: the database, the root key through one of its slots, the machine's key."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, Engine

from domain.errors import Broken, Conflict, Denied, Invalid, Unauthenticated, Unavailable
from domain.plain import Plain
from mcp_server.config import ASKING, PASSPHRASE_VARIABLE, Settings, read_private
from mcp_server.keyring import KEY_BYTES, MACHINE, PASSPHRASE, Keyring, open_root, open_root_behind, open_root_with
from storage.address import Address, parse_address
from storage.engine import open_engine
from storage.guard import Guard
from storage.identity import read_machine_state
from storage.keys import Keys, Slot, read_compatibility, read_slots, read_vault_id
from storage.schema import REVISION, SCHEMA_VERSION
from storage.transaction import begin
from storage.transfer import NO_PROGRAM, is_on_its_way, read_notice

RECOVER = "claudetools keys recover"
REVOKED = "this machine was revoked"
INVITE = (
    "have an invitation made on another machine (claudetools machine invite), then ./setup.sh --invitation-file FILE"
)


def address_of(settings: Settings) -> Address:
    """Where the database of this installation is.  Raises Invalid for a URL that is none."""
    address = parse_address(settings.database, base=str(settings.home))
    if not address.is_mariadb or not settings.database_password_file.exists():
        return address
    return address.changed(password_file=str(settings.database_password_file))


def hooks_address_of(settings: Settings) -> Address:
    """The same by the account that hooks read with."""
    address = address_of(settings)
    if not settings.hooks_account:
        return address
    return address.changed(user=settings.hooks_account, password_file=str(settings.hooks_password_file))


def open_vault(settings: Settings) -> Engine:
    """The database of this installation, checked for its version.  Raises Unavailable, Conflict."""
    if settings.is_embedded and not settings.database_file.exists():
        raise Unavailable(f"the database file is missing: {settings.database_file}", hint="./setup.sh")
    engine = open_engine(address_of(settings))
    try:
        with begin(engine, write=False) as transaction:
            check_version(transaction.connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def check_version(connection: Connection) -> None:
    """Raises Conflict where this program is too old for the database, or the database for this program."""
    min_reader, min_writer, revision = read_compatibility(connection)
    if min_reader >= NO_PROGRAM:
        raise _on_its_way(connection)
    if max(min_reader, min_writer) > SCHEMA_VERSION:
        raise Conflict(
            f"the database needs a newer program (schema {max(min_reader, min_writer)}; "
            f"this one knows {SCHEMA_VERSION})",
            hint="git pull && ./setup.sh",
        )
    if revision < REVISION:
        raise Conflict(
            f"the database was made by an older program (at {revision or 'its beginning'}; this one needs {REVISION})",
            hint="claudetools upgrade",
        )


def refuse_on_its_way(engine: Engine) -> None:
    """Raises Conflict for a database that a vault has not arrived in, or has left.  It has its tables."""
    with begin(engine, write=False) as transaction:
        if is_on_its_way(transaction.connection):
            raise _on_its_way(transaction.connection)


def _on_its_way(connection: Connection) -> Conflict:
    """Why a database that rows are arriving in, or whose vault has moved away, is none to work with."""
    notice = read_notice(connection)
    if notice is None or notice.state == "arriving":
        return Conflict(
            "a vault is on its way into this database and has not arrived: a restore or a move was cut off, or still runs",
            hint="run it again: claudetools backup restore, or claudetools move",
        )
    done = "has moved" if notice.state == "moved" else "is being moved"
    return Conflict(
        f"this vault {done} to {printable(notice.place)}",
        hint="on the machine that moves it: claudetools move; on every other: claudetools move --follow",
    )


def printable(place: str) -> str:
    """A place as a notice names it, which anybody with rights on the database can write."""
    return "".join(letter if letter.isprintable() else "?" for letter in place)[:300]


def read_vault(engine: Engine) -> tuple[str, list[Slot]]:
    """The vault's id and its key slots.  Raises Unavailable where no vault was made."""
    with begin(engine, write=False) as transaction:
        vault_id = read_vault_id(transaction.connection)
        slots = read_slots(transaction.connection)
    if vault_id is None:
        raise Unavailable("the database holds no vault yet", hint="./setup.sh")
    return vault_id, slots


def open_keyring(settings: Settings, engine: Engine) -> Keyring:
    """The keyring of this machine.

    Raises Invalid for a key file that is missing or open to others, Denied for a machine that was
    revoked, Broken for a key file that does not belong to this vault.
    """
    keyring = open_root_key(settings, engine)
    seed = read_private(settings.machine_key_file, "this machine's audit key", RECOVER)
    if len(seed) != KEY_BYTES:
        raise Broken("this machine's audit key is damaged", hint=RECOVER)
    return keyring.with_machine_key(seed)


def open_root_key(settings: Settings, engine: Engine, *, asks: bool = True) -> Keyring:
    """The root key by the first slot that this machine opens: its key file, the OS keyring, its audit key, a passphrase.

    `asks`: a passphrase may be asked for.
    """
    vault_id, slots = read_vault(engine)
    found = by_itself(settings, vault_id, slots)
    if found is not None:
        return found
    if not settings.root_key_file.exists() and any(slot.kind == PASSPHRASE for slot in slots):
        return _by_passphrase(vault_id, slots, asks=asks)
    read_private(settings.root_key_file, "the root key file", RECOVER)
    with begin(engine, write=False) as transaction:
        state = read_machine_state(transaction.connection, settings.machine_id)
    if state == "revoked":  # its slot was taken out with it
        raise Denied(REVOKED, hint=INVITE)
    raise Broken("the root key file does not open this vault", hint=RECOVER)


def by_itself(settings: Settings, vault_id: str, slots: list[Slot]) -> Keyring | None:
    """The keyring that this machine opens with what it holds; None where it holds nothing that fits."""
    found = by_file(settings, vault_id, slots) or by_os_keyring(settings, vault_id, slots)
    return found or _by_audit_key(settings, vault_id, slots)


def by_file(settings: Settings, vault_id: str, slots: list[Slot]) -> Keyring | None:
    """The keyring that this machine's key file opens; None without one, or where its slot is gone.

    A turn of the root key that was cut off behind its commit left the new file beside the old one.
    """
    for file in (settings.root_key_file, settings.next_root_key_file):
        if not file.exists():
            continue
        keyring = open_slot(vault_id, slots, read_private(file, "the root key file", RECOVER), "file")
        if keyring is None:
            continue
        if file == settings.next_root_key_file:
            with suppress(FileNotFoundError):  # another process was faster
                file.replace(settings.root_key_file)
        return keyring
    return None


def by_os_keyring(settings: Settings, vault_id: str, slots: list[Slot]) -> Keyring | None:
    """The keyring that the key in this machine's OS keyring opens; None without a slot of that kind."""
    if not any(slot.kind == "keyring" and slot.label == settings.machine_id for slot in slots):
        return None
    from mcp_server.bootstrap import os_keyring

    for key in os_keyring.read(settings):
        found = open_slot(vault_id, slots, key, "keyring")
        if found is not None:
            return found
    return None


def _by_audit_key(settings: Settings, vault_id: str, slots: list[Slot]) -> Keyring | None:
    """The keyring that a turn of the root key, made on another machine, left for this one."""
    mine = [slot for slot in slots if slot.kind == MACHINE and slot.label == settings.machine_id]
    if not mine or not settings.machine_key_file.exists():
        return None
    seed = read_private(settings.machine_key_file, "this machine's audit key", RECOVER)
    for slot in mine:
        with suppress(Broken, ValueError):
            return open_root_with(vault_id, seed, slot.slot_id, slot.wrapped)
    return None


def _by_passphrase(vault_id: str, slots: list[Slot], *, asks: bool) -> Keyring:
    named = os.environ.get(PASSPHRASE_VARIABLE, "")
    if named:
        text = read_private(Path(named), "the passphrase file", f"name a file that exists in {PASSPHRASE_VARIABLE}")
        given = Plain(text.decode("utf-8", "replace").strip("\r\n"))
    elif asks and ASKING.passphrase is not None:
        given = ASKING.passphrase()
    else:
        raise Invalid(
            "this machine opens its vault by a passphrase, and nobody can be asked for it here",
            hint=f"{PASSPHRASE_VARIABLE}=FILE; or at a terminal: claudetools keys slots add file",
        )
    found = open_passphrase_slot(vault_id, slots, given)
    if found is None:
        raise Unauthenticated(
            "that passphrase opens no slot of this vault", hint="try again, or: claudetools keys recover"
        )
    return found


def open_passphrase_slot(vault_id: str, slots: list[Slot], given: Plain) -> Keyring | None:
    """The keyring behind the first passphrase slot that this one opens; each guess takes its time."""
    for slot in slots:
        if slot.kind != PASSPHRASE:
            continue
        with suppress(Broken):
            return open_root_behind(vault_id, given, slot.slot_id, slot.wrapped)
    return None


def fits(connection: Connection, keyring: Keyring) -> bool:
    """Whether the vault's row was written under this root key."""
    try:
        Keys(connection, Guard(connection, keyring.mac)).vault()
    except Broken:
        return False
    return True


def renew(settings: Settings, engine: Engine, keyring: Keyring) -> bool:
    """Takes up the root key that the database is at, in a process that runs; False where it is the same.

    Raises Denied for a machine that was revoked, Unavailable without a database.
    """
    try:
        return keyring.turn(open_root_key(settings, engine, asks=False))
    except (Invalid, Broken, Unauthenticated):
        return False  # what the process holds does not fit, and it cannot come to more: the act itself tells


def open_slot(vault_id: str, slots: list[Slot], slot_key: bytes, kind: str) -> Keyring | None:
    """The keyring behind the first slot of this kind that the key opens."""
    for slot in slots:
        if slot.kind != kind or len(slot_key) != KEY_BYTES:
            continue
        try:
            return open_root(vault_id, slot_key, slot.slot_id, slot.kind, slot.wrapped)
        except Broken:
            continue
    return None
