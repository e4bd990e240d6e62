"""What files of other programs become: each entry a draft, or the reason why not; broken and hostile files nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pykeepass import create_database

from domain import age, importing
from domain.errors import ClaudeToolsError, Denied, Invalid
from domain.importing import FORMATS, Format, Found, Locks, detect, read, texts
from domain.plain import Plain
from tests.kit import exports

HEAD = exports.BITWARDEN_HEAD


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def held(found: list[Found]) -> dict[str, dict[str, str]]:
    """By the name of each draft its secret fields, opened."""
    return {
        one.name: {name: value.expose() for name, value in one.draft.values.items()}
        for one in found
        if one.draft is not None
    }


def by_name(found: list[Found], name: str) -> Found:
    (one,) = (one for one in found if one.name == name)
    return one


def refusal(raw: bytes, format_: Format = "bitwarden-csv", **more: object) -> ClaudeToolsError:
    with pytest.raises(ClaudeToolsError) as caught:
        read(raw, format_, **more)  # type: ignore[arg-type]
    error = caught.value
    said = json.dumps([error.message, error.hint, error.fields])
    assert not any(value in said for value in exports.VALUES)
    assert error.message
    assert error.hint or error.fields
    return error


# ---- each format ----------------------------------------------------------------------------------------------------


def test_bitwarden_json_becomes_credentials_of_clients_and_services():
    found = read(as_json(exports.bitwarden()), "bitwarden-json")
    assert held(found) == {
        "Gitea Admin": {
            "password": exports.PASSWORD,
            "totp_seed": exports.SEED,
            "notes": f"ask bob first\n\nURL: https://old.example/\npin: {exports.HIDDEN}",
        },
        "Door": {"shared_secret": exports.NOTE},
        "Web server": {"private_key": exports.KEY},
    }
    gitea = by_name(found, "Gitea Admin").draft
    assert (gitea.client, gitea.service, gitea.username, gitea.external_url) == (
        "Acme", "Servers", "bob", "https://git.example/",
    )  # fmt: skip
    assert by_name(found, "Web server").draft.open == {"public_key": "ssh-ed25519 AAAA"}
    assert {one.name: one.skipped for one in found if one.draft is None} == {
        "Visa": "a card is no credential",
        "Me": "an identity is no credential",
        "Old": "it is in Bitwarden's trash",
        "Bookmark": "it holds no secret: no password, key, note or TOTP seed",
    }
    assert all(one.exposed for one in found)


def test_a_bitwarden_organization_names_clients_by_its_collections():
    (router,) = read(as_json(exports.bitwarden_organization()), "bitwarden-json")
    assert (router.draft.client, router.draft.service, router.draft.tags) == ("Globex", "Network", ("On call",))


def test_bitwarden_csv_says_what_its_json_says():
    found = read(exports.bitwarden_csv(), "bitwarden-csv")
    assert held(found)["Gitea Admin"] == {
        "password": exports.PASSWORD,
        "totp_seed": exports.SEED,
        "notes": f"line one\nline two\n\npin: {exports.HIDDEN}",
    }
    assert [one.place for one in found] == ["row 2", "row 3"]


@pytest.mark.parametrize(
    "said",
    [
        {"encrypted": True, "passwordProtected": True, "data": "x"},
        {"encrypted": True, "encKeyValidation_DO_NOT_EDIT": "2.x"},
    ],
)
def test_an_encrypted_export_of_bitwarden_is_refused_with_the_way_to_another(said):
    error = refusal(as_json(said), "bitwarden-json")
    assert "encrypted" in error.message
    assert ".json" in error.hint


def test_1pux_becomes_credentials_by_the_category():
    found = read(exports.as_1pux(as_json(exports.onepassword())), "1password-1pux")
    assert held(found) == {
        "Gitea": {"password": exports.PASSWORD, "totp_seed": exports.SEED},
        "Orders": {"password": exports.SECOND, "notes": "server: db.example"},
        "Stripe": {"api_key": exports.TOKEN, "notes": f"webhook: {exports.HIDDEN}"},
        "Deploy key": {"private_key": exports.KEY},
        "Door": {"shared_secret": exports.NOTE},
    }
    orders = by_name(found, "Orders").draft
    assert (orders.client, orders.username, orders.ports, orders.tags) == ("Acme", "orders", (3306,), ("prod",))
    assert by_name(found, "Stripe").draft.expires_us == 1830297600_000_000
    assert by_name(found, "Visa").skipped == "a card is no credential"
    assert by_name(found, "Gone").skipped == "it is archived in 1Password"


def test_1pux_loses_no_field_of_a_login_and_takes_own_ones_by_their_title():
    """The forms are those that Bitwarden's importer of 1PUX reads: login fields may be objects, ids may be anything."""
    document = exports.onepassword()
    (vault,) = document["accounts"][0]["vaults"]
    login, database, *_ = vault["items"]
    login["details"]["loginFields"] = [
        {"designation": "username", "fieldType": "E", "name": "u", "value": {"email_address": "bob@mail.example"}},
        {"designation": "password", "fieldType": "P", "name": "p", "value": exports.PASSWORD},
        {"designation": "", "fieldType": "T", "name": "tenant", "value": "acme-7"},
        {"designation": "", "fieldType": "P", "name": "pin", "value": exports.HIDDEN},
        {"designation": "", "fieldType": "C", "name": "remember me", "value": "✓"},
    ]
    login["details"]["passwordHistory"] = [{"value": exports.SECOND, "time": 1700000000}]
    database["details"]["sections"] = [
        {
            "title": "Own",
            "fields": [
                {"id": "zx81", "title": "Password", "value": {"concealed": exports.SECOND}},
                {"id": "zx82", "title": "username", "value": {"string": "orders"}},
            ],
        }
    ]
    found = read(exports.as_1pux(as_json(document)), "1password-1pux")
    gitea, orders = by_name(found, "Gitea"), by_name(found, "Orders")
    assert gitea.draft.username == "bob@mail.example"
    assert held([gitea])["Gitea"]["notes"] == f"tenant: acme-7\npin: {exports.HIDDEN}"
    assert "its earlier passwords were not taken in" in gitea.remarks
    assert exports.SECOND not in str(held([gitea]))
    assert (held([orders])["Orders"], orders.draft.username) == ({"password": exports.SECOND}, "orders")


