"""Credentials at the command line: their values come in unseen and leave to a person alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.screen import Screen

VALUE = "canary-hQ7-value-of-the-vault"


@pytest.fixture
def value_file(tmp_path: Path) -> Path:
    file = tmp_path / "value.txt"
    file.write_text(VALUE + "\n")
    return file


def test_a_value_goes_in_by_a_file_and_leaves_alone_on_stdout(person, value_file: Path, password_file: Path) -> None:
    added = person(
        *("credential", "add", "Gitea Admin", "--client", "ACME", "--username", "bob", "--value-file", str(value_file)),
        *("--port", "443", "--port", "8443", "--tag", "git", "--vpn", "--2fa", "--expires", "2031-01-31", "--json"),
    )
    assert added.code == 0, added.err
    one = added.json["credential"]
    assert one["reference"] == "acme/gitea-admin/bob"
    assert (one["ports"], one["tags"], one["requires_vpn"], one["requires_2fa"]) == ([443, 8443], ["git"], True, True)
    assert one["expires_at"].startswith("2031-01-31")
    said = person(
        "credential", "reveal", one["reference"], "--purpose", "a test", "--password-file", str(password_file)
    )
    assert (said.code, said.out, said.err) == (0, VALUE, "")
    (entry,) = person("audit", "search", "--action", "credential.decrypt", "--json").json["items"]
    assert (entry["actor"], entry["actor_kind"], entry["purpose"]) == ("ann", "person", "a test")


def test_a_value_stays_out_of_everything_but_reveal(person, value_file: Path, password_file: Path) -> None:
    purpose = f"because of {VALUE}"
    reference = "acme/gitea-admin/bob"
    said = [
        person("credential", "add", "Gitea Admin", "--client", "ACME", "--username", "bob", "--tag", VALUE,
               "--value-file", str(value_file), "--purpose", purpose),
        person("credential", "list"),
        person("credential", "list", "--json"),
        person("credential", "show", reference),
        person("credential", "show", reference, "--json"),
        person("credential", "rotate", reference, "--generate", "--purpose", purpose),
        person("incident", "open", "malware", f"Title {VALUE}", "--description", f"found {VALUE}", "--json"),
        person("incident", "list", "--state", "any"),
        person("client", "add", f"Client {VALUE}", "--note", VALUE),
        person("client", "list"),
        person("audit", "search", "--limit", "100"),
        person("audit", "search", "--limit", "100", "--json"),
        person("audit", "verify"),
        person("doctor"),
    ]  # fmt: skip
    for one in said[:-1]:
        assert one.code == 0, one.err
    assert all(VALUE not in one.all for one in said)
    opened = person(
        "credential", "show", reference, "--values", "--purpose", "x", "--password-file", str(password_file)
    )
    assert opened.code == 0


def test_show_values_prints_every_secret_field_and_nothing_else(person, tmp_path: Path, password_file: Path) -> None:
    for name, text in (
        ("key", "-----BEGIN-----\nline\n-----END-----\n"),
        ("phrase", "open sesame"),
        ("notes", "in the safe"),
    ):
        (tmp_path / name).write_text(text)
    added = person(
        *("credential", "add", "Web server", "--type", "ssh_key", "--username", "root"),
        *("--value-file", str(tmp_path / "key"), "--value-file", f"passphrase={tmp_path / 'phrase'}"),
        *("--value-file", f"notes={tmp_path / 'notes'}", "--open", "public_key=ssh-ed25519 AAAA", "--json"),
    )
    assert added.code == 0, added.err
    said = person(
        *("credential", "show", added.json["reference"], "--values", "--purpose", "x"),
        *("--password-file", str(password_file), "--json"),
    )
    assert said.json["values"] == {
        "private_key": "-----BEGIN-----\nline\n-----END-----\n",
        "passphrase": "open sesame",
        "notes": "in the safe",
    }


def test_a_value_needs_the_password_each_time(person, value_file: Path, tmp_path: Path) -> None:
    person("credential", "add", "Gitea", "--value-file", str(value_file))
    reference = person("credential", "list", "--json").json["items"][0]["reference"]
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("not the password")
    wrong.chmod(0o600)
    said = person("credential", "reveal", reference, "--purpose", "x", "--password-file", str(wrong))
    assert said.code == 3
    assert VALUE not in said.all
    wrong.chmod(0o644)
    said = person("credential", "reveal", reference, "--purpose", "x", "--password-file", str(wrong))
    assert said.code == 2
    assert "chmod 600" in said.err


def test_wrong_passwords_lock_for_a_while(person, value_file: Path, tmp_path: Path, password_file: Path) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("not the password")
    wrong.chmod(0o600)
    codes = [person("login", "--password-file", str(wrong)).code for _ in range(6)]
    assert codes == [3, 3, 3, 3, 3, 7]
    assert person("login", "--password-file", str(password_file)).code == 7


def test_without_a_reason_nothing_is_opened(command, person, value_file: Path, password_file: Path) -> None:
    person("credential", "add", "Gitea", "--value-file", str(value_file), "--username", "x")
    said = command("credential", "reveal", "own/gitea/x", "--password-file", str(password_file))
    # Where the tests themselves run under Claude Code, the refusal comes sooner.
    assert said.code in (2, 4)
    assert VALUE not in said.all


def test_rotate_and_rm_keep_the_history(person, value_file: Path, password_file: Path) -> None:
    person("credential", "add", "Gitea", "--generate", "--username", "x", "--rotate-every", "30")
    rotated = person("credential", "rotate", "own/gitea/x", "--value-file", str(value_file), "--json")
    assert rotated.json["version"] == 2
    assert person("credential", "rotate", "own/gitea/x", "--generate", "--length", "40", "--alphabet", "hex").code == 0
    said = person("credential", "reveal", "own/gitea/x", "--purpose", "x", "--password-file", str(password_file))
    assert len(said.out) == 40
    assert person("credential", "rm", "own/gitea/x").code == 2, "without a terminal it needs --yes"
    assert person("credential", "rm", "own/gitea/x", "--yes", "--json").json["credential"]["state"] == "deleted"
    assert person("credential", "rm", "own/gitea/x", "--yes").code == 6
    assert person("credential", "list").out.strip() == "no credentials"
    assert person("credential", "list", "--state", "any", "--json").json["total"] == 1
    assert (
        person("credential", "reveal", "own/gitea/x", "--purpose", "x", "--password-file", str(password_file)).code == 5
    )


@pytest.mark.parametrize(
    ("content", "field", "reason"),
    [
        ("x" * 1_000_000, "", "at most 65536 bytes"),
        (f"{VALUE}\0after", "", "NUL"),
        ("", "", "is empty"),
        (VALUE, "private_key=", "not of password"),
        (VALUE, "no_such_field=", "is no field of password"),
        (b"\xff\xfe\xfa", "", "not UTF-8"),
    ],
)
def test_a_value_that_cannot_be_one_is_refused_whole(person, tmp_path: Path, content, field: str, reason: str) -> None:
    file = tmp_path / "bad.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = person("credential", "add", "Gitea", "--value-file", f"{field}{file}", *(["--generate"] if field else []))
    assert said.code == 2
    assert reason in said.err
    assert VALUE not in said.all
    assert len(said.err) < 1000
    assert person("credential", "list", "--state", "any", "--json").json["total"] == 0


def test_emoji_and_other_scripts_live_in_names_and_values(person, tmp_path: Path, password_file: Path) -> None:
    file = tmp_path / "value.txt"
    file.write_text("пароль🔑パス")
    added = person("credential", "add", "Kühlhaus 🧊", "--username", "ägir", "--value-file", str(file), "--json")
    assert added.json["credential"]["service_name"] == "Kühlhaus 🧊"
    said = person(
        "credential", "reveal", added.json["reference"], "--purpose", "🙂", "--password-file", str(password_file)
    )
    assert said.out == "пароль🔑パス"


def test_names_cannot_steer_the_terminal(person) -> None:
    person("credential", "add", "Evil \x1b[2J\x1b]0;owned\x07", "--generate", "--username", "x")
    for arguments in (("credential", "list"), ("credential", "show", "own/evil-2j-0-owned/x")):
        said = person(*arguments)
        assert said.code == 0, said.err
        assert "\x1b" not in said.out
        assert "\x07" not in said.out


def test_update_changes_what_is_given_and_nothing_else(person, tmp_path: Path, password_file: Path) -> None:
    person(
        "credential",
        "add",
        "Gitea",
        "--generate",
        "--username",
        "x",
        "--tag",
        "old",
        "--vpn",
        "--expires",
        "2031-01-31",
    )
    (tmp_path / "notes").write_text("second floor")
    said = person(
        *(
            "credential",
            "update",
            "own/gitea/x",
            "--tag",
            "new",
            "--no-vpn",
            "--expires",
            "never",
            "--exposure",
            "sealed",
        ),
        *("--rotate-every", "90", "--value-file", f"notes={tmp_path / 'notes'}", "--json"),
        *("--password-file", str(password_file)),
    )
    assert said.code == 0, said.err
    one = said.json["credential"]
    assert (one["tags"], one["requires_vpn"], one["expires_at"], one["exposure"]) == (["new"], False, "", "sealed")
    assert (one["username"], one["rotate_every_days"], one["version"]) == ("x", 90, 2)
    assert one["secret_fields"] == ["notes", "password"]
    notes = person(
        "credential",
        "reveal",
        "own/gitea/x",
        "--field",
        "notes",
        "--purpose",
        "x",
        "--password-file",
        str(password_file),
    )
    assert notes.out == "second floor"
    assert person("credential", "update", "own/gitea/x").code == 2
    assert person("credential", "update", "own/gitea/x", "--state", "gone").code == 2
    assert person("credential", "update", "own/gitea/x", "--username", "y", "--revision", "1").code == 6
    assert person("credential", "update", "own/gitea/x", "--state", "retired").code == 0
    assert "retired" in person("credential", "list", "--state", "any").out


def test_without_arguments_a_person_is_asked_for_the_fields(person, environment: dict[str, str]) -> None:
    assert person("credential", "show", "acme/wiki/eve").code == 5
    screen = Screen(environment, "credential", "add", "--generate")
    for question, answer in (("for example", "Wiki"), ("Type", ""), ("Client", "ACME"), ("Username", "eve")):
        screen.until(question)
        screen.type(answer)
    screen.until("added acme/wiki/eve")
    assert screen.end() == 0
    assert person("credential", "show", "acme/wiki/eve", "--json").json["type"] == "password"


def test_at_a_terminal_values_are_typed_unseen(person, environment: dict[str, str], password_file: Path) -> None:
    screen = Screen(environment, "credential", "add", "Gitea", "--username", "x", "--ask", "notes")
    screen.until("notes: ")
    screen.type("under the mat")
    screen.until("The password: ")
    screen.type(VALUE)
    screen.until("added own/gitea/x")
    assert screen.end() == 0
    assert VALUE not in screen.seen
    assert "under the mat" not in screen.seen
    said = person(
        "credential", "show", "own/gitea/x", "--values", "--purpose", "x", "--password-file", str(password_file)
    )
    assert said.out == f"notes: under the mat\npassword: {VALUE}\n"
