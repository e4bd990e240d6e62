"""Three machines with one vault on a server, the real client on each: what one of them did, the others know."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.client.test_credentials import CREATE, REFERENCE, REVEAL, answer
from tests.client.test_memory import assert_knows_the_work, do_the_work, work
from tests.conftest import FAILED
from tests.kit.laptop import PASSWORD, PERSON, Laptop, copy_laptop, tool
from tests.kit.mariadb import OWNER, MariaDB
from tests.kit.model import Request, calls, says
from tests.kit.stores import Store, known, store_of

NAMES = ("first", "second", "third")
NOTE = "The staging gateway listens on port 7443"


@dataclass(frozen=True)
class Three:
    """They share a vault."""

    first: Laptop
    second: Laptop
    third: Laptop

    @property
    def all(self) -> tuple[Laptop, ...]:
        return self.first, self.second, self.third

    @property
    def store(self) -> Store:
        """Their database."""
        return store_of(self.first.data)

    def project(self, name: str = "shop") -> list[Path]:
        """A clone of one remote on each of them; it lies where all of them reach it by the same name."""
        bare = self.first.remote(name, {"checkout.py": "PORT = 8080\n"})
        clones = [laptop.clone(name, bare) for laptop in self.all]
        for laptop, clone in zip(self.all, clones, strict=True):
            laptop.git("-C", str(clone), "remote", "set-url", "origin", f"git@git.example.org:ada/{name}.git")
        return clones

    def recorded(self, *sessions: str) -> float:
        """Waits until these sessions are in the database; gives how many seconds that took."""
        begun = time.monotonic()
        marks = ", ".join("?" * len(sessions))
        while True:
            found = self.store.sql(f"SELECT session_id FROM context_records WHERE session_id IN ({marks})", *sessions)
            if len(found) == len(sessions):
                return time.monotonic() - begun
            assert time.monotonic() - begun < 30, f"recorded: {found}"
            time.sleep(0.01)


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory, client_program: Path, mariadb: MariaDB) -> list[Path]:
    """A vault made on the first machine; the second was invited, the third had the recovery key."""
    known(mariadb)
    place = tmp_path_factory.mktemp("machines")
    roots = [place / name for name in NAMES]
    for name, content in {"password": PASSWORD, "database": mariadb.passwords[OWNER]}.items():
        (place / name).write_text(content + "\n")
        (place / name).chmod(0o600)
    server = ("--database", mariadb.url(mariadb.database()), "--database-password-file", str(place / "database"))
    invitation, code, recovery = (str(place / name) for name in ("invitation", "code", "recovery-key"))
    login = ("--password-file", str(place / "password"))
    ways = (
        (*server, "--person", PERSON, "--recovery-file", recovery),
        ("--invitation-file", invitation, "--invitation-code-file", code),
        (*server, "--recovery-key-file", recovery),
    )
    for root, name, way in zip(roots, NAMES, ways, strict=True):
        with Laptop(root, client_program) as laptop:
            home = ("--home", str(laptop.data))
            laptop.claudetools("init", *home, "--non-interactive", "--machine", name, *login, *way)
            laptop.claudetools("plugin", "install", *home)
            laptop.claudetools("login", *home, *login)
            if name == "first":
                laptop.claudetools(
                    "machine", "invite", *home, *login, "--to", invitation, "--code-to", code, "--no-wait"
                )
    return roots


def share(one: Path, other: Path) -> None:
    """Lets the other installation speak of the database of this one, by its own account."""
    name, own = (json.loads((data / "hooks.json").read_text())["database"]["name"] for data in (one, other))
    for file in (other / "settings.json", other / "hooks.json"):
        said = file.read_text()
        file.write_text(said.replace(f"/{own}", f"/{name}").replace(f'"name": "{own}"', f'"name": "{name}"'))


@pytest.fixture
def three(
    originals: list[Path], tmp_path: Path, client_program: Path, request: pytest.FixtureRequest
) -> Iterator[Three]:
    """Copies of the three, with one copy of their database."""
    laptops = [Laptop(tmp_path / name, client_program) for name in NAMES]
    for original, laptop in zip(originals, laptops, strict=True):
        copy_laptop(original, laptop.root)
        laptop.be_patient()
        share(laptops[0].data, laptop.data)
        laptop.nursery = laptops[0].nursery
    with ExitStack() as stack:
        for laptop in laptops:
            stack.enter_context(laptop)
        yield Three(*laptops)
    if not request.node.stash.get(FAILED, False):
        for laptop in laptops:
            laptop.model.played_out()


def test_what_sessions_on_two_machines_left_at_once_is_in_the_first_request_on_a_third(three: Three):
    here, there, elsewhere = three.project()
    with (
        three.first.stream(*work(here), cwd=here) as one,
        three.second.stream(says("The cash desk is repaired."), cwd=there) as other,
    ):
        other.begin("repair the cash desk")
        do_the_work(one)
        other.wait(lambda event: event.get("type") == "result")
        one.finish()
        took = three.recorded(one.run.session_id)
        other.finish()
        three.recorded(other.run.session_id)
    print(f"in the database {took:.2f} s after the client had ended")

    run = three.third.run("hello", says("hi"), cwd=elsewhere)

    assert_knows_the_work(run.first)
    assert "repair the cash desk" in run.first.notes


def test_a_credential_of_one_machine_is_opened_on_another_by_its_own_agent(three: Three):
    three.first.run("make it", CREATE, says("made"))

    with three.second.terminal(REVEAL, says("All told.")) as screen:
        screen.shows("? for shortcuts")
        screen.type("open the account for the wiki")
        assert REFERENCE in screen.shows("Do you want to")
        screen.press("enter")
        screen.shows("All told.")
    opened = answer(three.second.model.main()[-1])
    assert len(str(opened["value"])) >= 20

    search = ("audit", "search", "--action", "credential.decrypt", "--json", "--home", str(three.third.data))
    items = json.loads(three.third.claudetools(*search).stdout)["items"]
    assert [(it["entry"], it["subject"], it["machine"], it["owner"]) for it in items] == [
        (opened["entry"], REFERENCE, "second", PERSON)
    ]


def test_a_machine_that_is_revoked_is_out_at_its_next_call_and_its_notes_stay_with_it(three: Three):
    here, there, _ = three.project()
    three.first.run("repair the stock room", says("The stock room is repaired."), cwd=here)
    three.first.settle()
    search = calls(tool("credential_search"), query="gitea")

    with three.second.stream(search, says("there"), search, says("no more"), cwd=there) as session:
        session.say("look for it")
        assert "repair the stock room" in three.second.model.main()[0].notes
        three.first.claudetools("machine", "revoke", "second", "--yes", "--home", str(three.first.data))
        session.say("look again")
        refused = three.second.model.main()[-1].results[-1]
        assert refused["is_error"] is True
        assert "this machine was revoked" in json.dumps(refused)
    three.second.nursery.wait()

    assert three.second.waiting() == [f"{session.run.session_id}.json"]
    sync = three.second.claudetools("sync", "--home", str(three.second.data), status=4)
    assert "this machine was revoked" in sync.stderr
    with three.second.stream(says("hi"), cwd=there) as again:
        again.say("hello")
    assert "repair the stock room" not in three.second.requests[-1].text
    assert len([event for event in again.events if "this machine was revoked" in json.dumps(event)]) == 1
    # What it did before may have been recorded at once.
    assert "look again" not in "".join(row["body_person"] for row in three.store.rows("context_records"))


def test_what_is_forgotten_on_one_machine_is_gone_from_the_others(three: Three):
    here, _, elsewhere = three.project()
    save = calls(tool("context_save"), kind="fact", title=NOTE, text=f"{NOTE}; the team agreed on it.")
    kept = three.first.run("keep this", save, says("kept"), cwd=here)
    record = str(answer(kept.last)["record_id"])
    assert NOTE in shown(three.third, elsewhere).notes
    assert record in shelf(three.third)

    forget = ("context", "forget", record, "--purpose", "it was wrong", "--yes", "--home", str(three.first.data))
    three.first.claudetools(*forget)

    assert NOTE not in shown(three.third, elsewhere).text
    assert record not in shelf(three.third)


def shown(laptop: Laptop, folder: Path) -> Request:
    """The first request of a session that begins now."""
    return laptop.run("hello", says("hi"), cwd=folder).first


def shelf(laptop: Laptop) -> str:
    """What would be told if the database were away."""
    return "".join(file.read_text() for file in (laptop.data / "shelf").iterdir())
