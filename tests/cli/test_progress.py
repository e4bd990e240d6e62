"""Progress: a folder's name may say anything, and is shown as it is."""

from __future__ import annotations

import io
import sys

import pytest

from mcp_server.cli import progress as told

ODD = "[/red]\x1b[2J\nall done"


class Terminal(io.StringIO):
    """A screen."""

    def isatty(self) -> bool:
        return True


def test_a_name_is_told_on_one_line_that_no_terminal_obeys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(told, "EVERY_S", 0.0)
    with told.progress("import", "sessions") as tell:
        tell(ODD, 1, 2)
    assert capsys.readouterr().err == "import [/red]\N{REPLACEMENT CHARACTER}[2J all done: 1 of 2 sessions\n"


def test_a_name_is_no_markup_of_the_bar(monkeypatch: pytest.MonkeyPatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with told.progress("import") as tell:
        tell(ODD, 1, 2)
    assert "[/red]" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()
