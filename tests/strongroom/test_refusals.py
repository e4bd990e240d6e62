"""Wrong input: the field and the reason are named, nothing of it is repeated, nothing is half-written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from domain.drafts import Draft, Generate
from domain.errors import ClaudeToolsError, Conflict, Denied, Invalid, NotFound
from domain.plain import Plain
from tests.strongroom.vault import Vault

CANARY = "kanarie-5e2b90"
GOOD = {"password": Plain("a value, long enough")}
HALF = "\ud83d"


@pytest.fixture
def reference(vault: Vault) -> str:
    """A credential to use wrongly."""
    return vault.add(client="ACME", username="admin").description.reference


def refused_by(vault: Vault, act: Callable[[], object]) -> tuple[ClaudeToolsError, list[dict[str, Any]]]:
    """The refusal, and the entries it wrote; nothing else may have changed."""
    rows = vault.dump()
    with vault.writes() as entries, pytest.raises(ClaudeToolsError) as refused:
        act()
    assert vault.dump() == rows
    assert len(entries) <= 1
    assert all(e["outcome"] in ("denied", "failed") for e in entries)
    told = refused.value
    if entries:
        assert told.entry == entries[0]["entry_id"]
    shown = told.message + told.hint + repr(told.fields) + repr(told) + "".join(e["body"] for e in entries)
    assert CANARY not in shown
    assert told.message
    assert told.hint or told.fields
    return told, entries


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ({"type": CANARY}, ["type"]),
        ({"type": ""}, ["type"]),
        ({"service_name": ""}, ["service_name"]),
        ({"service_name": CANARY + HALF}, ["service_name"]),
        ({"username": "\x00"}, ["username"]),
        ({"client": "\x00"}, ["client"]),
        ({"tags": (HALF,)}, ["tags"]),
        ({"ports": (70000,)}, ["ports"]),
        ({"ports": (0,)}, ["ports"]),
        ({"expires_us": 2**70}, ["expires_us"]),
        ({"values": {**GOOD, "private_key": Plain(CANARY)}}, ["private_key"]),
        ({"values": {**GOOD, CANARY: Plain("x")}}, ["fields"]),
        ({"open": {CANARY: "x"}}, ["fields"]),
        ({"open": {"issuer": CANARY}}, ["issuer"]),
        ({"values": {"password": Plain(CANARY * 75_000)}}, ["password"]),
        ({"values": {"password": Plain("")}}, ["password"]),
        ({"values": {"password": Plain(f"{CANARY}\x00")}}, ["password"]),
        ({"values": {**GOOD, "totp_seed": Plain(CANARY)}}, ["totp_seed"]),
        ({"values": {}}, ["password"]),
        ({"exposure": CANARY}, ["exposure"]),
        ({"rotate_every_days": 0}, ["rotate_every_days"]),
    ],
    ids=lambda said: ",".join(said) if isinstance(said, dict) else "",
)
def test_a_draft_that_cannot_be_used_makes_nothing(vault: Vault, said: dict[str, Any], fields: list[str]):
    draft = Draft(**{"type": "password", "service_name": "Gitea", "client": "Brand New", "values": GOOD, **said})
    told, entries = refused_by(vault, lambda: vault.app.credentials.create(vault.agent, draft))
    assert isinstance(told, Invalid)
    assert list(told.fields) == fields
    assert entries == []


@pytest.mark.parametrize(
    "text", ["🔑 🔑", '{"password": "x", "n": [1, null]}', "null", "\u202e", "a\nb\tc", "'; DROP--"]
)
def test_odd_texts_come_back_as_they_went_in(vault: Vault, text: str):
    draft = Draft(
        "password", text, client=text, username=text, tags=(text,), values={"password": Plain(f"{text} long")}
    )
    made = vault.app.credentials.create(vault.agent, draft)
    assert vault.app.credentials.reveal(vault.agent, made.description.reference, purpose=text).value.expose() == (
        f"{text} long"
    )
    head = vault.app.credentials.describe(vault.agent, made.description.reference).head
    assert (head.service_name, head.username, head.tags) == (text.strip(), text, (text,))
    assert vault.app.audit.verify().ok


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, ["changes"]),
        ({"username": "admin"}, ["changes"]),
        ({"username": 5}, ["username"]),
        ({"username": None}, ["username"]),
        ({"username": CANARY * 30}, ["username"]),
        ({"username": "\x00"}, ["username"]),
        ({"username": HALF}, ["username"]),
        ({"service_name": ""}, ["service_name"]),
        ({"ports": [0]}, ["ports"]),
        ({"ports": [CANARY]}, ["ports"]),
        ({"ports": CANARY}, ["ports"]),
        ({"tags": [5]}, ["tags"]),
        ({"tags": {CANARY: 1}}, ["tags"]),
        ({"requires_vpn": CANARY}, ["requires_vpn"]),
        ({"expires_us": CANARY}, ["expires_us"]),
        ({"expires_us": 2**70}, ["expires_us"]),
        ({"expires_us": -5}, ["expires_us"]),
        ({"rotate_every_days": 10**9}, ["rotate_every_days"]),
        ({"state": "deleted"}, ["state"]),
        ({"state": CANARY}, ["state"]),
        ({"exposure": CANARY}, ["exposure"]),
        ({"password": Plain("")}, ["password"]),
        ({"password": Plain("\x00")}, ["password"]),
        ({"private_key": Plain(CANARY)}, ["private_key"]),
        ({"issuer": CANARY}, ["issuer"]),
        ({CANARY: "x"}, ["fields"]),
        ({CANARY: Plain("x")}, ["fields"]),
        ({"totp_seed": Plain(CANARY)}, ["totp_seed"]),
        ({"credential_id": "cr_x"}, ["fields"]),
        ({"revision": 1}, ["fields"]),
        ({"mac": "x"}, ["fields"]),
    ],
    ids=lambda said: ",".join(f"{k}:{type(v).__name__}" for k, v in said.items()) if isinstance(said, dict) else "",
)
def test_a_change_that_cannot_be_made_changes_nothing(vault: Vault, reference: str, changes, fields: list[str]):
    told, entries = refused_by(vault, lambda: vault.app.credentials.update(vault.agent, reference, changes))
    assert isinstance(told, Invalid)
    assert list(told.fields) == fields
    assert [(e["action"], e["outcome"], e["subject_name"]) for e in entries] == [
        ("credential.update", "failed", reference)
    ]


def test_one_wrong_field_of_several_changes_none(vault: Vault, reference: str):
    changes = {"username": "root", "tags": ["new"], "ports": [0], "password": Plain("another value")}
    refused_by(vault, lambda: vault.app.credentials.update(vault.agent, reference, changes))


def test_a_change_of_a_revision_that_has_passed_is_refused(vault: Vault, reference: str):
    told, _ = refused_by(
        vault,
        lambda: vault.app.credentials.update(vault.agent, reference, {"username": "root"}, expected_revision=7),
    )
    assert isinstance(told, Conflict)


@pytest.mark.parametrize(
    ("how", "fields"),
    [
        ({}, ["value"]),
        ({"value": Plain("new value"), "generate": Generate()}, ["value"]),
        ({"value": Plain("")}, ["password"]),
        ({"value": Plain("x" * 1_000_000)}, ["password"]),
        ({"value": Plain("\x00")}, ["password"]),
        ({"value": Plain("x"), "field": CANARY}, ["fields"]),
        ({"value": Plain("x"), "field": "private_key"}, ["private_key"]),
        ({"value": Plain("x"), "field": "username"}, ["fields"]),
        ({"value": Plain(CANARY), "field": "totp_seed"}, ["totp_seed"]),
        ({"generate": Generate(3)}, ["length"]),
        ({"generate": Generate(alphabet=CANARY)}, ["alphabet"]),
        ({"generate": Generate(), "field": "totp_seed"}, ["totp_seed"]),
        ({"generate": Generate(), "field": CANARY}, ["fields"]),
        ({"value": Plain(CANARY), "field": CANARY, "purpose": f"was {CANARY}"}, ["fields"]),
    ],
    ids=",".join,
)
def test_a_rotation_that_cannot_be_made_changes_nothing(vault: Vault, reference: str, how, fields: list[str]):
    told, _ = refused_by(vault, lambda: vault.app.credentials.rotate(vault.agent, reference, **how))
    assert isinstance(told, Invalid)
    assert list(told.fields) == fields


WRONG_REFERENCES = [
    "",
    CANARY,
    f"{CANARY}/x",
    "acme/gitea-admin/nobody",
    "acme/gitea-admin/admin\n",
    "ACME/gitea-admin/admin",
    "../../etc/passwd",
    "cr_" + "a" * 26,
    "\x00",
    HALF,
    "x" * 100_000,
    '{"reference": "' + CANARY + '"}',
]


@pytest.mark.parametrize("wrong", WRONG_REFERENCES, ids=range(len(WRONG_REFERENCES)))
def test_a_reference_that_leads_nowhere_is_not_found_and_not_repeated(vault: Vault, reference: str, wrong: str):
    app, agent = vault.app, vault.agent
    for act in (
        lambda: app.credentials.describe(agent, wrong),
        lambda: app.credentials.reveal(agent, wrong, purpose="log in"),
        lambda: app.credentials.update(agent, wrong, {"username": "x"}),
        lambda: app.credentials.rotate(agent, wrong, generate=Generate()),
        lambda: app.credentials.delete(agent, wrong),
    ):
        told, entries = refused_by(vault, act)
        assert isinstance(told, NotFound)
        assert [e["outcome"] for e in entries] == ["denied"]


@pytest.mark.parametrize("field", [CANARY, "notes", "private_key", "username", "\x00", HALF])
def test_a_field_that_is_not_there_is_not_found_and_not_repeated(vault: Vault, reference: str, field: str):
    told, entries = refused_by(
        vault, lambda: vault.app.credentials.reveal(vault.agent, reference, field=field, purpose="log in")
    )
    assert isinstance(told, NotFound)
    assert [(e["action"], e["outcome"], e["subject_name"]) for e in entries] == [
        ("credential.decrypt", "denied", reference)
    ]


@pytest.mark.parametrize("purpose", ["", "   ", "x" * 501, "\x00", HALF])
def test_a_purpose_that_is_none_opens_nothing(vault: Vault, reference: str, purpose: str):
    told, _ = refused_by(vault, lambda: vault.app.credentials.reveal(vault.agent, reference, purpose=purpose))
    assert isinstance(told, Invalid)
    assert list(told.fields) == ["purpose"]


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ({"kind": CANARY, "name": "x"}, ["kind"]),
        ({"kind": "client", "name": ""}, ["name"]),
        ({"kind": "client", "name": "  "}, ["name"]),
        ({"kind": "client", "name": "x" * 256}, ["name"]),
        ({"kind": "client", "name": "\x00"}, ["name"]),
        ({"kind": "client", "name": HALF}, ["name"]),
        ({"kind": "service", "name": "x", "client": "New", "note": "x" * 4001}, ["note"]),
        ({"kind": "service", "name": "x", "client": "\x00"}, ["client"]),
        ({"kind": "service", "name": "x", "client": "x" * 1000}, ["client"]),
        ({"kind": "client", "name": "x", "url": "x" * 2049}, ["url"]),
    ],
    ids=",".join,
)
def test_a_registry_item_that_cannot_be_saved_leaves_nothing_behind(vault: Vault, said, fields: list[str]):
    told, _ = refused_by(vault, lambda: vault.app.registry.save(vault.agent, **said))
    assert isinstance(told, Invalid)
    assert list(told.fields) == fields


def test_a_registry_item_that_is_not_there_is_not_found(vault: Vault):
    told, _ = refused_by(
        vault, lambda: vault.app.registry.save(vault.agent, kind="service", name="x", client="New", item_id=CANARY)
    )
    assert isinstance(told, NotFound)
    with pytest.raises(NotFound) as refused:
        vault.app.registry.find(vault.agent, client=CANARY)
    assert CANARY not in refused.value.message


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ({"outcome": CANARY}, ["outcome"]),
        ({"action": CANARY}, ["action"]),
        ({"since_us": 2**70}, ["since_us"]),
        ({"until_us": -(2**70)}, ["until_us"]),
        ({"subject": HALF}, ["subject"]),
        ({"actor_name": HALF}, ["actor_name"]),
        ({"session": HALF}, ["session"]),
    ],
    ids=",".join,
)
def test_a_question_to_the_log_that_cannot_be_asked_is_told(vault: Vault, said, fields: list[str]):
    told, _ = refused_by(vault, lambda: vault.app.audit.search(vault.agent, **said))
    assert isinstance(told, Invalid)
    assert list(told.fields) == fields


@pytest.mark.parametrize(
    "said", [{"state": CANARY}, {"type": CANARY}, {"query": HALF}, {"client": HALF}, {"tag": HALF}]
)
def test_a_search_that_cannot_be_made_is_told(vault: Vault, said):
    told, _ = refused_by(vault, lambda: vault.app.credentials.search(vault.agent, **said))
    assert isinstance(told, Invalid)
    assert list(told.fields) == list(said)


def test_a_refusal_names_the_next_command(vault: Vault, reference: str):
    vault.app.credentials.update(vault.person, reference, {"exposure": "sealed"})
    told, _ = refused_by(vault, lambda: vault.app.credentials.reveal(vault.agent, reference, purpose="log in"))
    assert isinstance(told, Denied)
    assert told.hint == f"a person can open it: claudetools credential reveal {reference}"
