"""Reading a recipe as a person writes it: everything that is wrong with it, at once."""

from __future__ import annotations

import re
from collections.abc import Mapping

from domain.asking import check_form, is_http
from domain.credentials import TYPES
from domain.errors import Invalid
from domain.hosts import HOST
from domain.recipes import (
    DEFINED,
    ESCAPES,
    GAP_KINDS,
    MADE_WORDS,
    MOST_SECONDS,
    OPEN_FIELDS,
    OUTPUTS,
    OWN_WORDS,
    PLACEHOLDER,
    SECRET_FIELDS,
    Feed,
    Gap,
    Recipe,
)

_NAME = re.compile(r"[a-z][a-z0-9-]{1,39}\Z")
_GAP_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}\Z")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_FILE_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}\Z")
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


_KNOWN = frozenset({"name", "gaps", "feeds", *DEFINED})


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


def check_recipe(recipe: Recipe, wrong: dict[str, str] | None = None) -> None:
    """Raises Invalid where it cannot be a recipe, with all that is wrong at once."""
    wrong = {} if wrong is None else wrong
    if not _NAME.match(recipe.name):
        wrong.setdefault("name", "2 to 40 of a-z, 0-9 and -, beginning with a letter")
    if is_http(recipe):
        check_form(recipe, wrong)
    elif not recipe.program.startswith("/"):
        wrong.setdefault("program", "the whole path of a program, such as /usr/bin/curl, or http")
    elif refused := refused_program(recipe.program):
        wrong["program"] = refused
    if not 1 <= recipe.seconds <= MOST_SECONDS:
        wrong["seconds"] = f"1 to {MOST_SECONDS}"
    if recipe.output not in OUTPUTS:
        wrong["output"] = "one of: " + ", ".join(OUTPUTS)
    if unknown := [name for name in recipe.types if name not in TYPES]:
        wrong["types"] = f"{len(unknown)} of them are no types; there are: " + ", ".join(TYPES)
    if bad := [host for host in recipe.hosts if not HOST.match(host)]:
        wrong["hosts"] = f"{len(bad)} of them are no hosts: db.example, *.example or db.example:3306"
    if not recipe.feeds:
        wrong.setdefault("feeds", "at least one: what of the credential goes where")
    for feed in recipe.feeds if not is_http(recipe) else ():
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


def _check_words(recipe: Recipe, wrong: dict[str, str]) -> None:
    """Whether every placeholder stands for something that may stand there."""
    files = {feed.into for feed in recipe.feeds if feed.into.startswith("file:")}
    for text in recipe.argv:
        for word in PLACEHOLDER.findall(text):
            if reason := _bad_argument(recipe, word, files):
                wrong["argv"] = reason
    for feed in recipe.feeds:
        if "{bundle}" in feed.template and (
            feed.template != "{bundle}" or not feed.into.startswith(("file:", "stdin"))
        ):
            wrong["feeds"] = "{bundle} is no text: it stands alone, in file:NAME or stdin"
        for word in PLACEHOLDER.findall(feed.template):
            bare, _, escape = word.partition(":")
            if bare not in SECRET_FIELDS | OPEN_FIELDS | MADE_WORDS | OWN_WORDS | set(recipe.gaps):
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
    return "" if word in {*recipe.gaps, *OWN_WORDS, *OPEN_FIELDS} else f"{{{word}}} is neither a gap nor an open field"


def _bad_gap_form(name: str, gap: Gap) -> str:
    if not _GAP_NAME.match(name) or name in SECRET_FIELDS | OPEN_FIELDS | MADE_WORDS | OWN_WORDS:
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
