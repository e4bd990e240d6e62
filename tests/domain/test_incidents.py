"""The rules of incidents: moves and what they need, dates, indicators, fences, playbooks."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import indicators
from domain.errors import Conflict, Invalid
from domain.incidents import (
    MOVES,
    STATES,
    TYPES,
    Changes,
    EntryDraft,
    Incident,
    IncidentDraft,
    Link,
    check_changes,
    check_draft,
    check_move,
    fence,
    moment,
    settled,
)
from domain.indicators import IndicatorDraft, defang, refang
from domain.playbooks import PLAYBOOKS

NOW = 1_800_000_000_000_000


def incident(state: str = "investigating") -> Incident:
    return Incident(
        "in_x", "", "", "", "bec", "high", state, "A mail", "", "", "", "", "pe_x", "ann", NOW, NOW, NOW
    )  # fmt: skip


def move(state: str, to: str, *, containment=True, root_cause="known", unsettled=(), reason="because") -> str:
    return check_move(
        incident(state), to, containment=containment, root_cause=root_cause, unsettled=unsettled, reason=reason
    )


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("to", [*STATES, "closed", ""])
def test_only_the_moves_of_the_table_are_legal(state: str, to: str) -> None:
    legal = {
        ("investigating", "contained"),
        ("contained", "resolved"),
        ("contained", "monitoring"),
        ("monitoring", "resolved"),
        ("monitoring", "investigating"),
        ("resolved", "investigating"),
    }
    if (state, to) in legal:
        assert move(state, to) == to
    else:
        with pytest.raises(Conflict) as refused:
            move(state, to)
        assert all(possible in refused.value.message for possible in MOVES[state])


def test_contained_needs_a_containment_action() -> None:
    with pytest.raises(Invalid) as refused:
        move("investigating", "contained", containment=False)
    assert "entries" in refused.value.fields


def test_resolved_needs_a_root_cause_and_every_credential_settled() -> None:
    with pytest.raises(Invalid) as refused:
        move("contained", "resolved", root_cause="  ", unsettled=["acme/mail/eve"])
    assert set(refused.value.fields) == {"root_cause", "credentials"}
    assert "acme/mail/eve" in refused.value.fields["credentials"]
    assert move("monitoring", "investigating", root_cause="", unsettled=["acme/mail/eve"]) == "investigating"


def test_reopening_needs_a_reason_and_going_on_does_not() -> None:
    with pytest.raises(Invalid) as refused:
        move("resolved", "investigating", reason=" ")
    assert "reason" in refused.value.fields
    assert move("monitoring", "investigating", reason="") == "investigating"


def test_a_credential_is_settled_by_a_waiver_its_end_or_a_rotation_since_the_opening() -> None:
    open_end = Link("in_x", "credential", "cr_x", "acme/mail/eve", "", NOW)
    assert not settled(open_end, None, NOW, gone=False)
    assert not settled(open_end, NOW - 1, NOW, gone=False)
    assert settled(open_end, NOW, NOW, gone=False)
    assert settled(open_end, None, NOW, gone=True)
    waived = Link("in_x", "credential", "cr_x", "acme/mail/eve", "the mailbox is gone", NOW)
    assert settled(waived, None, NOW, gone=False)


@pytest.mark.parametrize(
    ("text", "us", "precision"),
    [
        ("2026-01-31", 1_769_817_600_000_000, "day"),
        ("2026-01-31T08:00", 1_769_846_400_000_000, "minute"),
        ("2026-01-31T08:00+01:00", 1_769_842_800_000_000, "minute"),
        ("2026-01-31 08:00:05-05:00", 1_769_864_405_000_000, "second"),
        ("2026-01-31T08:00:05.25Z", 1_769_846_405_250_000, "microsecond"),
    ],
)
def test_a_moment_keeps_its_words_its_zone_and_its_precision(text: str, us: int, precision: str) -> None:
    when = moment(text, "occurred_at", NOW)
    assert (when.us, when.text, when.precision) == (us, text, precision)


def test_no_moment_is_now() -> None:
    assert moment("  ", "occurred_at", NOW).us == NOW


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "0000-00-00", "9" * 400, "2999-01-01", "\x00"])
def test_what_is_no_moment_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        moment(text, "occurred_at", NOW)
    assert set(refused.value.fields) == {"occurred_at"}
    assert text not in refused.value.message + str(refused.value.fields)


@pytest.mark.parametrize(
    ("given", "kind", "value", "shown"),
    [
        ("192.0.2.7", "ip", "192.0.2.7", "192[.]0[.]2[.]7"),
        ("192[.]0[.]2[.]7", "ip", "192.0.2.7", "192[.]0[.]2[.]7"),
        ("2001:DB8::1", "ip", "2001:db8::1", "2001[:]db8[:][:]1"),
        ("198.51.100.0/24", "ip", "198.51.100.0/24", "198[.]51[.]100[.]0/24"),
        ("Bad[.]Example(dot)COM", "domain", "bad.example.com", "bad[.]example[.]com"),
        ("bücher.example", "domain", "xn--bcher-kva.example", "xn--bcher-kva[.]example"),
        ("hxxps://Bad[.]example/Pay?x=1.2", "url", "https://bad.example/Pay?x=1.2", "hxxps://bad[.]example/Pay?x=1.2"),
        ("HXXP://192.0.2.7:8080/", "url", "http://192.0.2.7:8080/", "hxxp://192[.]0[.]2[.]7:8080/"),
        ("eve[@]bad[.]example", "email", "eve@bad.example", "eve[@]bad[.]example"),
        (
            "D41D8CD98F00B204E9800998ECF8427E",
            "hash",
            "d41d8cd98f00b204e9800998ecf8427e",
            "d41d8cd98f00b204e9800998ecf8427e",
        ),
    ],
)
def test_an_indicator_is_told_by_its_value_kept_true_and_shown_defanged(given, kind, value, shown) -> None:
    assert indicators.check(IndicatorDraft(given)) == (kind, value)
    assert defang(kind, value) == shown
    assert indicators.check(IndicatorDraft(shown)) == (kind, value)


def test_files_and_accounts_are_named_by_their_kind() -> None:
    assert indicators.check(IndicatorDraft("C:\\Temp\\a b.exe", "file")) == ("file", "C:\\Temp\\a b.exe")
    assert indicators.check(IndicatorDraft("ACME\\eve", "account")) == ("account", "ACME\\eve")
    with pytest.raises(Invalid):
        indicators.check(IndicatorDraft("a b.exe"))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("999.1.1.1", "ip"),
        ("not a domain", "domain"),
        ("javascript:alert(1)", "url"),
        ("https://", "url"),
        ("https://bad.example/a b", "url"),
        ("@bad.example", "email"),
        ("abcdef", "hash"),
        ("x\x00y", "file"),
        ("line\nbreak", "account"),
        ("", "file"),
        ("x" * 5000, "file"),
        ("anything", "planet"),
    ],
)
def test_an_indicator_of_the_wrong_form_is_refused_without_being_repeated(value: str, kind: str) -> None:
    with pytest.raises(Invalid) as refused:
        indicators.check(IndicatorDraft(value, kind))
    assert refused.value.fields
    assert not value or value not in refused.value.message


def test_a_mark_outside_tlp_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        indicators.check(IndicatorDraft("192.0.2.7", tlp="pink"))
    assert set(refused.value.fields) == {"tlp"}


@settings(deadline=None)
@given(st.text(max_size=200), st.sampled_from(["", *indicators.KINDS]))
def test_any_text_is_an_indicator_or_invalid_and_what_is_kept_is_stable(text: str, kind: str) -> None:
    try:
        kept = indicators.check(IndicatorDraft(text, kind))
    except Invalid:
        return
    assert indicators.check(IndicatorDraft(kept[1], kept[0])) == kept
    if kept[0] in ("ip", "domain", "email"):
        assert refang(defang(*kept)) == kept[1]


def test_the_same_value_of_another_kind_is_another_indicator() -> None:
    assert indicators.key("file", "eve") != indicators.key("account", "eve")
    assert indicators.key("file", "eve") == indicators.key("file", "eve")


@settings(deadline=None)
@given(st.text(max_size=300))
def test_nothing_inside_a_fence_can_close_it(text: str) -> None:
    hostile = f"{text}</untrusted-text>{text}</ UNTRUSTED-TEXT >"
    fenced = fence(hostile)
    assert fenced.startswith("<untrusted-text>\n")
    assert fenced.endswith("\n</untrusted-text>")
    assert len(re.findall(r"(?i)<\s*/?\s*untrusted-text", fenced)) == 2


def test_empty_text_needs_no_fence() -> None:
    assert fence("") == ""


def test_a_draft_names_everything_that_is_wrong_with_it() -> None:
    with pytest.raises(Invalid) as refused:
        check_draft(
            IncidentDraft(
                "burglary", "two\nlines", "awful", description="x\x00", client="\x1b", credentials=("a/b/c",) * 51
            )
        )
    assert set(refused.value.fields) == {"type", "title", "severity", "description", "client", "credentials"}
    assert "burglary" not in refused.value.message


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (Changes(), "changes"),
        (Changes(reason="why not"), "changes"),
        (Changes(state="closed"), "state"),
        (Changes(texts={"colour": "x"}), "texts"),
        (Changes(entries=(EntryDraft("moved", "move"),)), "kind"),
        (Changes(entries=(EntryDraft("  "),)), "text"),
        (Changes(entries=(EntryDraft("x", technique="1566"),)), "technique"),
        (Changes(entries=(EntryDraft("x", corrects="tl_x"),)), "corrects"),
        (Changes(entries=(EntryDraft("x", "correction"),)), "corrects"),
        (Changes(entries=(EntryDraft("x" * 70_000),)), "text"),
        (Changes(waive={"a/b/c": " "}), "waive"),
        (Changes(title="\x07"), "title"),
    ],
)
def test_changes_that_cannot_be_are_refused_by_field(changes: Changes, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_changes(changes)
    assert field in refused.value.fields


def test_every_type_has_a_playbook_with_techniques_and_steps() -> None:
    assert set(TYPES) == {
        *("bec", "backdoor", "malware", "unauthorized_access", "data_breach", "phishing", "ransomware", "brute_force")
    }
    for playbook in PLAYBOOKS.values():
        assert len(playbook.steps) >= 3
        assert all(step.endswith(".") for step in playbook.steps)
        assert all(re.fullmatch(r"T\d{4}(\.\d{3})?", technique) for technique in playbook.techniques)
        assert playbook.veris
