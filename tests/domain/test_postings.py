"""Postings: blocks hold what was put in, in both forms, and the best of a question are those that weighing one by one finds."""

from __future__ import annotations

import random

import pytest

from domain.context import ContextRecord, Wanted
from domain.facets import FIELDS, asked, facets
from domain.postings import (
    BLOCK,
    GONE,
    LITTLE,
    MOST_SPARSE,
    MUCH,
    NAMED,
    Scope,
    best,
    changed,
    holds,
    key_of,
    made,
    tier_of,
)
from domain.recall import frequency, term_counts

DAY_US = 86_400_000_000
TIERS = (LITTLE, MUCH, NAMED)


def blocks_of(tiers: dict[int, int]) -> dict[int, bytes]:
    """The postings of a term."""
    found: dict[int, list[int]] = {}
    for number, tier in sorted(tiers.items()):
        found.setdefault(number // BLOCK, []).append(number % BLOCK << 2 | tier)
    return {block: made(entries) for block, entries in found.items()}


@pytest.mark.parametrize("count", [0, 1, MOST_SPARSE, MOST_SPARSE + 1, 3000])
def test_a_block_holds_what_was_put_in_whatever_its_form(count: int):
    chance = random.Random(count)
    tiers = {place: chance.choice(TIERS) for place in chance.sample(range(BLOCK), count)}
    block = changed(b"", tiers.items())
    assert holds(block) == sorted(tiers.items())
    assert block == made(place << 2 | tier for place, tier in sorted(tiers.items()))
    other = {place: chance.choice((GONE, *TIERS)) for place in chance.sample(range(BLOCK), 50)}
    tiers |= other
    assert holds(changed(block, other.items())) == sorted(entry for entry in tiers.items() if entry[1] != GONE)


@pytest.mark.parametrize("count", [3, MOST_SPARSE + 5])
def test_of_a_block_from_which_all_was_taken_nothing_is_left(count: int):
    block = changed(b"", [(place, NAMED) for place in range(count)])
    assert changed(block, [(place, GONE) for place in range(count)]) == b""


def test_no_block_is_longer_than_its_column():
    assert len(changed(b"", [(place, NAMED) for place in range(BLOCK)])) == 4096


def weigh(question: list[tuple[float, dict[int, int]]], most: int, within: set[int] | None = None) -> list[int]:
    """The same, one by one."""
    dearest = max(worth for worth, _ in question)
    scores: dict[int, int] = {}
    for worth, tiers in question:
        low, high = (max(1, round(30 * worth * share / dearest)) for share in (0.9, 1.6))
        for number, tier in tiers.items():
            if within is None or number in within:
                scores[number] = scores.get(number, 0) + (tier & 1) * low + (tier >> 1) * high
    return sorted(scores, key=lambda number: (-scores[number], -number))[:most]


@pytest.mark.parametrize("seed", range(12))
def test_the_best_are_those_that_weighing_one_by_one_finds(seed: int):
    chance = random.Random(seed)
    question = []
    for _ in range(chance.randint(1, 8)):
        share = chance.choice((0.0001, 0.002, 0.02, 0.3))
        question.append(
            (
                chance.uniform(0.1, 12),
                {number: chance.choice(TIERS) for number in range(40_000) if chance.random() < share},
            )
        )
    stored = [(worth, blocks_of(tiers)) for worth, tiers in question]
    for most in (1, 50, 100_000):
        assert best(stored, most) == weigh(question, most)
    places = [set(chance.sample(range(40_000), 3000)) for _ in range(2)]
    kinds = set(chance.sample(range(40_000), 20_000))
    scope = Scope(
        [[blocks_of(dict.fromkeys(place, LITTLE)) for place in places], [blocks_of(dict.fromkeys(kinds, LITTLE))]]
    )
    within = (places[0] | places[1]) & kinds
    assert best(stored, 50, scope) == weigh(question, 50, within)
    assert scope.newest(70) == sorted(within, reverse=True)[:70]


def test_a_question_without_worth_or_without_postings_has_no_answer():
    assert best([], 50) == []
    assert best([(0.0, blocks_of({1: NAMED}))], 50) == []
    assert best([(1.0, {})], 50) == []


def test_the_name_of_a_file_says_most_and_what_is_said_once_least():
    terms = term_counts(["xoften", "xonce", "xoften"], ["xtold"], ["xoften"], ["xfile"])
    tiers = {
        token: tier_of(counts) for token in ("xoften", "xonce", "xtold", "xfile") if (counts := frequency(terms, token))
    }
    assert tiers == {"xoften": MUCH, "xonce": LITTLE, "xtold": LITTLE, "xfile": NAMED}
    assert best([(1.0, blocks_of({1: MUCH, 2: LITTLE, 3: NAMED}))], 3) == [3, 1, 2]


def test_keys_hold_no_words_and_differ():
    keys = {key_of(f"x{number}") for number in range(10_000)} | {key_of("#kind:session")}
    assert len(keys) == 10_001
    assert all(-(2**63) <= key < 2**63 for key in keys)


# ---- facets -------------------------------------------------------------------------------------------------------------


def facets_of(record: ContextRecord) -> set[str]:
    fields = {name: getattr(record, name) for name in FIELDS}
    return facets(fields, record.updated_us, record.tags, record.files)


RECORD = ContextRecord(
    "cx_1", "session", "title", "digest", 1, 20_000 * DAY_US, project="git:1", project_name="shop", client="acme",
    branch="feature", machine_id="mc_1", machine_name="anvil", owner_id="pn_1", owner_name="anna", tags=("vpn",),
    files=("/srv/shop/src/checkout.py", "notes.md"),
)  # fmt: skip


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(project="git:1"),
        Wanted(project="git:2", client="acme"),
        Wanted(project_name="shop", kind="session", branch="feature", tag="vpn"),
        Wanted(machine="mc_1"),
        Wanted(machine="anvil"),
        Wanted(person="pn_1", owner_id="pn_1"),
        Wanted(person="anna"),
        *(Wanted(file=file) for file in ("/srv/shop/src/checkout.py", "shop/src/checkout.py", "src/checkout.py", "notes.md")),
        Wanted(file="checkout.py"),
        *(Wanted(since_us=(20_000 - days) * DAY_US, until_us=(20_000 + days) * DAY_US) for days in (0, 1, 40, 400)),
        Wanted(since_us=19_000 * DAY_US),
        Wanted(until_us=20_000 * DAY_US + 5),
    ],
)  # fmt: skip
def test_a_record_that_is_wanted_has_a_facet_of_each_group(wanted: Wanted):
    assert all(facets_of(RECORD).intersection(group) for group in asked(wanted, 18_000 * DAY_US, 20_100 * DAY_US))


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(project="git:2"),
        Wanted(kind="decision"),
        Wanted(machine="anna"),
        Wanted(owner_id="pn_2"),
        Wanted(file="other/checkout.py"),
        Wanted(file="ckout.py"),
        Wanted(since_us=20_001 * DAY_US),
        Wanted(until_us=19_999 * DAY_US),
        Wanted(since_us=19_000 * DAY_US, until_us=19_900 * DAY_US),
    ],
)
def test_a_record_that_is_not_wanted_lacks_one(wanted: Wanted):
    groups = asked(wanted, 18_000 * DAY_US, 20_100 * DAY_US)
    assert not all(facets_of(RECORD).intersection(group) for group in groups)


def test_no_facet_can_be_a_term():
    assert all(facet.startswith("#") for facet in facets_of(RECORD))
