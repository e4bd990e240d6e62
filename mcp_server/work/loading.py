"""The credential that a caller names."""

from __future__ import annotations

from domain.credentials import Head, is_reference
from domain.errors import NotFound
from domain.ids import is_id
from mcp_server.work.unit import Unit

_HINT = "claudetools credential list"


def head_of(unit: Unit, reference: str, *, deleted: bool = False) -> Head:
    """A credential by its reference or id; a deleted one only if that is wanted.  Raises NotFound.

    What was asked for is not repeated where nothing is found: it may be a value in the wrong place.
    """
    head = unit.credentials.load(reference) if is_name(reference) else None
    if head is None:
        raise NotFound("there is no credential with that reference", hint=_HINT)
    if head.state == "deleted" and not deleted:
        raise NotFound(f"{head.reference} was deleted", hint=_HINT)
    return head


def is_name(text: str) -> bool:
    """Whether a text has the form of a reference or of a credential's id."""
    return is_reference(text) or is_id(text, "cr")
