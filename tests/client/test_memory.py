"""What one session did reaches the next, however the first one ended; what is not asked about stays out."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.kit.client import Conversation
from tests.kit.laptop import Laptop, tool
from tests.kit.model import Request, Turn, calls, says

INTENT = "Move the checkout service to the billing gateway on port 9443 and keep the tests green"
DECISION = "We decided: retries stay at three, because the gateway throttles the fourth"
OUTCOME = "The checkout service now speaks to the billing gateway on port 9443, and the tests pass."
ERROR = "ConnectionRefusedError: billing gateway refused port 8080"
FAILING = f"python3 -c 'raise SystemExit(\"{ERROR}\")'"
PROMPT = "UserPromptSubmit hook additional context:"
CITIES = (
    "Oslo", "Lyon", "Porto", "Graz", "Turku", "Cork", "Ghent", "Brno", "Split", "Vilnius", "Tartu", "Malmo", "Basel", "Trier",
    "Pisa", "Nice", "Bergen", "Leeds",
)  # fmt: skip
PASSING = "python3 -c 'print(\"12 passed\")'"

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what the kind of the database cannot change: sessions of the real client take seconds."""


def work(repository: Path) -> tuple[Turn, ...]:
    """The model's side of a session that edits a file, fails, mends it, and hears a decision."""
    file = str(repository / "checkout.py")
    return (
        calls("Read", file_path=file),
        calls("Bash", command=FAILING, description="Try the gateway"),
        calls("Edit", file_path=file, old_string="PORT = 8080", new_string="PORT = 9443"),
        calls("Bash", command=PASSING, description="Run the tests"),
        says(OUTCOME),
        says("Understood: three retries."),
    )


def do_the_work(session: Conversation) -> None:
    """The person's side of it."""
    session.say(INTENT)
    session.say(DECISION)


def assert_knows_the_work(request: Request) -> None:
    """The notes of a request hold what matters of that session."""
    notes = request.notes
    for what, fact in {
        "intent": "billing gateway on port 9443 and keep the tests green",
        "outcome": "now speaks to the billing gateway on port 9443",
        "decision": "retries stay at three",
        "file": "checkout.py",
        "error": "billing gateway refused port 8080",
    }.items():
        assert fact in notes, f"the {what} did not reach the model; it was given:\n{notes}"


@pytest.fixture
def repository(laptop: Laptop) -> Path:
    """A remote, cloned once."""
    remote = laptop.remote("shop", {"checkout.py": "PORT = 8080\n", "README": "The shop.\n"})
    return laptop.clone("shop", remote)


@pytest.fixture
def other_clone(laptop: Laptop, repository: Path) -> Path:
    """A clone of the same remote in another folder, under another name."""
    return laptop.clone("work/shop-again", laptop.root / "shop.git")


def leave(laptop: Laptop, session: Conversation) -> None:
    session.finish()
    laptop.settle()


def leave_and_come_back_at_once(laptop: Laptop, session: Conversation) -> None:
    session.finish()


def crash(laptop: Laptop, session: Conversation) -> None:
    session.kill()


@pytest.mark.parametrize("end", [leave, leave_and_come_back_at_once, crash], ids=["it left", "it just left", "kill -9"])
def test_the_next_session_in_another_clone_knows_what_was_done(
    laptop: Laptop, repository: Path, other_clone: Path, end: Callable[[Laptop, Conversation], None]
):
    with laptop.stream(*work(repository), cwd=repository) as session:
        do_the_work(session)
        end(laptop, session)
    assert (repository / "checkout.py").read_text() == "PORT = 9443\n"

    run = laptop.run("hello", says("hi"), cwd=other_clone)

    assert_knows_the_work(run.first)


def test_a_session_in_a_terminal_is_known_to_the_next_one(laptop: Laptop, repository: Path, other_clone: Path):
    with laptop.terminal(*work(repository), cwd=repository) as screen:
        screen.shows("? for shortcuts")
        screen.type(INTENT)
        screen.shows(OUTCOME[:40])
        screen.type(DECISION)
        screen.shows("Understood: three retries.")
        screen.type("/exit")
        assert screen.ended() == 0
    laptop.settle()

    with laptop.terminal(says("hi, and welcome back"), cwd=other_clone) as screen:
        screen.shows("? for shortcuts")
        screen.type("hello")
        screen.shows("hi, and welcome back")

    assert_knows_the_work(laptop.model.main()[-1])


@ON_SQLITE
def test_a_killed_client_leaves_no_process_of_ours(laptop: Laptop, repository: Path):
    with laptop.stream(says("hi"), cwd=repository) as session:
        session.say("hello")
        session.kill()
        laptop.nursery.wait()


def test_a_session_killed_within_a_turn_is_known_up_to_its_last_whole_turn(
    laptop: Laptop, repository: Path, other_clone: Path
):
    with laptop.stream(
        *work(repository), calls("Bash", command="sleep 60", description="Wait"), cwd=repository
    ) as session:
        do_the_work(session)
        session.begin("now wait a minute, please")
        session.wait(lambda event: event.get("type") == "assistant" and "sleep 60" in str(event))
        session.kill()
    laptop.model.beyond = 0  # on a busy machine it may have gone on for a moment before it was killed

    run = laptop.run("hello", says("hi"), cwd=other_clone)

    assert_knows_the_work(run.first)


