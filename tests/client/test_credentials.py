"""Credentials through the real client: made unseen, revealed by a person's leave, and found again in the audit log."""

from __future__ import annotations

import json
import os
import sys

import pytest

from tests.kit.laptop import SERVER, Laptop, tool
from tests.kit.model import Request, calls, says

REFERENCE = "acme/gitea/admin"
CREATE = calls(
    tool("credential_create"),
    type="password",
    client="Acme",
    service_name="Gitea",
    name="admin",
    username="admin",
    generate=True,
    purpose="the new wiki needs an account",
)
REVEAL = calls(tool("credential_reveal"), reference=REFERENCE, purpose="log in once to set the theme")
AUDIT = calls(tool("audit_search"), action="credential.decrypt")

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what the kind of the database cannot change: sessions of the real client take seconds."""


def answer(request: Request, back: int = 1) -> dict[str, object]:
    """The structured result of the last tool call, or of one before it."""
    block = request.results[-back]
    assert not block.get("is_error"), block
    content = block["content"]
    text = content if isinstance(content, str) else content[0]["text"]
    said = json.loads(text)
    assert isinstance(said, dict)
    return said


def test_a_value_is_generated_revealed_by_the_persons_leave_and_the_audit_log_tells(laptop: Laptop):
    with laptop.terminal(CREATE, REVEAL, AUDIT, says("All told.")) as screen:
        screen.shows("? for shortcuts")
        screen.type("make an account for the wiki and open it")
        asked = screen.shows("Do you want to")  # every tool is allowed beforehand; this one asks all the same
        assert REFERENCE in asked
        assert "log in once to set the theme" in asked
        created = answer(laptop.model.main()[-1])
        assert created["generated"] is True
        assert not created.get("exposed")
        screen.press("enter")
        screen.shows("All told.")

    last = laptop.model.main()[-1]
    value = str(answer(last, 2)["value"])
    assert len(value) >= 20
    assert value not in json.dumps(answer(last, 3))
    entry = answer(last, 1)["items"][0]
    assert entry["subject"] == REFERENCE
    assert entry["purpose"] == "log in once to set the theme"
    settings = json.loads((laptop.data / "settings.json").read_text())
    assert entry["actor"] == settings["agent_name"]
    assert set(entry["verified"]) >= {"agent", "owner", "machine"}
    assert "session" in entry["asserted"]
    assert entry["owner"] == "ada"
    assert entry["machine"] == settings["machine_name"]
    assert entry["session"] == last.session_id
    assert laptop.claudetools("audit", "verify", "--home", str(laptop.data)).returncode == 0


@ON_SQLITE
def test_a_person_who_says_no_keeps_the_value(laptop: Laptop):
    laptop.run("make it", CREATE, says("made"))

    with laptop.terminal(REVEAL) as screen:
        screen.shows("? for shortcuts")
        screen.type("open the account")
        screen.shows("Do you want to")
        screen.press("escape")
        screen.shows("Interrupted")

    found = answer(laptop.run("who opened it?", AUDIT, says("nobody")).last)
    assert found["items"] == []


@ON_SQLITE
@pytest.mark.parametrize("mode", ["default", "acceptEdits", "dontAsk", "bypassPermissions"])
def test_without_a_person_a_reveal_is_refused_whatever_is_allowed(laptop: Laptop, mode: str):
    if mode == "bypassPermissions" and os.geteuid() == 0:
        mode = "auto"  # the client itself refuses that mode to root
    allowed = {"permissions": {"allow": [SERVER, f"{SERVER}__*", tool("credential_reveal")]}}
    settings = json.loads(laptop.settings.read_text())
    laptop.settings.write_text(json.dumps({**settings, **allowed}))

    run = laptop.run(
        "make it and open it", CREATE, REVEAL, AUDIT, says("refused"), arguments=["--permission-mode", mode]
    )

    assert tool("credential_reveal") in run.refusals
    assert run.last.results[-2]["is_error"] is True
    assert answer(run.last)["items"] == []


def test_delete_and_forget_ask_the_person_too(laptop: Laptop):
    run = laptop.run(
        "clean up",
        CREATE,
        calls(tool("credential_delete"), reference=REFERENCE, purpose="no longer used"),
        calls(tool("context_forget"), record_id="cx_" + "a" * 26, purpose="wrong"),
        calls(tool("credential_get"), reference=REFERENCE),
        says("refused"),
    )

    assert set(run.refusals) == {tool("credential_delete"), tool("context_forget")}
    assert answer(run.last)["state"] == "active"


def test_a_revoked_agent_is_refused_at_its_next_call(laptop: Laptop):
    laptop.log_in()
    agent = json.loads((laptop.data / "settings.json").read_text())["agent_name"]
    search = calls(tool("credential_search"), query="gitea")

    with laptop.stream(CREATE, search, says("there"), search, says("no more")) as session:
        session.say("make it and look for it")
        laptop.claudetools("agent", "revoke", agent, "--home", str(laptop.data))
        session.say("look again")

    refused = laptop.model.main()[-1].results[-1]
    assert refused["is_error"] is True
    assert "unauthenticated" in json.dumps(refused) or "denied" in json.dumps(refused)


@ON_SQLITE
@pytest.mark.parametrize(
    "scrub", ["", "env -i ", "setsid "], ids=["plainly", "without its environment", "in a session of its own"]
)
def test_the_shell_of_a_session_gets_no_value_from_the_command_line(laptop: Laptop, scrub: str):
    laptop.log_in()
    program = f"{sys.executable} -I -m mcp_server --home {laptop.data} credential"
    password = f"--password-file {laptop.root / 'password'}"
    reveal = f"{scrub}{program} reveal {REFERENCE} --purpose curiosity {password}"

    run = laptop.run(
        "open it by the shell",
        CREATE,
        calls("Bash", command=f"{reveal}; echo ended with $?", description="Reveal"),
        AUDIT,
        says("refused"),
    )

    told = str(run.last.results[-2]["content"])
    assert "for a person at a terminal of their own" in told
    assert "ended with 4" in told
    assert answer(run.last)["items"] == []


def test_the_answer_of_a_clear_session_names_the_live_session_in_the_audit_log(laptop: Laptop):
    search = calls(tool("credential_search"), query="gitea")
    with laptop.stream(
        CREATE, says("one"), search, calls(tool("audit_search"), action="credential.search"), says("two")
    ) as it:
        it.say("make an account")
        it.say("/clear")
        it.say("look for the account that was made")

    last = laptop.model.main()[-1]
    first = laptop.model.main()[0]
    assert first.session_id != last.session_id
    assert answer(last)["items"][0]["session"] == last.session_id
