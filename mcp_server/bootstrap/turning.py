"""Turning the root key: everything that hangs on it is brought under a new one in one transaction.

Before it, all that takes long is done beside everybody else's work: every guarded row is checked and its MAC made anew,
every client key wrapped anew, every value opened for the blind index (within tickets).  The transaction itself writes what
is ready, looks again at what changed meanwhile, and holds the mark on which every other writer's entry hangs.  Who is
killed before its commit has changed nothing; behind it, the new key file lies ready beside the old one.

Other machines cannot be asked for their slots' keys.  The new root key is left for each of them, sealed to its audit key,
whose public half stands in a guarded row; a machine that was shut out has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from domain.actors import Actor, Subject
from domain.credentials import SealedField
from domain.errors import Conflict, Denied, Invalid, Unavailable
from domain.plain import Plain
from mcp_server.bootstrap import App, os_keyring
from mcp_server.bootstrap.opening import open_passphrase_slot, open_slot
from mcp_server.bootstrap.slots import (
    RECOVERY,
    adopt_key_file,
    file_slot,
    key_file_turn,
    keyring_slot,
    machine_slot,
    passphrase_slot,
    recovery_slot,
)
from mcp_server.config import write_private
from mcp_server.keyring import MACHINE, PASSPHRASE, Keyring, format_recovery_key, new_slot_key, parse_recovery_key
from mcp_server.work import AuditedUnit
from storage.keys import Slot
from storage.rekeying import GuardedRow

_PAGE = 1000
_TRIES = 8
"""How often it is tried again because a value came in meanwhile."""
_OLD_RELEASES = ("0.1.",)

Tell = Callable[[str, int, int], object]
RowAt = tuple[str, str]
FieldAt = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """How it is to be turned.

    `recovery` gives the recovery key that is to go on, or None for a new one, which `deliver` brings to a person first.
    `passphrase` gives the passphrase of a slot by its label, or None to let that slot go.  `leave_behind`: although
    machines run a release that cannot pick a new root key up.
    """

    deliver: Callable[[Plain], None]
    recovery: Callable[[], Plain] | None = None
    passphrase: Callable[[str], Plain | None] = lambda _label: None
    leave_behind: bool = False


@dataclass(frozen=True, slots=True)
class Turned:
    """What was done.  `machines` pick the new root key up at their next start; `dropped` are slots that went."""

    rows: int
    client_keys: int
    values: int
    machines: tuple[str, ...]
    dropped: tuple[str, ...]
    invitations: int
    new_recovery_key: bool


@dataclass
class _Ready:
    """What was made before the transaction, each with what it was made from."""

    macs: dict[RowAt, tuple[bytes, bytes]] = field(default_factory=dict)
    wrapped: dict[str, bytes] = field(default_factory=dict)
    factors: dict[str, bytes] = field(default_factory=dict)
    blinds: dict[FieldAt, tuple[bytes, bytes]] = field(default_factory=dict)


class _Late(Exception):
    """Values came in since the blind index was made; nothing has happened."""

    def __init__(self, places: list[FieldAt]) -> None:
        super().__init__()
        self.places = places


def turn_root(app: App, actor: Actor, wanted: Wanted, tell: Tell) -> Turned:
    """Turns the root key.  Raises Broken where any guarded row was tampered with: then nothing is turned.

    Raises Denied for an actor without the right or a recovery key of another vault, Conflict where machines of an older
    release would be locked out or this machine would be.
    """
    kept = must_turn(app, actor, wanted)
    ended = _end_invitations(app, actor)
    passphrases = _passphrases(app, actor, wanted)
    new = app.keyring.turned()
    # What takes its time is made before the transaction.
    behind = [passphrase_slot(new, text, label, 0) for label, text in passphrases.items()]
    ready = _Ready()
    _blinds(app, actor, new, ready, tell)
    recovery = kept if kept is not None else new_slot_key()
    if kept is None:
        wanted.deliver(Plain(format_recovery_key(recovery)))
    with key_file_turn(app.settings):
        openers = _openers(app, actor, bool(behind))
        key = new_slot_key()
        if "file" in openers:
            write_private(app.settings.next_root_key_file, key)
        if "keyring" in openers:
            os_keyring.write(app.settings, key)
        _guarded(app, new, ready, tell)
        tell("swap", 0, 0)
        turned = _swap(app, actor, new, ready, _Keys(key, openers, recovery, tuple(behind)))
        app.keyring.turn(new)
        if "file" in openers:
            adopt_key_file(app.settings)
    return replace(turned, invitations=ended, new_recovery_key=kept is None)


@dataclass(frozen=True, slots=True)
class _Keys:
    """What opens the new slots: this machine's key and how it is kept, the recovery key, passphrase slots that are made."""

    own: bytes = field(repr=False)
    openers: frozenset[str]
    recovery: bytes = field(repr=False)
    behind: tuple[Slot, ...]


