"""1Password's exports: 1PUX, which is a ZIP archive with one JSON document, and CSV."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib

from domain.errors import Invalid
from domain.importing import texts
from domain.importing.entries import Entry, port_of, too_many
from domain.importing.texts import listed, mapping, text_of

DOCUMENT = "export.data"
_BITWARDEN_DOCUMENT = "data.json"
MAX_MEMBERS = 100_000
_OWN_VAULTS = frozenset({"private", "personal", "employee"})
"""Vaults that are named for being nobody else's: no client."""
_SKIPPED = {
    "002": "a card is no credential",
    "004": "an identity is no credential",
    "006": "a document is no credential",
    "101": "a bank account is no credential",
    "103": "a driver license is no credential",
    "104": "a license is no credential",
    "105": "a membership is no credential",
    "106": "a passport is no credential",
    "107": "a reward program is no credential",
    "108": "a social security number is no credential",
    "113": "a medical record is no credential",
}
_API = "112"
_MAIN_IDS = ("password", "credential", "reg_code", "wireless_password", "pop_password")
_HOST_IDS = ("hostname", "url", "website", "pop_server")
_KNOWN_IDS = frozenset({*_MAIN_IDS, *_HOST_IDS, "username", "port"})
_BY_TITLE = frozenset({"username", "password", "credential", "hostname"})
_FORM_ONLY = frozenset({"C", "B", "I"})
"""Check boxes and buttons of a web page's form, which 1Password keeps with what was typed there."""
_SINGLE = ("string", "concealed", "email", "url", "phone", "menu", "reference", "gender")


def from_1pux(raw: bytes) -> list[Entry]:
    """The entries of a 1PUX archive.  Nothing of it is unpacked but the one document, and no more of that than is read."""
    whole = mapping(texts.parsed(_document(raw), f"{DOCUMENT} in the archive"))
    if not isinstance(whole.get("accounts"), list):
        raise Invalid(f"{DOCUMENT} has no list of accounts", fields={"accounts": "needed"}, hint="export it again")
    entries: list[Entry] = []
    for account in listed(whole["accounts"]):
        for one in listed(mapping(account).get("vaults")):
            vault = mapping(one)
            name = text_of(mapping(vault.get("attrs")).get("name")).strip()
            for item in listed(vault.get("items")):
                said = mapping(item)
                entries.append(_item(f"item {len(entries) + 1}", mapping(said.get("item")) or said, name))
                too_many(len(entries))
    return entries