@ON_SQLITE
def test_after_a_clear_the_work_is_known(laptop: Laptop, repository: Path):
    with laptop.stream(*work(repository), says("hi"), cwd=repository) as session:
        do_the_work(session)
        session.say("/clear")
        session.say("hello")

    before, after = laptop.model.main()[0], laptop.model.main()[-1]
    assert before.session_id != after.session_id
    assert_knows_the_work(after)


def test_after_a_compaction_the_work_is_known(laptop: Laptop, repository: Path):
    with laptop.stream(*work(repository), says("going on"), cwd=repository) as session:
        do_the_work(session)
        session.say("/compact")
        session.say("go on")

    assert [request.kind for request in laptop.requests].count("compact") == 1
    assert_knows_the_work(laptop.model.main()[-1])


@ON_SQLITE
def test_after_a_compaction_the_work_of_an_earlier_session_is_known_too(
    laptop: Laptop, repository: Path, other_clone: Path
):
    with laptop.stream(*work(repository), cwd=repository) as session:
        do_the_work(session)
    laptop.settle()

    with laptop.stream(says("hi"), says("going on"), cwd=other_clone) as session:
        session.say("hello")
        session.say("/compact")
        session.say("go on")

    assert_knows_the_work(laptop.model.main()[-1])


@ON_SQLITE
def test_what_we_inject_is_not_recorded_again(laptop: Laptop, repository: Path, other_clone: Path):
    with laptop.stream(*work(repository), cwd=repository) as session:
        do_the_work(session)
    laptop.settle()
    laptop.run("What is the capital of France, by the way?", says("Paris."), cwd=other_clone)
    laptop.settle()

    run = laptop.run("hello", says("hi"), cwd=other_clone)

    assert run.first.notes.count("retries stay at three") == 1


@ON_SQLITE
def test_the_hooks_never_make_the_model_go_on(laptop: Laptop, repository: Path):
    with laptop.stream(*work(repository), says("compacted"), cwd=repository) as session:
        do_the_work(session)
        session.say("/compact")
        session.say("and now?")

    compact = next(request for request in laptop.requests if request.kind == "compact")
    assert "claudetools" not in compact.asked.lower()
    # A turn that a hook prolonged would have been a request beyond the script, on which the laptop's end fails.


def test_a_prompt_about_earlier_work_gets_it_and_another_gets_nothing(laptop: Laptop, repository: Path):
    about_invoices = calls(
        tool("context_save"),
        kind="fact",
        title="Invoices are archived in the Glacier bucket",
        text="Old invoices go to the Glacier bucket named ledger-cold after ninety days; finance signed this off.",
    )
    newer = [  # so many that the first no longer stands in the block at the start
        calls(
            tool("context_save"),
            kind="decision",
            title=f"The {city} warehouse counts its shelves by hand",
            text=f"The importer of the {city} warehouse skips aisle {number}, which is counted by hand each spring.",
        )
        for number, city in enumerate(CITIES)
    ]
    kept = laptop.run("Please keep these", about_invoices, *newer, says("kept"), cwd=repository)
    assert not any(result.get("is_error") for result in kept.last.results)
    laptop.settle()
    with laptop.stream(says("hi"), says("ninety days"), says("Bonjour"), cwd=repository) as session:
        session.say("hello")  # the first prompt of a session opens the database; it has 250 ms like every other
        session.say("After how many days do old invoices go to the Glacier bucket?")
        about = laptop.model.main()[-1]
        session.say("Translate the sentence good morning to my neighbours into French")
        unrelated = laptop.model.main()[-1]

    assert "Glacier" not in about.notes.partition(PROMPT)[0], (
        "it stood in the block at the start, so nothing was tested"
    )
    told = prompt_notes(about)
    assert len(told) == 1
    assert "Invoices are archived in the Glacier bucket" in told[0]
    assert len(told[0]) <= 700
    assert prompt_notes(unrelated) == told, "an unrelated prompt was given something"


def prompt_notes(request: Request) -> list[str]:
    """What the prompt hook added, one item for each prompt that got something."""
    return [part.partition("\n\n# ")[0].strip() for part in request.notes.split(PROMPT)[1:]]


@ON_SQLITE
def test_what_a_forked_session_copied_is_told_once_and_an_import_finds_nothing_new(laptop: Laptop, repository: Path):
    first = laptop.run(INTENT, says(OUTCOME), cwd=repository)
    laptop.settle()
    forked = ("--resume", first.session_id, "--fork-session")
    fork = laptop.run("Draw the login page in green, please", says("It is green."), cwd=repository, arguments=forked)
    laptop.settle()

    with closing(sqlite3.connect(laptop.data / "claudetools.db")) as connection:
        rows = connection.execute("SELECT session_id, title, digest, body_person, body_rest FROM context_records")
        told = {session_id: " ".join(texts) for session_id, *texts in rows}
    assert set(told) == {first.session_id, fork.session_id}
    assert OUTCOME in told[first.session_id]
    assert "login page in green" in told[fork.session_id]
    assert "It is green." in told[fork.session_id]
    assert "checkout" not in told[fork.session_id]
    imported = json.loads(laptop.claudetools("context", "import", "--home", str(laptop.data), "--json").stdout)
    assert (imported["imported"], imported["kept"], imported["failed"]) == (0, 2, [])