# Before the transaction.


def must_turn(app: App, actor: Actor, wanted: Wanted) -> bytes | None:
    """Raises what a turn would be refused for.  The recovery key that goes on, or None for a new one."""
    app.work.permit(actor, "key.rotate")
    _must_keep_up(app, actor, leave_behind=wanted.leave_behind)
    return _kept_recovery(app, actor, wanted)


def _must_keep_up(app: App, actor: Actor, *, leave_behind: bool) -> None:
    """Raises Conflict where an active machine's program would not find the new root key."""
    if leave_behind:
        return
    behind = [
        one.name
        for one in app.machines.machines(actor)
        if one.state == "active"
        and one.machine_id != app.settings.machine_id
        and (not one.program or one.program.startswith(_OLD_RELEASES))
    ]
    if behind:
        raise Conflict(
            f"{', '.join(behind)} would be locked out until upgraded: an older release, or never started since it joined",
            hint="start Claude Code there once with this release, or: claudetools machine revoke NAME; or --leave-behind",
        )


def _kept_recovery(app: App, actor: Actor, wanted: Wanted) -> bytes | None:
    if wanted.recovery is None:
        return None
    key = parse_recovery_key(wanted.recovery().expose())
    with app.work.reading(actor) as unit:
        slots = unit.keys.slots()
    if open_slot(app.keyring.vault_id, slots, key, RECOVERY) is None:
        raise Denied("that recovery key does not open this vault", hint="leave it out, and a new one is made")
    return key


def _end_invitations(app: App, actor: Actor) -> int:
    """Open invitations enclose the root key before: they end here."""
    app.machines.sweep()
    ended = [one for one in app.machines.invitations(actor) if one.state == "open"]
    for one in ended:
        app.machines.withdraw(actor, one.invitation_id)
    return len(ended)


def _passphrases(app: App, actor: Actor, wanted: Wanted) -> dict[str, Plain]:
    """The passphrases that go on, by their slots' labels.  Raises Invalid for one that does not open its slot."""
    with app.work.reading(actor) as unit:
        slots = [slot for slot in unit.keys.slots() if slot.kind == PASSPHRASE]
    found: dict[str, Plain] = {}
    for slot in slots:
        given = wanted.passphrase(slot.label)
        if given is None:
            continue
        if open_passphrase_slot(app.keyring.vault_id, [slot], given) is None:
            raise Invalid(
                f"that is not the passphrase of the slot {slot.label}", fields={"passphrase": "opens nothing"}
            )
        found[slot.label] = given
    return found


def _openers(app: App, actor: Actor, has_passphrase: bool) -> frozenset[str]:
    """How this machine opens: by its file, its OS keyring.  Raises Conflict where it would not open any more."""
    with app.work.reading(actor) as unit:
        slots = unit.keys.slots()
    own = {slot.kind for slot in slots if _is_own(app, slot)}
    if MACHINE in own:
        own.add("file")
    if not own & {"file", "keyring"} and not has_passphrase:
        raise Conflict(
            "this machine opens its vault by a passphrase that would go",
            hint="give it, or first: claudetools keys slots add file",
        )
    return frozenset(own)