def test_what_bitwarden_keeps_in_its_archive_is_told_and_left_out():
    document = exports.bitwarden()
    login = document["items"][0]
    kept = {**login, "name": "Kept", "passwordHistory": [{"lastUsedDate": "2026-01-01T00:00:00Z", "password": "x"}]}
    document["items"] = [{**login, "archivedDate": "2026-02-01T00:00:00.000Z"}, kept]
    archived, taken = read(as_json(document), "bitwarden-json")
    assert archived.skipped == "it is archived in Bitwarden"
    assert taken.draft is not None
    assert taken.remarks == ("its earlier passwords were not taken in",)


def test_bitwardens_newer_types_and_its_locked_exports_are_told_apart():
    """Types 6 to 8 and the mark of an export with a password of its own, by the source of Bitwarden's clients."""
    items = [{"type": kind, "name": str(kind)} for kind in (6, 7, 8, 9)]
    assert {one.name: one.skipped for one in read(as_json({"items": items}), "bitwarden-json")} == {
        "6": "a bank account is no credential",
        "7": "a driver license is no credential",
        "8": "a passport is no credential",
        "9": "it is of a type that is not known here",
    }
    locked = refusal(as_json({"encrypted": True, "passwordProtected": True, "data": "x"}), "bitwarden-json")
    assert "password of its own" in locked.message


