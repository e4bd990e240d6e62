"""Key slots: each of them opens the root key by itself.

file        a machine's key file (0600), labelled with the machine's id; it goes when the machine is shut out
keyring     the same, its key in the machine's OS keyring
recovery    32 random bytes that a person keeps on paper
passphrase  what a person remembers, through Argon2id
machine     what a turn of the root key leaves for another machine, which opens it with its audit key and, at its next
            start, puts a slot of its own in its place
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from domain.actors import Actor, Subject
from domain.errors import ClaudeToolsError, Conflict, Invalid, NotFound
from domain.ids import new_id
from domain.plain import Plain
from mcp_server.config import Settings, write_private
from mcp_server.keyring import MACHINE, PASSPHRASE, Keyring, format_recovery_key, new_slot_key
from storage.keys import Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_server.bootstrap import App
    from mcp_server.work import AuditedUnit

RECOVERY = "recovery"
KINDS = ("file", "keyring", PASSPHRASE, RECOVERY, MACHINE)
LEAST_PASSPHRASE = 16
MAX_LABEL = 64
LIST = "claudetools keys slots"


def file_slot(keyring: Keyring, key: bytes, machine_id: str, now_us: int) -> Slot:
    """The slot that a machine's key file opens."""
    return _slot(keyring, key, "file", machine_id, now_us)


def keyring_slot(keyring: Keyring, key: bytes, machine_id: str, now_us: int) -> Slot:
    """The slot that the key in a machine's OS keyring opens."""
    return _slot(keyring, key, "keyring", machine_id, now_us)


def recovery_slot(keyring: Keyring, key: bytes, now_us: int) -> Slot:
    """The slot that the recovery key opens."""
    return _slot(keyring, key, RECOVERY, RECOVERY, now_us)


def passphrase_slot(keyring: Keyring, passphrase: Plain, label: str, now_us: int) -> Slot:
    """The slot that a passphrase opens.  Takes its time."""
    slot_id = new_id("sl")
    return Slot(slot_id, PASSPHRASE, label, keyring.wrap_root_behind(passphrase, slot_id), now_us)


def machine_slot(keyring: Keyring, public_key: bytes, machine_id: str, now_us: int) -> Slot:
    """The slot that a machine's audit key opens."""
    slot_id = new_id("sl")
    return Slot(slot_id, MACHINE, machine_id, keyring.wrap_root_for(public_key, slot_id), now_us)


def _slot(keyring: Keyring, key: bytes, kind: str, label: str, now_us: int) -> Slot:
    slot_id = new_id("sl")
    return Slot(slot_id, kind, label, keyring.wrap_root(key, slot_id, kind), now_us)


