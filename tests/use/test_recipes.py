"""Each type of credential is used by a recipe with a real program, and its value is nowhere but there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from domain.drafts import Draft
from domain.errors import Conflict, Denied, Invalid, NotFound
from domain.plain import Plain
from mcp_server.cli.recipe import _ready
from mcp_server.services.use import Used
from tests.kit.certificates import Certificate
from tests.kit.forms import assert_absent
from tests.kit.mariadb import MariaDB
from tests.strongroom.vault import Vault
from tests.use.conftest import Shell, Web, basic

VALUE = "Tr0ub4dor&3 \"quoted\\ and' spaced#"
PURPOSE = "checking the nightly export"


def approve(vault: Vault, ready: str, *, hosts: list[str], more: list[str] | None = None, **said: Any) -> str:
    """A ready-made recipe, approved."""
    definition = _ready(ready, more or []) | {"hosts": hosts} | said
    made = vault.app.recipes.add(vault.person, definition)
    return vault.app.recipes.approve(vault.person, made.name).name


def create(vault: Vault, type_: str, values: dict[str, str], **said: Any) -> str:
    """A credential that a person entered."""
    draft = Draft(
        type=type_,
        service_name="box",
        client="acme",
        values={name: Plain(text) for name, text in values.items()},
        **said,
    )
    return vault.app.credentials.create(vault.person, draft).description.reference


def _told_of(process: Path) -> list[str]:
    """State, parent, group and more of a process; nothing where it ended."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def use(vault: Vault, recipe: str, reference: str, **given: str) -> Used:
    """Claude uses it."""
    return vault.app.use.by_recipe(vault.agent, recipe, reference, given, PURPOSE)


def nowhere(vault: Vault, used: Used, *values: str) -> None:
    """No form of a value is in the answer, the database or a file of the installation; only key files are left out."""
    there = f"{used.output}{used.errors}{used!r}".encode() + vault.store.contents()
    there += b"".join(file.read_bytes() for file in vault.home.rglob("*") if file.is_file() and file.suffix != ".key")
    for value in values:
        assert_absent(value.encode(), there)


def test_a_password_logs_in_over_tls_without_being_among_the_arguments(vault: Vault, web: Web) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="ro bot")
    recipe = approve(vault, "curl-basic", hosts=["127.0.0.1"], more=["--cacert", str(web.authority.file)], name="fetch")
    used = use(vault, recipe, reference, address=f"{web.url}/report")
    assert (used.code, used.output) == (0, "hello from /report\n"), used.errors
    assert web.authorization == basic("ro bot", VALUE)
    nowhere(vault, used, VALUE)


@pytest.mark.parametrize("type_", ["api_key", "jwt"])
def test_a_key_and_a_token_are_sent_as_bearer(vault: Vault, web: Web, type_: str) -> None:
    field = {"api_key": "api_key", "jwt": "token"}[type_]
    value = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJib3gifQ.c2lnbmF0dXJl" if type_ == "jwt" else "ak_live_9f8e7d6c5b4a39281706"
    reference = create(vault, type_, {field: value})
    recipe = approve(vault, "curl-bearer", hosts=["127.0.0.1"], more=["--cacert", str(web.authority.file)])
    used = use(vault, recipe, reference, address=f"{web.url}/items")
    assert used.output == "hello from /items\n", used.errors
    assert web.authorization == f"Bearer {value}"
    nowhere(vault, used, value)


def test_a_shared_secret_is_sent_in_its_header(vault: Vault, web: Web) -> None:
    reference = create(vault, "shared_secret", {"shared_secret": VALUE})
    recipe = approve(vault, "curl-secret", hosts=["127.0.0.1"], more=["--cacert", str(web.authority.file)])
    used = use(vault, recipe, reference, address=f"{web.url}/hook")
    assert used.code == 0, used.errors
    assert web.asked[-1]["x-shared-secret"] == VALUE
    nowhere(vault, used, VALUE)


def test_oauth_is_exchanged_for_a_short_lived_token(vault: Vault, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.file))
    opened = {"token_url": f"{web.url}/token", "oauth_client_id": "box"}
    reference = create(vault, "oauth", {"client_secret": VALUE}, open=opened)
    recipe = approve(vault, "curl-oauth", hosts=["127.0.0.1"], more=["--cacert", str(web.authority.file)])
    used = use(vault, recipe, reference, address=f"{web.url}/echo")
    assert web.asked[0]["authorization"] == basic("box", VALUE)
    assert "grant_type=client_credentials" in web.asked[0]["body"]
    assert web.authorization == "Bearer short-lived-token-0123456789"
    assert (used.code, used.masked) == (0, 1), used.errors
    nowhere(vault, used, VALUE, "short-lived-token-0123456789")


