"""The memory's index: written with the record, taken out with it, and made good where release 0.1.0 wrote."""

from __future__ import annotations

import json
import random
import threading
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from domain.context import ContextRecord, Wanted
from domain.postings import BLOCK, holds, key_of
from domain.recall import term_counts
from storage.context import Context
from storage.migrations import upgrade
from storage.schema import context_records
from storage.transaction import begin
from tests.kit.stores import Store

DAY_US = 86_400_000_000


@pytest.fixture(autouse=True)
def _tables(engine: Engine) -> None:
    upgrade(engine)


def record(number: int, words: str, **said: Any) -> ContextRecord:
    """A session's record with these words in its digest."""
    tokens = [f"x{word}" for word in words.split()]
    made = ContextRecord(
        f"cx_{number:04d}", "session", words[:40], f"Asked: {words}", number, number * DAY_US, session_key=f"m:{number}",
        project=f"git:{number % 3}", machine_name=f"machine-{number % 4}", owner_name=f"person-{number % 5}",
        transcript_size=100, rest_length=len(tokens), terms=term_counts((), tokens),
    )  # fmt: skip
    return replace(made, **said)


def keep(engine: Engine, *records: ContextRecord) -> None:
    with begin(engine, write=True) as unit:
        for one in records:
            Context(unit.connection).keep(one)
        unit.commit()


def found(engine: Engine, words: str, wanted: Wanted | None = None) -> list[str]:
    with begin(engine, write=False) as unit:
        records, _ = Context(unit.connection).search(
            [f"x{word}" for word in words.split()], frozenset(), wanted or Wanted()
        )
    return [one.record_id for one in records]


def index(store: Store) -> dict[int, dict[int, int]]:
    """The tiers of each term's key by the records' numbers."""
    read: dict[int, dict[int, int]] = {}
    for term, block, postings in store.sql("SELECT term, block, postings FROM context_postings"):
        for place, tier in holds(postings):
            read.setdefault(term, {})[block * BLOCK + place] = tier
    return read


def index_missing(engine: Engine) -> int:
    """What a drain does."""
    done = 0
    while True:
        with begin(engine, write=True) as unit:
            indexed = Context(unit.connection).index_missing(10)
            unit.commit()
        done += indexed
        if not indexed:
            with begin(engine, write=False) as unit:
                assert not Context(unit.connection).is_index_behind()
            return done


def made_again(engine: Engine) -> None:
    with begin(engine, write=True) as unit:
        Context(unit.connection).clear_index()
        unit.commit()
    number = -1
    while number:
        with begin(engine, write=True) as unit:
            number = Context(unit.connection).index_again(number, 7)
            unit.commit()


def test_an_old_record_of_many_is_found_by_its_words(engine: Engine):
    common = "deploy the service"
    keep(engine, record(1, f"{common} zanzibar"), *(record(number, common) for number in range(2, 120)))
    assert "cx_0001" in found(engine, "deploy zanzibar")
    assert len(found(engine, "deploy")) == 50


def test_a_capture_that_grew_is_found_by_its_new_words_and_no_more_by_those_that_went(engine: Engine, store: Store):
    keep(engine, record(1, "zanzibar quicksilver"))
    keep(engine, *(record(number, "deploy") for number in range(2, 60)))
    keep(engine, replace(record(1, "zanzibar porcelain"), transcript_size=200, updated_us=DAY_US + 1))
    assert "cx_0001" in found(engine, "porcelain")
    assert key_of("xporcelain") in index(store)
    assert key_of("xquicksilver") not in index(store)


def test_of_a_forgotten_record_nothing_is_left_in_the_index(engine: Engine, store: Store):
    keep(engine, record(1, "deploy", tags=("vpn",)))
    before = index(store)
    keep(engine, record(2, "deploy zanzibar", files=("src/lighthouse.py",), branch="a-branch"))
    with begin(engine, write=True) as unit:
        assert Context(unit.connection).forget("cx_0002", 5)
        unit.commit()
    assert index(store) == before
    assert store.sql("SELECT COUNT(*) FROM context_stale") == [(0,)]
    if store.kind == "sqlite":
        store.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"zanzibar" not in store.contents()


def test_what_is_struck_from_a_record_leaves_the_index(engine: Engine, store: Store):
    keep(engine, record(1, "deploy zanzibar"))
    with begin(engine, write=True) as unit:
        Context(unit.connection).rewrite(record(1, "deploy struck"))
        unit.commit()
    assert key_of("xzanzibar") not in index(store)
    assert key_of("xstruck") in index(store)
    assert store.sql("SELECT COUNT(*) FROM context_stale") == [(0,)]


