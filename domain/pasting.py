"""What a prompt holds that belongs into the vault, and what its person is told.

Rules:

- A value of the vault is one, in every spelling that the matcher knows; unless it reads like an ordinary word: then its
  person is told, and the prompt goes on.
- A format is one only where it names itself by its beginning or its frame (`ghp_...`, `-----BEGIN ... PRIVATE KEY-----`)
  and what follows looks drawn.  What merely stands in a secret's place ("the password is ...") is not: a prompt that is
  ordinary is never held up.  Neither are identifiers and hashes, which people ask about.
- What is told names a reference, a field or a format, never a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from domain import formats, recognition
from domain.randomness import drawn, entropy, placeholder, random
from domain.redaction import Redactor
from domain.vendors import BEGINNINGS

GO_AHEAD = "paste-ok:"
"""A prompt that begins so goes on, whatever it holds.  The client gives `!`, `/`, `#` and `@` meanings of their own."""

Kind = Literal["value", "word", "format"]

_NO_SECRETS = frozenset({"password-hash", "webhook-url", "aws-key-id", "google-service-account", "pubnub-key"})
_KEY_FILES = frozenset({"private-key", "ansible-vault"})
_SELF_NAMED = (
    frozenset(rule.name for rule in formats.TOKENS) | frozenset(name for name, *_ in BEGINNINGS)
) - _NO_SECRETS
_BITS = 3.0
_FEWEST_DIGITS = 2
_LONGEST_WORD = 16
_LABEL = re.compile(r"\{\{credential:([^#}]+)#([^}]+)\}\}")
_SENTENCE = re.compile(r"[^\W\d_]+(?:[ ,.;:'’-]+[^\W\d_]+)*[.!?]?")
_TYPES = {"private-key": "ssh_key", "jwt": "jwt"}


@dataclass(frozen=True, slots=True)
class Caught:
    """One thing that a prompt holds.

    `name` is a format's; of a value, `reference` and `field` are the credential's.
    """

    kind: Kind
    start: int
    end: int
    name: str = ""
    reference: str = ""
    field: str = ""


def passes(prompt: str) -> bool:
    """Whether its person lets this prompt go on, whatever it holds."""
    return prompt.lstrip()[: len(GO_AHEAD)].lower() == GO_AHEAD


def self_named(text: str) -> Iterator[Caught]:
    """What is a secret by its own form."""
    for start, end, rule in recognition.find(text, engine=False):
        if rule in _SELF_NAMED and (rule in _KEY_FILES or _is_drawn(text[start:end])):
            yield Caught("format", start, end, rule)


def values(redactor: Redactor, text: str) -> Iterator[Caught]:
    """The values of the vault that stand in a text."""
    for span in redactor.known(text):
        label = _LABEL.fullmatch(span.label)
        if label is None:
            continue
        kind: Kind = "word" if _is_ordinary(text[span.start : span.end], label[2]) else "value"
        yield Caught(kind, span.start, span.end, reference=label[1], field=label[2])


def together(known: Iterable[Caught], formats: Iterable[Caught]) -> tuple[Caught, ...]:
    """Both, each thing once: what the vault has is called by its reference, the rest by the last rule that knows it."""
    kept = list(known)
    for one in reversed(list(formats)):
        if not any(one.start < it.end and it.start < one.end for it in kept):
            kept.append(one)
    return tuple(kept)


def holds_up(caught: Sequence[Caught]) -> bool:
    """Whether any of it is reason enough to keep a prompt back."""
    return any(one.kind != "word" for one in caught)


def kept_back(caught: Sequence[Caught]) -> str:
    """What the person is told whose prompt was not sent."""
    said = [one for one in caught if one.kind != "word"]
    lines = [f"ClaudeTools: not sent, because it holds {_listed(_names(said))}."]
    if references := _references(said):
        lines.append(f"Claude can do without the value: write {' or '.join(references)} in its place.")
    if found := [one for one in said if one.kind == "format"]:
        lines.append(
            f"Take it into the vault (you are asked for it, unseen): claudetools credential add --type {_type_of(found[0])}"
        )
    lines.append(f"To send it all the same, begin with {GO_AHEAD}")
    return "\n".join(lines)


def told(caught: Sequence[Caught]) -> str:
    """What the person is told whose prompt went on."""
    if not holds_up(caught):
        return (
            f"ClaudeTools: a word of this prompt is {_listed(_names(caught))}. It was sent. A word like that is soon guessed: "
            f"claudetools credential rotate {caught[0].reference}"
        )
    said = [one for one in caught if one.kind != "word"]
    text = f"ClaudeTools: this prompt holds {_listed(_names(said))}. It was sent, so Claude has seen it."
    if references := _references(said):
        return f"{text} Rotate it: claudetools credential rotate {references[0]}"
    return f"{text} Replace it where it was issued; keep the new one: claudetools credential add --type {_type_of(said[0])}"


def _is_drawn(word: str) -> bool:
    if placeholder(word) or sum(map(str.isdigit, word)) < _FEWEST_DIGITS or entropy(word) < _BITS:
        return False
    return random(word) or drawn(word, _BITS)


def _is_ordinary(text: str, field: str) -> bool:
    """Whether a value reads like something that people write anyway: one word, or a sentence of a note."""
    if field == "notes":
        return _SENTENCE.fullmatch(text.strip()) is not None
    return text.isalpha() and len(text) < _LONGEST_WORD and (text.islower() or text.isupper() or text.istitle())


def _names(caught: Sequence[Caught]) -> list[str]:
    return list(
        dict.fromkeys(
            f"what is by its form a secret ({one.name})"
            if one.kind == "format"
            else f"the {one.field} of {one.reference}"
            for one in caught
        )
    )


def _references(caught: Sequence[Caught]) -> list[str]:
    return list(dict.fromkeys(one.reference for one in caught if one.reference))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _type_of(caught: Caught) -> str:
    return _TYPES.get(caught.name, "api_key")
