"""Reaching a server for the first time: which certificate is taken, and what is said where none is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import ClaudeToolsError, Conflict, Invalid, Unavailable
from domain.plain import Plain
from mcp_server.bootstrap.examining import examine
from mcp_server.bootstrap.inviting import way_for_others
from mcp_server.bootstrap.opening import address_of
from mcp_server.bootstrap.pinning import pin, pinned
from mcp_server.bootstrap.reaching import for_others, reach
from mcp_server.config import Settings
from storage.address import parse_address
from tests.kit.certificates import Authority, Certificate
from tests.kit.mariadb import HOST, OWNER, MariaDB, free_port
from tests.kit.stores import known
from tests.machines.conftest import Machine, World

OTHER = "0" * 64


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whoever signs the server's certificates; no machine trusts it by itself."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    """What the server shows."""
    return authority.sign()


@pytest.fixture(scope="module")
def encrypted(certificate: Certificate) -> Iterator[MariaDB]:
    """A server with that certificate."""
    with MariaDB(tls=certificate) as server:
        known(server)
        yield server


@pytest.fixture(scope="module")
def secure(encrypted: MariaDB, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A vault on that server, with the certificate pinned."""
    url = f"{encrypted.url(encrypted.database())}?tls_fingerprint={certificate.fingerprint}"
    made = World(tmp_path_factory.mktemp("secure"), url, encrypted.passwords)
    made.found()
    yield made
    made.close()


def tried(server: MariaDB, asked: str, password: str = "") -> ClaudeToolsError:
    """What is said where a server is not taken, or does not take us."""
    address = parse_address(f"{server.url('t_nothing')}{asked}", base="")
    with pytest.raises(ClaudeToolsError) as refused:
        reach(address, Plain(password or server.passwords[OWNER]), None)
    said = repr(refused.value) + refused.value.hint + str(refused.value.fields)
    assert server.passwords[OWNER] not in said
    return refused.value


def test_a_certificate_that_nobody_vouches_for_is_shown_with_the_option_that_pins_it(
    encrypted: MariaDB, certificate: Certificate
):
    error = tried(encrypted, "?tls=on")
    assert isinstance(error, Unavailable)
    assert certificate.fingerprint in error.message
    assert f"--server-fingerprint {certificate.fingerprint}" in error.hint
    assert "openssl x509 -noout -fingerprint -sha256" in error.fields["certificate"]


def test_another_certificate_than_the_pinned_one_is_told_as_what_it_may_be(
    encrypted: MariaDB, certificate: Certificate
):
    error = tried(encrypted, f"?tls_fingerprint={OTHER}")
    assert certificate.fingerprint in error.message
    assert "in between" in error.fields["certificate"]
    assert f"claudetools database pin {certificate.fingerprint}" in error.hint


def test_a_certificate_for_another_name_is_not_taken(
    encrypted: MariaDB, authority: Authority, certificate: Certificate
):
    encrypted.present(authority.sign("db.example.com"))
    try:
        error = tried(encrypted, f"?tls=on&tls_ca={authority.file}")
        assert "not signed for that name" in error.message
    finally:
        encrypted.present(certificate)
    assert "no database" in tried(encrypted, f"?tls=on&tls_ca={authority.file}").message


def test_a_server_without_encryption_is_told(server: MariaDB):
    error = tried(server, "?tls=on")
    assert "no encrypted connection" in error.message
    assert "tls=off" in error.hint


@pytest.mark.parametrize(
    ("password", "message"), [("", "has no database t_nothing"), ("not the password", "refuses the account")]
)
def test_what_else_is_wrong_is_told(server: MariaDB, password: str, message: str):
    assert message in tried(server, "", password).message


def test_a_database_to_which_the_account_has_no_right_is_told(server: MariaDB):
    address = parse_address(server.url("mysql"), base="")
    with pytest.raises(Invalid) as refused:
        reach(address, Plain(server.passwords[OWNER]), None)
    assert "GRANT ALL ON `mysql`" in refused.value.hint


def test_a_server_that_is_not_there_is_told():
    address = parse_address(f"mariadb+pymysql://ct@{HOST}:{free_port()}/ct", base="")
    with pytest.raises(Unavailable) as refused:
        reach(address, Plain("x"), None)
    assert "cannot be reached" in refused.value.message


def test_without_a_password_none_is_tried_first_and_then_it_is_asked_for(server: MariaDB):
    name = server.database()
    asked: list[str] = []

    def ask(who: str) -> Plain:
        asked.append(who)
        return Plain(server.passwords[OWNER])

    try:
        address = reach(parse_address(server.url(name), base=""), None, ask)
        assert asked == [f"{OWNER} at the database server at {HOST}:{server.port}"]
        assert address.password == server.passwords[OWNER]
        assert address.password not in repr(address)
        with pytest.raises(Invalid) as refused:
            reach(parse_address(server.url(name), base=""), None, None)
        assert "--database-password-file" in refused.value.hint
    finally:
        server.drop(name)


# Pinning.


@pytest.mark.parametrize("spell", [str, str.upper, lambda d: ":".join(d[i : i + 2] for i in range(0, 64, 2)).upper()])
def test_a_fingerprint_may_be_given_as_openssl_prints_it(spell):
    digits = "0123456789abcdef" * 4
    url = pinned("mariadb+pymysql://u@db.example.com/ct", f"sha256 Fingerprint={spell(digits)}")
    assert parse_address(url, base="").fingerprint == digits


