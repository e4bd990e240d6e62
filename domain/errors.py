"""Every way the product says no.

One class for each answer a caller can act on.  How each is told to an MCP client, over HTTP
and as an exit code stands in one table, `mcp_server.answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class ClaudeToolsError(Exception):
    """Base of all refusals.

    `message` names references and fields, never a value.  `hint` is the next command to type.
    `fields` maps a field's name to the reason it was refused.  `entry` is the id of the audit
    entry that recorded the refusal, where one was written.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        fields: Mapping[str, str] | None = None,
        entry: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields: dict[str, str] = dict(fields or {})
        self.entry = entry


class Invalid(ClaudeToolsError):
    """The input cannot be used as it is; `fields` names what to change."""

    code = "invalid"


class Unauthenticated(ClaudeToolsError):
    """Nobody proved who is asking, or the proof is no longer good."""

    code = "unauthenticated"


class Denied(ClaudeToolsError):
    """The caller is known and may not do this; the message gives the reason."""

    code = "denied"


class NotFound(ClaudeToolsError):
    """There is no such thing, or the caller has no right to know of it."""

    code = "not_found"


class Conflict(ClaudeToolsError):
    """The thing is not in the state the caller assumed; read it again.

    `again`: another writer came first, between the act's looking and its writing; the same may be done again at once.
    """

    code = "conflict"
    again: bool = False


class TooMany(ClaudeToolsError):
    """Too many attempts; wait `seconds`."""

    code = "too_many"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        seconds: int,
        hint: str = "",
        fields: Mapping[str, str] | None = None,
        entry: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, fields=fields, entry=entry)
        self.seconds = seconds


class Broken(ClaudeToolsError):
    """Stored bytes do not open, or a row or chain is not as it was written: tampering or damage."""

    code = "integrity"


class Unavailable(ClaudeToolsError):
    """Something that is needed is down; the message says what.  Trying again may work.

    `again`: nothing happened, because another writer came first; the same may be done again at once.
    """

    code = "unavailable"
    retryable = True
    again: bool = False
