"""build(settings) -> App: the only constructor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from domain.actors import Actor
from mcp_server.config import Settings, load_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from mcp_server.keyring import Keyring
    from mcp_server.services.approvals import Approvals
    from mcp_server.services.audit import AuditLog
    from mcp_server.services.capture import Capture
    from mcp_server.services.context import Context
    from mcp_server.services.credential_export import CredentialExport
    from mcp_server.services.credential_import import CredentialImport
    from mcp_server.services.credentials import Credentials
    from mcp_server.services.explaining import Explaining
    from mcp_server.services.factors import Factors
    from mcp_server.services.guarding import Guard
    from mcp_server.services.identity import Identity
    from mcp_server.services.incidents import Incidents
    from mcp_server.services.keys import Keys
    from mcp_server.services.levels import Levels
    from mcp_server.services.machines import Machines
    from mcp_server.services.persons import Persons
    from mcp_server.services.picking import Picking
    from mcp_server.services.recipes import Recipes
    from mcp_server.services.redaction import Redaction
    from mcp_server.services.registry import Registry
    from mcp_server.services.reminding import Reminders
    from mcp_server.services.reports import Reports
    from mcp_server.services.rescan import Rescan
    from mcp_server.services.rules import PolicyRules
    from mcp_server.services.scanning import Scan
    from mcp_server.services.shredding import Shredding
    from mcp_server.services.tallies import Tallies
    from mcp_server.services.use import Use
    from mcp_server.work import Work


@dataclass(frozen=True)
class App:
    """One process's services over one vault.  Close it when done."""

    settings: Settings
    machine: Actor
    engine: Engine
    work: Work
    keyring: Keyring
    redaction: Redaction
    credentials: Credentials
    registry: Registry
    audit: AuditLog
    identity: Identity
    machines: Machines
    keys: Keys
    shredding: Shredding
    incidents: Incidents
    context: Context
    capture: Capture
    rescan: Rescan
    scan: Scan
    tallies: Tallies
    explaining: Explaining
    recipes: Recipes
    levels: Levels
    rules: PolicyRules
    approvals: Approvals
    factors: Factors
    persons: Persons
    use: Use
    guard: Guard
    reports: Reports
    reminders: Reminders
    picking: Picking
    credential_import: CredentialImport
    credential_export: CredentialExport

    def close(self) -> None:
        """Drops the matcher and closes the database connections."""
        self.redaction.forget()
        self.engine.dispose()


def machine_actor(settings: Settings) -> Actor:
    """This machine, acting by itself."""
    return Actor(
        kind="machine",
        id=settings.machine_id,
        name=settings.machine_name,
        machine_id=settings.machine_id,
        machine_name=settings.machine_name,
        verified=frozenset({"machine"}),
        tier=settings.tier,
    )


def build(settings: Settings | None = None, *, clock: Callable[[], int] | None = None) -> App:
    """Opens the vault and builds the services.

    Raises Invalid where the installation or a key file is missing or open to others, Unavailable
    where the database cannot be reached, Conflict where it is newer than this program, Broken
    where the key does not open it.
    """
    from mcp_server.bootstrap.opening import open_keyring, open_vault

    settings = settings or load_settings()
    engine = open_vault(settings)
    try:
        keyring = open_keyring(settings, engine)
        app = assemble(settings, engine, keyring, clock=clock)
        if keyring.opened_for_machine:
            from mcp_server.bootstrap.slots import pick_up

            pick_up(app)
        return app
    except BaseException:
        engine.dispose()
        raise


def assemble(
    settings: Settings,
    engine: Engine,
    keyring: Keyring,
    *,
    clock: Callable[[], int] | None = None,
) -> App:
    """Puts the services together over an open database and keyring."""
    from mcp_server.bootstrap.opening import renew
    from mcp_server.services.approvals import Approvals
    from mcp_server.services.audit import AuditLog
    from mcp_server.services.capture import Capture
    from mcp_server.services.context import Context
    from mcp_server.services.credential_export import CredentialExport
    from mcp_server.services.credential_import import CredentialImport
    from mcp_server.services.credentials import Credentials
    from mcp_server.services.explaining import Explaining
    from mcp_server.services.factors import Factors
    from mcp_server.services.guarding import Guard
    from mcp_server.services.identity import Identity
    from mcp_server.services.incidents import Incidents
    from mcp_server.services.keys import Keys
    from mcp_server.services.levels import Levels
    from mcp_server.services.machines import Machines
    from mcp_server.services.persons import Persons
    from mcp_server.services.picking import Picking
    from mcp_server.services.recipes import Recipes
    from mcp_server.services.redaction import Redaction
    from mcp_server.services.registry import Registry
    from mcp_server.services.reminding import Reminders
    from mcp_server.services.reports import Reports
    from mcp_server.services.rescan import Rescan
    from mcp_server.services.rules import PolicyRules
    from mcp_server.services.scanning import Scan
    from mcp_server.services.shredding import Shredding
    from mcp_server.services.tallies import Tallies
    from mcp_server.services.use import Use
    from mcp_server.work import HeadNotes, Work
    from storage.engine import clock_of

    machine = machine_actor(settings)
    notes = HeadNotes(settings.heads_dir)
    renewal = partial(renew, settings, engine, keyring)
    work = Work(engine, keyring, notes, settings.machine_id, clock or clock_of(engine), renewal)
    redaction = Redaction(work, keyring, machine)
    registry = Registry(work, keyring, redaction)
    capture = Capture(settings, work, redaction, machine)
    credentials = Credentials(work, keyring, redaction, registry)
    factors = Factors(work, keyring)
    return App(
        settings=settings,
        machine=machine,
        engine=engine,
        work=work,
        keyring=keyring,
        redaction=redaction,
        credentials=credentials,
        registry=registry,
        audit=AuditLog(work, redaction),
        identity=Identity(work, keyring, settings, machine),
        machines=Machines(work, keyring, machine),
        keys=Keys(work, keyring),
        shredding=Shredding(work),
        incidents=Incidents(work, redaction),
        context=Context(settings, work, redaction, machine, drain=capture.drain_for),
        capture=capture,
        rescan=Rescan(settings, work, redaction, machine),
        scan=Scan(str(settings.home), work, redaction),
        tallies=Tallies(work),
        explaining=Explaining(settings, redaction),
        recipes=Recipes(work),
        levels=Levels(work),
        rules=PolicyRules(work),
        approvals=Approvals(work, redaction, factors),
        factors=factors,
        persons=Persons(work),
        use=Use(work, keyring, redaction),
        guard=Guard(settings, work, keyring, redaction),
        reports=Reports(work, keyring),
        reminders=Reminders(settings, work),
        picking=Picking(work),
        credential_import=CredentialImport(work, keyring, redaction, registry, credentials),
        credential_export=CredentialExport(work, keyring, redaction),
    )
