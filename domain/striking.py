"""Striking many texts at once: joined for one pass, and apart again.

One pass over the whole is what the redactor is fast at.  Where something was struck across the
joint of two texts, each is struck by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from domain.redaction import Struck
from domain.transcript import Transcript

Strike = Callable[[str], Struck]

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


def strike_transcript(strike: Strike, transcript: Transcript) -> tuple[Transcript, Counter[str]]:
    """A transcript whose every text is struck: what was said, what tools were given, what they answered."""
    texts: list[str] = [transcript.title]
    for turn in transcript.turns:
        texts.append(turn.text)
        _collect(turn.arguments, texts)
    struck, counts = strike_all(strike, texts)
    parts = iter(struck)
    title = next(parts)
    turns = []
    for turn in transcript.turns:
        text = next(parts)
        arguments = _rebuilt(turn.arguments, parts)
        turns.append(replace(turn, text=text, arguments=arguments if isinstance(arguments, dict) else {}))
    return replace(transcript, title=title, turns=tuple(turns)), counts


def _collect(value: object, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            _collect(inner, texts)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, texts)


def _rebuilt(value: object, parts: Iterator[str]) -> object:
    if isinstance(value, str):
        return next(parts)
    if isinstance(value, Mapping):
        return {name: _rebuilt(inner, parts) for name, inner in value.items()}
    if isinstance(value, list):
        return [_rebuilt(inner, parts) for inner in value]
    return value
