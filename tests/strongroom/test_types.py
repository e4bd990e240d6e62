"""The eight types with each of their secret fields, from the creation to the deletion, and what the log says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from domain.credentials import TYPES
from domain.drafts import ALPHABETS, Draft, Generate
from domain.errors import Broken, Conflict, Denied, Invalid, NotFound
from domain.plain import Plain
from tests.strongroom.vault import Vault

KEPT = {("ssh_key", "private_key"), ("certificate", "private_key"), ("oauth", "refresh_token")}
EVERY = [(kind.name, name) for kind in TYPES.values() for name in kind.secrets()]
SEEDS = ("JBSWY3DPEHPK3PXP", "KRSXG5CTMVRXEZLU", "MFRGGZDFMZTWQ2LK")


def value(kind: str, field: str, number: int) -> str:
    """A value for a field, told apart from every other."""
    return SEEDS[number] if field == "totp_seed" else f"{kind}-{field}-value-{number}"


def leaves_to_agents(kind: str, field: str) -> bool:
    return (kind, field) not in KEPT and field != "totp_seed"


def only(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The one entry."""
    assert len(entries) == 1, [e["action"] for e in entries]
    return entries[0]


@pytest.mark.parametrize(("kind", "field"), EVERY)
def test_a_secret_field_is_made_opened_changed_rotated_and_taken_out_of_use(vault: Vault, kind: str, field: str):
    app, agent, person = vault.app, vault.agent, vault.person
    main = TYPES[kind].main
    first = {name: value(kind, name, 0) for name in {main, field}}
    given = {name: Plain(text) for name, text in first.items()}
    app.registry.save(agent, kind="client", name="ACME")
    vault.add(client="ACME")  # the client has its key

    with vault.writes() as entries:
        draft = Draft(kind, "Gitea", client="ACME", open=dict.fromkeys(TYPES[kind].open, "open text"), values=given)
        made = app.credentials.create(agent, draft, purpose="new")
    entry = only(entries)
    reference = made.description.reference
    assert (entry["action"], entry["outcome"], entry["subject_name"]) == ("credential.create", "ok", reference)
    assert entry["entry_id"] == made.entry
    assert entry["said"]["facts"]["fields"] == sorted(first)
    assert entry["subject_revision"] == 1
    assert made.exposed

    with vault.writes() as entries:
        described = app.credentials.describe(agent, reference)
    assert only(entries)["action"] == "credential.view"
    assert set(described.head.fields) == set(first)
    assert described.head.open == dict.fromkeys(TYPES[kind].open, "open text")
    assert not any(text in repr(described) for text in first.values())

    expect(vault, reference, kind, field, first[field])

    second = value(kind, field, 1)
    with vault.writes() as entries:
        changed = app.credentials.update(agent, reference, {field: Plain(second), "username": "root"}, purpose="moved")
    entry = only(entries)
    assert entry["action"] == "credential.update"
    assert entry["said"]["facts"] == {"changed": sorted([field, "username"])}
    assert changed.changed == tuple(sorted([field, "username"]))
    assert changed.version == 2
    assert changed.exposed
    assert entry["subject_revision"] == 2
    expect(vault, reference, kind, field, second)

    third = value(kind, field, 2)
    with vault.writes() as entries:
        rotated = app.credentials.rotate(person, reference, field=field, value=Plain(third), purpose="yearly")
    entry = only(entries)
    assert entry["action"] == "credential.rotate"
    assert entry["said"]["facts"] == {"field": field, "version": 3, "generated": False}
    assert (rotated.version, rotated.exposed) == (3, False)
    assert rotated.description.head.last_rotated_us is not None
    assert not rotated.description.exposed
    expect(vault, reference, kind, field, third)
    if field != main:  # the other field stays as it was
        assert app.credentials.reveal(person, reference, purpose="look").value.expose() == first[main]

    with vault.writes() as entries:
        deleted = app.credentials.delete(agent, reference, purpose="gone")
    assert only(entries)["action"] == "credential.delete"
    assert deleted.description.head.state == "deleted"
    for attempt in (
        lambda: app.credentials.reveal(person, reference, field=field, purpose="look"),
        lambda: app.credentials.update(person, reference, {"username": "x"}),
        lambda: app.credentials.rotate(person, reference, field=field, value=Plain("JBSWY3DPEHPK3PXP")),
    ):
        with vault.writes() as entries, pytest.raises(NotFound):
            attempt()
        assert only(entries)["outcome"] == "denied"
    with pytest.raises(Conflict):
        app.credentials.delete(person, reference)

    told = [e for e in vault.entries() if e["subject_name"] == reference and e["outcome"] == "ok"]
    assert {e["action"] for e in told} >= {
        "credential.create",
        "credential.view",
        "credential.update",
        "credential.rotate",
        "credential.decrypt",
        "credential.delete",
    }
    log = "".join(e["body"] for e in vault.entries())
    assert not any(text in log for text in (*first.values(), second, third))
    assert app.audit.verify().findings == ()


