"""What a session did, read off its turns without a model: the raw material of the digest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from domain import text as analyser
from domain.transcript import REFUSED, Transcript, Turn

_EDITS = frozenset({"Edit", "Write", "MultiEdit", "NotebookEdit"})
_SHELLS = frozenset({"Bash", "PowerShell"})
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
_COMMIT = re.compile(
    r"^\[(?P<branch>\S+)(?: \(root-commit\))? (?P<hash>[0-9a-f]{7,40})\] (?P<subject>.+)$", re.MULTILINE
)
_DEFINED = re.compile(
    r"\b(?:def|class|func|function|type|interface|struct|const|fn|trait|enum|module|table|TABLE)\s+(?:\([^)]*\)\s*)?([A-Za-z_]\w{3,60})"
)
_CHANGE_FOLDER = re.compile(r"^(?:cd|pushd)\s+(?:\"[^\"]*\"|'[^']*'|\S+)\s*(?:&&|;)\s*")
_TAILS = re.compile(r"\s*(?:2>&1|2>/dev/null|\|\s*(?:tail|head|tee|grep|cat|less)\b.*)\s*$")
_ANSWERS = re.compile(
    r"[Yy]our? questions have been answered: (.*?)\. You can now continue|User has answered your questions: (.*?)\. You can now",
    re.DOTALL,
)
_STRONG = re.compile(
    r"\b(?:never|always|must|decided?|decision|from now on|instead of|don['’]?t|do not|prefer|go with|make sure|remember|no longer|rather than|"
    r"not allowed|forbidden|agreed|we(?:['’]ll| will) (?:use|keep|go)|let['’]?s (?:use|keep|go|not))\b",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"\b(?:should(?:n['’]?t)?|only|keep|avoid|use|let['’]?s|I want|I['’]?d like|need(?:s)? to|instead|drop|remove|rename)\b",
    re.IGNORECASE,
)
_CLAUDE_DECIDED = re.compile(
    r"^(?:\**Decision\**:|\**Decided\**:|(?:We|I) (?:have )?(?:decided|chose|agreed)\b|Decision made:)", re.IGNORECASE
)
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?!\s|$)[^.!?\n]*)*[.!?]?")
_SPACE = re.compile(r"\s+")
_LONGEST_SENTENCE = 260
_SAYS_SOMETHING = 40  # characters; "Done." says nothing

# What is held of a session of any length.
_LONGEST_PROMPT = 8_000
_LONGEST_OUTCOME = 8_000
_FIRST_PROMPTS = 20
_MOST_PROMPTS = 300
_MOST_DECISIONS = 300
_MOST_FILES = 2_000
_MOST_NAMES = 8_000
_MOST_COMMITS = 300
_MOST_COMMANDS = 600
_MOST_TROUBLES = 60
_MOST_FIXES = 6
_MOST_TODOS = 200
_DONE = ("completed", "deleted")


@dataclass(slots=True)
class Command:
    """A command line as it was given, and how its runs ended."""

    line: str
    matters: bool = False
    ok: bool = True
    has_failed: bool = False

    @property
    def outcome(self) -> str:
        """In words: how it ended, and that it had failed before."""
        if self.ok:
            return "failed, then ok" if self.has_failed else "ok"
        return "failed"


@dataclass(slots=True)
class Trouble:
    """An error as it showed, the command that showed it, and the files whose change made that command pass."""

    signature: str
    command: str = ""
    matters: bool = True
    fixed_by: tuple[str, ...] = ()
    solved: bool = False


@dataclass(slots=True)
class Facts:
    """Everything the digest may tell.  Lists are in the order of the session."""

    prompts: list[str] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    claude_decisions: list[str] = field(default_factory=list)
    outcome: str = ""
    edited: Counter[str] = field(default_factory=Counter)
    commits: list[tuple[str, str]] = field(default_factory=list)
    commands: dict[str, Command] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    todos: list[str] = field(default_factory=list)
    read: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)


def one_line(text: str, longest: int) -> str:
    """Text on one line, cut at a word with an ellipsis where it is longer than `longest` characters."""
    flat = _SPACE.sub(" ", text).strip()
    if len(flat) <= longest:
        return flat
    cut = flat.rfind(" ", longest // 2, longest)
    return flat[: cut if cut > 0 else longest - 1].rstrip(" ,;:-") + "…"


def gather(transcript: Transcript) -> Facts:
    """Read the facts off a session's turns.  Never raises for what the turns hold."""
    gathering = Gathering(transcript.folder)
    for turn in transcript.turns:
        gathering.take(turn)
    return gathering.facts()