def _is_own(app: App, slot: Slot) -> bool:
    # The first setups of an embedded vault called their slot by its kind.
    return slot.label == app.settings.machine_id or (app.settings.is_embedded and slot.kind == slot.label == "file")


def _blinds(app: App, actor: Actor, new: Keyring, ready: _Ready, tell: Tell) -> None:
    """The blind index of every value under the new root key; each is opened within a ticket."""
    after = ("", 0)
    with app.work.steady() as unit:
        before = unit.rekeying.blinds()
    total = len(before)
    while True:
        page: list[list[SealedField]] = []

        def find(
            unit: AuditedUnit, page: list[list[SealedField]] = page, after: tuple[str, int] = after
        ) -> list[SealedField]:
            page[:] = unit.rekeying.fields_of_next("", after, _PAGE)
            return [one for version in page for one in version]

        with app.work.reading(actor) as reading:
            end = reading.rekeying.last_place("", after, _PAGE)
        if end is None:
            return
        ticket, fields = app.work.load_sealed(actor, find, "root")
        for sealed, value in app.keyring.unseal_for_matcher(ticket, fields):
            place = (sealed.credential_id, sealed.version, sealed.field)
            ready.blinds[place] = (before.get(place, b""), new.blind(value))
        # What does not open keeps what it has: it is told by its next use, and its index finds nothing any more.
        for one in fields:
            at = (one.credential_id, one.version, one.field)
            ready.blinds.setdefault(at, (before.get(at, b""), before.get(at, b"")))
        after = end
        tell("values", len(ready.blinds), max(total, len(ready.blinds)))


def _late(app: App, actor: Actor, new: Keyring, ready: _Ready, places: list[FieldAt]) -> None:
    """The same for values that came in meanwhile."""
    ticket, fields = app.work.load_sealed(actor, lambda unit: unit.rekeying.fields_at(places), "root")
    with app.work.steady() as unit:
        now = unit.rekeying.blinds()
    for place in places:
        if place in now:
            ready.blinds[place] = (now[place], now[place])
    for sealed, value in app.keyring.unseal_for_matcher(ticket, fields):
        place = (sealed.credential_id, sealed.version, sealed.field)
        ready.blinds[place] = (now.get(place, b""), new.blind(value))


def _guarded(app: App, new: Keyring, ready: _Ready, tell: Tell) -> None:
    """Checks every guarded row and makes its MAC under the new root key.  Raises Broken."""
    with app.work.steady() as unit:
        for number, found in enumerate(unit.rekeying.guarded()):
            unit.check(found)
            _renewed(app.keyring, new, found, ready)
            if number % _PAGE == 0:
                tell("rows", number, 0)


def _renewed(old: Keyring, new: Keyring, found: GuardedRow, ready: _Ready) -> None:
    row = dict(found.row)
    before = bytes(row.pop("mac"))
    if found.table.name == "client_keys" and row["wrapped"]:
        wrapped = old.rewrapped_client_key(row["client_id"], row["version"], row["wrapped"], new)
        row["wrapped"] = ready.wrapped[row["client_key_id"]] = wrapped
    if found.table.name == "second_factors":
        sealed = old.resealed_factor(row["person_id"], row["sealed"], new)
        row["sealed"] = ready.factors[row["person_id"]] = sealed
    ready.macs[found.table.name, str(found.row[found.key])] = before, new.mac(found.table.name, row)


# The transaction.


def _swap(app: App, actor: Actor, new: Keyring, ready: _Ready, keys: _Keys) -> Turned:
    for left in reversed(range(_TRIES)):
        try:
            return _try_swap(app, actor, new, ready, keys)
        except _Late as late:
            if not left:
                break
            _late(app, actor, new, ready, late.places)
        except Unavailable as busy:
            if not busy.again or not left:
                raise
    raise Unavailable("new values keep coming in", hint="try again")


