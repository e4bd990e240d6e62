"""Sealed use through the real client: a recipe runs unasked, any other program asks, and no value reaches the model."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.client.test_credentials import ON_SQLITE, answer
from tests.kit.forms import assert_absent
from tests.kit.laptop import Laptop, tool
from tests.kit.model import calls, says
from tests.use.conftest import serving

VALUE = "Tr0ub4dor&3-quoted#cAnArY"
REFERENCE = "acme/web/robot"


def entered(laptop: Laptop) -> None:
    """A credential that a person entered at the command line."""
    laptop.log_in()
    laptop.claudetools(
        *("credential", "add", "Web", "--client", "acme", "--username", "robot", "--value-file", "-"), stdin=VALUE
    )


def approved(laptop: Laptop, authority: Path) -> None:
    """A recipe that a person wrote and approved there."""
    laptop.claudetools(
        *("recipe", "add", "fetch", "--ready", "curl-basic", "--host", "127.0.0.1", "--for", "acme/*"),
        *("--argument", "--cacert", "--argument", str(authority)),
    )
    laptop.claudetools("recipe", "approve", "fetch", "--yes", "--password-file", str(laptop.root / "password"))


def test_a_recipe_is_run_unasked_and_the_value_is_in_no_request_file_or_argument(laptop: Laptop, tmp_path: Path):
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(place.read_bytes())
                except OSError:
                    continue

    with serving(tmp_path / "web") as web:
        entered(laptop)
        approved(laptop, web.authority.file)
        looking = threading.Thread(target=look)
        looking.start()
        try:
            run = laptop.run(
                "fetch the report",
                calls(tool("recipe_list"), reference=REFERENCE),
                calls(
                    tool("credential_use"), recipe="fetch", reference=REFERENCE, purpose="the weekly report",
                    arguments={"address": f"{web.url}/echo"},
                ),
                says("fetched"),
            )  # fmt: skip
        finally:
            over.set()
            looking.join()
        assert len(web.asked) == 1

    assert run.refusals == []
    assert [way["recipe"] for way in answer(run.last, 2)["items"]] == ["fetch"]
    used = answer(run.last)
    assert used["ok"]
    assert used["output"] == "you sent Basic {{credential:acme/web/robot#basic}}\n"
    laptop.settle()
    assert_absent(VALUE, "".join(json.dumps(request.body) for request in laptop.model.requests).encode(), "a request")
    assert_absent(VALUE, b"\n".join(seen), "an argument")
    for name, content in laptop.kept().items():
        assert_absent(VALUE, content, name)
    for transcript in (laptop.home / ".claude").rglob("*.jsonl"):
        assert_absent(VALUE, transcript.read_bytes(), "a transcript")
    assert any(b"--cacert" in line for line in seen), "the program ran too briefly to be seen"


@ON_SQLITE
def test_any_other_program_asks_the_person_and_counts_as_having_taken_the_value(laptop: Laptop):
    entered(laptop)
    run_it = calls(
        tool("credential_run"),
        argv=["wc", "-c"],
        inject=[{"reference": REFERENCE, "into": "stdin"}],
        purpose="its length",
    )
    refused = laptop.run("how long is it?", run_it, says("refused"))
    assert tool("credential_run") in refused.refusals

    with laptop.terminal(run_it, calls(tool("credential_get"), reference=REFERENCE), says("All told.")) as screen:
        screen.shows("? for shortcuts")
        screen.type("how long is it?")
        asked = screen.shows("Do you want to")
        assert "wc" in asked
        assert REFERENCE in asked
        screen.press("enter")
        screen.shows("All told.")
    last = laptop.model.main()[-1]
    assert answer(last, 2)["output"].strip() == str(len(VALUE))
    assert answer(last, 2)["exposed"]
    assert answer(last)["exposed"]


@ON_SQLITE
@pytest.mark.parametrize("arguments", [{"address": "https://evil.example/"}, {}, {"address": "x", "more": "y"}])
def test_gaps_that_cannot_be_filled_are_told_with_what_to_do(laptop: Laptop, arguments: dict[str, str], tmp_path: Path):
    entered(laptop)
    approved(laptop, tmp_path / "none.pem")
    run = laptop.run(
        "fetch",
        calls(tool("credential_use"), recipe="fetch", reference=REFERENCE, purpose="p", arguments=arguments),
        says("no"),
    )
    said = json.dumps(run.last.results[-1])
    assert "claudetools recipe show fetch" in said
    assert "address" in said
