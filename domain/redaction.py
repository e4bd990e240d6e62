"""Striking secrets from text before anything keeps it.

In order: the vault's own values become live references, so that the next reader knows which credential was used; what a
person marked as private goes; then everything that looks like a credential by its published format or by the name it is
assigned to.  Struck text reads `[struck: rule]`.  Striking is deterministic, changes nothing when repeated, and never
quotes what it took out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from domain import recognition
from domain.masking import Matcher, Span, reference
from domain.recall import UNSEEN

VAULT = "vault value"
"""The rule under which live references are counted."""

IMITATED = "imitated-mark"
"""The rule under which is struck what has the form of a mark or a reference and holds a key."""

_NAME = r"[A-Za-z0-9_.-]{1,64}"
_MARK = re.compile(r"\[struck: ([a-z0-9-]{1,64})\]|\{\{credential:(" + f"{_NAME}/{_NAME}/{_NAME}#{_NAME}" + r")\}\}")
# A rule's name is words with a number now and then.
_RULE = re.compile(
    r"(?:[a-z]{1,20}[0-9]{0,2}|[0-9]{1,3}[a-z]{0,16})(?:-(?:[a-z]{1,20}[0-9]{0,2}|[0-9]{1,3}[a-z]{0,16})){0,9}"
)
_DIGITS_OF_A_RULE = 6
_OPENS, _CLOSES = b"<private>", b"</private>"
_FORGET = re.compile(
    r"[ \t>*#-]{0,8}(?:(?:please )?(?:don['’]t|do not) remember(?: this| that| the following)?[ \t]{0,4}[:;.,–—-]"
    r"|(?:<!--|\[|\()[ \t]{0,4}(?:don['’]t|do not) remember(?: this)?[ \t]{0,4}(?:-->|\]|\)))",
    re.IGNORECASE,
)
_PARAGRAPH_ENDS = re.compile(r"\n[ \t]*\n")
_SLIVER = 3  # characters
_LOOSE = ("assigned-", "generic-", "service-")  # rules that know the place and not the format
_WITHIN = re.compile(f"(?<=[ -~]){UNSEEN.pattern}+(?=[ -~])")  # unseen, between characters of which keys are made
_NEIGHBOURHOOD = 8192  # characters about a new mark that are looked through again
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
        near = False
        for _ in range(_ROUNDS):
            spans = list(self._recognised(text, near))
            after = _strike(text, spans, counts)
            # A new reference or mark can complete a value that the escapes around it hid.
            after = self._strike_known(after, counts) if after != text else after
            if after == text:
                break
            text, near = after, True
        return Struck(text, dict(sorted(counts.items())))

    def _recognised(self, text: str, near: bool) -> Iterator[tuple[int, int, str]]:
        """What is recognised in a text; `near` says that it was looked through before, and only marks are new in it."""
        marks = list(_marks(text))
        parts = list(_around(marks, len(text))) if near else [(0, len(text))]
        if sum(end - start for start, end in parts) * 2 > len(text):
            parts = [(0, len(text))]
        shown = _blanked(text, marks)
        yield from ((*mark.span(), IMITATED) for mark in _marked(text) if _hides(mark))
        for start, end in parts:
            for at, to, rule in recognition.find(shown[start:end], engine=self._engine):
                yield start + at, start + to, rule
        # Whoever is told a text is told it without what is not seen: a key is looked for as it is told then.
        hidden = [] if shown.isascii() else [match.span() for match in _WITHIN.finditer(shown)]
        for start, end in _around(hidden, len(text)):
            plain, places = _seen(shown[start:end])
            for at, to, rule in recognition.find(plain, engine=self._engine):
                yield start + places[at], start + places[to - 1] + 1, rule

    def strike_values(self, text: str) -> Struck:
        """The text with the vault's values replaced and nothing else: for open fields, whose own form may look secret."""
        counts: Counter[str] = Counter()
        return Struck(self._strike_known(text, counts), dict(counts))

    def known(self, text: str) -> list[Span]:
        """Where the vault's values stand in a text: not in the references and marks that stand for them."""
        spans = self._matcher.find(text) if self._matcher is not None else []
        if self._matcher is None or not spans:
            return []
        # A reference may be spelt like a value: a password that is the service's name.  Only what is really a reference of
        # this vault, or a mark of ours, may be; what merely looks like one hides nothing.
        labels = self._matcher.labels
        kept = [
            mark.span()
            for mark in _MARK.finditer(text)
            if mark[1] in recognition.NAMES or mark[2] in labels or mark[0] in labels
        ]
        standing: list[Span] = []
        number = 0
        for span in spans:
            while number < len(kept) and kept[number][1] <= span.start:
                number += 1
            if number == len(kept) or kept[number][0] >= span.end:
                standing.append(span)
        return standing

    def _strike_known(self, text: str, counts: Counter[str]) -> str:
        spans = self.known(text)
        if not spans:
            return text
        parts: list[str] = []
        at = 0
        for span in spans:
            parts += [text[at : span.start], reference(span.label)]
            counts[VAULT] += 1
            at = span.end
        return "".join([*parts, text[at:]])


