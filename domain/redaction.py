"""Striking secrets from text before anything keeps it.

In order: the vault's own values become live references, so that the next reader knows which credential was used; what a
person marked as private goes; then everything that looks like a credential by its published format or by the name it is
assigned to.  Struck text reads `[struck: rule]`.  Striking is deterministic, changes nothing when repeated, and never
quotes what it took out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from domain import recognition
from domain.masking import Matcher, reference

VAULT = "vault value"
"""The rule under which live references are counted."""

_NAME = r"[A-Za-z0-9_.-]{1,64}"
_KEPT = re.compile(r"\[struck: [a-z0-9-]{1,64}\]|\{\{credential:" + f"{_NAME}/{_NAME}/{_NAME}#{_NAME}" + r"\}\}")
_PRIVATE_OPENS = re.compile(r"<private>", re.IGNORECASE)
_PRIVATE_CLOSES = re.compile(r"</private>", re.IGNORECASE)
_FORGET = re.compile(
    r"(?:^|(?<=\n))[ \t>*#-]{0,8}(?:(?:please )?(?:don['’]t|do not) remember(?: this| that| the following)?[ \t]{0,4}[:;.,–—-]"
    r"|(?:<!--|\[|\()[ \t]{0,4}(?:don['’]t|do not) remember(?: this)?[ \t]{0,4}(?:-->|\]|\)))",
    re.IGNORECASE,
)
_PARAGRAPH_ENDS = re.compile(r"\n[ \t]*\n")
_SLIVER = 3  # characters
_LOOSE = ("assigned-", "generic-")  # rules that know the place and not the format
_ROUNDS = 4  # what was struck can leave a neighbour that is recognised only now


@dataclass(frozen=True, slots=True)
class Struck:
    """A text without its secrets, and how often each rule struck; never what it struck."""

    text: str
    counts: Mapping[str, int] = field(default_factory=dict)


class Redactor:
    """Strikes secrets from texts.

    Args:
        matcher: the vault's values; None where no vault is at hand (then only formats and markers are struck).
        engine: False leaves the engine of known formats out; our own rules remain.
    """

    def __init__(self, matcher: Matcher | None = None, *, engine: bool = True) -> None:
        self._matcher = matcher
        self._engine = engine

    @property
    def matcher(self) -> Matcher | None:
        """The vault's values; None where no vault is at hand."""
        return self._matcher

    def strike(self, text: str, *, extra: Matcher | None = None) -> Struck:
        """The text with every secret replaced, and the counts by rule.

        `extra` holds values that the vault does not have yet; they go before the formats, which would take their place.
        """
        counts: Counter[str] = Counter()
        if not text:
            return Struck(text)
        text = self._strike_known(text, counts)
        if extra is not None:
            known = Redactor(extra).strike_values(text)
            text = known.text
            counts.update(known.counts)
        text = _strike(text, list(_private(text)), counts)
        for _ in range(_ROUNDS):
            shown = _KEPT.sub(_blank, text) if "[struck: " in text or "{{credential:" in text else text
            spans = list(recognition.find(shown, engine=self._engine))
            after = _strike(text, spans, counts)
            # A new reference or mark can complete a value that the escapes around it hid.
            after = self._strike_known(after, counts) if after != text else after
            if after == text:
                break
            text = after
        return Struck(text, dict(sorted(counts.items())))

    def strike_values(self, text: str) -> Struck:
        """The text with the vault's values replaced and nothing else: for open fields, whose own form may look secret."""
        counts: Counter[str] = Counter()
        return Struck(self._strike_known(text, counts), dict(counts))

    def _strike_known(self, text: str, counts: Counter[str]) -> str:
        if self._matcher is None:
            return text
        spans = self._matcher.find(text)
        if not spans:
            return text
        kept = [match.span() for match in _KEPT.finditer(text)]
        parts: list[str] = []
        at = number = 0
        for span in spans:
            while number < len(kept) and kept[number][1] <= span.start:
                number += 1
            if number < len(kept) and kept[number][0] < span.end:
                continue  # a reference may be spelt like a value: a password that is the service's name
            parts += [text[at : span.start], reference(span.label)]
            counts[VAULT] += 1
            at = span.end
        return "".join([*parts, text[at:]])


def _blank(mark: re.Match[str]) -> str:
    """A mark is nobody's value and nobody's name."""
    return ";" * len(mark.group())


def _private(text: str) -> Iterator[tuple[int, int, str]]:
    """What a person marked: `<private>` to its end (or its paragraph's), and paragraphs that say "don't remember"."""
    at = 0
    while opens := _PRIVATE_OPENS.search(text, at):
        closes = _PRIVATE_CLOSES.search(text, opens.end())
        at = closes.end() if closes else _paragraph_end(text, opens.end())
        yield opens.start(), at, "private"
        if not closes:
            break
    at = 0
    for match in _FORGET.finditer(text) if "remember" in text.lower() else ():
        if match.start() >= at:
            at = _paragraph_end(text, match.end())
            yield match.start(), at, "private"


def _paragraph_end(text: str, start: int) -> int:
    ends = _PARAGRAPH_ENDS.search(text, start)
    return ends.start() if ends else len(text)


def _strike(text: str, spans: list[tuple[int, int, str]], counts: Counter[str]) -> str:
    """Replaces the spans; of overlapping ones the first that knows a format names all.  References and marks survive."""
    if not spans:
        return text
    merged: list[tuple[int, int, str]] = []
    for start, end, rule in sorted(set(spans), key=lambda span: (span[0], -span[1], span[2])):
        if merged and start < merged[-1][1]:
            at, to, name = merged[-1]
            merged[-1] = (at, max(to, end), rule if name.startswith(_LOOSE) else name)
        else:
            merged.append((start, end, rule))
    kept = [match.span() for match in _KEPT.finditer(text)]
    parts: list[str] = []
    at = number = 0
    for start, end, rule in merged:
        while number < len(kept) and kept[number][1] <= start:
            number += 1
        inside = []
        while rule != "private" and number < len(kept) and kept[number][0] < end:
            inside.append(kept[number])
            number += 1
        for begin, stop in _between(start, end, inside):
            parts += [text[at:begin], f"[struck: {rule}]"]
            counts[rule] += 1
            at = stop
    return "".join([*parts, text[at:]])


def _between(start: int, end: int, kept: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts of a span around references and marks; slivers of a few characters between them stay."""
    at = start
    for begin, stop in [*kept, (end, end)]:
        if begin - at > _SLIVER or (begin > at and not kept):
            yield at, begin
        at = max(at, stop)
