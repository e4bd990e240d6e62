"""The matcher of one process: it follows the vault, and builds anew only what it must."""

from __future__ import annotations

from typing import Any

import pytest

from domain.drafts import Draft
from domain.masking import Matcher
from domain.plain import Plain

FIRST = "the value that was first, 7!x"


def value(number: int) -> str:
    """A made-up value."""
    return f"value {number} of many: qW{number * 7919}#zT"


def add(place: Any, number: int) -> str:
    """A credential with that value; gives its live reference."""
    draft = Draft("password", f"Service {number}", client="acme", values={"password": Plain(value(number))})
    made = place.app.credentials.create(place.vault.person, draft)
    return "{{credential:" + made.description.reference + "#password}}"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many values each matcher was built of."""
    sizes: list[int] = []
    layer = Matcher._layer

    def counting(self: Matcher, values: Any) -> Any:
        listed = list(values)
        sizes.append(len(listed))
        return layer(self, listed)

    monkeypatch.setattr(Matcher, "_layer", counting)
    return sizes


def test_a_new_value_is_added_to_the_matcher_and_the_rest_is_not_built_again(place: Any, built: list[int]):
    references = [add(place, number) for number in range(5)]
    redaction = place.app.redaction
    redaction.forget()
    assert redaction.text(value(4)) == references[4]
    assert max(built) == 5
    built.clear()
    references.append(add(place, 5))
    assert redaction.text(f"{value(5)} and {value(0)}") == f"{references[5]} and {references[0]}"
    assert max(built) == 1
    rotated = Plain("a rotated value, 91$Kq")
    place.app.credentials.rotate(place.vault.person, references[0][13:].partition("#")[0], value=rotated)
    assert redaction.text(f"{rotated.expose()} {value(0)}") == f"{references[0]} {references[0]}", "the old one as well"


def test_after_many_new_values_the_matcher_is_built_whole(
    place: Any, built: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mcp_server.services.redaction._FEW", 2)
    references = [add(place, number) for number in range(5)]
    place.app.redaction.forget()
    place.app.redaction.current()
    built.clear()
    for number in range(5, 9):
        references.append(add(place, number))
        place.app.redaction.current()
    assert max(built) >= 5
    text = " ".join(value(number) for number in range(9))
    assert place.app.redaction.text(text) == " ".join(references)


def test_a_reference_that_came_with_another_user_name_is_told_anew(place: Any):
    draft = Draft("password", "Door", client="acme", username="porter", values={"password": Plain("4711")})
    made = place.app.credentials.create(place.vault.person, draft)
    reference = made.description.reference
    assert place.app.redaction.strike_values("porter 4711") != "porter 4711"
    assert place.app.redaction.strike_values("warden 4711") == "warden 4711"
    place.app.credentials.update(place.vault.person, reference, {"username": "warden"})
    add(place, 1)
    assert place.app.redaction.strike_values("warden 4711") != "warden 4711"