def _try_swap(app: App, actor: Actor, new: Keyring, ready: _Ready, keys: _Keys) -> Turned:
    subject = Subject("vault", app.settings.vault_id, "vault")
    with app.work.audited_at_length(actor, "key.rotate", subject, {"level": "root"}) as unit:
        rekeying = unit.rekeying
        generation = rekeying.hold_root()
        if generation != (unit.generation or 0):
            raise Conflict("the root key was replaced by somebody else meanwhile", hint="claudetools keys status")
        if any(one.state == "open" for one in unit.invitations.every()):
            raise Conflict("an invitation was made meanwhile", hint="try again")
        unit.keys.touch_vault()
        macs = _current_macs(app, unit, new, ready)
        late = [place for place, blind in rekeying.blinds().items() if ready.blinds.get(place, (None,))[0] != blind]
        if late:
            raise _Late(late)
        slots, machines, dropped = _slots(app, unit, new, keys)
        rekeying.put_client_keys(ready.wrapped)
        rekeying.put_factors(ready.factors)
        rekeying.put_macs(macs)
        rekeying.put_blinds({place: blind for place, (_, blind) in ready.blinds.items()})
        unit.keys.replace_slots(slots)
        rekeying.put_generation(generation + 1)
        unit.generation = generation + 1
        unit.note(
            rows=len(macs),
            client_keys=len(ready.wrapped),
            values=len(ready.blinds),
            machines=len(machines),
            slots=len(slots),
        )
        return Turned(
            len(macs), len(ready.wrapped), len(ready.blinds), machines, dropped, invitations=0, new_recovery_key=False
        )


def _current_macs(app: App, unit: AuditedUnit, new: Keyring, ready: _Ready) -> dict[RowAt, bytes]:
    """The new MACs of the rows as they are now; what changed since they were made ready is checked and made again."""
    now = unit.rekeying.macs()
    own = ("vault", app.settings.vault_id)
    for at, mac in now.items():
        if ready.macs.get(at, (b"",))[0] == mac:
            continue
        found = unit.rekeying.guarded_row(*at)
        if found is None:
            continue
        if at != own:  # whose revision this act's own entry will tell
            unit.check(found)
        _renewed(app.keyring, new, found, ready)
    gone = {key for table, key in ready.macs if table == "client_keys" and (table, key) not in now}
    for key in gone:
        ready.wrapped.pop(key, None)
    return {at: ready.macs[at][1] for at in now if at in ready.macs}


def _slots(
    app: App, unit: AuditedUnit, new: Keyring, keys: _Keys
) -> tuple[list[Slot], tuple[str, ...], tuple[str, ...]]:
    """The slots of the new root key, the machines that pick it up, and the slots that go."""
    own, now = app.settings.machine_id, unit.now_us
    slots: list[Slot] = [recovery_slot(new, keys.recovery, now)]
    if "file" in keys.openers:
        slots.append(file_slot(new, keys.own, own, now))
    if "keyring" in keys.openers:
        slots.append(keyring_slot(new, keys.own, own, now))
    slots += [replace(slot, created_us=now) for slot in keys.behind]
    active = {one.machine_id: one for one in unit.identity.machines() if one.state == "active"}
    behind = {slot.label for slot in keys.behind}
    names: dict[str, str] = {}
    dropped: list[str] = []
    for slot in unit.keys.slots():
        if slot.kind == RECOVERY or _is_own(app, slot):
            continue
        machine = active.get(slot.label)
        if slot.kind == PASSPHRASE:
            dropped += [] if slot.label in behind else [f"passphrase {slot.label}"]
        elif machine is None:
            dropped.append(f"{slot.kind} {slot.label}")
        elif machine.machine_id not in names:
            names[machine.machine_id] = machine.name
            slots.append(machine_slot(new, machine.public_key, machine.machine_id, now))
    return slots, tuple(names.values()), tuple(dropped)
