"""Search as you type: every word must be there, the best come first, and one letter more only narrows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.picking import credentials
from domain.picking import Finder

FOUND = list(credentials(400))


@pytest.fixture
def finder() -> Finder:
    return Finder(FOUND)


def references(finder: Finder, query: str, limit: int = 1000) -> list[str]:
    return [it.reference for it in finder.find(query, limit)[0]]


def test_every_word_must_stand_in_an_open_field(finder: Finder) -> None:
    found, total = finder.find("firewall root host-18 rack-18", 5)
    assert total == len([it for it in FOUND if it.head.service_name.startswith("Firewall") and it.head.username == "root"
                         and "host-18" in it.head.external_url and "rack-18" in it.head.tags])  # fmt: skip
    assert len(found) <= 5
    assert finder.find("firewall nobody", 5) == ([], 0)


def test_without_words_all_are_there_by_reference(finder: Finder) -> None:
    assert references(finder, "  ") == sorted(it.reference for it in FOUND)


def test_what_begins_with_the_words_comes_before_what_only_holds_them(finder: Finder) -> None:
    assert references(finder, "client-1", 3)[0].startswith("client-1")
    first = references(finder, "wiki", 500)
    assert "/wiki/" in first[0]


words = st.lists(
    st.sampled_from(["client-1", "fire", "wall", "root", "deploy", "wiki", "x", "9", "host-1", "RACK", "e"]), max_size=4
)


FEW = FOUND[:60]


@settings(deadline=None, max_examples=50)
@given(st.lists(words, min_size=1, max_size=6))
def test_what_was_typed_before_changes_no_answer(queries: list[list[str]]) -> None:
    finder = Finder(FEW)
    for query in queries:
        text = " ".join(query)
        for end in range(len(text) + 1):
            assert finder.find(text[:end], 20) == Finder(FEW).find(text[:end], 20)


def test_among_very_many_what_begins_with_the_word_still_comes_first() -> None:
    finder = Finder(credentials(9000))
    found, total = finder.find("client-1", 20)
    assert total > 2000
    assert all(it.reference.startswith("client-1") for it in found)
    assert len({it.reference for it in finder.find("e", 50)[0]}) == 50
