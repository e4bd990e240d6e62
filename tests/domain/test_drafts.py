"""Every reason to refuse a draft, told by field, without a word of what was handed in."""

from __future__ import annotations

import dataclasses

import pytest

from domain import drafts
from domain.credentials import TYPES
from domain.drafts import ALPHABETS, Draft, Generate, check_draft
from domain.errors import Invalid
from domain.plain import Plain

CANARY = "kanarie-9c1f7Q"
GOOD = Draft("password", "Gitea", values={"password": Plain("a value")})


def wrong(**changes) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        check_draft(dataclasses.replace(GOOD, **changes))
    told = refused.value
    assert all(name in told.message for name in told.fields)
    assert CANARY not in repr(told) + told.message + told.hint + repr(told.fields)
    return told.fields


@pytest.mark.parametrize("kind", TYPES.values(), ids=lambda kind: kind.name)
def test_every_type_takes_all_its_fields(kind):
    values = {name: Plain("JBSWY3DPEHPK3PXP" if name == "totp_seed" else "a value") for name in kind.secrets()}
    check_draft(Draft(kind.name, "Gitea", values=values, open=dict.fromkeys(kind.open, "text")))


def test_an_unknown_type_lists_the_eight():
    fields = wrong(type=CANARY)
    assert all(name in fields["type"] for name in TYPES)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("service_name", ""),
        ("service_name", "   "),
        ("service_name", CANARY * 30),
        ("service_name", f"{CANARY}\x00"),
        ("username", CANARY * 30),
        ("username", "\x00"),
        ("client", CANARY * 30),
        ("service", "\x00"),
        ("name", "\x00"),
        ("infrastructure", "\x00"),
        ("external_url", "https://" + "x" * 2048),
        ("external_url", "\x00"),
        ("ports", (0,)),
        ("ports", (65536,)),
        ("ports", (-1,)),
        ("ports", tuple(range(1, 66))),
        ("tags", ("",)),
        ("tags", ("  ",)),
        ("tags", ("x" * 65,)),
        ("tags", ("a\x00b",)),
        ("tags", ("t",) * 33),
        ("rotate_every_days", 0),
        ("rotate_every_days", -1),
        ("rotate_every_days", 3651),
        ("exposure", CANARY),
        ("expires_us", -1),
        ("expires_us", 2**63),
    ],
)
def test_a_field_that_cannot_be_used_is_named(field, value):
    assert list(wrong(**{field: value})) == [field]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "empty"),
        ("x" * (drafts.MAX_VALUE + 1), "at most"),
        ("x" * 1_000_000, "at most"),
        (f"{CANARY}\x00", "NUL"),
        ("\x00", "NUL"),
    ],
)
@pytest.mark.parametrize("field", ["password", "notes"])
def test_a_value_that_cannot_be_used_is_named_with_its_reason(field, value, reason):
    fields = wrong(values={**GOOD.values, field: Plain(value)})
    assert list(fields) == [field]
    assert reason in fields[field]


@pytest.mark.parametrize("seed", [CANARY, "not base32!", "0189", "JBSWY3DP", "JBSWY3DPEHPK3PX!", "ü"])
def test_a_totp_seed_must_be_base32_of_some_length(seed):
    assert "base32" in wrong(values={**GOOD.values, "totp_seed": Plain(seed)})["totp_seed"]


def test_a_totp_seed_that_is_not_text_is_refused_like_any_other():
    assert "base32" in wrong(values={**GOOD.values, "totp_seed": Plain(b"\xff\xfe" * 10)})["totp_seed"]


@pytest.mark.parametrize("seed", ["JBSWY3DPEHPK3PXP", "jbsw y3dp ehpk 3pxp", "JBSWY3DPEHPK3PXPJBSWY3DPEE======"])
def test_a_totp_seed_may_be_spelled_as_services_show_it(seed):
    check_draft(dataclasses.replace(GOOD, values={**GOOD.values, "totp_seed": Plain(seed)}))


@pytest.mark.parametrize(
    "value",
    ["🔑🔑🔑", '{"a": [1, null]}', "null", "true", "-1", "[]", " padded ", "line\nline", "'; DROP TABLE x; --", "%s{}"],
)
def test_odd_values_are_values(value):
    check_draft(dataclasses.replace(GOOD, values={"password": Plain(value)}))


def test_the_longest_value_is_taken():
    check_draft(dataclasses.replace(GOOD, values={"password": Plain("x" * drafts.MAX_VALUE)}))


def test_a_secret_field_of_another_type_names_whose_it_is():
    fields = wrong(values={**GOOD.values, "private_key": Plain(CANARY)})
    assert fields == {"private_key": "is a field of ssh_key, certificate, not of password"}


def test_an_open_field_of_another_type_names_whose_it_is():
    assert wrong(open={"issuer": CANARY}) == {"issuer": "is a field of jwt, not of password"}


@pytest.mark.parametrize("where", ["open", "values"])
def test_the_name_of_no_field_is_not_repeated_because_it_may_be_a_value(where):
    given = {"open": {CANARY: "x"}, "values": {**GOOD.values, CANARY: Plain("x")}}[where]
    fields = wrong(**{where: given})
    assert len(fields) == 1
    assert "password, notes, totp_seed" in next(iter(fields.values()))


def test_every_wrong_field_is_told_at_once():
    fields = wrong(service_name="", ports=(0,), tags=("",), exposure="x", values={"api_key": Plain("x")})
    assert set(fields) == {"service_name", "ports", "tags", "exposure", "api_key", "password"}


def test_a_draft_without_its_main_value_says_how_to_give_it():
    assert "generated" in wrong(values={})["password"]
    with pytest.raises(Invalid) as refused:
        check_draft(Draft("ssh_key", "Gitea"))
    assert "generated" not in refused.value.fields["private_key"]


def test_a_draft_whose_value_comes_later_needs_none_and_all_else():
    check_draft(Draft("ssh_key", "Gitea", later=True))
    assert set(wrong(values={}, later=True, service_name="")) == {"service_name"}


def test_a_value_is_given_or_generated_not_both():
    assert "not both" in wrong(generate=Generate())["generate"]


@pytest.mark.parametrize("kind", [k.name for k in TYPES.values() if not k.generated])
def test_types_whose_values_come_from_elsewhere_are_not_generated(kind):
    with pytest.raises(Invalid) as refused:
        check_draft(Draft(kind, "Gitea", generate=Generate()))
    assert list(refused.value.fields) == ["generate"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (Generate(length=11), "length"),
        (Generate(length=257), "length"),
        (Generate(length=-1), "length"),
        (Generate(alphabet=CANARY), "alphabet"),
    ],
)
def test_a_generated_value_has_a_sensible_length_and_alphabet(spec, field):
    assert list(wrong(values={}, generate=spec)) == [field]


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("length", [12, 24, 256])
def test_a_generated_value_has_the_length_and_letters_asked_for(alphabet, length):
    value = drafts.generate(Generate(length, alphabet)).expose()
    assert len(value) == length
    assert set(value) <= set(ALPHABETS[alphabet])
    if alphabet in ("all", "alphanumeric", "readable"):
        assert any(c.islower() for c in value)
        assert any(c.isupper() for c in value)
        assert any(c.isdigit() for c in value)
    assert (alphabet == "all") == any(not c.isalnum() for c in value)


def test_generated_values_do_not_repeat():
    assert len({drafts.generate(Generate(12, "hex")).expose() for _ in range(500)}) == 500


def test_a_draft_does_not_show_its_values():
    assert CANARY not in repr(dataclasses.replace(GOOD, values={"password": Plain(CANARY)}))
