"""Key slots: each machine's file opens one of its own, which goes when the machine is shut out."""

from __future__ import annotations

from domain.ids import new_id
from mcp_server.keyring import Keyring
from storage.keys import Slot

RECOVERY = "recovery"


def file_slot(keyring: Keyring, key: bytes, machine_id: str, now_us: int) -> Slot:
    """The slot that a machine's key file opens."""
    return _slot(keyring, key, "file", machine_id, now_us)


def recovery_slot(keyring: Keyring, key: bytes, now_us: int) -> Slot:
    """The slot that the recovery key opens."""
    return _slot(keyring, key, RECOVERY, RECOVERY, now_us)


def _slot(keyring: Keyring, key: bytes, kind: str, label: str, now_us: int) -> Slot:
    slot_id = new_id("sl")
    return Slot(slot_id, kind, label, keyring.wrap_root(key, slot_id, kind), now_us)