def expect(vault: Vault, reference: str, kind: str, field: str, text: str) -> None:
    """The person gets the value; the agent too, where the field may leave to one."""
    with vault.writes() as entries:
        revealed = vault.app.credentials.reveal(vault.person, reference, field=field, purpose="look")
    entry = only(entries)
    assert revealed.value.expose() == text
    assert (entry["action"], entry["outcome"], entry["entry_id"]) == ("credential.decrypt", "ok", revealed.entry)
    assert entry["said"]["facts"] == {"field": field, "version": revealed.version}
    assert (entry["purpose"], entry["actor_kind"]) == ("look", "person")
    if leaves_to_agents(kind, field):
        revealed = vault.app.credentials.reveal(vault.agent, reference, field=field, purpose="look")
        assert revealed.value.expose() == text
        assert vault.app.credentials.describe(vault.person, reference).exposed
        return
    with vault.writes() as entries, pytest.raises(Denied) as refused:
        vault.app.credentials.reveal(vault.agent, reference, field=field, purpose="look")
    entry = only(entries)
    assert (entry["action"], entry["outcome"], entry["entry_id"]) == (
        "credential.decrypt",
        "denied",
        refused.value.entry,
    )
    assert entry["subject_name"] == reference


def test_an_entry_names_agent_owner_machine_session_and_which_of_them_were_proved(vault: Vault):
    made = vault.add()
    vault.app.credentials.reveal(vault.agent, made.description.reference, purpose="log in")
    view = vault.app.audit.search(vault.person, action="credential.decrypt").items[0]
    assert (view.actor, view.actor_kind, view.owner, view.machine) == ("claude-code", "agent", "anna", "workbench")
    assert view.session == "session-1"
    assert view.verified == ("agent", "machine", "owner")
    assert view.asserted == ("session",)
    assert (view.subject_type, view.subject, view.purpose) == (
        "credential",
        made.description.reference,
        "log in",
    )
    assert view.subject_id == made.description.head.credential_id
    assert view.client_id == made.description.head.client_id
    assert view.tier == ("embedded" if vault.store.kind == "sqlite" else "direct")


def test_entries_outlive_what_they_speak_of(vault: Vault):
    made = vault.add()
    number = len(vault.entries())
    for table in ("credentials", "credential_versions", "sealed_fields", "clients"):
        vault.sql(f"DELETE FROM {table}")
    assert len(vault.entries()) == number
    views = vault.app.audit.search(vault.person, subject=made.description.reference).items
    assert [view.action for view in views] == ["credential.create"]


@pytest.mark.parametrize("exposure", ["metadata", "strict", "sealed"])
def test_what_is_set_to_less_than_reveal_leaves_to_persons_only(vault: Vault, exposure: str):
    reference = vault.add(exposure=exposure).description.reference
    with pytest.raises(Denied, match=exposure):
        vault.app.credentials.reveal(vault.agent, reference, purpose="log in")
    assert vault.app.credentials.reveal(vault.person, reference, purpose="log in").value


