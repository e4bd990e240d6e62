"""The digest of a session, and its long form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain import recall
from domain.commands import changed_paths, error_signature, kinds, normal_command
from domain.digest import PROVENANCE, condense, digest
from domain.shortening import one_line
from domain.tokens import estimate
from domain.transcript import REFUSED, Transcript, read

# Speed is measured elsewhere; a failing example is shown as it is found.
WITHOUT_HURRY = settings(deadline=None, max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])


class Session:
    """A session that is written row by row."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.calls = 0

    def _row(self, kind: str, content: Any, **more: Any) -> None:
        at = f"2026-11-23T21:{len(self.rows) // 60:02d}:{len(self.rows) % 60:02d}.000Z"
        self.rows.append({"type": kind, "message": {"content": content}, "timestamp": at, "cwd": "/p", **more})

    def ask(self, text: str) -> None:
        self._row("user", text)

    def say(self, text: str) -> None:
        self._row("assistant", [{"type": "text", "text": text}])

    def call(self, tool: str, outcome: str = "ok", failed: bool = False, **given_: Any) -> None:
        self.calls += 1
        call = f"t{self.calls}"
        self._row("assistant", [{"type": "tool_use", "id": call, "name": tool, "input": given_}])
        self._row("user", [{"type": "tool_result", "tool_use_id": call, "content": outcome, "is_error": failed}])

    def summary(self, text: str) -> None:
        self._row("user", text, isCompactSummary=True)

    def read(self) -> Transcript:
        return read(json.dumps(row).encode() for row in self.rows)


@pytest.fixture
def session() -> Session:
    """A session with a bit of everything."""
    made = Session()
    made.ask("Move the checkout service to the billing gateway on port 9443")
    made.call("Read", "PORT = 8080", file_path="/p/config.py")
    made.call(
        "Bash",
        "Exit code 1\nE   ConnectionRefusedError: gateway refused port 8080",
        failed=True,
        command="cd /p && pytest -q 2>&1 | tail -5",
    )
    made.call("Edit", file_path="/p/checkout.py", old_string="a", new_string="def billing_gateway_port(): ...")
    made.call("Bash", "12 passed", command="cd /p && pytest -q")
    made.call("Bash", "[topic 1a2b3c4d] checkout: speak to the gateway\n 1 file changed", command="git commit -m x")
    made.ask("We decided that retries stay at three. Never log the card number.")
    made.call(
        "TodoWrite",
        todos=[{"content": "tell the shop", "status": "pending"}, {"content": "old", "status": "completed"}],
    )
    made.say("The checkout service now speaks to the billing gateway on port 9443.")
    return made


@pytest.mark.parametrize(
    "line",
    [
        "Asked: Move the checkout service to the billing gateway on port 9443",
        "Outcome: The checkout service now speaks to the billing gateway on port 9443.",
        "Then: We decided that retries stay at three. Never log the card number.",
        "Edited: checkout.py",
        "Commits: 1a2b3c4d checkout: speak to the gateway",
        "Ran: `pytest -q` failed, then ok",
        "Error: ConnectionRefusedError: gateway refused port 8080 → solved by changing checkout.py",
        "Open: tell the shop",
        "Read: config.py",
        "Defined: billing_gateway_port",
        "Also ran: git commit",
    ],
)
def test_the_digest_tells_what_the_next_session_needs(session: Session, line: str):
    assert line in digest(session.read()).text.splitlines()


def test_every_head_is_known_to_whoever_cuts_a_digest_down():
    assert set(PROVENANCE) == set(recall._WORTH)


def test_a_decision_in_a_long_request_is_told_by_itself(session: Session):
    plan = " ".join(f"Step {number} moves shelf {number} of the warehouse to hall {number}." for number in range(200))
    session.ask(f"{plan} Never open the north gate. {plan}")
    assert "Decided: Never open the north gate." in digest(session.read()).text.splitlines()


def test_every_word_of_the_person_is_told_when_there_is_room(session: Session):
    session.ask("Compare the " + " ".join(f"turbine{number} with the rotor{number}" for number in range(30)))
    told = digest(session.read(), budget=1_500).text
    assert all(f"turbine{number} " in told for number in range(30))
    assert told.split("Also said: ")[1].split("\n")[0].split().count("turbine29") == 1


def test_no_word_is_told_alone_that_another_line_tells(session: Session):
    for number in range(40):
        session.ask(
            f"please repaint the warehouse gate number{number} in a lighter green, as agreed with the harbour office"
        )
    told = digest(session.read()).text
    alone = told.split("Also said: ")[1].split("\n")[0].split()
    others = "\n".join(line for line in told.splitlines() if not line.startswith("Also said: "))
    assert alone
    assert not [word for word in alone if word in others.split()]


