"""Opens what is there: the database, the root key through its file slot, the machine's key."""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from domain.errors import Broken, Conflict, Denied, Unavailable
from mcp_server.config import Settings, read_private
from mcp_server.keyring import KEY_BYTES, Keyring, open_root
from storage.address import Address, parse_address
from storage.engine import open_engine
from storage.identity import read_machine_state
from storage.keys import Slot, read_compatibility, read_slots, read_vault_id
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
    vault_id, slots = read_vault(engine)
    slot_key = read_private(settings.root_key_file, "the root key file", RECOVER)
    keyring = open_slot(vault_id, slots, slot_key, "file")
    if keyring is None:
        with begin(engine, write=False) as transaction:
            state = read_machine_state(transaction.connection, settings.machine_id)
        if state == "revoked":  # its slot was taken out with it
            raise Denied(REVOKED, hint=INVITE)
        raise Broken("the root key file does not open this vault", hint=RECOVER)
    seed = read_private(settings.machine_key_file, "this machine's audit key", RECOVER)
    if len(seed) != KEY_BYTES:
        raise Broken("this machine's audit key is damaged", hint=RECOVER)
    return keyring.with_machine_key(seed)


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
