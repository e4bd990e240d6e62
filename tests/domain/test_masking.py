"""Known values are found in every form of the matrix, whole, and nothing else is."""

from __future__ import annotations

import base64
import json
import pickle
import re
import string
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.masking import Matcher, Span
from tests.kit.forms import CHEAP, NEVER, REQUIRED, assert_absent, forms, variants

LABEL = "acme/mail/admin#password"
VALUES = {
    "signs": b"kQ7#vT9!wZ&2x\"Lp's@8",
    "letters": b"Pl4in0nlyAlnumTokenXyz",
    "shortest": b"aB3$eF6z",
    "base64 itself": b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYzzzz==",
    "escapes itself": b"p@ss/w0rd+%41=\\n&amp;",
    "Polish": "zażółć-gęślą-7".encode(),
    "a phrase": b"correct horse battery",
    "long": ("".join(f"{n:04x}Zq" for n in range(100))).encode(),
}
VECTORS = Path(__file__).parents[1] / "vectors"
OTHERS = [(f"other/service/n{n}#token", f"Qz{n:03d}-unrelated-{n * 7919:x}".encode()) for n in range(50)]


def matcher(value: bytes) -> Matcher:
    return Matcher([*OTHERS, (LABEL, value)])


def masked(data: bytes, spans: list[Span]) -> bytes:
    for span in reversed(spans):
        data = data[: span.start] + b"*" + data[span.end :]
    return data


def left_over(form: bytes, before: bytes, after: bytes, found: Matcher) -> bytes:
    """What is left of a form between two ordinary texts, without quotes, padding, colours and white space."""
    out = masked(before + form + after, found.find_bytes(before + form + after))
    assert out.startswith(before.rstrip(b"\n"))
    assert out.endswith(after.lstrip(b"\n"))
    rest = out[len(before.rstrip(b"\n")) : len(out) - len(after.lstrip(b"\n"))]
    return re.sub(rb"\x1b\[[0-9]+m|[\s'\"=*\0]", b"", rest)


@pytest.mark.parametrize("form", REQUIRED + CHEAP)
@pytest.mark.parametrize("kind", VALUES)
def test_every_form_of_the_matrix_is_found_whole(kind: str, form: str) -> None:
    value = VALUES[kind]
    written = forms(value)[form]
    # Beside the value, only bits of the neighbours that these two forms put before it may stay.
    neighbour = {"base64 at offset 1": b"O", "base64 at offset 2": b"YT"}.get(form, b"")
    assert left_over(written, b"they sent\n", b"\nand left", matcher(value)) in (neighbour, b"")


@pytest.mark.parametrize("form", [form for form in REQUIRED if form != "xxd dump"])  # a dump begins its own line
def test_the_forms_are_found_in_the_middle_of_a_line(form: str) -> None:
    value = VALUES["signs"]
    spans = matcher(value).find_bytes(b"before " + forms(value)[form] + b" after")
    assert {span.label for span in spans} == {LABEL}
    assert_absent(value, masked(b"before " + forms(value)[form] + b" after", spans))


@pytest.mark.parametrize("kind", VALUES)
def test_other_spellings_of_the_forms_are_found(kind: str) -> None:
    value = VALUES[kind]
    found = matcher(value)
    for name, written in variants(value).items():
        data = b"they sent\n" + written + b"\nand left"
        out = masked(data, found.find_bytes(data))
        assert out != data, name
        assert_absent(value, out, f"after masking {name!r}")


@pytest.mark.parametrize("form", NEVER)
def test_compressed_forms_are_never_found(form: str) -> None:
    value = VALUES["long"]
    assert matcher(value).find_bytes(forms(value)[form]) == []


def test_what_real_programs_print_is_found() -> None:
    vectors = json.loads((VECTORS / "printed_forms.json").read_text())
    found = Matcher([(LABEL, vectors["value"].encode())])
    for program, printed in vectors["printed"].items():
        spans = found.find(printed)
        assert [span.label for span in spans] == [LABEL], program
        rest = printed[: spans[0].start] + printed[spans[0].end :]
        assert_absent(vectors["value"], rest.encode(), f"in what {program} printed")


@example("000000::'%12")  # what the value spells is not what the escapes around it spell
@given(st.text(string.ascii_letters + string.digits + string.punctuation, min_size=12, max_size=48))
@settings(max_examples=40, deadline=None)
def test_any_value_is_found_in_every_form(text: str) -> None:
    if len(set(text)) < 6 or sum(map(str.isalnum, text)) < 8:
        return
    value = text.encode()
    found = Matcher([(LABEL, value)])
    for name, written in {**forms(value), **variants(value)}.items():
        if name in NEVER:
            continue
        data = b"they sent\n" + written + b"\nand left"
        spans = found.find_bytes(data)
        assert spans, name
        assert_absent(value, masked(data, spans), f"after masking {name!r}")


def test_places_count_characters_in_texts_and_bytes_in_bytes() -> None:
    found = Matcher([(LABEL, b"hunter2-hunter2")])
    text = "zażółć 😀 hunter2-hunter2 ółć"
    (span,) = found.find(text)
    assert text[span.start : span.end] == "hunter2-hunter2"
    (span,) = found.find_bytes(text.encode())
    assert text.encode()[span.start : span.end] == b"hunter2-hunter2"