def test_nothing_is_indexed_without_its_record(engine: Engine, store: Store):
    with begin(engine, write=True) as unit:
        Context(unit.connection).keep(record(1, "deploy zanzibar"))
    assert index(store) == {}
    assert store.sql("SELECT COUNT(*) FROM context_records") == [(0,)]


def test_two_writers_at_once_lose_nothing(engine: Engine, store: Store):
    failed: list[Exception] = []

    def write(numbers: range) -> None:
        try:
            for number in numbers:
                keep(engine, record(number, f"deploy word{number}"))
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    writers = [threading.Thread(target=write, args=(range(start, 40, 2),)) for start in (0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failed
    assert len(index(store)[key_of("xdeploy")]) == 40
    held = index(store)
    made_again(engine)
    assert index(store) == held


def test_an_index_that_is_made_again_is_the_same(engine: Engine, store: Store):
    chance = random.Random(3)
    words = [f"word{number}" for number in range(60)]
    keep(engine, *(record(number, " ".join(chance.sample(words, 9))) for number in range(30)))
    keep(
        engine,
        *(replace(record(number, " ".join(chance.sample(words, 9))), transcript_size=200) for number in range(9)),
    )
    held = index(store)
    made_again(engine)
    assert index(store) == held


# ---- release 0.1.0 beside this one --------------------------------------------------------------------------------------


def old_program(engine: Engine, run: Any) -> None:
    """A statement of a program that knows no index."""
    with begin(engine, write=True) as unit:
        run(unit.connection)
        unit.commit()


def old_insert(connection: Connection, one: ContextRecord) -> None:
    values = {name: getattr(one, name) for name in ContextRecord.__dataclass_fields__}
    values |= {name: json.dumps(list(values[name])) for name in ("tags", "files", "commits", "struck", "provenance")}
    values["pinned"] = 0
    connection.execute(context_records.insert().values(**values))


def test_a_record_of_the_release_before_is_found_once_a_drain_has_indexed_it(engine: Engine, store: Store):
    for number in range(1, 80):
        old_program(
            engine, lambda connection, number=number: old_insert(connection, record(number, f"deploy word{number}"))
        )
    assert index(store) == {}
    assert index_missing(engine) == 79
    held = index(store)
    assert len(held[key_of("xdeploy")]) == 79
    made_again(engine)
    assert index(store) == held
    assert index_missing(engine) == 0


def test_what_the_release_before_changed_or_forgot_is_indexed_anew(engine: Engine, store: Store):
    keep(engine, record(1, "deploy zanzibar"), record(2, "deploy quicksilver"), record(3, "deploy porcelain"))
    terms = record(1, "deploy harbour").terms
    for said in (record(1, "deploy meadow").terms, terms):
        old_program(
            engine,
            lambda connection, said=said: connection.execute(
                text("UPDATE context_records SET terms = :terms, branch = 'b' WHERE record_id = 'cx_0001'"),
                {"terms": said},
            ),
        )
    old_program(
        engine,
        lambda connection: connection.execute(
            text("UPDATE context_records SET terms = '', state = 'forgotten' WHERE record_id = 'cx_0002'")
        ),
    )
    with begin(engine, write=False) as unit:
        assert Context(unit.connection).is_index_behind()
    assert index_missing(engine)
    held = index(store)
    assert {number for tiers in held.values() for number in tiers} == {1, 3}
    assert not {key_of(f"x{word}") for word in ("zanzibar", "quicksilver", "meadow")} & set(held)
    assert {key_of("xharbour"), key_of("#branch:b")} <= set(held)
    assert store.sql("SELECT COUNT(*) FROM context_stale") == [(0,)]
    made_again(engine)
    assert index(store) == held


def test_a_drain_goes_on_where_this_release_has_changed_the_record_again(engine: Engine, store: Store):
    keep(engine, record(1, "deploy zanzibar"))
    old_program(
        engine,
        lambda connection: connection.execute(
            text("UPDATE context_records SET terms = :terms"), {"terms": record(1, "deploy meadow").terms}
        ),
    )
    keep(engine, replace(record(1, "deploy meadow harbour"), transcript_size=300))
    index_missing(engine)
    held = index(store)
    assert {key_of("xmeadow"), key_of("xharbour"), key_of("xdeploy")} <= set(held)
    assert key_of("xzanzibar") not in held
    made_again(engine)
    assert index(store) == held


# ---- what is wanted -----------------------------------------------------------------------------------------------------


def test_every_filter_finds_what_looking_at_each_record_finds(engine: Engine):
    chance = random.Random(5)
    records = [
        record(
            number,
            "deploy " + chance.choice(("alpha", "beta")),
            kind=chance.choice(("session", "decision")),
            project_name=f"name-{number % 6}",
            client=f"client-{number % 7}",
            branch=f"branch-{number % 4}",
            owner_id=f"pn_{number % 5}",
            machine_id=f"mc_{number % 4}",
            tags=(f"tag-{number % 9}",),
            files=(f"src/{number % 2}/part/file_{number % 11}.py",),
        )
        for number in range(60)
    ]
    keep(engine, *records)
    asked: list[tuple[Wanted, Any]] = [
        (Wanted(kind="decision"), lambda one: one.kind == "decision"),
        (Wanted(project="git:1", client="client-3"), lambda one: one.project == "git:1" or one.client == "client-3"),
        (Wanted(project_name="name-2"), lambda one: one.project_name == "name-2"),
        (Wanted(branch="branch-1", machine="mc_1"), lambda one: one.branch == "branch-1" and one.machine_id == "mc_1"),
        (Wanted(machine="machine-2"), lambda one: one.machine_name == "machine-2"),
        (Wanted(person="person-2"), lambda one: one.owner_name == "person-2"),
        (Wanted(owner_id="pn_3", tag="tag-4"), lambda one: one.owner_id == "pn_3" and one.tags == ("tag-4",)),
        (Wanted(file="file_4.py"), lambda one: one.files[0].endswith("/file_4.py")),
        (Wanted(file="1/part/file_4.py"), lambda one: one.files[0] == "src/1/part/file_4.py"),
        (
            Wanted(since_us=20 * DAY_US, until_us=30 * DAY_US, kind="session"),
            lambda one: 20 * DAY_US <= one.updated_us <= 30 * DAY_US and one.kind == "session",
        ),
        (Wanted(since_us=45 * DAY_US), lambda one: one.updated_us >= 45 * DAY_US),
    ]
    for wanted, holds_for in asked:
        expected = sorted((one for one in records if holds_for(one)), key=lambda one: -one.updated_us)
        assert expected
        assert set(found(engine, "deploy", wanted)) == {one.record_id for one in expected}, wanted
        with begin(engine, write=False) as unit:
            newest = Context(unit.connection).newest(wanted, limit=7)
        assert [one.record_id for one in newest] == [one.record_id for one in expected[:7]], wanted


def test_records_that_were_superseded_leave_room_for_others(engine: Engine, store: Store):
    keep(engine, *(record(number, "deploy zanzibar") for number in range(1, 200)))
    store.sql("UPDATE context_records SET superseded_by = 'cx_0001' WHERE number > 40")
    assert len(found(engine, "zanzibar")) == 40


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(project="git:1"),
        Wanted(client="acme"),
        Wanted(project="git:1", client="acme"),
        Wanted(since_us=1),
    ],
)
def test_the_newest_come_in_the_order_of_an_index(engine: Engine, store: Store, wanted: Wanted):
    """At a million records a sort, or a walk over those of all others, would take seconds."""
    keep(engine, *(record(number, "deploy", client="acme" if number % 2 else "") for number in range(300)))
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    with begin(engine, write=False) as unit:
        Context(unit.connection).newest(wanted)
    event.remove(engine, "before_cursor_execute", note)
    for statement, parameters in asked:
        with begin(engine, write=False) as unit:
            explain = "EXPLAIN QUERY PLAN " if store.kind == "sqlite" else "EXPLAIN "
            plan = unit.connection.exec_driver_sql(explain + statement, parameters).all()
        scans = [row for row in plan if "context_records" in str(row)]
        indexed = [row for row in scans if "ix_context" in str(row)]
        assert indexed, plan
        for place in ("project", "client"):
            assert any(f"ix_context_{place}" in str(row) for row in indexed) == bool(getattr(wanted, place)), plan
        if wanted.project or wanted.client:
            assert "ix_context_state" not in str(plan if store.kind == "sqlite" else [row[5] for row in indexed]), plan
        assert len(scans) - len(indexed) <= 1, plan  # the rows themselves, by their numbers
        if store.kind == "mariadb":
            assert not any("ilesort" in str(row) for row in indexed), plan
        else:
            assert not any("SCAN context_records" in str(row) and "INDEX" not in str(row) for row in plan), plan
