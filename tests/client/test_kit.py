"""The kit itself: that it sees what it must see, and leaves nothing running."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.kit.laptop import Laptop
from tests.kit.model import calls, says


def test_a_script_that_is_not_played_to_its_end_fails(bare_laptop: Laptop):
    with pytest.raises(AssertionError, match="never asked for"):
        bare_laptop.run("hello", says("hi"), says("more"))
    bare_laptop.model.forget_script()


def test_a_request_beyond_the_script_fails(bare_laptop: Laptop):
    with pytest.raises(AssertionError, match="beyond the script"):
        bare_laptop.run("hello", calls("Bash", command="true", description="nothing"))
    bare_laptop.model.forget_script()


def test_a_hook_that_speaks_is_seen_in_the_notes_of_the_request(bare_laptop: Laptop):
    bare_laptop.settings.parent.mkdir()
    hook = {"type": "command", "command": "echo the hook speaks"}
    bare_laptop.settings.write_text(json.dumps({"hooks": {"SessionStart": [{"hooks": [hook]}]}}))

    run = bare_laptop.run("hello", says("hi"))

    assert run.said == "hi"
    assert "the hook speaks" in run.first.notes
    assert "the hook speaks" not in run.first.asked


def test_what_a_hook_detaches_is_waited_for(bare_laptop: Laptop):
    bare_laptop.settings.parent.mkdir()
    fifo, mark = bare_laptop.home / "fifo", bare_laptop.home / "mark"
    os.mkfifo(fifo)
    hook = {"type": "command", "command": f"setsid sh -c 'read line < {fifo}; touch {mark}' >/dev/null 2>&1 &"}
    bare_laptop.settings.write_text(json.dumps({"hooks": {"SessionEnd": [{"hooks": [hook]}]}}))

    bare_laptop.run("hello", says("hi"))
    assert len(bare_laptop.nursery.orphans()) == 1
    fifo.write_text("go on\n")
    bare_laptop.settle()

    assert mark.exists()


def test_a_killed_client_calls_no_hook_of_its_end(bare_laptop: Laptop):
    bare_laptop.settings.parent.mkdir()
    mark = bare_laptop.home / "mark"
    hook = {"type": "command", "command": f"touch {mark}"}
    bare_laptop.settings.write_text(json.dumps({"hooks": {"SessionEnd": [{"hooks": [hook]}]}}))

    with bare_laptop.stream(says("hi")) as session:
        session.say("hello")
        session.kill()

    assert session.process.returncode == -signal.SIGKILL
    assert not mark.exists()


def test_a_person_is_asked_in_the_terminal_and_may_refuse(bare_laptop: Laptop):
    mark = bare_laptop.place("work") / "mark"
    turns = (calls("Bash", command=f"touch {mark}", description="touch the mark"),)

    with bare_laptop.terminal(*turns, allow=["Read"]) as screen:
        screen.shows("? for shortcuts")
        screen.type("touch the mark")
        screen.shows("Do you want to proceed?")
        screen.press("escape")
        screen.shows("Interrupted")

    assert not mark.exists()
