"""The memory of several machines on one server: what one learned, the others know."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from domain.drafts import Draft
from domain.errors import Denied, Unavailable
from domain.plain import Plain
from hooks import shelf, spool
from hooks.project import identify
from mcp_server.services import records
from storage.context import Context
from tests.kit.mariadb import MariaDB
from tests.kit.proxy import Proxy
from tests.machines.conftest import Machine, World

DAY_US = 86_400_000_000
PATIENCE = 30.0
WHO = "why does the billing gateway refuse the checkout service on port 9443 again"


class Laptop:
    """A machine in use: a folder with the project's remote, sessions in it, its hooks."""

    def __init__(self, machine: Machine, remote: str, root: Path) -> None:
        self.machine = machine
        self.app = machine.app or machine.open()
        self.home = str(machine.home)
        self.remote = remote
        self.folder = root / f"work-{machine.name}-{uuid.uuid4().hex[:6]}"
        git = self.folder / ".git"
        git.mkdir(parents=True)
        (git / "HEAD").write_text("ref: refs/heads/main\n")
        (git / "config").write_text(f'[remote "origin"]\n\turl = {remote}\n')
        self.off_us = 0

    def now_us(self) -> int:
        """What this machine's clock says."""
        return time.time_ns() // 1000 + self.off_us

    def works(self, said: str, *, note: bool = True) -> str:
        """A small session; gives its id."""
        session = str(uuid.uuid4())
        seconds, us = divmod(self.now_us(), 1_000_000)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{us // 1000:03d}Z"
        answer = {"content": [{"type": "text", "text": f"It is done: {said}"}]}
        rows = [
            {"type": "user", "message": {"content": said}, "timestamp": stamp, "cwd": str(self.folder)},
            {"type": "assistant", "message": answer, "timestamp": stamp},
        ]
        self.transcript(session).write_text("".join(json.dumps(row) + "\n" for row in rows))
        if note:
            self.note(session)
        return session

    def transcript(self, session: str) -> Path:
        """The file of a session."""
        return self.folder / f"{session}.jsonl"

    def note(self, session: str) -> None:
        """What the Stop hook leaves."""
        spool.put(
            self.home,
            identify(str(self.folder), self.app.settings.machine_id),
            session_id=session,
            transcript_path=str(self.transcript(session)),
            folder=str(self.folder),
            client="",
            event="Stop",
        )

    def starts(self) -> dict[str, Any]:
        """What the real hook prints for a session that starts."""
        event = {
            "session_id": str(uuid.uuid4()),
            "transcript_path": str(self.folder / "new.jsonl"),
            "cwd": str(self.folder),
            "source": "startup",
        }
        done = subprocess.run(
            [sys.executable, "-I", "-m", "hooks", "SessionStart", str(self.app.settings.hooks_settings_file)],
            input=json.dumps(event).encode(),
            env={"PATH": os.environ["PATH"], "HOME": self.home, "CLAUDE_PROJECT_DIR": str(self.folder)},
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        assert done.stderr == b""
        return json.loads(done.stdout) if done.stdout else {}

    def told(self) -> str:
        """The block of it."""
        return str(self.starts().get("hookSpecificOutput", {}).get("additionalContext", ""))

    def id_of(self, session: str) -> str:
        """The record of a session of this machine."""
        hits = self.app.context.recall(self.machine.agent(), "", cwd=str(self.folder), limit=20).hits
        whole = [self.app.context.get(self.machine.agent(), hit.record_id) for hit in hits]
        return next(record.record_id for record in whole if record.session_id == session)


class Team:
    """Three machines, all in one vault."""

    def __init__(self, world: World, proxy: Proxy, server: MariaDB, name: str) -> None:
        self.world, self.proxy, self.server, self.name = world, proxy, server, name
        world.found("alpha")
        for other in ("beta", "gamma"):
            world.recover(world.machine(other))

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What the server's administrator does."""
        return self.server.query(statement, values, database=self.name)

    def now_us(self) -> int:
        """The server's time."""
        return int(self.sql("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS INTEGER)")[0][0])

    def words(self, part: str) -> int:
        """How often words with this part stand in the full-text index's own files, and in what waits to go there."""
        with closing(self.server.connect(self.name)) as connection, connection.cursor() as cursor:
            cursor.execute("SET GLOBAL innodb_ft_aux_table = %s", [f"{self.name}/context_terms"])
            found = 0
            for place in ("TABLE", "CACHE"):
                index = f"information_schema.INNODB_FT_INDEX_{place}"
                cursor.execute(f"SELECT COUNT(*) FROM {index} WHERE WORD LIKE '%{part}%'")
                found += cursor.fetchall()[0][0]
            return found


@pytest.fixture(scope="module")
def team(server: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    name = server.database()
    with Proxy(server.port) as proxy:
        world = World(tmp_path_factory.mktemp("team"), server.url(name, port=proxy.port), server.passwords)
        try:
            yield Team(world, proxy, server, name)
        finally:
            world.close()
            for account in (f"{name}_app", f"{name}_hooks"):
                server.execute(f"DROP USER IF EXISTS `{account}`@'%'")
            server.drop(name)


@pytest.fixture
def laptops(team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Laptop, Laptop, Laptop]]:
    """The three, in a project of this test's own, over a line that is well."""
    monkeypatch.delenv("CLAUDE_PROJECT_DIR", raising=False)
    monkeypatch.setattr("mcp_server.services.transcripts.WRITE_LAG_S", 0.0)
    team.proxy.pass_on()
    remote = f"https://git.example/acme/{uuid.uuid4().hex}.git"
    alpha, beta, gamma = (Laptop(machine, remote, tmp_path) for machine in team.world.machines[:3])
    yield alpha, beta, gamma
    team.proxy.pass_on()
    for laptop in (alpha, beta, gamma):
        for note in spool.pending(laptop.home):
            spool.take_out(note)
        for seen in (Path(laptop.home) / shelf.SEEN).glob("*"):
            seen.unlink()


def test_what_one_machine_left_the_next_is_told_and_can_recall(laptops: tuple[Laptop, ...]):
    alpha, beta, _ = laptops
    session = alpha.works("Move the checkout service to the billing gateway on port 9443")
    assert alpha.app.capture.drain().captured == 1
    known = alpha.id_of(session)
    assert known in beta.told()
    assert "alpha" in beta.told()
    hits = beta.app.context.recall(beta.machine.agent(), WHO, cwd=str(beta.folder)).hits
    assert [hit.record_id for hit in hits] == [known]


def test_two_sessions_at_once_on_two_machines_both_show_in_a_third(laptops: tuple[Laptop, ...]):
    alpha, beta, gamma = laptops
    sessions = [laptop.works(f"The work of {laptop.machine.name} on the invoices") for laptop in (alpha, beta)]
    go = threading.Barrier(2)
    done: list[Any] = []

    def drain(laptop: Laptop) -> None:
        go.wait(PATIENCE)
        done.append(laptop.app.capture.drain())

    threads = [threading.Thread(target=drain, args=(laptop,)) for laptop in (alpha, beta)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert [outcome.captured for outcome in done] == [1, 1]
    block = gamma.told()
    for laptop, session in zip((alpha, beta), sessions, strict=True):
        assert laptop.id_of(session) in block


@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_is_a_day_off_does_no_harm(
    team: Team, laptops: tuple[Laptop, ...], days: int, monkeypatch: pytest.MonkeyPatch
):
    alpha, beta, gamma = laptops
    first = beta.works("The first matter: renew the certificate of the gateway")
    beta.app.capture.drain()
    before_us = team.now_us()
    alpha.off_us = days * DAY_US
    second = alpha.works("The second matter: renew the certificate of the proxy")
    with monkeypatch.context() as patched:
        patched.setattr(records, "now_us", alpha.now_us)
        assert alpha.app.capture.drain().captured == 1
    third = beta.works("The third matter: renew the certificate of the mail server")
    beta.app.capture.drain()
    ids = [beta.id_of(first), alpha.id_of(second), beta.id_of(third)]
    times = [int(team.sql("SELECT updated_us FROM context_records WHERE record_id = %s", one)[0][0]) for one in ids]
    assert before_us - 1_000 <= times[1] <= team.now_us()  # transcripts tell milliseconds
    order = [gamma.told().index(one) for one in ids]
    assert order == sorted(order, reverse=True)


def test_a_note_is_never_later_than_the_database(team: Team, laptops: tuple[Laptop, ...]):
    alpha, *_ = laptops
    alpha.off_us = DAY_US  # the clock was set right after the session
    session = alpha.works("Something of tomorrow")
    alpha.app.capture.drain()
    row = team.sql("SELECT created_us, updated_us FROM context_records WHERE record_id = %s", alpha.id_of(session))
    assert max(row[0]) <= team.now_us()


def test_a_clock_that_was_set_back_hides_nothing_of_a_session_that_goes_on(team: Team, laptops: tuple[Laptop, ...]):
    alpha, *_ = laptops
    session = alpha.works("The beginning of it")
    alpha.app.capture.drain()
    query = "SELECT updated_us FROM context_records WHERE session_id = %s"
    (before,) = team.sql(query, session)
    with alpha.transcript(session).open("a") as more:
        row = {"type": "user", "message": {"content": "and the end of it"}, "timestamp": "2020-01-01T00:00:00.000Z"}
        more.write(json.dumps(row) + "\n")
    alpha.note(session)
    assert alpha.app.capture.drain().captured == 1
    (after,) = team.sql(query, session)
    assert after > before


# ---- forgetting ---------------------------------------------------------------------------------------------------------


def holders(laptop: Laptop, record_id: str) -> list[Path]:
    """The files of a machine that name a record's text: its shelves."""
    folder = Path(laptop.home) / shelf.SHELF
    return [file for file in folder.glob("*.json") if record_id in file.read_text()]


@pytest.mark.parametrize("contact", ["session start", "drain"])
def test_what_is_forgotten_on_one_machine_leaves_all_others(laptops: tuple[Laptop, ...], contact: str, tmp_path: Path):
    alpha, beta, _ = laptops
    session = alpha.works("The launch code of the coffee machine is under the mat")
    alpha.app.capture.drain()
    known = alpha.id_of(session)
    assert known in beta.told()
    assert holders(beta, known)
    alpha.app.context.forget(alpha.machine.agent(), known, "it was a joke")
    if contact == "drain":
        beta.works("Something else")
        beta.app.capture.drain()
    else:
        Laptop(beta.machine, "https://git.example/acme/another.git", tmp_path).told()
    assert not holders(beta, known)
    assert known not in beta.told()


def test_a_forgotten_session_is_captured_again_from_no_spool(team: Team, laptops: tuple[Laptop, ...]):
    alpha, beta, _ = laptops
    session = alpha.works("The launch code of the coffee machine is under the mat")
    alpha.app.capture.drain()
    beta.app.context.forget(beta.machine.agent(), alpha.id_of(session), "it was a joke")
    with alpha.transcript(session).open("a") as more:
        more.write(json.dumps({"type": "user", "message": {"content": "and the rest of it"}}) + "\n")
    alpha.note(session)
    alpha.machine.open()  # a process that knows nothing of it yet
    assert alpha.machine.app is not None
    assert alpha.machine.app.capture.drain().unchanged == 1
    assert not spool.is_waiting(alpha.home)
    left = team.sql(
        "SELECT state, title, digest, terms, body_person FROM context_records WHERE session_key LIKE %s", f"%{session}"
    )
    assert left == [("forgotten", "", "", "", "")]


def test_the_words_of_a_forgotten_record_leave_the_index_files(team: Team, laptops: tuple[Laptop, ...]):
    alpha, *_ = laptops
    session = alpha.works("Remember the word quetzalcoatlus for later, it is the name of the project")

    alpha.app.capture.drain()
    assert team.words("quetzalcoatl")
    done = alpha.app.context.forget(alpha.machine.agent(), alpha.id_of(session), "it was a joke")
    assert done.index_tidied
    assert not team.words("quetzalcoatl")


def test_words_that_could_not_leave_the_index_at_once_leave_it_with_the_next_drain(
    team: Team, laptops: tuple[Laptop, ...]
):
    alpha, *_ = laptops
    session = alpha.works("Remember the word archaeopteryx for later")
    alpha.app.capture.drain()
    known = alpha.id_of(session)
    cut = team.proxy.cut("OPTIMIZE", "before")
    assert not alpha.app.context.forget(alpha.machine.agent(), known, "it was a joke").index_tidied
    cut.wait()
    assert spool.is_untidy(alpha.home)
    alpha.app.capture.drain()
    assert not spool.is_untidy(alpha.home)
    assert not team.words("archaeopteryx")


# ---- the outbox ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        ("SELECT context_records.session_key", "before"),
        ("INSERT INTO context_records", "before"),
        ("INSERT INTO context_records", "after"),
        ("INSERT INTO context_terms", "within"),
        ("INSERT INTO context_frequencies", "after"),
        ("COMMIT", "before"),
        ("COMMIT", "after"),
    ],
)
def test_a_drain_that_was_cut_off_loses_nothing_and_doubles_nothing(
    team: Team, laptops: tuple[Laptop, ...], statement: str, where: str
):
    alpha, *_ = laptops
    session = alpha.works("Move the archive to the new disk")
    cut = team.proxy.cut(statement, where, keep=20)
    try:
        first = alpha.app.capture.drain().captured
    except Unavailable:
        first = 0
        assert spool.is_waiting(alpha.home)
    assert cut.done.is_set()
    again = alpha.app.capture.drain()
    assert (again.waiting, again.set_aside) == (0, 0)
    assert first + again.captured + again.unchanged >= 1
    assert not spool.is_waiting(alpha.home)
    assert team.sql("SELECT COUNT(*) FROM context_records WHERE session_id = %s", session) == [(1,)]
    held = team.sql("SELECT COUNT(*) FROM context_records WHERE state = 'active'")
    assert team.sql("SELECT documents FROM context_frequencies WHERE term = '#records'") == held
    assert team.sql("SELECT COUNT(*) FROM context_terms") == held


def test_while_the_database_is_away_notes_stay_and_are_captured_once_it_is_back(
    team: Team, laptops: tuple[Laptop, ...]
):
    alpha, beta, _ = laptops
    alpha.app.capture.drain()
    team.proxy.refuse()
    sessions = [alpha.works(f"Work without a line, part {part}") for part in range(3)]
    with pytest.raises(Unavailable):
        alpha.app.capture.drain()
    assert len(list(spool.pending(alpha.home))) == 3
    team.proxy.pass_on()
    assert alpha.app.capture.drain().captured == 3
    assert not spool.is_waiting(alpha.home)
    block = beta.told()
    assert all(alpha.id_of(session) in block for session in sessions)


def test_a_drain_that_loses_against_another_writer_tries_again_at_once(team: Team, laptops: tuple[Laptop, ...]):
    alpha, *_ = laptops
    alpha.works("The first, so that there is something to count")
    alpha.app.capture.drain()
    alpha.works("Another one")
    with closing(team.server.connect(team.name)) as other, other.cursor() as cursor:

        def waits() -> int:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_waits'")
            return int(cursor.fetchall()[0][1])

        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM context_frequencies WHERE term = '#records' FOR UPDATE")
        before = waits()
        outcomes: list[Any] = []
        draining = threading.Thread(target=lambda: outcomes.append(alpha.app.capture.drain()))
        draining.start()
        until = time.monotonic() + PATIENCE
        while waits() < before + 2 and time.monotonic() < until:
            pass  # the first try gives up after a second, and the next waits
        assert not outcomes
        cursor.execute("ROLLBACK")
        draining.join(PATIENCE)
    assert [outcome.captured for outcome in outcomes] == [1]


def test_a_revoked_machine_is_refused_keeps_its_notes_and_is_told(
    team: Team, laptops: tuple[Laptop, ...], tmp_path: Path
):
    alpha, beta, _ = laptops
    machine = team.world.machine("delta")
    team.world.recover(machine)
    delta = Laptop(machine, alpha.remote, tmp_path)
    session = alpha.works("Known to all so far")
    alpha.app.capture.drain()
    known = alpha.id_of(session)
    assert known in delta.told()
    delta.works("What nobody will read")
    alpha.app.machines.revoke(alpha.machine.person(), delta.app.settings.machine_id)
    for _ in range(4):  # as often as would set a note aside that cannot be captured
        with pytest.raises(Denied):
            delta.app.capture.drain()
    assert [note.event for note in spool.pending(delta.home)] == ["Stop"]
    answer = delta.starts()
    assert list(answer) == ["systemMessage"]
    assert "this machine was revoked" in answer["systemMessage"]
    assert not holders(delta, known)
    assert known in beta.told()


# ---- values that come into the vault later ------------------------------------------------------------------------------


def test_one_machine_strikes_a_new_value_from_all_records_and_the_others_need_not(
    team: Team, laptops: tuple[Laptop, ...], monkeypatch: pytest.MonkeyPatch
):
    alpha, beta, gamma = laptops
    value = "the-Old-gateway-says-" + uuid.uuid4().hex
    beta.works(f"The gateway answers with {value} when it is asked")
    beta.app.capture.drain()
    alpha.app.credentials.create(
        alpha.machine.person(), Draft("password", f"Gateway {uuid.uuid4().hex[:6]}", values={"password": Plain(value)})
    )
    assert alpha.app.capture.strike_again(PATIENCE) == 1
    assert value not in json.dumps(
        team.sql("SELECT digest, body_person, body_rest, title, outcome FROM context_records")
    )
    monkeypatch.setattr(Context, "below", lambda *_: pytest.fail("it walked all records again"))
    assert beta.app.capture.strike_again() == 0
    assert gamma.app.capture.strike_again() == 0


@pytest.mark.parametrize("kind", ["session", "note"])
def test_a_value_that_comes_in_while_something_is_kept_is_struck_from_it(
    team: Team, laptops: tuple[Laptop, ...], monkeypatch: pytest.MonkeyPatch, kind: str
):
    alpha, beta, _ = laptops
    value = "the-Old-gateway-says-" + uuid.uuid4().hex
    added: list[bool] = []

    def added_meanwhile(original: Any) -> Any:
        def made(*given: Any) -> Any:
            record = original(*given)
            if not added:
                added.append(True)
                draft = Draft("password", f"Gateway {uuid.uuid4().hex[:6]}", values={"password": Plain(value)})
                beta.app.credentials.create(beta.machine.person(), draft)
                beta.app.capture.strike_again(PATIENCE)
            return record

        return made

    with monkeypatch.context() as patched:
        if kind == "session":
            patched.setattr(alpha.app.capture, "record", added_meanwhile(alpha.app.capture.record))
            alpha.works(f"The gateway answers with {value} when it is asked")
            assert alpha.app.capture.drain().captured == 1
        else:
            patched.setattr(alpha.app.context, "_note", added_meanwhile(alpha.app.context._note))
            alpha.app.context.save(alpha.machine.agent(), kind="fact", title="The gateway", text=f"It answers {value}")
    assert added
    assert value not in json.dumps(team.sql("SELECT digest, body_person, body_rest, title FROM context_records"))


# ---- the prompt ---------------------------------------------------------------------------------------------------------


def test_a_prompt_costs_few_round_trips(team: Team, laptops: tuple[Laptop, ...]):
    alpha, beta, _ = laptops
    alpha.works("Move the checkout service to the billing gateway on port 9443")
    alpha.app.capture.drain()
    beta.starts()
    actor = beta.machine.agent()
    with closing(team.server.connect(team.name)) as connection, connection.cursor() as cursor:

        def asked() -> int:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Com_select'")
            return int(cursor.fetchall()[0][1])

        told = ""
        for most in (3, 2):
            before = asked()
            told += beta.app.context.prompt("a-session", WHO, str(beta.folder), owner_id=actor.owner_id)
            assert asked() - before <= most
    assert "checkout service" in told


def test_over_a_slow_line_a_prompt_is_not_held_up(team: Team, laptops: tuple[Laptop, ...]):
    alpha, beta, _ = laptops
    alpha.works("Move the checkout service to the billing gateway on port 9443")
    alpha.app.capture.drain()
    asking = (WHO, str(beta.folder))
    owner_id = beta.machine.agent().owner_id
    for session in ("first", "second", "third"):  # a session's first prompt is told what is new
        assert beta.app.context.prompt(session, *asking)
        beta.app.context.prompt(session, "/clear", str(beta.folder))
    seen = shelf.read_seen(beta.home, "second")
    assert seen is not None
    seen.told.clear()
    shelf.write_seen(beta.home, "second", seen)
    team.proxy.delay(200)
    assert beta.app.context.prompt("second", *asking, owner_id=owner_id) == ""
    team.proxy.pass_on()
    until = time.monotonic() + PATIENCE
    while not beta.app.context.prompt("second", *asking, owner_id=owner_id) and time.monotonic() < until:
        pass  # the question that came too late is still under way
    seen = shelf.read_seen(beta.home, "second")
    assert seen is not None
    assert seen.told


def test_what_came_too_late_for_a_sessions_start_comes_with_its_first_prompt(team: Team, laptops: tuple[Laptop, ...]):
    alpha, beta, _ = laptops
    session = alpha.works("Move the checkout service to the billing gateway on port 9443")
    alpha.app.capture.drain()
    known = alpha.id_of(session)
    team.proxy.delay(400)
    assert known not in beta.told()
    team.proxy.pass_on()
    (started,) = [file.stem for file in (Path(beta.home) / shelf.SEEN).glob("*.json")]
    assert known in beta.app.context.prompt(started, "and now go on with it", str(beta.folder))
