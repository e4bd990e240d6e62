"""Files as other programs export them, by their documented forms; every value in them is made up here."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

SEED = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nbm90IGEga2V5\n-----END OPENSSH PRIVATE KEY-----\n"
PASSWORD = "made-up-Kd93-password"
SECOND = "made-up-Rz71-password"
NOTE = "made-up-note: the door code is 4711-0815"
HIDDEN = "made-up-hidden-Wm22"
TOKEN = "made-up-token-Qq55"
VALUES = (SEED, PASSWORD, SECOND, NOTE, HIDDEN, TOKEN, "bm90IGEga2V5")
"""What must stand in no message."""
FORMULA = "=cmd|'/C calc'!A0"
KEEPASS_PASSWORD = "made-up-master-password"


def bitwarden(**changes: object) -> dict[str, object]:
    """An export of a person."""
    items = [
        {
            "id": "1", "organizationId": None, "folderId": "f1", "type": 1, "reprompt": 0, "name": "Gitea Admin",
            "notes": "ask bob first", "favorite": False, "collectionIds": None,
            "fields": [
                {"name": "pin", "value": HIDDEN, "type": 1, "linkedId": None},
                {"name": "same", "value": None, "type": 3, "linkedId": 100},
            ],
            "login": {
                "fido2Credentials": [], "username": "bob", "password": PASSWORD,
                "uris": [{"match": None, "uri": "https://git.example/"}, {"match": None, "uri": "https://old.example/"}],
                "totp": f"otpauth://totp/Gitea:bob?secret={SEED}&issuer=Gitea",
            },
        },
        {"id": "2", "folderId": None, "type": 2, "name": "Door", "notes": NOTE, "secureNote": {"type": 0}},
        {"id": "3", "folderId": None, "type": 3, "name": "Visa", "card": {"number": "4111111111111111"}},
        {"id": "4", "folderId": None, "type": 4, "name": "Me", "identity": {"firstName": "Ann"}},
        {
            "id": "5", "folderId": "f2", "type": 5, "name": "Web server",
            "sshKey": {"privateKey": KEY, "publicKey": "ssh-ed25519 AAAA", "keyFingerprint": "SHA256:x"},
        },
        {"id": "6", "folderId": None, "type": 1, "name": "Old", "deletedDate": "2026-01-01T00:00:00Z",
         "login": {"username": "x", "password": SECOND}},
        {"id": "7", "folderId": None, "type": 1, "name": "Bookmark", "login": {"username": "x", "password": None}},
    ]  # fmt: skip
    folders = [{"id": "f1", "name": "Acme/Servers"}, {"id": "f2", "name": "Acme"}]
    return {"encrypted": False, "folders": folders, "items": items, **changes}


def bitwarden_organization() -> dict[str, object]:
    """An export of an organization: collections instead of folders."""
    login = {"username": "root", "password": SECOND, "uris": [], "totp": None}
    item = {
        "id": "9",
        "organizationId": "o1",
        "collectionIds": ["c1", "c2"],
        "type": 1,
        "name": "Router",
        "login": login,
    }
    collections = [
        {"id": "c1", "organizationId": "o1", "name": "Globex/Network"},
        {"id": "c2", "organizationId": "o1", "name": "On call"},
    ]
    return {"encrypted": False, "collections": collections, "items": [item]}


def as_csv(*rows: list[str]) -> bytes:
    """A table."""
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


BITWARDEN_HEAD = [
    *("folder", "favorite", "type", "name", "notes", "fields", "reprompt"),
    *("login_uri", "login_username", "login_password", "login_totp"),
]


def bitwarden_csv(*more: list[str]) -> bytes:
    """An export of a person as CSV."""
    return as_csv(
        BITWARDEN_HEAD,
        ["Acme/Servers", "", "login", "Gitea Admin", "line one\nline two", f"pin: {HIDDEN}", "0",
         "https://git.example/", "bob", PASSWORD, SEED],
        ["", "", "note", "Door", NOTE, "", "0", "", "", "", ""],
        *more,
    )  # fmt: skip


def onepassword() -> dict[str, object]:
    """What export.data of a 1PUX holds."""

    def field(id_: str, title: str, **value: object) -> dict[str, object]:
        return {"id": id_, "title": title, "value": value, "guarded": False, "multiline": False}

    def item(category: str, title: str, *fields: dict[str, object], **details: object) -> dict[str, object]:
        sections = [{"title": "", "name": "section", "fields": list(fields)}]
        overview = {"title": title, "subtitle": "", "url": "https://app.example/", "tags": ["prod"]}
        said = {"loginFields": [], "notesPlain": "", "sections": sections, "passwordHistory": [], **details}
        return {"uuid": title, "state": "active", "categoryUuid": category, "overview": overview, "details": said}

    login = [
        {"designation": "username", "value": "bob", "fieldType": "T", "name": "u", "id": ""},
        {"designation": "password", "value": PASSWORD, "fieldType": "P", "name": "p", "id": ""},
    ]
    items = [
        item("001", "Gitea", field("TOTP_1", "one-time password", totp=SEED), loginFields=login),
        item("102", "Orders", field("hostname", "server", string="db.example"), field("port", "port", string="3306"),
             field("username", "username", string="orders"), field("password", "password", concealed=SECOND)),
        item("112", "Stripe", field("credential", "credential", concealed=TOKEN),
             field("expires", "valid until", date=1830297600), field("x", "webhook", concealed=HIDDEN)),
        item("114", "Deploy key", field("private_key", "private key", sshKey={
            "privateKey": "of another form in some exports", "metadata": {
                "privateKey": KEY, "publicKey": "ssh-ed25519 AAAA", "fingerprint": "x", "keyType": "ed25519"}})),
        item("003", "Door", notesPlain=NOTE),
        item("002", "Visa", field("ccnum", "number", creditCardNumber="4111111111111111")),
        {**item("001", "Gone", loginFields=login), "state": "archived"},
    ]  # fmt: skip
    vault = {"attrs": {"uuid": "v", "name": "Acme", "type": "U"}, "items": items}
    return {"accounts": [{"attrs": {"accountName": "MSP"}, "vaults": [vault]}]}


def as_1pux(document: bytes, *, name: str = "export.data") -> bytes:
    """A 1PUX archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export.attributes", json.dumps({"version": 3, "description": "1Password Unencrypted Export"}))
        archive.writestr(name, document)
        archive.writestr("files/abc__photo.png", b"\x89PNG")
    return out.getvalue()


