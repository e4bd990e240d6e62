"""Off-boards a client for good: keys, values, memory and texts, and then a new root key.

A destroyed client key still lies in older dumps, wrapped under the root key; so that goes last.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from domain.actors import Actor
from domain.context import Filters
from domain.errors import NotFound
from domain.registry import RegistryItem
from mcp_server.bootstrap import App
from mcp_server.bootstrap.turning import Tell, Turned, Wanted, must_turn, turn_root
from mcp_server.services.shredding import Left

UNREACHED = (
    "backups that were made before: they open with the recovery key of that time",
    "exports, and whatever was copied out of the vault",
    "what waits on other machines: sessions that were not sent yet, the last injection on their shelves",
    "values in the memory of programs that run: they go at their next look at the vault",
    "the database server's own logs and dumps; of keys and values they hold nothing that still opens",
)
"""What no command reaches."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """What would go."""

    client: RegistryItem
    left: Left
    records: int


@dataclass(frozen=True, slots=True)
class Shredded:
    """What went, and the entry that says so."""

    doomed: Doomed
    records: int
    turned: Turned
    entry: str


def doomed(app: App, actor: Actor, name: str) -> Doomed:
    """What `shred` would destroy.  Changes nothing.  Raises NotFound."""
    with app.work.reading(actor) as unit:
        client = unit.registry.client(name)
    if client is None:
        raise NotFound("there is no client of that name", hint="claudetools client list")
    records = app.context.forgetting.doomed(actor, Filters(client=client.slug))[0].records
    return Doomed(client, app.shredding.left(actor, client), records)


def shred(app: App, actor: Actor, found: Doomed, purpose: str, wanted: Wanted, tell: Tell) -> Shredded:
    """Destroys all of it and turns the root key.  Cut off, the same again does the rest.

    Raises what a turn of the root key would be refused for before anything is destroyed.
    """
    must_turn(app, actor, wanted)
    entry = app.shredding.begin(actor, found.client, purpose)
    app.shredding.destroy(actor, found.client, tell)
    records = 0
    with suppress(NotFound):  # nothing is remembered of it
        filters = Filters(client=found.client.slug)
        gone = app.context.forgetting.all_of(
            actor, filters, purpose, report=lambda done: tell("records", done, found.records)
        )
        records = gone.records
    return Shredded(found, records, turn_root(app, actor, wanted, tell), entry)
