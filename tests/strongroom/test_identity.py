"""Who is asking: secrets, passwords, tokens, scopes, and being shut out."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import stat
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.actors import AGENT_SCOPES, SCOPES, Actor
from domain.drafts import Draft, Generate
from domain.errors import (
    Broken,
    ClaudeToolsError,
    Conflict,
    Denied,
    Invalid,
    NotFound,
    TooMany,
    Unauthenticated,
)
from domain.identity import REQUIRED_CLAIMS
from tests.kit.stores import Databases
from tests.strongroom.story import FIRST
from tests.strongroom.vault import PASSWORD, PERSON, Clock, Template, Vault, copy_home, make_template

WRONG = "kanarie-8d1f2c"


def claims_of(token: str) -> dict[str, object]:
    return jwt.decode(token, options={"verify_signature": False})


def part(said: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


# Proving.


def test_an_agent_that_proves_its_secret_acts_for_its_owner_on_its_machine_in_its_session(vault: Vault):
    actor = vault.app.identity.actor(vault.app.identity.prove(vault.secret, session_id="s-7"))
    settings = vault.app.settings
    assert (actor.kind, actor.id, actor.name) == ("agent", settings.agent_id, "claude-code")
    assert (actor.owner_name, actor.machine_id, actor.session_id) == (PERSON, settings.machine_id, "s-7")
    assert actor.verified == {"agent", "owner", "machine"}
    assert actor.scopes == AGENT_SCOPES
    assert actor.tier == settings.tier


def test_a_person_who_logs_in_acts_with_the_rights_of_the_role(vault: Vault):
    actor = vault.app.identity.actor(vault.app.identity.login(PERSON, PASSWORD))
    assert (actor.kind, actor.name) == ("person", PERSON)
    assert actor.verified == {"person", "machine"}
    assert actor.scopes == SCOPES


def test_the_agents_secret_lies_in_a_private_file_and_its_hash_in_the_database(vault: Vault):
    file = vault.app.settings.agent_secret_file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (row,) = vault.rows("agents")
    assert row["secret_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert vault.secret.encode() not in vault.store.contents()


@pytest.mark.parametrize("secret", ["", WRONG, "cta_", "x" * 100_000, "\x00", "🔑", "cta_ü"])
def test_a_wrong_secret_is_refused_with_an_entry_and_is_not_repeated(vault: Vault, secret: str):
    with vault.writes() as entries, pytest.raises(Unauthenticated) as refused:
        vault.app.identity.prove(secret)
    assert [(e["action"], e["outcome"], e["subject_name"]) for e in entries] == [
        ("agent.prove", "denied", "claude-code")
    ]
    assert refused.value.entry == entries[0]["entry_id"]
    assert not secret or secret not in refused.value.message + refused.value.hint + entries[0]["body"]


@pytest.mark.parametrize("name", ["", WRONG, PERSON + " ", "pe_x", "' OR 1=1 --", "\x00"])
def test_a_login_of_nobody_sounds_like_a_wrong_password(vault: Vault, name: str):
    with pytest.raises(Unauthenticated) as nobody:
        vault.app.identity.login(name, PASSWORD)
    with pytest.raises(Unauthenticated) as wrong:
        vault.app.identity.login(PERSON, WRONG)
    assert nobody.value.message == wrong.value.message
    assert not name.strip() or name not in nobody.value.message


@pytest.mark.parametrize("who", ["agent", "person"])
def test_five_failures_lock_for_five_minutes_and_then_no_longer(timed: Vault, clock: Clock, who: str):
    identity = timed.app.identity

    def attempt(right: bool) -> str:
        if who == "agent":
            return identity.prove(timed.secret if right else WRONG)
        return identity.login(PERSON, PASSWORD if right else WRONG)

    for _ in range(5):
        with pytest.raises(Unauthenticated):
            attempt(right=False)
        clock.pass_seconds(1)
    with pytest.raises(TooMany) as locked:
        attempt(right=True)
    assert locked.value.seconds == 300
    clock.pass_seconds(200)
    for _ in range(6):  # asking again while locked is refused, and does not lock anew
        with pytest.raises(TooMany):
            attempt(right=True)
    clock.pass_seconds(101)
    assert attempt(right=True)


def test_failures_of_one_do_not_lock_another(timed: Vault):
    for _ in range(6):
        with pytest.raises((Unauthenticated, TooMany)):
            timed.app.identity.login(PERSON, WRONG)
    assert timed.app.identity.prove(timed.secret)


def test_four_failures_do_not_lock(timed: Vault):
    for _ in range(4):
        with pytest.raises(Unauthenticated):
            timed.app.identity.prove(WRONG)
    assert timed.app.identity.prove(timed.secret)


# Tokens.


def test_a_token_names_vault_owner_agent_machine_session_and_scopes(timed: Vault, clock: Clock):
    said = claims_of(timed.app.identity.prove(timed.secret, session_id="s-1"))
    settings = timed.app.settings
    assert set(said) == set(REQUIRED_CLAIMS)
    assert said["iss"] == said["aud"] == settings.vault_id
    assert said["sub"] == timed.agent.owner_id
    assert said["act"] == {"sub": settings.agent_id}
    assert said["machine"] == settings.machine_id
    assert said["session"] == "s-1"
    assert said["exp"] - said["iat"] == 15 * 60
    assert said["iat"] == clock.now // 1_000_000


@pytest.mark.parametrize(("who", "seconds"), [("agent", 15 * 60), ("person", 60 * 60)])
def test_a_token_ends_at_its_time(timed: Vault, clock: Clock, who: str, seconds: int):
    identity = timed.app.identity
    token = identity.prove(timed.secret) if who == "agent" else identity.login(PERSON, PASSWORD)
    clock.pass_seconds(seconds - 1)
    assert identity.actor(token)
    clock.pass_seconds(1)
    with pytest.raises(Unauthenticated, match="expired"):
        identity.actor(token)


def forged(vault: Vault, **how: object) -> str:
    said = claims_of(vault.template.agent_token) | dict(how.get("claims", {}))  # type: ignore[call-overload]
    for name in how.get("without", ()):  # type: ignore[attr-defined]
        del said[name]
    key = how.get("key", vault.app.keyring.token_key())
    return jwt.encode(said, key, algorithm="EdDSA", headers=how.get("headers"))  # type: ignore[arg-type]


def test_a_token_of_our_own_making_is_taken_so_that_the_forgeries_below_mean_something(vault: Vault):
    assert vault.app.identity.actor(forged(vault)).name == "claude-code"


@pytest.mark.parametrize("claim", REQUIRED_CLAIMS)
def test_a_token_without_a_claim_is_refused(vault: Vault, claim: str):
    with pytest.raises(Unauthenticated):
        vault.app.identity.actor(forged(vault, without=[claim]))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "va_other"},
        {"aud": "va_other"},
        {"aud": ["va_other"]},
        {"machine": "ma_other"},
        {"machine": 5},
        {"sub": "pe_other"},
        {"sub": None},
        {"act": {"sub": "ag_other"}},
        {"act": "ag_other"},
        {"act": {}},
        {"act": {"sub": 5}},
        {"exp": 0},
        {"exp": "never"},
        {"exp": None},
        {"iat": None},
        {"scope": ["credentials:read"]},
        {"session": None},
        {"jti": 5},
    ],
    ids=str,
)
def test_a_token_with_another_claim_is_refused(vault: Vault, claims: dict[str, object]):
    with pytest.raises(ClaudeToolsError) as refused:
        vault.app.credentials.search(vault.app.identity.actor(forged(vault, claims=claims)))
    assert isinstance(refused.value, Unauthenticated | Denied)


def test_a_token_of_another_key_is_refused(vault: Vault):
    with pytest.raises(Unauthenticated):
        vault.app.identity.actor(forged(vault, key=Ed25519PrivateKey.generate()))


def test_a_token_whose_payload_was_changed_is_refused(vault: Vault):
    head, body, signature = vault.template.agent_token.split(".")
    said = claims_of(vault.template.agent_token) | {"scope": " ".join(sorted(SCOPES))}
    with pytest.raises(Unauthenticated):
        vault.app.identity.actor(f"{head}.{part(said)}.{signature}")
    with pytest.raises(Unauthenticated):
        vault.app.identity.actor(f"{head}.{body}.{signature[:-4]}AAAA")


@pytest.mark.parametrize("name", ["none", "None", "NONE", ""])
def test_a_token_without_a_signature_is_refused(vault: Vault, name: str):
    body = part(claims_of(vault.template.agent_token))
    for signature in ("", "AAAA"):
        with pytest.raises(Unauthenticated):
            vault.app.identity.actor(f"{part({'alg': name, 'typ': 'JWT'})}.{body}.{signature}")


def test_the_public_key_is_no_shared_secret(vault: Vault):
    """HS256 under the bytes of the public key: the old confusion of algorithms."""
    public = vault.app.keyring.token_key().public_key()
    spellings = [
        public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    ]
    body = part(claims_of(vault.template.agent_token))
    for secret in spellings:
        signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{body}"
        mark = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), hashlib.sha256)).decode().rstrip("=")
        with pytest.raises(Unauthenticated):
            vault.app.identity.actor(f"{signed}.{mark}")


@pytest.mark.parametrize("token", ["", WRONG, "a.b.c", "...", "é.é.é", "x" * 100_000, "\x00"])
def test_what_is_no_token_is_refused_and_not_repeated(vault: Vault, token: str):
    with pytest.raises(Unauthenticated) as refused:
        vault.app.identity.actor(token)
    assert not token or token not in refused.value.message + refused.value.hint


def test_a_token_of_another_vault_is_refused(vault: Vault, database: Databases, tmp_path):
    other = make_template(tmp_path / "other", database)
    with pytest.raises(Unauthenticated):
        vault.app.identity.actor(other.agent_token)


def test_a_token_of_another_machine_is_refused(
    vault: Vault, opened: Callable[..., Vault], template: Template, tmp_path
):
    home = copy_home(template.home, tmp_path / "elsewhere")
    file = home / "settings.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | {"machine_id": "ma_" + "a" * 26}))
    from mcp_server.bootstrap import build
    from mcp_server.config import load_settings

    app = build(load_settings(home))
    with pytest.raises(Unauthenticated, match="another machine"):
        app.identity.actor(template.agent_token)
    app.close()


# Shut out.


def test_a_revoked_agent_is_refused_at_its_next_call_with_the_same_token(story: Callable[[], Vault]):
    vault = story()
    assert vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in")
    vault.app.identity.revoke(vault.person, "claude-code")
    acts = [
        lambda: vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in"),
        lambda: vault.app.credentials.search(vault.agent),
        lambda: vault.app.credentials.describe(vault.agent, FIRST),
        lambda: vault.app.credentials.create(vault.agent, Draft("password", "X", generate=Generate())),
        lambda: vault.app.audit.search(vault.agent),
        lambda: vault.app.registry.find(vault.agent),
        lambda: vault.app.registry.save(vault.agent, kind="client", name="X"),
        lambda: vault.app.identity.agents(vault.agent),
        lambda: vault.app.identity.prove(vault.secret),
    ]
    for act in acts:
        with pytest.raises(Denied, match="revoked"):
            act()
    assert vault.entries()[-1]["outcome"] == "denied"


def test_another_process_sees_the_revocation_at_once(story: Callable[[], Vault]):
    from mcp_server.bootstrap import build

    vault = story()
    other = build(vault.app.settings)
    other.identity.revoke(vault.person, "claude-code")
    with pytest.raises(Denied):
        vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in")
    other.close()


def test_an_agent_that_is_enrolled_again_needs_its_new_secret(story: Callable[[], Vault]):
    vault = story()
    old = vault.secret
    vault.app.identity.revoke(vault.person, "claude-code")
    view, secret = vault.app.identity.enroll(vault.person, "claude-code")
    assert view.agent_id == vault.agent.id
    with pytest.raises(Unauthenticated):
        vault.app.identity.prove(old)
    assert vault.app.identity.actor(vault.app.identity.prove(secret.expose())).id == view.agent_id


@pytest.mark.parametrize("table", ["persons", "agents", "machines"])
def test_who_is_deleted_past_the_product_is_refused(story: Callable[[], Vault], table: str):
    vault = story()
    vault.sql(f"DELETE FROM {table}")
    with pytest.raises(ClaudeToolsError) as refused:
        vault.app.credentials.reveal(vault.agent, FIRST, purpose="log in")
    assert isinstance(refused.value, Unauthenticated | Broken)
    assert not vault.app.audit.verify().ok


@pytest.mark.parametrize("other", [{"machine_id": "ma_other"}, {"owner_id": "pe_other"}, {"id": "ag_other"}], ids=str)
def test_an_actor_that_does_not_fit_its_row_is_refused(story: Callable[[], Vault], other: dict[str, str]):
    vault = story()
    with pytest.raises((Denied, Unauthenticated)):
        vault.app.credentials.reveal(dataclasses.replace(vault.agent, **other), FIRST, purpose="log in")


# Scopes.


def acts(vault: Vault) -> dict[str, tuple[str, Callable[[Actor], object]]]:
    app = vault.app
    draft = Draft("password", "New", client="New Client", generate=Generate())
    return {
        "credential.search": ("credentials:read", app.credentials.search),
        "credential.view": ("credentials:read", lambda who: app.credentials.describe(who, FIRST)),
        "credential.create": ("credentials:write", lambda who: app.credentials.create(who, draft)),
        "credential.update": ("credentials:write", lambda who: app.credentials.update(who, FIRST, {"username": "x"})),
        "credential.rotate": (
            "credentials:write",
            lambda who: app.credentials.rotate(who, FIRST, generate=Generate()),
        ),
        "credential.delete": ("credentials:write", lambda who: app.credentials.delete(who, FIRST)),
        "credential.decrypt": (
            "credentials:decrypt",
            lambda who: app.credentials.reveal(who, FIRST, purpose="log in"),
        ),
        "audit.search": ("audit:read", app.audit.search),
        "registry.save": ("registry:write", lambda who: app.registry.save(who, kind="client", name="X")),
        "agent.enroll": ("agents:write", lambda who: app.identity.enroll(who, "other")),
        "agent.revoke": ("agents:write", lambda who: app.identity.revoke(who, "claude-code")),
    }


ACTIONS = (
    "credential.search",
    "credential.view",
    "credential.create",
    "credential.update",
    "credential.rotate",
    "credential.delete",
    "credential.decrypt",
    "audit.search",
    "registry.save",
    "agent.enroll",
    "agent.revoke",
)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", ["agent", "person"])
def test_without_its_scope_an_act_is_denied_and_recorded_and_changes_nothing(
    story: Callable[[], Vault], action: str, kind: str
):
    vault = story()
    scope, act = acts(vault)[action]
    actor = getattr(vault, kind)
    who = dataclasses.replace(actor, scopes=actor.scopes - {scope})
    rows = vault.dump()
    with vault.writes() as entries, pytest.raises(Denied) as refused:
        act(who)
    assert scope in refused.value.message
    assert [(e["action"], e["outcome"]) for e in entries] == [(action, "denied")]
    assert refused.value.entry == entries[0]["entry_id"]
    assert vault.dump() == rows


@pytest.mark.parametrize("action", ACTIONS[:-2])
def test_with_its_scope_alone_an_act_is_allowed(story: Callable[[], Vault], action: str):
    vault = story()
    scope, act = acts(vault)[action]
    extra = {"registry:write"} if action == "credential.create" else set()
    act(dataclasses.replace(vault.agent, scopes=frozenset({scope, *extra})))


def test_looking_into_the_registry_needs_its_scope(story: Callable[[], Vault]):
    vault = story()
    with pytest.raises(Denied, match="registry:read"):
        vault.app.registry.find(dataclasses.replace(vault.agent, scopes=vault.agent.scopes - {"registry:read"}))


def test_an_agent_enrolled_with_less_can_do_less(story: Callable[[], Vault]):
    vault = story()
    vault.app.identity.revoke(vault.person, "claude-code")
    _, secret = vault.app.identity.enroll(vault.person, "claude-code", scopes=frozenset({"credentials:read"}))
    actor = vault.app.identity.actor(vault.app.identity.prove(secret.expose()))
    assert vault.app.credentials.search(actor).total == 2
    with pytest.raises(Denied):
        vault.app.credentials.reveal(actor, FIRST, purpose="log in")


def test_no_agent_is_enrolled_with_the_rights_of_a_person(vault: Vault):
    for scope in ("agents:write", "keys:write", WRONG):
        with pytest.raises(Invalid) as refused:
            vault.app.identity.enroll(vault.person, "other", scopes=AGENT_SCOPES | {scope})
        assert list(refused.value.fields) == ["scopes"]
        assert WRONG not in refused.value.message


@pytest.mark.parametrize("name", ["", " ", "a b", "x" * 65, "a/b", "a\x00", "a\n", "../x", WRONG + "/"])
def test_a_name_that_cannot_be_an_agents_is_refused(vault: Vault, name: str):
    with vault.writes() as entries, pytest.raises(Invalid) as refused:
        vault.app.identity.enroll(vault.person, name)
    assert list(refused.value.fields) == ["name"]
    assert entries == []
    assert WRONG not in refused.value.message


def test_a_second_agent_of_one_name_is_refused(vault: Vault):
    with pytest.raises(Conflict):
        vault.app.identity.enroll(vault.person, "claude-code")


def test_nobody_revokes_who_is_not_there_or_is_revoked_already(vault: Vault):
    with pytest.raises(NotFound) as refused:
        vault.app.identity.revoke(vault.person, WRONG)
    assert WRONG not in refused.value.message
    vault.app.identity.revoke(vault.person, "claude-code")
    with pytest.raises(Conflict):
        vault.app.identity.revoke(vault.person, "claude-code")