@pytest.mark.parametrize("text", ["hunter2", "ab" * 31, "zz" * 32])
def test_what_is_no_fingerprint_is_told_and_not_repeated(text: str):
    with pytest.raises(Invalid) as refused:
        pinned("mariadb+pymysql://u@db.example.com/ct", text)
    assert text not in str(refused.value)


def test_a_fingerprint_without_a_server_is_told():
    with pytest.raises(Invalid):
        pinned("", OTHER)


def test_a_renewed_certificate_is_refused_until_it_is_pinned(
    secure: World, encrypted: MariaDB, authority: Authority, certificate: Certificate
):
    first = secure.machines[0]
    first.close()
    renewed = authority.sign()
    encrypted.present(renewed)
    try:
        with pytest.raises(Unavailable):
            first.open()
        with pytest.raises(Unavailable):
            pin(first.settings, OTHER)
        pin(first.settings, renewed.fingerprint)
        assert first.agent().name == "claude-code"
        hooks = json.loads((first.home / "hooks.json").read_text())
        assert hooks["database"]["fingerprint"] == renewed.fingerprint
    finally:
        first.close()
        encrypted.present(certificate)
        pin(first.settings, certificate.fingerprint)


def test_a_second_setup_with_another_fingerprint_changes_nothing_and_says_so(secure: World):
    first = secure.machines[0]
    before = first.settings
    with pytest.raises(Conflict) as refused:
        secure.set_up(first, database=secure.url.partition("?")[0] + f"?tls_fingerprint={OTHER}")
    assert "database pin" in refused.value.hint
    assert first.settings == before


def test_an_embedded_vault_has_no_certificate(tmp_path: Path):
    with pytest.raises(Conflict):
        pin(Settings(home=tmp_path), OTHER)


# What another machine is told.


def test_whoever_is_invited_takes_the_certificate_that_the_inviting_machine_saw(
    secure: World, certificate: Certificate, tmp_path: Path
):
    first = secure.machines[0]
    way = way_for_others(first.settings, "")
    assert way.reach.fingerprint == certificate.fingerprint
    assert parse_address(way.reach.address, base="").fingerprint == certificate.fingerprint
    invited = (first.app or first.open()).machines.invite(first.person(), "laptop", way.reach)
    second = Machine(tmp_path / "second", "second")
    try:
        secure.join(second, invited)
        assert address_of(second.settings).fingerprint == certificate.fingerprint
        assert {one.name: one.state for one in examine(second.settings)}["encryption"] == "ok"
    finally:
        second.close()


def test_somebody_in_between_gets_no_password_of_whoever_was_invited(
    secure: World, encrypted: MariaDB, authority: Authority, certificate: Certificate, tmp_path: Path
):
    first = secure.machines[0]
    invited = (first.app or first.open()).machines.invite(
        first.person(), "laptop", way_for_others(first.settings, "").reach
    )
    first.close()
    encrypted.present(authority.sign())
    second = Machine(tmp_path / "second", "second")
    try:
        with pytest.raises(Unavailable) as refused:
            secure.join(second, invited)
        assert "in between" in refused.value.fields["certificate"]
        assert not (second.home / "keys" / "database.password").exists()
    finally:
        encrypted.present(certificate)


def test_while_joining_only_the_certificate_that_the_inviting_machine_saw_is_taken(
    encrypted: MariaDB,
    authority: Authority,
    certificate: Certificate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Afterwards the authorities of the system are asked, as on the inviting machine: certificates are renewed."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    world = World(tmp_path, encrypted.url(encrypted.database()) + "?tls=on", encrypted.passwords)
    first, second = world.found(), world.machine("second")
    app = first.open()
    way = way_for_others(first.settings, "")
    assert way.reach.fingerprint == certificate.fingerprint
    assert "fingerprint" not in way.reach.address
    invited = app.machines.invite(first.person(), "laptop", way.reach)
    first.close()
    encrypted.present(authority.sign())  # the system would take it
    try:
        with pytest.raises(Unavailable) as refused:
            world.join(second, invited)
        assert "in between" in refused.value.fields["certificate"]
    finally:
        encrypted.present(certificate)
    world.join(second, invited)
    assert address_of(second.settings).fingerprint == ""
    assert second.agent().name == "claude-code"
    world.close()


@pytest.mark.parametrize(
    ("here", "host", "there"),
    [
        ("u@db.example.com/ct", "", "u@db.example.com/ct"),
        ("u@localhost/ct", "db.example.com", "u@db.example.com/ct"),
        ("u@localhost/ct?unix_socket=/run/s", "10.0.0.5:3307", "u@10.0.0.5:3307/ct"),
        ("u@127.0.0.1:3307/ct", "db.example.com:3306", "u@db.example.com/ct"),
        ("u@localhost/ct", "[fd00::5]", "u@[fd00::5]/ct"),
    ],
)
def test_another_machine_gets_an_address_that_leaves_this_one_encrypted(here: str, host: str, there: str):
    address = for_others(parse_address(f"mariadb+pymysql://{here}", base=""), host)
    assert address.url == f"mariadb+pymysql://{there}"
    assert address.tls


def test_a_socket_is_no_address_for_another_machine():
    with pytest.raises(Invalid) as refused:
        for_others(parse_address("mariadb+pymysql://u@localhost/ct?unix_socket=/run/s", base=""), "")
    assert "--address" in refused.value.hint


def test_a_vault_in_a_file_invites_nobody(tmp_path: Path):
    with pytest.raises(Invalid) as refused:
        way_for_others(Settings(home=tmp_path), "")
    assert "claudetools move" in refused.value.hint
