"""Where a database is: what may stand in an address, and what never does."""

from __future__ import annotations

import json

import pytest

from domain.errors import Invalid
from storage.address import from_flat, parse_address

BASE = "/home/ann/data"


def test_a_name_is_a_file_below_the_data_directory_and_a_path_is_itself():
    assert parse_address("claudetools.db", base=BASE).path == f"{BASE}/claudetools.db"
    assert parse_address("/srv/other.db", base=BASE).path == "/srv/other.db"
    assert not parse_address("claudetools.db", base=BASE).is_mariadb


@pytest.mark.parametrize("scheme", ["mariadb+pymysql", "mariadb", "mysql+pymysql", "mysql"])
def test_a_url_names_account_host_port_and_database(scheme: str):
    address = parse_address(f"{scheme}://tools@db.example.org:3307/vault", base=BASE)
    assert (address.user, address.host, address.port, address.name) == ("tools", "db.example.org", 3307, "vault")
    assert address.is_mariadb
    assert address.place == "vault on db.example.org:3307"


@pytest.mark.parametrize(
    ("where", "encrypted"),
    [
        ("db.example.org/v", True),
        ("10.0.0.5/v", True),
        ("[fd00::5]/v", True),
        ("localhost/v", False),
        ("127.0.0.1/v", False),
        ("127.8.8.8:3307/v", False),
        ("[::1]/v", False),
        ("localhost/v?unix_socket=/run/mysqld/mysqld.sock", False),
        ("127.0.0.1/v?tls=on", True),
        ("127.0.0.1/v?tls_ca=/etc/ca.pem", True),
        ("db.example.org/v?tls=off", False),
    ],
)
def test_what_leaves_the_machine_is_encrypted_unless_somebody_says_otherwise(where: str, encrypted: bool):
    assert parse_address(f"mariadb://u@{where}", base=BASE).tls is encrypted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mariadb://u:hunter2-hunter2@db/v", "password"),
        ("mariadb://u:@db/v", "password"),
        ("postgresql://u@db/v", "scheme"),
        ("mariadb://db/v", "account"),
        ("mariadb://u@db", "database"),
        ("mariadb://u@db/v/w", "database"),
        ("mariadb://u@/v", "host"),
        ("mariadb://u@db:port/v", "URL"),
        ("mariadb://u@db:99999/v", "URL"),
        ("mariadb://u@db/v?ssl_verify=false", "not known"),
        ("mariadb://u@db/v?tls=maybe", "on or off"),
        ("mariadb://u@db/v?tls=off&tls_ca=/ca.pem", "one of the two"),
        ("mariadb://u@db/v?tls_fingerprint=abc", "64 hexadecimal"),
        ("mariadb://u@db/v%00", "no name"),
        (f"mariadb://u@{'d' * 300}/v", "no name"),
    ],
)
def test_a_wrong_address_is_refused_with_its_reason_and_without_its_text(text: str, reason: str):
    with pytest.raises(Invalid) as refused:
        parse_address(text, base=BASE)
    assert reason in refused.value.fields["database"]
    assert "hunter2" not in refused.value.message + str(refused.value.fields)


@pytest.mark.parametrize(
    "url",
    [
        "mariadb+pymysql://tools@db.example.org/vault",
        "mariadb+pymysql://a%2Fb%40c@db.example.org:3307/my%20vault",
        "mariadb+pymysql://tools@[fd00::5]:3307/vault",
        "mariadb+pymysql://tools@localhost/vault?unix_socket=%2Frun%2Fmysqld.sock",
        "mariadb+pymysql://tools@db/vault?tls=off",
        "mariadb+pymysql://tools@127.0.0.1/vault?tls=on",
        "mariadb+pymysql://tools@db/vault?tls_ca=%2Fetc%2Fca.pem",
        f"mariadb+pymysql://tools@127.0.0.1/vault?tls=on&tls_fingerprint={'ab' * 32}",
    ],
)
def test_an_address_is_written_as_it_was_read(url: str):
    assert parse_address(url, base=BASE).url == url


def test_a_fingerprint_may_be_copied_with_colons_and_capitals():
    shown = ":".join(["AB"] * 32)
    assert parse_address(f"mariadb://u@db/v?tls_fingerprint={shown}", base=BASE).fingerprint == "ab" * 32


def test_a_password_is_in_no_form_in_which_an_address_is_shown_or_kept():
    address = parse_address("mariadb://u@db/v", base=BASE).changed(password="kanarie-4711")
    assert address.password == "kanarie-4711"
    shown = repr(address) + str(address) + address.url + address.place + json.dumps(address.flat())
    assert "kanarie" not in shown


def test_hooks_read_the_same_address_from_a_flat_object_or_a_path():
    address = parse_address("mariadb://u@db:3307/v?tls_ca=/ca.pem", base=BASE).changed(password_file="/p")
    again = from_flat(json.loads(json.dumps(address.flat())))
    assert again.url == address.url
    assert again.password_file == "/p"
    assert from_flat("/srv/a.db").path == "/srv/a.db"
    with pytest.raises(ValueError, match="neither a path nor an object"):
        from_flat(7)