ONEPASSWORD_CSV = as_csv(
    ["Title", "Url", "Username", "Password", "OTPAuth", "Favorite", "Archived", "Tags", "Notes"],
    ["Gitea", "https://git.example/", "bob", PASSWORD, f"otpauth://totp/x?secret={SEED}", "false", "false", "a;b", "n"],
    ["Gone", "", "x", SECOND, "", "false", "true", "", ""],
)
ITGLUE = as_csv(
    [
        "id",
        "organization",
        "name",
        "password_category",
        "username",
        "password",
        "url",
        "notes",
        "otp_secret",
        "archived",
    ],
    ["1", "Acme GmbH", "Firewall", "Network", "admin", PASSWORD, "https://fw.example/", "", SEED, "No"],
    ["2", "Globex", "Firewall", "Network", "admin", SECOND, "", "on the roof", "", "No"],
    ["3", "Globex", "Attic", "", "x", TOKEN, "", "", "", "Yes"],
)
HUDU = as_csv(
    [
        "ID",
        "Company Name",
        "Name",
        "Username",
        "Password",
        "URL",
        "Description",
        "OTP Secret",
        "Password Type",
        "Asset Tag",
    ],
    ["1", "Acme GmbH", "Firewall", "admin", PASSWORD, "https://fw.example/", "", "", "Network", "A-17"],
)


def rest() -> list[dict[str, object]]:
    """Credentials as the earlier system's interface answers them."""
    return [
        {
            "id": 1, "credential_type": "password", "service_name": "Gitea Admin", "username": "admin",
            "password": PASSWORD, "external_url": "https://git.example/", "ports": [443], "requires_2fa": True,
            "requires_vpn": False, "client_id": 7, "service_id": None, "infrastructure_id": None,
            "expires_at": "2031-01-31T00:00:00Z", "last_rotated_at": None,
        },
        {"id": 2, "credential_type": "api_key", "service_name": "Stripe", "api_key": TOKEN, "client_id": 7},
        {"id": 3, "credential_type": "password", "service_name": "Listed only", "client_id": 7},
    ]  # fmt: skip


def keepassxc(folder: Path, key_file: Path | None = None) -> Path:
    """A database that KeePassXC itself made: two groups, a URL, notes, and one entry in the recycle bin."""
    file = folder / "vault.kdbx"
    program = shutil.which("keepassxc-cli")
    assert program, "./setup.sh --test installs keepassxc-cli"
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "LANG": "C.UTF-8", "HOME": str(folder)}

    def run(command: str, *arguments: str, given: str = "") -> None:
        locks = ["-k", str(key_file)] if key_file is not None else []
        done = subprocess.run(
            [program, command, "-q", *locks, *arguments], input=f"{KEEPASS_PASSWORD}\n{given}", text=True,
            env=environment, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    made = ["db-create", "-q", "-p", *(["-K", str(key_file)] if key_file else []), str(file)]
    done = subprocess.run(
        [program, *made], input=f"{KEEPASS_PASSWORD}\n{KEEPASS_PASSWORD}\n", text=True, env=environment,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run("mkdir", str(file), "Acme")
    run("mkdir", str(file), "Acme/Servers")
    add = ("-u", "bob", "--url", "https://git.example/", "--notes", "ask bob", "-p", str(file))
    run("add", *add, "Acme/Servers/Gitea", given=f"{PASSWORD}\n")
    run("add", "-u", "bob", "-p", str(file), "Acme/Gone", given=f"{SECOND}\n")
    run("rm", str(file), "Acme/Gone")
    return file
