"""HTTP recipes: the product puts the credential into a request itself, and nothing else gets it."""

from __future__ import annotations

import ipaddress
import json
import socket
from typing import Any

import pytest

from domain.asking import refused_address
from domain.errors import Denied, Invalid
from mcp_server.services.use import Used
from tests.strongroom.vault import Vault
from tests.use.conftest import Web, basic
from tests.use.test_recipes import VALUE, approve, create, nowhere, use

HERE = ["127.0.0.1"]


@pytest.fixture
def trusted(web: Web) -> list[str]:
    """What makes the server's authority known to a recipe."""
    return ["--cacert", str(web.authority.file)]


def own(vault: Vault, trusted: list[str], **said: Any) -> str:
    """A recipe of one's own, approved."""
    definition = {
        "name": "ticket",
        "about": "read one",
        "program": "http",
        "argv": ["GET", "https://127.0.0.1/x", *trusted],
        "feeds": [{"into": "header:Authorization", "template": "Bearer {main}"}],
        "hosts": HERE,
        **said,
    }
    return vault.app.recipes.approve(vault.person, vault.app.recipes.add(vault.person, definition).name).name


def test_a_password_and_a_key_are_sent_in_the_header(vault: Vault, web: Web, trusted: list[str]) -> None:
    password = create(vault, "password", {"password": VALUE}, username="ro bot")
    key = create(vault, "api_key", {"api_key": "ak_live_9f8e7d6c5b4a39281706"}, username="k")
    by_password = approve(vault, "http-basic", hosts=HERE, more=trusted)
    by_key = approve(vault, "http-bearer", hosts=HERE, more=trusted)
    used = use(vault, by_password, password, address=f"{web.url}/report?day=1")
    assert (used.code, used.output.splitlines()[0]) == (0, "HTTP 200 OK"), used.errors
    assert used.output.endswith("hello from /report?day=1\n")
    assert web.authorization == basic("ro bot", VALUE)
    assert web.asked[-1]["host"] == web.url.removeprefix("https://")
    assert use(vault, by_key, key, address=f"{web.url}/items").code == 0
    assert web.authorization == "Bearer ak_live_9f8e7d6c5b4a39281706"
    nowhere(vault, used, VALUE)


def test_oauth_is_exchanged_before(vault: Vault, web: Web, trusted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.file))
    opened = {"token_url": f"{web.url}/token", "oauth_client_id": "box"}
    reference = create(vault, "oauth", {"client_secret": VALUE}, open=opened)
    used = use(vault, approve(vault, "http-oauth", hosts=HERE, more=trusted), reference, address=f"{web.url}/echo")
    assert web.authorization == "Bearer short-lived-token-0123456789"
    assert used.masked == 1
    assert "{{credential:acme/box/oauth#" in used.output


def test_a_value_may_stand_in_a_body_and_gaps_in_the_url_stay_where_they_are(
    vault: Vault, web: Web, trusted: list[str]
) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="bot")
    recipe = own(
        vault,
        trusted,
        argv=["POST", f"{web.url}/tickets/{{number}}", *trusted],
        gaps={"number": {"pattern": ".*"}},
        feeds=[
            {"into": "header:Content-Type", "template": "application/json"},
            {"into": "body", "template": '{"user":"{username:json}","password":"{main:json}"}'},
        ],
    )
    used = use(vault, recipe, reference, number="7/../../admin?x=1#y")
    assert used.code == 0, used.errors
    assert web.asked[-1]["path"] == "/tickets/7%2F..%2F..%2Fadmin%3Fx%3D1%23y"
    assert json.loads(web.asked[-1]["body"]) == {"user": "bot", "password": VALUE}
    nowhere(vault, used, VALUE)


def test_a_redirect_is_told_and_not_followed(vault: Vault, web: Web, trusted: list[str]) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="bot")
    recipe = approve(vault, "http-basic", hosts=HERE, more=trusted)
    used = use(vault, recipe, reference, address=f"{web.url}/away?https%3A%2F%2Fevil.example%2Fx")
    assert used.code == 302
    assert "location: https://evil.example/x" in used.output
    assert len(web.asked) == 1


def test_an_answer_that_holds_the_value_is_masked(vault: Vault, web: Web, trusted: list[str]) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="bot")
    used = use(vault, approve(vault, "http-basic", hosts=HERE, more=trusted), reference, address=f"{web.url}/echo")
    assert used.masked == 1
    assert basic("bot", VALUE).partition(" ")[2] not in used.output


def test_a_server_that_never_ends_is_left_at_the_limit(vault: Vault, web: Web, trusted: list[str]) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="bot")
    recipe = approve(vault, "http-basic", hosts=HERE, more=trusted, seconds=1)
    used = use(vault, recipe, reference, address=f"{web.url}/drip")
    assert used.stopped
    assert used.output.startswith("HTTP 200 OK")


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "https://127.0.0.1.evil.example/",
        "https://127.0.0.1@evil.example/",
        "https://evil.example\\@127.0.0.1/",
        "http://evil.example/",
        "https://[::1]/",
        "file:///etc/passwd",
        "https://127.0.0.1:99999/",
    ],
)
def test_an_address_that_the_recipe_does_not_list_is_asked_nothing(
    vault: Vault, web: Web, trusted: list[str], address: str
) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="bot")
    recipe = approve(vault, "http-basic", hosts=HERE, more=trusted)
    with vault.writes() as entries, pytest.raises(Invalid):
        use(vault, recipe, reference, address=address)
    assert not [entry for entry in entries if entry["action"] == "credential.use"]
    assert not web.asked


