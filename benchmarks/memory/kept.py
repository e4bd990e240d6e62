"""Which facts a session holds, and which of them a text tells: the measures of compression.

Every fact has two readings where its definition leaves room: a lenient one, by which a person would
find it again (a file by its name, a command by its program and what it does, an error by most of
its words), and a strict one (a file by its whole path, a command and an error as they stand).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from benchmarks.memory.seen import Call, Seen, leaves

HARD = ("edited", "touched", "defined", "commands", "commits", "errors", "URLs", "todos")
_EDITORS = ("Edit", "Write", "MultiEdit", "NotebookEdit")
_DEFINES = re.compile(
    r"^[ \t]*(?:export\s+|pub\s+|public\s+|private\s+|static\s+|async\s+|default\s+)*"
    r"(?:func\s+(?:\([^)\n]*\)\s*)?|def\s+|class\s+|type\s+|interface\s+|struct\s+|function\s+|fn\s+|enum\s+|trait\s+)([A-Za-z_]\w+)",
    re.MULTILINE,
)
_CONSTANTS = re.compile(r"^[ \t]*(?:export\s+)?(?:const|var|let)\s+([A-Za-z_]\w{3,})", re.MULTILINE)
_COMMITTED = re.compile(r"^\[[^\]\n]+ ([0-9a-f]{7,40})\] ", re.MULTILINE)
_URL = re.compile(r"https?://[^\s<>\"'`)\]}\\]+")
_ERROR = re.compile(
    r"error|fail|fatal|panic|exception|not found|no such|denied|undefined|cannot|invalid", re.IGNORECASE
)
_SETTING = re.compile(r"^(?:cd\s+\S+\s*(?:&&|;)\s*|[A-Z_]+=\S+\s+|sudo\s+|time\s+|timeout\s+\S+\s+)+")
_WITH_SUBCOMMAND = (
    "go",
    "git",
    "gh",
    "npm",
    "pnpm",
    "yarn",
    "cargo",
    "docker",
    "make",
    "mise",
    "uv",
    "python",
    "python3",
    "dotnet",
    "kubectl",
)
_PROGRAM = re.compile(r"[A-Za-z][\w.+-]*\Z")
_SYNTAX = frozenset(["cd", "for", "if", "while", "unset", "export", "set", "function", "case"])
_MOST = 0.6
_REFUSED = ("The user doesn't want to proceed", "[Request interrupted")
_WORD = re.compile(r"[^\W_]{3,}")
_NAME = re.compile(r"[A-Za-z_]\w{3,}")
COMMON = frozenset(
    """about above after again all also and any are because been before being below between both but can cannot could did
    does doing done down during each few for from further get got had has have having her here hers him his how into its
    itself just let like may more most much must not now off once only other our ours out over own same she should some
    such than that the their them then there these they this those through too under until upon use very was want were
    what when where which while who whom why will with would yes yet you your yours""".split()  # noqa: SIM905 - a block of words is read
)


Test = tuple[Callable[["Told"], bool], Callable[["Told"], bool]]


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact of a class, and how a text is asked whether it tells it, leniently and strictly."""

    kind: str
    name: str
    lenient: Callable[[Told], bool]
    strict: Callable[[Told], bool]


