"""Strikes vault values and known secret formats from text, before anything is written.

The matcher lives in this process's memory alone.  It is loaded under one audit entry, by the
machine itself, and again whenever a sealed version was added.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress

from domain.actors import Actor
from domain.credentials import live_reference
from domain.masking import Matcher
from domain.plain import Plain
from domain.redaction import Redactor, Struck
from mcp_server.keyring import Keyring
from mcp_server.work import Work

Extra = Iterable[tuple[str, Plain]]


class Redaction:
    """The redactor of one process; `machine` is who loads the values."""

    def __init__(self, work: Work, keyring: Keyring, machine: Actor) -> None:
        self._work = work
        self._keyring = keyring
        self._machine = machine
        self._lock = threading.Lock()
        self._state: tuple[int, int] | None = None
        self._redactor = Redactor(None)

    def strike(self, text: str, *, extra: Extra = ()) -> Struck:
        """Strikes vault values (as live references), private marks, and known formats.

        `extra` are values that are not stored yet, each with the live reference it will have.
        Raises Unavailable where the vault's values cannot be read: then nothing is written.
        """
        if not text.strip():
            return Struck(text, {})
        return self.current().strike(text, extra=_matcher(extra))

    def strike_values(self, text: str, *, extra: Extra = ()) -> str:
        """Strikes vault values alone: for open fields, where a key id may look like a secret."""
        if not text.strip():
            return text
        struck = self.current().strike_values(text).text
        own = _matcher(extra)
        return struck if own is None else Redactor(own).strike_values(struck).text

    def text(self, text: str, *, extra: Extra = ()) -> str:
        """The struck text alone."""
        return self.strike(text, extra=extra).text

    def current(self) -> Redactor:
        """The redactor over the vault as it is now: for many texts of one act.  Raises Unavailable."""
        with self._work.reading(None) as unit:
            state = unit.credentials.sealed_state()
        with self._lock:
            if state != self._state:
                self._load()
            return self._redactor

    def _load(self) -> None:
        if self._is_empty():
            self._state, self._redactor = (0, 0), Redactor(None)
            return
        ticket, fields, state = self._work.load_values(self._machine)
        values: list[tuple[str, bytes, tuple[str, ...]]] = []
        for sealed, value in self._keyring.unseal_for_matcher(ticket, fields):
            beside = (sealed.username,) if sealed.username else ()
            label = live_reference(sealed.reference, sealed.field)
            values.append((label, value.expose_bytes(), beside))
        self._redactor, self._state = Redactor(Matcher(values)), state

    def _is_empty(self) -> bool:
        with self._work.reading(None) as unit:
            return unit.credentials.sealed_state()[0] == 0

    def forget(self) -> None:
        """Drops the matcher: the values leave this process's memory as far as Python allows."""
        with suppress(RuntimeError), self._lock:
            self._state, self._redactor = None, Redactor(None)


def _matcher(extra: Extra) -> Matcher | None:
    own = [(label, value.expose_bytes()) for label, value in extra]
    return Matcher(own) if own else None
