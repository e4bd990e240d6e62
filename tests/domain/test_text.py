"""The analyser."""

from __future__ import annotations

import re

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain import text
from domain.irregular import BASE

# Speed is measured elsewhere; a failing example is shown as it is found.
WITHOUT_HURRY = settings(deadline=None, max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])

# The default list of InnoDB and the words of MyISAM's that begin as our tokens do.
MARIADB_STOPWORDS = frozenset(
    """a about an are as at be by com de en for from how i in is it la of on or that the this to was what when where who will
    with und www que yes yet you your yours yourself quite""".split(),  # noqa: SIM905 - a block of words is read
)


def test_an_identifier_is_found_whole_and_by_its_parts():
    found = text.terms("call getUserName() of user_profile")
    assert {"getusername", "user", "name", "user_profile", "profil"} <= set(found)


def test_a_path_is_found_whole_and_by_its_parts():
    found = text.terms("see src/app/user_profile.py")
    assert {"src/app/user_profile.py", "src", "app", "py", "user_profile", "user"} <= set(found)


@pytest.mark.parametrize("address", ["10.0.0.1", "10.0.0.1:8443", "v1.2.3", "2026-11-23"])
def test_numbers_and_addresses_stay_whole(address: str):
    assert address in text.terms(f"at {address} there")


def test_a_port_behind_an_address_is_found_alone():
    assert {"10.0.0.1", "8443"} <= set(text.terms("10.0.0.1:8443"))


def test_a_word_is_found_in_its_other_forms():
    assert text.terms("retries") == text.terms("retry") == text.terms("Retried")


def test_chinese_japanese_and_korean_become_pairs_of_characters():
    assert text.terms("日本語") == ["日本", "本語"]
    assert text.terms("語") == ["語"]
    assert {"서버", "server"} <= set(text.terms("서버server"))


def test_a_commit_is_found_by_its_short_form():
    assert set(text.terms("0123456789abcdef0123")) & set(text.terms("commit 0123456")) == {"0123456"}


def test_words_of_other_scripts_are_not_cut():
    assert text.terms("naïve Müller") == [text.stem("naïve"), text.stem("müller")]


def test_words_without_meaning_are_dropped():
    assert text.terms("the and of with") == []


@WITHOUT_HURRY
@given(st.text(max_size=300))
def test_every_index_token_suits_both_full_text_searches(said: str):
    for token in text.index_tokens(said):
        assert re.fullmatch(r"[a-z0-9]{3,64}", token)
        assert token not in MARIADB_STOPWORDS


@WITHOUT_HURRY
@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_two_terms_never_share_a_token(one: str, other: str):
    assert (text.index_token(one) == text.index_token(other)) == (one == other)


@WITHOUT_HURRY
@given(st.text(max_size=300))
def test_the_same_text_gives_the_same_terms(said: str):
    assert text.terms(said) == text.terms(said)


def test_a_very_long_word_does_not_become_a_term():
    assert text.terms("x" * 5000) == []
    assert all(len(term) <= text.LONGEST_TERM for term in text.terms("a.b/" * 2000))


def test_an_irregular_form_is_found_by_its_base_and_by_itself():
    assert text.terms("We went and bought it") == ["went", "go", "bought", "buy"]
    assert set(text.terms("buy")) < set(text.terms("bought"))


def test_no_irregular_form_leads_to_another():
    assert not [form for form, base in BASE.items() if base in BASE or base == form]