def test_a_token_endpoint_that_was_moved_to_another_host_is_not_asked(vault: Vault, web: Web) -> None:
    opened = {"token_url": f"{web.url}/token", "oauth_client_id": "box"}
    reference = create(vault, "oauth", {"client_secret": VALUE}, open=opened)
    recipe = approve(vault, "curl-oauth", hosts=["api.acme.example"])
    with pytest.raises(Invalid) as refused:
        use(vault, recipe, reference, address="https://api.acme.example/x")
    assert refused.value.fields == {"token_url": "not on a host that the recipe allows"}
    assert not web.asked


def test_a_certificate_and_its_key_are_read_from_descriptors(
    vault: Vault, guarded_web: tuple[Web, Certificate]
) -> None:
    web, own = guarded_web
    key = own.key_file.read_text()
    reference = create(vault, "certificate", {"private_key": key}, open={"certificate": own.file.read_text()})
    trusted = ["--cacert", str(web.authority.file)]
    used = use(
        vault, approve(vault, "curl-certificate", hosts=["127.0.0.1"], more=trusted), reference, address=f"{web.url}/in"
    )
    assert used.output == "hello from /in\n", used.errors
    nowhere(vault, used, key.splitlines()[1])
    server = web.url.removeprefix("https://")
    recipe = approve(vault, "openssl-certificate", hosts=["127.0.0.1"], more=["-CAfile", str(web.authority.file)])
    used = use(vault, recipe, reference, server=server)
    assert used.code == 0, used.errors
    assert "Verification: OK" in used.output + used.errors


def test_a_certificate_is_bundled_with_its_key_for_programs_that_want_pkcs12(
    vault: Vault, guarded_web: tuple[Web, Certificate]
) -> None:
    web, own = guarded_web
    pem = own.key_file.read_bytes()
    private = serialization.load_pem_private_key(pem, None)
    locked = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"pass of it"),
    ).decode()
    reference = create(
        vault,
        "certificate",
        {"private_key": locked, "passphrase": "pass of it"},
        open={"certificate": own.file.read_text()},
    )
    argv = [
        *("-q", "--silent", "--show-error", "--cacert", str(web.authority.file), "--cert-type", "P12"),
        *("--cert", "{file:bundle}:claudetools", "--url", "{address}"),
    ]
    bundle = [{"into": "file:bundle", "template": "{bundle}"}]
    gaps = {"address": {"kind": "url"}}
    by_curl = approve(vault, "curl-certificate", hosts=["127.0.0.1"], argv=argv, feeds=bundle, gaps=gaps)
    used = use(vault, by_curl, reference, address=f"{web.url}/in")
    assert used.output == "hello from /in\n", used.errors
    words = ["pkcs12", "-in", "{file:bundle}", "-passin", "pass:claudetools", "-nodes"]
    prints = approve(vault, "openssl-certificate", hosts=[], argv=words, feeds=bundle, gaps={})
    used = use(vault, prints, reference)
    body = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    assert used.code == 0, used.errors
    assert body.splitlines()[1] not in used.output
    nowhere(vault, used, locked.splitlines()[1], "pass of it")


@pytest.mark.parametrize("wrong", ["another key", "no certificate", "no key"])
def test_what_makes_no_pkcs12_is_told_and_nothing_is_run(
    vault: Vault, guarded_web: tuple[Web, Certificate], wrong: str
) -> None:
    own = guarded_web[1]
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {"another key": other.decode(), "no key": "nothing of the kind"}.get(wrong, own.key_file.read_text())
    certificate = "" if wrong == "no certificate" else own.file.read_text()
    reference = create(vault, "certificate", {"private_key": key}, open={"certificate": certificate})
    bundle = [{"into": "file:bundle", "template": "{bundle}"}]
    words = ["pkcs12", "-in", "{file:bundle}", "-passin", "pass:claudetools", "-nokeys"]
    recipe = approve(vault, "openssl-certificate", hosts=[], argv=words, feeds=bundle, gaps={})
    with pytest.raises(Invalid, match="PKCS #12"):
        use(vault, recipe, reference)


@pytest.mark.parametrize(
    "feed", [{"into": "env:X", "template": "{bundle}"}, {"into": "stdin", "template": "a{bundle}"}]
)
def test_a_bundle_stands_alone_in_a_file(vault: Vault, feed: dict[str, str]) -> None:
    with pytest.raises(Invalid) as wrong:
        approve(vault, "openssl-certificate", hosts=[], argv=["version"], feeds=[feed], gaps={})
    assert "feeds" in wrong.value.fields


