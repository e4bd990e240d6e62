"""Exporting credentials: encrypted alone, by a person with the password, one audit entry for each value."""

from __future__ import annotations

import json
from pathlib import Path

import pyrage
import pytest

from domain.audit import Ticket
from domain.credentials import SealedField
from domain.errors import Broken
from domain.plain import Plain
from mcp_server.keyring import Keyring
from tests.cli.conftest import Run
from tests.kit import exports
from tests.kit.stores import copy_home

PASSPHRASE = "a made-up passphrase of some length"


@pytest.fixture
def full(person: Run, tmp_path: Path) -> Run:
    """A person whose vault holds what a file of Bitwarden brought."""
    file = tmp_path / "bitwarden.json"
    file.write_text(json.dumps(exports.bitwarden()))
    assert person("credential", "import", str(file)).code == 0
    file.unlink()
    return person


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "lock"
    file.write_text(PASSPHRASE)
    file.chmod(0o600)
    return file


def test_an_export_is_read_back_into_another_vault(full: Run, tmp_path: Path, password_file: Path, lock: Path, installed: Path, monkeypatch) -> None:  # fmt: skip
    file = tmp_path / "out.age"
    full("credential", "rotate", "acme/servers/gitea-admin", "--generate")
    kept = full("credential", "list", "--json").json["items"]
    said = full(
        *("credential", "export", str(file), "--passphrase-file", str(lock), "--purpose", "a move"),
        *("--password-file", str(password_file), "--json"),
    )
    assert said.code == 0, said.err
    assert (said.json["credentials"], said.json["values"], said.json["left_out"]) == (3, 5, [])
    other = tmp_path / "other"
    copy_home(installed / "home", other)
    there = ("--home", str(other))
    assert full(*there, "login", "--password-file", str(password_file)).code == 0
    came = full(*there, "credential", "import", str(file), "--passphrase-file", str(lock), "--json")
    assert came.json["counts"]["made"] == 3
    listed = full(*there, "credential", "list", "--json").json["items"]
    same = (
        "reference",
        "type",
        "client",
        "service",
        "username",
        "external_url",
        "secret_fields",
        "exposure",
        "exposed",
    )
    assert [[one[name] for name in same] for one in listed] == [[one[name] for name in same] for one in kept]
    assert [one["exposed"] for one in listed] == [False, True, True]
    opened = full(
        *(*there, "credential", "reveal", "acme/web-server/ssh-key", "--purpose", "x"),
        *("--password-file", str(password_file)),
    )
    assert opened.out == exports.KEY
    again = full(*there, "credential", "import", str(file), "--passphrase-file", str(lock), "--json")
    assert again.json["counts"]["there"] == 3


def test_an_export_for_a_recipient_opens_with_the_identity_alone(
    full: Run, tmp_path: Path, password_file: Path
) -> None:
    identity, file = pyrage.x25519.Identity.generate(), tmp_path / "out.age"
    said = full(
        *("credential", "export", str(file), "--age-recipient", str(identity.to_public()), "--purpose", "x"),
        *("--password-file", str(password_file)),
    )
    assert said.code == 0, said.err
    key = tmp_path / "key.txt"
    key.write_text(f"# created: today\n{identity}\n")
    key.chmod(0o600)
    came = full("credential", "import", str(file), "--identity", str(key), "--json")
    assert came.json["counts"]["there"] == 3
    key.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    assert full("credential", "import", str(file), "--identity", str(key)).code == 4
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    key.write_text(f"{identity}\n")
    assert full("credential", "import", str(file), "--identity", str(key)).code == 4


def test_each_opened_value_has_its_entry_and_nothing_lies_open(full: Run, tmp_path: Path, password_file: Path, lock: Path) -> None:  # fmt: skip
    file = tmp_path / "out.age"
    said = full(
        *(
            "credential",
            "export",
            str(file),
            "--passphrase-file",
            str(lock),
            "--purpose",
            f"because {exports.PASSWORD}",
        ),
        *("--password-file", str(password_file)),
    )
    assert said.code == 0
    found = full("audit", "search", "--action", "credential.export", "--json").json["items"]
    assert sorted((one["subject"], one["facts"]["field"]) for one in found) == [
        ("acme/servers/gitea-admin", "notes"),
        ("acme/servers/gitea-admin", "password"),
        ("acme/servers/gitea-admin", "totp_seed"),
        ("acme/web-server/ssh-key", "private_key"),
        ("own/door/shared-secret", "shared_secret"),
    ]
    raw = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert not any(value.encode() in raw for value in exports.VALUES)
    assert not any(value in said.all + json.dumps(found) for value in exports.VALUES)
    assert [one.name for one in tmp_path.iterdir() if "part" in one.name] == []


