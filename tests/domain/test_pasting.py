"""What a prompt holds that belongs into the vault; what ordinary prompts hold does not."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import pasting
from domain.masking import Matcher
from domain.pasting import Caught
from domain.redaction import Redactor
from tests.kit.forms import NEVER, forms

VALUE = "kQ7#vT9!wZ&2x\"Lp's@8"
NOTE = "The vendor is called first; ask for Berta"
ANYTHING = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1cD3fG5hJ7kL9"
SELF_NAMED = {
    "github-token": "ghp_" + ANYTHING[:36],
    "anthropic-key": "sk-ant-api03-" + ANYTHING,
    "openai-key": "sk-proj-" + ANYTHING,
    "gitlab-token": "glpat-" + ANYTHING[:20],
    "slack-token": "xoxb-123456789012-210987654321-" + ANYTHING[:24],
    "stripe-key": "sk_live_" + ANYTHING[:24],
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + ANYTHING[:43],
    "private-key": "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "\n".join([ANYTHING] * 4) + "\n-----END OPENSSH PRIVATE KEY-----",
}  # fmt: skip
ORDINARY = (
    "Why does the login with the password fail since yesterday?",
    'the password is "hunter2", the one from the comic',
    "set DB_PASSWORD=changeme in .env.example and document API_KEY=<your key>",
    "git revert 3f1c2a9b8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a and push",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 is the digest",
    "request 550e8400-e29b-41d4-a716-446655440000 timed out",
    "the key id AKIAIOSFODNN7EXAMPLE is in the docs",
    "compare $2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW with the bcrypt test",
    "move sk-some-feature-branch-that-has-a-very-long-name-2 to main",
    "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx is a placeholder",
    "-----BEGIN CERTIFICATE----- is what it begins with, and a key with -----BEGIN PRIVATE KEY-----",
    "curl https://example.org/v1/projects/12345/pipelines?ref=main",
)


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor(
        Matcher(
            [
                ("{{credential:acme/mail/admin#password}}", VALUE.encode()),
                ("{{credential:acme/wifi/guest#password}}", b"welcome"),
                ("{{credential:acme/wifi/staff#password}}", b"sunflower"),
                ("{{credential:acme/mail/admin#notes}}", NOTE.encode()),
            ]
        )
    )


@pytest.mark.parametrize("rule", SELF_NAMED)
def test_a_format_that_names_itself_is_recognised_and_called_by_its_rule(rule: str) -> None:
    caught = pasting.together((), pasting.self_named(f"deploy with {SELF_NAMED[rule]} please"))
    assert [one.name for one in caught] == [rule]
    assert pasting.holds_up(caught)


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_prompt_is_not_held_up(redactor: Redactor, text: str) -> None:
    assert not pasting.holds_up(pasting.together(pasting.values(redactor, text), pasting.self_named(text)))


def test_the_products_own_pages_hold_nothing_that_would_be_held_up() -> None:
    for page in (Path(__file__).parents[2] / "docs").rglob("*.md"):
        assert not list(pasting.self_named(page.read_text())), page


@pytest.mark.parametrize("form", sorted(set(forms(b"")) - set(NEVER)))
def test_a_value_of_the_vault_is_recognised_in_every_spelling_that_is_masked(redactor: Redactor, form: str) -> None:
    spelt = forms(VALUE.encode())[form].decode("utf-8", "replace")
    caught = tuple(pasting.values(redactor, f"log in with\n{spelt}\nand look"))
    assert {(one.kind, one.reference, one.field) for one in caught} == {("value", "acme/mail/admin", "password")}


def test_a_value_that_reads_like_a_word_is_told_and_does_not_hold_up(redactor: Redactor) -> None:
    caught = tuple(pasting.values(redactor, "put a sunflower on the page"))
    assert [one.kind for one in caught] == ["word"]
    assert "acme/wifi/staff" in pasting.told(caught)
    assert "sunflower" not in pasting.told(caught)


def test_a_sentence_of_a_note_does_not_hold_up(redactor: Redactor) -> None:
    assert not pasting.holds_up(tuple(pasting.values(redactor, f"the page says: {NOTE}")))


def test_a_reference_is_no_value(redactor: Redactor) -> None:
    assert not list(pasting.values(redactor, "use {{credential:acme/mail/admin#password}} of acme/mail/admin"))


def test_a_key_that_the_vault_has_is_called_by_its_reference_alone() -> None:
    token = SELF_NAMED["github-token"]
    known = pasting.values(Redactor(Matcher([("{{credential:acme/git/ci#api_key}}", token.encode())])), token)
    caught = pasting.together(known, pasting.self_named(token))
    assert [(one.kind, one.reference) for one in caught] == [("value", "acme/git/ci")]


@pytest.mark.parametrize("prompt", ["paste-ok: go", "  PASTE-OK:go", "Paste-Ok:\nkey"])
def test_the_words_that_let_a_prompt_go_on_stand_at_its_beginning(prompt: str) -> None:
    assert pasting.passes(prompt)
    assert not pasting.passes("x " + prompt)


@given(st.text(string.ascii_letters + string.digits, min_size=20, max_size=40))
def test_what_is_told_never_holds_what_was_pasted(secret: str) -> None:
    caught = (
        Caught("value", 0, len(secret), reference="acme/mail/admin", field="password"),
        *pasting.self_named(f"ghp_{secret}{secret}"),
    )
    for said in (pasting.kept_back(caught), pasting.told(caught)):
        assert secret not in said
        assert "claudetools credential" in said or "acme/mail/admin" in said
    assert json.dumps(pasting.kept_back(caught))
