"""Importing credentials at the command line: each entry's outcome is told, a second time changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import Unavailable
from mcp_server.services.credentials import Credentials
from tests.cli.conftest import Run, Said
from tests.kit import exports


@pytest.fixture
def bitwarden(tmp_path: Path) -> Path:
    file = tmp_path / "bitwarden.json"
    file.write_text(json.dumps(exports.bitwarden()))
    return file


def write(folder: Path, name: str, raw: bytes) -> Path:
    file = folder / name
    file.write_bytes(raw)
    return file


def outcomes(said: Said) -> dict[str, str]:
    return {row["name"]: row["outcome"] for row in said.json["rows"]}


def entries(person: Run, action: str = "credential.create") -> list[dict]:
    return person("audit", "search", "--action", action, "--limit", "100", "--json").json["items"]


def everything(person: Run) -> str:
    """All credentials as they are."""
    return person("credential", "list", "--state", "any", "--limit", "100", "--json").out


def test_each_entry_is_made_or_told_why_not(person: Run, bitwarden: Path, password_file: Path) -> None:
    said = person("credential", "import", str(bitwarden), "--json")
    assert said.code == 0, said.err
    assert outcomes(said) == {
        "Gitea Admin": "made", "Door": "made", "Visa": "skipped", "Me": "skipped", "Web server": "made",
        "Old": "skipped", "Bookmark": "skipped",
    }  # fmt: skip
    assert all(row["why"] for row in said.json["rows"] if row["outcome"] == "skipped")
    made = {row["reference"]: row["entry"] for row in said.json["rows"] if row["outcome"] == "made"}
    assert set(made) == {"acme/servers/gitea-admin", "own/door/shared-secret", "acme/web-server/ssh-key"}
    # One audit entry for each, which says where it came from.
    assert {one["entry"]: one["facts"]["imported"] for one in entries(person)} == dict.fromkeys(
        made.values(), "bitwarden-json"
    )
    opened = person(
        *("credential", "show", "acme/servers/gitea-admin", "--values", "--purpose", "x"),
        *("--password-file", str(password_file), "--json"),
    )
    assert opened.json["values"]["password"] == exports.PASSWORD
    assert opened.json["values"]["totp_seed"] == exports.SEED
    assert person("audit", "verify").code == 0


def test_what_lay_in_plaintext_is_exposed_until_it_is_rotated(person: Run, bitwarden: Path) -> None:
    person("credential", "import", str(bitwarden))
    listed = person("credential", "list", "--json").json["items"]
    assert len(listed) == 3
    assert all(one["exposed"] for one in listed)
    person("credential", "rotate", "acme/servers/gitea-admin", "--generate")
    assert not person("credential", "show", "acme/servers/gitea-admin", "--json").json["exposed"]


def test_a_preview_changes_nothing(person: Run, bitwarden: Path) -> None:
    said = person("credential", "import", str(bitwarden), "--preview", "--json")
    assert said.json["counts"] == {"new": 3, "made": 0, "there": 0, "skipped": 4, "refused": 0}
    assert "no credentials" in person("credential", "list").out
    assert "acme" not in person("client", "list").out


def test_a_second_import_changes_nothing(person: Run, bitwarden: Path, tmp_path: Path) -> None:
    person("credential", "import", str(bitwarden))
    before, count = everything(person), len(entries(person))
    again = person("credential", "import", str(bitwarden), "--json")
    assert (again.code, again.json["counts"]["there"], again.json["counts"]["made"]) == (0, 3, 0)
    assert {row["reference"] for row in again.json["rows"] if row["outcome"] == "there"} >= {"acme/servers/gitea-admin"}
    # The same vault in another of its formats is the same, too.
    other = person("credential", "import", str(write(tmp_path, "b.csv", exports.bitwarden_csv())), "--json")
    assert other.json["counts"]["there"] == 2
    assert (everything(person), len(entries(person))) == (before, count)


def test_what_was_renamed_rotated_or_deleted_here_does_not_come_back(person: Run, bitwarden: Path) -> None:
    person("credential", "import", str(bitwarden))
    person("credential", "rotate", "acme/servers/gitea-admin", "--generate")
    person("credential", "update", "acme/servers/gitea-admin", "--for", "Another name", "--username", "eve")
    person("credential", "rm", "own/door/shared-secret", "--yes")
    before = everything(person)
    again = person("credential", "import", str(bitwarden), "--json").json
    why = {row["name"]: row["why"] for row in again["rows"] if row["outcome"] == "there"}
    assert why == {
        "Gitea Admin": "has been changed here since", "Door": "was imported and then deleted here", "Web server": "",
    }  # fmt: skip
    assert everything(person) == before


def test_what_was_added_by_hand_is_known_by_its_value_and_its_name(person: Run, tmp_path: Path) -> None:
    value = write(tmp_path, "value", exports.PASSWORD.encode())
    person(*("credential", "add", "Gitea", "--client", "Acme", "--username", "bob", "--value-file", str(value)))
    rows = [["Acme", "", "login", name, "", "", "0", "", "bob", exports.PASSWORD, ""] for name in ("Gitea", "Wiki")]
    file = write(tmp_path, "b.csv", exports.as_csv(exports.BITWARDEN_HEAD, *rows))
    said = person("credential", "import", str(file), "--json")
    assert outcomes(said) == {"Gitea": "there", "Wiki": "made"}  # one password for two things is two credentials


def test_entries_of_one_name_with_different_values_are_all_kept(person: Run, tmp_path: Path) -> None:
    values = (exports.PASSWORD, exports.SECOND, exports.PASSWORD)
    rows = [["Acme", "", "login", "Gitea", "", "", "0", "", "bob", value, ""] for value in values]
    file = write(tmp_path, "b.csv", exports.as_csv(exports.BITWARDEN_HEAD, *rows))
    said = person("credential", "import", str(file), "--json").json["rows"]
    assert [(row["outcome"], row["reference"]) for row in said] == [
        ("made", "acme/gitea/bob"), ("made", "acme/gitea/bob-2"), ("there", ""),
    ]  # fmt: skip
    assert said[2]["why"] == "is the same as row 2"
    assert person("credential", "import", str(file), "--json").json["counts"]["there"] == 3


def test_a_refused_entry_names_row_and_field_and_the_others_are_made(person: Run, tmp_path: Path) -> None:
    long = ["", "", "login", "Long", "n" * 70_000, "", "0", "", "bob", exports.PASSWORD, ""]
    said = person("credential", "import", str(write(tmp_path, "b.csv", exports.bitwarden_csv(long))), "--json")
    assert said.code == 1
    (row,) = (row for row in said.json["rows"] if row["outcome"] == "refused")
    assert (row["place"], row["fields"]) == ("row 4", {"notes": "at most 65536 bytes"})
    assert said.json["counts"]["made"] == 2
    told = person("credential", "import", str(tmp_path / "b.csv"))
    assert "row 4" in told.out
    assert "notes: at most 65536 bytes" in told.out


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("cut.json", json.dumps(exports.bitwarden()).encode()[:-40]),
        ("cut.csv", exports.bitwarden_csv() + b'"open,'),
        ("short.csv", exports.bitwarden_csv(["a", "row", "too", "short"])),
        ("utf16.csv", exports.bitwarden_csv().decode().encode("utf-16")),
        ("encrypted.json", b'{"encrypted": true, "passwordProtected": true}'),
        ("bomb.1pux", exports.as_1pux(b" " * 80_000_000)),
        ("deep.json", b"[" * 300_000),
        ("nothing", b""),
        ("unknown.csv", f"a,b\n{exports.PASSWORD},x\n".encode()),
    ],
)
def test_a_broken_file_imports_nothing(person: Run, tmp_path: Path, name: str, raw: bytes) -> None:
    said = person("credential", "import", str(write(tmp_path, name, raw)), "--json")
    assert said.code == 2
    assert said.error["code"] == "invalid"
    assert "Traceback" not in said.all
    assert "no credentials" in person("credential", "list").out
    assert not any(value in said.all for value in exports.VALUES)


def test_an_import_that_is_cut_off_goes_on_where_it_was(person: Run, bitwarden: Path, monkeypatch) -> None:
    real, left = Credentials.take_in, [2]

    def dies(self: Credentials, *given: object, **more: object) -> object:
        if not left[0]:
            raise Unavailable("the database is away")
        left[0] -= 1
        return real(self, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Credentials, "take_in", dies)
        said = person("credential", "import", str(bitwarden))
    assert said.code == 75
    assert "the same command goes on" in said.err
    assert len(entries(person)) == 2
    said = person("credential", "import", str(bitwarden), "--json")
    assert (said.json["counts"]["there"], said.json["counts"]["made"]) == (2, 1)
    assert person("audit", "verify").code == 0


DIES = """
import os, signal, sys
from mcp_server.cli import entrance
from mcp_server.services.credentials import Credentials
real, left = Credentials._seal, [2]
def seal(self, *given, **more):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return real(self, *given, **more)
Credentials._seal = seal
entrance.run(sys.argv[1:])
"""


def test_an_import_that_is_killed_between_a_row_and_its_value_leaves_whole_credentials_alone(
    person: Run, environment: dict[str, str], bitwarden: Path, password_file: Path
) -> None:
    child = [sys.executable, "-c", DIES, "credential", "import", str(bitwarden)]
    done = subprocess.run(child, env=environment, capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    listed = person("credential", "list", "--json").json["items"]
    assert len(listed) == len(entries(person)) == 2
    for one in listed:
        opened = person(
            *("credential", "show", one["reference"], "--values", "--purpose", "x"),
            *("--password-file", str(password_file), "--json"),
        )
        assert set(opened.json["values"]) == set(one["secret_fields"])
    again = person("credential", "import", str(bitwarden), "--json")
    assert (again.json["counts"]["there"], again.json["counts"]["made"]) == (2, 1)
    assert person("audit", "verify").code == 0


def test_what_the_vault_holds_already_is_struck_from_names_too(person: Run, tmp_path: Path) -> None:
    value = write(tmp_path, "value", exports.SECOND.encode())
    person("credential", "add", "Router", "--value-file", str(value))
    rows = [["", "", "login", f"Gitea {exports.SECOND}", "", "", "0", "", "bob", exports.PASSWORD, ""]]
    said = person(
        "credential", "import", str(write(tmp_path, "b.csv", exports.as_csv(exports.BITWARDEN_HEAD, *rows))), "--json"
    )
    assert said.json["counts"]["made"] == 1
    assert exports.SECOND not in said.all + everything(person)


def test_no_value_is_printed_or_logged(person: Run, bitwarden: Path) -> None:
    hostile = exports.bitwarden()
    for item in hostile["items"]:
        item["name"] = f"{item['name']} {exports.PASSWORD}"
    bitwarden.write_text(json.dumps(hostile))
    said = [
        person("credential", "import", str(bitwarden), "--preview"),
        person("credential", "import", str(bitwarden)),
        person("credential", "import", str(bitwarden), "--json"),
        person("credential", "list", "--json"),
        person("audit", "search", "--limit", "100", "--json"),
    ]
    assert all(one.code == 0 for one in said)
    assert not any(value in one.all for value in exports.VALUES for one in said)


def test_a_formula_stays_text(person: Run, tmp_path: Path, password_file: Path) -> None:
    rows = [["", "", "login", exports.FORMULA, "", "", "0", "", "bob", f"{exports.FORMULA} x", ""]]
    file = write(tmp_path, "b.csv", exports.as_csv(exports.BITWARDEN_HEAD, *rows))
    (row,) = person("credential", "import", str(file), "--json").json["rows"]
    said = person(
        *("credential", "reveal", row["reference"], "--purpose", "x", "--password-file", str(password_file)),
    )
    assert said.out == f"{exports.FORMULA} x"


def test_a_keepass_database_comes_in_unexposed_by_its_password_alone(person: Run, tmp_path: Path) -> None:
    file = exports.keepassxc(tmp_path)
    lock = write(tmp_path, "lock", exports.KEEPASS_PASSWORD.encode())
    lock.chmod(0o600)
    said = person("credential", "import", str(file), "--passphrase-file", str(lock), "--json")
    assert outcomes(said) == {"Gitea": "made", "Gone": "skipped"}
    (one,) = person("credential", "list", "--json").json["items"]
    assert (one["reference"], one["exposed"]) == ("acme/servers/gitea", False)
    wrong = write(tmp_path, "wrong", b"another password")
    wrong.chmod(0o600)
    assert person("credential", "import", str(file), "--passphrase-file", str(wrong)).code == 4


def test_a_pipe_is_read_too(command: Run, person: Run, bitwarden: Path) -> None:
    said = command("credential", "import", "/dev/stdin", "--json", given=bitwarden.read_text())
    assert said.code == 0, said.err
    assert said.json["counts"]["made"] == 3


def test_another_client_is_given_for_all(person: Run, bitwarden: Path) -> None:
    said = person("credential", "import", str(bitwarden), "--client", "Globex", "--json")
    assert {row["reference"].partition("/")[0] for row in said.json["rows"] if row["reference"]} == {"globex"}


@pytest.mark.parametrize("wrong", [("--format", "lastpass"), ()])
def test_a_format_or_a_file_that_is_none_is_refused(person: Run, tmp_path: Path, wrong: tuple[str, ...]) -> None:
    file = tmp_path / "missing"
    said = person("credential", "import", str(file), *wrong, "--json")
    assert said.code == 2
    assert said.error["fields"]


def test_nobody_logged_in_imports_nothing(run: Run, bitwarden: Path) -> None:
    assert run("credential", "import", str(bitwarden)).code == 3
    assert os.path.lexists(bitwarden)
