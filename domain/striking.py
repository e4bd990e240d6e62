"""Striking many texts at once: joined for one pass, and apart again; and turns as they come.

One pass over the whole is what the redactor is fast at.  Where something was struck across the
joint of two texts, each is struck by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from domain.redaction import Struck
from domain.transcript import Turn, cost

Strike = Callable[[str], Struck]

BATCH = 512 * 1024
"""Characters that are struck in one pass."""
LONGEST_KEPT = 180_000
"""Characters of one text that are handed on; the digest and the searchable form take less of it."""
MARGIN = 64 * 1024
"""Longer than any secret that is recognised."""
LONGEST_STRUCK = LONGEST_KEPT + 2 * MARGIN

# White space that no text holds (control characters were taken out of transcripts), between blank
# lines: neither a value nor a paragraph reaches across it.
_JOINT = "\n\n\x1e\x1e\n\n"


def strike_all(strike: Strike, texts: Sequence[str]) -> tuple[list[str], Counter[str]]:
    """The texts without their secrets, and the counts by rule."""
    plain = [text.replace("\x1e", " ") for text in texts]
    struck = strike(_JOINT.join(plain))
    parts = struck.text.split(_JOINT)
    if len(parts) == len(plain):
        return parts, Counter(struck.counts)
    counts: Counter[str] = Counter()
    alone: list[str] = []
    for text in plain:
        one = strike(text)
        alone.append(one.text)
        counts.update(one.counts)
    return alone, counts


class Striking:
    """Strikes turns as they come, many in one pass, and shortens what is very long when it was struck.

    `take` gives back turns once enough have come, `flush` the rest; the order stays.  What was
    struck is counted in `counts`.
    """

    def __init__(self, strike: Strike) -> None:
        self._strike = strike
        self._turns: list[Turn] = []
        self._size = 0
        self.counts: Counter[str] = Counter()

    def take(self, turn: Turn) -> list[Turn]:
        """Takes one turn; gives back those that are struck by now."""
        self._turns.append(turn)
        self._size += _size(turn.text) + _size(turn.arguments)
        return self.flush() if self._size >= BATCH else []

    def flush(self) -> list[Turn]:
        """The turns that were taken and not given back yet."""
        turns, self._turns, self._size = self._turns, [], 0
        texts: list[str] = []
        for turn in turns:
            _collect(turn.text, texts)
            _collect(turn.arguments, texts)
        struck, counts = strike_all(self._strike, texts) if texts else ([], Counter())
        self.counts.update(counts)
        parts = iter(struck)
        return [self._rebuilt(turn, parts) for turn in turns]

    def drop(self) -> None:
        """Forgets the turns that were taken and not given back, and what was counted."""
        self._turns, self._size = [], 0
        self.counts.clear()

    @staticmethod
    def _rebuilt(turn: Turn, parts: Iterator[str]) -> Turn:
        is_long = _longest((turn.text, turn.arguments)) > LONGEST_STRUCK
        text = _rebuilt(turn.text, parts)
        arguments = _rebuilt(turn.arguments, parts)
        return replace(
            turn,
            text=text if isinstance(text, str) else "",
            arguments=arguments if isinstance(arguments, dict) else {},
            tokens=cost(turn) if is_long else 0,
        )


def _ends(text: str) -> tuple[str, str]:
    """The head and the tail of a text that is too long to be struck whole, each with a margin that is cut off later."""
    return text[: LONGEST_KEPT // 3 + MARGIN], text[-(LONGEST_KEPT - LONGEST_KEPT // 3 + MARGIN) :]


def _shortened(head: str, tail: str) -> str:
    """Head and tail of a text, struck, without their margins.

    What was cut in half at the margin's outer end is not recognised, and so stands there as it was:
    no secret is as long as the margin, so all of it goes.
    """
    first, last = LONGEST_KEPT // 3, LONGEST_KEPT - LONGEST_KEPT // 3
    return f"{head[: max(0, min(first, len(head) - MARGIN))]}\n…\n{tail[max(MARGIN, len(tail) - last) :]}"


def _collect(value: object, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.extend(_ends(value) if len(value) > LONGEST_STRUCK else [value])
    elif isinstance(value, Mapping):
        for inner in value.values():
            _collect(inner, texts)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, texts)


def _rebuilt(value: object, parts: Iterator[str]) -> object:
    if isinstance(value, str):
        return _shortened(next(parts), next(parts)) if len(value) > LONGEST_STRUCK else next(parts)
    if isinstance(value, Mapping):
        return {name: _rebuilt(inner, parts) for name, inner in value.items()}
    if isinstance(value, list):
        return [_rebuilt(inner, parts) for inner in value]
    return value


def _leaves(value: object) -> Iterator[int]:
    if isinstance(value, str):
        yield len(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)


def _size(value: object) -> int:
    return sum(min(size, LONGEST_STRUCK) for size in _leaves(value))


def _longest(value: object) -> int:
    return max(_leaves(value), default=0)