def test_1pux_keeps_an_address_and_tells_what_was_in_the_trash():
    """An address's five parts by the types of Bitwarden's 1PUX importer, the trashed state by those of Proton Pass."""
    parts = {"street": "Way 1", "city": "Town", "country": "de", "zip": "", "state": ""}
    fields = [
        {"title": "password", "id": "password", "value": {"concealed": exports.PASSWORD}},
        {"title": "where", "id": "a", "value": {"address": parts}},
    ]
    item = {"categoryUuid": "110", "overview": {"title": "App"}, "details": {"sections": [{"fields": fields}]}}
    gone = [
        {**item, "overview": {"title": name}, **more}
        for name, more in (("A", {"state": "trashed"}), ("B", {"trashed": True}))
    ]
    document = as_json({"accounts": [{"vaults": [{"attrs": {"name": "Acme"}, "items": [item, *gone]}]}]})
    app, *rest = read(exports.as_1pux(document), "1password-1pux")
    assert held([app]) == {"App": {"password": exports.PASSWORD, "notes": "where: Way 1, Town, de"}}
    assert [one.skipped for one in rest] == ["it is in 1Password's trash"] * 2


def test_an_archive_of_bitwarden_is_told_from_one_of_1password():
    error = refusal(exports.as_1pux(as_json(exports.bitwarden()), name="data.json"), "1password-1pux")
    assert "Bitwarden" in error.message
    assert "data.json" in error.hint


def test_1password_csv_itglue_and_hudu():
    (gitea, gone) = read(exports.ONEPASSWORD_CSV, "1password-csv")
    assert (gitea.draft.tags, gitea.draft.client, gone.skipped) == (("a", "b"), "", "it is archived there")
    acme, globex, attic = read(exports.ITGLUE, "itglue-csv")
    assert (acme.draft.client, globex.draft.client) == ("Acme GmbH", "Globex")
    assert (acme.draft.name, acme.draft.tags, set(acme.draft.values)) == ("", ("Network",), {"password", "totp_seed"})
    assert attic.skipped
    (wall,) = read(exports.HUDU, "hudu-csv")
    assert wall.draft.client == "Acme GmbH"
    assert wall.draft.values["notes"].expose() == "asset_tag: A-17"


def test_the_earlier_systems_json_keeps_types_flags_and_times():
    gitea, stripe, listed = read(as_json(exports.rest()), "rest-json")
    draft = gitea.draft
    assert (draft.type, draft.client, draft.ports, draft.requires_2fa) == ("password", "client 7", (443,), True)
    assert draft.expires_us == 1927584000_000_000
    assert stripe.draft.values["api_key"].expose() == exports.TOKEN
    assert "password" in listed.refused
    named = read(as_json({"clients": [{"id": 7, "name": "Acme"}], "credentials": exports.rest()}), "rest-json")
    assert named[0].draft.client == "Acme"


def test_a_database_that_keepassxc_made_opens(tmp_path: Path):
    raw = exports.keepassxc(tmp_path).read_bytes()
    found = read(raw, "keepass", locks=Locks(Plain(exports.KEEPASS_PASSWORD)))
    assert held(found) == {"Gitea": {"password": exports.PASSWORD, "notes": "ask bob"}}
    gitea = by_name(found, "Gitea")
    assert (gitea.draft.client, gitea.draft.service, gitea.draft.username) == ("Acme", "Servers", "bob")
    assert not gitea.exposed  # it did not lie open
    assert by_name(found, "Gone").skipped == "it is in KeePass's recycle bin"


def test_a_keepass_database_with_a_key_file_and_all_that_an_entry_may_hold(tmp_path: Path):
    file, key = tmp_path / "v.kdbx", tmp_path / "key"
    key.write_bytes(os.urandom(32))
    database = create_database(str(file), password=exports.KEEPASS_PASSWORD, keyfile=str(key))
    group = database.add_group(database.root_group, "Globex")
    one = database.add_entry(group, "App", "bob", exports.PASSWORD, otp=f"otpauth://totp/x?secret={exports.SEED}")
    one.set_custom_property("pin", exports.HIDDEN, protect=True)
    one.set_custom_property("Port", "8443")
    one.set_custom_property("KPEX_PASSKEY_PRIVATE_KEY_PEM", "x", protect=True)
    one.add_attachment(database.add_binary(b"\x89PNG"), "photo.png")
    agent = database.add_entry(group, "Deploy", "git", "")
    agent.add_attachment(database.add_binary(exports.KEY.encode()), "id_ed25519")
    database.save()
    raw = file.read_bytes()
    found = read(raw, "keepass", locks=Locks(Plain(exports.KEEPASS_PASSWORD), key.read_bytes()))
    app = by_name(found, "App")
    assert held(found)["App"] == {
        "password": exports.PASSWORD, "totp_seed": exports.SEED, "notes": f"pin: {exports.HIDDEN}",
    }  # fmt: skip
    assert app.draft.ports == (8443,)
    assert app.remarks == ("its passkey was not taken in", "an attached file was not taken in")
    assert held(found)["Deploy"] == {"private_key": exports.KEY}
    with pytest.raises(Denied):
        read(raw, "keepass", locks=Locks(Plain(exports.KEEPASS_PASSWORD)))


