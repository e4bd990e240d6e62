"""The text and the code of an invitation: what they hold, and what a wrong character does."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Broken, Invalid
from domain.invitations import (
    PREFIX,
    Enclosed,
    Letter,
    format_code,
    new_code,
    parse_code,
    read_letter,
)
from domain.plain import Plain
from mcp_server.keyring import new_keyring, open_invited_root, open_letter, signing_alone

ADDRESS = "mariadb+pymysql://ct_app@db.example.com/ct"
SHARE = bytes(range(32))


@pytest.fixture(scope="module")
def made() -> tuple[Letter, bytes]:
    """A sealed letter and its code."""
    code = new_code()
    enclosed = Enclosed(Plain("the application's password"), "ct_hooks", Plain("the hooks' password"), b"s" * 32)
    letter = Letter("va_1", "iv_1", ADDRESS, "ab" * 32, b"")
    return new_keyring("va_1").seal_letter(letter, code, SHARE, enclosed), code


def test_text_and_code_give_the_accounts_and_only_the_share_the_root_key(made: tuple[Letter, bytes]) -> None:
    letter, code = made
    read = read_letter(letter.text())
    assert read == letter
    enclosed, key = open_letter(read, parse_code(format_code(code)))
    assert enclosed.password.expose() == "the application's password"
    assert enclosed.hooks_account == "ct_hooks"
    assert enclosed.signing_seed == b"s" * 32
    assert open_invited_root(read, key, SHARE).vault_id == "va_1"
    for share in (b"\0" * 32, os.urandom(32), b""):
        with pytest.raises(Broken):
            open_invited_root(read, key, share)


def test_no_secret_stands_in_the_text(made: tuple[Letter, bytes]) -> None:
    text = made[0].text()
    assert text.startswith(PREFIX)
    assert "\n" not in text
    raw = repr(read_letter(text))
    assert "password" not in raw
    assert "outer" not in raw


def test_every_changed_character_of_the_text_is_told(made: tuple[Letter, bytes]) -> None:
    text = made[0].text()
    for at in range(0, len(text), 7):
        other = "A" if text[at] != "A" else "B"
        with pytest.raises(Invalid) as refused:
            read_letter(text[:at] + other + text[at + 1 :])
        assert list(refused.value.fields) == ["invitation"]
    for cut in (text[:-1], text[:40], PREFIX, "", text + "A"):
        with pytest.raises(Invalid):
            read_letter(cut)


def test_a_text_that_was_folded_by_a_mail_program_is_read(made: tuple[Letter, bytes]) -> None:
    text = made[0].text()
    assert read_letter("  " + "\r\n".join(text[at : at + 60] for at in range(0, len(text), 60)) + "\n") == made[0]


@pytest.mark.parametrize("field", ["vault_id", "invitation_id", "address", "fingerprint"])
def test_another_address_or_server_under_the_same_seal_opens_nothing(made: tuple[Letter, bytes], field: str) -> None:
    letter, code = made
    names = {name: getattr(letter, name) for name in Letter.__dataclass_fields__}
    forged = read_letter(Letter(**{**names, field: "mariadb+pymysql://ct_app@evil.example/ct"}).text())
    with pytest.raises(Invalid):
        open_letter(forged, code)


def test_another_code_opens_nothing(made: tuple[Letter, bytes]) -> None:
    with pytest.raises(Invalid):
        open_letter(made[0], new_code())


@given(st.binary(min_size=13, max_size=13))
def test_a_code_may_be_spelled_freely(code: bytes) -> None:
    told = format_code(code)
    for spelled in (told, told.lower(), told.replace("-", " "), told.replace("O", "0").replace("I", "1"), f" {told}\n"):
        assert parse_code(spelled) == code


@given(st.binary(min_size=13, max_size=13), st.integers(0, 28), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_one_wrong_letter_of_a_code_is_told(code: bytes, at: int, letter: str) -> None:
    told = format_code(code)
    if told[at] in ("-", letter):
        return
    with pytest.raises(Invalid):
        parse_code(told[:at] + letter + told[at + 1 :])


@pytest.mark.parametrize("text", ["", "AAAA", "AAAA-" * 6, "ÄÄÄÄ-BBBB-CCCC-DDDD-EEEE-FFFF", "hunter2 and more"])
def test_what_is_no_code_is_told_and_not_repeated(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_code(text)
    assert "hunter2" not in str(refused.value) + refused.value.hint


def test_a_keyring_that_signs_alone_makes_no_mac(made: tuple[Letter, bytes]) -> None:
    keyring = signing_alone("va_1", b"s" * 32)
    assert keyring.sign(b"message")
    with pytest.raises(Invalid):
        keyring.mac("machines", {"name": "x"})
    with pytest.raises(Invalid):
        keyring.token_key()