def test_without_the_password_or_under_claude_nothing_is_opened(full: Run, command: Run, tmp_path: Path, lock: Path, password_file: Path) -> None:  # fmt: skip
    out = tmp_path / "out.age"
    arguments = ("credential", "export", str(out), "--passphrase-file", str(lock), "--purpose", "x")
    wrong = tmp_path / "wrong"
    wrong.write_text("not it")
    wrong.chmod(0o600)
    assert full(*arguments, "--password-file", str(wrong)).code == 3
    assert command(*arguments, "--password-file", str(password_file), CLAUDECODE="1").code == 4
    assert not out.exists()
    assert full("audit", "search", "--action", "credential.export", "--json").json["items"] == []


@pytest.mark.parametrize(
    ("more", "code"),
    [((), 2), (("--passphrase", "--age-recipient", "age1x"), 2), (("--age-recipient", "age1nobody"), 2)],
)
def test_an_export_for_nobody_is_refused(full: Run, tmp_path: Path, password_file: Path, more, code) -> None:
    out = tmp_path / "out.age"
    said = full(
        *("credential", "export", str(out), *more, "--purpose", "x", "--password-file", str(password_file), "--json")
    )
    assert (said.code, out.exists()) == (code, False)
    assert said.error["fields"]
    assert full("audit", "search", "--action", "credential.export", "--json").json["items"] == []


def test_a_file_that_is_there_is_not_overwritten(full: Run, tmp_path: Path, password_file: Path, lock: Path) -> None:
    out = tmp_path / "out.age"
    out.write_text("mine")
    said = full(
        *("credential", "export", str(out), "--passphrase-file", str(lock), "--purpose", "x"),
        *("--password-file", str(password_file)),
    )
    assert (said.code, out.read_text()) == (6, "mine")


def test_only_one_client_is_exported_where_one_is_named(full: Run, tmp_path: Path, password_file: Path, lock: Path) -> None:  # fmt: skip
    arguments = ("--passphrase-file", str(lock), "--purpose", "x", "--password-file", str(password_file), "--json")
    said = full("credential", "export", str(tmp_path / "a.age"), "--client", "acme", *arguments)
    assert said.json["credentials"] == 2
    assert full("credential", "export", str(tmp_path / "b.age"), "--client", "nobody", *arguments).code == 5


def test_a_credential_that_does_not_open_is_left_out_whole_and_told(
    full: Run, tmp_path: Path, password_file: Path, lock: Path, monkeypatch
) -> None:
    real = Keyring.unseal

    def unseal(self: Keyring, ticket: Ticket, sealed: SealedField) -> Plain:
        if sealed.field == "totp_seed":
            raise Broken("a sealed value was altered")
        return real(self, ticket, sealed)

    arguments = ("--passphrase-file", str(lock), "--purpose", "x", "--password-file", str(password_file), "--json")
    with monkeypatch.context() as patch:
        patch.setattr(Keyring, "unseal", unseal)
        said = full("credential", "export", str(tmp_path / "out.age"), *arguments)
    assert (said.code, said.json["credentials"]) == (1, 2)
    assert [one["reference"] for one in said.json["left_out"]] == ["acme/servers/gitea-admin"]


def test_what_comes_in_is_never_open_further_than_the_vaults_default(
    full: Run, tmp_path: Path, password_file: Path, lock: Path, home: Path, installed: Path
) -> None:
    file, other = tmp_path / "out.age", tmp_path / "other"
    full(
        "credential", "update", "own/door/shared-secret", "--exposure", "strict", "--password-file", str(password_file)
    )
    arguments = ("--passphrase-file", str(lock), "--purpose", "x", "--password-file", str(password_file))
    assert full("credential", "export", str(file), *arguments).code == 0
    copy_home(installed / "home", other)
    there = ("--home", str(other))
    full(*there, "login", "--password-file", str(password_file))
    said = full(*there, "exposure", "set", "sealed", "--yes", "--password-file", str(password_file))
    assert said.code == 0, said.err
    assert full(*there, "credential", "import", str(file), "--passphrase-file", str(lock)).code == 0
    listed = full(*there, "credential", "list", "--json").json["items"]
    assert {one["reference"]: one["exposure"] for one in listed} == {
        "acme/servers/gitea-admin": "sealed", "acme/web-server/ssh-key": "sealed", "own/door/shared-secret": "strict",
    }  # fmt: skip
