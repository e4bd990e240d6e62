"""Logging in over SSH with a key of the vault: the key is in an agent of its own, and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mcp_server.cli import daily
from tests.use.conftest import Shell, shell

__all__ = ["shell"]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key with a passphrase."""
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-C", "", "-f", str(file)], check=True)
    return file


@pytest.fixture
def reference(person, key: Path, shell: Shell, tmp_path: Path) -> str:
    """The key in the vault, and at the server."""
    shell.authorize(key.with_suffix(".pub").read_text().strip())
    (tmp_path / "phrase").write_text("open sesame")
    added = person(
        *("credential", "add", "Web", "--type", "ssh_key", "--client", "acme", "--username", shell.user),
        *("--url", "ssh://127.0.0.1", "--port", str(shell.port), "--value-file", str(key)),
        *("--value-file", f"passphrase={tmp_path / 'phrase'}", "--json"),
    )
    assert added.code == 0, added.err
    return added.json["reference"]


def test_a_person_logs_in_with_a_key_that_nobody_sees(
    person, command, reference: str, key: Path, shell: Shell, password_file: Path, tmp_path: Path
) -> None:
    body = key.read_text().splitlines()[1]
    key.unlink()
    said = command(
        *("credential", "ssh", reference, "--purpose", "look", "--password-file", str(password_file)),
        *("--option", f"UserKnownHostsFile={shell.known_hosts}", "--", "echo there; ssh-add -l; exit 7"),
    )
    assert (said.code, said.out.splitlines()[0]) == (7, "there"), said.err
    assert body not in said.all
    assert not person("credential", "show", reference, "--json").json["exposed"]
    used = person("audit", "search", "--action", "credential.use", "--json").json["items"]
    assert {entry["facts"]["field"] for entry in used} == {"private_key", "passphrase"}
    (ended,) = person("audit", "search", "--action", "credential.outcome", "--json").json["items"]
    assert ended["facts"]["code"] == 7


def test_it_asks_for_the_password_and_refuses_under_claude(
    person, reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not it\n")
    wrong.chmod(0o600)
    assert person("credential", "ssh", reference, "--purpose", "x", "--password-file", str(wrong)).code == 3
    monkeypatch.setenv("CLAUDECODE", "1")
    assert person("credential", "ssh", reference, "--purpose", "x").code == 4


def test_without_a_key_or_a_host_nothing_is_opened(person, password_file: Path) -> None:
    given = ("--purpose", "x", "--password-file", str(password_file))
    assert person("credential", "add", "Mail", "--client", "acme", "--generate").code == 0
    assert person("credential", "ssh", "acme/mail/password", *given).code == 2
    assert person("credential", "ssh", "acme/mail/password", "--host", "127.0.0.1", *given).code == 5
    assert person("credential", "ssh", "acme/mail/password", "--host", "-oProxyCommand=id", *given).code == 2
    assert person("audit", "search", "--action", "credential.use", "--json").json["items"] == []


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("web1.acme.test", "web1.acme.test"),
        ("https://web1.acme.test:8443/x", "web1.acme.test"),
        ("", ""),
        ("http://[", ""),
    ],
)
def test_the_host_is_that_of_its_address(address: str, host: str) -> None:
    assert daily.host_of(address) == host