def test_many_files_of_one_folder_are_told_together(session: Session):
    for number in range(50):
        session.call("Edit", file_path=f"/p/warehouse/shelves/row_{number}.py", new_string="x")
    told = digest(session.read(), budget=600).text
    assert told.count("warehouse/shelves/") == 1
    assert "warehouse/shelves/{row_0.py, row_1.py," in told


def test_a_few_files_are_told_whole(session: Session):
    session.call("Edit", file_path="/p/warehouse/shelves/row_1.py", new_string="x")
    session.call("Edit", file_path="/p/warehouse/shelves/row_2.py", new_string="x")
    assert "warehouse/shelves/row_1.py, warehouse/shelves/row_2.py" in digest(session.read()).text


def test_files_of_windows_and_of_worktrees_are_told_as_git_tells_them():
    made = Session()
    made.ask("Paint both of the gates of the warehouse")
    made.rows[0]["cwd"] = "D:\\hall"
    made.call("Edit", file_path="D:\\hall\\gates\\north.py", new_string="x")
    made.call("Edit", file_path="D:\\hall\\.claude\\worktrees\\calm-otter-1\\gates\\south.py", new_string="x")
    assert digest(made.read()).files == ("gates/north.py", "gates/south.py")


def test_what_git_told_of_is_told_beside_what_was_edited(session: Session):
    status = " M checkout.py\n M gates/north.py\n?? gates/east.py\nR  gates/old.py -> gates/new.py\n"
    session.call("Bash", status, command="git status --short")
    assert "Changed: gates/north.py, gates/east.py, gates/new.py" in digest(session.read()).text.splitlines()


def test_links_and_refusals_are_told(session: Session):
    session.say("It is told at https://docs.example/gateway/v2.")
    session.say("The rest of it has to wait until the harbour office has answered.")
    session.call("Bash", f"{REFUSED}. The tool use was rejected.", failed=True, command="git push")
    told = digest(session.read()).text
    assert "Links: https://docs.example/gateway/v2" in told
    assert f"Error: {REFUSED}: Bash git push" in told


def test_a_link_that_a_request_tells_is_not_told_again(session: Session):
    session.ask("Read https://docs.example/gateway/v2 first, please.")
    assert digest(session.read()).text.count("https://docs.example/gateway/v2") == 1


def test_what_a_search_showed_is_told_among_the_names(session: Session):
    session.call("Grep", "src/gate.py:12: openNorthGate(key)", pattern="Gate")
    told = digest(session.read()).text
    assert "openNorthGate" in told.split("Names: ")[1].split("\n")[0]


def test_later_requests_are_told_in_the_order_in_which_they_came(session: Session):
    session.ask("Then paint the north gate of the warehouse")
    session.ask("And now the south gate of the warehouse")
    told = digest(session.read()).text
    assert told.index("north gate") < told.index("south gate")


def test_what_was_done_is_not_told_as_open(session: Session):
    assert "old" not in digest(session.read()).text


def test_every_line_has_a_head_whose_words_are_known(session: Session):
    for line in digest(session.read()).text.splitlines():
        assert line.partition(":")[0] in PROVENANCE


def test_a_changed_request_is_told_the_newest_first_when_room_is_short(session: Session):
    for number in range(30):
        session.ask(f"then look at part number {number} of the warehouse scanner as well")
    told = digest(session.read(), budget=500).text
    assert "part number 29" in told
    assert "part number 3 " not in told


def test_a_compactions_summary_is_the_outcome_when_nothing_followed(session: Session):
    session.summary("Summary: the gateway is done and the shop waits for a call")
    assert "the shop waits for a call" in digest(session.read()).outcome


def test_an_answer_to_claudes_question_is_a_decision(session: Session):
    session.call(
        "AskUserQuestion", 'Your questions have been answered: "Which port?"="9443". You can now continue', questions=[]
    )
    assert 'asked and answered: "Which port?"="9443"' in digest(session.read()).text


def test_what_a_subagent_was_told_is_not_the_persons_request(session: Session):
    session.rows.append({"type": "user", "isSidechain": True, "message": {"content": "SUBTASK never do that"}})
    assert "SUBTASK" not in digest(session.read()).text
    assert "SUBTASK" in condense(session.read()).rest


