"""Somebody between the inviting machine and its server, at the moment of the invitation."""

from __future__ import annotations

import pytest

from domain.errors import Unavailable
from mcp_server.bootstrap.inviting import way_for_others
from mcp_server.bootstrap.opening import address_of
from mcp_server.bootstrap.reaching import certificate_of
from storage.address import parse_address
from tests.kit.certificates import Authority, Certificate
from tests.kit.mariadb import HOST, MariaDB
from tests.machines.conftest import World, server
from tests.machines.test_reaching import authority, certificate, encrypted, secure

__all__ = ["authority", "certificate", "encrypted", "secure", "server"]


def test_no_invitation_carries_the_certificate_of_somebody_in_between(
    secure: World, encrypted: MariaDB, authority: Authority, certificate: Certificate
) -> None:
    settings = secure.machines[0].settings
    assert address_of(settings).fingerprint == certificate.fingerprint
    encrypted.present(authority.sign())
    try:
        for host in ("", f"localhost:{encrypted.port}"):
            with pytest.raises(Unavailable):
                way_for_others(settings, host)
    finally:
        encrypted.present(certificate)
    assert way_for_others(settings, "").reach.fingerprint == certificate.fingerprint


def test_what_an_authority_vouches_for_is_carried_and_nothing_else(
    encrypted: MariaDB, authority: Authority, certificate: Certificate
) -> None:
    known = parse_address(f"{encrypted.url('t')}?tls_ca={authority.file}", base="")
    assert certificate_of(known, known) == certificate.fingerprint
    unknown = parse_address(f"{encrypted.url('t')}?tls=on", base="")
    with pytest.raises(Unavailable):
        certificate_of(unknown, unknown)
    encrypted.present(authority.sign("db.example.com"))
    try:
        with pytest.raises(Unavailable):
            certificate_of(known, known)
    finally:
        encrypted.present(certificate)


def test_beside_its_server_a_machine_carries_what_both_ways_show(
    encrypted: MariaDB, server: MariaDB, certificate: Certificate
) -> None:
    own = parse_address(encrypted.url("t"), base="")
    other = parse_address(f"{encrypted.url('t', host=HOST)}?tls=on", base="")
    assert not own.tls
    assert certificate_of(other, own) == certificate.fingerprint
    with pytest.raises(Unavailable):
        certificate_of(other, parse_address(server.url("t"), base=""))
