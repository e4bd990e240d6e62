"""What is hashed, MACed or bound can be read in one way only."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.framing import frame, frame_row, typed

PART = st.one_of(st.text(max_size=6), st.binary(max_size=6))


def parts_of(framed: bytes) -> list[bytes]:
    parts, at = [], 0
    while at < len(framed):
        size = int.from_bytes(framed[at : at + 8], "big")
        parts.append(framed[at + 8 : at + 8 + size])
        at += 8 + size
    return parts


@given(st.lists(PART, max_size=6))
def test_the_parts_can_be_read_back(parts):
    raw = [p if isinstance(p, bytes) else p.encode() for p in parts]
    assert parts_of(frame(*parts)) == raw


def test_moving_a_boundary_changes_the_bytes():
    assert frame("ab", "c") != frame("a", "bc") != frame("abc")
    assert frame("a", "") != frame("", "a") != frame("a")


def test_the_form_is_an_eight_byte_length_and_the_bytes():
    assert frame("ü", 12) == b"\0\0\0\0\0\0\0\x02\xc3\xbc" + b"\0\0\0\0\0\0\0\x0212"


def test_nothing_zero_and_empty_stay_different():
    values = [None, 0, "0", b"0", "", b"", 1, "1", "n", "i0", "s"]
    for one, other in itertools.combinations(values, 2):
        assert typed(one) != typed(other), (one, other)


def test_a_flag_is_the_number_that_the_database_gives_back():
    assert typed(True) == typed(1)
    assert typed(False) == typed(0)


@pytest.mark.parametrize(
    "other",
    [
        frame_row("b", {"x": 1, "y": "2"}),
        frame_row("a", {"x": 1, "z": "2"}),
        frame_row("a", {"x": "1", "y": "2"}),
        frame_row("a", {"x": 1, "y": None}),
        frame_row("a", {"y": 1, "x": "2"}),
        frame_row("a", {"x": 1}),
        frame_row("a", {"x": 1, "y": "2", "z": None}),
    ],
)
def test_table_column_name_type_and_value_all_count(other):
    assert frame_row("a", {"x": 1, "y": "2"}) != other


def test_the_order_of_columns_does_not_count():
    assert frame_row("a", {"x": 1, "y": "2"}) == frame_row("a", {"y": "2", "x": 1})
