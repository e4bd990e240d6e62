"""Recognising credentials that the vault does not hold: our own rules and the engine.

The engine is betterleaks, kept as a dependency and loaded when first needed; it knows several hundred formats.  Our rules
(`domain.formats`) are tried at their anchors, which one pass of Aho-Corasick finds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Protocol, cast

import ahocorasick_rs

from domain import formats, neighbours, passwords
from domain.randomness import assignable, drawn, random
from domain.vendors import BEGINNINGS

Found = tuple[int, int, str]
"""Start, end and rule."""

RULES = (*formats.RULES, *passwords.RULES)

NAMES = frozenset(
    {
        "private",
        "imitated-mark",
        "jwt",
        "truenas-key",
        "service-key",
        *(rule.name for rule in RULES),
        *(name for name, *_ in BEGINNINGS),
    }
)
"""The names of our own rules."""

_FEWEST_CHARACTERS = 3  # different ones: `xxxx` and `0000` are no token
_BITS_OF_A_KEY = 2.0
_AHEAD = 500  # characters after its anchor in which a rule that looks back may end
_LONG_RUN = 200  # characters of a refused match within which no shorter one is tried


def find(text: str, *, engine: bool = True) -> Iterator[Found]:
    """Everything in the text that is recognised as a credential; spans may overlap."""
    plain = text.encode("ascii", "replace")  # one byte a character, so that places are places in the text
    flat = plain.lower()
    search, owners = _anchors()
    done = [0] * len(RULES)
    for number, start, _ in search.find_matches_as_indexes(flat, overlapping=True):
        for place in owners[number]:
            if start < done[place]:
                continue
            rule = RULES[place]
            if rule.back:
                match = rule.expression.search(text, max(done[place], start - rule.back), start + _AHEAD)
            else:
                match = rule.expression.match(text, start)
            if match is None or match.start() > start:
                continue
            group = match.lastindex or 0
            if rule.check is not None and not rule.check(match.group(group)):
                # A shorter value may begin inside; a long run is judged once, or it would be judged at every anchor.
                done[place] = match.start(group) if match.end() - match.start() < _LONG_RUN else match.end()
                continue
            done[place] = match.end()
            at, to = match.span(0 if rule.whole else group)
            yield at, to, rule.name
    yield from _beginnings(plain)
    yield from neighbours.find(text, plain)
    if engine:
        yield from by_engine(text)


def is_key(word: str) -> bool:
    """Whether a word by itself is a key, by our own rules: for names in whose form one could hide."""
    return drawn(word, _BITS_OF_A_KEY) or next(find(word, engine=False), None) is not None


@cache
def _anchors() -> tuple[ahocorasick_rs.BytesAhoCorasick, list[list[int]]]:
    words: dict[str, list[int]] = {}
    for place, rule in enumerate(RULES):
        for anchor in rule.anchors:
            words.setdefault(anchor, []).append(place)
    return ahocorasick_rs.BytesAhoCorasick(
        [word.encode() for word in words], implementation=ahocorasick_rs.Implementation.DFA
    ), list(words.values())


_ALNUM = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_LONGEST_TOKEN = 400
_DIGIT = re.compile(rb"[0-9]")


def _beginnings(plain: bytes) -> Iterator[Found]:
    """Tokens whose beginning names their vendor."""
    search, tokens = _published()
    done = 0
    for number, start, end in search.find_matches_as_indexes(plain, overlapping=True):
        if start < done or (start and plain[start - 1] in _ALNUM):
            continue
        name, body = tokens[number]
        match = body.match(plain, end)
        if match is not None and len(set(match.group())) > _FEWEST_CHARACTERS and not match.group().isalpha():
            done = match.end()
            yield start, done, name


@cache
def _published() -> tuple[ahocorasick_rs.BytesAhoCorasick, list[tuple[str, re.Pattern[bytes]]]]:
    bodies = [
        (name, re.compile(f"[{alphabet}]{{{least},{_LONGEST_TOKEN}}}".encode()))
        for name, _, alphabet, least in BEGINNINGS
    ]
    search = ahocorasick_rs.BytesAhoCorasick(
        [beginning.encode() for _, beginning, _, _ in BEGINNINGS], implementation=ahocorasick_rs.Implementation.DFA
    )
    return search, bodies


# --- the engine ------------------------------------------------------------------------------------------------------


class _Binding(Protocol):
    def scan_string(self, content: str) -> dict[str, list[dict[str, dict[str, str]]] | None]: ...


@cache
def _binding() -> _Binding:
    """The engine; importing it costs 25 ms, its rules 30 ms and 25 MB, once in a process and only where text is struck."""
    os.environ.pop("BETTERLEAKS_LIB_PATH", None)  # a project's settings can set it, and it names code to load
    from betterleaks._lib import get_binding

    return cast("_Binding", get_binding())


_SLUG = re.compile(r"[^a-z0-9-]+")
_SHORTEST = 6
_BESIDE = 48
_NEAR = re.compile(r"pass|pwd|secret|token|key|auth|cred", re.IGNORECASE)
_PIECE = 1 << 16
_OVERLAP = 1 << 12
# A comment that switches the engine off for its line must not protect a secret; NUL ends the engine's input.
_HUSH = re.compile(r"(?i)(leaks):(allow)")
_HUSHED = str.maketrans({"\0": " "})


def by_engine(text: str) -> Iterator[Found]:
    """What the engine recognises: each secret that it names, wherever the text holds it."""
    seen = _HUSH.sub(r"\1 \2", text.translate(_HUSHED)) if "\0" in text or "eaks:" in text else text
    secrets: dict[str, str] = {}
    for piece in _pieces(seen.encode("utf-8", "replace").decode()):
        for each in _binding().scan_string(piece).get("data") or []:
            secret, rule = str(each["match"]["value"]), _SLUG.sub("-", str(each["rule_id"]).lower())[:60]
            if len(secret) >= _SHORTEST:
                secrets[secret] = min(secrets.get(secret, rule), rule)
    search = ahocorasick_rs.AhoCorasick(list(secrets)) if secrets else None
    shown = text.encode("utf-8", "replace").decode()  # bytes that are no text are one character each, and stay so
    names = list(secrets.items())
    ends = [0] * len(names)
    for number, start, end in search.find_matches_as_indexes(shown, overlapping=True) if search else ():
        if start < ends[number]:
            continue  # a secret of like parts overlaps itself
        ends[number] = end
        secret, rule = names[number]
        # What only its place shows to be a secret may be a word, and a word is struck in that place alone.
        beside = _NEAR.search(text, max(0, start - _BESIDE), start)
        if not rule.startswith("generic-") or random(secret) or (assignable(secret) and beside):
            yield start, end, rule


def _pieces(text: str) -> Iterator[str]:
    """Overlapping pieces: the engine's time grows with the square of what it finds in one."""
    if len(text) <= _PIECE:
        yield text
        return
    for at in range(0, len(text), _PIECE - _OVERLAP):
        yield text[at : at + _PIECE]
