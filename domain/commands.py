"""Command lines and what they printed: the bare command, its kind, the line that tells an error, what Git says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from domain.shortening import one_line

_MATTERS = re.compile(
    r"\b(?:pytest|tox|nox|unittest|jest|vitest|mocha|rspec|ctest|phpunit|gradle\w*|mvn|make|ninja|cmake|cargo|go (?:test|build|vet|run|mod|generate)|"
    r"npm|pnpm|yarn|bun|deno|tsc|eslint|ruff|mypy|flake8|black|golangci-lint|gofmt|dotnet|docker|podman|kubectl|helm|terraform|tofu|ansible\w*|"
    r"systemctl|service|apt(?:-get)?|dnf|yum|pip3?|uv|poetry|alembic|psql|mysql|mariadb|sqlite3|redis-cli|ssh|scp|rsync|curl|wget|nginx|certbot|"
    r"openssl|git (?:push|merge|rebase|revert|tag|cherry-pick|bisect)|gh (?:pr|release|workflow|run)|test|tests|build|deploy|migrat\w+|lint|check|"
    r"install|restart|backup|restore)\b",
)
_LOOKS = re.compile(
    r"^(?:ls|cat|head|tail|less|grep|rg|find|fd|wc|echo|pwd|which|type|sed -n|stat|file|tree|sleep|true|cd|jq|awk|sort|diff|date|env)\b"
)
_FAILURE = re.compile(
    r"^(?:FAILED\b|FAIL\b|--- FAIL|E   |error(?:\[|:)|npm ERR!|panic:|fatal:|Traceback \(most recent)|\b[1-9]\d* (?:failed|errors?)\b",
    re.MULTILINE,
)
_SIGNATURE = re.compile(
    r"\b\w*(?:Error|Exception|Failure)\b|\berror\b|\bfatal\b|\bpanic\b|\bFAIL(?:ED)?\b|\bfailed\b|not found|No such file|denied|undefined|"
    r"unresolved|cannot|refused|timed out|assert|mismatch|unexpected|invalid|missing|unable",
    re.IGNORECASE,
)
_EXCEPTION_LINE = re.compile(r"^(?:E\s+)?[\w.]*(?:Error|Exception|Failure)\b.*", re.MULTILINE)
_EXIT = re.compile(r"^Exit code \d+\s*$")
_FRAME = re.compile(r"</?(?:tool_use_error|error)>")
_COMMIT = re.compile(r"^\[(?:\S+)(?: \(root-commit\))? (?P<hash>[0-9a-f]{7,40})\] (?P<subject>.+)$", re.MULTILINE)
_CHANGE_FOLDER = re.compile(r"^(?:cd|pushd)\s+(?:\"[^\"]*\"|'[^']*'|\S+)\s*(?:&&|;)\s*")
_SETTING = re.compile(
    r"^(?:[A-Za-z_]\w*=(?:\"[^\"]*\"|'[^']*'|\S*)\s+|(?:do|then|else|sudo|time|nohup)\s+|timeout\s+\S+\s+)"
)
_TAILS = re.compile(r"\s*(?:2>&1|2>/dev/null|\|\s*(?:tail|head|tee|grep|cat|less)\b.*)\s*$")
_JOINTS = re.compile(r"\s*(?:&&|\|\||;|\n)\s*")
_PROGRAM = re.compile(r"[A-Za-z][\w.+-]*\Z")
_OPTION = re.compile(r"(?<=^git) -[cC] \S+")
_SUBCOMMAND = re.compile(r"[a-z][\w:-]*\Z")
_WITH_SUBCOMMANDS = frozenset(
    """apt apt-get aws az brew bun cargo claude dnf docker dotnet gcloud gh git go helm kubectl make mise npm npx
    pip pip3 pnpm podman poetry systemctl terraform uv uvx yarn""".split(),  # noqa: SIM905 - a block of words is read
)
_RUNS = frozenset(["run", "exec", "compose", "pr", "issue", "release", "workflow", "tool"])
_KEYWORDS = frozenset(["do", "done", "then", "fi", "else", "for", "while", "if", "case", "esac", "cd", "export", "set"])
_GIT_PATHS = (
    re.compile(r"^(?: ?[MADRCU]{1,2} |\?\? ) ?(?P<path>[^\s\"].*?)(?: -> (?P<new>\S+))?$", re.MULTILINE),
    re.compile(r"^\s+(?:modified|new file|deleted|both modified):\s+(?P<path>\S.*)$", re.MULTILINE),
    re.compile(r"^ (?P<path>[^\s|][^|\n]*?)\s+\|\s+(?:\d+|Bin)\b", re.MULTILINE),
    re.compile(r"^ (?:create|delete) mode \d+ (?P<path>\S.*)$", re.MULTILINE),
)
_GIT_TELLS = re.compile(r"\bgit (?:-C \S+ )?(?:status|diff|commit|show|merge|pull|stash|cherry-pick)\b")
_GIT_TAKES = re.compile(r"\bgit (?:-C \S+ )?(?:add|rm|mv)((?: +[^\s;&|]+)+)")
_LONGEST_PATH = 200


def normal_command(line: str) -> str:
    """A command line without the change of folder and the settings before it, pagers after it and here-documents in it."""
    first = line.strip().split("<<", 1)[0].strip()
    first = next((part.strip() for part in first.split("\n") if part.strip() and not part.strip().startswith("#")), "")
    before = None
    while before != first:
        before = first
        first = _TAILS.sub("", _SETTING.sub("", _CHANGE_FOLDER.sub("", first)))
    return one_line(first, 160)


def matters(command: str) -> bool:
    """Whether a bare command builds, tests, installs, sends or changes something, rather than looks at it."""
    return bool(_MATTERS.search(command)) and not _LOOKS.match(command)


def looks(command: str) -> bool:
    """Whether a bare command only looks at something."""
    return _LOOKS.match(command) is not None


def shows_failure(output: str) -> bool:
    """Whether the output of a build or a test tells of a failure, whatever the exit code was."""
    return _FAILURE.search(output) is not None


def program(command: str) -> str:
    """The program of a bare command, with its subcommand and what that runs, where it has such; empty for none."""
    words = _OPTION.sub("", command).split(maxsplit=3)[:3]
    name = words[0].strip("\"'(").rsplit("/", 1)[-1] if words else ""
    if len(words) == 1 or name not in _WITH_SUBCOMMANDS or not _SUBCOMMAND.match(words[1]):
        return name
    if len(words) > 2 and words[1] in _RUNS and _SUBCOMMAND.match(words[2]):  # noqa: PLR2004 - program, run, what
        return " ".join([name, *words[1:]])
    return f"{name} {words[1]}"


def kinds(line: str) -> Iterator[str]:
    """The programs that a command line runs one after the other, with their subcommands; not those that it pipes into."""
    for part in _JOINTS.split(line.split("<<", 1)[0])[:12]:
        bare = part.strip().lstrip("({ ")
        before = None
        while before != bare:
            before, bare = bare, _SETTING.sub("", bare)
        found = program(bare)
        if _PROGRAM.match(found.split(" ", 1)[0]) and found not in _KEYWORDS:
            yield found


def error_signature(output: str) -> str:
    """The line of failed output that says most: an exception's own line, else the first that speaks of an error."""
    output = _FRAME.sub("", output)
    exceptions = _EXCEPTION_LINE.findall(output)
    if exceptions:
        return one_line(exceptions[-1].removeprefix("E "), 200)
    lines = [line.strip() for line in output.splitlines() if line.strip() and not _EXIT.match(line)]
    for line in lines:
        if _SIGNATURE.search(line):
            return one_line(line, 200)
    return one_line(lines[-1], 200) if lines else ""


def first_line(output: str) -> str:
    """The first line of what a tool answered when it failed."""
    lines = (line.strip() for line in _FRAME.sub("", output).splitlines())
    return one_line(next((line for line in lines if line and not _EXIT.match(line)), ""), 200)


def commits(output: str) -> Iterator[tuple[str, str]]:
    """The commits that Git says it made: abbreviated hash and subject."""
    for match in _COMMIT.finditer(output):
        yield match["hash"][:10], one_line(match["subject"], 120)


def changed_paths(line: str, output: str) -> Iterator[str]:
    """The files that Git was told to take, or told of as changed, relative to where it ran."""
    for taken in _GIT_TAKES.finditer(line):
        for word in taken.group(1).split():
            if "." in word.strip("./-") and not word.startswith("-"):
                yield word.strip("\"'")
    if _GIT_TELLS.search(line):
        for pattern in _GIT_PATHS:
            for match in pattern.finditer(output):
                path = (match.groupdict().get("new") or match["path"]).strip().strip('"')
                if len(path) <= _LONGEST_PATH and not path.endswith("/") and "..." not in path and " " not in path:
                    yield path