@pytest.mark.parametrize(
    ("raw", "format_"),
    [
        (as_json(exports.bitwarden()), "bitwarden-json"),
        (as_json({"encrypted": True}), "bitwarden-json"),
        (exports.bitwarden_csv(), "bitwarden-csv"),
        (b"\xef\xbb\xbf" + exports.bitwarden_csv(), "bitwarden-csv"),
        (exports.as_1pux(b"{}"), "1password-1pux"),
        (exports.ONEPASSWORD_CSV, "1password-csv"),
        (exports.ITGLUE, "itglue-csv"),
        (exports.HUDU, "hudu-csv"),
        (as_json(exports.rest()), "rest-json"),
        (b"age-encryption.org/v1\n", "claudetools"),
        (b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5", "keepass"),
    ],
)
def test_a_format_is_told_by_what_the_file_holds(raw, format_):
    assert detect(raw) == format_


def test_with_a_client_everything_is_that_clients_and_folders_are_services():
    found = read(as_json(exports.bitwarden()), "bitwarden-json", client="Globex")
    assert {one.draft.client for one in found if one.draft} == {"Globex"}
    assert by_name(found, "Gitea Admin").draft.service == "Acme/Servers"
    same = read(as_json(exports.bitwarden()), "bitwarden-json", client="ACME")
    assert by_name(same, "Gitea Admin").draft.service == "Servers"


# ---- what is in the wrong place -------------------------------------------------------------------------------------


def row(**cells: str) -> list[str]:
    return [{"type": "login", "name": "X", "login_password": exports.PASSWORD, **cells}.get(name, "") for name in HEAD]


def one_of(**cells: str) -> Found:
    (found,) = read(exports.as_csv(HEAD, row(**cells)), "bitwarden-csv")
    return found


def test_a_formula_is_text():
    found = one_of(name=exports.FORMULA, login_password=exports.FORMULA)
    assert (found.draft.service_name, found.draft.values["password"].expose()) == (exports.FORMULA, exports.FORMULA)


def test_an_address_with_a_password_in_it_does_not_become_an_open_field():
    found = one_of(login_uri=f"https://bob:{exports.SECOND}@git.example/x")
    assert found.draft.external_url == "https://git.example/x"
    assert exports.SECOND in found.draft.values["notes"].expose()
    assert found.remarks
    assert exports.SECOND not in repr(found)


def test_what_is_no_totp_seed_is_kept_in_the_notes_and_told():
    found = one_of(login_totp="steam://ABC")
    assert found.draft.values["notes"].expose() == "TOTP: steam://ABC"
    assert "totp_seed" not in found.draft.values
    assert found.remarks
    unusual = one_of(login_totp=f"otpauth://totp/x?secret={exports.SEED}&digits=8")
    assert unusual.draft.values["totp_seed"].expose() == exports.SEED
    assert "digits=8" in unusual.draft.values["notes"].expose()


def test_an_entry_with_a_totp_seed_alone_keeps_it():
    found = one_of(login_password="", login_totp=exports.SEED)
    assert (found.draft.type, found.draft.values["totp_seed"].expose()) == ("shared_secret", exports.SEED)


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        ({"notes": "n" * 70_000}, "notes"),
        ({"login_password": "p" * 70_000}, "password"),
        ({"login_password": f"{exports.PASSWORD}\x00"}, "password"),
        ({"name": "n" * 300}, "service_name"),
        ({"name": "a\x00b"}, "service_name"),
        ({"login_username": "u" * 300}, "username"),
        ({"login_uri": "https://x/" + "y" * 3000}, "external_url"),
        ({"folder": "日本"}, "client"),
        ({"name": ""}, "service_name"),
    ],
)
def test_an_entry_that_cannot_be_used_is_refused_by_its_row_and_field(cells, field):
    found = one_of(**cells)
    assert (found.place, found.draft) == ("row 2", None)
    assert set(found.refused) == {field}
    assert exports.PASSWORD not in repr(found)


