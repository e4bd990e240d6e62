"""The client's five hooks while the database is away: they end well, tell what was known, and lose nothing.

How each trouble is told, and every kind of line, stands in tests/hooks; here a whole installation goes through it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.orphans import Nursery
from tests.outages.conftest import Site, lasting

ENOUGH_S = 8.0
"""Far more than five hooks may take, and less than one wait for a server without a limit."""
DATED = "; this is what was known on "


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    """Takes in the drains that the hooks start."""
    with Nursery() as made:
        yield made


def started(site: Site, session: str, folder: Path) -> str:
    """What a session that starts is told."""
    transcript = site.home.parent / f"{session}.jsonl"
    code, said, errors = site.hook("SessionStart", session, transcript, folder, source="startup")
    assert (code, errors) == (0, b"")
    return str(json.loads(said or "{}").get("hookSpecificOutput", {}).get("additionalContext", ""))


def ended(site: Site, session: str, folder: Path, what: str, *events: str) -> None:
    """A session that did something, and the hooks of its end."""
    transcript = site.transcript(session, f"Please repair the {what}", f"The {what} is repaired.")
    for event in events:
        assert site.hook(event, session, transcript, folder) == (0, b"", b"")


@pytest.mark.parametrize("trouble", ["refuse", "swallow", "stand still"])
def test_a_session_within_an_outage_starts_with_what_was_known_and_is_recorded_once_afterwards(
    site: Site, nursery: Nursery, tmp_path: Path, trouble: str
):
    word = trouble.replace(" ", "-").replace("_", "-")
    ended(site, f"{word}-before", tmp_path, "pump", "Stop", "SessionEnd")
    nursery.wait()
    known = started(site, f"{word}-first", tmp_path)
    assert "repair the pump" in known
    assert DATED not in known

    with lasting(site, trouble):
        begun = time.monotonic()
        told = started(site, f"{word}-within", tmp_path)
        ended(site, f"{word}-within", tmp_path, "valve", "Stop", "PreCompact", "PostCompact", "SessionEnd")
        assert time.monotonic() - begun < ENOUGH_S
        assert "repair the pump" in told
        assert DATED in told
        nursery.wait()  # the drain has found nobody
        if trouble != "stand still":  # then the test would not be answered either
            assert f"{word}-within" not in site.recorded()

    ended(site, f"{word}-after", tmp_path, "gauge", "Stop", "SessionEnd")
    nursery.wait()
    recorded = [session for session in site.recorded() if session.startswith(word)]
    assert sorted(recorded) == [f"{word}-after", f"{word}-before", f"{word}-within"]
    told = started(site, f"{word}-last", tmp_path)
    assert DATED not in told
    for what in ("pump", "valve", "gauge"):
        assert f"repair the {what}" in told
    assert site.verified() == ()
