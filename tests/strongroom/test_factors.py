"""Second factors: codes are taken once, wrong ones lock, and the seed is nowhere in clear."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pyotp
import pytest

from domain.approvals import STEP_S
from domain.errors import Broken, Conflict, Denied, Invalid, NotFound, TooMany, Unauthenticated
from domain.plain import Plain
from mcp_server.bootstrap import build
from mcp_server.bootstrap.turning import Wanted, turn_root
from mcp_server.config import load_settings
from mcp_server.services.factors import address_of
from tests.strongroom.vault import Clock, Vault


class Authenticator:
    """An app that shows codes of a seed."""

    def __init__(self, seed: Plain, clock: Clock) -> None:
        self._totp, self._clock = pyotp.TOTP(seed.expose()), clock

    def code(self, steps: int = 0) -> str:
        """The code of now, or of so many steps later."""
        return self._totp.at(self._clock.now // 1_000_000 + steps * STEP_S)


@pytest.fixture
def seed(timed: Vault, clock: Clock) -> Plain:
    """The seed of a factor that the person has, added five minutes ago."""
    made = timed.app.factors.begin(timed.person)
    timed.app.factors.add(timed.person, made, Authenticator(made, clock).code())
    clock.pass_seconds(300)
    return made


@pytest.fixture
def app(seed: Plain, clock: Clock) -> Authenticator:
    """The person's authenticator."""
    return Authenticator(seed, clock)


def test_a_code_of_now_and_of_the_step_beside_it_is_taken(timed: Vault, app: Authenticator, clock: Clock):
    for steps in (-1, 0, 1):
        timed.app.factors.prove(timed.person, app.code(steps))
    clock.pass_seconds(300)
    for steps in (-2, 2):
        with pytest.raises(Unauthenticated):
            timed.app.factors.prove(timed.person, app.code(steps))


def test_a_code_may_be_typed_with_a_space(timed: Vault, app: Authenticator):
    code = app.code()
    timed.app.factors.prove(timed.person, f"{code[:3]} {code[3:]}")


def test_no_code_is_taken_twice_nor_one_before_it(timed: Vault, app: Authenticator):
    timed.app.factors.prove(timed.person, app.code())
    for steps in (0, -1):
        with pytest.raises(Unauthenticated, match="shown already"):
            timed.app.factors.prove(timed.person, app.code(steps))


def test_one_of_two_processes_that_take_the_same_code_at_once_is_refused(timed: Vault, app: Authenticator):
    other = build(load_settings(timed.home), clock=timed.clock)
    gate, code = threading.Barrier(2), app.code()

    def prove(one: object) -> str:
        gate.wait()
        try:
            one.factors.prove(timed.person, code)  # type: ignore[attr-defined]
        except Unauthenticated:
            return "refused"
        return "taken"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(prove, (timed.app, other))) == ["refused", "taken"]
    other.close()


PROVER = """
import sys
from pathlib import Path
from domain.errors import Unauthenticated
from mcp_server.bootstrap import build
from mcp_server.config import load_settings

app = build(load_settings(Path(sys.argv[1])))
actor = app.identity.actor(sys.argv[2])
print("ready", flush=True)
for code in sys.stdin:
    try:
        app.factors.prove(actor, code)
    except Unauthenticated as refused:
        print(refused.message, flush=True)
    else:
        print("taken", flush=True)
app.close()
"""
"""A process that takes the codes on its stdin, one a line."""


def test_no_code_is_taken_by_two_processes(vault: Vault):
    seed = vault.app.factors.begin(vault.person)
    totp, now = pyotp.TOTP(seed.expose()), int(time.time())
    vault.app.factors.add(vault.person, seed, totp.at(now - STEP_S))
    words = [sys.executable, "-c", PROVER, str(vault.home), vault.template.person_token]
    provers = [subprocess.Popen(words, stdin=-1, stdout=-1, text=True) for _ in range(2)]  # our own words
    try:
        assert [one.stdout.readline() for one in provers if one.stdout] == ["ready\n"] * 2
        for code in (totp.at(now), totp.at(now + STEP_S)):
            for one in provers:
                one.stdin.write(f"{code}\n")  # type: ignore[union-attr]
            for one in provers:
                one.stdin.flush()  # type: ignore[union-attr]
            said = sorted(one.stdout.readline().strip() for one in provers if one.stdout)
            assert said == ["taken", "that one-time code was shown already"]
    finally:
        for one in provers:
            one.communicate(timeout=30)
    assert [one.returncode for one in provers] == [0, 0]
    assert vault.app.audit.verify().ok


