"""Vault values become references, private parts and known formats are struck, and everything else stays."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import redaction
from domain.masking import Matcher
from domain.redaction import VAULT, Redactor, Struck
from domain.vendors import BEGINNINGS
from tests.kit.forms import NEVER, assert_absent, forms, variants

LABEL = "acme/mail/admin#password"
REFERENCE = "{{credential:" + LABEL + "}}"
VALUE = "kQ7#vT9!wZ&2x\"Lp's@8"
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "known_formats.json").read_text())


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor(Matcher([(LABEL, VALUE.encode()), ("acme/fw/pin#password", b"4711", ("fwadmin",))]))


def test_a_vault_value_becomes_its_live_reference(redactor: Redactor) -> None:
    struck = redactor.strike(f"I logged in with {VALUE} and it worked.")
    assert struck.text == f"I logged in with {REFERENCE} and it worked."
    assert struck.counts == {VAULT: 1}


def test_a_label_that_is_a_reference_already_stands_as_it_is() -> None:
    assert Redactor(Matcher([(REFERENCE, VALUE.encode())])).strike(VALUE).text == REFERENCE


def test_a_vault_value_wins_over_a_format(redactor: Redactor) -> None:
    assert redactor.strike(f'password = "{VALUE}"').counts.keys() == {VAULT}


def test_a_short_value_is_struck_beside_its_user_name_alone(redactor: Redactor) -> None:
    assert redactor.strike("fwadmin 4711").text == "fwadmin {{credential:acme/fw/pin#password}}"
    assert redactor.strike("build 4711 passed").text == "build 4711 passed"


FORMS = {
    name: form.decode()
    for name, form in {**forms(VALUE.encode()), **variants(VALUE.encode())}.items()
    if name not in NEVER
}


@given(
    st.lists(st.sampled_from(sorted(FORMS)) | st.text(max_size=30), max_size=8), st.sampled_from(["\n", " ", "\n\n"])
)
@settings(max_examples=60, deadline=None)
def test_no_form_of_a_value_survives(pieces: list[str], between: str) -> None:
    dump = any("xxd" in piece or "hexdump" in piece for piece in pieces)
    text = ("\n" if dump else between).join(FORMS.get(piece, piece) for piece in pieces)
    struck = Redactor(Matcher([(LABEL, VALUE.encode())])).strike(text)
    assert_absent(VALUE, struck.text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("case", VECTORS["struck"], ids=lambda case: case["what"])
def test_a_known_format_is_struck(redactor: Redactor, case: dict[str, object]) -> None:
    secret = "".join(case["secret"])
    before, after = str(case["text"]).split("{}")
    struck = redactor.strike(before + secret + after)
    assert secret not in struck.text
    assert struck.text != before + secret + after
    for part in secret.split():
        assert len(part) < 12 or part not in struck.text
    assert any(str(case["rule"]) in rule for rule in struck.counts), dict(struck.counts)
    assert f"[struck: {next(iter(struck.counts))}]" in struck.text
    for word in (before + after).split():
        if case["rule"] and word.isalpha():
            assert word in struck.text, "only the secret goes"


PUT = {
    "¤password¤": "dq7Vbg" + "tR3x",
    "¤key¤": "9fK2mZx8Qw" + "Lr4TyBv7Nc1HsD",
    "¤hex¤": "3f9a1c7e5b2d8046" + "af13ce5790bd2468",
}


@pytest.mark.parametrize("place", VECTORS["places"])
def test_a_secret_is_struck_where_it_is_written_down(place: str) -> None:
    ((mark, secret),) = [(mark, secret) for mark, secret in PUT.items() if mark in place]
    struck = Redactor(engine=False).strike(place.replace(mark, secret))
    assert secret not in struck.text
    assert struck.counts


@pytest.mark.parametrize("text", VECTORS["kept"])
def test_ordinary_text_stays(redactor: Redactor, text: str) -> None:
    assert redactor.strike(text) == Struck(text, {})


def test_our_own_code_stays(redactor: Redactor) -> None:
    here = Path(__file__).parents[2]
    for path in [*here.glob("domain/*.py"), *here.glob("storage/*.py"), *here.glob("mcp_server/services/*.py")]:
        counts = dict(redactor.strike(path.read_text()).counts)
        counts.pop("private", None)  # code may speak of the marks themselves
        assert counts == {}, path.relative_to(here)


@pytest.mark.parametrize("number", range(len(BEGINNINGS)), ids=lambda number: "".join(BEGINNINGS[number][1::-1]))
def test_every_published_beginning_is_recognised(number: int) -> None:
    name, beginning, alphabet, least = BEGINNINGS[number]
    letters = [c for c in map(chr, range(33, 127)) if re.fullmatch(f"[{alphabet}]", c)]
    body = "7" + "".join(random.Random(number).choices(letters, k=least + 3))
    struck = Redactor(engine=False).strike(f"it answers to {beginning}{body} alone")
    assert body not in struck.text
    assert struck.text.startswith("it answers to [struck: ")
    assert Redactor(engine=False).strike(f"it answers to {beginning}{'x' * (least + 3)}!").counts.get(name) is None


HIDDEN = [
    "[struck: {}]",
    "{{{{credential:acme/mail/{}#password}}}}",
    "{{{{credential:{}/mail/admin#password}}}}",
    "{{{{credential:acme/mail/admin#{}}}}}",
]


@pytest.mark.parametrize("form", HIDDEN)
def test_nothing_hides_in_what_looks_like_a_mark(redactor: Redactor, form: str) -> None:
    for secret in (
        "9f3b7c21d45a68e09f3b7c21d45a68e0",
        "ak" + "ia" + "q3egrvxw2jnfzt5k7hq9",
        "sk_" + "live_9aq8rk2mzt7wx4ye6b",
    ):
        text = form.format(secret)
        assert secret not in redactor.strike(f"token: {text}").text


@pytest.mark.parametrize("form", HIDDEN)
def test_no_vault_value_hides_in_what_looks_like_a_mark(form: str) -> None:
    redactor = Redactor(Matcher([(LABEL, b"orange-teapot-77")]))
    struck = redactor.strike(form.format("orange-teapot-77"))
    assert "orange-teapot-77" not in struck.text
    assert redactor.strike(struck.text) == Struck(struck.text, {})


def test_a_reference_may_be_spelt_like_its_value() -> None:
    redactor = Redactor(
        Matcher([("acme/gateway/admin#password", b"gateway-admin"), ("acme/gateway-admin/x#token", b"acme/gateway")])
    )
    text = "{{credential:acme/gateway-admin/x#token}} [struck: github-token]"
    assert redactor.strike(text) == Struck(text, {})


def test_a_long_text_is_struck_as_its_parts_are(redactor: Redactor) -> None:
    token = "gh" + "p_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"
    filler = "The gateway answers on port 9443 and the retries stay at three.\n" * 2000
    text = f"{filler}DB_PASSWORD=pR0d-8fh2Kq\n{filler}{token}\n{filler}{VALUE}\n{filler}"
    struck = redactor.strike(text)
    assert struck.text.count("[struck: ") == 2
    assert struck.counts[VAULT] == 1
    assert struck.text.count(filler) == 4
    assert redactor.strike(struck.text) == Struck(struck.text, {})


PRIVATE = [
    ("a <private>my thing</private> b", "a [struck: private] b"),
    ("a <PRIVATE>x\n\ny</PRIVATE> b", "a [struck: private] b"),
    ("a <private>no end\nhere\n\nnext", "a [struck: private]\n\nnext"),
    ("Don't remember this: the client's name\nis Meyer.\n\nGo on.", "[struck: private]\n\nGo on."),
    ("please do not remember that: x", "[struck: private]"),
    ("[don't remember] x y", "[struck: private]"),
    ("I don't remember this part of the code.", None),
    ("We don’t remember how.", None),
    ("<privateer>", None),
]


@pytest.mark.parametrize(("text", "expected"), PRIVATE)
def test_what_a_person_marks_as_private_goes(redactor: Redactor, text: str, expected: str | None) -> None:
    assert redactor.strike(text).text == (text if expected is None else expected)


def test_a_secret_that_is_named_once_is_struck_wherever_it_stands(redactor: Redactor) -> None:
    token = "gh" + "p_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"
    assert token not in redactor.strike(f"GITHUB_TOKEN={token}\nretry with {token}!").text


def test_a_format_that_only_the_engine_knows_is_struck(redactor: Redactor) -> None:
    text = "the client got " + "p8e" + "-9f3b7c21d45a68e09f3b7c21d45a68e0 today"
    assert redactor.strike(text).text == "the client got [struck: adobe-client-secret] today"
    assert Redactor(None, engine=False).strike(text).text == text


def test_a_comment_cannot_switch_the_rules_off(redactor: Redactor) -> None:
    token = "gh" + "p_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"
    for hush in ("gitleaks:allow", "betterleaks:allow", "kingfisher:ignore", "nosec", "\0"):
        assert token not in redactor.strike(f"{hush} t={token} # {hush}").text


def test_references_and_marks_survive(redactor: Redactor) -> None:
    text = (
        f'password = "{REFERENCE}"\ntoken: [struck: github-token]\n-----BEGIN RSA PRIVATE KEY-----\n' + REFERENCE + "\n"
    )
    struck = redactor.strike(text)
    assert struck.text.count(REFERENCE) == 2
    assert "[struck: github-token]" in struck.text


@pytest.mark.parametrize("mark", ["[struck: assigned-secret]", "{{credential:acme/ci/runner#token}}"])
def test_a_mark_is_no_name_for_what_stands_beside_it(redactor: Redactor, mark: str) -> None:
    text = f"the runner has {mark}: 0123456789abcdef0123456789abcdef"
    assert redactor.strike(text).text == text


def test_what_a_struck_neighbour_hid_is_struck_too(redactor: Redactor) -> None:
    hidden = "AK" + "IAQ3EGRVXW2JNFZT5K"
    text = "amzn." + "mws.123e4567-e89b-12d3-a456-426614174000" + hidden
    once = redactor.strike(text)
    assert hidden not in once.text
    assert redactor.strike(once.text) == Struck(once.text, {})


PIECES = [
    *(case["text"].replace("{}", "".join(case["secret"])) for case in VECTORS["struck"]),
    *VECTORS["kept"],
    *(text for text, _ in PRIVATE),
    *FORMS.values(),
    REFERENCE,
    "[struck: jwt]",
    "password=",
    "token: ",
    '"',
    "0123456789abcdef0123456789abcdef",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=8), st.sampled_from(["\n", " ", "", "\n\n"]))
@settings(max_examples=80, deadline=None)
def test_striking_twice_changes_nothing_more(pieces: list[str], between: str) -> None:
    redactor = Redactor(Matcher([(LABEL, VALUE.encode())]))
    once = redactor.strike(between.join(pieces))
    assert redactor.strike(once.text) == Struck(once.text, {})
    assert redactor.strike(between.join(pieces)) == once, "striking is deterministic"


def test_every_private_mark_without_an_end_takes_its_paragraph(redactor: Redactor) -> None:
    text = "a <private>one\nmore\n\nnext\nb <private>two\nmore\n\nlast"
    assert redactor.strike(text).text == "a [struck: private]\n\nnext\nb [struck: private]\n\nlast"


def test_the_counts_name_rules_and_never_what_was_struck(redactor: Redactor) -> None:
    struck = redactor.strike("\n".join(PIECES))
    secrets = ["".join(case["secret"]) for case in VECTORS["struck"]]
    assert struck.counts
    assert not any(secret in repr(dict(struck.counts)) for secret in [*secrets, VALUE])
    assert VALUE not in repr(redactor)


def test_vault_values_alone_can_be_struck(redactor: Redactor) -> None:
    key = "AK" + "IAQ3EGRVXW2JNFZT5K"
    assert redactor.strike_values(f"{key} {VALUE}") == Struck(f"{key} {REFERENCE}", {VAULT: 1})


def test_values_that_are_not_stored_yet_become_references_too(redactor: Redactor) -> None:
    new = Matcher([("acme/db/root#token", b"hunter2-hunter2-77")])
    struck = redactor.strike(f'token = "hunter2-hunter2-77" and {VALUE}', extra=new)
    assert struck.text == 'token = "{{credential:acme/db/root#token}}" and ' + REFERENCE
    assert struck.counts == {VAULT: 2}


def test_without_a_vault_formats_are_struck_all_the_same() -> None:
    assert Redactor(None).strike("DB_PASSWORD=pR0d-8fh2Kq").counts
    assert Redactor(None, engine=False).strike("DB_PASSWORD=pR0d-8fh2Kq").counts


HOSTILE = [
    "password=", "://a:b@", "$1$", "cookie: a=", "-----BEGIN RSA PRIVATE KEY-----\n", "eyJ", "<private>", "don't remember this: x\n",
    "[struck: x] ", REFERENCE, "curl -u ", "token=0123456789abcdef0123 ", "AZDO", "q~", "https://a.b/hooks/", "key ", "a1b2c3d4e5f6a7b8c9d0e1f2-", "\ud800", "\0", "aB", '{"a":',
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE, ids=ascii)
def test_no_text_confuses_the_striking(redactor: Redactor, unit: str) -> None:
    text = unit * (60_000 // len(unit))
    struck = redactor.strike(f"{VALUE}\n\n{text}")
    assert VALUE not in struck.text
    assert struck.text.startswith((REFERENCE, "[struck: "))


def test_importing_loads_neither_engine_nor_rules() -> None:
    program = "import sys, domain.redaction; print(any('betterleaks' in name for name in sys.modules))"
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert out.stdout.strip() == "False"


def test_bytes_that_are_no_text_hide_nothing() -> None:
    key = "glpat-" + "x7Kq2mVn9TzR4wBc6Ydf"
    struck = Redactor().strike(f"a \udcff b {key} c \udcfe")
    assert struck.text.startswith("a \udcff b [struck: ")
    assert struck.text.endswith("] c \udcfe")


@pytest.mark.parametrize("unseen", ["\u200b", "\u00ad", "\u2060\u200d", "\U000e0041"])
@pytest.mark.parametrize("at", [2, 9, 20])
def test_what_is_not_seen_hides_no_key(unseen: str, at: int) -> None:
    key = "glpat-" + "x7Kq2mVn9TzR4wBc6Ydf"
    struck = Redactor().strike(f"\u26a0\ufe0f use {key[:at]}{unseen}{key[at:]} from now on").text
    assert struck.startswith("\u26a0\ufe0f use [struck: ")
    assert struck.endswith("] from now on")
    assert Redactor().strike(struck).text == struck


def test_the_neighbourhood_of_a_mark_near_the_beginning_is_looked_through_too() -> None:
    assert list(redaction._around([(10, 20), (50_000, 50_010)], 100_000)) == [(0, 8_212), (41_808, 58_202)]
