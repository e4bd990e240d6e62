"""The stdio server while its database is away, slow, cut off or somebody else: it says so, and is well again by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Unavailable
from mcp_server.callers import Door
from tests.kit.certificates import Authority
from tests.kit.mariadb import MariaDB
from tests.kit.proxy import Proxy
from tests.outages.conftest import TROUBLES, Site, found, lasting
from tests.server.conftest import Wire

ENOUGH_S = 6.0
"""Far more than an answer may take, and far less than a wait that nobody limits."""
MANY = 30
UNTOLD = ("status", "prompt_context")
"""Tools that answer without the database."""

Answer = dict[str, Any]


def every_tool(site: Site, word: str) -> dict[str, Mapping[str, object]]:
    """One call of each kind; what they write is told by the word."""
    return {
        "status": {},
        "credential_search": {},
        "credential_get": {"reference": site.reference},
        "credential_reveal": {"reference": site.reference, "purpose": "to test"},
        "credential_create": {"type": "password", "service_name": word, "generate": True},
        "context_recall": {"query": "gateway"},
        "context_save": {"kind": "fact", "title": word, "text": f"what was saved about {word}"},
        "audit_search": {},
        "registry_find": {"kind": "client"},
        "incident_open": {"type": "phishing", "title": word},
        "prompt_context": {"prompt": f"what about {word}?"},
    }


def at_once(wire: Wire, calls: list[tuple[str, Mapping[str, object]]]) -> list[Answer]:
    """Begins all the calls, then waits for all the answers."""
    begun = [wire.begin("tools/call", {"name": name, "arguments": arguments}) for name, arguments in calls]
    return [wire.answer(one)["result"] for one in begun]  # type: ignore[index, misc]


def refused(answer: Answer) -> dict[str, Any]:
    """What an error says.  It is `unavailable`, with a way on."""
    assert answer.get("isError"), answer
    error: dict[str, Any] = answer["structuredContent"]["error"]
    assert error["code"] == "unavailable", error
    assert error["retryable"]
    assert error["hint"]
    return error


def entry_of(answer: Answer) -> str:
    """The entry that an answer names."""
    assert not answer.get("isError"), answer
    return str(answer["structuredContent"]["entry"])


def reveal(wire: Wire, site: Site) -> Answer:
    return wire.call("credential_reveal", reference=site.reference, purpose="to test")  # type: ignore[return-value]


def appends(statement: bytes) -> bool:
    """Whether a statement appends an entry, by its words or as one that was prepared."""
    return statement.startswith((b"INSERT INTO audit_entries", b"EXECUTE claudetools_entry"))


def until_well(wire: Wire) -> None:
    """Waits until the server says that all is up."""
    until = time.monotonic() + 30
    while not (said := wire.call("status")["structuredContent"])["ok"]:  # type: ignore[index]
        assert time.monotonic() < until, said
        threading.Event().wait(0.05)


def titled(site: Site, word: str) -> int:
    """How many records, credentials and incidents have that name."""
    return sum(
        int(site.query(f"SELECT COUNT(*) FROM {table} WHERE {column} = '{word}'")[0][0])
        for table, column in (("context_records", "title"), ("credentials", "service_name"), ("incidents", "title"))
    )


@pytest.fixture(scope="module")
def served(shared: Site) -> Iterator[Wire]:
    """One server process that goes through all of it."""
    wire = Wire(shared.home)
    yield wire
    assert wire.hang_up() == 0
    assert wire.errors == b""
    wire.close()


@pytest.fixture
def wire(site: Site, served: Wire) -> Wire:
    """That process, well and with connections that stand."""
    until_well(served)
    entry_of(reveal(served, site))
    return served


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_server_that_is_away_makes_every_tool_say_so_and_the_next_call_finds_it_back(
    site: Site, wire: Wire, trouble: str
):
    word = f"away-{trouble.replace(' ', '-')}"
    calls = every_tool(site, word)
    before = set(site.entries())
    with lasting(site, trouble):
        begun = time.monotonic()
        answers = dict(zip(calls, at_once(wire, list(calls.items())), strict=True))
        assert time.monotonic() - begun < ENOUGH_S
    said = answers["status"]["structuredContent"]
    assert not said["ok"]
    assert said["problems"][0]["code"] == "unavailable"
    assert answers["prompt_context"]["content"][0]["text"] == "{}"
    for name in calls.keys() - UNTOLD:
        refused(answers[name])
    written = titled(site, word)
    # A server that stands still does what it was sent once it goes on; nobody was told that it was done.
    assert written == 0 or trouble == "stand still"

    after = dict(zip(calls, at_once(wire, list(calls.items())), strict=True))
    assert not [answer for answer in after.values() if answer.get("isError")]
    assert after["status"]["structuredContent"]["ok"]
    assert titled(site, word) == 3 + written
    entries = site.entries()
    assert len(entries) == len(set(entries))
    assert entry_of(after["credential_reveal"]) in set(entries) - before
    assert site.verified() == ()


@pytest.mark.parametrize("milliseconds", [40, 200])
def test_a_slow_line_makes_calls_slow_and_nothing_else(site: Site, wire: Wire, milliseconds: int):
    calls = every_tool(site, f"slow-{milliseconds}")
    site.proxy.delay(milliseconds)
    answers = at_once(wire, list(calls.items()))
    acknowledged = [entry_of(reveal(wire, site))]
    assert not [answer for answer in answers if answer.get("isError")]
    assert titled(site, f"slow-{milliseconds}") == 3
    assert set(acknowledged) <= set(site.entries())
    assert site.verified() == ()


@pytest.mark.parametrize("where", ["before", "within", "after"])
def test_a_decrypt_whose_entry_is_cut_off_is_acknowledged_only_where_the_entry_is_there(
    site: Site, wire: Wire, where: str
):
    before = site.entries()
    cut = site.proxy.cut(appends, where, keep=40)
    answer = reveal(wire, site)
    cut.wait()
    new = [entry for entry in site.entries() if entry not in before]
    if where == "after":  # the server has kept it, and says so when it is asked
        assert new == [entry_of(answer)]
    else:
        refused(answer)
        assert new == []
    entry = entry_of(reveal(wire, site))
    assert site.entries().count(entry) == 1
    assert site.verified() == ()


@pytest.mark.parametrize("where", ["before", "within", "after"])
def test_what_is_cut_off_at_its_commit_is_there_once_or_not_at_all(site: Site, wire: Wire, where: str):
    word = f"commit-{where}"
    cut = site.proxy.cut("COMMIT", where, keep=3)
    answer: Answer = wire.call("context_save", kind="fact", title=word, text="some text")  # type: ignore[assignment]
    cut.wait()
    if where == "after":
        assert not answer.get("isError"), answer
        assert titled(site, word) == 1
    else:
        refused(answer)
        assert titled(site, word) == 0
    assert not wire.call("context_save", kind="fact", title=f"{word}-again", text="some text").get("isError")
    assert titled(site, f"{word}-again") == 1
    assert site.verified() == ()


@pytest.mark.parametrize("where", ["before", "within", "after"])
def test_a_question_that_is_cut_off_harms_nothing(site: Site, wire: Wire, where: str):
    cut = site.proxy.cut("SELECT", where, keep=20)
    answer: Answer = wire.call("credential_get", reference=site.reference)  # type: ignore[assignment]
    cut.wait()
    if answer.get("isError"):
        refused(answer)
    assert entry_of(reveal(wire, site)) in site.entries()
    assert site.verified() == ()


def test_connections_that_were_broken_between_two_calls_are_not_missed(site: Site, wire: Wire):
    acknowledged = []
    for _ in range(3):
        acknowledged += [entry_of(reveal(wire, site)) for _ in range(3)]
        site.proxy.break_all()
    assert set(acknowledged) <= set(site.entries())
    assert site.verified() == ()


def test_many_calls_at_once_do_not_queue_up_behind_a_server_that_fell_silent(site: Site, wire: Wire):
    reveals = [("credential_reveal", {"reference": site.reference, "purpose": "to test"})] * MANY
    at_once(wire, reveals)  # so that many connections were made, and some are kept
    before = site.entries()
    for trouble in ("fall_silent", "swallow"):
        with lasting(site, trouble):
            begun = time.monotonic()
            for answer in at_once(wire, reveals):
                refused(answer)
            assert time.monotonic() - begun < ENOUGH_S
    # What was held up on its way may have arrived since.  Nobody was told that it would, and nothing was opened for it.
    assert set(before) <= set(site.entries())
    acknowledged = {entry_of(answer) for answer in at_once(wire, reveals)}
    assert len(acknowledged) == MANY
    assert {entry for entry in site.entries() if entry not in before} >= acknowledged
    assert site.verified() == ()


def test_calls_that_wait_for_the_agent_to_be_proved_do_not_queue_up_behind_a_server_that_fell_silent(site: Site):
    door = Door(site.home)
    refusals: list[str] = []

    def enter() -> None:
        try:
            door.enter()
        except Unavailable as error:
            refusals.append(error.hint)

    try:
        door.app()
        threads = [threading.Thread(target=enter) for _ in range(MANY)]
        begun = time.monotonic()
        with lasting(site, "fall_silent"):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert time.monotonic() - begun < ENOUGH_S
        assert len(refusals) == MANY
        until = time.monotonic() + 30
        while time.monotonic() < until and refusals:
            refusals.clear()
            enter()
            threading.Event().wait(0.05)
        assert door.enter().actor.kind == "agent"
    finally:
        door.close()


@pytest.mark.parametrize("trouble", ["swallow", "refuse"])
def test_a_server_process_that_starts_while_the_database_is_away_works_when_it_is_there(site: Site, trouble: str):
    with lasting(site, trouble):
        started = site.serve()
        said = started.call("status")["structuredContent"]
        assert said["problems"][0]["code"] == "unavailable"  # type: ignore[index]
        refused(reveal(started, site))
        assert started.call("prompt_context", prompt="hello?")["content"][0]["text"] == "{}"  # type: ignore[index]
    until_well(started)
    assert entry_of(reveal(started, site)) in site.entries()
    assert started.hang_up() == 0
    assert started.errors == b""


def test_a_name_that_nobody_answers_for_is_told_until_the_settings_name_another(site: Site):
    file = site.home / "settings.json"
    right = file.read_text()
    file.write_text(right.replace("@127.0.0.1:", "@nowhere.invalid:"))
    try:
        started = site.serve()
        assert "cannot be reached" in refused(reveal(started, site))["message"]
    finally:
        part = file.with_suffix(".part")
        part.write_text(right)
        part.chmod(0o600)
        part.replace(file)
    until_well(started)
    assert entry_of(reveal(started, site)) in site.entries()
    assert started.hang_up() == 0


# ---- another server, and one that is killed -------------------------------------------------------------------------


def test_a_server_with_another_certificate_gets_nothing_until_the_right_one_is_back(tmp_path: Path):
    authority, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs", "stranger")
    with MariaDB(tls=authority.sign()) as server, Proxy(server.port) as proxy:
        site = found(tmp_path, server, proxy, f"?tls=on&tls_ca={authority.file}")
        try:
            wire = site.serve()
            first = entry_of(reveal(wire, site))
            made = proxy.accepted
            for _ in range(5):
                reveal(wire, site)
            # (One more may come: the thread that tells of this machine at the start.)
            assert proxy.accepted <= made + 1, "a connection that was well was given up"
            server.present(stranger.sign())
            proxy.break_all()
            assert "certificate" in refused(reveal(wire, site))["message"]
            late = site.serve()
            problem = late.call("status")["structuredContent"]["problems"][0]  # type: ignore[index]
            assert "certificate" in problem["message"]
            server.present(authority.sign())
            proxy.fall_silent()  # within the handshake, for who connects now
            begun = time.monotonic()
            refused(reveal(wire, site))
            assert time.monotonic() - begun < ENOUGH_S
            proxy.pass_on()
            entries = [first, entry_of(reveal(wire, site))]
            until_well(late)
            entries.append(entry_of(reveal(late, site)))
            assert set(entries) <= set(site.entries())
            assert site.verified() == ()
        finally:
            site.close()


def test_a_database_that_is_killed_and_started_again_keeps_all_that_was_acknowledged(crashing: Site):
    site, wire = crashing, crashing.serve()
    acknowledged = []
    for _ in range(2):
        acknowledged += [entry_of(reveal(wire, site)) for _ in range(3)]
        begun = wire.begin(
            "tools/call", {"name": "credential_reveal", "arguments": {"reference": site.reference, "purpose": "p"}}
        )
        site.server.kill()
        try:
            last: Answer = wire.answer(begun)["result"]  # type: ignore[assignment]
            refused(reveal(wire, site))
        finally:
            site.server.start()
        if not last.get("isError"):
            acknowledged.append(entry_of(last))
        acknowledged.append(entry_of(reveal(wire, site)))
    entries = site.entries()
    assert set(acknowledged) <= set(entries)
    assert len(entries) == len(set(entries))
    assert site.verified() == ()
    assert wire.hang_up() == 0
