"""A plaintext value on its short way from the envelope to the caller who may have it."""

from __future__ import annotations

from typing import NoReturn

from domain.errors import Invalid


class Plain:
    """Holds a secret value and refuses every way of showing it but `expose`.

    `str()`, `repr()`, formatting, pickling, copying and JSON encoding give a placeholder or
    raise, so that a value cannot reach a log line, an exception or a result by accident.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes) -> None:
        try:
            self._value = value.encode("utf-8") if isinstance(value, str) else bytes(value)
        except UnicodeEncodeError:  # its own text holds the value
            raise Invalid("a value holds half a character (a lone surrogate)") from None

    def expose(self) -> str:
        """The value as text (UTF-8).  The one word to search for where values leave."""
        return self._value.decode("utf-8")

    def expose_bytes(self) -> bytes:
        """The value as bytes."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Plain(hidden)"

    def __str__(self) -> str:
        return "(hidden)"

    def __format__(self, spec: str) -> str:
        return "(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a plain value is neither pickled nor copied")

    def __eq__(self, other: object) -> bool:
        # Comparing would tempt callers into branching on values; identity is enough.
        return self is other

    def __hash__(self) -> int:
        return id(self)
