r"""The analyser: text to normalised terms, one for both databases and for ranking.

Rules, in the order of the code:

1.  A chunk is a run of word characters, joined by `. / \ : @ -` where these stand between word
    characters: an identifier, a path, a host, an address.
2.  A chunk that has parts is a term as a whole, and so is each of its parts; a part is split
    again at `_` and at camelCase borders.  Versions, addresses and times (digits and joints
    alone) stay whole.
3.  Words are lower case and stemmed (Snowball, English); numbers stay.  An irregular form also gives
    its base: `went` is `went` and `go`.  A long hexadecimal word also gives its first seven
    characters, as Git abbreviates.
4.  Chinese, Japanese and Korean runs become overlapping pairs of characters.
5.  Words that carry nothing (`the`, `and`, ...) are dropped.

`index_token` turns a term into what is stored and searched: ASCII letters and digits alone, at
least three long, never a stopword of SQLite's or MariaDB's full-text search.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

import snowballstemmer

from domain.irregular import BASE

LONGEST_TERM = 64
_LONGEST_SPLIT = 48
_LONGEST_PLAIN = 60
_SHORT_HASH = 7

_CJK = "\u2e80-\u2fdf\u3040-\u30ff\u3100-\u312f\u3131-\u318e\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_CHUNK = re.compile(r"\w+(?:[./\\:@-]\w+)*")
_CJK_RUN = re.compile(f"([{_CJK}]+)")
_JOINT = re.compile(r"[./\\:@-]+")
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_NUMERIC = re.compile(r"[0-9]+(?:[./\\:@-][0-9]+)*\Z")
_HEXADECIMAL = re.compile(r"[0-9a-f]{12,64}\Z")
_PLAIN = re.compile(r"[a-z0-9]+\Z")

STOPWORDS = frozenset(
    """a about after again all also am an and any are as at be because been before being both but by can cannot could
    did do does doing done don down each else for from get gets got had has have having he her here him his how i if in
    into is it its itself just let like ll me more most my no nor not now of off on once one only or other our out over
    own please re s same she should so some such t than that the their them then there these they this those through to
    too under until up us use ve very was we well were what when where which while who whom why will with would yes yet
    you your""".split(),  # noqa: SIM905 - a block of words is read, a column of quotes is not
)
# Words of everyday requests and of programming at large.  A store of a few records cannot know that
# they are common; ranking counts them as such until its own frequencies say otherwise.
COMMON_WORDS = frozenset(
    """ability able access account action actual actually add address allow already analyze answer app application apply argument
    array ask available back bad base basic best better big bit block book bottom branch break bring bug build button call
    capital case cause center change check choose city class clean clear click client code column command comment commit common
    compare complete component config configuration connect consider contain content continue convert copy correct country
    create current custom data database date day debug default define delete deploy describe design detail develop difference
    different directory display doc document documentation download easy edit effect element email empty enable end ensure
    enter environment error event example execute exist expect explain export extra fail failure fast feature field figure
    file fill final find fine first fix fold folder follow food form format free friend front full function functionality
    general generate github give go good great group handle happen hard head hello help high home hour idea ignore image
    implement implementation import important improve include index info information init initial input insert inside install
    instance instruction interface issue item job json keep key kind know language large last later latest learn left level
    library light line link linux list little live load local locate log login long look loop lot main maintain make manage many
    map mark match matter mean merge message method mind minute missing mode model module move multiple must name need network
    never new next nice node note nothing number object old open operation option order original output package page parameter
    part pass password paste patch path people perform person picture place plan point port possible post pr present press
    previous print problem process production program project proper properly provide pull push put python query question quick
    quickly quit random read real really reason recommend record refactor reference release remember remove rename repair
    repeat replace repo repository request require requirement reset resource response rest result return review rewrite right
    root row rule run safe save scratch screen script search second section see select send sentence separate server service set
    setting setup share short show side similar simple simply single site size small software solution solve something sort source
    space specific sql stage standard start state status step stop store string structure stuff style submit suggest
    summary support sure switch system tab table take talk task tell template test text thank thing think time title today
    together tool top total track translate tree trigger true try turn two type understand unit update upgrade upload url usage
    use user using valid validate value variable various verify version view visit wait want warning way weather web website week
    window winter wonder word work workflow world worry write wrong year yesterday""".split(),  # noqa: SIM905 - as above
)
_stem = snowballstemmer.stemmer("english")


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """The stem of one lower-case word."""
    return str(_stem.stemWord(word))


def terms(text: str) -> list[str]:
    """All terms of `text` in order, repeats kept.  Empty for text without words."""
    found: list[str] = []
    for match in _CHUNK.finditer(text):
        found.extend(_chunk_terms(match.group()))
    return found


@lru_cache(maxsize=65_536)
def _chunk_terms(chunk: str) -> tuple[str, ...]:
    if not chunk.isascii() and _CJK_RUN.search(chunk):
        return tuple(_mixed_terms(chunk))
    if _NUMERIC.match(chunk):
        sides = chunk.split(":") if ":" in chunk else []
        return tuple(part for part in (chunk, *sides) if len(part) <= LONGEST_TERM)
    found: list[str] = []
    parts = _JOINT.split(chunk)
    if len(parts) > 1 and len(chunk) <= LONGEST_TERM:
        found.append(chunk.lower())
    for part in parts:
        found.extend(_word_terms(part))
    return tuple(found)


def _mixed_terms(chunk: str) -> Iterator[str]:
    for run in _CJK_RUN.split(chunk):
        if not run:
            continue
        if not _CJK_RUN.match(run):
            for inner in _CHUNK.findall(run):
                yield from _chunk_terms(inner)
        elif len(run) == 1:
            yield run
        else:
            yield from (run[at : at + 2] for at in range(len(run) - 1))


def _word_terms(word: str) -> Iterator[str]:
    lower = word.lower().strip("_")
    if not lower or len(lower) > LONGEST_TERM:
        return
    if _HEXADECIMAL.match(lower) and not lower.isalpha():
        yield lower
        yield lower[:_SHORT_HASH]
        return
    pieces = _pieces(word)
    if len(pieces) > 1:
        yield lower
        for piece in pieces:
            if len(piece) > 1 or not piece.isalpha():
                yield from _plain_word(piece.lower())
    else:
        yield from _plain_word(lower)


def _pieces(word: str) -> list[str]:
    if len(word) > _LONGEST_SPLIT:
        return []
    if word.isascii():
        return _PIECE.findall(word)
    return [piece for piece in word.split("_") if piece]


def _plain_word(word: str) -> Iterator[str]:
    if word not in STOPWORDS:
        yield stem(word)
        if word in BASE:
            yield stem(BASE[word])


@lru_cache(maxsize=65_536)
def index_token(term: str) -> str:
    """The form of a term that both full-text searches keep as one word.

    `x` and the term where it is short and plain, `qq` and the character for a single one, else
    `y` and sixteen hexadecimal digits of its SHA-256.
    """
    if len(term) <= _LONGEST_PLAIN and _PLAIN.match(term):
        return f"qq{term}" if len(term) == 1 else f"x{term}"
    return f"y{hashlib.sha256(term.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def index_tokens(text: str) -> list[str]:
    """The index tokens of all terms of `text`, repeats kept."""
    return [index_token(term) for term in terms(text)]


def identifiers(texts: Iterable[str]) -> Iterator[str]:
    """The words of code in `texts`, as written: snake_case, camelCase, dotted names and paths, repeats kept."""
    for text in texts:
        for match in _CHUNK.finditer(text):
            chunk = match.group()
            if 4 <= len(chunk) <= _LONGEST_SPLIT and _is_identifier(chunk):  # noqa: PLR2004 - shorter ones say little
                yield chunk


@lru_cache(maxsize=65_536)
def _is_identifier(chunk: str) -> bool:
    if _NUMERIC.match(chunk) or _HEXADECIMAL.match(chunk.lower()) or not chunk.isascii() or "-" in chunk:
        return False
    if "_" in chunk.strip("_") or "." in chunk or "/" in chunk:
        return any(letter.isalpha() for letter in chunk)
    return any(letter.isupper() for letter in chunk[1:]) and any(letter.islower() for letter in chunk)
