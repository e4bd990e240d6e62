"""What verify says of a chain, link by link."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest

from domain.audit import Link, columns_of, link, link_hash, open_chain
from domain.verify import ChainCheck, Finding, check_link, check_opening
from tests.domain.test_audit import ENTRY, KEY

OPENING = open_chain("ch_one", "ma_one", "ag_one", "claudetools:17", 5, KEY)


def signed(machine_id: str, message: bytes, signature: bytes) -> bool | None:
    if machine_id != "ma_one":
        return None
    return KEY.sign(message) == signature


def chain(length: int = 5) -> list[Link]:
    links: list[Link] = []
    head = OPENING.hash
    for number in range(1, length + 1):
        entry = dataclasses.replace(ENTRY, entry_id=f"au_{number}", at_us=number)
        links.append(link(entry, "ch_one", number, head, KEY))
        head = links[-1].hash
    return links


def findings(links: Iterable[Link], noted: tuple[int, bytes] | None = None) -> list[Finding]:
    check = ChainCheck(OPENING, signed)
    told = list(check_opening(OPENING, signed))
    for one in links:
        told += check.follow(one, columns_of(one.body) | {"seq": one.seq})
    return told + list(check.end(noted))


def said(told: list[Finding]) -> list[tuple[str, str]]:
    return [(found.verdict, found.where) for found in told]


def test_a_chain_as_it_was_written_is_well():
    links = chain()
    assert findings(links) == []
    assert findings(links, (5, links[-1].hash)) == []
    assert findings(links, (4, links[3].hash)) == []
    assert findings([]) == []


def test_a_gap_is_missing_with_its_numbers():
    links = chain()
    told = findings([links[0], *links[2:]])
    assert said(told) == [("missing", "entry 3 of chain ch_one")]
    assert told[0].what == "entry 2 is missing before it"
    assert findings([links[0], links[4]])[0].what == "entries 2 to 4 are missing before it"
    assert said(findings(links[1:])) == [("missing", "entry 2 of chain ch_one")]


def test_links_in_another_order_are_told():
    links = chain(3)
    assert ("reordered", "entry 1 of chain ch_one") in said(findings([links[1], links[0], links[2]]))
    assert ("reordered", "entry 1 of chain ch_one") in said(findings([links[0], links[0]]))


def test_a_link_onto_another_head_is_told():
    links = chain(3)
    other = link(ENTRY, "ch_one", 2, b"another head", KEY)
    assert said(findings([links[0], other])) == [("reordered", "entry 2 of chain ch_one")]


def test_a_tail_that_the_machine_noted_and_that_is_gone_is_truncated():
    links = chain()
    told = findings(links[:3], (5, links[-1].hash))
    assert said(told) == [("truncated", "chain ch_one")]
    assert told[0].what == "it ends at entry 3; this machine wrote 5"


def test_another_end_than_the_machine_noted_is_a_fork():
    links = chain()
    assert said(findings(links, (5, b"another hash"))) == [("forked", "entry 5 of chain ch_one")]


@pytest.mark.parametrize("field", ["prev_hash", "body", "hash", "signature"])
def test_a_link_with_a_changed_part_is_told(field: str):
    one = chain(1)[0]
    changed = dataclasses.replace(one, **{field: getattr(one, field)[:-1] + b"~"})
    told = list(check_link(changed, columns_of(one.body), "ma_one", signed))
    assert told
    assert {found.where for found in told} == {"entry 1 of chain ch_one"}
    assert {found.verdict for found in told} <= {"modified", "bad signature"}


@pytest.mark.parametrize("name", list(columns_of(chain(1)[0].body)))
def test_a_column_that_differs_from_the_body_is_named(name: str):
    one = chain(1)[0]
    for other in ("other", None, 99):
        columns = columns_of(one.body) | {name: other}
        told = [found.what for found in check_link(one, columns, "ma_one", signed)]
        assert told == [f"the column {name} differs from the signed body"]
    columns = columns_of(one.body)
    del columns[name]
    assert list(check_link(one, columns, "ma_one", signed))


def test_an_entry_that_names_another_machine_than_its_chain_is_told():
    entry = dataclasses.replace(ENTRY, actor=dataclasses.replace(ENTRY.actor, machine_id="ma_two"))
    one = link(entry, "ch_one", 1, OPENING.hash, KEY)
    told = list(check_link(one, columns_of(one.body), "ma_one", signed))
    assert [found.what for found in told] == ["the entry names another machine than its chain"]


def test_a_machine_that_is_not_known_is_told():
    one = chain(1)[0]
    assert said(list(check_link(one, columns_of(one.body), "ma_two", signed)))[0][0] == "unknown key"
    opening = open_chain("ch_two", "ma_two", "ag_one", "x", 5, KEY)
    assert said(list(check_opening(opening, signed))) == [("unknown key", "chain ch_two")]


@pytest.mark.parametrize("field", ["chain_id", "machine_id", "actor_id", "process", "opened_us", "body", "hash"])
def test_an_opening_with_a_changed_part_is_told(field: str):
    before = getattr(OPENING, field)
    after = {int: lambda: 6, bytes: lambda: before[:-1] + b"~", str: lambda: before + "x"}[type(before)]()
    told = list(check_opening(dataclasses.replace(OPENING, **{field: after}), signed))
    assert any(found.verdict == "modified" for found in told)


def test_an_opening_with_another_signature_is_told():
    told = list(check_opening(dataclasses.replace(OPENING, signature=b"x" * 64), signed))
    assert [found.verdict for found in told] == ["bad signature"]


def test_a_right_hash_over_other_bytes_still_needs_the_signature():
    one = chain(1)[0]
    body = one.body.replace(b"credential.decrypt", b"credential.search!")
    forged = dataclasses.replace(one, body=body, hash=link_hash("ch_one", 1, one.prev_hash, body))
    told = list(check_link(forged, columns_of(body), "ma_one", signed))
    assert [found.verdict for found in told] == ["bad signature"]
