"""Tables of other programs, one row a credential: IT Glue, Hudu and 1Password as CSV."""

from __future__ import annotations

from dataclasses import dataclass

from domain.importing import texts
from domain.importing.entries import Entry

_DATE = ("created_at", "updated_at", "password_updated_at", "created", "updated", "last_updated", "modified")


@dataclass(frozen=True, slots=True)
class Layout:
    """What a program's columns mean: the names that each of them goes by.  A column of no meaning goes to the notes."""

    name: tuple[str, ...]
    client: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    username: tuple[str, ...] = ("username", "user_name", "login")
    password: tuple[str, ...] = ("password",)
    url: tuple[str, ...] = ("url", "website", "login_url")
    notes: tuple[str, ...] = ("notes",)
    totp: tuple[str, ...] = ("otp_secret", "otpauth", "one_time_password", "otp", "totp")
    tags: tuple[str, ...] = ()
    archived: tuple[str, ...] = ("archived",)
    ignored: tuple[str, ...] = ()


ITGLUE = Layout(
    name=("name",),
    client=("organization", "organization_name"),
    service=("resource_name",),
    tags=("password_category", "password_category_name", "category"),
    ignored=(
        *(
            "id",
            "organization_id",
            "password_category_id",
            "resource_id",
            "resource_type",
            "resource_url",
            "flexible_asset",
        ),
        *("autofill_selectors", "restricted", "hostname_id", "my_glue", "vault_id", "password_folder_id", *_DATE),
    ),
)
HUDU = Layout(
    name=("name",),
    client=("company_name", "company"),
    service=("password_folder_name", "password_folder", "folder", "passwordable_name"),
    notes=("description", "notes"),
    tags=("password_type", "type", "category"),
    ignored=(
        *("id", "company_id", "slug", "in_portal", "passwordable_id", "passwordable_type", "password_folder_id"),
        *("record_url", *_DATE),
    ),
)
ONEPASSWORD = Layout(
    name=("title", "name"),
    client=("vault",),
    url=("url", "website", "urls"),
    tags=("tags",),
    ignored=("favorite", "favourite", "type", "uuid", *_DATE),
)
_NO = frozenset({"", "0", "false", "no", "f", "n"})


def read(raw: bytes, layout: Layout) -> list[Entry]:
    """The entries of a table.  Raises Invalid where a column is missing that every such table has."""
    found = texts.table(raw)
    texts.require(found.columns, layout.name, layout.password, *((layout.client,) if layout is not ONEPASSWORD else ()))
    return [_row(f"row {number}", row, layout) for number, row in found.rows]


def _row(place: str, row: dict[str, str], layout: Layout) -> Entry:
    left = dict(row)

    def take(names: tuple[str, ...]) -> str:
        """The first of these columns that holds something; it is then no other field's."""
        for name in names:
            if left.get(name, "").strip():
                return left.pop(name)
        return ""

    entry = Entry(
        place,
        name=take(layout.name),
        client=take(layout.client),
        service=take(layout.service),
        username=take(layout.username),
        password=take(layout.password),
        urls=[take(layout.url)],
        notes=take(layout.notes),
        totp=take(layout.totp),
        tags=tuple(tag.strip() for tag in take(layout.tags).replace(";", ",").split(",") if tag.strip()),
    )
    if take(layout.archived).strip().lower() not in _NO:
        entry.skipped = "it is archived there"
    entry.fields = [
        (name, text)
        for name, text in left.items()
        if text.strip() and name not in layout.ignored and name not in layout.archived
    ]
    if "PRIVATE KEY-----" in entry.password:
        entry.private_key, entry.password = entry.password, ""
    return entry