def test_a_connection_string_becomes_an_option_file_that_lies_nowhere(vault: Vault, mariadb: MariaDB) -> None:
    password = mariadb.account("app_user", "SELECT ON *.*")
    url = f"mariadb://app_user:{password}@127.0.0.1:{mariadb.port}/mysql"
    reference = create(vault, "connection_string", {"connection_string": url})
    recipe = approve(vault, "mariadb-url", hosts=[])
    used = use(vault, recipe, reference, sql="select current_user(), database()")
    assert (used.code, used.output.splitlines()[-1].split("\t")) == (0, ["app_user@%", "mysql"]), used.errors
    nowhere(vault, used, url, password)


def test_a_password_logs_in_to_mariadb(vault: Vault, mariadb: MariaDB) -> None:
    password = mariadb.account("box_user", "SELECT ON *.*")
    reference = create(vault, "password", {"password": password}, username="box_user")
    recipe = approve(vault, "mariadb", hosts=["127.0.0.1"])
    used = use(vault, recipe, reference, server="127.0.0.1", tcp_port=str(mariadb.port), sql="SELECT 6*7 AS answer")
    assert (used.code, used.output) == (0, "answer\n42\n"), used.errors
    nowhere(vault, used, password)


@pytest.mark.parametrize("passphrase", ["", "open sesame"])
def test_an_ssh_key_serves_through_an_agent_and_is_never_on_the_disk(
    vault: Vault, shell: Shell, passphrase: str
) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    kept: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        kept = serialization.BestAvailableEncryption(passphrase.encode())
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, kept).decode()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    shell.authorize(public.decode())
    values = {"private_key": text} | ({"passphrase": passphrase} if passphrase else {})
    reference = create(vault, "ssh_key", values, username=shell.user)
    recipe = approve(vault, "ssh", hosts=["127.0.0.1"], more=["-o", f"UserKnownHostsFile={shell.known_hosts}"])
    used = use(vault, recipe, reference, server="127.0.0.1", tcp_port=str(shell.port), command="echo inside")
    assert (used.code, used.output) == (0, "inside\n"), used.errors
    nowhere(vault, used, text.splitlines()[2])


def test_a_password_reads_a_repository_over_https(vault: Vault, web: Web, repository: str) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="reader")
    recipe = approve(vault, "git-https", hosts=["127.0.0.1"], more=["-c", f"http.sslCAInfo={web.authority.file}"])
    used = use(vault, recipe, reference, repository=repository)
    assert used.code == 0, used.errors
    assert "refs/heads/main" in used.output
    assert web.authorization == basic("reader", VALUE)
    nowhere(vault, used, VALUE)


def test_a_use_leaves_one_entry_a_field_before_it_and_one_after_it(vault: Vault, web: Web) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="u")
    recipe = approve(vault, "curl-basic", hosts=["127.0.0.1"], more=["--cacert", str(web.authority.file)])
    with vault.writes() as written:
        use(vault, recipe, reference, address=f"{web.url}/echo")
    assert [(entry["action"], entry["outcome"]) for entry in written] == [
        ("credential.use", "ok"),
        ("credential.outcome", "ok"),
    ]
    facts = [entry["said"]["facts"] for entry in written]
    assert (facts[0]["recipe"], facts[0]["field"], facts[1]["code"], facts[1]["masked"]) == (
        "curl-basic",
        "password",
        0,
        1,
    )
    assert not vault.app.credentials.describe(vault.person, reference).exposed


def test_what_is_not_approved_or_was_retired_is_not_run(vault: Vault, web: Web) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="u")
    vault.app.recipes.add(vault.person, _ready("curl-basic", []) | {"hosts": ["127.0.0.1"]})
    for state in ("draft", "retired"):
        with pytest.raises(Denied, match=state):
            use(vault, "curl-basic", reference, address=f"{web.url}/x")
        if state == "draft":
            vault.app.recipes.retire(vault.person, "curl-basic")
    with pytest.raises(NotFound):
        use(vault, "nothing", reference)
    assert not web.asked


def test_a_recipe_is_for_the_credentials_that_it_names(vault: Vault, web: Web) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="u")
    recipe = approve(vault, "curl-basic", hosts=["127.0.0.1"], references=["beta/*"])
    with pytest.raises(Denied, match="not for"):
        use(vault, recipe, reference, address=f"{web.url}/x")
    key = create(vault, "api_key", {"api_key": VALUE})
    other = approve(vault, "curl-basic", hosts=["127.0.0.1"], name="other")
    with pytest.raises(Denied, match="not for"):
        use(vault, other, key, address=f"{web.url}/x")