def test_each_try_is_one_entry_about_the_factor(timed: Vault, app: Authenticator):
    with timed.writes() as entries:
        timed.app.factors.prove(timed.person, app.code())
        with pytest.raises(Unauthenticated) as wrong:
            timed.app.factors.prove(timed.person, app.code())
    told = [(e["action"], e["outcome"], e["subject_type"], e["subject_id"], e["subject_name"]) for e in entries]
    about = ("second_factor", timed.person.id, timed.person.name)
    assert told == [("factor.prove", "ok", *about), ("factor.prove", "denied", *about)]
    assert [e["subject_revision"] is not None for e in entries] == [True, False]
    assert wrong.value.entry == entries[1]["entry_id"]


def test_a_turned_root_key_keeps_a_factor_and_a_removed_one(timed: Vault, app: Authenticator, clock: Clock):
    password = Plain("another good password")
    timed.app.persons.add(timed.person, "ben", "technician", password)
    ben = timed.app.identity.actor(timed.app.identity.login("ben", password.expose()))
    lost = timed.app.factors.begin(ben)
    timed.app.factors.add(ben, lost, Authenticator(lost, clock).code())
    timed.app.factors.remove_of(timed.person, "ben")
    before = {row["person_id"]: row["sealed"] for row in timed.rows("second_factors")}
    turn_root(timed.app, timed.person, Wanted(lambda _key: None), lambda _part, _done, _total: None)
    after = {row["person_id"]: row["sealed"] for row in timed.rows("second_factors")}
    assert len(after) == 2
    assert all(after[person] != sealed for person, sealed in before.items())
    timed.app.factors.prove(timed.person, app.code())
    clock.pass_seconds(60)
    fresh = build(load_settings(timed.home), clock=timed.clock)
    fresh.factors.prove(timed.person, app.code())
    assert not fresh.factors.has(ben)
    assert fresh.audit.verify().ok
    fresh.close()


def test_a_factor_that_is_added_while_the_root_key_was_turned_elsewhere_opens(timed: Vault, clock: Clock):
    other = build(load_settings(timed.home), clock=timed.clock)
    seed = other.factors.begin(timed.person)
    turn_root(timed.app, timed.person, Wanted(lambda _key: None), lambda _part, _done, _total: None)
    other.factors.add(timed.person, seed, Authenticator(seed, clock).code())
    clock.pass_seconds(60)
    for one in (other, timed.app):
        one.factors.prove(timed.person, Authenticator(seed, clock).code())
        clock.pass_seconds(60)
    other.close()


def test_who_takes_the_row_out_takes_no_code_away(timed: Vault, seed: Plain, clock: Clock):
    timed.sql("DELETE FROM second_factors")
    fresh = timed.app.factors.begin(timed.person)
    for act in (
        lambda: timed.app.factors.has(timed.person),
        lambda: timed.app.approvals.needs_code(timed.person),
        lambda: timed.app.factors.add(timed.person, fresh, Authenticator(fresh, clock).code()),
    ):
        with pytest.raises(Broken, match="missing"):
            act()
    told = [(found.verdict, found.where) for found in timed.app.audit.verify().findings]
    assert ("missing", f"second_factor {timed.person.id}") in told


def test_an_old_row_put_back_takes_no_code_again(timed: Vault, app: Authenticator):
    (row,) = timed.rows("second_factors")
    timed.app.factors.prove(timed.person, app.code())
    timed.sql(
        "UPDATE second_factors SET last_step = ?, revision = ?, mac = ?", row["last_step"], row["revision"], row["mac"]
    )
    with pytest.raises(Broken, match="rolled back"):
        timed.app.factors.prove(timed.person, app.code())


