"""Credentials out of the files of other programs: bytes in, drafts out, and for each entry what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from domain.errors import Invalid
from domain.importing import bitwarden, keepass, onepassword, own, rest, tables, texts
from domain.importing.entries import Entry, Found, shape
from domain.plain import Plain

Format = Literal[
    "bitwarden-json",
    "bitwarden-csv",
    "1password-1pux",
    "1password-csv",
    "keepass",
    "itglue-csv",
    "hudu-csv",
    "rest-json",
    "claudetools",
]
FORMATS: tuple[Format, ...] = (
    "bitwarden-json",
    "bitwarden-csv",
    "1password-1pux",
    "1password-csv",
    "keepass",
    "itglue-csv",
    "hudu-csv",
    "rest-json",
    "claudetools",
)
LOCKED: tuple[Format, ...] = ("keepass", "claudetools")
"""Formats that are encrypted: what comes from them did not lie open."""
_AGE = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")
_ZIP = b"PK\x03\x04"
_KEEPASS_CSV = frozenset({"group", "title"})
HINT = "claudetools credential import FILE --format " + "|".join(FORMATS)


@dataclass(frozen=True, slots=True)
class Locks:
    """What opens an encrypted file: a password, a key file."""

    password: Plain | None = None
    key_file: bytes | None = None


def is_packed(start: bytes) -> bool:
    """Whether a file that begins like this is an archive or encrypted, and so may be large without holding much text."""
    return start.startswith((keepass.MAGIC, _ZIP, *_AGE))


def detect(raw: bytes) -> Format:
    """The format of a file, by what it holds.  Raises Invalid where it is none of ours, and says how it can be told."""
    if raw.startswith(keepass.MAGIC):
        return "keepass"
    if raw.startswith(_AGE):
        return "claudetools"
    if raw.startswith(_ZIP):
        return "1password-1pux"
    text = texts.decoded(raw)
    if text.lstrip()[:1] in ("{", "["):
        return "rest-json" if rest.is_list_of(texts.parsed(raw)) else "bitwarden-json"
    columns = set(texts.table(raw).columns)
    if columns.issuperset(bitwarden.CSV_COLUMNS):
        return "bitwarden-csv"
    if columns.issuperset(_KEEPASS_CSV):
        raise Invalid("that is a CSV of KeePass", hint="import the .kdbx file itself: it is encrypted, and holds more")
    for name, layout in _TABLES.items():
        needed = (
            layout.name,
            layout.password,
            *((layout.client,) if layout is not tables.ONEPASSWORD else (("title",),)),
        )
        if all(columns & set(names) for names in needed):
            return name
    raise Invalid("the format of that file is not known by its content", fields={"--format": "name it"}, hint=HINT)


def read(raw: bytes, format_: Format, *, client: str = "", locks: Locks | None = None) -> list[Found]:
    """Every entry of a file, as a draft or with the reason why it is none; the whole is read before anything is returned.

    `raw` of the format claudetools is what its encryption held.  With `client` everything is that client's.  Raises
    Invalid for a file that is broken anywhere, Denied where password and key file do not open it.
    """
    if format_ == "rest-json":
        return rest.read(raw, client)
    if format_ == "claudetools":
        return own.read(raw, client)
    locks = locks or Locks()
    is_keepass = format_ == "keepass"
    entries = keepass.from_kdbx(raw, locks.password, locks.key_file) if is_keepass else _READERS[format_](raw)
    found = [shape(entry, client) for entry in entries]
    return [replace(one, exposed=False) for one in found] if format_ in LOCKED else found


_TABLES: dict[Format, tables.Layout] = {
    "itglue-csv": tables.ITGLUE,
    "hudu-csv": tables.HUDU,
    "1password-csv": tables.ONEPASSWORD,
}
_READERS: dict[Format, Callable[[bytes], list[Entry]]] = {
    "bitwarden-json": bitwarden.from_json,
    "bitwarden-csv": bitwarden.from_csv,
    "1password-1pux": onepassword.from_1pux,
    "itglue-csv": lambda raw: tables.read(raw, tables.ITGLUE),
    "hudu-csv": lambda raw: tables.read(raw, tables.HUDU),
    "1password-csv": lambda raw: tables.read(raw, tables.ONEPASSWORD),
}

__all__ = ["FORMATS", "HINT", "LOCKED", "Format", "Found", "Locks", "detect", "is_packed", "read"]
