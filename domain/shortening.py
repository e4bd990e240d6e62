"""Text made short: on one line, or its head and its tail."""

from __future__ import annotations

import re

_SPACE = re.compile(r"\s+")


def one_line(text: str, longest: int) -> str:
    """Text on one line, cut at a word with an ellipsis where it is longer than `longest` characters."""
    flat = _SPACE.sub(" ", text).strip()
    if len(flat) <= longest:
        return flat
    cut = flat.rfind(" ", longest // 2, longest)
    return flat[: cut if cut > 0 else longest - 1].rstrip(" ,;:-") + "…"


def shortened(text: str, longest: int) -> str:
    """The head and the tail of a text that is too long; the tail counts for more."""
    if len(text) <= longest:
        return text
    head = longest // 3
    return f"{text[:head]}\n…\n{text[-(longest - head - 3) :]}"
