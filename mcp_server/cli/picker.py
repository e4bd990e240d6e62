"""The picker: a list of all credentials at the terminal that narrows with every letter.

It shows open fields alone.  What is picked is then shown, copied or opened by the commands of that name, which ask for what
they always ask.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from domain.errors import Invalid
from mcp_server.cli import acting, daily, described, show

if TYPE_CHECKING:
    from prompt_toolkit.application import Application
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.input import Input
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output import Output

    from domain.credentials import Description
    from domain.picking import Finder

_KEYS = {"enter": "show", "c-y": "copy", "c-o": "open"}
_HELP = "Enter shows · ^Y copies · ^O opens its page · Esc leaves"
_AROUND = 2  # lines of the screen that are not the list
_GAP = 2


@dataclass(frozen=True, slots=True)
class Picked:
    """A credential and what is to be done with it: `show`, `copy` or `open`."""

    reference: str
    what: str


def pick() -> None:
    """Pick a credential from a list that narrows while you type; then show it, copy its value, or open its page."""
    if not is_possible():
        raise Invalid("picking needs a terminal", hint="claudetools credential list WORDS")
    from domain.picking import Finder

    with acting.logged_in() as (vault, actor):
        finder = Finder(vault.picking.everything(actor))
        picked = Picker(finder).application().run()
        if picked is None:
            return
        if picked.what == "show":
            described.whole(vault.credentials.describe(actor, picked.reference))
    if picked.what == "copy":
        daily.copy(picked.reference)
    elif picked.what == "open":
        daily.open_(picked.reference)


def is_possible() -> bool:
    """Whether somebody sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


class Picker:
    """What stands on the screen: the words that were typed, and the best lines for them."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._at = 0
        self._top = 0
        self._found: Sequence[Description] = ()
        self._total = 0
        self._most = 0
        self._query = ""
        self._screen: Output | None = None

    def application(self, *, source: Input | None = None, screen: Output | None = None) -> Application[Picked | None]:
        """The application over this terminal, or over what a test gives."""
        from prompt_toolkit.application import Application
        from prompt_toolkit.buffer import Buffer
        from prompt_toolkit.layout import BufferControl, FormattedTextControl, HSplit, Layout, Window
        from prompt_toolkit.layout.processors import BeforeInput

        words = Buffer(multiline=False, on_text_changed=lambda buffer: self._search(buffer.text))
        layout = Layout(
            HSplit(
                [
                    Window(BufferControl(words, input_processors=[BeforeInput("> ", "bold")]), height=1),
                    Window(FormattedTextControl(self._lines), always_hide_cursor=True),
                    Window(FormattedTextControl(self._footer), height=1, style="reverse"),
                ]
            )
        )
        made: Application[Picked | None] = Application(
            layout=layout, key_bindings=self._bindings(), full_screen=True, input=source, output=screen
        )
        made.ttimeoutlen = made.timeoutlen = 0.05  # Escape leaves at once
        self._screen = made.output
        self._search("")
        return made

    def _search(self, query: str) -> None:
        self._query, self._at, self._top = query, 0, 0
        self._look(self._height() * 2)

    def _height(self) -> int:
        return max(1, self._screen.get_size().rows - _AROUND) if self._screen else 1

    def _width(self) -> int:
        return self._screen.get_size().columns if self._screen else 1

    def _look(self, most: int) -> None:
        self._most = most
        self._found, self._total = self._finder.find(self._query, most)

    def _move(self, by: int) -> None:
        self._at = max(0, min(self._at + by, self._total - 1))
        if self._at + self._height() >= self._most < self._total:
            self._look(self._most * 2)
        self._top = min(max(self._top, self._at - self._height() + 1), self._at)

    def _lines(self) -> StyleAndTextTuples:
        shown = self._found[self._top : self._top + self._height()]
        width = max((len(one.reference) for one in shown), default=0) + _GAP
        lines: StyleAndTextTuples = []
        for number, one in enumerate(shown, self._top):
            marks = described.state(one).removeprefix("active").removeprefix(", ")
            beside = " · ".join(part for part in (one.head.service_name, one.head.username, marks) if part)
            text = show.clean(f"{one.reference:<{width}}{beside}").replace("\n", " ")[: self._width() - 1]
            lines.append(("reverse" if number == self._at else "", f"{text}\n"))
        return lines

    def _footer(self) -> str:
        return f" {self._total} of {len(self._finder)} · {_HELP}"

    def _bindings(self) -> KeyBindings:
        from prompt_toolkit.key_binding import KeyBindings

        keys = KeyBindings()
        for key, lines in (("up", -1), ("down", 1), ("c-p", -1), ("c-n", 1)):
            keys.add(key)(partial(self._moved, lines=lines))
        for key, pages in (("pageup", -1), ("pagedown", 1)):
            keys.add(key)(partial(self._moved, pages=pages))
        for key, what in _KEYS.items():
            keys.add(key)(partial(self._ended, what=what))
        for key in ("escape", "c-c", "c-d"):
            keys.add(key)(_left)
        return keys

    def _moved(self, _event: KeyPressEvent, *, lines: int = 0, pages: int = 0) -> None:
        self._move(lines + pages * self._height())

    def _ended(self, event: KeyPressEvent, *, what: str) -> None:
        if self._found:
            event.app.exit(result=Picked(self._found[self._at].reference, what))


def _left(event: KeyPressEvent) -> None:
    event.app.exit(result=None)
