"""KeePass databases (KDBX 3 and 4), by pykeepass.

What a database asks for before its password can be checked is bounded first: a hostile one would take all memory, or a year.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from domain.errors import Denied, Invalid
from domain.importing.entries import Entry, path_parts, port_of, too_many
from domain.plain import Plain

MAGIC = b"\x03\xd9\xa2\x9a"
MAX_MEMORY = 2 * 1024 * 1024 * 1024
MAX_ROUNDS = {"R": 200_000_000, "I": 1_000, "P": 64}
"""Of AES-KDF its rounds, of Argon2 its passes and lanes."""
_NEWEST = 4
_HEADER = 65_536
_USED = ("UserName", "Password", "URL", "Title", "Notes", "otp", "TimeOtp-Secret-Base32", "TOTP Seed")
_ARMOURED = b"PRIVATE KEY-----"
_REFERENCE = "{REF:"
_HINT = "open it with KeePass or KeePassXC, save it there, and import that"


def from_kdbx(raw: bytes, password: Plain | None, key_file: bytes | None) -> list[Entry]:
    """The entries of a database, newest state only.  Raises Denied where password and key file do not open it, Invalid."""
    from pykeepass import PyKeePass
    from pykeepass.exceptions import CredentialsError

    _check_cost(raw)
    try:
        database = PyKeePass(
            io.BytesIO(raw),
            password=password.expose() if password else None,
            keyfile=io.BytesIO(key_file) if key_file is not None else None,
        )
    except CredentialsError:
        raise Denied("password and key file do not open that KeePass database", hint="try again") from None
    except Exception:  # noqa: BLE001  # a damaged file ends anywhere in the library; its words may hold what it read
        raise Invalid("the KeePass database is damaged, or of a form that is not known here", hint=_HINT) from None
    try:
        return list(_entries(database))
    except (AttributeError, TypeError, ValueError, KeyError):
        raise Invalid("the KeePass database holds entries that cannot be read", hint=_HINT) from None


def _check_cost(raw: bytes) -> None:
    """Looks at the header alone: the library would begin with the work before it could say what it costs."""
    from pykeepass.kdbx_parsing import kdbx3, kdbx4

    try:
        is_newest = int.from_bytes(raw[10:12], "little") == _NEWEST
        header = (kdbx4 if is_newest else kdbx3).DynamicHeader.parse(raw[12:_HEADER])
        if is_newest:
            asked = {str(name): said.value for name, said in header.kdf_parameters.data.dict.items()}
        else:
            asked = {"R": header.transform_rounds.data}
    except Exception:  # noqa: BLE001  # as above
        raise Invalid("that is no KeePass database of version 3 or 4, or its header is damaged", hint=_HINT) from None
    memory = asked.get("M", 0)
    if not isinstance(memory, int) or memory > MAX_MEMORY:
        raise Invalid("the KeePass database asks for more than 2 GB of memory to be opened", hint=_HINT)
    for name, most in MAX_ROUNDS.items():
        rounds = asked.get(name, 0)
        if not isinstance(rounds, int) or rounds > most:
            raise Invalid("the KeePass database asks for too much work to be opened", hint=_HINT)


def _entries(database: Any) -> Iterator[Entry]:  # noqa: ANN401  # pykeepass ships no types
    bin_group = database.recyclebin_group
    bin_path = tuple(bin_group.path) if bin_group is not None else None
    entries = database.entries
    too_many(len(entries))
    for number, one in enumerate(entries, 1):
        path = tuple(one.group.path)
        # A name may itself hold a slash.
        client, service = path[0] if path else "", "/".join(part or "" for part in path[1:])
        entry = Entry(
            f"entry {number}",
            name=one.title or "",
            client=(client or "").strip(),
            service=path_parts(f"x/{service}")[1],
            username=one.username or "",
            password=one.password or "",
            urls=[one.url or ""],
            notes=one.notes or "",
            tags=tuple(tag for tag in one.tags or () if tag and tag.strip()),
        )
        if bin_path is not None and path[: len(bin_path)] == bin_path:
            entry.skipped = "it is in KeePass's recycle bin"
        if one.expires and one.expiry_time is not None:
            entry.expires_us = int(one.expiry_time.timestamp() * 1_000_000)
        if any(_REFERENCE in text for text in (entry.username, entry.password)):
            _follow(one, entry)
        properties = dict(one.custom_properties)
        entry.totp = one.otp or properties.get("TimeOtp-Secret-Base32") or properties.get("TOTP Seed") or ""
        _properties(entry, properties)
        _attachments(entry, one.attachments)
        yield entry


def _follow(one: Any, entry: Entry) -> None:  # noqa: ANN401
    """Takes what a reference to another entry stands for."""
    try:
        entry.username, entry.password = one.deref("username") or "", one.deref("password") or ""
    except Exception:  # noqa: BLE001  # a reference in a circle or to nothing
        entry.password = _REFERENCE
    if _REFERENCE in entry.username + entry.password:
        entry.skipped = "its user name or password is a reference to another entry that is not there"


def _properties(entry: Entry, properties: dict[str, str | None]) -> None:
    for name, text in properties.items():
        if not text or name in _USED:
            continue
        if name.startswith("KPEX_PASSKEY"):
            if "its passkey was not taken in" not in entry.remarks:
                entry.remarks.append("its passkey was not taken in")
        elif name.lower() == "port" and port_of(text):
            entry.ports = port_of(text)
        elif name.startswith("KP2A_URL"):
            entry.urls.append(text)
        else:
            entry.fields.append((name, text))


def _attachments(entry: Entry, attachments: list[Any]) -> None:
    """A private key is taken, as KeePass's own agents do; other files are not."""
    left = 0
    for one in attachments:
        try:
            raw = one.binary
        except (AttributeError, IndexError, KeyError):
            raw = None
        if isinstance(raw, bytes) and _ARMOURED in raw[:128] and not entry.private_key and raw.isascii():
            entry.private_key = raw.decode("ascii")
        elif one.filename != "KeeAgent.settings":
            left += 1
    if left:
        entry.remarks.append(
            "an attached file was not taken in" if left == 1 else f"{left} attached files were not taken in"
        )