def test_an_agent_tightens_the_exposure_and_a_person_alone_loosens_it(vault: Vault):
    app, reference = vault.app, vault.add().description.reference
    app.credentials.update(vault.agent, reference, {"exposure": "sealed"})
    for level in ("reveal",):
        with pytest.raises(Denied):
            app.credentials.update(vault.agent, reference, {"exposure": level})
    app.credentials.update(vault.agent, reference, {"exposure": "metadata"})
    with pytest.raises(Denied):
        app.credentials.update(vault.agent, reference, {"exposure": "strict"})
    app.credentials.update(vault.person, reference, {"exposure": "reveal"})
    assert app.credentials.reveal(vault.agent, reference, purpose="log in").value


# Generated values.


@pytest.mark.parametrize("kind", [kind.name for kind in TYPES.values() if kind.generated])
@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_a_generated_value_never_passes_through_the_conversation(vault: Vault, kind: str, alphabet: str):
    made = vault.app.credentials.create(vault.agent, Draft(kind, "Gitea", generate=Generate(20, alphabet)))
    assert (made.generated, made.exposed, made.description.exposed) == (True, False, False)
    reference = made.description.reference
    one = vault.app.credentials.reveal(vault.person, reference, purpose="look").value.expose()
    assert len(one) == 20
    assert set(one) <= set(ALPHABETS[alphabet])
    rotated = vault.app.credentials.rotate(vault.agent, reference, generate=Generate(30, alphabet))
    assert (rotated.generated, rotated.exposed) == (True, False)
    other = vault.app.credentials.reveal(vault.person, reference, purpose="look").value.expose()
    assert len(other) == 30
    assert one != other
    assert one not in repr(made) + repr(rotated)


def test_a_version_that_an_agent_saw_is_exposed_until_it_is_rotated(vault: Vault):
    app, reference = vault.app, vault.add().description.reference
    assert not app.credentials.describe(vault.person, reference).exposed
    app.credentials.reveal(vault.agent, reference, purpose="log in")
    assert app.credentials.describe(vault.person, reference).exposed
    app.credentials.rotate(vault.agent, reference, generate=Generate())
    assert not app.credentials.describe(vault.person, reference).exposed


# References, pages, cursors.


def test_references_are_made_from_client_service_and_name_and_stay_unique(vault: Vault):
    def create(**said: Any) -> str:
        draft = Draft("password", "Gitea Admin", generate=Generate(), **said)
        return vault.app.credentials.create(vault.agent, draft).description.reference

    assert create() == "own/gitea-admin/password"
    assert create() == "own/gitea-admin/password-2"
    assert create(client="Müller & Söhne", username="root") == "muller-sohne/gitea-admin/root"
    assert create(client="Müller & Söhne", service="Git", name="Deploy Key") == "muller-sohne/git/deploy-key"
    vault.app.credentials.delete(vault.agent, "own/gitea-admin/password")
    assert create() == "own/gitea-admin/password-3"  # a reference in old entries never means another one


def test_a_credential_is_found_by_its_id_too(vault: Vault):
    made = vault.add().description
    assert vault.app.credentials.describe(vault.agent, made.head.credential_id).reference == made.reference


def test_pages_follow_each_other_without_gap_or_repetition(vault: Vault):
    wanted = sorted(vault.add(name=f"Service {number:02}").description.reference for number in range(13))
    seen: list[str] = []
    cursor, pages = "", 0
    while True:
        page = vault.app.credentials.search(vault.agent, "service", limit=5, cursor=cursor)
        seen += [item.reference for item in page.items]
        assert page.total == 13
        cursor, pages = page.next_cursor, pages + 1
        if not cursor:
            break
    assert seen == wanted
    assert pages == 3


