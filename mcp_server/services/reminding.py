"""Leaves for the hooks what is due at which client: times, and nothing else of a credential."""

from __future__ import annotations

from domain.credentials import DAY_US
from domain.errors import ClaudeToolsError
from hooks import reminders
from hooks.files import log_trouble
from mcp_server.config import Settings
from mcp_server.work import Work

AHEAD_US = 90 * DAY_US
"""What comes later is found by the server that starts with one of the sessions until then."""


class Reminders:
    """The reminders of one machine."""

    def __init__(self, settings: Settings, work: Work) -> None:
        self._home = str(settings.home)
        self._work = work

    def refresh(self) -> None:
        """Looks what is due, for the next session's start.  Never raises: nothing leans on it."""
        try:
            clients: dict[str, tuple[list[int], list[int]]] = {}
            with self._work.reading(None) as unit:
                for one in unit.reports.due(unit.now_us + AHEAD_US):
                    expires, rotates = clients.setdefault(one.client, ([], []))
                    if one.expires_us is not None:
                        expires.append(one.expires_us)
                    if one.rotation_us is not None:
                        rotates.append(one.rotation_us)
            reminders.write(self._home, clients)
        except (ClaudeToolsError, OSError) as error:
            log_trouble(self._home, "reminders", error)
