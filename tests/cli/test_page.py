"""The one-time page: it takes one value, from the person who has the code, through this very page."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest

from domain.errors import Unavailable
from mcp_server.cli.page import WRONG_CODES, OneValue
from tests.cli.screen import Screen
from tests.cli.test_daily import empty_credential

VALUE = "canary-hQ7 & <value> ümläut=%41+"


class Served:
    """A page that is waiting in a thread, and what it came to."""

    def __init__(self) -> None:
        self.page = OneValue("The password of acme/<web>/root")
        self.came: list[object] = []
        self.thread = threading.Thread(target=self._wait, daemon=True)
        self.thread.start()

    def _wait(self) -> None:
        try:
            self.came.append(self.page.wait(60))
        except Unavailable as error:
            self.came.append(error)

    def ask(self, method: str, path: str = "", given: str = "", **headers: str) -> tuple[int, str, dict[str, str]]:
        """One request, as this very page makes it unless said otherwise."""
        line = http.client.HTTPConnection("127.0.0.1", self.page.server_port, timeout=30)
        usual = {
            "Host": self.page.host,
            "Origin": f"http://{self.page.host}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        with closing(line):
            line.request(method, path or self.page.path, given or None, {**usual, **headers})
            answer = line.getresponse()
            said = answer.read().decode()
        return answer.status, said, dict(answer.headers)

    def send(self, value: str = VALUE, code: str = "", **headers: str) -> int:
        return self.ask("POST", given=urlencode({"code": code or self.page.code, "value": value}), **headers)[0]

    def value(self) -> str:
        self.thread.join(30)
        return self.came[0].expose()


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    yield one
    one.page.wrong = WRONG_CODES  # whoever still waits
    if one.thread.is_alive():
        with suppress(OSError):
            one.ask("GET")
    one.thread.join(30)
    one.page.server_close()


def test_the_form_tells_what_it_is_for_and_keeps_to_itself(served: Served) -> None:
    status, said, headers = served.ask("GET")
    assert status == 200
    assert "acme/&lt;web&gt;/root" in said
    assert served.page.code not in said
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Python" not in headers["Server"]


def test_a_value_is_taken_as_it_is_and_once(served: Served) -> None:
    assert served.send() == 200
    assert served.value() == VALUE


@pytest.mark.parametrize(
    ("sent", "taken"), [("one line\r\n", "one line"), ("-----B\r\nkey\r\n-----E\r\n", "-----B\nkey\n-----E\n")]
)
def test_line_breaks_are_those_of_the_value(served: Served, sent: str, taken: str) -> None:
    assert served.send(sent, served.page.code.lower()) == 200
    assert served.value() == taken


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 404),
        ({"Host": "localhost:{port}"}, 404),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Content-Length": "99999999"}, 413),
        ({"Content-Length": "-1"}, 413),
    ],
)
def test_what_comes_from_elsewhere_is_refused(served: Served, headers: dict[str, str], status: int) -> None:
    port = served.page.server_port
    assert served.send(**{name: text.replace("{port}", str(port)) for name, text in headers.items()}) == status
    assert served.page.value is None
    assert served.page.wrong == 0
    assert served.send() == 200


def test_another_path_has_nothing(served: Served) -> None:
    assert served.ask("GET", "/")[0] == 404
    assert served.ask("GET", served.page.path + "x")[0] == 404
    assert served.ask("PUT")[0] == 501


def test_without_the_code_nothing_is_taken_and_a_few_wrong_ones_close_it(served: Served) -> None:
    for _ in range(WRONG_CODES):
        assert served.send(code="WRONGONE") == 403
    served.thread.join(30)
    (error,) = served.came
    assert isinstance(error, Unavailable)
    assert "wrong too often" in error.message
    assert served.page.value is None


def test_an_empty_value_is_asked_for_again(served: Served) -> None:
    assert served.send("") == 400
    assert served.send("\r\n") == 400
    assert served.send() == 200


def test_nobody_waits_for_ever() -> None:
    with OneValue("x") as page, pytest.raises(Unavailable, match="in time"):
        page.wait(0.05)


def test_a_credential_is_filled_by_the_page(
    person, environment: dict[str, str], home: Path, password_file: Path
) -> None:
    reference = empty_credential(home)
    screen = Screen(environment, "credential", "fill", reference, "--page")
    port, path = screen.until(r"http://127\.0\.0\.1:([0-9]+)(/\S+)").groups()
    code = screen.until(r"The code for it: ([A-Z0-9]+)").group(1)
    line = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
    given = urlencode({"code": code, "value": VALUE})
    with closing(line):
        line.request("POST", path, given, {"Origin": f"http://127.0.0.1:{port}"})
        assert line.getresponse().status == 200
    screen.until(f"filled {reference}")
    assert screen.end() == 0
    assert VALUE not in screen.seen
    opened = person("credential", "reveal", reference, "--purpose", "x", "--password-file", str(password_file))
    assert opened.out == VALUE