def test_half_a_character_is_refused_by_its_field():
    raw = json.dumps(exports.bitwarden()).replace(exports.PASSWORD, "\\ud800 x").encode()
    assert by_name(read(raw, "bitwarden-json"), "Gitea Admin").refused == {
        "password": "holds half a character (a lone surrogate)"
    }


# ---- broken and hostile files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_another_encoding_is_refused_and_named(encoding):
    text = exports.bitwarden_csv().decode()
    raw = (b"\xfe\xff" if encoding == "utf-16-be" else b"") + text.encode(encoding)
    assert encoding[:6].upper() in refusal(raw).message
    assert "NUL" in refusal(text.encode("utf-16-le")).message  # without a mark


def test_text_that_is_not_utf8_is_refused_with_its_line():
    raw = exports.bitwarden_csv(row(notes="MARK")).replace(b"MARK", b"Stra\xdfe")
    assert "line 5" in refusal(raw).message  # the first row's notes have two lines


def test_a_column_that_stands_twice_is_refused_without_its_name():
    error = refusal(exports.as_csv([*HEAD, exports.PASSWORD, exports.PASSWORD]))
    assert error.message == "columns 12 and 13 have the same name"


@pytest.mark.parametrize(
    "broken",
    [
        exports.as_csv(HEAD, row(), row()[:-1]),
        exports.as_csv(HEAD, row(), [*row(), "more"]),
        exports.as_csv(HEAD, row()) + b'"an open quote,,login',
        exports.as_csv(HEAD, row()) + b'x,"y"z,login,,,,,,,,\r\n',
    ],
)
def test_a_table_that_is_broken_anywhere_is_refused_whole(broken):
    assert "row 3" in refusal(broken).message


def test_a_field_of_many_megabytes_is_one_refused_row(monkeypatch):
    (found,) = read(exports.as_csv(HEAD, row(notes="n" * 8_000_000)), "bitwarden-csv")
    assert set(found.refused) == {"notes"}


def test_a_file_of_a_hundred_megabytes_is_refused():
    assert "at most 67.1 MB" in refusal(exports.as_csv(HEAD, row(notes="n" * 100_000_000))).message


@pytest.mark.parametrize("format_", ["bitwarden-json", "rest-json", "claudetools"])
@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 200_000 + b"]" * 200_000,
        b'{"items":' * 100_000,
        b'{"items": [1,}',
        b'{"items": [], "items": []}',
        b'{"items": [' + b"9" * 10_000 + b"]}",
        b'"text"',
        b"null",
        b"",
    ],
)
def test_json_that_is_broken_or_deep_is_refused(raw, format_):
    refusal(raw, format_)


def test_items_that_are_anything_are_refused_or_skipped_one_by_one():
    items = [
        None,
        1,
        [],
        {},
        {"type": 1, "login": [1]},
        {"type": 1, "name": [1], "fields": {"a": 1}, "login": {"uris": 1}},
    ]
    found = read(as_json({"items": items}), "bitwarden-json")
    assert [one.draft for one in found] == [None] * 6
    assert all(one.skipped or one.refused for one in found)


