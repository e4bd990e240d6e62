"""How soon a value is guessed, by zxcvbn: common passwords, names, dates, keyboard walks, and what it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, cast

from domain.plain import Plain

MOST = 4
"""The best score: 10 billion guesses and more do not find it."""

_JUDGED = 48  # characters; what is longer is judged by its beginning, because the time grows with the square
_WORDS = {
    0: "is guessed in less than a thousand tries",
    1: "is guessed in less than a million tries",
    2: "is guessed in less than a hundred million tries",
    3: "is guessed in less than ten billion tries",
    4: "is hardly guessed",
}


@dataclass(frozen=True, slots=True)
class Strength:
    """A score of 0 to 4, and in words what it means; nothing of the value."""

    score: int
    why: str


class _Judge(Protocol):
    def __call__(self, password: str, user_inputs: list[str]) -> dict[str, object]: ...


def judge(value: Plain, beside: Iterable[str] = ()) -> Strength:
    """`beside` are words that whoever guesses knows too: the user's name, the service, the client."""
    from zxcvbn import zxcvbn  # type: ignore[import-untyped]  # 50 ms for its word lists; only one report needs it

    said = cast("_Judge", zxcvbn)(value.expose()[:_JUDGED], [word for word in beside if word])
    score = int(cast("int", said["score"]))
    return Strength(score, _WORDS[score])
