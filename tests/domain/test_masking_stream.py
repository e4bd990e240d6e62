"""A masked stream depends on its bytes alone, never on where they were cut."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.masking import Masker, Matcher
from tests.kit.forms import NEVER, assert_absent, forms, variants

VALUE = b"kQ7#vT9!wZ&2x\"Lp's@8"
OTHER = b"Pl4in0nlyAlnumTokenXyz"
MATCHER = Matcher([("acme/mail/admin#password", VALUE), ("acme/db/root#token", OTHER)])
WINDOW = 4096

FORMS = [
    form for made in (VALUE, OTHER) for name, form in {**forms(made), **variants(made)}.items() if name not in NEVER
]
NOISE = [
    b"ordinary words of a log\n",
    b"\\",
    b"%",
    b"&amp;",
    b"\x1b[31m",
    b"ffff: 6b51 ",
    b"0123456789abcdef",
    b"=" * 40,
    b"\n" * 30,
    b"x" * 700,
    b"\0",
]
STREAM = st.lists(st.sampled_from(FORMS) | st.sampled_from(NOISE) | st.binary(max_size=40), max_size=60).map(b"".join)


def run(chunks: list[bytes]) -> tuple[bytes, dict[str, int]]:
    masker = Masker(MATCHER, window=WINDOW)
    out = b"".join([*(masker.feed(chunk) for chunk in chunks), masker.finish()])
    return out, dict(masker.hits)


@given(STREAM, st.lists(st.integers(min_value=0, max_value=12_000), max_size=40))
@settings(max_examples=80, deadline=None)
def test_a_stream_is_masked_alike_however_it_is_cut(stream: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[a:b] for a, b in itertools.pairwise(places)]
    assert run(chunks) == run([stream])


@given(STREAM)
@settings(max_examples=15, deadline=None)
def test_a_stream_cut_at_every_byte_is_masked_alike(stream: bytes) -> None:
    assert run([stream[i : i + 1] for i in range(len(stream))]) == run([stream])


@given(st.lists(st.sampled_from(FORMS) | st.sampled_from([b"plain words\n", b"\n\n", b"x" * 500 + b"\n"]), max_size=60))
@settings(max_examples=40, deadline=None)
def test_no_form_of_a_value_passes(pieces: list[bytes]) -> None:
    out, _ = run([b"\n".join(pieces)])
    assert_absent(VALUE, out)
    assert_absent(OTHER, out)


def test_a_value_across_the_edge_of_a_window_is_masked() -> None:
    for at in range(WINDOW // 2 - 40, WINDOW // 2 + 40, 3):
        for fill in (b"x", b"\n", b"x y\n"):
            stream = (fill * WINDOW)[:at] + b" " + VALUE + b" " + fill * WINDOW
            out, hits = run([stream])
            assert VALUE not in out
            assert hits == {"acme/mail/admin#password": 1}


def test_the_reference_takes_the_place_of_the_value() -> None:
    out, hits = run([b"login " + VALUE[:5], VALUE[5:] + b" done\n"])
    assert out == b"login {{credential:acme/mail/admin#password}} done\n"
    assert hits == {"acme/mail/admin#password": 1}


def test_another_replacement_can_be_given() -> None:
    masker = Masker(MATCHER, lambda label: f"<{label.split('#')[1]}>")
    assert masker.feed(b"x " + OTHER) + masker.finish() == b"x <token>"


def test_ordinary_bytes_pass_unchanged() -> None:
    stream = bytes(range(256)) * 200 + b"\n" * 5000
    assert run([stream]) == (stream, {})