def test_audit_pages_go_newest_first_and_hold_their_place_while_more_is_written(vault: Vault):
    for number in range(7):
        vault.app.credentials.search(vault.agent, f"n{number}")
    seen: list[str] = []
    cursor = ""
    while True:
        page = vault.app.audit.search(vault.agent, action="credential.search", limit=3, cursor=cursor)
        seen += [item.purpose for item in page.items]
        cursor = page.next_cursor
        if not cursor:
            break
        vault.app.credentials.search(vault.agent, "in between")
    assert seen == [f"n{number}" for number in reversed(range(7))]


@pytest.mark.parametrize("limit", [0, -1, 101, 10**9])
def test_a_page_has_1_to_100_items(vault: Vault, limit: int):
    for act in (vault.app.credentials.search, vault.app.audit.search, vault.app.registry.find):
        with pytest.raises(Invalid) as refused:
            act(vault.agent, limit=limit)
        assert list(refused.value.fields) == ["limit"]


CURSORS = [
    "kanarie-77",
    "é",
    "AAAA",
    "bnVsbA",
    "W10",
    "WzFd",
    "WzEsMl0",
    "WyJhIiwiYiJd",
    "W3RydWUsICJ4Il0",
    "WzFlMzAwLCAieCJd",
    "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwLCAieCJd",
    "\x00",
    "A" * 10_000,
]


@pytest.mark.parametrize("cursor", CURSORS)
def test_what_is_no_cursor_is_told_and_not_repeated(vault: Vault, cursor: str):
    for act in (vault.app.credentials.search, vault.app.audit.search, vault.app.registry.find):
        refused = None
        try:
            act(vault.agent, cursor=cursor)
        except Invalid as error:  # a cursor may be one of another list, and lead somewhere
            refused = error
        if refused is not None:
            assert list(refused.fields) in (["cursor"], ["kind"])
            assert cursor not in refused.message + repr(refused.fields)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 3),
        ("gitea", 1),
        ("GITEA", 1),
        ("gitea admin", 1),
        ("admin", 2),
        ("git.example.org", 1),
        ("production", 1),
        ("nothing-like-it", 0),
        ("%", 1),
        ("_", 0),
        ("'", 0),
        ("\\", 0),
        ("100%", 1),
    ],
)
def test_a_search_finds_every_word_in_open_fields_and_takes_no_letter_for_a_wildcard(
    vault: Vault, query: str, found: int
):
    vault.add(name="Gitea Admin", external_url="https://git.example.org", tags=("production",), username="u1")
    vault.add(name="Wiki Admin", username="u2")
    vault.add(name="Load 100% test", username="u3")
    assert vault.app.credentials.search(vault.agent, query).total == found


def test_a_search_narrows_by_client_type_tag_and_state(vault: Vault):
    search: Callable[..., Any] = vault.app.credentials.search
    one = vault.add(client="ACME", tags=("prod",)).description.reference
    two = vault.add("api_key", client="Other").description.reference
    assert [i.reference for i in search(vault.agent, client="ACME").items] == [one]
    assert [i.reference for i in search(vault.agent, client="acme").items] == [one]
    assert [i.reference for i in search(vault.agent, type="api_key").items] == [two]
    assert [i.reference for i in search(vault.agent, tag="prod").items] == [one]
    assert search(vault.agent, tag="pro").total == 0
    vault.app.credentials.update(vault.agent, two, {"state": "retired"})
    vault.app.credentials.delete(vault.agent, one)
    assert search(vault.agent).total == 0
    assert [i.reference for i in search(vault.agent, state="retired").items] == [two]
    assert [i.reference for i in search(vault.agent, state="deleted").items] == [one]
    assert search(vault.agent, state="").total == 2


def test_a_damaged_credential_is_refused_in_a_search_too(vault: Vault):
    vault.add()
    vault.sql("UPDATE credentials SET username = 'other'")
    with pytest.raises(Broken):
        vault.app.credentials.search(vault.agent)