class Told:
    """A text that is to tell facts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lower = text.lower()
        self.words = frozenset(words(text))
        self.names = frozenset(_NAME.findall(text))
        self.flat = re.sub(r"\s+", " ", self.lower)


def words(text: str) -> list[str]:
    """The content words of a text, lower case, repeats kept."""
    return [word for word in (found.lower() for found in _WORD.findall(text)) if word not in COMMON]


def share_of_words(wanted: Iterable[str], told: Told) -> float | None:
    """The share of words that a text holds; None for no words."""
    asked = set(wanted)
    return len(asked & told.words) / len(asked) if asked else None


def facts(seen: Seen, touched: Iterable[str]) -> list[Fact]:
    """The hard facts of a session, each once; `touched` are the files that Git says it changed."""
    found: dict[tuple[str, str], Fact] = {}
    for kind, name, (lenient, strict) in [
        *(("touched", path, _file(path)) for path in touched),
        *(noted for call in seen.calls for noted in _of_call(call, seen.folder)),
        *(("todos", todo, _error(todo)) for todo in _open(seen.calls)),
        *(("URLs", url, _url(url)) for text in _with_links(seen) for url in _urls(text)),
    ]:
        found.setdefault((kind, name), Fact(kind, name, lenient, strict))
    return list(found.values())


def _of_call(call: Call, folder: str) -> Iterator[tuple[str, str, Test]]:
    if call.tool in _EDITORS and call.file and not call.failed:
        path = _relative(call.file, folder)
        yield "edited", path, _file(path)
        yield from (("defined", name, _name(name)) for name in _defined(call))
    if call.tool in ("Bash", "PowerShell"):
        command = bare_command(call.said("command"))
        if command_kind(command):
            yield "commands", command_kind(command), _command(command)
        yield from (("commits", commit[:7], _text(commit[:7], commit)) for commit in _COMMITTED.findall(call.result))
    if call.failed and not call.result.startswith(_REFUSED):
        line = error_line(call.result)
        if line:
            yield "errors", line[:60].lower(), _error(line)


def _with_links(seen: Seen) -> Iterator[str]:
    yield from (*seen.prompts, *seen.answers)
    for call in seen.calls:
        if call.tool in ("Bash", "PowerShell", "WebFetch"):
            yield from leaves(call.given)


def _urls(text: str) -> Iterator[str]:
    yield from (url.rstrip(".,;:*_#/") for url in _URL.findall(text))


def _url(url: str) -> Test:
    return _text(url.split("://", 1)[1].split("?", maxsplit=1)[0].split("#", maxsplit=1)[0], url)


def bare_command(line: str) -> str:
    """The first command of a line, without folder changes and settings before it."""
    flat = line.strip().split("\n")[0]
    return _SETTING.sub("", flat).strip()


def command_kind(command: str) -> str:
    """A command by its program, and what it is told to do; empty where it begins with none."""
    parts = re.split(r"\s+", re.sub(r"^git -[cC] \S+", "git", command))
    program = parts[0].rsplit("/", 1)[-1]
    if not _PROGRAM.match(program) or program in _SYNTAX:
        return ""
    if program in _WITH_SUBCOMMAND and len(parts) > 1 and parts[1][:1].isalpha():
        return f"{program} {parts[1]}"
    return program


def error_line(output: str) -> str:
    """The first line of failed output that speaks of an error, else its first."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("Exit code")]
    return next((line for line in lines if _ERROR.search(line)), lines[0] if lines else "")[:200]


def _defined(call: Call) -> Iterable[str]:
    pieces = [call.said("new_string"), call.said("content")]
    edits = call.given.get("edits")
    pieces += [
        str(one.get("new_string") or "") for one in (edits if isinstance(edits, list) else []) if isinstance(one, dict)
    ]
    for piece in pieces:
        yield from _DEFINES.findall(piece)


def _open(calls: Iterable[Call]) -> list[str]:
    listed: list[str] = []
    tasks: dict[str, str] = {}
    for call in calls:
        if call.tool == "TodoWrite":
            given = call.given.get("todos")
            listed = [
                str(one.get("content"))
                for one in (given if isinstance(given, list) else [])
                if isinstance(one, dict) and one.get("status") != "completed"
            ]
        elif call.tool == "TaskCreate":
            number = re.search(r"#(\d+)", call.result)
            tasks[number.group(1) if number else str(len(tasks) + 1)] = call.said("subject")
        elif call.tool == "TaskUpdate" and call.said("status") in ("completed", "deleted"):
            tasks.pop(call.said("taskId"), None)
    return [*listed, *tasks.values()]


def _file(path: str) -> Test:
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    return (lambda told: name in told.text), (lambda told: path in told.text)


def _name(name: str) -> Test:
    return (lambda told: name in told.text), (lambda told: name in told.names)


def _text(lenient: str, strict: str) -> Test:
    return (lambda told: lenient.lower() in told.lower), (lambda told: strict in told.text)


def _command(command: str) -> Test:
    kind = command_kind(command)
    start = re.sub(r"\s+", " ", command)[:40].lower()
    return (lambda told: kind in told.text), (lambda told: start in told.flat)


def _error(line: str) -> Test:
    wanted = words(line)
    start = re.sub(r"\s+", " ", line)[:40].lower()

    def most(told: Told) -> bool:
        share = share_of_words(wanted, told)
        return share >= _MOST if share is not None else line.lower() in told.lower

    return most, (lambda told: start in told.flat)


def _relative(path: str, folder: str) -> str:
    path, folder = path.replace("\\", "/"), folder.replace("\\", "/")
    return path[len(folder) + 1 :] if folder and path.startswith(folder + "/") else path