class Gathering:
    """Facts as they are read off a session, turn by turn.  What it holds is bounded, however long the session.

    `folder` is the session's; it may be set before the first turn that names a file.
    """

    def __init__(self, folder: str = "") -> None:
        self.folder = folder
        self._facts = Facts()
        self._todos = _Todos()
        self._weights: Counter[str] = Counter()
        self._said = ""
        self._summary = ""

    def take(self, turn: Turn) -> None:
        """Reads one turn, in the order of the session, a tool's with its result."""
        facts = self._facts
        if turn.kind == "prompt":
            facts.prompts.append(shortened(turn.text, _LONGEST_PROMPT))
            if len(facts.prompts) > _MOST_PROMPTS:
                # The first say what the session was for, the newest where it stands.
                del facts.prompts[_FIRST_PROMPTS]
            self._decide(facts.decisions, decisions(turn.text))
            self._weigh(dict.fromkeys(analyser.identifiers([turn.text]), 3))
        elif turn.kind == "tool":
            self._tool(turn)
        if turn.aside:
            return
        if turn.kind == "answer":
            decided = (sentence for sentence in _sentences(turn.text) if _CLAUDE_DECIDED.match(sentence))
            self._decide(facts.claude_decisions, (one_line(sentence, _LONGEST_SENTENCE) for sentence in decided))
            self._weigh(dict.fromkeys(analyser.identifiers([turn.text]), 1))
            if len(turn.text) >= _SAYS_SOMETHING or not self._said:
                self._said, self._summary = shortened(turn.text, _LONGEST_OUTCOME), ""
        elif turn.kind == "summary":
            self._summary = shortened(turn.text, _LONGEST_OUTCOME)

    def facts(self) -> Facts:
        """The facts so far; they change with the next turn."""
        self._facts.outcome = self._outcome()
        self._facts.todos = self._todos.open()
        self._facts.names = _names(self._weights, self._facts)
        return self._facts

    def _outcome(self) -> str:
        """The last thing Claude said that says something, and the compaction's own summary where nothing followed it."""
        if self._said and self._summary:
            # A summary begins with the request; the outcome is seldom in its first lines.
            return f"{one_line(self._said, 180)} — {self._summary}"
        return self._said or self._summary

    def _decide(self, known: list[str], more: Iterable[str]) -> None:
        known.extend(more)
        del known[:-_MOST_DECISIONS]

    def _weigh(self, weights: Mapping[str, int]) -> None:
        self._weights.update(weights)
        _bound(self._weights, _MOST_NAMES)

    def _tool(self, turn: Turn) -> None:
        given = turn.arguments
        if turn.text.startswith(REFUSED):
            return
        path = _string(given, "file_path") or _string(given, "notebook_path")
        if turn.tool in _EDITS and path:
            if not turn.failed:
                self._edited(relative(path, self.folder), given)
        elif turn.tool == "Read" and path:
            self._facts.read[relative(path, self.folder)] += 1
            _bound(self._facts.read, _MOST_FILES)
        elif turn.tool in _SHELLS:
            self._command(turn, _string(given, "command"))
        elif turn.tool == "AskUserQuestion":
            answered = _ANSWERS.search(turn.text)
            if answered:
                told = "asked and answered: " + (answered.group(1) or answered.group(2))
                self._decide(self._facts.decisions, [one_line(told, 400)])
        elif turn.tool in ("TodoWrite", "TaskCreate", "TaskUpdate"):
            self._todos.take(turn)

    def _edited(self, name: str, given: Mapping[str, object]) -> None:
        self._facts.edited[name] += 1
        _bound(self._facts.edited, _MOST_FILES)
        for trouble in self._facts.troubles:
            if not trouble.solved and name not in trouble.fixed_by:
                trouble.fixed_by = (*trouble.fixed_by, name)[-_MOST_FIXES:]
        for written in _written(given):
            self._weigh(dict.fromkeys(_DEFINED.findall(written), 4))
            self._weigh(dict.fromkeys(analyser.identifiers([written]), 1))

    def _command(self, turn: Turn, line: str) -> None:
        command = normal_command(line)
        if not command:
            return
        facts = self._facts
        for match in _COMMIT.finditer(turn.text):
            facts.commits.append((match["hash"][:10], one_line(match["subject"], 120)))
        del facts.commits[:-_MOST_COMMITS]
        matters = bool(_MATTERS.search(command)) and not _LOOKS.match(command)
        failed = turn.failed or (matters and _FAILURE.search(turn.text) is not None)
        known = facts.commands.setdefault(command, Command(command, matters=matters))
        known.ok = not failed
        known.has_failed = known.has_failed or failed
        if len(facts.commands) > _MOST_COMMANDS:
            idle = next((line for line, one in facts.commands.items() if not one.matters), "")
            del facts.commands[idle or next(iter(facts.commands))]
        program = _program(command)
        if failed:
            signature = error_signature(turn.text)
            if signature and all(trouble.signature != signature for trouble in facts.troubles):
                facts.troubles.append(Trouble(signature, command, matters=not _LOOKS.match(command)))
                del facts.troubles[:-_MOST_TROUBLES]
        else:
            for trouble in facts.troubles:
                if not trouble.solved and _program(trouble.command) == program:
                    trouble.solved = True