def _marks(text: str) -> Iterator[tuple[int, int]]:
    """Where references and marks stand, in which nothing is looked for."""
    return (mark.span() for mark in _marked(text) if not _hides(mark))


def _marked(text: str) -> Iterable[re.Match[str]]:
    return _MARK.finditer(text) if "[struck: " in text or "{{credential:" in text else ()


def _hides(mark: re.Match[str]) -> bool:
    """Whether what has the form of a mark holds a key: then it is none."""
    rule, label = mark[1], mark[2]
    if rule is not None:
        is_name = _RULE.fullmatch(rule) and sum(map(str.isdigit, rule)) <= _DIGITS_OF_A_RULE
        return not is_name and rule not in recognition.NAMES
    return any(recognition.is_key(part) for part in re.split("[/#]", label))


def _blanked(text: str, marks: list[tuple[int, int]]) -> str:
    """A mark is nobody's value and nobody's name."""
    parts, at = [], 0
    for start, end in marks:
        parts += [text[at:start], ";" * (end - start)]
        at = end
    return "".join([*parts, text[at:]])


def _seen(text: str) -> tuple[str, list[int]]:
    """What is seen of a text, and where each character of it stands."""
    places = [at for at, letter in enumerate(text) if not UNSEEN.match(letter)]
    return "".join(map(text.__getitem__, places)), places


def _around(marks: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """The neighbourhoods of marks, those that touch as one."""
    begin = end = -1
    for start, stop in marks:
        if end < 0 or start - _NEIGHBOURHOOD > end:
            if end >= 0:
                yield begin, end
            begin = max(0, start - _NEIGHBOURHOOD)
        end = min(size, stop + _NEIGHBOURHOOD)
    if end >= 0:
        yield begin, end


def _private(text: str) -> Iterator[tuple[int, int, str]]:
    """What a person marked: `<private>` to its end (or its paragraph's), and paragraphs that say "don't remember"."""
    flat = text.encode("ascii", "replace").lower()  # one byte a character: searched at the speed of a string
    at = closes = 0
    while (opens := flat.find(_OPENS, at)) >= 0:
        if closes >= 0:  # where none follows, none follows what comes later either
            closes = flat.find(_CLOSES, opens + len(_OPENS))
        at = closes + len(_CLOSES) if closes >= 0 else _paragraph_end(text, opens + len(_OPENS))
        yield opens, at, "private"
    at = 0
    word = flat.find(b"remember")
    while word >= 0:
        match = _FORGET.match(text, flat.rfind(b"\n", 0, word) + 1) if word >= at else None
        if match is not None:
            at = _paragraph_end(text, match.end())
            yield match.start(), at, "private"
        word = flat.find(b"remember", word + 1)


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
    kept = list(_marks(text))
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
