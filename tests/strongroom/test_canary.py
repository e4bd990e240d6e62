"""A value goes through every service and every error: afterwards it lies in ciphertext and nowhere else, in no form."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

import pytest

from domain.credentials import TYPES
from domain.drafts import Draft, Generate
from domain.errors import ClaudeToolsError
from domain.plain import Plain
from tests.kit.forms import assert_absent, forms
from tests.strongroom.vault import Vault

SEED = "MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43U"


def canary(kind: str, field: str) -> str:
    """A value told apart from every other, with letters that each encoding changes."""
    if field == "totp_seed":
        return SEED[:26] + "ABCDEFGH"[list(TYPES).index(kind)] * 6
    return f"Zq7!{kind}/{field}+ß=<9x>&"


CANARIES = {(kind.name, field): canary(kind.name, field) for kind in TYPES.values() for field in kind.secrets()}
SPELLED = ("raw", "base64", "hex", "percent upper", "reversed", "JSON escape", "one character a line", "upper-cased")


class Told:
    """Everything that callers, logs and consoles were told, but for what `reveal` gave."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def hear(self, act: Callable[[], object]) -> object:
        """Does it; keeps the answer's repr, or all of the refusal."""
        try:
            answer = act()
        except ClaudeToolsError as refused:
            self.parts += [repr(refused), str(refused), refused.message, refused.hint, repr(refused.fields)]
            if refused.__context__ is not None:
                self.parts.append(repr(refused.__context__))
            return None
        self.parts.append(repr(answer))
        return answer


def assert_nowhere(vault: Vault, told: Told, caplog: pytest.LogCaptureFixture, values: list[str]) -> None:
    files = [file for file in sorted(vault.home.rglob("*")) if file.is_file() and file.parent.name != "keys"]
    stored = b"\n".join([*(file.read_bytes() for file in files), vault.store.contents()])
    heard = "\n".join([*told.parts, caplog.text, *(repr(record.args) for record in caplog.records)]).encode()
    for value in values:
        assert_absent(value, stored, "in a stored file")
        assert_absent(value, heard, "in an answer, a refusal or a log")


@pytest.mark.parametrize("kind", TYPES)
def test_the_values_of_a_type_stay_inside_through_every_service(
    vault: Vault, caplog: pytest.LogCaptureFixture, kind: str
):
    caplog.set_level(logging.DEBUG)
    app, told = vault.app, Told()
    mine = {field: CANARIES[owner, field] for owner, field in CANARIES if owner == kind}
    main, all_of_it = mine[TYPES[kind].main], " / ".join(mine.values())
    for actor in (vault.agent, vault.person):
        draft = Draft(
            kind,
            f"Service {all_of_it}"[:250],
            client=f"Client {mine[TYPES[kind].main]}",
            service=f"S {mine['notes']}",
            username=mine["notes"],
            external_url=f"https://u:{mine[TYPES[kind].main]}@example.org/",
            tags=(mine["notes"][:60],),
            open=dict.fromkeys(TYPES[kind].open, all_of_it),
            values={field: Plain(text) for field, text in mine.items()},
        )
        made = told.hear(lambda draft=draft, actor=actor: app.credentials.create(actor, draft, purpose=all_of_it))
        reference = made.description.reference
        for spelling in (all_of_it, *(forms(main.encode())[name].decode() for name in SPELLED)):
            said = spelling[:450]
            told.hear(lambda actor=actor, s=said: app.credentials.search(actor, s))
            told.hear(lambda actor=actor, s=said, r=reference: app.credentials.update(actor, r, {"username": s}))
            told.hear(lambda actor=actor, s=said: app.audit.search(actor, subject=s))
        told.hear(lambda actor=actor: app.registry.save(actor, kind="client", name=main, note=all_of_it, url=main))
        told.hear(lambda actor=actor, r=reference: app.credentials.update(actor, r, {"tags": [main]}, purpose=main))
        told.hear(lambda actor=actor, r=reference: app.credentials.describe(actor, r))
        told.hear(lambda actor=actor, r=reference: app.credentials.rotate(actor, r, value=Plain(main), purpose=main))
        told.hear(lambda actor=actor: app.registry.find(actor, main))
        for field in mine:
            with suppress(ClaudeToolsError):
                revealed = app.credentials.reveal(actor, reference, field=field, purpose=f"compare with {main}")
                told.parts.append(repr(revealed) + str(revealed) + f"{revealed.value}")
        told.hear(lambda actor=actor, r=reference: app.credentials.delete(actor, r, purpose=all_of_it))
        told.hear(lambda actor=actor: app.audit.search(actor, limit=100))
    told.hear(app.audit.verify)
    assert_nowhere(vault, told, caplog, list(mine.values()))
    assert app.audit.verify().findings == ()


