"""What is due at a session's client is told at its start: counts, and nothing else of a credential."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hooks import reminders
from hooks.files import now_us
from tests.hooks.test_session_start import line

DAY_US = 86_400_000_000


def bind(desk: Any, client: str) -> None:
    (desk.home / "bindings.json").write_text(json.dumps({"folders": {str(desk.folder.resolve()): client}}))


def leave(desk: Any, client: str, expires: tuple[float, ...] = (), rotates: tuple[float, ...] = ()) -> None:
    """What the server leaves: times, in days from now."""
    at_us = now_us()
    times = tuple([at_us + int(days * DAY_US) for days in some] for some in (expires, rotates))
    reminders.write(str(desk.home), {client: times})


@pytest.mark.parametrize(
    ("expires", "rotates", "told"),
    [
        ((), (-1, -40), "acme: 2 credentials due for rotation"),
        ((5,), (-1, -2), "acme: 2 credentials due for rotation, 1 expires in 5 days"),
        ((5, 9, 60), (), "acme: 2 credentials expire, the first in 5 days"),
        ((-1, -2, 13), (-1,), "acme: 1 credential due for rotation, 2 expired, 1 expires in 13 days"),
        ((-1,), (), "acme: 1 credential expired"),
    ],
)
def test_a_session_of_a_client_is_reminded_of_what_is_due(
    desk: Any, expires: tuple[int, ...], rotates: tuple[int, ...], told: str
) -> None:
    bind(desk, "acme")
    leave(desk, "acme", expires, rotates)
    assert line(desk) == f"ClaudeTools: {told}: claudetools report expiring --client acme"


def test_what_is_due_elsewhere_or_later_is_not_told(desk: Any) -> None:
    bind(desk, "acme")
    leave(desk, "globex", (-1,), (-1,))
    assert line(desk) == ""
    leave(desk, "acme", (30,), (20,))
    assert line(desk) == ""


def test_a_folder_without_a_client_is_reminded_of_the_teams_own(desk: Any) -> None:
    leave(desk, "own", (), (-1,))
    assert line(desk) == "ClaudeTools: own: 1 credential due for rotation: claudetools report expiring --client own"


def test_it_is_told_once_where_a_session_begins_and_not_where_the_line_is_off(desk: Any) -> None:
    leave(desk, "own", (), (-1,))
    assert line(desk, "resume") == ""
    desk.configure(start_line="off")
    assert line(desk) == ""


@pytest.mark.parametrize("spoiled", ["{", "[]", '{"own": 5}', '{"own": [[true, "x"]]}', '{"own": [null, {}]}', "\0"])
def test_a_spoiled_file_reminds_of_nothing(desk: Any, spoiled: str) -> None:
    (desk.home / reminders.FILE).write_text(spoiled)
    assert "due for" not in line(desk)