def test_agents_neither_write_nor_approve_recipes(vault: Vault) -> None:
    definition = _ready("curl-basic", []) | {"hosts": ["127.0.0.1"]}
    with pytest.raises(Denied):
        vault.app.recipes.add(vault.agent, definition)
    vault.app.recipes.add(vault.person, definition)
    for change in (vault.app.recipes.approve, vault.app.recipes.retire):
        with pytest.raises(Denied):
            change(vault.agent, "curl-basic")
    with pytest.raises(Conflict):
        vault.app.recipes.approve(vault.person, "curl-basic", revision=7)


def test_an_approval_written_into_the_database_is_refused_and_told(vault: Vault, web: Web) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="u")
    vault.app.recipes.add(vault.person, _ready("curl-basic", []) | {"hosts": ["127.0.0.1"]})
    vault.sql("UPDATE recipes SET state = 'approved'")
    with pytest.raises(Exception, match="not as it was written"):
        use(vault, "curl-basic", reference, address=f"{web.url}/x")
    found = vault.app.audit.verify().findings
    assert [(one.verdict, one.where.split()[0]) for one in found] == [("modified", "recipe")]


@pytest.mark.parametrize(
    ("level", "shown"), [("metadata", None), ("strict", ""), ("sealed", "hello"), ("reveal", "hello")]
)
def test_the_exposure_level_says_how_much_of_a_use_is_seen(
    vault: Vault, web: Web, level: str, shown: str | None
) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="u", exposure=level)
    recipe = approve(vault, "curl-basic", hosts=["127.0.0.1"], more=["--cacert", str(web.authority.file)])
    if shown is None:
        with pytest.raises(Denied, match="metadata"):
            use(vault, recipe, reference, address=f"{web.url}/x")
        return
    used = use(vault, recipe, reference, address=f"{web.url}/x")
    assert used.code == 0
    assert used.output.startswith(shown)
    assert bool(used.withheld) == (shown == "")


def test_an_output_that_holds_the_value_twice_is_withheld(vault: Vault, web: Web) -> None:
    reference = create(vault, "password", {"password": VALUE}, username="u")
    recipe = approve(
        vault, "curl-basic", hosts=["127.0.0.1"], more=["--cacert", str(web.authority.file), "--url", f"{web.url}/echo"]
    )
    used = use(vault, recipe, reference, address=f"{web.url}/echo")
    assert (used.masked, used.output, used.errors) == (2, "", "")
    assert "2 times" in used.withheld


def test_a_short_value_lets_the_outcome_alone_be_seen(vault: Vault, web: Web) -> None:
    reference = create(vault, "password", {"password": "hunter2"}, username="u")
    recipe = approve(vault, "curl-basic", hosts=["127.0.0.1"], more=["--cacert", str(web.authority.file)])
    used = use(vault, recipe, reference, address=f"{web.url}/x")
    assert (used.code, used.output) == (0, "")
    assert "cannot be masked" in used.withheld


def test_a_program_that_does_not_end_is_ended_with_its_whole_tree(vault: Vault, tmp_path: Path) -> None:
    reference = create(vault, "password", {"password": VALUE})
    program = tmp_path / "stays"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/one\n(echo $$; sleep 600) &\nsleep 600\n")
    program.chmod(0o755)
    vault.app.recipes.add(
        vault.person,
        {"name": "stays", "program": str(program), "argv": [], "feeds": [{"into": "stdin"}], "seconds": 1},
    )
    vault.app.recipes.approve(vault.person, "stays")
    used = use(vault, "stays", reference)
    assert used.stopped
    group = (tmp_path / "one").read_text().strip()
    assert not [told for told in map(_told_of, Path("/proc").glob("[0-9]*")) if told[2:3] == [group] and told[0] != "Z"]


def test_a_key_for_elliptic_curves_in_pem_serves_too(vault: Vault, shell: Shell) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    shell.authorize(public.decode())
    reference = create(vault, "ssh_key", {"private_key": text, "passphrase": "open sesame"}, username=shell.user)
    recipe = approve(vault, "ssh", hosts=["127.0.0.1"], more=["-o", f"UserKnownHostsFile={shell.known_hosts}"])
    used = use(vault, recipe, reference, server="127.0.0.1", tcp_port=str(shell.port), command="echo inside")
    assert (used.code, used.output) == (0, "inside\n"), used.errors


def test_what_is_stored_of_a_recipe_is_what_was_written(vault: Vault) -> None:
    written = _ready("mariadb", []) | {"hosts": ["db.acme.example:3306"], "references": ["acme/*"], "seconds": 9}
    vault.app.recipes.add(vault.person, written)
    stored = json.loads(vault.app.recipes.one(vault.agent, "mariadb").definition())
    assert {name: stored[name] for name in ("hosts", "references", "seconds", "argv")} == {
        name: written[name] for name in ("hosts", "references", "seconds", "argv")
    }
