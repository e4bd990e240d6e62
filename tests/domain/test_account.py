"""A session told of while it goes on: the same as when it is read whole, and bounded."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from domain.digest import Account, account, condense, digest
from domain.tokens import estimate
from domain.transcript import Transcript, Turn


def turns(count: int, size: int = 40) -> Iterator[Turn]:
    """Turns of every kind, each with words that no other one has, texts of about `size` characters."""
    for number in range(count):
        filler = f"part {number} of the warehouse scanner " * (size // 36 + 1)
        yield Turn("prompt", f"Always check shelf_{number} first. {filler}")
        yield Turn("answer", f"We decided that shelf_{number} is checked by scanShelf{number}. {filler}")
        edit = {"file_path": f"/p/shelves/shelf_{number}.py", "new_string": f"def scan_shelf_{number}(): ...\n{filler}"}
        yield Turn("tool", filler, tool="Edit", arguments=edit)
        yield Turn("tool", filler, tool="Read", arguments={"file_path": f"/p/racks/rack_{number}.py"})
        made = {"command": f"make shelf{number} && curl https://shop.example/{number}"}
        yield Turn("tool", f"ShelfError: shelf {number} is gone\n{filler}", tool="Bash", arguments=made, failed=True)
        commit = {"command": f"git commit -m 'shelf {number}'"}
        yield Turn("tool", f"[topic {number:07x}] shelves: number {number}", tool="Bash", arguments=commit)
        task = {"subject": f"order shelf {number}", "description": filler}
        yield Turn("tool", f"Task #{number} created", tool="TaskCreate", arguments=task)
        yield Turn("task", filler, aside=True)
        if number % 50 == 0:
            yield Turn("summary", f"The shelves up to {number} stand. {filler}")


def test_what_is_told_on_the_way_changes_nothing_of_what_is_told_at_the_end():
    asked, silent = Account("/p"), Account("/p")
    for number, turn in enumerate(turns(60)):
        asked.take(turn)
        silent.take(turn)
        if number % 40 == 0:
            asked.digest()
            asked.body()
    assert asked.digest() == silent.digest()
    assert asked.body() == silent.body()


def test_an_account_goes_on_after_it_was_asked():
    made = Account("/p")
    made.take(Turn("prompt", "Count the shelves of the warehouse"))
    before = made.digest()
    made.take(Turn("answer", "There are forty-one shelves in the warehouse, all of them full."))
    assert "forty-one" not in before.text
    assert "forty-one" in made.digest().text
    assert "forty-one" in made.body().rest


def test_a_session_read_whole_is_told_alike():
    transcript = Transcript(turns=tuple(turns(30)), folder="/p", title="Shelves")
    made = account(transcript)
    assert digest(transcript) == made.digest(title="Shelves")
    assert condense(transcript) == made.body()


def test_the_folder_may_be_learned_on_the_way():
    made = Account()
    made.take(Turn("prompt", "Count the shelves of the warehouse"))
    made.folder = "/p"
    made.take(Turn("tool", "ok", tool="Edit", arguments={"file_path": "/p/shelves/count.py", "new_string": "x"}))
    assert made.digest().files == ("shelves/count.py",)


def test_the_clients_own_title_stands_where_nothing_was_asked():
    made = Account()
    made.take(Turn("answer", "Nothing was asked, and so I looked around in the warehouse."))
    assert made.digest(title="A look around").title == "A look around"


@pytest.mark.parametrize("tokens", [0, 70_000])
def test_a_turn_that_was_shortened_counts_for_what_it_was(tokens: int):
    made = Account()
    text = "one line of the output\n" * 10
    made.take(Turn("tool", text, tool="Bash", arguments={"command": "make shelves"}, tokens=tokens))
    assert made.digest().raw_tokens == (tokens or estimate(text) + estimate("make shelves"))


def test_what_a_tool_was_given_counts_however_deep_it_lies():
    made = Account()
    new = "def scan(): ...\n" * 20
    made.take(Turn("tool", "ok", tool="MultiEdit", arguments={"file_path": "/p/a.py", "edits": [{"new_string": new}]}))
    assert made.digest().raw_tokens == estimate("ok") + estimate("/p/a.py") + estimate(new)


def test_what_is_held_of_a_long_session_stops_growing():
    made = Account("/p")
    held: list[int] = []
    for number, turn in enumerate(turns(4_000)):
        made.take(turn)
        if number in (16_000, 32_000):
            made.digest()
            held.append(len(pickle.dumps(made)))
    assert held[1] < held[0] * 1.15
    assert held[1] < 1_000_000


def test_turns_of_any_length_are_not_held():
    made = Account("/p")
    for turn in turns(3, size=1_000_000):
        made.take(turn)
    assert made.digest().raw_tokens > 4_000_000
    assert len(pickle.dumps(made)) < 1_000_000


def test_of_a_long_session_the_first_and_the_newest_are_told():
    made = Account("/p")
    for turn in turns(2_000, size=400):
        made.take(turn)
    told, body = made.digest(), made.body()
    assert "shelf_0 " in told.text
    assert "shelf_1999 " in told.text
    assert "shelf_0 " in body.person
    assert "shelf_1999 " in body.person
    assert "scanShelf0." in body.rest
    assert "scanShelf1999." in body.rest
