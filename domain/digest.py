"""The digest: the short of one session, without a model, and the long form that is searched.

The digest is lines with a head (`Asked: ...`, `Edited: ...`), so that whoever packs it may leave
out a part by its head.  Which lines are taken is settled by a fixed order of worth, until the
budget is used; the same session gives the same digest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from domain.facts import Facts, Gathering, one_line, shortened
from domain.tokens import estimate
from domain.transcript import Transcript, Turn, cost, is_own

BUDGET = 1_300
"""Tokens; about 3,300 characters, so that the newest digest fits whole into the block of a session's start."""
LONGEST_PERSON = 60_000
LONGEST_REST = 200_000

# Heads in the order of reading; who the words of each come from.
PROVENANCE: dict[str, str] = {
    "Asked": "person",
    "Then": "person",
    "Decided": "person",
    "Claude decided": "claude",
    "Outcome": "claude",
    "Edited": "facts",
    "Commits": "facts",
    "Ran": "facts",
    "Error": "tool",
    "Open": "claude",
    "Read": "facts",
    "Names": "facts",
}
_WHOLE_PARTS = 4
_NAMES_SOMETHING = 15  # characters of a request; "hi" names nothing
_LISTS = frozenset({"Edited", "Read", "Names"})
# For each head: how early its first item is taken, how much later each next one, and how many at most.
_WORTH: dict[str, tuple[float, float, int]] = {
    "Asked": (0.0, 0.0, 1),
    "Outcome": (0.5, 0.0, 1),
    "Edited": (1.0, 0.06, 60),
    "Decided": (1.1, 0.7, 8),
    "Claude decided": (1.8, 1.0, 3),
    "Error": (1.5, 0.7, 6),
    "Ran": (1.6, 0.35, 12),
    "Commits": (1.7, 0.3, 12),
    "Open": (1.9, 0.4, 8),
    "Then": (2.0, 0.5, 8),
    "Read": (3.0, 0.1, 40),
    "Names": (3.2, 0.05, 80),
}


@dataclass(frozen=True, slots=True)
class Digest:
    """The short of a session.  `text` is what may be injected; `outcome` is one line of it."""

    title: str
    outcome: str
    text: str
    files: tuple[str, ...]
    commits: tuple[str, ...]
    tokens: int
    raw_tokens: int


@dataclass(frozen=True, slots=True)
class Body:
    """The long form that is searched: what the person wrote, and the rest."""

    person: str
    rest: str


