"""Which words of a record are indexed, and in which field."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.context import MEMORY, SESSION, ContextRecord
from domain.indexing import indexed
from domain.recall import frequency
from domain.text import index_token, index_tokens, stem

MAY_8 = 1_683_554_160_000_000  # 2023-05-08 13:56 UTC
RECORD = ContextRecord(
    record_id="cx_1",
    kind=SESSION,
    title="gateway",
    digest="Edited: checkout.py",
    created_us=MAY_8,
    updated_us=MAY_8 + 86_400_000_000,
    body_person="Move the billing gateway",
    body_rest="The scanner answered.",
    files=("src/checkout.py",),
    tags=("printer",),
)


def counts(record: ContextRecord, word: str) -> tuple[int, int, int, int] | None:
    found = frequency(indexed(record).terms, index_token(stem(word)))
    return (found.person, found.digest, found.rest, found.names) if found else None


def test_a_session_is_indexed_by_who_said_it_and_by_its_files():
    assert counts(RECORD, "gateway") == (1, 0, 0, 0)
    assert counts(RECORD, "scanner") == (0, 0, 1, 0)
    assert counts(RECORD, "checkout") == (0, 1, 1, 1)
    assert counts(RECORD, "printer") is None


def test_of_a_note_the_title_and_the_tags_are_words_of_the_person():
    note = replace(RECORD, kind="fact", files=(), body_rest="")
    assert counts(note, "gateway") == (2, 0, 0, 0)
    assert counts(note, "printer") == (1, 0, 0, 0)
    assert counts(note, "checkout") is None


def test_a_file_of_claude_codes_memory_holds_no_words_of_the_person():
    memory = replace(RECORD, kind=MEMORY, body_person="", files=(), outcome="printer")
    assert counts(memory, "gateway") == (0, 1, 1, 0)
    assert counts(memory, "printer") == (0, 1, 1, 0)
    assert counts(memory, "scanner") == (0, 0, 1, 0)


@pytest.mark.parametrize("question", ["8 May 2023", "2023-05-08", "May 9th"])
def test_a_record_is_found_by_its_days(question: str):
    held = indexed(RECORD).terms
    assert any(frequency(held, token) for token in index_tokens(question))
    assert frequency(held, index_token("june")) is None


def test_days_are_no_words_of_the_person_or_of_the_digest():
    assert counts(RECORD, "2023") == (0, 0, 4, 0)


def test_what_is_indexed_depends_on_the_texts_alone():
    once = indexed(RECORD)
    assert indexed(once) == once
    assert (once.person_length, once.rest_length) == (
        len(index_tokens(RECORD.body_person)),
        len(index_tokens(RECORD.digest)),
    )


def test_a_record_without_texts_has_no_terms():
    empty = ContextRecord("cx_2", SESSION, "", "", 0, 0)
    assert indexed(empty).terms == ""
