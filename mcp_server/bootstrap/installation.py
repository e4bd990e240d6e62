"""Makes an installation: data directory, keys, database, vault, machine, person, agent; or joins the vault that is there.

Every step looks first whether it was done, so that a second run changes nothing and a run that
was cut off goes on where it stopped.  The root key is unusable until its recovery slot exists:
the recovery key is delivered before the vault's row is written.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Engine

from domain.actors import SCOPES, Actor, Subject
from domain.errors import Denied, Invalid
from domain.identity import Machine, Person, check_password_form, hash_secret
from domain.ids import new_id
from domain.plain import Plain
from hooks import trust
from mcp_server.bootstrap import App, assemble, build, joining, machine_actor
from mcp_server.bootstrap.database import choose, prepare
from mcp_server.bootstrap.hooks_settings import write_hooks_settings
from mcp_server.bootstrap.opening import INVITE, REVOKED, address_of, by_itself, open_root_key, open_slot
from mcp_server.bootstrap.slots import file_slot, recovery_slot
from mcp_server.bootstrap.wanted import (
    DEFAULT_AGENT,
    Deliver,
    Invitation,
    Report,
    Step,
    Wanted,
)
from mcp_server.config import (
    Settings,
    data_directory,
    load_settings,
    make_private_directory,
    read_private,
    save_settings,
    write_private,
)
from mcp_server.keyring import (
    Keyring,
    format_recovery_key,
    machine_public_key_of,
    new_keyring,
    new_slot_key,
)
from storage.engine import clock_of
from storage.guard import Guard
from storage.identity import read_machine_state
from storage.keys import Keys, Slot, read_slots, read_vault_id
from storage.transaction import begin

MAX_NAME = 64
_VAULT = "vault with file and recovery key slots"
_RECOVER = "claudetools keys recover"

__all__ = ["DEFAULT_AGENT", "Deliver", "Report", "Step", "Wanted", "create", "plan", "write_hooks_settings"]


def plan(wanted: Wanted) -> list[Step]:
    """What `create` would do.  Changes nothing, and asks no server."""
    home = data_directory(wanted.home)
    found = _settings_if_any(home)
    settings = choose(found or Settings(home=home), wanted)
    person = wanted.user if wanted.person is None else wanted.person
    there = bool(found and found.vault_id) if not settings.is_embedded else settings.database_file.exists()
    return [
        Step(f"data directory {home}", not home.is_dir()),
        Step(f"database {address_of(settings).place}", not there),
        Step(f"vault, person {person} and agent {wanted.agent}", not (found and found.vault_id)),
        Step(f"root key file {home / 'keys' / 'root.key'}", not (home / "keys" / "root.key").exists()),
    ]


def create(wanted: Wanted, report: Report) -> Settings:
    """Makes what is missing, telling each step.  Returns the settings of the installation.

    In a database that holds a vault already, this machine joins it.  Raises Invalid where something is there that does
    not fit, for example a database whose root key is gone (`claudetools keys recover`).
    """
    home = data_directory(wanted.home)
    settings = choose(_settings_if_any(home) or Settings(home=home), wanted)
    opened = _opened(settings, wanted)
    if opened is not None:
        settings = choose(settings, replace(wanted, database=opened.invitation.letter.address))
    new = [place for place in settings.directories() if not place.is_dir()]
    for place in settings.directories():
        make_private_directory(place)
    report(Step(f"data directory {home}", bool(new)))
    settings = _with_machine(settings, wanted)
    settings, engine = prepare(settings, wanted, report, opened)
    try:
        settings = _make_vault(settings, engine, wanted, report, opened)
    finally:
        engine.dispose()
    _finish(settings, wanted, report)
    settings = load_settings(home)
    report(Step(f"settings {settings.settings_file}", write_hooks_settings(settings)))
    trust.adopt(str(home), settings.machine_id)
    return settings


def _settings_if_any(home: Path) -> Settings | None:
    return load_settings(home) if (home / "settings.json").exists() else None


def _opened(settings: Settings, wanted: Wanted) -> joining.Opened | None:
    """The invitation that was brought along, opened before anything is written; None for a machine that is in already."""
    if wanted.entry is None or not wanted.invited or (settings.vault_id and settings.root_key_file.exists()):
        return None
    entry = wanted.entry()
    return joining.open_invitation(entry) if isinstance(entry, Invitation) else None


def _with_machine(settings: Settings, wanted: Wanted) -> Settings:
    """Names this machine and makes its audit key, and keeps both before anything needs them."""
    if settings.machine_id and settings.machine_key_file.exists():
        if wanted.machine and not settings.vault_id:  # nobody knows it by its name yet
            settings = replace(settings, machine_name=wanted.machine[:MAX_NAME])
        return settings
    if settings.machine_id:
        raise Invalid(f"this machine's audit key is missing: {settings.machine_key_file}", hint=_RECOVER)
    settings = replace(
        settings,
        machine_id=new_id("ma"),
        machine_name=(wanted.machine or socket.gethostname() or "machine")[:MAX_NAME],
    )
    write_private(settings.machine_key_file, new_slot_key())
    save_settings(settings)
    return settings


def _make_vault(
    settings: Settings, engine: Engine, wanted: Wanted, report: Report, opened: joining.Opened | None
) -> Settings:
    with begin(engine, write=False) as transaction:
        vault_id = read_vault_id(transaction.connection)
        slots = read_slots(transaction.connection)
    if vault_id is not None:
        return _in_vault(replace(settings, vault_id=vault_id), engine, slots, wanted, report, opened)
    keyring = _root_in_slots(settings, slots)
    if keyring is None:
        settings, keyring = _make_root(settings, engine, wanted.deliver)
    seed = read_private(settings.machine_key_file, "this machine's audit key", "./setup.sh")
    _found_vault(assemble(settings, engine, keyring.with_machine_key(seed)))
    report(Step(_VAULT, changed=True))
    return settings


def _in_vault(
    settings: Settings,
    engine: Engine,
    slots: list[Slot],
    wanted: Wanted,
    report: Report,
    opened: joining.Opened | None,
) -> Settings:
    """This machine in a vault that is there: known to it already, or joining it now."""
    keyring = by_itself(settings, settings.vault_id, slots)
    if keyring is None and settings.is_embedded:
        keyring = open_root_key(settings, engine)
    if keyring is None:
        entry = opened.invitation if opened else wanted.entry() if wanted.entry else None
        if entry is None:
            with begin(engine, write=False) as transaction:
                if read_machine_state(transaction.connection, settings.machine_id) == "revoked":
                    raise Denied(REVOKED, hint=INVITE)
            raise Invalid(
                f"{address_of(settings).place} holds a vault already, and this machine is not in it",
                hint="./setup.sh --invitation-file FILE; without an invitation: --recovery-key-file FILE",
            )
        settings = joining.enter(settings, engine, entry, wanted, opened)
        save_settings(settings)
        report(Step(f"machine {settings.machine_name}, joined as {settings.person_name}", changed=True))
        return settings
    save_settings(settings)
    joined = joining.go_on(settings, engine, keyring, wanted)
    if joined is not None:
        settings = replace(settings, person_name=joined.name)
        save_settings(settings)
        report(Step(f"machine {settings.machine_name}, joined as {joined.name}", changed=True))
        return settings
    report(Step(_VAULT, _own_slot(settings, engine, keyring, slots)))
    return settings


def _own_slot(settings: Settings, engine: Engine, keyring: Keyring, slots: list[Slot]) -> bool:
    """Gives this machine a slot under its own name, where its key opens an older one without.  False where it has one."""
    if any(slot.label == settings.machine_id for slot in slots) or not settings.root_key_file.exists():
        return False
    seed = read_private(settings.machine_key_file, "this machine's audit key", "./setup.sh")
    key = read_private(settings.root_key_file, "the root key file", _RECOVER)
    app = assemble(settings, engine, keyring.with_machine_key(seed))
    with app.work.audited(app.machine, "key.slot", Subject("vault", settings.vault_id, "vault"), kind="file") as unit:
        unit.keys.put_slot(file_slot(app.keyring, key, settings.machine_id, unit.now_us))
        unit.keys.drop_slots("file")
    return True


def _root_in_slots(settings: Settings, slots: list[Slot]) -> Keyring | None:
    """The root key of a setup that was cut off behind its slots: rows may be MACed under it."""
    if not settings.vault_id or not slots or not settings.root_key_file.exists():
        return None
    slot_key = read_private(settings.root_key_file, "the root key file", "./setup.sh")
    return open_slot(settings.vault_id, slots, slot_key, "file")


def _make_root(settings: Settings, engine: Engine, deliver: Deliver | None) -> tuple[Settings, Keyring]:
    """A new root key in its two slots.  Nothing is MACed under it before it can be opened again."""
    if deliver is None:
        raise Invalid(
            "a new vault has a recovery key, and nobody is there to keep it",
            hint="./setup.sh --recovery-file FILE",
        )
    settings = replace(settings, vault_id=new_id("va"))
    keyring = new_keyring(settings.vault_id)
    file_key, recovery_key = new_slot_key(), new_slot_key()
    deliver(Plain(format_recovery_key(recovery_key)))
    write_private(settings.root_key_file, file_key)
    now_us = clock_of(engine)()
    with begin(engine, write=True) as transaction:
        keys = Keys(transaction.connection, Guard(transaction.connection, keyring.mac))
        keys.put_slot(file_slot(keyring, file_key, settings.machine_id, now_us))
        keys.put_slot(recovery_slot(keyring, recovery_key, now_us))
        transaction.commit()
    save_settings(settings)
    return settings, keyring


def _found_vault(app: App) -> None:
    settings, machine = app.settings, app.machine
    # The machine's row comes first: every signature is checked against it.
    add_machine(app)
    subject = Subject("vault", settings.vault_id, "vault")
    with app.work.audited(machine, "vault.create", subject, tier=settings.tier) as unit:
        unit.keys.create_vault(
            {
                "vault_id": settings.vault_id,
                "name": "vault",
                "tier": settings.tier,
                "default_exposure": "reveal",
                "created_us": unit.now_us,
            }
        )


def add_machine(app: App) -> None:
    """Registers this machine and its audit key, where it is not registered yet."""
    settings = app.settings
    with app.work.reading(None) as unit:
        if unit.identity.machine(settings.machine_id) is not None:
            return
    seed = read_private(settings.machine_key_file, "this machine's audit key", "./setup.sh")
    subject = Subject("machine", settings.machine_id, settings.machine_name)
    with app.work.audited(app.machine, "machine.enroll", subject) as audited:
        audited.identity.add_machine(
            Machine(
                settings.machine_id,
                settings.machine_name,
                machine_public_key_of(seed),
                "active",
                audited.now_us,
            )
        )


def _finish(settings: Settings, wanted: Wanted, report: Report) -> None:
    app = build(settings)
    try:
        with app.work.reading(None) as unit:
            names = unit.identity.person_names()
        if names:
            person_name = settings.person_name or names[0]
        else:
            person_name = wanted.user if wanted.person is None else wanted.person
            _add_person(app, person_name, wanted.password)
        report(Step(f"person {person_name}", not names))
        settings = replace(settings, person_name=person_name)
        save_settings(settings)
        enrolled = _ensure_agent(app, settings, wanted.agent)
        report(Step(f"agent {wanted.agent} on {settings.machine_name}", enrolled))
    finally:
        app.close()


def _add_person(app: App, name: str, ask: Callable[[], Plain] | None) -> None:
    if not 1 <= len(name.strip()) <= MAX_NAME or not name.isprintable():
        raise Invalid("the person's name cannot be used", fields={"person": "1 to 64 printable characters"})
    if ask is None:
        raise Invalid("the first person needs a password", hint="./setup.sh --password-file FILE")
    password = ask().expose()
    check_password_form(password)
    hashed = hash_secret(password)
    person_id = new_id("pe")
    with app.work.audited(app.machine, "person.create", Subject("person", person_id, name), role="owner") as unit:
        unit.identity.add_person(Person(person_id, name, "owner", hashed, "active", unit.now_us))


def person_actor(app: App, name: str) -> Actor:
    """The person who sets up this machine, asserted by holding its keys."""
    with app.work.reading(None) as unit:
        person = unit.identity.person(name)
    if person is None:
        raise Invalid("there is no such person", fields={"person": "not in this vault"})
    return replace(
        machine_actor(app.settings),
        kind="person",
        id=person.person_id,
        name=person.name,
        owner_id=person.person_id,
        owner_name=person.name,
        verified=frozenset({"machine"}),
        scopes=SCOPES,
    )


def _ensure_agent(app: App, settings: Settings, name: str) -> bool:
    if settings.agent_id and settings.agent_secret_file.exists():
        return False
    if settings.agent_id:
        raise Invalid(
            f"the agent's secret is missing: {settings.agent_secret_file}",
            hint=f"claudetools agent revoke {settings.agent_name} && ./setup.sh",
        )
    with app.work.reading(None) as unit:
        found = unit.identity.agent(name, settings.machine_id)
    if found is not None and found.state == "active":
        # A setup that was cut off between enrolling and keeping the secret.
        app.identity.revoke(person_actor(app, settings.person_name), found.agent_id)
    keep_agent(app, settings, name)
    return True


def keep_agent(app: App, settings: Settings, name: str) -> Settings:
    """Enrols the agent of this machine and keeps its secret in a 0600 file."""
    view, secret = app.identity.enroll(person_actor(app, settings.person_name), name)
    settings = replace(settings, agent_id=view.agent_id, agent_name=view.name)
    write_private(settings.agent_secret_file, secret.expose())
    save_settings(settings)
    return settings
