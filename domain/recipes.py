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

RecipeState = Literal["draft", "approved", "retired"]
GAP_KINDS = ("text", "host", "port", "url")
OUTPUTS = ("masked", "outcome")
MOST_SECONDS = 600
LONGEST_GAP = 4_000
_NAME = re.compile(r"[a-z][a-z0-9-]{1,39}\Z")
_GAP_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}\Z")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_FILE_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}\Z")
_HOST = re.compile(
    r"(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::\d{1,5})?\Z|\[[0-9A-Fa-f:]+\](?::\d{1,5})?\Z"
)
PLACEHOLDER = re.compile(r"\{([a-z_]+(?::[a-z0-9_]+)?)\}")
OWN_WORDS = frozenset({"username", "host", "port", "url", "database", "reference"})
"""Placeholders that come from a credential's open fields, or from the parts of a connection string."""
MADE_WORDS = frozenset({"main", "basic", "totp", "access_token", "user", "secret"})
"""Placeholders that are made of secret fields; `user` and `secret` are parts of a connection string."""
ESCAPES = frozenset({"curl", "cnf", "json", "url"})
_NOT_PASSED_ON = frozenset({"PATH", "HOME", "LANG", "IFS", "ENV", "BASH_ENV", "SHELL", "TMPDIR"})
_LOADERS = ("LD_", "DYLD_", "PYTHON", "PERL", "RUBY", "NODE_", "GIT_SSH", "GIT_EXEC", "GIT_PROXY", "GIT_EXTERNAL")
"""Variables by which a program is told to load or run something else."""

REFUSED_PROGRAMS = frozenset(
    [
        "sh",
        "bash",
        "dash",
        "zsh",
        "ksh",
        "mksh",
        "fish",
        "csh",
        "tcsh",
        "ash",
        "busybox",
        "toybox",
        "coreutils",
        "env",
        "xargs",
        "find",
        "tee",
        "cat",
        "cp",
        "dd",
        "mv",
        "ln",
        "install",
        "tail",
        "head",
        "less",
        "more",
        "most",
        "pg",
        "split",
        "csplit",
        "sed",
        "awk",
        "gawk",
        "mawk",
        "nawk",
        "ed",
        "ex",
        "vi",
        "vim",
        "nvim",
        "nano",
        "emacs",
        "python",
        "python2",
        "python3",
        "perl",
        "ruby",
        "node",
        "nodejs",
        "deno",
        "bun",
        "php",
        "lua",
        "luajit",
        "tclsh",
        "wish",
        "expect",
        "guile",
        "java",
        "jshell",
        "pwsh",
        "powershell",
        "nohup",
        "timeout",
        "time",
        "nice",
        "ionice",
        "setsid",
        "stdbuf",
        "script",
        "screen",
        "tmux",
        "watch",
        "parallel",
        "sudo",
        "su",
        "doas",
        "run0",
        "runuser",
        "pkexec",
        "chroot",
        "unshare",
        "nsenter",
        "systemd-run",
        "at",
        "batch",
        "crontab",
        "nc",
        "ncat",
        "netcat",
        "socat",
        "telnet",
        "gdb",
        "lldb",
        "strace",
        "ltrace",
        "make",
        "cmake",
        "ninja",
        "rsync",
        "tar",
        "zip",
        "cpio",
        "ar",
        "base64",
        "base32",
        "xxd",
        "hexdump",
        "od",
        "printenv",
        "echo",
        "printf",
        "logger",
        "wall",
        "write",
        "mail",
        "sendmail",
        "mutt",
        "xclip",
        "xsel",
        "wl-copy",
        "docker",
        "podman",
        "nerdctl",
        "flock",
        "sshpass",
        "scp",
        "sftp",
        "wget",
        "aria2c",
        "rclone",
        "jq",
        "yq",
    ]
)
"""Programs that run others, or hand what they are given to anywhere: never a recipe, however they are named."""
_VERSIONED = re.compile(r"(?:-?\d+(?:\.\d+)*)\Z")


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
        said = {name: getattr(self, name) for name in _DEFINED}
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


_DEFINED = ("about", "program", "argv", "types", "references", "hosts", "seconds", "output")
_KNOWN = frozenset({"name", "gaps", "feeds", *_DEFINED})


