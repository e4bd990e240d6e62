"""SessionStart over a line: MariaDB with TLS behind a proxy that misbehaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hooks.project import identify
from mcp_server.config import load_settings
from tests.kit.certificates import Authority, Certificate
from tests.kit.mariadb import MariaDB
from tests.kit.proxy import Proxy
from tests.kit.stores import OnMariaDB
from tests.strongroom.vault import make_template

DIGEST = "Asked: move the checkout to the gateway\nOutcome: it speaks to the gateway\nEdited: checkout.py"
READER = "hooks_reader"
DAY_US = 86_400_000_000


@dataclass
class Line:
    """A desk whose memory lies on a server, over a proxy."""

    desk: Any
    server: MariaDB
    proxy: Proxy
    database: str
    machine_id: str
    certificate: Certificate
    kept: int = field(default=0)

    def __post_init__(self) -> None:
        password = self.desk.home / "hooks.password"
        password.touch(mode=0o600)
        password.write_text(self.server.passwords[READER] + "\n")
        self.configure()

    def configure(self, deadline_ms: int = 800, machine_id: str = "", **address: object) -> None:
        """Writes the settings of the hooks, with a good address unless told otherwise."""
        flat = {
            "kind": "mariadb",
            "host": "127.0.0.1",
            "port": self.proxy.port,
            "user": READER,
            "password_file": str(self.desk.home / "hooks.password"),
            "name": self.database,
            "tls": True,
            "fingerprint": self.certificate.fingerprint,
            **address,
        }
        self.desk.configure(database=flat, machine_id=machine_id or self.machine_id, deadline_ms=deadline_ms)

    def keep(self, title: str = "move the checkout", **more: Any) -> str:
        """Puts a record of the desk's project into the database."""
        self.kept += 1
        record_id = f"cx_{self.kept:026d}"
        project = identify(str(self.desk.folder), self.machine_id).project_id
        row = dict.fromkeys(self.columns, "") | {
            "record_id": record_id,
            "session_key": f"other:{self.kept}",
            "state": "active",
            "kind": "session",
            "project": project,
            "owner_id": "pe_me",
            "title": title,
            "outcome": "it speaks",
            "digest": DIGEST,
            "updated_us": self.now_us(),
        }
        row |= dict.fromkeys(
            (
                "created_us",
                "pinned",
                "transcript_size",
                "raw_tokens",
                "digest_tokens",
                "person_length",
                "rest_length",
                "indexed",
            ),
            0,
        )
        row |= more
        marks = ", ".join(["%s"] * len(row))
        self.sql(f"INSERT INTO context_records ({', '.join(row)}) VALUES ({marks})", *row.values())
        return record_id

    @property
    def columns(self) -> list[str]:
        """The columns of a record."""
        found = self.sql("SHOW COLUMNS FROM context_records")
        return [name for name, *_ in found if name != "number"]

    def now_us(self) -> int:
        """The server's time."""
        return int(self.sql("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS INTEGER)")[0][0])

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What the server's administrator does."""
        return self.server.query(statement, values, database=self.database)

    def answer(self, session: str = "s-new", **more: object) -> dict[str, Any]:
        """All that the hook prints for a session that starts."""
        out = self.desk.run("SessionStart", self.desk.event(session, **{"source": "startup", **more}))
        return json.loads(out) if out else {}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.sign()


@pytest.fixture(scope="module")
def server(certificate: Certificate) -> Iterator[MariaDB]:
    with MariaDB(tls=certificate) as made:
        yield made


