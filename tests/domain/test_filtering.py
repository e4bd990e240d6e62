"""A stream is struck like one text, whatever pieces it comes in, in bounded memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.filtering import Filter
from domain.masking import Matcher
from domain.redaction import Redactor, Struck

REFERENCE = "{{credential:acme/mail/admin#password}}"
VALUE = "kQ7#vT9!wZ&2x\"Lp's@8"
TOKEN = "gh" + "p_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"
LINE = "The gateway answers on port 9443 and the retries stay at three.\n"
KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + ("MIIEpAIBAAKCAQEA7f3kQ9sX2mLw8vTz4nB6yHc1RjD5uPqE0aGiK\n" * 12)
    + "-----END RSA PRIVATE KEY-----\n"
)
REDACTOR = Redactor(Matcher([("acme/mail/admin#password", VALUE.encode())]), engine=False)


def through(text: str, cuts: list[int], window: int = 4096) -> tuple[str, dict[str, int]]:
    """What a filter makes of a text that comes in pieces."""
    striking = Filter(REDACTOR.strike, window=window)
    out, at = [], 0
    for cut in [*sorted(cut % (len(text) + 1) for cut in cuts), len(text)]:
        out.append(striking.feed(text[at:cut]))
        at = max(at, cut)
    return "".join([*out, striking.finish()]), dict(striking.counts)


SECRETS = [VALUE, TOKEN, KEY, f"DB_PASSWORD=pR0d-8fh2Kq {VALUE}\n", "<private>my\n\nthing</private>", "password:\n"]


@given(
    st.lists(st.sampled_from([LINE, LINE * 9, *SECRETS]) | st.text(max_size=40), max_size=60),
    st.lists(st.integers(0, 1 << 20), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_the_result_depends_on_the_text_alone(pieces: list[str], cuts: list[int]) -> None:
    text = "".join(pieces)
    whole = through(text, [])
    assert through(text, cuts) == whole
    assert VALUE not in whole[0]
    assert TOKEN not in whole[0]
    assert "MIIEpAIBAAKCAQEA" not in whole[0]


def test_a_stream_is_struck_like_one_text() -> None:
    text = (LINE * 70 + f"token {TOKEN}\n" + LINE * 11 + KEY + LINE * 50 + VALUE + "\n") * 6
    struck = REDACTOR.strike(text)
    assert through(text, list(range(0, len(text), 1000))) == (struck.text, dict(struck.counts))


def test_text_without_lines_comes_through_in_bounded_memory() -> None:
    text = ("x1 " * 30_000 + VALUE) * 2
    out, counts = through(text, [])
    assert out == text.replace(VALUE, REFERENCE)
    assert counts == {"vault value": 2}


def test_no_more_is_held_back_than_some_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 0

    def strike(text: str) -> Struck:
        nonlocal longest
        longest = max(longest, len(text))
        return REDACTOR.strike(text)

    striking: Any = Filter(strike, window=1024)
    for _ in range(400):
        striking.feed("<private>" + LINE)
    assert striking.finish()
    assert longest <= 1024 * 8 + 2048
