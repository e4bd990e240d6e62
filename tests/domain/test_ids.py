"""Ids: made before the insert, of one form, never alike."""

from __future__ import annotations

import pytest

from domain.ids import is_id, new_id


def test_an_id_has_its_prefix_and_128_bits():
    made = new_id("cr")
    assert made.startswith("cr_")
    assert len(made) == 3 + 26
    assert is_id(made, "cr")


def test_ids_do_not_repeat():
    assert len({new_id("cr") for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("end", ["\n", " ", "a", "=", "\x00"])
def test_nothing_may_follow_an_id(end):
    assert not is_id(new_id("cr") + end, "cr")


@pytest.mark.parametrize("text", ["", "cr", "cr_", "cr_" + "a" * 25, "cr_" + "A" * 26, "cr_" + "1" * 26])
def test_what_is_no_id_is_told(text):
    assert not is_id(text, "cr")


def test_an_id_of_another_kind_is_told():
    assert not is_id(new_id("ag"), "cr")