@pytest.fixture(scope="module")
def home(server: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation whose database lies there."""
    home = tmp_path_factory.mktemp("installation") / "home"
    make_template(home, OnMariaDB(server))
    database = load_settings(home).database.partition("?")[0].rpartition("/")[2]
    server.account(
        READER,
        f"SELECT ON `{database}`.context_records",
        f"SELECT (machine_id, state) ON `{database}`.machines",
        require="SSL",
    )
    return home


@pytest.fixture
def line(desk: Any, server: MariaDB, home: Path, certificate: Certificate) -> Iterator[Line]:
    settings = load_settings(home)
    database = settings.database.partition("?")[0].rpartition("/")[2]
    with Proxy(server.port) as proxy:
        line = Line(desk, server, proxy, database, settings.machine_id, certificate)
        yield line
        line.sql("DELETE FROM context_records")
        line.sql("UPDATE machines SET state = 'active'")


def test_a_session_is_told_what_lies_on_the_server(line: Line):
    known = line.keep()
    block = line.desk.told()
    assert known in block
    for told in DIGEST.splitlines():
        assert told in block
    assert line.desk.log() == ""


def test_records_of_the_client_come_with_those_of_the_project(line: Line):
    here, there = line.keep(), line.keep("the vpn of acme", project="pj_other", client="ACME", digest="Asked: the vpn")
    line.keep("stranger", project="pj_third", digest="Asked: nobody of ours")
    (line.desk.home / "bindings.json").write_text(json.dumps({"folders": {str(line.desk.folder.resolve()): "ACME"}}))
    block = line.desk.told()
    assert here in block
    assert there in block
    assert "stranger" not in block


def test_everything_is_asked_in_one_statement(line: Line):
    line.keep()
    with closing(line.server.connect(line.database)) as connection, connection.cursor() as cursor:

        def asked() -> dict[str, int]:
            cursor.execute("SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_select', 'Com_set_option', 'Com_begin')")
            return {name: int(number) for name, number in cursor.fetchall()}

        before = asked()
        assert line.desk.told()
        assert asked() == before | {"Com_select": before["Com_select"] + 1}


@pytest.mark.parametrize("proof", ["authority", "nothing"])
def test_the_server_may_prove_itself_by_an_authority_or_stay_unproven_where_tls_is_off(
    line: Line, proof: str, authority: Authority
):
    known = line.keep()
    if proof == "authority":
        line.configure(fingerprint="", ca=str(authority.file))
        assert known in line.desk.told()
    else:
        line.configure(tls=False, fingerprint="")  # this account must not come in the clear
        assert known not in line.desk.told()
        assert "Away errno 1045" in line.desk.log()


AWAY = {
    "refused": "cannot be reached",
    "swallowed": "did not answer in time",
    "silent": "did not answer in time",
    "slow": "did not answer in time",
    "cut": "broke off",
    "cut within": "broke off",
    "wrong certificate": "shows another certificate than it must",
    "unknown authority": "shows another certificate than it must",
    "unknown host": "cannot be reached",
    "wrong password": "refuses the account of the hooks",
}


def misbehave(line: Line, how: str) -> None:
    """Lets the line, the server or the settings be wrong."""
    if how == "refused":
        line.proxy.refuse()
    elif how == "swallowed":
        line.proxy.swallow()
    elif how == "silent":
        line.proxy.fall_silent()
    elif how == "slow":
        line.proxy.delay(400)
    elif how.startswith("cut"):
        # TLS hides where a statement begins.
        line.server.account(READER + "_open", f"SELECT ON `{line.database}`.*")
        (line.desk.home / "hooks.password").write_text(line.server.passwords[READER + "_open"])
        line.configure(tls=False, fingerprint="", user=READER + "_open")
        for _ in range(2):  # once is not enough: it asks again
            line.proxy.cut("SELECT", "within" if how == "cut within" else "after", keep=20)
    elif how == "wrong certificate":
        line.configure(fingerprint="0" * 64)
    elif how == "unknown authority":
        line.configure(fingerprint="", ca=str(Authority(line.desk.home, "stranger").file))
    elif how == "unknown host":
        line.configure(host="name\x00", fingerprint="", ca="")
        line.configure(host="256.256.256.256")
    else:
        (line.desk.home / "hooks.password").write_text("wrong")


@pytest.mark.parametrize("how", AWAY)
def test_whatever_the_line_does_the_shelf_is_told_with_its_date_and_one_line_why(line: Line, how: str):
    known = line.keep()
    assert known in line.desk.told()
    misbehave(line, how)
    answer = line.answer("s-2")
    block = answer["hookSpecificOutput"]["additionalContext"]
    assert known in block
    reason = AWAY[how]
    if how == "unknown host":  # a name server that is slow to say no is not waited for
        reason = next(said for said in (reason, "did not answer in time") if said in block)
    assert f"The memory's database {reason}; this is what was known on 20" in block
    assert ("systemMessage" in answer) == (reason != "did not answer in time")
    if "systemMessage" in answer:
        assert answer["systemMessage"].startswith(f"ClaudeTools: the memory's database {reason} (")
    assert line.answer("s-3")["hookSpecificOutput"]["additionalContext"]


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_where_nothing_is_on_the_shelf_the_person_is_told_why(line: Line, how: str):
    line.keep()
    misbehave(line, how)
    answer = line.answer()
    assert list(answer) == ["systemMessage"]
    assert AWAY[how] in answer["systemMessage"]


def test_a_line_of_forty_milliseconds_is_fast_enough(line: Line):
    known = line.keep()
    line.proxy.delay(40)
    assert known in line.desk.told()


def test_a_revoked_machine_is_told_that_and_nothing_else(line: Line):
    known = line.keep()
    assert known in line.desk.told()
    line.sql("UPDATE machines SET state = 'revoked' WHERE machine_id = %s", line.machine_id)
    answer = line.answer("s-2")
    assert list(answer) == ["systemMessage"]
    assert "this machine was revoked" in answer["systemMessage"]
    line.proxy.refuse()
    assert known not in json.dumps(line.answer("s-3"))  # nor from the shelf


def test_a_machine_that_the_vault_does_not_know_is_told_nothing(line: Line):
    known = line.keep()
    line.configure(machine_id="ma_stranger")
    assert known not in json.dumps(line.answer())


def test_what_was_forgotten_on_another_machine_leaves_every_shelf_at_the_next_contact(line: Line, tmp_path: Path):
    known = line.keep()
    other = tmp_path / "other"
    other.mkdir()
    assert known in line.desk.told()
    shelves = line.desk.home / "shelf"
    line.desk.told(cwd=other)  # it has been in contact before
    assert any(known in shelf.read_text() for shelf in shelves.iterdir())
    line.sql("UPDATE context_records SET state = 'forgotten', updated_us = %s", line.now_us())
    line.desk.told(session="s-2", cwd=other)
    assert not any(known in shelf.read_text() for shelf in shelves.iterdir())


def test_ages_are_by_the_servers_clock(line: Line):
    """This machine's clock is a day ahead: a record of another branch's would be a day old, and rank below."""
    old = line.keep("done a week ago", updated_us=line.now_us() - 7 * DAY_US, pinned=1, digest="Asked: the old matter")
    new = line.keep("done just now", digest="Asked: the new matter")
    wrong = "import sys, time; real = time.time_ns; time.time_ns = lambda: real() + 3650 * 86_400_000_000_000; "
    run = "import runpy; sys.argv[0] = 'hooks'; runpy.run_module('hooks', run_name='__main__')"
    command = [sys.executable, "-I", "-c", wrong + run, "SessionStart", str(line.desk.settings)]
    done = subprocess.run(
        command,
        input=json.dumps(line.desk.event("s-1", source="startup")).encode(),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(line.desk.home.parent),
            "CLAUDE_PROJECT_DIR": str(line.desk.folder),
        },
        capture_output=True,
        check=True,
        timeout=30,
    )
    block = json.loads(done.stdout)["hookSpecificOutput"]["additionalContext"]
    assert block.index(new) < block.index(old)


def test_two_sessions_on_two_machines_both_show_in_a_third(line: Line):
    first = line.keep("what A did", machine_name="alpha", digest="Asked: the work of A")
    second = line.keep("what B did", machine_name="beta", digest="Asked: the work of B")
    block = line.desk.told()
    assert first in block
    assert second in block
    assert "alpha" in block
    assert "beta" in block


def loaded(line_or_desk: Any) -> set[str]:
    """The modules that a starting session's hook loads."""
    desk = getattr(line_or_desk, "desk", line_or_desk)
    done = subprocess.run(
        [sys.executable, "-I", "-X", "importtime", "-m", "hooks", "SessionStart", str(desk.settings)],
        input=json.dumps(desk.event("s-1", source="startup")).encode(),
        env={"PATH": os.environ["PATH"], "HOME": str(desk.home.parent), "CLAUDE_PROJECT_DIR": str(desk.folder)},
        capture_output=True,
        check=True,
        timeout=30,
    )
    return {told.rpartition("|")[2].strip() for told in done.stderr.decode().splitlines() if "|" in told}


SLOW = {
    "asyncio", "cryptography", "dataclasses", "http", "logging", "mcp", "pathlib", "pydantic", "sqlalchemy",
    "tempfile", "typing", "urllib", "urllib.parse",
}  # fmt: skip


def test_a_hook_on_an_embedded_database_loads_no_driver_of_servers(desk: Any):
    names = loaded(desk)
    assert "sqlite3" in names
    assert not names & (SLOW | {"pymysql", "ssl", "socket", "storage.dial", "storage.address"})


def test_a_hook_on_a_server_loads_nothing_that_is_slow(line: Line):
    names = loaded(line)
    assert "pymysql" in names
    assert not names & (SLOW | {"sqlite3"})
