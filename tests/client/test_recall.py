"""Asking about earlier work, and who is told what others left, with the real client."""

from __future__ import annotations

import json
import sys

import pytest

from tests.kit.client import Run
from tests.kit.laptop import Laptop, tool
from tests.kit.model import calls, says
from tests.kit.stores import store_of

WEEK_US = 7 * 86_400_000_000
ASKED = "Why does the nightly backup of the NAS fail?"
ANSWER = "Its target disk was full; I moved the target to the second disk."
QUESTION = "What did we do about the failing backup last week?"


def results(run: Run) -> list[str]:
    """What its tools answered."""
    said = [event["message"]["content"] for event in run.events if event.get("type") == "user"]
    return [
        json.dumps(part["content"], ensure_ascii=False) for parts in said for part in parts if isinstance(part, dict)
    ]


def shown(run: Run) -> str:
    """What the person was shown at the session's start."""
    answers = [event for event in run.events if event.get("hook_event") == "SessionStart" and event.get("output")]
    return str(json.loads(str(answers[0]["output"])).get("systemMessage", "")) if answers else ""


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_last_week_is_found_by_asking_and_what_others_left_comes_after_the_person_trusts_the_folder(
    laptop: Laptop,
) -> None:
    remote = laptop.remote("infra")
    clone = laptop.clone("infra", remote)
    laptop.run(ASKED, says(ANSWER), cwd=clone)
    laptop.settle()
    store = store_of(laptop.data)
    store.sql("UPDATE context_records SET updated_us = updated_us - ?", WEEK_US)
    trust = f"{sys.executable} -I -m mcp_server project trust"

    run = laptop.run(
        QUESTION,
        calls(tool("context_recall"), query=QUESTION),
        calls(tool("context_recall"), query="backup", when="yesterday"),
        calls("Bash", command=trust, description="Trust this folder"),
        says("The target disk was full."),
        cwd=clone,
    )

    assert shown(run).startswith("ClaudeTools: 1 record")
    asked, yesterday, refused = results(run)
    assert "“last week” read as Mon " in asked
    assert ASKED in asked
    assert ANSWER[:30] in asked
    assert "Nothing in the memory answers that." in yesterday
    assert "not for Claude Code" in refused

    laptop.settle()
    store.sql("UPDATE context_records SET owner_id = 'pe_other', owner_name = 'Ben'")
    hidden = laptop.run("hello", says("hi"), cwd=clone)
    assert ASKED not in hidden.first.notes
    assert "records of other persons are not shown" in shown(hidden)
    laptop.claudetools("project", "trust", "--folder", str(clone))
    told = laptop.run("hello", says("hi"), cwd=clone)
    assert ASKED in told.first.notes
    assert ANSWER[:30] not in told.first.notes, "the words of another person's Claude"
