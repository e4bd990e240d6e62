"""Bitwarden's exports: JSON and CSV, of a person and of an organization."""

from __future__ import annotations

from domain.errors import Invalid
from domain.importing import texts
from domain.importing.entries import Entry, path_parts, too_many
from domain.importing.texts import listed, mapping, text_of

CSV_COLUMNS = ("name", "type", "login_password")
"""What every CSV of Bitwarden has."""
ENCRYPTED = "that is an encrypted export of Bitwarden, which only Bitwarden opens"
PROTECTED = "that is an encrypted export of Bitwarden with a password of its own, which only Bitwarden opens"
UNENCRYPTED = "export it again in Bitwarden as .json (not encrypted), import that, and destroy the file"
_LOGIN, _NOTE, _CARD, _IDENTITY, _SSH_KEY = 1, 2, 3, 4, 5
_BANK_ACCOUNT, _DRIVER_LICENSE, _PASSPORT = 6, 7, 8
_SKIPPED = {
    _CARD: "a card is no credential",
    _IDENTITY: "an identity is no credential",
    _BANK_ACCOUNT: "a bank account is no credential",
    _DRIVER_LICENSE: "a driver license is no credential",
    _PASSPORT: "a passport is no credential",
}
_LINKED = 3
"""A custom field that stands for another one."""


def from_json(raw: bytes) -> list[Entry]:
    """The entries of a JSON export.  Raises Invalid for one that is encrypted."""
    whole = mapping(texts.parsed(raw))
    if whole.get("encrypted") or "encKeyValidation_DO_NOT_EDIT" in whole:
        raise Invalid(PROTECTED if whole.get("passwordProtected") else ENCRYPTED, hint=UNENCRYPTED)
    if not isinstance(whole.get("items"), list):
        raise Invalid("the file has no list of items", fields={"items": "needed"}, hint="export it again")
    items = listed(whole["items"])
    too_many(len(items))
    folders: dict[str, str] = {}
    for kind in ("folders", "collections"):
        for one in listed(whole.get(kind)):
            folder = mapping(one)
            folders[text_of(folder.get("id"))] = text_of(folder.get("name"))
    return [_item(f"item {number}", mapping(item), folders) for number, item in enumerate(items, 1)]


def _item(place: str, item: dict[str, object], folders: dict[str, str]) -> Entry:
    collections = [text_of(one) for one in listed(item.get("collectionIds"))]
    at = [folders[one] for one in (*collections, text_of(item.get("folderId"))) if one in folders]
    client, service = path_parts(at[0]) if at else ("", "")
    entry = Entry(
        place,
        name=text_of(item.get("name")),
        client=client,
        service=service,
        notes=text_of(item.get("notes")),
        tags=_folder_tags(at[1:]),
    )
    kind = item.get("type")
    if item.get("deletedDate"):
        entry.skipped = "it is in Bitwarden's trash"
    elif item.get("archivedDate"):
        entry.skipped = "it is archived in Bitwarden"
    elif kind in _SKIPPED and isinstance(kind, int):
        entry.skipped = _SKIPPED[kind]
    elif kind not in (_LOGIN, _NOTE, _SSH_KEY):
        entry.skipped = "it is of a type that is not known here"
    for one in listed(item.get("fields")):
        custom = mapping(one)
        if custom.get("type") != _LINKED and text_of(custom.get("value")):
            entry.fields.append((text_of(custom.get("name")), text_of(custom.get("value"))))
    login = mapping(item.get("login"))
    entry.username = text_of(login.get("username"))
    entry.password = text_of(login.get("password"))
    entry.totp = text_of(login.get("totp"))
    entry.urls = [text_of(mapping(uri).get("uri")) for uri in listed(login.get("uris"))]
    if listed(login.get("fido2Credentials")):
        entry.remarks.append("its passkey was not taken in")
    if listed(item.get("passwordHistory")):
        entry.remarks.append("its earlier passwords were not taken in")
    key = mapping(item.get("sshKey"))
    entry.private_key = text_of(key.get("privateKey"))
    entry.public_key = text_of(key.get("publicKey"))
    return entry


def from_csv(raw: bytes) -> list[Entry]:
    """The entries of a CSV export."""
    found = texts.table(raw)
    texts.require(found.columns, *((name,) for name in CSV_COLUMNS))
    return [_row(f"row {number}", row) for number, row in found.rows]


def _row(place: str, row: dict[str, str]) -> Entry:
    # An entry in several collections names them all, separated by commas.
    at = [one for one in (row.get("collections") or row.get("folder") or "").split(",") if one.strip()]
    client, service = path_parts(at[0]) if at else ("", "")
    entry = Entry(
        place,
        name=row["name"],
        client=client,
        service=service,
        username=row.get("login_username", ""),
        password=row["login_password"],
        urls=row.get("login_uri", "").split(","),
        notes=row.get("notes", ""),
        totp=row.get("login_totp", ""),
        tags=_folder_tags(at[1:]),
    )
    if row["type"] not in ("login", "note"):
        entry.skipped = "it is of a type that is not known here"
    if row.get("fields", "").strip():
        entry.fields.append(("", row["fields"].strip("\r\n")))
    return entry


def _folder_tags(paths: list[str]) -> tuple[str, ...]:
    """The other collections that an entry is in."""
    return tuple(path.strip().strip("/")[:64] for path in paths if path.strip().strip("/"))
