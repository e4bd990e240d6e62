"""Strikes vault values and known secret formats from text, before anything is written.

The matcher lives in this process's memory alone.  It is loaded under one audit entry, by the
machine itself, and again whenever a sealed version was added.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress

from domain.actors import Actor
from domain.audit import BulkTicket
from domain.credentials import SealedField, live_reference
from domain.masking import Matcher
from domain.plain import Plain
from domain.redaction import Redactor, Struck
from mcp_server.keyring import Keyring
from mcp_server.work import Words, Work

Extra = Iterable[tuple[str, Plain]]
Which = tuple[str, str, int, str, str]
"""One sealed field as the matcher knows it: credential, field, version, reference, user name."""
_KEPT_TEXTS = 64
_FEW = 64
"""So many values, or an eighth of those that are known, may be added before the matcher is built anew."""


class Held:
    """A redactor, and the mark of the vault's values at which it was loaded; None for one that was not."""

    def __init__(self, redactor: Redactor, mark: int | None, known: frozenset[Which] = frozenset()) -> None:
        self.redactor = redactor
        self.mark = mark
        self.known = known
        self._struck: OrderedDict[bytes, str] = OrderedDict()

    def struck(self, text: str) -> str:
        """A text without secrets.

        The same purpose comes many times over: in a loop, and when an act is done again.  What came
        out is kept under the digest of what went in, which may hold a secret.
        """
        if not text.strip():
            return text
        digest = hashlib.sha256(text.encode()).digest()
        found = self._struck.get(digest)
        if found is None:
            found = self._struck[digest] = self.redactor.strike(text).text
            if len(self._struck) > _KEPT_TEXTS:
                with suppress(KeyError):  # another thread was faster
                    self._struck.popitem(last=False)
        return found


class Redaction:
    """The redactor of one process; `machine` is who loads the values."""

    def __init__(self, work: Work, keyring: Keyring, machine: Actor) -> None:
        self._work = work
        self._keyring = keyring
        self._machine = machine
        self._lock = threading.Lock()
        self._held = Held(Redactor(None), None)

    def strike(self, text: str, *, extra: Extra = ()) -> Struck:
        """Strikes vault values (as live references), private marks, and known formats.

        `extra` are values that are not stored yet, each with the live reference it will have.
        Raises Unavailable where the vault's values cannot be read: then nothing is written.
        """
        if not text.strip():
            return Struck(text, {})
        return struck(self.current(), text, extra)

    def strike_values(self, text: str, *, extra: Extra = ()) -> str:
        """Strikes vault values alone: for open fields, where a key id may look like a secret."""
        if not text.strip():
            return text
        return values_struck(self.current(), text, extra)

    def text(self, text: str, *, extra: Extra = ()) -> str:
        """The struck text alone."""
        return self.strike(text, extra=extra).text

    def words(self, text: str, longest: int | None = None) -> Words:
        """A text for an act that asks by itself whether the matcher is up to the vault (`Work.done`).

        That spares the act a question of its own before it begins.
        """
        return Purpose(self, text, longest)

    def held(self) -> Held:
        """The redactor that this process has, and how far it knows the vault's values; asks nobody."""
        return self._held

    def current(self) -> Redactor:
        """The redactor over the vault as it is now: for many texts of one act.  Raises Unavailable."""
        with self._work.reading(None) as unit:
            mark = unit.credentials.mark()
        held = self._held
        if held.mark == mark:
            return held.redactor
        with self._lock:
            if mark != self._held.mark:
                self._held = self._load()
            return self._held.redactor

    def _load(self) -> Held:
        with self._work.reading(None) as unit:
            mark, is_empty = unit.credentials.mark(), not unit.credentials.any_sealed()
        if is_empty:
            return Held(Redactor(None), mark)
        ticket, fields, mark = self._work.load_values(self._machine)
        known = frozenset(map(_which, fields))
        # The matcher of a large vault takes a second to build; a value that was added takes a hundredth.
        before, held = self._held.redactor.matcher, self._held.known
        if before is not None and held <= known:
            fresh = [sealed for sealed in fields if _which(sealed) not in held]
            if before.added + len(fresh) <= max(_FEW, len(before) // 8):
                return Held(Redactor(before.with_values(self._opened(ticket, fresh))), mark, known)
        return Held(Redactor(Matcher(self._opened(ticket, fields))), mark, known)

    def _opened(
        self, ticket: BulkTicket, fields: Iterable[SealedField]
    ) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
        for sealed, value in self._keyring.unseal_for_matcher(ticket, fields):
            beside = (sealed.username,) if sealed.username else ()
            yield live_reference(sealed.reference, sealed.field), value.expose_bytes(), beside

    def forget(self) -> None:
        """Drops the matcher: the values leave this process's memory as far as Python allows."""
        with suppress(RuntimeError), self._lock:
            self._held = Held(Redactor(None), None)


def _which(sealed: SealedField) -> Which:
    return sealed.credential_id, sealed.field, sealed.version, sealed.reference, sealed.username


class Purpose:
    """A text whose values are struck when the act knows how far they have come."""

    def __init__(self, redaction: Redaction, text: str, longest: int | None) -> None:
        self._redaction = redaction
        self._text = text
        self._longest = longest

    def struck(self, mark: int) -> str | None:
        """The struck text; None where the matcher was loaded at another mark."""
        if not self._text.strip():
            return self._text
        held = self._redaction.held()
        if held.mark != mark:
            return None
        return held.struck(self._text)[: self._longest]

    def renew(self) -> None:
        """Loads the matcher again.  Raises Unavailable."""
        self._redaction.current()


def struck(redactor: Redactor, text: str, extra: Extra = ()) -> Struck:
    """A text without secrets, those included that the vault is about to get."""
    return redactor.strike(text, extra=_matcher(extra)) if text.strip() else Struck(text, {})


def values_struck(redactor: Redactor, text: str, extra: Extra = ()) -> str:
    """A text without the vault's values, nor those that it is about to get."""
    struck = redactor.strike_values(text).text
    own = _matcher(extra)
    return struck if own is None else Redactor(own).strike_values(struck).text


def _matcher(extra: Extra) -> Matcher | None:
    own = [(label, value.expose_bytes()) for label, value in extra]
    return Matcher(own) if own else None
