"""Lets this machine into a vault that exists: with an invitation, or with the recovery key.

Both end the same way: the root key in a slot of this machine's own, the machine's audit key registered, both audited as
the act of the person who joined.  What is kept on this machine is written before what it stands for is committed, so that
a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

from sqlalchemy import Engine

from domain.actors import Actor, Subject
from domain.errors import Conflict, Denied, Invalid
from domain.identity import ROLE_SCOPES, Machine, Person
from domain.ids import new_id
from domain.invitations import Enclosed
from mcp_server.bootstrap import App, assemble, machine_actor
from mcp_server.bootstrap.database import keep_accounts
from mcp_server.bootstrap.opening import address_of, open_slot
from mcp_server.bootstrap.slots import file_slot
from mcp_server.bootstrap.wanted import Entry, Invitation, Wanted
from mcp_server.config import Settings, read_private, save_settings, write_private
from mcp_server.keyring import (
    Keyring,
    machine_public_key_of,
    new_slot_key,
    open_invited_root,
    open_letter,
    parse_recovery_key,
    signing_alone,
)
from mcp_server.services.machines import Admission, check_person, signer_of
from mcp_server.work import HeadNotes, Work
from storage.engine import clock_of
from storage.guard import Guard
from storage.identity import Identity
from storage.invitations import read_invitation
from storage.keys import Slot, read_slots, read_vault_id
from storage.transaction import begin


@dataclass(frozen=True, slots=True)
class Opened:
    """An invitation that its code has opened: what was enclosed, and the code's key for the rest."""

    invitation: Invitation
    enclosed: Enclosed
    key: bytes


def open_invitation(entry: Invitation) -> Opened:
    """Opens what the code alone opens.  Raises Invalid for a wrong code or an altered text."""
    enclosed, key = open_letter(entry.letter, entry.code)
    return Opened(entry, enclosed, key)


def enter(settings: Settings, engine: Engine, entry: Entry, wanted: Wanted, opened: Opened | None = None) -> Settings:
    """Gives this machine the root key and enrols it.  Returns settings that name the vault and the person.

    Raises Denied for an invitation that is not good any more or another vault's recovery key, Unauthenticated for a wrong
    password.
    """
    with begin(engine, write=False) as transaction:
        vault_id = read_vault_id(transaction.connection) or ""
        slots = read_slots(transaction.connection)
    if isinstance(entry, Invitation):
        return _by_invitation(settings, engine, vault_id, opened or open_invitation(entry), wanted)
    keyring = open_slot(vault_id, slots, parse_recovery_key(entry.text.expose()), "recovery")
    if keyring is None:
        raise Denied(
            "that recovery key belongs to another vault", hint="look for the one that was kept when this vault was made"
        )
    settings = _as_itself(replace(settings, vault_id=vault_id), engine, keyring, wanted)
    person = find_person(engine, keyring, wanted, lambda name, password: _checked(engine, keyring, name, password))
    enrol(settings, engine, keyring, person)
    _keep_slot(settings, engine, keyring)
    return replace(settings, person_name=person.name)


def _by_invitation(settings: Settings, engine: Engine, vault_id: str, opened: Opened, wanted: Wanted) -> Settings:
    letter = opened.invitation.letter
    if letter.vault_id != vault_id:
        raise Denied(
            "this invitation is for another vault than the one in this database", hint="have a new one made there"
        )
    with begin(engine, write=False) as transaction:
        found = read_invitation(transaction.connection, letter.invitation_id)
    if found is None:
        raise Denied("the vault does not know this invitation", hint="have a new one made: claudetools machine invite")
    seed = opened.enclosed.signing_seed
    notes, clock, signer = HeadNotes(settings.heads_dir), clock_of(engine), signer_of(letter.invitation_id)
    bare = Work(engine, signing_alone(vault_id, seed), notes, signer, clock)
    Admission(bare, letter.invitation_id, found.label).refuse(found, clock())
    keyring = open_invited_root(letter, opened.key, found.share)
    settings = _as_itself(replace(settings, vault_id=vault_id), engine, keyring, wanted)
    admission = Admission(
        Work(engine, keyring.with_machine_key(seed), notes, signer, clock), letter.invitation_id, found.label
    )
    person = find_person(engine, keyring, wanted, admission.person)
    slot = _new_file_key(settings, keyring)
    # From here on this machine can open the vault; whoever is cut off below goes on without the invitation.
    enclosed = opened.enclosed
    settings = keep_accounts(
        replace(settings, person_name=person.name),
        address_of(settings),
        *(enclosed.password, enclosed.hooks_account, enclosed.hooks_password),
    )
    try:
        admission.use(
            person, settings.machine_id, lambda unit: unit.keys.put_slot(replace(slot, created_us=unit.now_us))
        )
    except Denied:
        for file in (settings.root_key_file, settings.database_password_file, settings.hooks_password_file):
            file.unlink(missing_ok=True)
        with begin(engine, write=False) as transaction:
            now = read_invitation(transaction.connection, letter.invitation_id)
        if now is not None:
            Admission(bare, letter.invitation_id, found.label).refuse(now, clock())
        raise
    enrol(settings, engine, keyring, person)
    return settings


