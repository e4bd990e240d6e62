"""Finding known values in text and in streams, however they are spelt.

`Matcher` holds the values in two Aho-Corasick automata and looks through each text in a few foldings (`domain.encodings`):
as it is, without terminal colours, with its escapes resolved, as the bytes that hex dumps spell, and as letters and digits
alone.  Compressed and encrypted forms are never found.  Masking is a net under the wall, not the wall.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import ahocorasick_rs

from domain import encodings
from domain.encodings import Spelling, View

SHORTEST = 8
"""Values with fewer characters are found only as they are, and only beside their own user name or host."""

_SHORTEST_OF_ALL = 3  # below that even the neighbour is no evidence
_BESIDE = 80  # bytes between a short value and its user name or host
_PIECE = 96  # a long value is also found by its parts
_LONG = 256
_PARTS = 64  # of one value
_SPREAD = 6  # so many bytes may spell one byte of a value: hex with its signs, one character a line and indented
_SMALLEST_PART = 16
_GAP = 8  # bytes between two parts of one value that are struck with them

Known = tuple[str, bytes] | tuple[str, bytes, tuple[str, ...]]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """`text[start:end]` spells the value with this label."""

    start: int
    end: int
    label: str


def _parts(value: bytes) -> Iterator[bytes]:
    """The value, or what a long one is recognised by: its lines, or pieces of 96 bytes."""
    if len(value) <= _LONG:
        yield value
        return
    made = 0
    for line in value.splitlines():
        if line.startswith(b"-----"):
            continue  # the armour of a PEM block is nobody's secret (RFC 7468)
        pieces = [line[at : at + _PIECE] for at in range(0, len(line), _PIECE)]
        if len(pieces) > 1 and len(pieces[-1]) < _SMALLEST_PART:
            pieces[-2:] = [pieces[-2] + pieces[-1]]
        for piece in pieces:
            if len(piece) >= _SMALLEST_PART and made < _PARTS:
                made += 1
                yield piece
    if not made:
        yield value


class _Automaton:
    """The patterns of one folding, each with the value that it stands for.

    The automaton knows the first bytes of each pattern, and the rest is compared where they stand: it stays small enough
    for a table of all transitions, which is three times as fast as the automaton's usual form.
    """

    _HEAD = 6
    _MANY = 60_000  # heads; above, the table would take more than some 50 MB

    def __init__(self) -> None:
        self._heads: dict[bytes, dict[bytes, tuple[int, Spelling]]] = {}
        self._tails: list[dict[int, dict[bytes, tuple[int, Spelling]]]] = []
        self._search: ahocorasick_rs.BytesAhoCorasick | None = None

    def add(self, owner: int, made: dict[bytes, Spelling]) -> None:
        for folded, spelling in made.items():
            self._heads.setdefault(folded[: self._HEAD], {}).setdefault(folded, (owner, spelling))

    def close(self) -> None:
        if self._heads:
            small = len(self._heads) <= self._MANY
            kind = ahocorasick_rs.Implementation.DFA if small else ahocorasick_rs.Implementation.ContiguousNFA
            self._search = ahocorasick_rs.BytesAhoCorasick(list(self._heads), implementation=kind)
        for patterns in self._heads.values():  # by length: many values may begin alike, as all tokens of one vendor do
            lengths: dict[int, dict[bytes, tuple[int, Spelling]]] = {}
            for folded, whose in patterns.items():
                lengths.setdefault(len(folded), {})[folded] = whose
            self._tails.append(lengths)
        self._heads = {}

    def hits(self, view: View) -> Iterator[tuple[int, Spelling, int, int]]:
        if self._search is None:
            return
        data = view.data
        for number, start, _ in self._search.find_matches_as_indexes(data, overlapping=True):
            for length, patterns in self._tails[number].items():
                whose = patterns.get(data[start : start + length])
                if whose is not None:
                    yield (*whose, start, start + length)


class _Layer:
    """Values that were built into one pair of automata.  Their owners are numbers that the matcher gives."""

    def __init__(self) -> None:
        self._short: dict[bytes, list[tuple[int, tuple[bytes, ...]]]] = {}
        self._dense = _Automaton()
        self._letters = _Automaton()

    def add(self, owner: int, value: bytes) -> None:
        for part in _parts(value):
            self._dense.add(owner, encodings.spellings(part))
            self._letters.add(owner, encodings.letter_spellings(part))

    def add_short(self, owner: int, value: bytes, beside: tuple[bytes, ...]) -> None:
        self._short.setdefault(value, []).append((owner, beside))

    def close(self) -> None:
        self._dense.close()
        self._letters.close()
        self._short_search = ahocorasick_rs.BytesAhoCorasick(list(self._short)) if self._short else None
        self._short_values = list(self._short)

    def look(self, folded: View, bare: View, found: set[tuple[int, int, int]]) -> None:
        for owner, spelling, start, end in self._dense.hits(folded):
            # The neighbours hold the value's last bits only if they are base64 themselves.
            left = start - 1 if spelling.left and _is_base64(folded.data, start - 1) else start
            right = end + 1 if spelling.right and _is_base64(folded.data, end) else end
            while right < end + 3 and folded.data[right : right + 1] == b"=":
                right += 1
            found.add((*folded.span(left, right), owner))
        for owner, spelling, start, end in self._letters.hits(bare):
            left = max(0, start - 1) if spelling.left else start
            right = min(len(bare.data), end + 1) if spelling.right else end
            at, to = bare.span(left, right)
            # Two neighbouring words are not one run: a neighbour that does not touch stays.
            inner_at, inner_to = bare.span(start, end)
            if inner_at - at > 4:  # noqa: PLR2004
                at = inner_at
            if to - inner_to > 4:  # noqa: PLR2004
                to = inner_to
            found.add((at, to, owner))

    def short_hits(self, data: bytes) -> Iterator[tuple[int, int, int]]:
        if self._short_search is None:
            return
        for number, start, end in self._short_search.find_matches_as_indexes(data, overlapping=True):
            if data[max(0, start - 1) : start].isalnum() or data[end : end + 1].isalnum():
                continue
            near = data[max(0, start - _BESIDE) : start].lower(), data[end : end + _BESIDE].lower()
            for owner, names in self._short[self._short_values[number]]:
                if any(name in side for name in names for side in near):
                    yield start, end, owner
                    break


class Matcher:
    """The values to be found.  Built once for many texts; holds them in memory and never shows them.

    Args:
        values: (label, value) or (label, value, beside).  The label is what a hit is called by.  `beside` holds the user
            names and hosts next to which a value of fewer than eight characters is believed.
    """

    def __init__(self, values: Iterable[Known]) -> None:
        self._labels: list[str] = []
        self._sizes: list[int] = []
        self._seen: set[bytes] = set()
        self._look_escaped: frozenset[bytes] = frozenset()
        self._added: list[Known] = []
        self.longest = 0
        self._reach = 0
        self._layers = [self._layer(values)]
        self._first = len(self._labels)

    def __repr__(self) -> str:
        return f"Matcher({len(self._labels)} values)"

    def __reduce__(self) -> str:
        raise TypeError("a Matcher holds values and is not pickled")

    def __len__(self) -> int:
        return len(self._labels)

    @cached_property
    def labels(self) -> frozenset[str]:
        """What its values are called by."""
        return frozenset(self._labels)

    @property
    def added(self) -> int:
        """How many values `with_values` has added to those that the first was built of."""
        return len(self._added)

    def with_values(self, values: Iterable[Known]) -> Matcher:
        """A matcher that finds these values too, made in the time that building what was added takes.

        Finding takes one pass more; whoever has added much builds one anew.
        """
        other = Matcher(())
        other._continue(self._layers[0], self, [*self._added, *values])  # its own class
        return other

    def _continue(self, layer: _Layer, before: Matcher, added: list[Known]) -> None:
        first = before._first  # its own class
        self._labels, self._sizes = before._labels[:first], before._sizes[:first]
        self._look_escaped, self.longest = before._look_escaped, before.longest
        self._first, self._added = first, added
        self._layers = [layer, self._layer(added)]

    def _layer(self, values: Iterable[Known]) -> _Layer:
        layer = _Layer()
        for label, value, *rest in values:
            self._add(layer, label, bytes(value).strip(), rest[0] if rest else ())
        layer.close()
        return layer

    def _add(self, layer: _Layer, label: str, value: bytes, beside: tuple[str, ...]) -> None:
        owner = len(self._labels)
        names = tuple(name.encode().lower() for name in beside if name)
        if len(value.decode("utf-8", "replace")) < SHORTEST:
            if len(value) >= _SHORTEST_OF_ALL and names:
                self._labels.append(label)
                self._sizes.append(len(value))
                layer.add_short(owner, value, names)
            return
        if value in self._seen:
            return
        self._seen.add(value)
        self._labels.append(label)
        self._sizes.append(len(value))
        self.longest = max(self.longest, len(value))
        self._reach = max(self._reach, _SPREAD * min(len(value), _LONG))
        self._look_escaped |= encodings.looks_escaped(value)
        layer.add(owner, value)

    def find(self, text: str) -> list[Span]:
        """Where the values stand in a text: disjoint, in order, each over the whole run that carries the value."""
        if not self._labels:
            return []
        data = text.encode("utf-8", "surrogatepass")
        spans = self.find_bytes(data)
        if not spans or len(data) == len(text):
            return spans
        return list(_in_characters(data, spans))

    def find_bytes(self, data: bytes) -> list[Span]:
        """The same in bytes; places are byte offsets."""
        if not self._labels:
            return []
        found: set[tuple[int, int, int]] = set()
        for layer in self._layers:
            found.update(layer.short_hits(data))
        for view in _views(View(data), self._look_escaped, self._reach):
            folded, bare = encodings.dense_view(view), encodings.letters_view(view)
            for layer in self._layers:
                layer.look(folded, bare, found)
        return self._merged(found)

    def _merged(self, found: set[tuple[int, int, int]]) -> list[Span]:
        """Overlapping hits become one span, named for the longest value in it."""
        merged: list[tuple[int, int, int]] = []
        for start, end, owner in sorted(found):
            if merged:
                at, to, before = merged[-1]
                gap = _GAP if owner == before and self._sizes[owner] > _LONG else 0
                if start < to + gap or (start == to and owner == before and gap):
                    longer = max(before, owner, key=lambda each: (self._sizes[each], -each))
                    merged[-1] = (at, max(to, end), longer)
                    continue
            merged.append((start, end, owner))
        return [Span(start, end, self._labels[owner]) for start, end, owner in merged]


def _is_base64(folded: bytes, at: int) -> bool:
    return 0 <= at < len(folded) and (folded[at : at + 1].isalnum() or folded[at] in b"+/")


def _views(root: View, look_escaped: frozenset[bytes], reach: int) -> Iterator[View]:
    """What is looked through: the text without colours, its hex dumps, and unescaped (twice, for JSON in JSON).

    Of what is unescaped, `reach` bytes around each escape: the rest reads as it did before.
    """
    plain = encodings.plain_view(root)
    yield plain
    dumped = encodings.dumped_view(plain)
    if dumped is not None:
        yield dumped
    once = encodings.unescaped_view(plain, reach=reach)
    if once is plain:
        return
    yield once
    twice = encodings.unescaped_view(once, reach=reach)
    if twice is not once:
        yield twice
    for without in sorted(look_escaped):
        view = encodings.unescaped_view(plain, without, reach=reach)
        if view is not plain:
            yield view


def _in_characters(data: bytes, spans: list[Span]) -> Iterator[Span]:
    """Byte offsets as character offsets; a span that begins or ends inside a character takes it whole."""
    at = count = 0
    for span in spans:
        start, end = span.start, span.end
        while start > at and data[start] & 0xC0 == 0x80:  # noqa: PLR2004  a continuation byte of UTF-8
            start -= 1
        while end < len(data) and data[end] & 0xC0 == 0x80:  # noqa: PLR2004
            end += 1
        first = count + len(data[at:start].decode("utf-8", "surrogatepass"))
        last = first + len(data[start:end].decode("utf-8", "surrogatepass"))
        yield Span(first, last, span.label)
        at, count = end, last


def reference(label: str) -> str:
    """The live reference that stands in the place of a value: `{{credential:client/service/name#field}}`."""
    return label if label.startswith("{{") else "{{credential:" + label + "}}"


class Masker:
    """Masks a stream.  The result depends on the bytes alone, never on where the chunks were cut.

    Bytes are held back until a window is full, so that a value is never seen in halves; whoever needs output early closes
    the stream early.  `hits` counts by label what was masked.

    Args:
        matcher: the values.
        replacement: makes the text that takes a value's place from its label.
        window: bytes looked at in one go; at least eight times the longest value is taken.
    """

    def __init__(
        self, matcher: Matcher, replacement: Callable[[str], str] = reference, *, window: int = 1 << 18
    ) -> None:
        self._matcher = matcher
        self._replacement = replacement
        self._window = max(window, 64 * matcher.longest, 1 << 12)
        self._hold = self._window // 2
        self._buffer = bytearray()
        self.hits: Counter[str] = Counter()

    def feed(self, chunk: bytes) -> bytes:
        """Takes the next bytes and returns those whose masking is settled."""
        self._buffer += chunk
        out = bytearray()
        while len(self._buffer) >= self._window:
            out += self._settle(bytes(self._buffer[: self._window]))
        return bytes(out)

    def finish(self) -> bytes:
        """Returns the rest."""
        out = bytearray()
        while len(self._buffer) >= self._window:
            out += self._settle(bytes(self._buffer[: self._window]))
        rest = bytes(self._buffer)
        self._buffer.clear()
        return bytes(out) + self._masked(rest, self._matcher.find_bytes(rest))

    def _settle(self, data: bytes) -> bytes:
        """Masks the first half of a full window, up to the end of a line where there is one."""
        spans = self._matcher.find_bytes(data)
        cut = data.rfind(b"\n", self._hold // 2, self._hold) + 1 or self._hold
        starts = [span.start for span in spans]
        crossing = bisect_right(starts, cut) - 1
        if crossing >= 0 and spans[crossing].end > cut:
            cut = spans[crossing].start or spans[crossing].end
        del self._buffer[:cut]
        return self._masked(data[:cut], [span for span in spans if span.end <= cut])

    def _masked(self, data: bytes, spans: list[Span]) -> bytes:
        out, at = bytearray(), 0
        for span in spans:
            out += data[at : span.start] + self._replacement(span.label).encode()
            self.hits[span.label] += 1
            at = span.end
        return bytes(out + data[at:])
