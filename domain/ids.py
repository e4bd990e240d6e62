"""Identifiers, made before the insert so that they can be bound into what is sealed."""

from __future__ import annotations

import base64
import hashlib
import os
import re

_FORM = re.compile(r"[a-z]{2}_[a-z2-7]{26}")


def new_id(prefix: str) -> str:
    """A fresh id: a two-letter prefix for its kind, `_`, and 128 random bits in base32."""
    return f"{prefix}_{base64.b32encode(os.urandom(16)).decode().rstrip('=').lower()}"


def fixed_id(prefix: str, *parts: str | int) -> str:
    """The id that follows from what it stands for: who makes it a second time, anywhere, meets the first."""
    joined = "".join(f"{len(str(part))}:{part}" for part in parts)
    return f"{prefix}_{base64.b32encode(hashlib.sha256(joined.encode()).digest()[:16]).decode().rstrip('=').lower()}"


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the form of an id of this kind."""
    return text.startswith(prefix + "_") and _FORM.fullmatch(text) is not None