def _document(raw: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            _check_members(members)
            (member,) = (one for one in members if one.filename == DOCUMENT)
            with archive.open(member) as stream:
                # What the archive says of its size may be a lie: no more than the limit is ever unpacked.
                document = stream.read(texts.MAX_TEXT_FILE + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError):
        raise Invalid("the archive is damaged, or is no archive of 1Password", hint="export it again") from None
    if len(document) > texts.MAX_TEXT_FILE:
        raise _too_large()
    return document


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    names = [one.filename for one in members]
    if len(names) > MAX_MEMBERS:
        raise Invalid(f"the archive holds more than {MAX_MEMBERS} files", hint="export it again")
    if DOCUMENT not in names and _BITWARDEN_DOCUMENT in names:
        raise Invalid(
            "that is an archive of Bitwarden with attachments",
            hint=f"unpack it and import the {_BITWARDEN_DOCUMENT} in it",
        )
    if names.count(DOCUMENT) != 1:
        raise Invalid(f"the archive does not hold {DOCUMENT} once; it is none of 1Password", hint="export it again")
    for one in members:
        if stat.S_ISLNK(one.external_attr >> 16):
            raise Invalid("the archive holds a symbolic link; it is none of 1Password", hint="export it again")
    member = members[names.index(DOCUMENT)]
    if member.flag_bits & 1:
        raise Invalid("the archive is encrypted; 1Password's own are not", hint="export it again")
    if member.file_size > texts.MAX_TEXT_FILE:
        raise _too_large()


def _too_large() -> Invalid:
    limit = texts.size(texts.MAX_TEXT_FILE)
    return Invalid(f"{DOCUMENT} in the archive has more than {limit} unpacked", hint="export one vault at a time")


def _item(place: str, item: dict[str, object], vault: str) -> Entry:
    overview, details = mapping(item.get("overview")), mapping(item.get("details"))
    category = text_of(item.get("categoryUuid"))
    urls = [text_of(mapping(one).get("url")) for one in listed(overview.get("urls"))]
    entry = Entry(
        place,
        name=text_of(overview.get("title")),
        client="" if vault.lower() in _OWN_VAULTS else vault,
        password=text_of(details.get("password")),
        notes=text_of(details.get("notesPlain")),
        urls=urls or [text_of(overview.get("url"))],
        tags=tuple(text_of(tag) for tag in listed(overview.get("tags")) if text_of(tag).strip()),
        type="api_key" if category == _API else "",
        skipped=_SKIPPED.get(category, ""),
    )
    state = text_of(item.get("state"))
    if state == "trashed" or item.get("trashed") is True:
        entry.skipped = "it is in 1Password's trash"
    elif state == "archived":
        entry.skipped = "it is archived in 1Password"
    for one in listed(details.get("loginFields")):
        field = mapping(one)
        role, value = text_of(field.get("designation")), _plain(field.get("value"))
        if role == "username":
            entry.username = value
        elif role == "password":
            entry.password = value
        elif value and field.get("fieldType") not in _FORM_ONLY:
            entry.fields.append((text_of(field.get("name")), value))
    for section in listed(details.get("sections")):
        said = mapping(section)
        for one in listed(said.get("fields")):
            _field(entry, mapping(one), text_of(said.get("title")))
    if listed(details.get("passkey")) or mapping(details.get("passkey")):
        entry.remarks.append("its passkey was not taken in")
    if listed(details.get("passwordHistory")):
        entry.remarks.append("its earlier passwords were not taken in")
    if mapping(details.get("documentAttributes")):
        entry.remarks.append("its document was not taken in")
    return entry


def _field(entry: Entry, field: dict[str, object], section: str) -> None:
    name, id_ = text_of(field.get("title")), text_of(field.get("id")).lower()
    if id_ not in _KNOWN_IDS and name.strip().lower() in _BY_TITLE:
        id_ = name.strip().lower()  # a field of one's own, which is called like one of 1Password's
    value = mapping(field.get("value"))
    key = mapping(value.get("sshKey"))
    if key:
        said = mapping(key.get("metadata"))
        # The one beside the metadata is not of one form in all exports.
        entry.private_key = text_of(said.get("privateKey")) or text_of(key.get("privateKey"))
        entry.public_key = text_of(said.get("publicKey"))
        return
    if "file" in value:
        entry.remarks.append("an attached file was not taken in")
        return
    totp = text_of(value.get("totp"))
    text = totp or _text(value)
    if not text:
        return
    if totp and not entry.totp:
        entry.totp = totp
    elif id_ in _MAIN_IDS and not entry.password:
        entry.password = text
    elif id_ == "username" and not entry.username:
        entry.username = text
    elif id_ in _HOST_IDS and not any(entry.urls):
        entry.urls = [text]
    elif id_ == "port" and not entry.ports and port_of(text):
        entry.ports = port_of(text)
    elif id_ in ("expires", "expiry_date") and "date" in value:
        entry.expires_us = _seconds(value["date"])
    else:
        entry.fields.append((f"{section}: {name}" if section.strip() else name, text))


def _plain(value: object) -> str:
    """The text of a login field, which may be an object: an address that was made by a mail service, for one."""
    said = mapping(value)
    return text_of(said.get("email_address") or said.get("string")) if said else text_of(value)


def _text(value: dict[str, object]) -> str:
    for kind in _SINGLE:
        if value.get(kind):
            said = value[kind]
            return text_of(said) or text_of(mapping(said).get("email_address"))
    address = mapping(value.get("address"))
    if address:
        return ", ".join(text_of(part) for part in address.values() if text_of(part).strip())
    return next((text_of(said) for said in value.values() if text_of(said)), "")


def _seconds(value: object) -> int | None:
    return int(value * 1_000_000) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
