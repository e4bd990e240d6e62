"""What a file of another program holds, one entry at a time, and the credential that each becomes.

Every reader makes an `Entry` of what it finds; `shape` makes the draft, or says why there is none.
Nothing here repeats a value: reasons name the field.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from domain import drafts
from domain.credentials import TYPES, slug
from domain.drafts import Draft
from domain.errors import Invalid
from domain.plain import Plain

MAX_ENTRIES = 50_000
_NAMELESS = "x"
"""The slug of a name without a letter or digit that a reference can hold."""
_USUAL_TOTP = {"algorithm": "SHA1", "digits": "6", "period": "30"}


@dataclass(slots=True, repr=False)
class Entry:
    """One entry of a file, before it is a credential.  Its secrets are bare text: it is not shown and not kept.

    `place` says where it stands ("row 3").  `fields` are what has no place of its own; they go into the sealed notes.
    `type` is set where the file says it; else it follows from what is there.  `skipped`: why it is none.
    """

    place: str
    name: str = ""
    client: str = ""
    service: str = ""
    username: str = ""
    password: str = ""
    urls: list[str] = field(default_factory=list)
    notes: str = ""
    totp: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    private_key: str = ""
    public_key: str = ""
    type: str = ""
    tags: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    expires_us: int | None = None
    skipped: str = ""
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one entry: a draft that can be made, or why not: `skipped`, or `refused` field by field.

    `remarks` tell what of it is kept otherwise than it was.  `exposed`: it was seen or lay open where it comes from.
    """

    place: str
    name: str
    draft: Draft | None = None
    skipped: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    exposed: bool = True


def shape(entry: Entry, client: str = "") -> Found:
    """The credential of an entry.  With `client` everything is that client's, and what the file calls one a service."""
    name = entry.name.strip() or _host(entry.urls) or entry.username.strip()
    if entry.skipped:
        return Found(entry.place, name, skipped=entry.skipped)
    owner, service = _belongs(entry, client)
    remarks = list(entry.remarks)
    seed = _seed(entry, remarks)
    urls = [_without_password(url.strip(), entry, remarks) for url in entry.urls if url.strip()]
    type_, values = _values(entry, seed)
    if not type_:
        return Found(entry.place, name, skipped="it holds no secret: no password, key, note or TOTP seed")
    notes = _notes(entry, urls[1:], has_text=values.get("shared_secret") != entry.notes)
    if notes:
        values["notes"] = notes
    if seed:
        values["totp_seed"] = seed
    wrong: dict[str, str] = {}
    if owner and slug(owner) == _NAMELESS and owner.strip().lower() != _NAMELESS:
        wrong["client"] = "has no letter or digit that a reference can hold; give --client"
    draft = Draft(
        type=type_,
        service_name=name,
        client=owner,
        service=service,
        name=name if service else "",
        username=entry.username,
        external_url=urls[0] if urls else "",
        ports=entry.ports,
        tags=entry.tags,
        open={"public_key": entry.public_key} if type_ == "ssh_key" and entry.public_key else {},
        expires_us=entry.expires_us,
        values=_plain(values, wrong),
    )
    return checked(entry.place, draft, wrong, remarks)


def checked(
    place: str, draft: Draft, wrong: Mapping[str, str], remarks: Iterable[str] = (), *, exposed: bool = True
) -> Found:
    """A draft that can be made, or every reason why it cannot."""
    refused = dict(wrong)
    try:
        drafts.check_draft(draft)
    except Invalid as error:
        refused = {**error.fields, **refused}
    if refused:
        return Found(place, draft.service_name, refused=refused)
    return Found(place, draft.service_name, draft, remarks=tuple(remarks), exposed=exposed)


def too_many(entries: int) -> None:
    """Raises Invalid for more entries than are taken in at once."""
    if entries > MAX_ENTRIES:
        raise Invalid(f"the file holds more than {MAX_ENTRIES} entries", hint="divide it and import the parts")


def path_parts(path: str) -> tuple[str, str]:
    """A folder's path as client and service: what stands before the first slash, and the rest."""
    first, _, rest = path.strip().strip("/").partition("/")
    return first.strip(), rest.strip()


