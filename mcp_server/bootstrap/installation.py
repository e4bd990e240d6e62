"""Makes an installation: data directory, keys, database, vault, machine, person, agent.

Every step looks first whether it was done, so that a second run changes nothing and a run that
was cut off goes on where it stopped.  The root key is unusable until its recovery slot exists:
the recovery key is delivered before the vault's row is written.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine

from domain.actors import SCOPES, Actor, Subject
from domain.errors import Broken, Conflict, Invalid
from domain.identity import Machine, Person, check_password_form, hash_secret
from domain.ids import new_id
from domain.plain import Plain
from mcp_server.bootstrap import App, assemble, build, machine_actor
from mcp_server.bootstrap.opening import open_slot
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
from mcp_server.work import now_us
from storage.engine import open_engine
from storage.guard import Guard
from storage.keys import Keys, Slot, read_slots, read_vault_id
from storage.migrations import current_revision, head_revision, known, upgrade
from storage.transaction import begin

DEFAULT_AGENT = "claude-code"
MAX_NAME = 64

Deliver = Callable[[Plain], None]
"""Gives the recovery key to the person and returns once it is kept.  Raises to stop the setup."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a new installation is to be called, and how its one-time secrets are handled.

    `password` is asked for, and `deliver` is called, only where a vault or person is made.
    """

    home: Path | None = None
    person: str = "owner"
    machine: str = ""
    agent: str = DEFAULT_AGENT
    password: Callable[[], Plain] | None = None
    deliver: Deliver | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it is about, and whether it changed (or would change) anything."""

    text: str
    changed: bool


Report = Callable[[Step], None]


def plan(wanted: Wanted) -> list[Step]:
    """What `create` would do.  Changes nothing."""
    home = data_directory(wanted.home)
    settings = _settings_if_any(home)
    database = settings.database_file if settings else home / "claudetools.db"
    return [
        Step(f"data directory {home}", not home.is_dir()),
        Step(f"database {database}", not database.exists()),
        Step(f"vault, person {wanted.person} and agent {wanted.agent}", settings is None),
        Step(f"root key file {home / 'keys' / 'root.key'}", not (home / "keys" / "root.key").exists()),
    ]


def create(wanted: Wanted, report: Report) -> Settings:
    """Makes what is missing, telling each step.  Returns the settings of the installation.

    Raises Invalid where something is there already that does not fit, for example a database
    whose root key is gone (`claudetools keys recover`).
    """
    home = data_directory(wanted.home)
    settings = _settings_if_any(home) or Settings(home=home)
    new = [place for place in settings.directories() if not place.is_dir()]
    for place in settings.directories():
        make_private_directory(place)
    report(Step(f"data directory {home}", bool(new)))
    settings = _with_machine(settings, wanted)
    report(Step(f"database {settings.database_file}", _upgrade(settings)))
    settings = _make_vault(settings, wanted, report)
    _finish(settings, wanted, report)
    settings = load_settings(home)
    report(Step(f"settings {settings.settings_file}", write_hooks_settings(settings)))
    return settings


def _settings_if_any(home: Path) -> Settings | None:
    return load_settings(home) if (home / "settings.json").exists() else None


def _with_machine(settings: Settings, wanted: Wanted) -> Settings:
    """Names this machine and makes its audit key, and keeps both before anything needs them."""
    if settings.machine_id and settings.machine_key_file.exists():
        return settings
    if settings.machine_id:
        raise Invalid(
            f"this machine's audit key is missing: {settings.machine_key_file}",
            hint="claudetools keys recover",
        )
    settings = replace(
        settings,
        machine_id=new_id("ma"),
        machine_name=(wanted.machine or socket.gethostname() or "machine")[:64],
    )
    write_private(settings.machine_key_file, new_slot_key())
    save_settings(settings)
    return settings


def _upgrade(settings: Settings) -> bool:
    fresh = not settings.database_file.exists()
    # Made private before SQLite opens it: its journal files take the same mode.
    settings.database_file.touch(mode=0o600)
    engine = open_engine(settings.database_file)
    try:
        with begin(engine, write=False) as transaction:
            before = current_revision(transaction.connection)
        if before == head_revision():
            return fresh
        if not known(before):
            raise Conflict(
                f"the database was made by a newer program: {settings.database_file}", hint="git pull && ./setup.sh"
            )
        upgrade(engine)
    finally:
        engine.dispose()
    return True


def _make_vault(settings: Settings, wanted: Wanted, report: Report) -> Settings:
    engine = open_engine(settings.database_file)
    try:
        with begin(engine, write=False) as transaction:
            vault_id = read_vault_id(transaction.connection)
            slots = read_slots(transaction.connection)
        if vault_id is not None:
            settings = replace(settings, vault_id=vault_id)
            slot_key = read_private(settings.root_key_file, "the root key file", "claudetools keys recover")
            if open_slot(vault_id, slots, slot_key, "file") is None:
                raise Broken("the root key file does not open this vault", hint="claudetools keys recover")
            save_settings(settings)
            report(Step("vault with file and recovery key slots", changed=False))
            return settings
        keyring = _root_in_slots(settings, slots)
        if keyring is None:
            settings, keyring = _make_root(settings, engine, wanted.deliver)
        seed = read_private(settings.machine_key_file, "this machine's audit key", "./setup.sh")
        _found_vault(assemble(settings, engine, keyring.with_machine_key(seed)))
        report(Step("vault with file and recovery key slots", changed=True))
        return settings
    finally:
        engine.dispose()


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
    with begin(engine, write=True) as transaction:
        keys = Keys(transaction.connection, Guard(transaction.connection, keyring.mac))
        for kind, key in (("file", file_key), ("recovery", recovery_key)):
            keys.put_slot(new_slot(keyring, key, kind, now_us()))
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


def new_slot(keyring: Keyring, key: bytes, kind: str, now_us: int) -> Slot:
    """A key slot of this kind, opened by `key`."""
    slot_id = new_id("sl")
    return Slot(slot_id, kind, kind, keyring.wrap_root(key, slot_id, kind), now_us)


def _finish(settings: Settings, wanted: Wanted, report: Report) -> None:
    app = build(settings)
    try:
        with app.work.reading(None) as unit:
            names = unit.identity.person_names()
        if names:
            person_name = settings.person_name or names[0]
        else:
            person_name = wanted.person
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


def write_hooks_settings(settings: Settings) -> bool:
    """Writes the flat file that hooks read.  False where it says the same already."""
    app = build(settings)
    try:
        with app.work.reading(None) as unit:
            person = unit.identity.person(settings.person_name)
    finally:
        app.close()
    said = {
        "home": str(settings.home),
        "database": str(settings.database_file),
        "machine_id": settings.machine_id,
        "machine_name": settings.machine_name,
        "agent_id": settings.agent_id,
        "owner_id": person.person_id if person else "",
        "owner_name": settings.person_name,
        "deadline_ms": 800,
        "block_characters": 4000,
    }
    text = json.dumps(said, indent=2, sort_keys=True) + "\n"
    file = settings.hooks_settings_file
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return False
    write_private(file, text)
    return True