def test_a_span_inside_base64_covers_every_character_that_carries_a_bit_of_the_value() -> None:
    value = b"kQ7#vT9!wZ&2xLps@8"
    found = Matcher([(LABEL, value)])
    for before in (b"", b"a", b"ab", b"abc", b'{"token":"'):
        for after in (b"", b"z", b"yz", b'"}'):
            encoded = base64.b64encode(before + value + after)
            (span,) = found.find_bytes(encoded)
            first, last = len(before) * 8 // 6, ((len(before) + len(value)) * 8 - 1) // 6
            assert span.start <= first
            assert span.end > last


@pytest.mark.parametrize("short", ["1234", "s3cret!", "abc"])
def test_a_value_under_eight_characters_is_found_only_beside_its_own_name_or_host(short: str) -> None:
    found = Matcher([(LABEL, short.encode(), ("backup-admin", "db7.acme.test"))])
    assert found.find(f"ordinary text with {short} in it") == []
    (span,) = found.find(f"login: backup-admin {short}")
    assert span.label == LABEL
    assert len(found.find(f"{short} is for DB7.acme.test")) == 1
    assert found.find(f"backup-admin x{short}x") == []
    assert found.find("backup-admin " + base64.b64encode(short.encode()).decode()) == []


def test_a_value_under_eight_characters_without_a_name_is_never_found() -> None:
    assert Matcher([(LABEL, b"1234")]).find("pin 1234") == []


def test_a_long_value_is_recognised_by_each_of_its_lines() -> None:
    lines = ["".join(f"{(n * 7919 + m * 104729) % 16**8:08X}zq" for m in range(6)) for n in range(12)]
    key = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(lines) + "\n-----END PRIVATE KEY-----\n"
    found = Matcher([(LABEL, key.encode())])
    for line in lines:
        (span,) = found.find(f"a part: {line}.")
        assert (span.start, span.end) == (8, 8 + len(line))
    assert len(found.find(key)) == 1, "the lines of one value are one span"
    assert found.find("-----BEGIN PRIVATE KEY-----") == []


def test_the_longer_of_two_values_names_what_both_cover() -> None:
    found = Matcher([("a/b/short#password", b"hunter2hunter2"), ("a/b/long#password", b"hunter2hunter2-production")])
    assert [span.label for span in found.find("hunter2hunter2-production")] == ["a/b/long#password"]
    assert [span.label for span in found.find("hunter2hunter2-staging")] == ["a/b/short#password"]


def test_two_values_that_overlap_are_both_covered() -> None:
    found = Matcher([("a/b/c#x", b"alpha-bravo-charlie"), ("a/b/d#x", b"charlie-delta-echo7")])
    (span,) = found.find("alpha-bravo-charlie-delta-echo7")
    assert (span.start, span.end) == (0, 31)


def test_ordinary_text_is_not_masked() -> None:
    found = matcher(VALUES["letters"])
    here = Path(__file__).parents[2]
    for path in [*(here / "domain").glob("*.py"), *(here / "docs").glob("*.md"), here / "README.md"]:
        text = path.read_text()
        assert found.find(text) == [], path.name
        assert found.find(json.dumps(json.dumps(text))) == [], path.name
        assert found.find(base64.b64encode(text.encode()).decode()) == [], path.name


def test_nothing_is_found_without_values() -> None:
    assert Matcher([]).find("anything") == []
    assert Matcher([("a/b/c#d", b""), ("a/b/c#e", b"   "), ("a/b/c#f", b"         ")]).find("   " * 20) == []


def test_a_matcher_never_shows_its_values() -> None:
    found = Matcher([(LABEL, b"hunter2-hunter2"), (LABEL, b"s3cret", ("admin",))])
    assert "hunter2" not in repr(found)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(found)


@pytest.mark.parametrize(
    "hostile",
    [
        "a" * 100_000,
        "\\" * 100_001,
        "%" * 100_000,
        "%41" * 30_000,
        "&" * 100_000,
        "\x1b[" * 50_000,
        "\x1b]" * 50_000,
        "\0" * 100_000,
        "00000000: 6161 6161  aa\n" * 4_000,
        "deadbeef " * 10_000,
        "\ud800" * 30_000,
        "'\"'\"'" * 20_000,
        "\\ud83d" * 15_000,
        "\\u{110000}&#x110000;\\U00110000" * 3_000,
    ],
    ids=lambda text: ascii(text[:6]),
)
def test_no_text_confuses_the_search(hostile: str) -> None:
    value = "kQ7#vT9!wZ2xLps@8"
    text = hostile + "\n" + value + "\n" + hostile
    (span,) = Matcher([(LABEL, value.encode())]).find(text)
    assert text[span.start : span.end].strip("\0") == value


def test_values_added_later_are_found_like_those_it_was_built_of() -> None:
    values = [(f"v{number}", f'Value {number}: k9!Qz&7"x'.encode()) for number in range(6)]
    text = "\n".join(form.decode() for _, value in values for name, form in forms(value).items() if name not in NEVER)
    whole = Matcher([*values, ("short", b"4711", ("fwadmin",))])
    grown = Matcher(values[:3]).with_values(values[3:4]).with_values([*values[4:], ("short", b"4711", ("fwadmin",))])
    assert grown.added == 4
    assert len(grown) == len(whole)
    for each in (text, "fwadmin 4711", "nothing of it"):
        assert grown.find(each) == whole.find(each)
    assert whole.find(text)


def test_a_matcher_that_others_were_made_from_stays_as_it_is() -> None:
    first = Matcher([("one", b"the first value, 1")])
    first.with_values([("two", b"the second value, 2")])
    assert first.find("the second value, 2") == []
    assert first.added == 0
    added = Matcher(()).with_values([("two", b"the second value, 2")])
    assert [span.label for span in added.find("the second value, 2")] == ["two"]
