"""Values that are made here: random characters, or words."""

from __future__ import annotations

import secrets
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from domain.credentials import TYPES
from domain.drafts import ALPHABETS, Generate, check_generate, generate, refuse
from domain.errors import Invalid
from domain.plain import Plain
from mcp_server.cli import presence, show

MIN_WORDS, MAX_WORDS = 4, 24
_WORDS = "eff-long"
_MOST = 100

Length = Annotated[int, typer.Option("--length", help="Characters of a generated value, 12 to 256.")]
Letters = Annotated[str, typer.Option("--alphabet", help="Of a generated value: " + ", ".join(ALPHABETS) + ".")]
Words = Annotated[
    int, typer.Option("--words", help=f"So many words instead, {MIN_WORDS} to {MAX_WORDS}; six are 77 bits.")
]
Between = Annotated[str, typer.Option("--between", help="What stands between the words.")]


def command(
    *,
    length: Length = 24,
    alphabet: Letters = "all",
    words: Words = 0,
    between: Between = "-",
    count: Annotated[int, typer.Option("--count", help="How many, 1 to 100.")] = 1,
) -> None:
    """Print a new random value, or a passphrase with --words.  Nothing is kept.  Refuses under Claude Code."""
    presence.refuse_under_claude("making a value to look at")
    if not 1 <= count <= _MOST:
        raise Invalid("that is no number of values", fields={"--count": f"1 to {_MOST}"})
    for _ in range(count):
        print(value(length, alphabet, words, between).expose())


def value(length: int, alphabet: str, words: int, between: str) -> Plain:
    """A passphrase where words are asked for, else random characters.  Raises Invalid."""
    if words:
        return passphrase(words, between)
    wrong: dict[str, str] = {}
    check_generate(wrong, TYPES["password"], Generate(length, alphabet))
    refuse(wrong, "no value can be made like that")
    return generate(Generate(length, alphabet))


def passphrase(words: int, between: str = "-") -> Plain:
    """So many words of the list, each drawn by itself.  Raises Invalid."""
    if not MIN_WORDS <= words <= MAX_WORDS:
        raise Invalid("that is no number of words", fields={"--words": f"{MIN_WORDS} to {MAX_WORDS}"})
    if show.clean(between) != between or len(between) > MIN_WORDS:
        raise Invalid("that cannot stand between words", fields={"--between": "at most four characters that are seen"})
    return Plain(between.join(secrets.choice(word_list()) for _ in range(words)))


@cache
def word_list() -> tuple[str, ...]:
    """The words, each once."""
    import xkcdpass  # type: ignore[import-untyped]  # a folder of lists; none of its code is used

    text = (Path(xkcdpass.__file__).parent / "static" / _WORDS).read_text(encoding="utf-8")
    return tuple(dict.fromkeys(text.split()))
