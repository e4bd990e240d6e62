"""One table: how each refusal is told to an MCP client, over HTTP, and as an exit code.

Light on purpose: the command line asks it for exit codes, so nothing of the MCP SDK is imported before a result is made.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from domain.errors import (
    Broken,
    ClaudeToolsError,
    Conflict,
    Denied,
    Invalid,
    NotFound,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from hooks.files import NO_ROOM

if TYPE_CHECKING:
    from mcp.types import CallToolResult


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the HTTP status, the exit code, and what retrying means."""

    code: str
    status: int
    exit: int
    retry: str


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

INTERNAL = Row("internal", 500, 1, "no")
"""What every error outside the taxonomy becomes: an id to look up in the log file, and nothing else."""

TABLE: dict[type[ClaudeToolsError], Row] = {
    Invalid: Row("invalid", 422, 2, "no"),
    Unauthenticated: Row("unauthenticated", 401, 3, "no"),
    Denied: Row("denied", 403, 4, "no"),
    NotFound: Row("not_found", 404, 5, "no"),
    Conflict: Row("conflict", 409, 6, "read again"),
    TooMany: Row("too_many", 429, 7, "yes"),
    Broken: Row("integrity", 500, 8, "no"),
    Unavailable: Row("unavailable", 503, 75, "yes"),
}


def known(error: BaseException) -> BaseException:
    """A disk that takes nothing any more is told as what is down, wherever it was met; any other error as it is."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return Unavailable(
            f"the data directory's disk takes nothing more ({os.strerror(error.errno).lower()})",
            hint="make room on it, then: claudetools doctor",
        )
    return error


def row(error: BaseException) -> Row:
    """The table's row for an error; `INTERNAL` for anything outside the taxonomy."""
    error = known(error)
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return INTERNAL


def exit_code(error: BaseException) -> int:
    """The process exit code that tells this error."""
    return row(error).exit


def status(error: BaseException) -> int:
    """The HTTP status that tells this error."""
    return row(error).status


def new_error_id() -> str:
    """A short id that ties an `internal` answer to its lines in the log file."""
    return "er_" + secrets.token_hex(5)


def to_json(error: BaseException, *, error_id: str = "") -> dict[str, object]:
    """The error as every entrance answers it: code, message, hint, retryable, and what else there is.

    Of an error outside the taxonomy only `error_id` is told: its text may hold a value.
    """
    error = known(error)
    if not isinstance(error, ClaudeToolsError) or type(error) is ClaudeToolsError:
        answer: dict[str, object] = {
            "code": INTERNAL.code,
            "message": "something went wrong inside ClaudeTools",
            "hint": "claudetools doctor",
            "retryable": False,
        }
        if error_id:
            answer["error_id"] = error_id
        return answer
    answer = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
    }
    if error.fields:
        answer["fields"] = dict(error.fields)
    if error.entry:
        answer["entry"] = error.entry
    if isinstance(error, TooMany):
        answer["seconds"] = error.seconds
    return answer


def to_text(answer: dict[str, object]) -> str:
    """The same facts in one line, for clients that show text."""
    parts = [f"{answer['code']}: {answer['message']}"]
    fields = answer.get("fields")
    if isinstance(fields, dict):
        told = str(answer["message"])
        parts.extend(f"{name}: {reason}" for name, reason in fields.items() if f"{name}: {reason}" not in told)
    if answer["hint"]:
        parts.append(f"next: {answer['hint']}")
    if "seconds" in answer:
        parts.append(f"wait {answer['seconds']} s")
    elif answer["retryable"]:
        parts.append("trying again may work")
    parts.extend(f"{name}: {answer[name]}" for name in ("entry", "error_id") if name in answer)
    return "; ".join(parts)


def to_result(error: BaseException, *, error_id: str = "") -> CallToolResult:
    """The error as a tool's result: all of it in the structured content and again in the text.

    Claude Code drops the text of a result that has structured content; other clients show only the text.
    """
    from mcp.types import CallToolResult, TextContent

    answer = to_json(error, error_id=error_id)
    return CallToolResult(
        content=[TextContent(type="text", text=to_text(answer))],
        structured_content={"error": answer},
        is_error=True,
    )


def iso(at_us: int | None) -> str:
    """Microseconds since 1970 as ISO 8601 UTC, e.g. 2027-01-31T00:00:00Z; "" for None."""
    if at_us is None:
        return ""
    at = EPOCH + timedelta(microseconds=at_us)
    return at.isoformat().replace("+00:00", "Z")


def micros(text: str, name: str) -> int | None:
    """A date or time as people and models write it, in microseconds since 1970; None for "".

    Takes ISO 8601: 2027-01-31, 2027-01-31T08:00, with or without an offset; without one it is UTC.  Raises Invalid that
    names the field `name`.
    """
    if not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        return (at - EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise Invalid(f"{name} is no date", fields={name: "write it as 2027-01-31 or 2027-01-31T08:00:00Z"}) from None
