"""`claudetools keys`, as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import PASSWORD, Run, Said


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    """A passphrase in a private file."""
    file = tmp_path / "passphrase.txt"
    file.touch(mode=0o600)
    file.write_text("five words nobody puts together\n")
    return file


@pytest.fixture
def keys(person: Run, password_file: Path) -> Run:
    """Commands of `keys` that ask for the password."""

    def run(*arguments: str) -> Said:
        return person("keys", *arguments, "--password-file", str(password_file), "--json")

    return run


def slots(person: Run) -> dict[str, str]:
    return {one["kind"]: one["id"] for one in person("keys", "slots", "--json").json["slots"]}


def test_slots_are_listed_with_the_one_that_opened_this_process(person: Run):
    found = person("keys", "slots", "--json").json["slots"]
    assert sorted((one["kind"], one["of"], one["opened_this_process"]) for one in found) == [
        ("file", "desk", True),
        ("recovery", "recovery", False),
    ]
    told = person("keys", "slots")
    assert "this process" in told.out
    assert "replaced" not in person("keys", "status").out


def test_a_passphrase_opens_the_vault_where_the_key_file_was_removed(
    person: Run, keys: Run, home: Path, passphrase_file: Path, monkeypatch: pytest.MonkeyPatch
):
    assert keys("slots", "add", "passphrase", "--passphrase-file", str(passphrase_file)).code == 0
    assert keys("slots", "remove", slots(person)["file"], "--yes").code == 0
    assert not (home / "keys" / "root.key").exists()
    monkeypatch.setattr("mcp_server.cli.ask.has_terminal", lambda: False)
    refused = person("keys", "slots", "--json")
    assert refused.code == 2
    assert "CLAUDETOOLS_PASSPHRASE_FILE" in refused.error["hint"]
    monkeypatch.setenv("CLAUDETOOLS_PASSPHRASE_FILE", str(passphrase_file))
    found = person("keys", "slots", "--json").json["slots"]
    assert [one["kind"] for one in found if one["opened_this_process"]] == ["passphrase"]
    assert "root key      ok       no key file" in person("doctor").out
    # And a key file comes back.
    assert keys("slots", "add", "file").code == 0
    monkeypatch.delenv("CLAUDETOOLS_PASSPHRASE_FILE")
    assert person("keys", "status", "--json").json["opened_by"].startswith("file ")


def test_another_passphrase_opens_nothing(
    person: Run, keys: Run, passphrase_file: Path, monkeypatch: pytest.MonkeyPatch
):
    assert keys("slots", "add", "passphrase", "--passphrase-file", str(passphrase_file)).code == 0
    assert keys("slots", "remove", slots(person)["file"], "--yes").code == 0
    passphrase_file.write_text("five other words nobody puts together")
    monkeypatch.setenv("CLAUDETOOLS_PASSPHRASE_FILE", str(passphrase_file))
    assert person("keys", "slots", "--json").error["code"] == "unauthenticated"


def test_a_passphrase_that_is_easy_to_guess_is_refused(keys: Run, passphrase_file: Path):
    for text in ("too short", "a" * 40):
        passphrase_file.write_text(text)
        refused = keys("slots", "add", "passphrase", "--passphrase-file", str(passphrase_file))
        assert (refused.code, list(refused.error["fields"])) == (2, ["passphrase"])
        assert text not in refused.all


def test_the_last_recovery_key_and_the_last_way_in_stay(person: Run, keys: Run, tmp_path: Path):
    there = slots(person)
    assert "recovery" in keys("slots", "remove", there["recovery"], "--yes").error["hint"]
    assert "last slot" in keys("slots", "remove", there["file"], "--yes").error["message"]
    assert keys("slots", "remove", "sl_nothing", "--yes").error["code"] == "not_found"
    new = tmp_path / "new-recovery.txt"
    assert keys("slots", "add", "recovery", "--recovery-file", str(new)).code == 0
    assert new.read_text().startswith("CTR1-")
    assert slots(person)["recovery"] != there["recovery"]


def test_without_a_keyring_of_the_system_the_answer_says_so(keys: Run, person: Run):
    refused = keys("slots", "add", "keyring")
    assert refused.error["code"] == "unavailable"
    assert "passphrase" in refused.error["hint"]
    assert "keyring" not in slots(person)


def test_the_systems_keyring_opens_the_vault(person: Run, keys: Run, home: Path):
    import keyring
    from keyring.backend import KeyringBackend

    class Kept(KeyringBackend):
        priority = 1  # type: ignore[assignment]
        kept: dict[tuple[str, str], str] = {}  # noqa: RUF012

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def delete_password(self, service: str, username: str) -> None:
            del self.kept[service, username]

    before = keyring.get_keyring()
    keyring.set_keyring(Kept())
    try:
        assert keys("slots", "add", "keyring").code == 0
        assert keys("slots", "remove", slots(person)["file"], "--yes").code == 0
        assert not (home / "keys" / "root.key").exists()
        assert person("keys", "status", "--json").json["opened_by"].startswith("keyring ")
        assert keys("rotate", "root", "--recovery-file", str(home.parent / "new.txt")).code == 0
        assert person("login", "--password-file", str(home.parent / "password.txt")).code == 0
        assert person("keys", "status", "--json").json["opened_by"].startswith("keyring ")
    finally:
        keyring.set_keyring(before)


def test_every_level_rotates_at_the_command_line(person: Run, keys: Run, tmp_path: Path, password_file: Path):
    value = tmp_path / "value.txt"
    value.write_text("a value that is long enough")
    value.chmod(0o600)
    added = person("credential", "add", "Wiki", "--client", "Acme", "--value-file", str(value), "--json")
    reference = added.json["reference"]
    assert keys("rotate", "client", "acme").json == {
        "level": "client", "clients": 1, "versions": 1, "left": 0, "resumed": False,
    }  # fmt: skip
    assert keys("rotate", "client", "--all").json["clients"] == 1
    assert keys("rotate", "data", reference).json["versions"] == 1
    assert keys("rotate", "data", "--all").json["versions"] == 1
    new = tmp_path / "new-recovery.txt"
    turned = keys("rotate", "root", "--recovery-file", str(new)).json
    assert (turned["values"], turned["new_recovery_key"]) == (1, True)
    assert person("keys", "slots", "--json").error["code"] == "unauthenticated"
    assert person("login", "--password-file", str(password_file)).code == 0
    shown = person("credential", "reveal", reference, "--purpose", "look", "--password-file", str(password_file))
    assert "a value that is long enough" in shown.out
    assert person("audit", "verify").code == 0
    assert person("keys", "status", "--json").json["root_key_turns"] == 1
    # The recovery key that goes on where it is brought.
    again = keys("rotate", "root", "--recovery-key-file", str(new))
    assert again.json["new_recovery_key"] is False


def test_what_is_rotated_must_be_said(keys: Run):
    for level in ("client", "data"):
        assert keys("rotate", level).code == 2
        assert keys("rotate", level, "acme", "--all").code == 2
        assert keys("rotate", level, "nobody").error["code"] == "not_found"


def test_keys_are_not_for_claude_code(person: Run, monkeypatch: pytest.MonkeyPatch, password_file: Path):
    monkeypatch.setenv("CLAUDECODE", "1")
    refused = person("keys", "rotate", "data", "--all", "--password-file", str(password_file), "--json")
    assert refused.error["code"] == "denied"
    assert PASSWORD not in refused.all


def test_a_client_is_shredded_after_a_preview_and_its_name_typed(person: Run, keys: Run, tmp_path: Path):
    value = tmp_path / "value.txt"
    value.write_text("a value that is long enough")
    value.chmod(0o600)
    added = person("credential", "add", "Wiki", "--client", "Acme", "--value-file", str(value), "--json")
    reference = added.json["reference"]
    told = keys("shred", "Acme", "--preview").json
    assert (told["keys"], told["credentials"], told["values"]) == (1, 1, 1)
    assert any("backups" in place for place in told["not_reached"])
    new = str(tmp_path / "new-recovery.txt")
    for wrong in ((), ("--confirm", "acne")):
        assert keys("shred", "Acme", "--recovery-file", new, *wrong).code == 2
    assert person("credential", "show", reference).code == 0
    gone = keys("shred", "Acme", "--recovery-file", new, "--confirm", "acme").json
    assert gone["root_key"]["new_recovery_key"] is True
    assert person("login", "--password-file", str(tmp_path / "password.txt")).code == 0
    shown = person(
        "credential", "reveal", reference, "--purpose", "x", "--password-file", str(tmp_path / "password.txt")
    )
    assert "a value that is long enough" not in shown.all
    assert person("audit", "verify").code == 0
