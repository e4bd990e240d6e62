"""Free text of an audit entry, from which every value of the vault is struck as the vault is now."""

from __future__ import annotations

from typing import Protocol


class Words(Protocol):
    """A text that an act records.  The matcher that strikes it may be behind the vault."""

    def struck(self, mark: int) -> str | None:
        """The text without the values, or None where the matcher does not hold all of them.

        `mark` tells how far the vault's values have come (`storage.sight`).
        """

    def renew(self) -> None:
        """Brings the matcher up to the vault, by an act of its own.  Raises Unavailable."""


class Plainly:
    """A text that needs no striking, or was struck already."""

    def __init__(self, text: str) -> None:
        self._text = text

    def struck(self, mark: int) -> str:  # noqa: ARG002  # the text does not depend on it
        """The text."""
        return self._text

    def renew(self) -> None:
        """Nothing."""
