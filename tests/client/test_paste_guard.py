"""The paste guard with the real client: what is kept back is in no request, and not on the screen again."""

from __future__ import annotations

import json

import pytest

from tests.kit.laptop import Laptop
from tests.kit.model import says

VALUE = "Trf7#mountain-lake!93"
TOKEN = "ghp_aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1cD3"
REFERENCE = "acme/mail/admin"
INNOCENT = "Please tell me which mailboxes there are on the server"


@pytest.fixture
def stocked(laptop: Laptop) -> Laptop:
    """A machine whose vault holds one credential."""
    file = laptop.root / "value"
    file.write_text(VALUE)
    laptop.log_in()
    laptop.claudetools("credential", "add", "Mail", "--client", "acme", "--name", "admin", "--value-file", str(file))
    return laptop


def sent(laptop: Laptop) -> str:
    """All that any model was ever shown."""
    return "\n".join(request.raw for request in laptop.requests)


def test_a_prompt_with_a_value_reaches_no_model_and_no_memory_and_the_session_goes_on(stocked: Laptop) -> None:
    with stocked.stream(says("There are three."), says("Yes.")) as session:
        session.say(INNOCENT)  # how soon a server that has just started knows its values is for the benchmarks
        kept_back = session.say(f"Log in to the mail with {VALUE} and look into {TOKEN}")
        assert f"the password of {REFERENCE}" in str(kept_back["result"])
        assert "paste-ok:" in str(kept_back["result"])
        assert VALUE not in json.dumps(kept_back)
        session.say("Are you sure of that number?")
        session.finish()
    stocked.settle()

    assert "Are you sure of that number?" in sent(stocked)
    assert VALUE not in sent(stocked)
    assert TOKEN not in sent(stocked)
    for name, content in stocked.kept().items():
        assert VALUE.encode() not in content, name
        assert TOKEN.encode() not in content, name


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_prompt_that_its_person_lets_through_goes_on_and_counts_as_seen(stocked: Laptop) -> None:
    run = stocked.run(f"paste-ok: is {VALUE} a good password?", says("No."))
    assert VALUE in run.first.text
    assert '"exposed": true' in stocked.claudetools("credential", "show", REFERENCE, "--json").stdout


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_on_the_screen_the_value_stands_in_the_box_alone_for_its_person_to_take_it_out(stocked: Laptop) -> None:
    with stocked.terminal(says("hi, and welcome back")) as screen:
        screen.shows("? for shortcuts")
        screen.type("hello")
        screen.shows("· done")  # what is typed before waits, and nobody is told why it is dropped then
        screen.type(f"log in with {VALUE} please")
        screen.until(lambda text: f"the password of {REFERENCE}" in text.replace("\n", " "), "why it was not sent")
        above, _, box = screen.until(lambda text: VALUE in text.rpartition("❯")[2], "it, in the box").rpartition("❯")
        assert VALUE not in above
        assert VALUE in box
    assert VALUE not in sent(stocked)