def read_recipe(said: object, recipe_id: str = "") -> Recipe:
    """A recipe from its JSON form, as a person writes it.  Raises Invalid, naming each field that is wrong."""
    if not isinstance(said, dict):
        raise Invalid("a recipe is a JSON object", fields={"recipe": "an object with name, program, argv, feeds"})
    wrong: dict[str, str] = {str(name): "no such field" for name in said if name not in _KNOWN}
    gaps = {str(name): _gap(str(name), one, wrong) for name, one in _mapping(said, "gaps", wrong).items()}
    feeds = tuple(_feed(one, wrong) for one in _list(said, "feeds", wrong))
    recipe = Recipe(
        recipe_id=recipe_id,
        name=_text(said, "name", wrong),
        about=_text(said, "about", wrong),
        program=_text(said, "program", wrong),
        argv=_texts(said, "argv", wrong),
        gaps=gaps,
        feeds=feeds,
        types=_texts(said, "types", wrong),
        references=_texts(said, "references", wrong) or ("*",),
        hosts=tuple(host.lower() for host in _texts(said, "hosts", wrong)),
        seconds=said.get("seconds", 60) if isinstance(said.get("seconds", 60), int) else -1,
        output=_text(said, "output", wrong) or "masked",
    )
    check_recipe(recipe, wrong)
    return recipe


def stored_recipe(definition: str, **columns: Any) -> Recipe:  # noqa: ANN401  # columns of a row
    """A recipe out of its row."""
    said = json.loads(definition)
    gaps = {name: Gap(**gap) for name, gap in said.pop("gaps").items()}
    feeds = tuple(Feed(**feed) for feed in said.pop("feeds"))
    lists: dict[str, Any] = {name: tuple(said.pop(name)) for name in ("argv", "types", "references", "hosts")}
    return Recipe(gaps=gaps, feeds=feeds, **{**lists, **said, **columns})


def check_recipe(recipe: Recipe, wrong: dict[str, str] | None = None) -> None:
    """Raises Invalid where it cannot be a recipe, with all that is wrong at once."""
    wrong = {} if wrong is None else wrong
    if not _NAME.match(recipe.name):
        wrong.setdefault("name", "2 to 40 of a-z, 0-9 and -, beginning with a letter")
    if not recipe.program.startswith("/"):
        wrong.setdefault("program", "the whole path of a program, such as /usr/bin/curl")
    elif refused := refused_program(recipe.program):
        wrong["program"] = refused
    if not 1 <= recipe.seconds <= MOST_SECONDS:
        wrong["seconds"] = f"1 to {MOST_SECONDS}"
    if recipe.output not in OUTPUTS:
        wrong["output"] = "one of: " + ", ".join(OUTPUTS)
    if unknown := [name for name in recipe.types if name not in TYPES]:
        wrong["types"] = f"{len(unknown)} of them are no types; there are: " + ", ".join(TYPES)
    if bad := [host for host in recipe.hosts if not _HOST.match(host)]:
        wrong["hosts"] = f"{len(bad)} of them are no hosts: db.example, *.example or db.example:3306"
    if not recipe.feeds:
        wrong.setdefault("feeds", "at least one: what of the credential goes where")
    for feed in recipe.feeds:
        _check_feed(feed, wrong)
    _check_words(recipe, wrong)
    if wrong:
        raise Invalid(
            "that is no recipe: " + ", ".join(sorted(wrong)), fields=wrong, hint="claudetools recipe add --help"
        )


def refused_program(path: str) -> str:
    """Why a program can be no recipe, by its name; empty where it can."""
    name = path.rpartition("/")[2].lower()
    bare = _VERSIONED.sub("", name)
    if name in REFUSED_PROGRAMS or bare in REFUSED_PROGRAMS:
        return f"{name} runs or copies whatever it is told to: it can be used with credential_run alone, which asks a person"
    return ""


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
        return "" if _HOST.match(text) and not text.startswith("*") else "not a host"
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


def allows(hosts: Iterable[str], host: str) -> bool:
    """Whether a host, or host:port, is among these patterns.  `db.example` allows every port of it."""
    host = host.lower()
    if not _HOST.match(host) or host.startswith("*"):
        return False
    bare = re.sub(r":\d{1,5}\Z", "", host) if not host.endswith("]") else host
    for pattern in hosts:
        with_port = re.search(r":\d{1,5}\Z", pattern) and not pattern.endswith("]")
        subject = host if with_port else bare
        if pattern.startswith("*."):
            if subject.endswith(pattern[1:]) and len(subject) > len(pattern) - 1:
                return True
        elif subject == pattern:
            return True
    return False


def approved(recipe: Recipe, by: str, now_us: int) -> Recipe:
    """The same, approved."""
    return replace(recipe, state="approved", approver=by, updated_us=now_us)


def _check_feed(feed: Feed, wrong: dict[str, str]) -> None:
    into, _, name = feed.into.partition(":")
    if into == "env":
        if not _ENV_NAME.match(name) or name in _NOT_PASSED_ON or name.startswith(_LOADERS):
            wrong["feeds"] = "a variable that programs take their secret from; none of the system's own"
    elif into == "file":
        if not _FILE_NAME.match(name):
            wrong["feeds"] = "file:NAME with a name of a-z, 0-9 and _"
    elif feed.into not in ("stdin", "agent"):
        wrong["feeds"] = "into is env:NAME, stdin, file:NAME or agent"


