"""The key that an invitation's text and code hold: whoever had both keeps it, and the database account with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from domain.actors import Actor, Subject
from domain.audit import Entry
from domain.errors import Invalid
from domain.ids import new_id
from domain.invitations import Letter, read_letter
from mcp_server.bootstrap import backup
from mcp_server.bootstrap.opening import address_of
from mcp_server.bootstrap.wanted import Invitation
from mcp_server.keyring import Keyring, open_letter, signing_alone
from mcp_server.services.machines import Invited, signer_of
from mcp_server.work import HeadNotes
from mcp_server.work.chain import Chain
from storage.audit import Audit
from storage.engine import open_engine
from storage.transaction import begin
from tests.machines.conftest import Machine, World, server, world

__all__ = ["server", "world"]


@pytest.fixture
def first(world: World) -> Iterator[Machine]:
    """A machine of a vault on a server."""
    made = world.found()
    yield made
    made.close()


def sign(world: World, first: Machine, invited: Invited, action: str, subject: Subject) -> None:
    """Stores an entry past the program, by the program's own database account, under the key from the invitation."""
    entry = world.entry(invited)
    assert isinstance(entry, Invitation)
    enclosed, _ = open_letter(entry.letter, entry.code)
    machine_id = signer_of(entry.letter.invitation_id)
    anna = first.person()
    actor = replace(anna, machine_id=machine_id, verified=frozenset({"person", "machine"}))
    store(first, signing_alone(entry.letter.vault_id, enclosed.signing_seed), machine_id, actor, action, subject)


def store(first: Machine, keyring: Keyring, machine_id: str, actor: Actor, action: str, subject: Subject) -> None:
    chain = Chain(keyring, HeadNotes(first.home / "elsewhere"), machine_id)
    opening, link = chain.next(Entry(new_id("ae"), time.time_ns() // 1000, action, "ok", actor, subject))
    assert opening is not None
    engine = open_engine(address_of(first.settings))
    with begin(engine, write=True) as transaction:
        log = Audit(transaction.connection)
        log.open_chain(opening)
        log.append(link)
        transaction.commit()
    engine.dispose()


@pytest.mark.parametrize(
    ("action", "subject"),
    [
        ("credential.decrypt", Subject("credential", new_id("cr"), "bank")),
        ("machine.revoke", Subject("machine", new_id("ma"), "laptop")),
        ("machine.enroll", Subject("machine", new_id("ma"), "laptop")),
    ],
)
def test_what_an_invitations_key_signs_beside_joining_is_told(
    world: World, first: Machine, action: str, subject: Subject
) -> None:
    app = first.open()
    invited = world.invite(first)
    app.machines.withdraw(first.person(), invited.invitation.invitation_id)
    assert app.audit.verify().ok
    sign(world, first, invited, action, subject)
    (found,) = app.audit.verify().findings
    assert found.verdict == "bad signature"
    assert "no attempt to join" in found.what
    file = first.home / "b"
    backup.create_file(app, first.person(), file, lambda *_: None)
    with file.open("rb") as stream:
        source = backup.begin(stream)
        (told,) = backup.check(source, app.keyring, lambda *_: None).findings
    assert told == found


@pytest.mark.parametrize("salt", [b"", b"short", b"x" * 60_000])
def test_an_invitation_with_a_salt_that_nobody_makes_is_damaged(salt: bytes) -> None:
    with pytest.raises(Invalid):
        read_letter(Letter("va_1", "iv_1", "mariadb://u@h/d", "", salt, b"o", b"i").text())
