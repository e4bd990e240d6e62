"""Recipes: a named use of a credential that a person wrote and approved, so that Claude may start it unasked.

A recipe fixes the program, its arguments with gaps that a caller fills, what of the credential goes where, the hosts it
may speak to, and its limits.  A value never stands among the arguments: every program can read those.

A program that runs what it is told (a shell, an interpreter), or copies its input anywhere, is no recipe: whoever fills a
gap would decide where the value goes.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from domain.credentials import TYPES, Head
from domain.errors import Denied, Invalid
from domain.hosts import HOST, allows

RecipeState = Literal["draft", "approved", "retired"]
GAP_KINDS = ("text", "host", "port", "url")
OUTPUTS = ("masked", "outcome")
MOST_SECONDS = 600
LONGEST_GAP = 4_000
PLACEHOLDER = re.compile(r"\{([a-z_]+(?::[a-z0-9_]+)?)\}")
OWN_WORDS = frozenset({"username", "host", "port", "url", "database", "reference"})
"""Placeholders that come from a credential's open fields, or from the parts of a connection string."""
MADE_WORDS = frozenset({"main", "basic", "totp", "access_token", "user", "secret", "bundle"})
"""Placeholders that are made of secret fields; `user` and `secret` are parts of a connection string."""
ESCAPES = frozenset({"curl", "cnf", "json", "url"})


@dataclass(frozen=True, slots=True)
class Gap:
    """What a caller fills in: text of a form, a host, or a URL."""

    kind: str = "text"
    pattern: str = ""
    about: str = ""
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """What of the credential goes where.

    `into` is `env:NAME`, `stdin`, `file:NAME` (a descriptor whose path stands for `{file:NAME}` among the arguments) or
    `agent` (an SSH agent that lives as long as the program).  `template` is text with placeholders: names of secret and
    open fields, and the words of `MADE_WORDS`; `{password:json}` escapes for JSON.
    """

    into: str
    template: str = "{main}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A use that a person wrote.  `references` and `hosts` are patterns; none of hosts: it speaks to none of its own choosing."""

    recipe_id: str
    name: str
    about: str
    program: str
    argv: tuple[str, ...]
    gaps: Mapping[str, Gap] = field(default_factory=dict)
    feeds: tuple[Feed, ...] = ()
    types: tuple[str, ...] = ()
    references: tuple[str, ...] = ("*",)
    hosts: tuple[str, ...] = ()
    seconds: int = 60
    output: str = "masked"
    state: RecipeState = "draft"
    author: str = ""
    approver: str = ""
    created_us: int = 0
    updated_us: int = 0
    revision: int = 0

    def definition(self) -> str:
        """What is stored of it as text: all that says what it does."""
        said = {name: getattr(self, name) for name in DEFINED}
        said["gaps"] = {name: asdict(gap) for name, gap in self.gaps.items()}
        said["feeds"] = [asdict(feed) for feed in self.feeds]
        return json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    def placeholders(self) -> set[str]:
        """Every placeholder of its arguments and feeds, without escapes."""
        texts = [*self.argv, *(feed.template for feed in self.feeds)]
        return {
            word.partition(":")[0] if not word.startswith("file:") else word
            for text in texts
            for word in PLACEHOLDER.findall(text)
        }


DEFINED = ("about", "program", "argv", "types", "references", "hosts", "seconds", "output")


def stored_recipe(definition: str, **columns: Any) -> Recipe:  # noqa: ANN401  # columns of a row
    """A recipe out of its row."""
    said = json.loads(definition)
    gaps = {name: Gap(**gap) for name, gap in said.pop("gaps").items()}
    feeds = tuple(Feed(**feed) for feed in said.pop("feeds"))
    lists: dict[str, Any] = {name: tuple(said.pop(name)) for name in ("argv", "types", "references", "hosts")}
    return Recipe(gaps=gaps, feeds=feeds, **{**lists, **said, **columns})