SECRET_FIELDS = frozenset(name for kind in TYPES.values() for name in kind.secrets())
_OPEN = frozenset(name for kind in TYPES.values() for name in kind.open)


def _check_words(recipe: Recipe, wrong: dict[str, str]) -> None:
    """Whether every placeholder stands for something that may stand there."""
    files = {feed.into for feed in recipe.feeds if feed.into.startswith("file:")}
    for text in recipe.argv:
        for word in PLACEHOLDER.findall(text):
            if reason := _bad_argument(recipe, word, files):
                wrong["argv"] = reason
    for feed in recipe.feeds:
        for word in PLACEHOLDER.findall(feed.template):
            bare, _, escape = word.partition(":")
            if bare not in SECRET_FIELDS | _OPEN | MADE_WORDS | OWN_WORDS | set(recipe.gaps):
                wrong["feeds"] = f"{{{word}}} is neither a field of a credential nor a gap"
            elif escape and escape not in ESCAPES:
                wrong["feeds"] = f"{{{word}}}: escapes are " + ", ".join(sorted(ESCAPES))
    speaks = recipe.placeholders() & {"host", "url"} or any(gap.kind in ("host", "url") for gap in recipe.gaps.values())
    if (
        (speaks or "access_token" in recipe.placeholders())
        and not recipe.hosts
        and recipe.types != ("connection_string",)
    ):
        wrong["hosts"] = "needed, because it speaks to a host or URL that is given"
    for name, gap in recipe.gaps.items():
        if reason := _bad_gap_form(name, gap):
            wrong[f"gaps.{name[:30]}"] = reason


def _bad_argument(recipe: Recipe, word: str, files: set[str]) -> str:
    if word.partition(":")[0] in SECRET_FIELDS | MADE_WORDS and word not in recipe.gaps:
        return "a value never stands among the arguments, which every program can read: use a feed"
    if word.startswith("file:"):
        return "" if word in files else f"{{{word}}} is not among the feeds"
    return "" if word in {*recipe.gaps, *OWN_WORDS, *_OPEN} else f"{{{word}}} is neither a gap nor an open field"


def _bad_gap_form(name: str, gap: Gap) -> str:
    if not _GAP_NAME.match(name) or name in SECRET_FIELDS | _OPEN | MADE_WORDS | OWN_WORDS:
        return "a name of a-z, 0-9 and _ that no field has"
    if gap.kind not in GAP_KINDS:
        return "kind is one of: " + ", ".join(GAP_KINDS)
    if gap.kind == "text" and not _is_pattern(gap.pattern):
        return "needs a pattern (a regular expression for the whole text)"
    return ""


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return bool(text)


def _gap(name: str, said: object, wrong: dict[str, str]) -> Gap:
    if not isinstance(said, dict) or not set(said) <= {"kind", "pattern", "about", "default"}:
        wrong[f"gaps.{name[:30]}"] = "an object with kind, pattern, about, default"
        return Gap(pattern=".*")
    texts = {key: value for key, value in said.items() if isinstance(value, str)}
    return Gap(**texts)


def _feed(said: object, wrong: dict[str, str]) -> Feed:
    if (
        not isinstance(said, dict)
        or not set(said) <= {"into", "template"}
        or not all(isinstance(v, str) for v in said.values())
    ):
        wrong["feeds"] = "each an object with into and template"
        return Feed("stdin")
    return Feed(said.get("into", ""), said.get("template", "{main}"))


def _mapping(said: Mapping[str, object], name: str, wrong: dict[str, str]) -> Mapping[object, object]:
    found = said.get(name, {})
    if isinstance(found, dict):
        return found
    wrong[name] = "an object"
    return {}


def _list(said: Mapping[str, object], name: str, wrong: dict[str, str]) -> list[object]:
    found = said.get(name, [])
    if isinstance(found, list):
        return found
    wrong[name] = "a list"
    return []


def _texts(said: Mapping[str, object], name: str, wrong: dict[str, str]) -> tuple[str, ...]:
    found = _list(said, name, wrong)
    if not all(isinstance(one, str) and "\0" not in one for one in found):
        wrong[name] = "a list of texts"
    return tuple(one for one in found if isinstance(one, str))


def _text(said: Mapping[str, object], name: str, wrong: dict[str, str]) -> str:
    found = said.get(name, "")
    if isinstance(found, str):
        return found
    wrong[name] = "text"
    return ""
