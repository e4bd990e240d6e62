"""Telling drawn words from written ones: whether what stands in a secret's place is a secret."""

from __future__ import annotations

import math
import re
from itertools import pairwise

_PLACEHOLDER = re.compile(
    r"x{4,}|\*{3,}|\.{3,}|<[^<>]*>|\$\{[A-Za-z_!#]|\{\{ ?[A-Za-z_.$]|%\(|your|example|changeme|redacted|placeholder|dummy"
    r"|^[$%]|^\{|^(?:null|none|true|false|undefined)$",
    re.IGNORECASE,
)
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_WRITTEN = re.compile(
    rf"^[*&!]?{_NAME}(?:(?:\.|::|->){_NAME})+$"  # an expression
    r"|^[a-z_]+$|^[A-Z_]+$|^[a-z]+(?:[A-Z][a-z]+)+$|^(?:[A-Z][a-z]+)+$"  # a name
    r"|://|^[.~]{0,2}/|/[a-z][a-z_.-]{2,}/|/[a-z_-]{3,}$|\\[A-Za-z.]"  # an address, a path
    r"|^(?:[A-Z][a-z0-9]{2,}){2,}$|^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.[a-z]{2,4}$|^[a-z]+:$"  # a class, a file, a keyword
    r"|^[a-z_]+=[A-Za-z0-9_.]{0,12}$"  # an argument
    r"|^[A-Za-z_][A-Za-z0-9_.:>-]*\(.*\)$"  # a call
    r"|:[0-9]+:|^[a-z]+(?:[,/:][a-z0-9]+)+$"  # a place in a file, a list
)
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]+")
_CONSTANT = re.compile(r"[A-Z]+(?:_[A-Z0-9]+)+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_LONG_REST = 28
_SHORTEST_DRAWN = 16
_SHORTEST_SOLID = 15
_BITS_SOLID = 2.0
_BITS = 3.0  # a character; a run, a counter and a repeated word have fewer
_LONGEST = 256  # characters of a long word that decide
_SOLID = 20
_SOLID_LETTERS = 24

_KINDS = bytes(
    ord("d") if chr(b).isdigit() else ord("l") if chr(b).islower() else ord("u") if chr(b).isupper() else ord("o")
    for b in range(128)
).ljust(256, b"o")


def entropy(word: str) -> float:
    """Shannon's entropy of the word's characters, in bits a character."""
    size = len(word)
    return -sum((n := word.count(c)) / size * math.log2(n / size) for c in set(word)) if word else 0.0


def _kinds(word: str) -> bytes:
    """Digits, lower case, upper case and others, as a string of d, l, u and o."""
    return word.encode("ascii", "replace").translate(_KINDS)


def random(word: str, shortest: int = 16) -> bool:
    """Whether a word looks drawn at random rather than written: digits, letters and cases in quick change."""
    word = word[:_LONGEST]
    if len(word) < shortest or entropy(word) < _BITS:
        return False
    kinds = _kinds(word)
    changes = sum(a != b for a, b in pairwise(kinds))
    if b"d" not in kinds:  # without a digit only a wild mixture of cases is not words in camel case
        return changes * 2 >= len(word) and b"o" not in kinds
    return changes * 6 >= len(word)


def placeholder(word: str) -> bool:
    """Whether a word stands for a value: `<password>`, `${TOKEN}`, `xxxx`, `your-key-here`."""
    match = _PLACEHOLDER.search(word[:_LONGEST])
    if match is None:
        return False
    # A long key may hold such a word by chance, or because somebody wrote "EXAMPLE" into it: the rest of it tells.
    rest = word[: match.start()] + word[match.end() : _LONGEST]
    return not (match.group().isalpha() and len(rest) >= _LONG_REST and random(rest))


def _written(word: str) -> bool:
    return placeholder(word) or _WRITTEN.search(word[:_LONGEST]) is not None


def assignable(word: str) -> bool:
    """Whether a value can be meant as a secret at all: no placeholder, no constant's name, no sentence about secrets."""
    return not placeholder(word) and not re.search(
        r"^[A-Z_]+$|\b(?:password|secret|token|was|is|the)\b", word[:_LONGEST]
    )


def drawn(word: str, bits: float) -> bool:
    """For a long word beside a name that says what it is: whether it can be a key, by so many bits a character.

    Hexadecimal digits, a UUID, or letters with digits among them, in quick change.
    """
    bare = word.rstrip("=").replace("-", "").replace("_", "")[:_LONGEST]
    if len(bare) < _SHORTEST_DRAWN or entropy(bare) < bits:
        return False
    if _CONSTANT.fullmatch(word):
        return False
    digits = _kinds(bare).count(b"d")
    if digits == len(bare):
        return len(bare) >= _SOLID_LETTERS
    if _HEXADECIMAL.fullmatch(bare):
        return digits > 0 or len(bare) >= _SOLID_LETTERS
    # Words in camel case or between signs, with a number now and then, are few and long parts; a key changes all the time.
    parts = len(_PART.findall(word[:_LONGEST]))
    return parts * 4 >= len(bare) and (digits > 2 or random(bare))  # noqa: PLR2004


def solid(word: str) -> bool:
    """For a long word that two names say is a key: no more than that it is one run and no name in camel case."""
    bare = word.rstrip("=")[:_LONGEST]
    if len(bare) < _SHORTEST_SOLID or entropy(bare) < _BITS_SOLID:
        return False
    if _kinds(bare).count(b"d") > 2:  # noqa: PLR2004
        return True
    return bare.isalnum() and (bare.islower() or bare.isupper()) and len(bare) >= _SOLID


def random_enough(word: str) -> bool:
    """For a value beside a telling name: random, or one long run of letters and digits; no expression or path."""
    if _written(word):
        return False
    word = word.rstrip("=")[:_LONGEST]
    if random(word):
        return True
    # Nobody gives one long run of letters and digits to things as a name.
    if not (word.isascii() and word.isalnum() and len(word) >= _SOLID and entropy(word) >= _BITS):
        return False
    digits = _kinds(word).count(b"d")
    return digits > 2 or (len(word) >= _SOLID_LETTERS and (word.islower() or word.isupper()))  # noqa: PLR2004  "v2"


def like_a_password(word: str) -> bool:
    """For a value that is assigned to a password: of more than one kind of characters, and no expression or path."""
    if _written(word):
        return False
    kinds = set(_kinds(word))
    if len(kinds) == 2:  # noqa: PLR2004  digits or signs must be among two kinds, and not as a name has them
        return not kinds.isdisjoint(b"do") and not word.replace("_", "").replace("-", "").isalpha()
    return len(kinds) > 2  # noqa: PLR2004
