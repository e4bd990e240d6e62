"""The line below the prompt, as a person sees it."""

from __future__ import annotations

from tests.client.test_memory import ON_SQLITE, do_the_work, work
from tests.kit.laptop import Laptop
from tests.kit.model import says


@ON_SQLITE
def test_the_client_shows_what_the_memory_gave_the_session(laptop: Laptop):
    remote = laptop.remote("shop", {"checkout.py": "PORT = 8080\n"})
    repository = laptop.clone("shop", remote)
    with laptop.stream(*work(repository), cwd=repository) as session:
        do_the_work(session)
        session.finish()
    laptop.settle()
    laptop.claudetools("statusline", "on")
    with laptop.terminal(says("hi, and welcome back"), cwd=repository) as screen:
        screen.shows("memory: 1 record")
        screen.shows("newest")
        screen.type("hello")
        screen.shows("hi, and welcome back")
        screen.shows("memory: 1 record")
    laptop.claudetools("statusline", "off")
    with laptop.terminal(says("hi once more"), cwd=repository) as screen:
        screen.shows("? for shortcuts")
        screen.type("hello")
        assert "memory:" not in screen.shows("hi once more")
