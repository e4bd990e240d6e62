"""Brings a machine back that lost its root key file, with the recovery key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import Engine

from domain.actors import Subject
from domain.errors import Broken, Denied, Invalid
from domain.ids import new_id
from mcp_server.bootstrap import App, assemble
from mcp_server.bootstrap.hooks_settings import write_hooks_settings
from mcp_server.bootstrap.installation import add_machine, keep_agent, person_actor
from mcp_server.bootstrap.opening import open_slot, open_vault, read_vault
from mcp_server.bootstrap.slots import file_slot
from mcp_server.bootstrap.wanted import DEFAULT_AGENT, Report, Step
from mcp_server.config import (
    Settings,
    load_settings,
    make_private_directory,
    save_settings,
    write_private,
)
from mcp_server.keyring import KEY_BYTES, Keyring, machine_public_key_of, new_slot_key, parse_recovery_key
from storage.guard import Guard
from storage.identity import Identity
from storage.transaction import begin


def recover(home: Path | None, recovery_key: str, report: Report) -> Settings:
    """Opens the vault by its recovery slot and gives this machine a new root key file.

    An audit key that is missing or another machine's makes this computer a new machine of the vault, and a missing agent
    secret a newly enrolled agent.  Raises Invalid for a mistyped key, Denied for another vault's.
    """
    settings = load_settings(home)
    slot_key = parse_recovery_key(recovery_key)
    engine = open_vault(settings)
    try:
        vault_id, slots = read_vault(engine)
        keyring = open_slot(vault_id, slots, slot_key, "recovery")
        if keyring is None:
            raise Denied(
                "that recovery key belongs to another vault",
                hint="look for the one that was kept when this vault was made",
            )
        for place in settings.directories():
            make_private_directory(place)
        new_machine = not _is_own_key(settings, engine, keyring)
        seed = new_slot_key() if new_machine else settings.machine_key_file.read_bytes()
        before = settings.machine_id
        if new_machine:
            settings = replace(settings, machine_id=new_id("ma"), agent_id="")
            # The name first: a new key under the old machine's name would sign what cannot be verified.
            save_settings(settings)
            write_private(settings.machine_key_file, seed)
        app = assemble(settings, engine, keyring.with_machine_key(seed))
        add_machine(app)
        file_key = new_slot_key()
        # The file first: a slot whose file was never written would lock the machine out.
        write_private(settings.root_key_file, file_key)
        with app.work.audited(app.machine, "key.slot", Subject("vault", vault_id, "vault"), kind="file") as unit:
            # The file that was lost opens nothing any more, whatever its slot was called.
            for label in {before, *(["file"] if settings.is_embedded else [])}:
                unit.keys.drop_slots(label)
            unit.keys.put_slot(file_slot(app.keyring, file_key, settings.machine_id, unit.now_us))
        report(Step(f"root key file {settings.root_key_file}", changed=True))
        report(Step(f"machine {settings.machine_name}", new_machine))
        lost_agent = not settings.agent_id or not settings.agent_secret_file.exists()
        if lost_agent:
            settings = _new_agent(app, settings)
        report(Step(f"agent {settings.agent_name}", lost_agent))
        app.close()
    finally:
        engine.dispose()
    write_hooks_settings(settings)
    return settings


def _new_agent(app: App, settings: Settings) -> Settings:
    name = settings.agent_name or DEFAULT_AGENT
    with app.work.reading(None) as unit:
        found = unit.identity.agent(name, settings.machine_id)
    if found is not None and found.state == "active":
        app.identity.revoke(person_actor(app, settings.person_name), found.agent_id)
    return keep_agent(app, settings, name)


def _is_own_key(settings: Settings, engine: Engine, keyring: Keyring) -> bool:
    """Whether the audit key is there, and is the one under which this machine was enrolled."""
    if not _is_key(settings.machine_key_file):
        return False
    try:
        with begin(engine, write=False) as transaction:
            identity = Identity(transaction.connection, Guard(transaction.connection, keyring.mac))
            machine = identity.machine(settings.machine_id)
    except Broken:
        return True  # the row is at fault, and every act tells so
    seed = settings.machine_key_file.read_bytes()
    return machine is None or machine.public_key == machine_public_key_of(seed)


def _is_key(file: Path) -> bool:
    try:
        return len(file.read_bytes()) == KEY_BYTES
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Invalid(f"cannot read {file}: {error.strerror}", hint=f"chmod 600 {file}") from None
