"""The paste guard: looks at a prompt before it goes to Claude, for values of the vault and for secrets by their form.

It holds nothing of a prompt and writes nothing of one.  Where a value goes on all the same, because its person let it or
because the guard only warns, that version has been seen by a model: that is kept, with an entry.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from domain import pasting
from domain.actors import Actor, Subject
from domain.errors import ClaudeToolsError
from domain.pasting import Caught
from domain.plain import Plain
from hooks.files import log_trouble
from mcp_server.config import Settings
from mcp_server.keyring import Keyring
from mcp_server.services.redaction import Redaction
from mcp_server.work import AuditedUnit, Work

NEWS_S = 0.25
"""How long a prompt waits for values that came since the last one, where the database is slow."""


class Guard:
    """The guard of one process."""

    def __init__(self, settings: Settings, work: Work, keyring: Keyring, redaction: Redaction) -> None:
        self._settings = settings
        self._work = work
        self._keyring = keyring
        self._redaction = redaction
        self._loading: threading.Thread | None = None

    def values(self, prompt: str, patience_s: float) -> tuple[Caught, ...]:
        """The vault's values in a prompt, as far as they can be known in that time."""
        first = self._redaction.held().mark is None
        self._load(patience_s if first else min(patience_s, NEWS_S))
        return tuple(pasting.values(self._redaction.held().redactor, prompt))

    def warm(self) -> None:
        """Loads the values before the first prompt; in a large vault that takes longer than a prompt may wait."""
        if self._settings.paste_guard != "off":
            self._current()

    def went_on(self, actor: Callable[[], Actor], prompt: str, caught: Sequence[Caught]) -> None:
        """Keeps that values of the vault went into a conversation: those versions are exposed.

        What cannot be kept is noted in the log file; the prompt has gone by then.
        """
        seen = {(one.reference, one.field): prompt[one.start : one.end] for one in caught if one.kind == "value"}
        for (reference, field), spelt in seen.items():
            value = Plain(spelt)

            def mark(unit: AuditedUnit, reference: str = reference, field: str = field, value: Plain = value) -> None:
                self._mark(unit, reference, field, value)

            try:
                self._work.done(actor(), "credential.paste", mark, credential=reference)
            except ClaudeToolsError as error:
                log_trouble(str(self._settings.home), "prompt", error)

    def _mark(self, unit: AuditedUnit, reference: str, field: str, value: Plain) -> None:
        head = unit.credentials.load(reference)
        if head is None:
            unit.about(Subject("credential", "", reference))
            return
        unit.about(Subject("credential", head.credential_id, head.reference, head.client_id))
        # In another spelling than its own nobody knows which version it is: then it counts as the current one.
        found = unit.credentials.version_of(head.credential_id, field, self._keyring.blind(value))
        version = found or head.fields.get(field, head.current_version)
        unit.credentials.mark_exposed(head.credential_id, version, unit.now_us)
        unit.note(field=field, version=version)

    def _load(self, patience_s: float) -> None:
        """Has the matcher brought up to the vault by a thread of its own, and waits so long for it."""
        loading = self._loading
        if loading is None or not loading.is_alive():
            loading = threading.Thread(target=self._current, name="claudetools-guard", daemon=True)
            self._loading = loading
            loading.start()
        if patience_s > 0:
            loading.join(patience_s)

    def _current(self) -> None:
        try:
            self._redaction.current()
        except Exception as error:  # noqa: BLE001 - the guard then knows what it knew before
            log_trouble(str(self._settings.home), "prompt", error)
