"""What a session did, read off its turns without a model: the raw material of the digest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from domain import commands
from domain import text as analyser
from domain.shortening import one_line, shortened
from domain.transcript import REFUSED, Transcript, Turn

_EDITS = frozenset({"Edit", "Write", "MultiEdit", "NotebookEdit"})
_SHELLS = frozenset({"Bash", "PowerShell"})
_DEFINED = re.compile(
    r"^[ \t]*(?:(?:export|pub|public|private|protected|static|async|default|abstract|final)\s+)*"
    r"(?:def|class|func|function|type|interface|struct|fn|trait|enum|module|(?:CREATE|create) (?:TABLE|table))\s+"
    r"(?:\([^)\n]*\)\s*)?([A-Za-z_]\w{1,60})",
    re.MULTILINE,
)
_CONSTANT = re.compile(r"\b(?:const|var|let)\s+([A-Za-z_]\w{3,60})")
_LINK = re.compile(r"https?://[^\s<>\"'`)\]}\\|]+")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]")
_WORKTREE = re.compile(r"\A\.claude/worktrees/[^/]+/")
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
_LONGEST_SENTENCE = 260
_SAYS_SOMETHING = 40  # characters; "Done." says nothing

# What a turn that holds a word of code adds to its weight, by who wrote it.
_PERSONS_WEIGHT = 3
_WRITTEN_WEIGHT = 1
_READ_WEIGHT = 1

# What is held of a session of any length.
_LONGEST_READ = 30_000
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
_MOST_LINKS = 200
_MOST_TOLD = 200
_LONGEST_LINK = 300
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
    """Everything the digest may tell.  Lists are in the order of the session.

    `changed` are files that Git told of beside those that were edited; `failures` what tools other
    than a shell answered when they failed; `defined` the names that Claude wrote a definition of, and
    `names` other words of code, the most used first.
    """

    prompts: list[str] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    claude_decisions: list[str] = field(default_factory=list)
    outcome: str = ""
    edited: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    commits: list[tuple[str, str]] = field(default_factory=list)
    commands: dict[str, Command] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    troubles: list[Trouble] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    todos: list[str] = field(default_factory=list)
    links: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    defined: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)


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
            self._weigh(dict.fromkeys(analyser.identifiers([turn.text]), _PERSONS_WEIGHT))
            self._link(turn.text)
        elif turn.kind == "tool":
            self._tool(turn)
        if turn.aside:
            return
        if turn.kind == "answer":
            decided = (sentence for sentence in _sentences(turn.text) if _CLAUDE_DECIDED.match(sentence))
            self._decide(facts.claude_decisions, (one_line(sentence, _LONGEST_SENTENCE) for sentence in decided))
            self._weigh(dict.fromkeys(analyser.identifiers([turn.text]), _WRITTEN_WEIGHT))
            self._link(turn.text)
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

    def _link(self, text: str) -> None:
        self._facts.links.update(link.rstrip(".,;:*_#/") for link in _LINK.findall(text) if len(link) <= _LONGEST_LINK)
        _bound(self._facts.links, _MOST_LINKS)

    def _tool(self, turn: Turn) -> None:
        given, facts = turn.arguments, self._facts
        if turn.text.startswith(REFUSED):
            what = _string(given, "file_path").replace("\\", "/").rpartition("/")[2] or _string(given, "command")
            facts.failures[one_line(f"{REFUSED}: {turn.tool} {what}", 120)] += 1
            return
        path = _string(given, "file_path") or _string(given, "notebook_path")
        if turn.failed and turn.tool not in _SHELLS:
            facts.failures[commands.first_line(turn.text)] += 1
            _bound(facts.failures, _MOST_TROUBLES)
        elif turn.tool in _EDITS and path:
            self._edited(relative(path, self.folder), given)
        elif turn.tool == "Read" and path:
            facts.read[relative(path, self.folder)] += 1
            _bound(facts.read, _MOST_FILES)
            self._weigh(dict.fromkeys(analyser.identifiers([turn.text[:_LONGEST_READ]]), _READ_WEIGHT))
        elif turn.tool in ("Grep", "Agent", "Task"):
            self._weigh(dict.fromkeys(analyser.identifiers([turn.text[:_LONGEST_READ]]), _READ_WEIGHT))
        elif turn.tool in _SHELLS:
            self._command(turn, _string(given, "command"))
        elif turn.tool == "WebFetch":
            self._link(_string(given, "url"))
        elif turn.tool == "AskUserQuestion":
            answered = _ANSWERS.search(turn.text)
            if answered:
                told = "asked and answered: " + (answered.group(1) or answered.group(2))
                self._decide(facts.decisions, [one_line(told, 400)])
        elif turn.tool in ("TodoWrite", "TaskCreate", "TaskUpdate"):
            self._todos.take(turn)

    def _edited(self, name: str, given: Mapping[str, object]) -> None:
        facts = self._facts
        facts.edited[name] += 1
        _bound(facts.edited, _MOST_FILES)
        for trouble in facts.troubles:
            if not trouble.solved and name not in trouble.fixed_by:
                trouble.fixed_by = (*trouble.fixed_by, name)[-_MOST_FIXES:]
        for written in _written(given):
            facts.defined.update(dict.fromkeys(_DEFINED.findall(written), 1))
            _bound(facts.defined, _MOST_NAMES // 8)
            self._weigh(dict.fromkeys(_CONSTANT.findall(written), _WRITTEN_WEIGHT))
            self._weigh(dict.fromkeys(analyser.identifiers([written]), _WRITTEN_WEIGHT))

    def _command(self, turn: Turn, line: str) -> None:
        command = commands.normal_command(line)
        if not command:
            return
        facts = self._facts
        self._link(line)
        facts.commits.extend(commands.commits(turn.text))
        del facts.commits[:-_MOST_COMMITS]
        facts.changed.update(relative(path, self.folder) for path in commands.changed_paths(line, turn.text))
        _bound(facts.changed, _MOST_FILES)
        facts.kinds.update(commands.kinds(line))
        _bound(facts.kinds, _MOST_COMMANDS)
        matters = commands.matters(command)
        failed = turn.failed or (matters and commands.shows_failure(turn.text))
        known = facts.commands.setdefault(command, Command(command, matters=matters))
        known.ok = not failed
        known.has_failed = known.has_failed or failed
        if len(facts.commands) > _MOST_COMMANDS:
            idle = next((line for line, one in facts.commands.items() if not one.matters), "")
            del facts.commands[idle or next(iter(facts.commands))]
        program = commands.program(command)
        if failed:
            signature = commands.error_signature(turn.text)
            if signature and all(trouble.signature != signature for trouble in facts.troubles):
                facts.troubles.append(Trouble(signature, command, matters=not commands.looks(command)))
                del facts.troubles[:-_MOST_TROUBLES]
        else:
            for trouble in facts.troubles:
                if not trouble.solved and commands.program(trouble.command) == program:
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
    """A path as seen from the session's folder, where it lies below it; with slashes, as Git tells it.

    A worktree that Claude Code made lies in the repository's own folder: its files are the repository's.
    """
    if _WINDOWS.match(path):
        path, folder = path.replace("\\", "/"), folder.replace("\\", "/")
    folder = folder.rstrip("/")
    if folder and path.startswith(f"{folder}/"):
        path = path[len(folder) + 1 :]
    return _WORKTREE.sub("", path)


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


def _names(weights: Counter[str], facts: Facts) -> list[str]:
    told = " ".join([*facts.edited, *facts.read])
    ranked = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    return [name for name, _ in ranked if name not in facts.defined and name not in told][:_MOST_TOLD]


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