def test_the_long_form_keeps_prompts_apart_and_failed_output_alone(session: Session):
    body = condense(session.read())
    assert "Never log the card number" in body.person
    assert "Never log the card number" not in body.rest
    assert "gateway refused port 8080" in body.rest
    assert "12 passed" not in body.rest


def test_reduction_is_counted_against_what_the_model_saw(session: Session):
    session.call("Read", "line of text\n" * 5000, file_path="/p/big.txt")
    made = digest(session.read())
    assert made.raw_tokens > 10_000
    assert made.tokens == estimate(made.text)


@WITHOUT_HURRY
@given(st.integers(min_value=0, max_value=3_000))
def test_no_digest_is_longer_than_its_budget(budget: int):
    made = Session()
    for number in range(40):
        made.ask(f"Always do {number} things to file_{number}.py, never less")
        made.call("Edit", file_path=f"/p/some/folder/file_{number}.py", new_string=f"def name_number_{number}(): ...")
        made.call("Bash", f"Error: broken {number}", failed=True, command=f"make part{number}")
        made.say(f"Part {number} is done and everything about it works as it should by now.")
    told = digest(made.read(), budget)
    assert told.tokens <= budget * 1.02 + 3


@WITHOUT_HURRY
@given(st.lists(st.text(max_size=200), max_size=6), st.lists(st.text(max_size=100), max_size=6))
def test_any_words_give_a_digest_and_the_same_each_time(prompts: list[str], commands: list[str]):
    made = Session()
    for prompt in prompts:
        made.ask(prompt)
    for command in commands:
        made.call("Bash", command, failed=True, command=command)
    transcript = made.read()
    told = digest(transcript)
    assert told == digest(transcript)
    assert "\n\n" not in told.text
    condense(transcript)


def test_an_empty_session_has_an_empty_digest():
    told = digest(Transcript())
    assert (told.text, told.title, told.tokens) == ("", "", 0)


@pytest.mark.parametrize(
    ("line", "bare"),
    [
        ("cd /p && pytest -q 2>&1 | tail -5", "pytest -q"),
        ("cd '/a b' && cd c; make test", "make test"),
        ("# build\nmake all", "make all"),
        ("git commit -m \"$(cat <<'EOF'\nlong\nEOF\n)\"", 'git commit -m "$(cat'),
    ],
)
def test_commands_are_told_without_their_trimmings(line: str, bare: str):
    assert normal_command(line) == bare


@pytest.mark.parametrize(
    ("output", "signature"),
    [
        (
            "Exit code 1\nTraceback (most recent call last):\n  File x\nValueError: no such port",
            "ValueError: no such port",
        ),
        ("Exit code 127\nbash: line 1: ruby: command not found", "bash: line 1: ruby: command not found"),
        ("Exit code 1", ""),
        ("", ""),
    ],
)
def test_the_line_that_says_most_stands_for_an_error(output: str, signature: str):
    assert error_signature(output) == signature


@WITHOUT_HURRY
@given(st.text(max_size=400), st.integers(min_value=5, max_value=200))
def test_one_line_is_one_line_and_short_enough(text: str, longest: int):
    cut = one_line(text, longest)
    assert len(cut) <= longest
    assert "\n" not in cut


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("cd /p && FOO=1 pytest -q 2>&1 | tail -5", ["pytest"]),
        ("git -C /p add a.py && git commit -m x; npm run lint", ["git add", "git commit", "npm run lint"]),
        ("for i in 1 2; do echo $i; done", ["echo"]),
        ("sudo systemctl restart nginx", ["systemctl restart"]),
        ("gh pr view 12 --json title", ["gh pr view"]),
        ("", []),
    ],
)
def test_a_commands_kind_is_its_program_and_what_that_runs(line: str, told: list[str]):
    assert list(kinds(line)) == told


@pytest.mark.parametrize(
    ("line", "output", "paths"),
    [
        (
            "git add src/a.py -p 'b.md' && git commit",
            " create mode 100644 src/new.py\n",
            ["src/a.py", "b.md", "src/new.py"],
        ),
        (
            "git diff --stat",
            " src/a.py | 12 +++---\n logo.png | Bin 0 -> 9 bytes\n 2 files changed\n",
            ["src/a.py", "logo.png"],
        ),
        ("git status", "On branch x\n\tmodified:   src/a.py\n\tnew file:   src/b.py\n", ["src/a.py", "src/b.py"]),
        ("ls", " M src/a.py\n", []),
    ],
)
def test_what_git_tells_of_as_changed_is_found(line: str, output: str, paths: list[str]):
    assert list(changed_paths(line, output)) == paths
