"""Postings: which records hold a term, and how much it says of them, in blocks of bits; and the best of a question.

The postings of a term are cut into blocks of BLOCK record numbers.  A block is kept in one of two forms, after Roaring
bitmaps (Chambi, Lemire, Kaser, Godin, "Better bitmap performance with Roaring bitmaps", 2016): a sorted list of 16-bit
entries where few records hold the term, two planes of bits where many do.  An entry is the number's place in its block
and the term's tier there.

A question is answered by bit-sliced index arithmetic (Rinfret, O'Neil, O'Neil, "Bit-sliced index arithmetic", SIGMOD
2001): a block's records are weighed all at once, by a ripple-carry addition over integers of BLOCK bits, and the best are
read off from the highest slice down.  So every record that holds any of the terms is weighed, however common they are,
and the work grows by a few words a record.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b

from domain.recall import Counts

BLOCK = 1 << 14
"""Numbers in a block."""
GONE, LITTLE, MUCH, NAMED = range(4)
"""How much a term says of a record: nothing; it is said there; it is said often; it is in the name of a file."""
_OFTEN = 3
MOST_SPARSE = 128
"""Entries of a list.  One more, and the block is kept as planes: up to sixteen times as long, and added up in microseconds."""
_TIER_BITS = 2
_PLANE = BLOCK // 8
_BITS = tuple(1 << bit for bit in range(8))
_FINEST = 30
"""The unit of weights: one term of the rarest that a question has, said as often as usual."""
_LOW, _HIGH = 0.9, 1.6
"""What a term adds for each bit of its tier, as shares of its inverse document frequency: .9, 1.6, 2.5.  About what
`domain.recall` makes of it once all counts are known; said once or twice it counts 0.7 to 1.3, often 1.5 to 2, in a name 3 and more."""

Tiers = Mapping[int, int]
"""The tier of each term's key in one record."""
Blocks = Mapping[int, bytes]
"""The blocks of one term, by their numbers."""


@lru_cache(maxsize=65_536)
def key_of(token: str) -> int:
    """The key of an index token or a facet: 64 bits of its BLAKE2b, signed.  The index holds no words."""
    digest = blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def tier_of(counts: Counts) -> int:
    """The tier of a term by how often a record says it, and where."""
    if counts.names:
        return NAMED
    return MUCH if counts.person + counts.rest >= _OFTEN else LITTLE


def changed(block: bytes, entries: Iterable[tuple[int, int]]) -> bytes:
    """A block in which places (0 to BLOCK - 1) have these tiers; GONE takes one out.  b"" where nothing is left."""
    if len(block) > MOST_SPARSE * 2:
        return _changed_planes(block, entries)
    listed = _listed(block)
    for place, tier in entries:
        at = bisect_left(listed, place << _TIER_BITS)
        if at < len(listed) and listed[at] >> _TIER_BITS == place:
            del listed[at]
        if tier:
            listed.insert(at, place << _TIER_BITS | tier)
    if len(listed) > MOST_SPARSE:
        return _as_planes(listed)
    return _written(listed)


def made(entries: Iterable[int]) -> bytes:
    """A block of entries (`place << 2 | tier`) in ascending order, each place once."""
    listed = array("H", entries)
    return _as_planes(listed) if len(listed) > MOST_SPARSE else _written(listed)


def holds(block: bytes) -> list[tuple[int, int]]:
    """All (place, tier) of a block, in order."""
    if len(block) <= MOST_SPARSE * 2:
        return [(entry >> _TIER_BITS, entry & NAMED) for entry in _listed(block)]
    return list(places(*_planes(block)))


def places(low: int, high: int) -> Iterator[tuple[int, int]]:
    """All (place, tier) of two planes, in order."""
    for place in _places(low | high):
        yield place, (low >> place & 1) | (high >> place & 1) << 1


def anywhere(block: bytes) -> int:
    """The places of a block whatever their tiers, as bits."""
    low, high = _planes(block)
    return low | high


class Scope:
    """The numbers among which is looked, as bits by block."""

    __slots__ = ("bits",)

    def __init__(self, alternatives: Sequence[Sequence[Blocks]]) -> None:
        """Of each group, a number must be in one."""
        whole: dict[int, int] | None = None
        for group in alternatives:
            united: dict[int, int] = {}
            for blocks in group:
                for number, block in blocks.items():
                    united[number] = united.get(number, 0) | anywhere(block)
            if whole is None:
                whole = united
            else:
                whole = {number: bits & united[number] for number, bits in whole.items() if number in united}
        self.bits = whole or {}

    def newest(self, most: int) -> list[int]:
        """The highest numbers, highest first."""
        found: list[int] = []
        for number in sorted(self.bits, reverse=True):
            found.extend(number * BLOCK + place for place in _newest_of(self.bits[number], most - len(found)))
            if len(found) >= most:
                break
        return found


