"""The token estimator."""

from __future__ import annotations

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain.tokens import estimate

# Speed is measured elsewhere; a failing example is shown as it is found.
WITHOUT_HURRY = settings(deadline=None, max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])


def test_nothing_costs_nothing():
    assert estimate("") == 0


def test_it_counts_more_than_a_quarter_of_the_characters():
    prose = "The checkout service now speaks to the billing gateway, and its tests pass on every branch. " * 20
    assert len(prose) / 4 * 1.2 < estimate(prose) < len(prose) / 4 * 2.2


def test_code_and_other_scripts_cost_more_a_character_than_prose():
    prose, code, script = "some plain words in a row " * 10, "x=f(a[i],b);\n" * 20, "日本語の文章" * 43
    assert estimate(prose) / len(prose) < min(estimate(code) / len(code), estimate(script) / len(script))


@WITHOUT_HURRY
@given(st.text(max_size=500), st.text(max_size=500))
def test_more_text_never_costs_less_by_much(one: str, other: str):
    assert estimate(one + "\n" + other) >= max(0, estimate(one) - 5)


@WITHOUT_HURRY
@given(st.text(max_size=500))
def test_it_is_never_negative(said: str):
    assert estimate(said) >= 0