def test_five_wrong_codes_lock_for_five_minutes(timed: Vault, app: Authenticator, clock: Clock):
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            timed.app.factors.prove(timed.person, "000000")
    with pytest.raises(TooMany):
        timed.app.factors.prove(timed.person, app.code())
    with pytest.raises(TooMany):
        timed.app.factors.remove(timed.person, app.code())
    clock.pass_seconds(301)
    timed.app.factors.prove(timed.person, app.code())


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "\0" * 6])
def test_what_is_no_code_is_refused_like_a_wrong_one(timed: Vault, app: Authenticator, code: str):
    with pytest.raises(Unauthenticated):
        timed.app.factors.prove(timed.person, code)


def test_a_factor_is_kept_only_once_a_code_of_it_was_shown(timed: Vault, clock: Clock):
    seed = timed.app.factors.begin(timed.person)
    with pytest.raises(Invalid) as wrong:
        timed.app.factors.add(timed.person, seed, "000000")
    assert "code" in wrong.value.fields
    assert not timed.app.factors.has(timed.person)
    with pytest.raises(NotFound):
        timed.app.factors.prove(timed.person, Authenticator(seed, clock).code())


def test_a_second_one_is_refused_until_the_first_is_removed_by_a_code_of_it(
    timed: Vault, app: Authenticator, clock: Clock
):
    fresh = timed.app.factors.begin(timed.person)
    with pytest.raises(Conflict):
        timed.app.factors.add(timed.person, fresh, Authenticator(fresh, clock).code())
    with pytest.raises(Unauthenticated):
        timed.app.factors.remove(timed.person, "000000")
    timed.app.factors.remove(timed.person, app.code())
    assert not timed.app.factors.has(timed.person)
    timed.app.factors.add(timed.person, fresh, Authenticator(fresh, clock).code())
    clock.pass_seconds(60)
    timed.app.factors.prove(timed.person, Authenticator(fresh, clock).code())
    with pytest.raises(Unauthenticated):
        timed.app.factors.prove(timed.person, app.code(1))
    assert timed.app.audit.verify().ok


def test_an_owner_takes_a_lost_one_away_and_never_the_own(timed: Vault, app: Authenticator):
    password = Plain("another good password")
    for name, role in (("ben", "owner"), ("tom", "technician")):
        timed.app.persons.add(timed.person, name, role, password)
    ben, tom = (timed.app.identity.actor(timed.app.identity.login(name, password.expose())) for name in ("ben", "tom"))
    for actor in (timed.person, tom, timed.agent):
        with pytest.raises(Denied):
            timed.app.factors.remove_of(actor, timed.person.name)
    with pytest.raises(NotFound):
        timed.app.factors.remove_of(ben, "tom")
    timed.app.factors.remove_of(ben, timed.person.name)
    assert not timed.app.factors.has(timed.person)
    assert app.code()


def test_an_agent_has_no_hand_in_it(timed: Vault, app: Authenticator):
    for act in (
        lambda: timed.app.factors.begin(timed.agent),
        lambda: timed.app.factors.prove(timed.agent, app.code()),
        lambda: timed.app.factors.remove(timed.agent, app.code()),
    ):
        with pytest.raises(Denied):
            act()


def test_the_seed_is_nowhere_in_the_database_nor_in_a_message(timed: Vault, seed: Plain):
    held = repr(timed.dump(without=()))
    assert seed.expose() not in held
    assert seed.expose() not in repr(seed)
    with pytest.raises(Invalid) as wrong:
        timed.app.factors.add(timed.person, seed, "000000")
    assert seed.expose() not in f"{wrong.value!r}{wrong.value.fields}{wrong.value.hint}"


def test_the_address_is_what_authenticators_read(seed: Plain):
    address = address_of(seed, "anna", "workbench")
    read = pyotp.parse_uri(address)
    assert isinstance(read, pyotp.TOTP)
    assert (read.secret, read.issuer, read.name) == (seed.expose(), "ClaudeTools", "anna@workbench")