class Account:
    """What a session did so far, told as a digest and as a body at any moment.

    Turns come in order, struck of secrets, a tool's with its result; none is held after it was
    taken.  What is held is bounded, however long the session: a few megabytes.
    """

    def __init__(self, folder: str = "") -> None:
        self._gathering = Gathering(folder)
        self._person = _Stream("\n\n", LONGEST_PERSON)
        self._rest = _Stream("\n", LONGEST_REST)
        self._raw = 0
        self._title = ""

    @property
    def folder(self) -> str:
        """The session's folder, from which its files are told; set before the first turn that names one."""
        return self._gathering.folder

    @folder.setter
    def folder(self, folder: str) -> None:
        self._gathering.folder = folder

    def take(self, turn: Turn) -> None:
        """Takes one turn.  Never raises for what it holds."""
        self._gathering.take(turn)
        self._raw += cost(turn)
        if turn.kind == "prompt":
            self._person.add(turn.text)
            if not self._title and len(turn.text) >= _NAMES_SOMETHING:
                self._title = one_line(turn.text, 110)
        for told in _told(turn):
            self._rest.add(told)

    def digest(self, budget: int = BUDGET, *, title: str = "") -> Digest:
        """The digest in at most `budget` tokens by `domain.tokens`; `title` is the client's own, for want of a request."""
        facts = self._gathering.facts()
        text = _render(dict(_items(facts)), budget)
        return Digest(
            title=self._title or one_line(title or (facts.prompts[0] if facts.prompts else ""), 110),
            outcome=one_line(facts.outcome, 240),
            text=text,
            files=tuple(facts.edited),
            commits=tuple(commit for commit, _ in facts.commits),
            tokens=estimate(text),
            raw_tokens=self._raw,
        )

    def body(self) -> Body:
        """The searchable long form: prompts; answers, commands with outcome, failed output, files and commits."""
        facts = self._gathering.facts()
        answered = [line for line in facts.decisions if line.startswith("asked and answered")]
        commits = (f"{commit} {subject}" for commit, subject in facts.commits)
        names = "\n".join([" ".join(facts.edited), " ".join(facts.read), " ".join(facts.names), *commits])
        return Body(
            shortened("\n\n".join([*self._person.pieces(), *answered]), LONGEST_PERSON),
            shortened("\n".join([shortened(names, LONGEST_REST // 6), *self._rest.pieces()]), LONGEST_REST),
        )


def account(transcript: Transcript) -> Account:
    """The account of a session that was read whole."""
    made = Account(transcript.folder)
    for turn in transcript.turns:
        made.take(turn)
    return made


def digest(transcript: Transcript, budget: int = BUDGET) -> Digest:
    """The digest of a session in at most `budget` tokens by `domain.tokens`."""
    return account(transcript).digest(budget, title=transcript.title)


def condense(transcript: Transcript) -> Body:
    """The searchable long form of a session."""
    return account(transcript).body()


class _Stream:
    """Pieces of text, of which the head and the tail are held once they are longer than `longest` characters."""

    def __init__(self, joint: str, longest: int) -> None:
        self._joint = joint
        self._longest = longest
        self._head: list[str] = []
        self._head_size = 0
        self._tail: deque[str] = deque()
        self._tail_size = 0

    def add(self, text: str) -> None:
        """Adds one piece."""
        piece = shortened(text, self._longest)
        if not self._tail and self._head_size + len(piece) <= self._longest // 3:
            self._head.append(piece)
            self._head_size += len(piece) + len(self._joint)
            return
        self._tail.append(piece)
        self._tail_size += len(piece) + len(self._joint)
        while self._tail_size - len(self._tail[0]) > self._longest:
            self._tail_size -= len(self._tail.popleft()) + len(self._joint)

    def pieces(self) -> list[str]:
        """What is held of them, in order."""
        return [*self._head, *self._tail]


def _told(turn: Turn) -> Iterator[str]:
    """What the long form tells of a turn, beside the person's words."""
    if turn.kind in ("answer", "summary"):
        yield turn.text
    elif turn.kind == "task":
        yield turn.text[:2_000]
    elif turn.kind == "tool":
        yield from _call(turn.tool, {name: value for name, value in turn.arguments.items() if isinstance(value, str)})
        if turn.failed:
            yield f"failed: {turn.text[:1_500]}"


def _call(tool: str, given: dict[str, str]) -> Iterator[str]:
    if is_own(tool):
        yield f"{tool.rsplit('__', 1)[-1]} {given.get('reference', '')}"
        return
    for name in ("command", "description", "query", "url", "pattern", "prompt", "subject"):
        if given.get(name):
            yield given[name][:1_000]


def _items(facts: Facts) -> Iterator[tuple[str, list[str]]]:
    """The candidates of each head, the most wanted first."""
    prompts = facts.prompts
    later = [one_line(prompt, 180) for prompt in prompts[1:] if len(prompt) >= 12]  # noqa: PLR2004 - "yes"
    asked = [one_line(prompts[0], 320)] if prompts else []
    yield "Asked", asked
    decided = _unlike([one_line(decision, 220) for decision in _newest_strong(facts.decisions)], asked)
    # The newest request says best where the work stands.
    yield "Then", _unlike(list(reversed(later)), [*asked, *decided[: _WORTH["Decided"][2]]])
    yield "Decided", decided
    yield "Claude decided", _unlike([one_line(decision, 220) for decision in reversed(facts.claude_decisions)], [])
    yield "Outcome", [one_line(facts.outcome, 420)] if facts.outcome else []
    yield (
        "Edited",
        [f"{_near(path)} ({count})" if count > 1 else _near(path) for path, count in facts.edited.most_common()],
    )
    yield "Commits", [f"{commit} {subject}" for commit, subject in reversed(facts.commits)]
    yield "Ran", list(_commands(facts))
    yield "Error", list(_troubles(facts))
    yield "Open", facts.todos
    yield "Read", [_near(path) for path, _ in facts.read.most_common() if path not in facts.edited]
    yield "Names", facts.names


def _near(path: str) -> str:
    """A path; of one outside the session's folder its end, which is what it is known by."""
    parts = path.replace("\\", "/").split("/")
    outside = path.startswith(("/", "~")) or path[1:3] in (":\\", ":/")
    return f"…/{'/'.join(parts[-3:])}" if outside and len(parts) > _WHOLE_PARTS else path


def _newest_strong(decisions: list[str]) -> list[str]:
    return list(dict.fromkeys(reversed(decisions)))


def _unlike(lines: list[str], told: list[str]) -> list[str]:
    """Lines that are not already told as a part of another."""
    kept: list[str] = []
    for line in lines:
        bare = line.rstrip("…. ")
        if not any(bare in other for other in (*told, *kept)):
            kept.append(line)
    return kept


def _commands(facts: Facts) -> Iterator[str]:
    mattered = [command for command in facts.commands.values() if command.matters]
    others = [command for command in facts.commands.values() if not command.matters and command.has_failed]
    failing = [command for command in mattered if command.has_failed]
    passing = [command for command in mattered if not command.has_failed]
    for command in [*reversed(failing), *reversed(passing), *reversed(others)]:
        yield f"`{one_line(command.line, 110)}` {command.outcome}"


def _troubles(facts: Facts) -> Iterator[str]:
    # A file that was not there is told last; a failed build first.
    newest_first = list(reversed(facts.troubles))
    newest_first.sort(key=lambda trouble: not trouble.matters)
    for trouble in newest_first:
        end = ""
        if trouble.solved:
            end = f" → solved by changing {', '.join(trouble.fixed_by[-3:])}" if trouble.fixed_by else " → solved"
        yield f"{one_line(trouble.signature, 180)}{end}"


def _render(items: dict[str, list[str]], budget: int) -> str:
    wanted = sorted(
        (first + step * place, head, place)
        for head, (first, step, most) in _WORTH.items()
        for place in range(min(most, len(items.get(head, []))))
    )
    taken: dict[str, list[int]] = {}
    used = 0
    for _, head, place in wanted:
        text = items[head][place]
        cost = estimate(f", {text}" if head in _LISTS and head in taken else f"\n{head}: {text}")
        if used + cost <= budget:
            taken.setdefault(head, []).append(place)
            used += cost
    lines: list[str] = []
    for head in PROVENANCE:
        chosen = [items[head][place] for place in sorted(taken.get(head, []))]
        if head in _LISTS and chosen:
            lines.append(f"{head}: {', '.join(chosen)}")
        else:
            # Told in the order in which things happened: the newest was only taken first.
            newest_first = head in ("Then", "Decided", "Claude decided", "Commits", "Error")
            lines.extend(f"{head}: {text}" for text in (reversed(chosen) if newest_first else chosen))
    return "\n".join(lines)