def decisions(prompt: str) -> Iterator[str]:
    """Sentences in which the person decides or instructs, the strong ones first."""
    strong: list[str] = []
    weak: list[str] = []
    for sentence in _sentences(prompt):
        flat = one_line(sentence, _LONGEST_SENTENCE)
        if len(flat) < 12 or flat.endswith("?"):  # noqa: PLR2004 - "use it" says nothing a week later
            continue
        if _STRONG.search(flat):
            strong.append(flat)
        elif _WEAK.search(flat):
            weak.append(flat)
    yield from strong
    yield from weak[:3]


def relative(path: str, folder: str) -> str:
    """A path as seen from the session's folder, where it lies below it."""
    for joint in ("/", "\\"):
        if folder and path.startswith(folder.rstrip(joint) + joint):
            return path[len(folder.rstrip(joint)) + 1 :]
    return path


def normal_command(line: str) -> str:
    """A command line without the change of folder before it, pagers after it and here-documents in it."""
    first = line.strip().split("<<", 1)[0].strip()
    first = next((part.strip() for part in first.split("\n") if part.strip() and not part.strip().startswith("#")), "")
    before = None
    while before != first:
        before = first
        first = _TAILS.sub("", _CHANGE_FOLDER.sub("", first))
    return one_line(first, 160)


def error_signature(output: str) -> str:
    """The line of failed output that says most: an exception's own line, else the first that speaks of an error."""
    exceptions = _EXCEPTION_LINE.findall(output)
    if exceptions:
        return one_line(exceptions[-1].removeprefix("E "), 200)
    lines = [line.strip() for line in output.splitlines() if line.strip() and not _EXIT.match(line)]
    for line in lines:
        if _SIGNATURE.search(line):
            return one_line(line, 200)
    return one_line(lines[-1], 200) if lines else ""


class _Todos:
    """The state of the session's list of things to do, by whichever tool kept it."""

    def __init__(self) -> None:
        self._listed: list[str] = []
        self._tasks: dict[str, tuple[str, str]] = {}

    def take(self, turn: Turn) -> None:
        given = turn.arguments
        if turn.tool == "TodoWrite":
            todos = given.get("todos")
            self._listed = [
                one_line(_string(todo, "content"), 140)
                for todo in (todos if isinstance(todos, list) else [])
                if isinstance(todo, dict) and todo.get("status") != "completed"
            ][:_MOST_TODOS]
        elif turn.tool == "TaskCreate":
            number = re.search(r"#(\d+)", turn.text)
            self._tasks[number.group(1) if number else str(len(self._tasks) + 1)] = (
                one_line(_string(given, "subject"), 140),
                "pending",
            )
            if len(self._tasks) > _MOST_TODOS:
                done = next((task for task, (_, state) in self._tasks.items() if state in _DONE), "")
                del self._tasks[done or next(iter(self._tasks))]
        else:
            task = _string(given, "taskId")
            if task in self._tasks and _string(given, "status"):
                self._tasks[task] = (self._tasks[task][0], _string(given, "status")[:20])

    def open(self) -> list[str]:
        waiting = [subject for subject, state in self._tasks.values() if state not in _DONE]
        return [*self._listed, *waiting]


def _bound(counts: Counter[str], most: int) -> None:
    """Drops the least counted half, the oldest first, where there are more than `most`."""
    if len(counts) > most:
        places = {name: place for place, name in enumerate(counts)}
        for name in sorted(counts, key=lambda name: (counts[name], places[name]))[: most // 2]:
            del counts[name]


def shortened(text: str, longest: int) -> str:
    """The head and the tail of a text that is too long; the tail counts for more."""
    if len(text) <= longest:
        return text
    head = longest // 3
    return f"{text[:head]}\n…\n{text[-(longest - head - 3) :]}"


def _names(weights: Counter[str], facts: Facts) -> list[str]:
    told = " ".join([*facts.edited, *facts.read])
    ranked = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    return [name for name, weight in ranked if weight > 1 and name not in told][:200]


def _program(command: str) -> str:
    words = [word for word in command.split() if "=" not in word.split("/")[0]][:2]
    if not words:
        return ""
    name = words[0].rsplit("/", 1)[-1]
    if (
        len(words) > 1
        and not words[1].startswith("-")
        and name in ("go", "npm", "git", "cargo", "make", "docker", "uv", "pnpm", "yarn", "dotnet")
    ):
        return f"{name} {words[1]}"
    return name


def _written(given: Mapping[str, object]) -> Iterator[str]:
    for name in ("new_string", "content", "new_source"):
        yield _string(given, name)
    edits = given.get("edits")
    for edit in edits if isinstance(edits, list) else []:
        if isinstance(edit, dict):
            yield _string(edit, "new_string")


def _sentences(text: str) -> Iterator[str]:
    in_code = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            for match in _SENTENCE.finditer(line):
                sentence = match.group().strip(" \t-*>#")
                if sentence:
                    yield sentence


def _string(given: Mapping[str, object], name: str) -> str:
    value = given.get(name)
    return value if isinstance(value, str) else ""