def fits(recipe: Recipe, head: Head) -> bool:
    """Whether a recipe is meant for a credential."""
    of_type = not recipe.types or head.type in recipe.types
    return of_type and any(fnmatch.fnmatchcase(head.reference, pattern) for pattern in recipe.references)


def check_use(recipe: Recipe, head: Head) -> None:
    """Raises Denied where the recipe is not approved, or not for this credential."""
    if recipe.state != "approved":
        raise Denied(
            f"the recipe {recipe.name} is {recipe.state}: only an approved one is run",
            hint=f"a person can approve it: claudetools recipe approve {recipe.name}",
        )
    if not fits(recipe, head):
        raise Denied(
            f"the recipe {recipe.name} is not for {head.reference}",
            hint=f"claudetools recipe show {recipe.name} tells what it is for",
        )


def fill(recipe: Recipe, given: Mapping[str, str]) -> dict[str, str]:
    """The gaps as they are to be filled, with defaults.  Raises Invalid, which names the gap and never repeats its text."""
    wrong = {name: "the recipe has no such gap" for name in given if name not in recipe.gaps}
    filled: dict[str, str] = {}
    for name, gap in recipe.gaps.items():
        text = given.get(name, gap.default)
        if text is None:
            wrong[name] = gap.about or "needed"
        elif reason := _bad_gap(recipe, gap, text):
            wrong[name] = reason
        else:
            filled[name] = text
    ports = [filled[name] for name, gap in recipe.gaps.items() if gap.kind == "port" and name in filled]
    for name, gap in recipe.gaps.items():
        # A host is allowed with the port that goes with it: behind another port of it somebody else may listen.
        if gap.kind == "host" and name in filled and not allows(recipe.hosts, ":".join([filled[name], *ports[:1]])):
            wrong[name] = "not a host that the recipe allows" + (" with this port" if ports else "")
    if wrong:
        raise Invalid(
            f"the gaps of {recipe.name} cannot be filled like that",
            fields=dict(list(wrong.items())[:20]),
            hint=f"claudetools recipe show {recipe.name}",
        )
    return filled


def _bad_gap(recipe: Recipe, gap: Gap, text: str) -> str:  # noqa: PLR0911  # one return a reason
    if len(text) > LONGEST_GAP:
        return f"longer than {LONGEST_GAP} characters"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):  # noqa: PLR2004  # ASCII's control characters
        return "holds control characters or line breaks"
    if text.startswith(("-", "@")):
        return "may not begin with - or @: a program would take it for an option or a file"
    if "/proc/" in text or "/dev/fd" in text:
        return "may not name places of processes (/proc, /dev/fd)"
    if gap.kind == "host":
        return "" if HOST.match(text) and not text.startswith("*") else "not a host"
    if gap.kind == "port":
        return "" if re.fullmatch(r"\d{1,5}", text) else "not a port"
    if gap.kind == "url":
        return bad_url(recipe.hosts, text)
    return "" if re.fullmatch(gap.pattern, text) else "not of the form that the recipe allows"


def bad_url(hosts: Iterable[str], text: str) -> str:
    """What is wrong with a URL for a recipe of these hosts; empty where nothing is."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return "not a URL"
    if parts.scheme not in ("https", "http", "ssh", "ldaps") or not parts.hostname:
        return "not a URL with a scheme and a host"
    if parts.username or parts.password or "\\" in text or " " in text:
        return "may not hold a user, a password, spaces or backslashes"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return "" if allows(hosts, f"{host}:{port}" if port else host) else "not on a host that the recipe allows"


def approved(recipe: Recipe, by: str, now_us: int) -> Recipe:
    """The same, approved."""
    return replace(recipe, state="approved", approver=by, updated_us=now_us)


SECRET_FIELDS = frozenset(name for kind in TYPES.values() for name in kind.secrets())
OPEN_FIELDS = frozenset(name for kind in TYPES.values() for name in kind.open)
