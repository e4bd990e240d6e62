"""The rules of the exposure policy through the product's own doors, on the database of the run."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyotp
import pytest

from domain.actors import Actor
from domain.errors import Broken, ClaudeToolsError, Conflict, Denied, Invalid, NotFound, Unauthenticated
from domain.plain import Plain
from mcp_server.bootstrap import build
from mcp_server.config import load_settings
from mcp_server.services.use import Injection
from tests.policy.table import SAYS, answer, cases
from tests.strongroom.vault import Clock, Vault

BEN_PASSWORD = Plain("another good password")
WIKI = "acme/wiki/anna"
ALWAYS = "00:00-24:00 UTC"
DAY_S = 24 * 3600


def second(vault: Vault, name: str = "ben", role: str = "technician") -> Actor:
    """Another person, acting."""
    vault.app.persons.add(vault.person, name, role, BEN_PASSWORD)
    return vault.app.identity.actor(vault.app.identity.login(name, BEN_PASSWORD.expose()))


@pytest.fixture
def git_recipe() -> Callable[[Vault], str]:
    """Adds a recipe that gives a value to git, which prints its hash."""

    def add(vault: Vault) -> str:
        said = {
            "name": "hash",
            "program": shutil.which("git", path="/usr/bin:/bin:/usr/local/bin"),
            "argv": ["hash-object", "--stdin"],
            "feeds": [{"into": "stdin"}],
        }
        vault.app.recipes.add(vault.person, said)
        return vault.app.recipes.approve(vault.person, "hash").name

    return add


@pytest.fixture
def wiki(timed: Vault) -> Vault:
    """A vault with one credential, by a clock that stands still."""
    timed.add(client="acme", name="Wiki", username="anna")
    return timed


class Codes:
    """A person's authenticator app."""

    def __init__(self, vault: Vault, clock: Clock, actor: Actor) -> None:
        self._clock = clock
        seed = vault.app.factors.begin(actor)
        self._app = pyotp.TOTP(seed.expose())
        vault.app.factors.add(actor, seed, self.next())

    def next(self) -> str:
        """A code that was not shown before."""
        self._clock.pass_seconds(30)
        return self._app.at(self._clock.now // 1_000_000)


def rule(vault: Vault, actor: Actor | None = None, of: str = WIKI, **said: Any) -> None:
    """Sets rules."""
    vault.app.rules.set(actor or vault.person, of, said, zone="UTC")


def reveal(vault: Vault, actor: Actor, of: str = WIKI) -> str:
    """Opens the value."""
    return vault.app.credentials.reveal(actor, of, purpose="test").value.expose()


def refused(vault: Vault, actor: Actor, said: str, of: str = WIKI) -> Denied:
    """Is refused with this reason, in an entry of its own."""
    with vault.writes() as entries, pytest.raises(Denied, match=said) as error:
        reveal(vault, actor, of)
    assert [(entry["action"], entry["outcome"]) for entry in entries] == [("credential.decrypt", "denied")]
    return error.value


def test_every_combination_is_answered_at_the_door_as_the_table_says(
    timed: Vault, clock: Clock, git_recipe: Callable[[Vault], str]
):
    recipe, use = git_recipe(timed), timed.app.use
    hashing = ["git", "hash-object", "--stdin"]
    acts: dict[str, Callable[[Actor, str], object]] = {
        "reveal": lambda actor, of: reveal(timed, actor, of),
        "recipe": lambda actor, of: use.by_recipe(actor, recipe, of, {}, "compare"),
        "run": lambda actor, of: use.by_argv(actor, hashing, [Injection(of, "stdin")], "compare"),
    }
    ben = second(timed)
    codes = Codes(timed, clock, timed.person)
    today = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[(clock.now // 1_000_000 // DAY_S + 3) % 7]
    other = "Wed" if today != "Wed" else "Fri"
    wrong = []
    for number, case in enumerate(cases(("reveal",))):
        if case.who == "person":
            continue  # decided together with the agent's and the other acts, below
        name = f"w{number}"
        timed.add(client="acme", name="Wiki", username=name, exposure=case.level)
        reference = f"acme/wiki/{name}"
        if case.uses == "used up":
            reveal(timed, timed.person, reference)
        said: dict[str, Any] = {
            "step_up": case.step_up != "none",
            "approval": case.approval != "none",
            "hours": {"none": "", "inside": ALWAYS, "outside": f"{other} 00:00-24:00 UTC"}[case.hours],
            "uses": {"none": "", "free": "9/7d", "used up": "1/7d"}[case.uses],
        }
        if any(said.values()):
            rule(timed, of=reference, **said)
        if case.step_up == "given":
            timed.app.approvals.step_up(timed.person, reference, codes.next(), minutes=720)
        if case.approval == "given":
            timed.app.approvals.give(ben, reference, "anna", minutes=720)
        people = (("agent", timed.agent), ("person", timed.person))
        for (who, actor), (act, do) in itertools.product(people, acts.items()):
            both = replace(case, who=who, act=act)
            expected = answer(both)
            try:
                do(actor, reference)
                got, message = "let", ""
            except Denied as error:
                got, message = "refused", error.message
            if got != expected.answer or (got == "refused" and not any(s in message for s in SAYS[expected.because])):
                wrong.append((both, expected, got, message))
    assert not wrong, wrong[0]
    assert timed.app.audit.verify().ok


def test_rules_bind_a_use_by_a_recipe_and_by_any_program(wiki: Vault, git_recipe: Callable[[Vault], str]):
    recipe = git_recipe(wiki)
    rule(wiki, programs=["curl"])
    for actor in (wiki.agent, wiki.person):
        with pytest.raises(Denied, match="goes to these programs alone: curl"):
            wiki.app.use.by_recipe(actor, recipe, WIKI, {}, "compare")
    rule(wiki, programs=["git"])
    assert wiki.app.use.by_recipe(wiki.agent, recipe, WIKI, {}, "compare").code == 0
    rule(wiki, hosts=["db.example"])
    with pytest.raises(Denied, match="not known where it goes"):
        wiki.app.use.by_recipe(wiki.agent, recipe, WIKI, {}, "compare")


def test_a_use_that_is_refused_starts_no_program_and_opens_nothing(wiki: Vault, git_recipe: Callable[[Vault], str]):
    recipe = git_recipe(wiki)
    second(wiki)
    rule(wiki, approval=True)
    with wiki.writes() as entries, pytest.raises(Denied, match="approval of another person"):
        wiki.app.use.by_recipe(wiki.agent, recipe, WIKI, {}, "compare")
    assert [(entry["action"], entry["outcome"]) for entry in entries] == [("credential.use", "denied")]


def test_an_export_leaves_out_what_its_rules_keep_in(wiki: Vault):
    wiki.add(client="acme", name="Wiki", username="free")
    second(wiki)
    rule(wiki, approval=True)
    taken = wiki.app.credential_export.take(wiki.person, purpose="move", tell=lambda *_: None)
    assert [one.description.reference for one in taken.exported] == ["acme/wiki/free"]
    assert "approval of another person" in taken.left_out[WIKI]


def test_an_approval_is_of_one_person_and_one_credential_and_ends_by_itself(wiki: Vault, clock: Clock):
    ben = second(wiki)
    wiki.add(client="acme", name="Wiki", username="other")
    for one in (WIKI, "acme/wiki/other"):
        rule(wiki, of=one, approval=True)
    made = wiki.app.approvals.give(ben, WIKI, "anna", minutes=10)
    assert (made.person, made.by, made.reference) == ("anna", "ben", WIKI)
    reveal(wiki, wiki.agent)
    refused(wiki, wiki.agent, "anna has none", "acme/wiki/other")
    refused(wiki, ben, "ben has none")
    clock.pass_seconds(599)
    reveal(wiki, wiki.person)
    clock.pass_seconds(1)
    refused(wiki, wiki.person, "anna has none")
    assert wiki.app.approvals.open(wiki.person) == []


def test_an_approval_ends_when_it_is_withdrawn(wiki: Vault):
    ben, eve = second(wiki), second(wiki, "eve")
    rule(wiki, approval=True)
    made = wiki.app.approvals.give(ben, WIKI, "anna").approval.approval_id
    reveal(wiki, wiki.agent)
    with pytest.raises(Denied, match="somebody else's"):
        wiki.app.approvals.withdraw(eve, made)
    wiki.app.approvals.withdraw(ben, made)
    refused(wiki, wiki.agent, "anna has none")
    with pytest.raises(Conflict):
        wiki.app.approvals.withdraw(ben, made)
    with pytest.raises(NotFound):
        wiki.app.approvals.withdraw(ben, "ap_nothing")


@pytest.mark.parametrize("taken", ["shut out", "an auditor"])
def test_an_approval_ends_with_the_rights_of_whoever_gave_it(wiki: Vault, taken: str):
    ben = second(wiki)
    rule(wiki, approval=True)
    wiki.app.approvals.give(ben, WIKI, "anna")
    reveal(wiki, wiki.agent)
    if taken == "shut out":
        wiki.app.persons.revoke(wiki.person, "ben")
    else:
        wiki.app.persons.set_role(wiki.person, "ben", "auditor")
    refused(wiki, wiki.agent, "anna has none")


def test_nobody_approves_what_he_does_himself_and_no_agent_approves_anything(wiki: Vault):
    second(wiki)
    rule(wiki, approval=True)
    with pytest.raises(Denied, match="himself"):
        wiki.app.approvals.give(wiki.person, WIKI, "anna")
    for actor, to in ((wiki.agent, "ben"), (wiki.agent, "anna")):
        with pytest.raises(Denied):
            wiki.app.approvals.give(actor, WIKI, to)
    with pytest.raises(Denied):
        wiki.app.approvals.give(second(wiki, "aud", "auditor"), WIKI, "anna")
    with pytest.raises(NotFound):
        wiki.app.approvals.give(wiki.person, WIKI, "nobody")
    refused(wiki, wiki.agent, "anna has none")


def test_who_has_a_second_factor_approves_with_a_code_alone(wiki: Vault, clock: Clock):
    ben = second(wiki)
    rule(wiki, approval=True)
    codes = Codes(wiki, clock, ben)
    for code in ("", "000000"):
        with pytest.raises(ClaudeToolsError):
            wiki.app.approvals.give(ben, WIKI, "anna", code=code)
    refused(wiki, wiki.agent, "anna has none")
    wiki.app.approvals.give(ben, WIKI, "anna", code=codes.next())
    reveal(wiki, wiki.agent)


def test_a_step_up_takes_a_code_and_holds_for_the_persons_agents(wiki: Vault, clock: Clock):
    rule(wiki, step_up=True)
    with pytest.raises(NotFound):
        wiki.app.approvals.step_up(wiki.person, WIKI, "123456")
    codes = Codes(wiki, clock, wiki.person)
    refused(wiki, wiki.agent, "no one-time code")
    with pytest.raises(Unauthenticated):
        wiki.app.approvals.step_up(wiki.person, WIKI, "000000")
    wiki.app.approvals.step_up(wiki.person, WIKI, codes.next())
    reveal(wiki, wiki.agent)
    reveal(wiki, wiki.person)
    clock.pass_seconds(15 * 60)
    refused(wiki, wiki.agent, "no one-time code")


def test_what_is_refused_does_not_count_as_a_use(wiki: Vault, clock: Clock):
    rule(wiki, uses="2/h")
    for _ in range(2):
        reveal(wiki, wiki.agent)
        clock.pass_seconds(60)
    for _ in range(3):
        refused(wiki, wiki.agent, "again in 58 minutes")
    refused(wiki, wiki.person, "limit of uses")
    clock.pass_seconds(58 * 60 + 1)
    reveal(wiki, wiki.agent)


def test_two_processes_at_once_do_not_pass_a_limit_of_uses(wiki: Vault):
    rule(wiki, uses="3/h")
    second_process = build(load_settings(wiki.home), clock=wiki.clock)
    gate = threading.Barrier(2)

    def open_some(app: Any) -> int:
        gate.wait()
        got = 0
        for _ in range(6):
            try:
                app.credentials.reveal(wiki.agent, WIKI, purpose="race")
                got += 1
            except Denied:
                pass
        return got

    with ThreadPoolExecutor(2) as pool:
        opened = list(pool.map(open_some, (wiki.app, second_process)))
    second_process.close()
    assert sum(opened) == 3
    assert wiki.app.audit.verify().ok


def test_new_credentials_get_the_rules_of_the_vault_and_the_others_keep_theirs(wiki: Vault):
    wiki.app.rules.set_default(wiki.person, {"uses": "5/h", "hours": "08:00-18:00"}, zone="Europe/Berlin")
    wiki.add(client="acme", name="Wiki", username="new")
    assert wiki.app.rules.of(wiki.agent, "acme/wiki/new").rules.told() == (
        "hours Mon-Sun 08:00-18:00 Europe/Berlin",
        "uses 5/h",
    )
    assert not wiki.app.rules.of(wiki.agent, WIKI).rules
    found = {one.reference: one.head.rules.told() for one in wiki.app.credentials.search(wiki.agent).items}
    assert found[WIKI] == ()
    assert len(found["acme/wiki/new"]) == 2


def test_agents_set_no_rules_and_technicians_loosen_none(wiki: Vault):
    ben = second(wiki)
    rule(wiki, ben, step_up=True, uses="5/h")
    for actor in (wiki.agent, ben):
        with pytest.raises(Denied):
            rule(wiki, actor, uses="6/h")
    with pytest.raises(Denied):
        wiki.app.rules.set_default(ben, {"uses": "6/h"}, zone="UTC")
    rule(wiki, ben, uses="4/h")
    assert wiki.app.rules.of(ben, WIKI).rules.told() == ("step-up", "uses 4/h")


def test_a_rule_is_loosened_under_itself_alone(wiki: Vault, clock: Clock):
    ben = second(wiki, role="owner")
    rule(wiki, step_up=True, approval=True)
    codes = Codes(wiki, clock, wiki.person)
    with pytest.raises(Denied, match=r"loosened under themselves alone.*one-time code"):
        rule(wiki, step_up=False)
    wiki.app.approvals.step_up(wiki.person, WIKI, codes.next())
    with pytest.raises(Denied, match=r"loosened under themselves alone.*approval"):
        rule(wiki, approval=False)
    wiki.app.approvals.give(ben, WIKI, "anna")
    rule(wiki, step_up=False, approval=False)
    assert not wiki.app.rules.of(wiki.person, WIKI).rules


def test_an_approval_that_nobody_is_left_to_give_is_not_asked_for(wiki: Vault):
    ben = second(wiki)
    rule(wiki, approval=True)
    wiki.app.persons.revoke(wiki.person, ben.name)
    rule(wiki, approval=False)


def test_a_vault_with_one_person_has_no_rule_of_approval(wiki: Vault):
    with pytest.raises(Invalid) as wrong:
        rule(wiki, approval=True)
    assert "approval" in wrong.value.fields
    second(wiki, "aud", "auditor")  # who opens nothing lets nobody open anything
    with pytest.raises(Invalid):
        rule(wiki, approval=True)


def test_a_zone_that_does_not_exist_is_no_rule(wiki: Vault):
    with pytest.raises(Invalid) as wrong:
        rule(wiki, hours="08:00-18:00 Mars/Olympus")
    assert "hours" in wrong.value.fields


def test_rules_that_are_that_already_are_told(wiki: Vault):
    rule(wiki, uses="5/h")
    with pytest.raises(Conflict):
        rule(wiki, uses="5/h")


def test_rules_that_were_taken_out_in_the_database_are_refused_and_told(wiki: Vault):
    rule(wiki, uses="5/h")
    before = wiki.rows("credentials")[0]["rules"]
    for damage in (None, "", before.replace("5", "9")):
        wiki.sql("UPDATE credentials SET rules = ?", damage)
        with pytest.raises(Broken):
            reveal(wiki, wiki.person)
        assert not wiki.app.audit.verify().ok
    wiki.sql("UPDATE credentials SET rules = ?", before)
    reveal(wiki, wiki.person)


def test_an_approval_that_was_written_past_the_product_lets_nobody_in(wiki: Vault, clock: Clock):
    ben = second(wiki)
    rule(wiki, approval=True)
    wiki.app.approvals.give(ben, WIKI, "anna", minutes=1)
    clock.pass_seconds(61)
    wiki.sql("UPDATE approvals SET until_us = ?", clock.now + 10**9)
    with pytest.raises(Broken):
        reveal(wiki, wiki.person)
    wiki.sql("DELETE FROM approvals")
    refused(wiki, wiki.person, "anna has none")
    assert not wiki.app.audit.verify().ok


def test_a_new_value_and_a_change_keep_the_rules(wiki: Vault):
    rule(wiki, uses="5/h")
    wiki.app.credentials.rotate(wiki.person, WIKI, value=Plain("a new value of it"))
    wiki.app.credentials.update(wiki.person, WIKI, {"username": "anna2"})
    assert wiki.app.rules.of(wiki.person, WIKI).rules.told() == ("uses 5/h",)


def test_a_credential_without_rules_asks_for_no_approval(wiki: Vault):
    ben = second(wiki)
    for kind in (
        lambda: wiki.app.approvals.give(ben, WIKI, "anna"),
        lambda: wiki.app.approvals.step_up(ben, WIKI, "1"),
    ):
        with pytest.raises(Conflict, match="asks for no"):
            kind()
