"""A page for one value: on loopback, once, for five minutes.

For values that are at hand in a browser or a password manager, or too long for a line without an echo.  What asks for the
value is this process alone: a random port of 127.0.0.1, a random path, a code that stands in the terminal, and only
requests that name this very address (Host) and come from this very page (Origin).
"""

from __future__ import annotations

import hmac
import html
import secrets
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer
from string import Template
from urllib.parse import parse_qs

from domain.drafts import MAX_VALUE
from domain.errors import Unavailable
from domain.plain import Plain
from mcp_server.cli import ask

OPEN_S = 300.0
WRONG_CODES = 5
_CODE_LETTERS = "ACDEFGHJKLMNPQRTUVWXY34679"
_CODE_LENGTH = 8
_LARGEST = 3 * MAX_VALUE + 1024  # each byte of a value as %XX, and the code
_REQUEST_S = 10.0
_REST_S, _MOST_UNREAD = 0.5, 1 << 20
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Content-Type": "text/html; charset=utf-8",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # without any, browsers send `Origin: null` with a form
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_STYLE = "body{font:16px sans-serif;max-width:40em;margin:4em auto}input,textarea{width:100%;font:16px monospace;margin:.3em 0 1em}"
_FORM = Template(
    "<h1>$what</h1><p>$note</p><form method=post autocomplete=off>"
    "<label>The code in the terminal<input name=code required autofocus autocomplete=off spellcheck=false></label>"
    "<label>The value<textarea name=value rows=6 required autocomplete=off spellcheck=false></textarea></label>"
    "<button>Into the vault</button></form>"
)
_DONE = "<h1>Taken</h1><p>Close this page; the terminal says what became of it.</p>"
_OVER = "<h1>Over</h1><p>This page took its value already, or too many codes were wrong.</p>"


class OneValue(HTTPServer):
    """The page of one process.  `url` and `code` are for its person."""

    def __init__(self, what: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.what = what
        self.host = f"127.0.0.1:{self.server_port}"
        self.path = f"/{secrets.token_urlsafe(16)}"
        self.code = "".join(secrets.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH))
        self.value: Plain | None = None
        self.wrong = 0

    def server_bind(self) -> None:
        """Takes the port; the base class would ask the network for a name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def url(self) -> str:
        """Where its person goes."""
        return f"http://{self.host}{self.path}"

    @property
    def is_over(self) -> bool:
        """Whether it takes nothing any more."""
        return self.value is not None or self.wrong >= WRONG_CODES

    def wait(self, seconds: float = OPEN_S) -> Plain:
        """The value.  Raises Unavailable where none came in time, or the code was wrong too often."""
        until = time.monotonic() + seconds
        while not self.is_over and (left := until - time.monotonic()) > 0:
            self.timeout = left
            self.handle_request()
        if self.value is None:
            why = "the code was wrong too often" if self.is_over else "nobody entered a value in time"
            raise Unavailable(f"{why}; the page is closed", hint="start it again")
        return self.value

    def handle_error(self, request: object, client_address: object) -> None:
        """A request that breaks off is nobody's concern."""


class _Handler(BaseHTTPRequestHandler):
    server: OneValue
    timeout = _REQUEST_S

    def do_GET(self) -> None:
        """The form."""
        if self._is_ours():
            self._answer(HTTPStatus.OK, self._form())

    def do_POST(self) -> None:
        """The code and the value."""
        body = self._body()
        if not self._is_ours():
            return
        if self.headers.get("Origin") != f"http://{self.server.host}":
            self._answer(HTTPStatus.FORBIDDEN, "<h1>Not from here</h1>")
            return
        if body is None:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._form("That is too long."))
            return
        try:
            given = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=4, errors="strict")
        except ValueError:
            self._answer(HTTPStatus.BAD_REQUEST, self._form("That is no text."))
            return
        code = given.get("code", [""])[0].strip().upper()
        if not hmac.compare_digest(code.encode(), self.server.code.encode()):
            self.server.wrong += 1
            over = self.server.is_over
            self._answer(HTTPStatus.FORBIDDEN, _OVER if over else self._form("That is not the code in the terminal."))
            return
        value = given.get("value", [""])[0].replace("\r\n", "\n")  # as forms send line breaks
        one_line = value.rstrip("\n")
        value = value if "\n" in one_line else one_line
        if not value:
            self._answer(HTTPStatus.BAD_REQUEST, self._form("The value is empty."))
            return
        self.server.value = Plain(value)
        self._answer(HTTPStatus.OK, _DONE)

    def log_message(self, format: str, *args: object) -> None:  # the base class calls it so
        """Nothing of a request is written down."""

    def version_string(self) -> str:
        """Who answers."""
        return "claudetools"

    def _body(self) -> bytes | None:
        """What was sent; None where it is too long.

        It is read whatever becomes of it: a line that is closed with something unread loses the answer too.
        """
        size = self.headers.get("Content-Length", "")
        if size.isdecimal() and int(size) <= _LARGEST:
            return self.rfile.read(int(size))
        self.connection.settimeout(_REST_S)
        with suppress(OSError):
            self.rfile.read(_MOST_UNREAD)
        return None

    def _is_ours(self) -> bool:
        if self.headers.get("Host") != self.server.host or not hmac.compare_digest(
            self.path.encode(), self.server.path.encode()
        ):
            self._answer(HTTPStatus.NOT_FOUND, "<h1>Nothing here</h1>")
            return False
        if self.server.is_over:
            self._answer(HTTPStatus.GONE, _OVER)
            return False
        return True

    def _form(self, note: str = "It goes to this machine's vault, and nowhere else.") -> str:
        return _FORM.substitute(what=html.escape(self.server.what), note=html.escape(note))

    def _answer(self, status: HTTPStatus, body: str) -> None:
        page = f"<!doctype html><html lang=en><title>ClaudeTools</title><style>{_STYLE}</style>{body}</html>".encode()
        self.send_response(status)
        for name, text in _HEADERS.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(page)


def asked(what: str) -> Plain:
    """Opens the page, tells its address and code at the terminal, and waits for the value.  Raises Unavailable."""
    with OneValue(what) as page:
        ask.say(f"Enter it within five minutes at {page.url}\nThe code for it: {page.code}")
        return page.wait()
