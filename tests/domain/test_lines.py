"""Lines out of bytes that were cut anywhere; images that nobody wants on the way."""

from __future__ import annotations

import json

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain.lines import LONGEST_LINE, Lines, split_lines

# Speed is measured elsewhere; a failing example is shown as it is found.
WITHOUT_HURRY = settings(deadline=None, max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])


def in_chunks(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1_000, 1_023, 1_024, 1_025, 65_536, 10_000_000])
def test_the_words_beside_an_image_are_read_however_long_it_is(size: int):
    row = {"a": "said before", "data": "iVBORw0KGgo" * 900_000, "b": 'said "after" it', "more": ["Zz9" * 2_000, "last"]}
    (line, short) = split_lines(in_chunks(json.dumps(row).encode() + b"\nshort\n", size))
    assert json.loads(line) == {"a": "said before", "data": "", "b": 'said "after" it', "more": ["", "last"]}
    assert short == b"short"


def test_a_line_of_ordinary_length_is_left_as_it_is():
    line = json.dumps({"data": "iVBORw0KGgo" * 10_000}).encode()
    assert list(split_lines([line])) == [line]


@pytest.mark.parametrize("escapes", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 2, 3, 1_024, 300_000])
def test_an_image_ends_at_its_own_quotation_mark(escapes: int, size: int):
    odd = "A" * 2_000 + "\\" * (escapes // 2) + ('"' if escapes % 2 else "") + "\nTr0ub4dor&3"
    row = {"filler": "word " * 60_000, "odd": odd, "after": "said after it"}
    (line,) = split_lines(in_chunks(json.dumps(row).encode(), size))
    assert json.loads(line) == {**row, "odd": ""}


def test_a_line_that_is_too_long_even_so_comes_out_empty_and_the_next_one_whole():
    chunks = in_chunks(b'{"text":"' + b"word " * (LONGEST_LINE // 4) + b'"}\n{"next":1}\n', 65_536)
    assert list(split_lines(chunks)) == [b"", b'{"next":1}']


@WITHOUT_HURRY
@given(st.lists(st.binary(max_size=30), max_size=20))
def test_what_is_taken_are_the_bytes_of_whole_lines(chunks: list[bytes]):
    lines, told = Lines(), []
    for chunk in chunks:
        told += lines.feed(chunk)
    data = b"".join(chunks)
    whole, _, torn = data.rpartition(b"\n")
    assert told == (whole.split(b"\n") if b"\n" in data else [])
    assert (lines.taken, lines.torn, lines.rest()) == (len(data) - len(torn), len(torn), torn)