def test_a_server_whose_certificate_is_not_trusted_is_told_nothing(vault: Vault, web: Web) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="bot")
    used = use(vault, approve(vault, "http-basic", hosts=HERE), reference, address=f"{web.url}/")
    assert used.code == 1
    assert "certificate is not trusted" in used.errors
    assert not web.asked


def test_a_certificate_of_another_name_is_not_trusted(
    vault: Vault, web: Web, trusted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _leads(monkeypatch, "elsewhere.example", "127.0.0.1")
    reference = create(vault, "password", {"password": VALUE}, username="bot")
    recipe = approve(vault, "http-basic", hosts=["elsewhere.example"], more=trusted)
    port = web.url.rpartition(":")[2]
    used = use(vault, recipe, reference, address=f"https://elsewhere.example:{port}/")
    assert "certificate is not trusted" in used.errors
    assert not web.asked


@pytest.mark.parametrize(
    "leads", ["127.0.0.1", "10.0.0.7", "192.168.1.1", "169.254.169.254", "::1", "fe80::1", "fd00::1"]
)
def test_a_name_behind_a_star_leads_to_no_private_address(
    vault: Vault, web: Web, monkeypatch: pytest.MonkeyPatch, leads: str
) -> None:
    _leads(monkeypatch, "db.acme.example", leads)
    reference = create(vault, "password", {"password": VALUE}, username="bot")
    recipe = approve(vault, "http-basic", hosts=["*.acme.example"])
    with pytest.raises(Denied, match="that URL leads to"):
        use(vault, recipe, reference, address="https://db.acme.example/")
    assert not web.asked


@pytest.mark.parametrize(
    ("hosts", "host", "address", "let"),
    [
        (["db.acme.example"], "db.acme.example", "10.0.0.7", True),
        (["*.acme.example"], "db.acme.example", "93.184.216.34", True),
        (["db.acme.example"], "db.acme.example", "169.254.169.254", False),
        (["169.254.169.254"], "169.254.169.254", "169.254.169.254", True),
        (["db.acme.example:8443"], "db.acme.example", "10.0.0.7", True),
        (["*.acme.example", "other.example"], "db.acme.example", "10.0.0.7", False),
        (["db.acme.example"], "db.acme.example", "0.0.0.0", False),  # an address that is looked at
        (["[fd00::1]"], "[fd00::1]", "fd00::1", True),
    ],
)
def test_private_addresses_are_those_that_a_recipe_names(hosts: list[str], host: str, address: str, let: bool) -> None:
    assert (refused_address(hosts, host, ipaddress.ip_address(address)) == "") is let


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"argv": ["TRACE", "https://127.0.0.1/"]}, "argv"),
        ({"argv": ["GET"]}, "argv"),
        ({"argv": ["GET", "http://db.example/"]}, "argv"),
        ({"argv": ["GET", "https://127.0.0.1/{main}"]}, "argv"),
        ({"argv": ["GET", "https://127.0.0.1/", "--cacert", "own.pem"]}, "argv"),
        ({"argv": ["GET", "https://127.0.0.1/", "--insecure"]}, "argv"),
        ({"hosts": []}, "hosts"),
        ({"feeds": [{"into": "env:X"}]}, "feeds"),
        ({"feeds": [{"into": "header:Host"}]}, "feeds"),
        ({"feeds": [{"into": "header:Proxy-Authorization"}]}, "feeds"),
        ({"feeds": [{"into": "header:a b"}]}, "feeds"),
        ({"feeds": [{"into": "header:X"}, {"into": "header:x"}]}, "feeds"),
        ({"feeds": []}, "feeds"),
    ],
)
def test_what_is_no_http_recipe_is_refused_with_the_field(vault: Vault, said: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as wrong:
        own(vault, [], **said)
    assert set(wrong.value.fields) == {field}


def test_a_value_that_would_end_its_header_is_refused(vault: Vault, web: Web, trusted: list[str]) -> None:
    reference = create(vault, "api_key", {"api_key": "first\r\nX-Admin: yes"})
    with pytest.raises(Invalid) as wrong:
        use(vault, approve(vault, "http-bearer", hosts=HERE, more=trusted), reference, address=f"{web.url}/")
    assert "X-Admin" not in f"{wrong.value}{wrong.value.fields}"
    assert not web.asked


def test_rules_of_hosts_hold_for_it(vault: Vault, web: Web, trusted: list[str]) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="bot")
    recipe = approve(vault, "http-basic", hosts=HERE, more=trusted)
    vault.app.rules.set(vault.person, reference, {"programs": ["http"], "hosts": HERE}, zone="UTC")
    assert _code(use(vault, recipe, reference, address=f"{web.url}/")) == 0
    vault.app.rules.set(vault.person, reference, {"hosts": ["db.example"]}, zone="UTC")
    with pytest.raises(Denied):
        use(vault, recipe, reference, address=f"{web.url}/")


def _code(used: Used) -> int:
    return used.code


def _leads(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> None:
    """Lets a name lead to an address, as whoever holds its domain can."""
    real = socket.getaddrinfo

    def look_up(host: Any, *more: Any, **named: Any) -> Any:
        return real(address if host == name else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