def zipped(*members: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members:
            archive.writestr(name, raw)
    return out.getvalue()


def test_a_bomb_in_an_archive_is_refused_by_what_it_says_and_by_what_it_does():
    bomb = exports.as_1pux(b" " * 80_000_000)
    assert len(bomb) < 100_000
    assert "67.1 MB" in refusal(bomb, "1password-1pux").message
    # One that lies about its size in both headers, too.
    lying = bomb.replace(struct.pack("<I", 80_000_000), struct.pack("<I", 1000))
    assert lying != bomb
    refusal(lying, "1password-1pux")


def test_symbolic_links_and_other_archives_are_refused():
    link = zipfile.ZipInfo("export.data")
    link.external_attr = 0o120777 << 16
    assert "symbolic link" in refusal(zipped((link, b"/etc/passwd")), "1password-1pux").message
    beside = zipfile.ZipInfo("files/x")
    beside.external_attr = 0o120777 << 16
    assert "symbolic link" in refusal(zipped(("export.data", b"{}"), (beside, b"/etc")), "1password-1pux").message
    assert "export.data" in refusal(zipped(("other", b"{}")), "1password-1pux").message
    whole = exports.as_1pux(as_json(exports.onepassword()))
    refusal(whole[: len(whole) // 2], "1password-1pux")
    refusal(b"PK\x03\x04" + os.urandom(500), "1password-1pux")


def test_a_keepass_database_that_asks_for_too_much_is_refused_before_any_work(tmp_path: Path):
    file, locks = tmp_path / "v.kdbx", Locks(Plain(exports.KEEPASS_PASSWORD))
    create_database(str(file), password=exports.KEEPASS_PASSWORD)
    raw = file.read_bytes()
    for name, said in ((b"I", "too much work"), (b"M", "2 GB of memory")):
        start = raw.index(b"\x05\x01\x00\x00\x00" + name + struct.pack("<I", 8)) + 10
        hostile = raw[:start] + struct.pack("<Q", 2**62) + raw[start + 8 :]
        assert said in refusal(hostile, "keepass", locks=locks).message
    version_3 = raw[:8] + b"\x01\x00\x03\x00\x06\x08\x00" + struct.pack("<Q", 2**62) + b"\x00\x04\x00\r\n\r\n"
    assert "too much work" in refusal(version_3, "keepass", locks=locks).message
    for broken in (raw[:100], raw[:-20], raw[:12] + os.urandom(300), raw.replace(raw[-64:], os.urandom(64))):
        refusal(broken, "keepass", locks=locks)


@settings(max_examples=150, deadline=None)
@given(raw=st.binary(max_size=400), format_=st.sampled_from([one for one in FORMATS if one != "keepass"]))
def test_any_bytes_are_read_or_refused(raw, format_):
    for act in (lambda: read(raw, format_), lambda: detect(raw)):
        with suppress(Invalid):
            act()


cells = st.text(max_size=20)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(*(cells for _ in HEAD)), max_size=5))
def test_any_table_gives_one_outcome_for_each_row(rows):
    raw = io.StringIO()
    csv.writer(raw).writerows([HEAD, *rows])
    found = read(raw.getvalue().encode("utf-8", "surrogatepass"), "bitwarden-csv") if is_utf8(raw.getvalue()) else []
    there = [one for one in rows if any(cell.strip() for cell in one)]
    assert len(found) == (len(there) if is_utf8(raw.getvalue()) else 0)
    assert all(bool(one.draft) + bool(one.skipped) + bool(one.refused) == 1 for one in found)


def is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# ---- age ------------------------------------------------------------------------------------------------------------


def test_an_encrypted_file_opens_with_what_locked_it_alone():
    lock = Plain("a passphrase of some length")
    sealed = age.encrypted(b"text", passphrase=lock)
    assert age.opened(sealed, passphrase=lock) == b"text"
    for wrong in (
        lambda: age.opened(sealed, passphrase=Plain("another one")),
        lambda: age.opened(b"x", passphrase=lock),
    ):
        with pytest.raises(Denied):
            wrong()
    with pytest.raises(Invalid):
        age.encrypted(b"text", passphrase=Plain("short"))
    with pytest.raises(Invalid):
        age.encrypted(b"text", ["age1nobody"])
    with pytest.raises(Invalid):
        age.encrypted(b"text")


def test_the_bounds_are_what_the_docs_say():
    assert texts.MAX_TEXT_FILE == 64 * 1024 * 1024
    assert importing.LOCKED == ("keepass", "claudetools")
