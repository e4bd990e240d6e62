"""Writes the flat file that hooks read."""

from __future__ import annotations

import json

from mcp_server.bootstrap import build
from mcp_server.bootstrap.opening import hooks_address_of
from mcp_server.config import Settings, write_private

DEADLINE_MS = 800
BLOCK_CHARACTERS = 4000


def write_hooks_settings(settings: Settings) -> bool:
    """Writes it.  False where it says the same already.

    `database` is the path of the embedded file, or what is needed to dial the server (`Address.flat`).
    """
    app = build(settings)
    try:
        with app.work.reading(None) as unit:
            person = unit.identity.person(settings.person_name)
    finally:
        app.close()
    said = {
        "home": str(settings.home),
        "database": hooks_database(settings),
        "machine_id": settings.machine_id,
        "machine_name": settings.machine_name,
        "agent_id": settings.agent_id,
        "owner_id": person.person_id if person else "",
        "owner_name": settings.person_name,
        "deadline_ms": DEADLINE_MS,
        "block_characters": BLOCK_CHARACTERS,
        "start_line": settings.start_line,
    }
    text = json.dumps(said, indent=2, sort_keys=True) + "\n"
    file = settings.hooks_settings_file
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return False
    write_private(file, text)
    return True


def hooks_database(settings: Settings) -> str | dict[str, object]:
    """How hooks reach the database."""
    if settings.is_embedded:
        return str(settings.database_file)
    return hooks_address_of(settings).flat()