def find_person(engine: Engine, keyring: Keyring, wanted: Wanted, proved: Callable[[str, str], Person]) -> Person:
    """The person who joins, proved by `proved(name, password)`.  Raises Invalid where nobody was named."""
    with begin(engine, write=False) as transaction:
        names = Identity(transaction.connection, Guard(transaction.connection, keyring.mac)).person_names()
    name = wanted.person or (wanted.user if wanted.user in names else names[0] if len(names) == 1 else "")
    if not name:
        raise Invalid("who joins was not said", fields={"person": "a name in this vault"}, hint="--person NAME")
    if wanted.login is None:
        raise Invalid(f"the password of {name} is needed", hint="--password-file FILE")
    return proved(name, wanted.login(name).expose())


def _checked(engine: Engine, keyring: Keyring, name: str, password: str) -> Person:
    """Whoever holds the recovery key holds the vault: a wrong password is refused, and there is nothing to sign with yet."""
    with begin(engine, write=False) as transaction:
        found = Identity(transaction.connection, Guard(transaction.connection, keyring.mac)).person(name)
    return check_person(found, password)


def _as_itself(settings: Settings, engine: Engine, keyring: Keyring, wanted: Wanted) -> Settings:
    """The settings under which this machine can be enrolled.

    Where it was shut out, or its key is another's, it becomes a new machine; and its name is one that no other active
    machine has.  Raises Conflict where it was asked to have a name that is taken.
    """
    with begin(engine, write=False) as transaction:
        there = Identity(transaction.connection, Guard(transaction.connection, keyring.mac)).machines()
    seed = read_private(settings.machine_key_file, "this machine's audit key", "./setup.sh")
    known = next((one for one in there if one.machine_id == settings.machine_id), None)
    if known is not None and known.state == "active" and known.public_key == machine_public_key_of(seed):
        return settings
    name = _free_name(settings.machine_name, {one.name for one in there if one.state == "active"}, wanted.machine)
    if known is None:
        return replace(settings, machine_name=name)
    settings = replace(settings, machine_id=new_id("ma"), machine_name=name, agent_id="", agent_name="")
    # The name first: a new key under the old machine's name would sign what cannot be verified.
    save_settings(settings)
    write_private(settings.machine_key_file, new_slot_key())
    return settings


def _free_name(name: str, taken: set[str], asked: str) -> str:
    if name not in taken:
        return name
    if asked:
        raise Conflict(
            "a machine of that name is in the vault already",
            hint="another --machine NAME; or there, if it is gone: claudetools machine revoke NAME",
        )
    return next(free for number in count(2) if (free := f"{name[:56]}-{number}") not in taken)


def enrol(settings: Settings, engine: Engine, keyring: Keyring, person: Person) -> bool:
    """Registers this machine's audit key under the person; False where it is registered."""
    seed = read_private(settings.machine_key_file, "this machine's audit key", "./setup.sh")
    app = assemble(settings, engine, keyring.with_machine_key(seed))
    with app.work.reading(None) as unit:
        if unit.identity.machine(settings.machine_id) is not None:
            return False
    subject = Subject("machine", settings.machine_id, settings.machine_name)
    with app.work.audited(joining_actor(settings, person), "machine.enroll", subject) as audited:
        audited.identity.add_machine(
            Machine(settings.machine_id, settings.machine_name, machine_public_key_of(seed), "active", audited.now_us)
        )
    return True


def go_on(settings: Settings, engine: Engine, keyring: Keyring, wanted: Wanted) -> Person | None:
    """Enrols a machine whose joining was cut off behind its key; None where it is enrolled.

    Raises Denied for one that was shut out.
    """
    with begin(engine, write=False) as transaction:
        known = Identity(transaction.connection, Guard(transaction.connection, keyring.mac)).machine(
            settings.machine_id
        )
    if known is not None:
        if known.state != "active":
            raise Denied(
                "this machine was revoked", hint="have an invitation made, then ./setup.sh --invitation-file FILE"
            )
        return None
    named = replace(wanted, person=wanted.person or settings.person_name or None)
    person = find_person(engine, keyring, named, lambda name, password: _checked(engine, keyring, name, password))
    enrol(settings, engine, keyring, person)
    return person


def joining_actor(settings: Settings, person: Person) -> Actor:
    """The person who joins with this machine, proved by a password."""
    return replace(
        machine_actor(settings),
        kind="person",
        id=person.person_id,
        name=person.name,
        owner_id=person.person_id,
        owner_name=person.name,
        verified=frozenset({"person", "machine"}),
        scopes=ROLE_SCOPES.get(person.role, frozenset()),
    )


def _new_file_key(settings: Settings, keyring: Keyring) -> Slot:
    """This machine's key file, and the slot that it opens."""
    key = new_slot_key()
    # The file first: a slot whose file was never written would lock the machine out.
    write_private(settings.root_key_file, key)
    return file_slot(keyring, key, settings.machine_id, 0)


def _keep_slot(settings: Settings, engine: Engine, keyring: Keyring) -> None:
    key = new_slot_key()
    # The file first: a slot whose file was never written would lock the machine out.
    write_private(settings.root_key_file, key)
    seed = read_private(settings.machine_key_file, "this machine's audit key", "./setup.sh")
    app: App = assemble(settings, engine, keyring.with_machine_key(seed))
    with app.work.audited(app.machine, "key.slot", Subject("vault", settings.vault_id, "vault"), kind="file") as unit:
        unit.keys.put_slot(file_slot(app.keyring, key, settings.machine_id, unit.now_us))
