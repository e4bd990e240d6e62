"""Long words that look drawn at random, and what stands before them.

Most keys have no form of their own: letters and digits, so and so long.  What tells them from hashes and ids is the name
of their service, or a word like "token", that stands before them.  So the words come first: they are rare, and are
found by folding the text to letters-or-not and looking for runs, at the speed of a string search.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import ahocorasick_rs

from domain.randomness import drawn, placeholder, solid
from domain.vendors import NAMES

Found = tuple[int, int, str]
"""Start, end and rule."""

_SOLID = 20  # letters and digits in one run
_BROKEN = 28  # letters, digits, `_` and `-` in one run
_LONGEST = 512  # characters by which a run is made longer on either side
_BEFORE = 72  # characters in which a name is looked for
_NEAR = 44  # of these, where nothing but the name of a service speaks for it

_ALNUM = bytes(c for c in range(128) if chr(c).isalnum())
_DIGITS = b"0123456789"
_CAPITALS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FOLD_SOLID = bytes(ord("a") if b in _ALNUM else ord(" ") for b in range(256))
_FOLD_BROKEN = bytes(ord("a") if b in _ALNUM + b"_-" else ord(" ") for b in range(256))
_FOLD_UUID = bytes(
    ord("a") if chr(b) in "0123456789abcdefABCDEF" else ord("-") if b == ord("-") else ord(" ") for b in range(256)
)
_UUID = b"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
_TAIL = frozenset(b"+/=._-~:")  # what may stand between two runs of one key

_SECRET = re.compile(
    r"(?i)secret|passw|passphrase|token|api.?key|apikey|access.?key|private.?key|auth.?key|account.?key|license.?key|master.?key"
    r"|credential|bearer|(?<![a-z])(?:key|auth|pat|pass|pwd|private|access)(?![a-z])|[a-z](?:Key|KEY|Pat|PAT)(?![a-z])|_(?:key|pat)(?![a-z])"
)
# Between the name and the word: signs, and a few short words ("is", "code", "-H"), no sentence.
_ASSIGNS = re.compile(r"[=:>,(\[|\"'`]|\bis\b|[-_. ]$")
_ADJACENT = re.compile(
    r"(?i)(?:secret|token|tok|key|password|passwd|(?<![a-z])pass|pwd|(?<![a-z])pat|credential|private|access|code)(?-i:[A-Z][a-z]{1,8}|_[a-z]{1,8}|_[A-Z]{1,8}|[0-9])?s?"
    r"[\\\"'`\])]{0,4}[ \t]{0,16}(?:=>|:=|==?|:|-|\.|,)?\s{0,16}(?:--?[A-Za-z]{1,8}\s)?[\\\"'`(\[>]{0,4}$"
)
_NOT_A_KEY = re.compile(
    r"(?i)sha-?(?:1|256|384|512)|md5|commit|checksum|digest|integrity|etag|\b(?:hash|rev|revision|tree|blob|parent|head|build)\b"
    r"|(?:request|trace|span|session|message|event|object|run|job|call|tool|item|page|block|cache|user|account|project|tenant|record|build|deploy)[ _-]?id"
    r"|[/\\@#]$|\.\.$|\b(?:secrets|vars|env|process|os|config|settings)\.$"
)
_WEB_TOKEN = re.compile(r"e[yw][A-Za-z0-9_-]{20,}\.e[yw][A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{10,}")
_APPLIANCE_KEY = re.compile(r"[0-9]{1,3}-[A-Za-z0-9]{64}")  # TrueNAS: number of the key and 64 letters and digits
# Where one of these stands, a long hexadecimal word is a name of content.
_CONTENT = re.compile(r"(?i)\b(?:git|commit|merge|cherry|rebase|branch|docker|image|sha)\b")


def find(text: str, plain: bytes) -> Iterator[Found]:
    """Words beside a name that says they are keys.  `plain` is the text in one byte a character."""
    at = 0
    for start, end in _words(plain):
        if start < at or not _can_be(plain[start:end]):
            continue
        begin = max(0, start - _BEFORE, at)
        before = text[begin:start]
        # On its own line, or on the next after a name.
        said = before.rstrip()
        before = before[said.rfind("\n") + 1 :]
        rule = _judged(text[start:end], before)
        if rule:
            at = end
            yield start, end, rule


def _words(plain: bytes) -> Iterator[tuple[int, int]]:
    """The long words of a text, in order."""
    spans: set[tuple[int, int]] = set()
    for folded, need in (
        (plain.translate(_FOLD_SOLID), b"a" * _SOLID),
        (plain.translate(_FOLD_BROKEN), b"a" * _BROKEN),
    ):
        at = folded.find(need)
        while at >= 0:
            end = folded.find(b" ", at)
            end = len(folded) if end < 0 else end
            spans.add(_whole(plain, at, end))
            at = folded.find(need, end)
    folded = plain.translate(_FOLD_UUID)
    at = folded.find(_UUID)
    while at >= 0:
        spans.add((at, at + len(_UUID)))
        at = folded.find(_UUID, at + len(_UUID))
    return iter(sorted(spans))


def _can_be(word: bytes) -> bool:
    """Whether it is worth a look at what stands before: names of things have few digits, and words between their signs."""
    digits = len(word) - len(word.translate(None, _DIGITS))
    if digits > 2:  # noqa: PLR2004
        return True
    if not word.isalnum():
        return False
    return word.islower() or word.isupper() or (len(word) - len(word.translate(None, _CAPITALS))) * 4 >= len(word)


def _whole(plain: bytes, start: int, end: int) -> tuple[int, int]:
    """The run with those beside it, of which a sign of base64 or a dot parts it."""
    least, most = max(0, start - _LONGEST), min(len(plain), end + _LONGEST)
    while (
        start > least + 1
        and plain[start - 1] in b"+/._-~"
        and plain[start - 2] in _ALNUM
        and _long(plain, start - 2, -1)
    ):
        start -= 2
        while start > least and plain[start - 1] in _ALNUM:
            start -= 1
    while end + 1 < most and plain[end] in _TAIL and plain[end + 1] in _ALNUM and _long(plain, end + 1, 1):
        end += 2
        while end < most and plain[end] in _ALNUM:
            end += 1
    while end < most and plain[end] == ord("="):
        end += 1
    return start, end


def _long(plain: bytes, at: int, step: int) -> bool:
    """Whether so long a run begins there that it is no word of a sentence or a path."""
    count = 0
    while 0 <= at < len(plain) and plain[at] in _ALNUM and count < 12:  # noqa: PLR2004
        count += 1
        at += step
    return count >= 12  # noqa: PLR2004


def _judged(word: str, before: str) -> str:
    """The rule under which a word is a key; "" where it is none."""
    if _WEB_TOKEN.match(word):  # RFC 7519; the header may begin with a space or a line
        return "jwt"
    if _APPLIANCE_KEY.fullmatch(word):
        return "truenas-key"
    if not before or placeholder(word) or _NOT_A_KEY.search(before[-24:]):
        return ""
    return _beside(word, before)


def _beside(word: str, before: str) -> str:
    """The rule by which what stands before a word says that it is a key."""
    vendor = _vendor(before)
    secret = _SECRET.search(before)
    if secret and vendor and _ADJACENT.search(before):
        return "service-key" if drawn(word, 2.0) or solid(word) else ""
    if secret and vendor:
        return "service-key" if drawn(word, 2.0) else ""
    if secret and _ADJACENT.search(before):
        return "assigned-secret" if drawn(word, 2.2) else ""
    if vendor and len(before) - vendor <= _NEAR and drawn(word, 3.0) and not _CONTENT.search(before):
        return "service-key" if _ASSIGNS.search(before[vendor:] or " ") else ""
    return ""


def _vendor(before: str) -> int:
    """Where the last name of a service ends; 0 without one."""
    folded = before.encode("ascii", "replace").lower()
    last = 0
    for _, _, end in _names().find_matches_as_indexes(folded, overlapping=True):
        last = max(last, end)
    return last


@cache
def _names() -> ahocorasick_rs.BytesAhoCorasick:
    return ahocorasick_rs.BytesAhoCorasick([name.encode() for name in sorted(NAMES)])