def best(question: Sequence[tuple[float, Blocks]], most: int, scope: Scope | None = None) -> list[int]:
    """The numbers that answer a question best, best first, at most `most`; of two alike the higher.

    `question` is each term's inverse document frequency and its blocks.
    """
    dearest = max((worth for worth, _ in question), default=0.0)
    if dearest <= 0:
        return []
    asked = [
        (max(1, round(_FINEST * worth * _LOW / dearest)), max(1, round(_FINEST * worth * _HIGH / dearest)), blocks)
        for worth, blocks in question
    ]
    numbers = {number for _, blocks in question for number in blocks}
    found: list[tuple[int, int]] = []
    bar = 0
    for number in sorted(numbers, reverse=True):
        within = -1 if scope is None else scope.bits.get(number, 0)
        here = [(low, high, blocks[number]) for low, high, blocks in asked if number in blocks]
        highest = sum(low + high for low, high, _ in here)
        if not within or highest <= bar:
            continue
        slices = [0] * highest.bit_length()
        for low, high, block in here:
            lows, highs = _planes(block)
            _add(slices, lows & within, low)
            _add(slices, highs & within, high)
        found.extend((score, number * BLOCK + place) for score, place in _highest(slices, most, bar))
        if len(found) > most:
            found.sort(reverse=True)
            del found[most:]
        if len(found) == most:
            bar = min(score for score, _ in found)
    found.sort(reverse=True)
    return [number for _, number in found]


def _add(slices: list[int], bits: int, weight: int) -> None:
    """Adds `weight` to the number at each of these bits; the numbers are written in slices, lowest first, enough of them."""
    at = 0
    while weight and bits:
        if weight & 1:
            carry, to = bits, at
            while carry:
                held = slices[to]
                slices[to] = held ^ carry
                carry &= held
                to += 1
        weight >>= 1
        at += 1


def _highest(slices: Sequence[int], most: int, bar: int) -> Iterator[tuple[int, int]]:
    """The `most` highest numbers above `bar` with their places; of those alike the higher places."""
    if bar >> len(slices):
        return
    above, level = 0, -1
    for at in range(len(slices) - 1, -1, -1):
        if bar >> at & 1:
            level &= slices[at]
        else:
            above |= level & slices[at]
            level &= ~slices[at]
    sure, tied = 0, above
    for at in range(len(slices) - 1, -1, -1):
        better = sure | (tied & slices[at])
        if better.bit_count() > most:
            tied &= slices[at]
        else:
            sure, tied = better, tied & ~slices[at]
    rest = most - sure.bit_count()
    for place in (*_places(sure), *_newest_of(tied, rest)):
        yield sum((one >> place & 1) << at for at, one in enumerate(slices)), place


def _places(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _newest_of(bits: int, most: int) -> Iterator[int]:
    while bits and most > 0:
        place = bits.bit_length() - 1
        yield place
        bits ^= 1 << place
        most -= 1


def _planes(block: bytes) -> tuple[int, int]:
    """The low and the high bits of all tiers."""
    if len(block) > MOST_SPARSE * 2:
        return int.from_bytes(block[:_PLANE], "little"), int.from_bytes(block[_PLANE:], "little")
    tiers = (bytearray(), bytearray(_PLANE), bytearray(_PLANE), bytearray(_PLANE))
    for entry in _listed(block):
        tiers[entry & NAMED][entry >> 5] |= _BITS[entry >> _TIER_BITS & 7]
    first, second, third = (int.from_bytes(tier, "little") for tier in tiers[1:])
    return first | third, second | third


def _listed(block: bytes) -> array[int]:
    listed = array("H", block)
    if sys.byteorder == "big":
        listed.byteswap()
    return listed


def _written(listed: array[int]) -> bytes:
    if sys.byteorder == "big":
        listed = listed[:]
        listed.byteswap()
    return listed.tobytes()


def _as_planes(listed: Iterable[int]) -> bytes:
    planes = bytearray(2 * _PLANE)
    for entry in listed:
        _put(planes, entry >> _TIER_BITS, entry & NAMED)
    return bytes(planes)


def _changed_planes(block: bytes, entries: Iterable[tuple[int, int]]) -> bytes:
    planes = bytearray(block)
    for place, tier in entries:
        _put(planes, place, tier)
    return bytes(planes) if any(planes) else b""


def _put(planes: bytearray, place: int, tier: int) -> None:
    at, bit = place >> 3, _BITS[place & 7]
    for plane in range(_TIER_BITS):
        if tier >> plane & 1:
            planes[at + plane * _PLANE] |= bit
        else:
            planes[at + plane * _PLANE] &= ~bit & 0xFF