def test_a_value_in_the_wrong_place_is_not_told_and_not_kept(vault: Vault, caplog: pytest.LogCaptureFixture):
    """The value is in the vault, so that free texts are struck; the rest are refusals that must not repeat it."""
    caplog.set_level(logging.DEBUG)
    app, agent, told = vault.app, vault.agent, Told()
    value = CANARIES["password", "password"]
    reference = vault.add(client="ACME", values={"password": Plain(value)}).description.reference
    good = {"password": Plain("another value, long")}

    def draft(**said: object) -> Draft:
        return Draft(**{"type": "password", "service_name": "X", "client": "ACME", "values": good, **said})  # type: ignore[arg-type]

    acts: list[Callable[[], object]] = [
        lambda: app.credentials.create(agent, draft(type=value)),
        lambda: app.credentials.create(agent, draft(exposure=value)),
        lambda: app.credentials.create(agent, draft(open={value: value})),
        lambda: app.credentials.create(agent, draft(open={"issuer": value})),
        lambda: app.credentials.create(agent, draft(values={**good, value: Plain(value)})),
        lambda: app.credentials.create(agent, draft(values={**good, "totp_seed": Plain(value)})),
        lambda: app.credentials.create(agent, draft(tags=(value * 4,))),
        lambda: app.credentials.create(agent, draft(service_name=value + "\x00")),
        lambda: app.credentials.create(agent, draft(values={}, generate=Generate(alphabet=value))),
        lambda: app.credentials.create(agent, draft(infrastructure=value, service=value, name=value), purpose=value),
        lambda: app.credentials.create(agent, draft(), purpose=value * 30),
        lambda: app.credentials.describe(agent, value),
        lambda: app.credentials.describe(agent, f"acme/{value}/x"),
        lambda: app.credentials.reveal(agent, value, purpose=value),
        lambda: app.credentials.reveal(agent, reference, field=value, purpose=value),
        lambda: app.credentials.update(agent, value, {value: value}, purpose=value),
        lambda: app.credentials.update(agent, reference, {value: value}),
        lambda: app.credentials.update(agent, reference, {"ports": [value]}),
        lambda: app.credentials.update(agent, reference, {"state": value, "exposure": value}),
        lambda: app.credentials.rotate(agent, reference, field=value, value=Plain(value), purpose=value),
        lambda: app.credentials.rotate(agent, value, generate=Generate()),
        lambda: app.credentials.delete(agent, value, purpose=value),
        lambda: app.credentials.search(agent, value, client=value, tag=value),
        lambda: app.credentials.search(agent, type=value),
        lambda: app.credentials.search(agent, state=value),
        lambda: app.credentials.search(agent, cursor=value),
        lambda: app.audit.search(agent, action=value),
        lambda: app.audit.search(agent, subject=value, actor_name=value, session=value),
        lambda: app.audit.search(agent, outcome=value, cursor=value),
        lambda: app.registry.save(agent, kind=value, name="x"),
        lambda: app.registry.save(agent, kind="service", name=value, client=value, note=value, item_id=value),
        lambda: app.registry.save(agent, kind="service", name=value, client="ACME", note=value, url=value),
        lambda: app.registry.find(agent, value, kind=value),
        lambda: app.registry.find(agent, value, client=value),
        lambda: app.identity.prove(value),
        lambda: app.identity.login(value, value),
        lambda: app.identity.login("anna", value),
        lambda: app.identity.actor(value),
        lambda: app.identity.enroll(vault.person, value),
        lambda: app.identity.enroll(vault.person, "x", scopes=frozenset({value})),
        lambda: app.identity.revoke(vault.person, value),
        lambda: app.redaction.strike(value),
    ]
    for act in acts:
        told.hear(act)
    assert_nowhere(vault, told, caplog, [value])


def test_reprs_of_what_holds_keys_show_none(vault: Vault):
    app = vault.app
    shown = repr(app) + repr(app.keyring) + repr(app.work.__dict__) + repr(vars(app.credentials))
    root = app.keyring._root.raw
    for form in (root.hex(), repr(root)[2:-1], str(list(root))[1:-1]):
        assert form not in shown
    assert vault.secret not in shown


def test_the_database_driver_never_shows_bound_values(vault: Vault, caplog: pytest.LogCaptureFixture):
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    caplog.set_level(logging.DEBUG)
    with vault.app.engine.connect() as connection, pytest.raises(SQLAlchemyError) as refused:
        connection.execute(text("SELECT :value FROM nowhere"), {"value": "kanarie-31337"})
    assert "kanarie-31337" not in str(refused.value) + caplog.text