@contextmanager
def key_file_turn(settings: Settings) -> Iterator[None]:
    """The right to replace this machine's key file, of one process at a time."""
    descriptor = os.open(settings.turn_lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def adopt_key_file(settings: Settings) -> None:
    """Puts the next key file in the place of the old one, once its slot is stored."""
    with suppress(FileNotFoundError):  # another process that opened by it was faster
        settings.next_root_key_file.replace(settings.root_key_file)


def pick_up(app: App) -> None:
    """Puts a slot of this machine's own in the place of the one that a turn of the root key left for it.

    Where that cannot be done now, the next start does it: the machine opens either way.
    """
    with suppress(ClaudeToolsError, OSError):
        from mcp_server.bootstrap import os_keyring

        settings = app.settings
        with key_file_turn(settings):
            kept = [] if settings.root_key_file.exists() else os_keyring.read(settings)
            with app.work.reading(None) as reading:
                waiting = any(_is(slot, MACHINE, settings) for slot in reading.keys.slots())
            if not waiting:
                return
            key = new_slot_key()
            if not kept:
                # The file first: a slot whose file was never written would lock the machine out.
                write_private(settings.next_root_key_file, key)
            else:
                os_keyring.write(settings, key)
            kind = "keyring" if kept else "file"
            with app.work.audited(app.machine, "key.slot", _vault(app), kind=kind) as unit:
                make = keyring_slot if kept else file_slot
                unit.keys.put_slot(make(app.keyring, key, settings.machine_id, unit.now_us))
                for slot in unit.keys.slots():
                    if _is(slot, MACHINE, settings):
                        unit.keys.drop_slot(slot.slot_id)
            if not kept:
                adopt_key_file(settings)


def _is(slot: Slot, kind: str, settings: Settings) -> bool:
    return slot.kind == kind and slot.label == settings.machine_id


def _vault(app: App) -> Subject:
    return Subject("vault", app.settings.vault_id, "vault")


# What persons do with them.


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot as it is shown; `of` is the machine or label, `opened` whether it opened this process."""

    slot_id: str
    kind: str
    of: str
    created_us: int
    opened: bool
    here: bool


def listed(app: App, actor: Actor) -> list[SlotView]:
    """Every slot, oldest first."""
    with app.work.reading(actor) as unit:
        names = {one.machine_id: one.name for one in unit.identity.machines()}
        return [
            SlotView(
                slot.slot_id,
                slot.kind,
                names.get(slot.label, slot.label),
                slot.created_us,
                slot.slot_id == app.keyring.opened_by,
                slot.label == app.settings.machine_id,
            )
            for slot in unit.keys.slots()
        ]


def add_file(app: App, actor: Actor) -> SlotView:
    """A new key file for this machine, in the place of the one that it has."""
    with key_file_turn(app.settings):
        key = new_slot_key()
        write_private(app.settings.next_root_key_file, key)
        view = _added(
            app, actor, "file", lambda unit: file_slot(app.keyring, key, app.settings.machine_id, unit.now_us)
        )
        adopt_key_file(app.settings)
    return view


def add_keyring(app: App, actor: Actor) -> SlotView:
    """A key in this machine's OS keyring.  Raises Unavailable where it has none."""
    from mcp_server.bootstrap import os_keyring

    key = new_slot_key()
    os_keyring.write(app.settings, key)
    return _added(
        app, actor, "keyring", lambda unit: keyring_slot(app.keyring, key, app.settings.machine_id, unit.now_us)
    )


def add_passphrase(app: App, actor: Actor, passphrase: Plain, label: str) -> SlotView:
    """A slot that a passphrase opens, in the place of one of the same label.  Raises Invalid for a short one."""
    label = label.strip() or PASSPHRASE
    if not label.isprintable() or len(label) > MAX_LABEL:
        raise Invalid("that label cannot be used", fields={"label": f"1 to {MAX_LABEL} printable characters"})
    check_passphrase(passphrase)
    made = passphrase_slot(app.keyring, passphrase, label, 0)  # before the transaction: it takes its time
    return _added(app, actor, PASSPHRASE, lambda unit: replace(made, created_us=unit.now_us))


def add_recovery(app: App, actor: Actor, deliver: Callable[[Plain], None]) -> SlotView:
    """A new recovery key in the place of the one before, which opens nothing from then on but older backups."""
    key = new_slot_key()
    deliver(Plain(format_recovery_key(key)))
    return _added(app, actor, RECOVERY, lambda unit: recovery_slot(app.keyring, key, unit.now_us))


def check_passphrase(passphrase: Plain) -> None:
    """Raises Invalid for one that whoever has the database would guess."""
    text = passphrase.expose()
    if len(text) < LEAST_PASSPHRASE or len(set(text)) < LEAST_PASSPHRASE // 2:
        raise Invalid(
            "that passphrase is too easy to guess for whoever has the database",
            fields={"passphrase": f"at least {LEAST_PASSPHRASE} characters, half of them different"},
            hint="five or more words that nobody would put together",
        )


def _added(app: App, actor: Actor, kind: str, make: Callable[[AuditedUnit], Slot]) -> SlotView:
    before = app.keyring.stamp
    with app.work.audited(actor, "key.slot", _vault(app), kind=kind, change="added") as unit:
        if app.keyring.stamp is not before:  # what was wrapped already holds the root key before
            raise Conflict("the root key was replaced meanwhile", hint="try again")
        slot = make(unit)
        unit.keys.put_slot(slot)
        unit.note(slot=slot.slot_id)
    return SlotView(slot.slot_id, kind, slot.label, slot.created_us, False, slot.label == app.settings.machine_id)


def remove(app: App, actor: Actor, slot_id: str) -> SlotView:
    """Takes a slot out; what only it opened stays closed.

    Raises NotFound, Conflict for the last one by which this machine opens, and for the last recovery key.
    """
    found = next((one for one in listed(app, actor) if one.slot_id == slot_id), None)
    if found is None:
        raise NotFound("there is no slot of that id", hint=LIST)
    with app.work.audited(actor, "key.slot", _vault(app), kind=found.kind, slot=slot_id, change="removed") as unit:
        rest = [slot for slot in unit.keys.slots() if slot.slot_id != slot_id]
        if not any(slot.kind == RECOVERY for slot in rest):
            raise Conflict(
                "that is the last recovery key: a vault without one cannot be brought back",
                hint="make another one first: claudetools keys slots add recovery",
            )
        opens = [slot for slot in rest if slot.kind == PASSPHRASE or slot.label == app.settings.machine_id]
        if found.here and not opens:
            raise Conflict(
                "that is the last slot by which this machine opens its vault",
                hint="make another one first: claudetools keys slots add passphrase",
            )
        if not unit.keys.drop_slot(slot_id):
            raise NotFound("that slot was removed meanwhile", hint=LIST)
    if found.here:
        _forget(app.settings, found.kind)
    return found


def _forget(settings: Settings, kind: str) -> None:
    """Removes the key that opened a slot of this machine's."""
    if kind == "file":
        settings.root_key_file.unlink(missing_ok=True)
        settings.next_root_key_file.unlink(missing_ok=True)
    elif kind == "keyring":
        from mcp_server.bootstrap import os_keyring

        with suppress(ClaudeToolsError):
            os_keyring.forget(settings)