def _belongs(entry: Entry, client: str) -> tuple[str, str]:
    if not client:
        return entry.client.strip(), entry.service.strip()
    same = slug(entry.client) == slug(client)
    parts = (entry.service,) if same else (entry.client, entry.service)
    return client, "/".join(part.strip() for part in parts if part.strip())


def _values(entry: Entry, seed: str) -> tuple[str, dict[str, str]]:
    """The type and its own secret fields; ("", {}) where there is no secret at all."""
    if entry.private_key:
        values = {"private_key": entry.private_key}
        return "ssh_key", values | ({"passphrase": entry.password} if entry.password else {})
    if entry.password:
        type_ = entry.type or "password"
        return type_, {TYPES[type_].main: entry.password}
    shared = (entry.notes if entry.notes.strip() else "") or _lines(entry.fields) or seed
    return ("shared_secret", {"shared_secret": shared}) if shared else ("", {})


def _notes(entry: Entry, urls: list[str], *, has_text: bool) -> str:
    """Notes, and under them what has no field of its own."""
    has_main = bool(entry.password or entry.private_key or entry.notes.strip())
    more = [*(("URL", url) for url in urls), *(entry.fields if has_main else ())]
    parts = (entry.notes.strip("\r\n") if has_text and entry.notes.strip() else "", _lines(more))
    return "\n\n".join(part for part in parts if part)


def _lines(fields: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{name.strip()}: {text}" if name.strip() else text for name, text in fields)


def _seed(entry: Entry, remarks: list[str]) -> str:
    """The TOTP seed in base32.  What is none goes to the fields, so that nothing is lost."""
    text = entry.totp.strip()
    if not text:
        return ""
    given: dict[str, list[str]] = {}
    if text.lower().startswith("otpauth:"):
        try:
            parts = urlsplit(text)
            given = parse_qs(parts.query)
        except ValueError:
            parts = None
        seed = given.get("secret", [""])[0] if parts is not None and parts.netloc.lower() == "totp" else ""
    else:
        seed = text
    seed = "".join(seed.replace("-", "").split()).upper().rstrip("=")
    if not _is_seed(seed):
        entry.fields.append(("TOTP", text))
        remarks.append("what it has for one-time codes is no TOTP seed; it is kept in the notes")
        return ""
    unusual = [key for key, usual in _USUAL_TOTP.items() if given.get(key, [usual])[0].upper() != usual]
    if unusual:
        entry.fields.append(("TOTP", text))
        remarks.append(
            f"its one-time codes have an unusual {' and '.join(unusual)}; the whole address is kept in the notes"
        )
    return seed


def _is_seed(seed: str) -> bool:
    try:
        return len(base64.b32decode(seed + "=" * (-len(seed) % 8))) >= drafts.SHORTEST_SEED
    except (binascii.Error, ValueError):
        return False


def _without_password(url: str, entry: Entry, remarks: list[str]) -> str:
    """An address is an open field: a password in it goes to the notes."""
    try:
        parts = urlsplit(url)
        if parts.password is None:
            return url
        host = parts.netloc.rpartition("@")[2]
        entry.fields.append(("URL", url))
        remarks.append("its address held a password; the whole address is kept in the notes")
        if not entry.username:
            entry.username = unquote(parts.username or "")
        return urlunsplit(parts._replace(netloc=host))
    except ValueError:
        return url


def _host(urls: Iterable[str]) -> str:
    for url in urls:
        try:
            host = urlsplit(url.strip() if "//" in url else f"//{url.strip()}").hostname
        except ValueError:
            continue
        if host:
            return host
    return ""


def _plain(values: Mapping[str, str], wrong: dict[str, str]) -> dict[str, Plain]:
    made = {}
    for name, text in values.items():
        try:
            made[name] = Plain(text)
        except Invalid:
            wrong[name] = "holds half a character (a lone surrogate)"
            made[name] = Plain("x")
    return made


def port_of(text: str) -> tuple[int, ...]:
    """A port that a file names; none where it is no number."""
    return (int(text),) if re.fullmatch(r"[0-9]{1,5}", text.strip()) else ()
