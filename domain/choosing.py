"""Which lines a digest of a given size holds.

Every fact is a candidate under a head (`Edited`, `Ran`, ...), with a worth.  Candidates are taken in
the order of worth while they fit; the lines are then written in the order of reading.  Lists of
files are written by folder (`src/{a.py, b.py}`).  What the person said and no line tells is added
as single words.  The same facts give the same text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from domain.facts import Facts, Trouble
from domain.shortening import one_line
from domain.text import STOPWORDS
from domain.tokens import estimate

# Heads in the order of reading; who the words of each come from.  What no person wrote and no call was given (links of
# answers, what tools answered) is not told of another person's session: see `domain.recall`.
PROVENANCE: dict[str, str] = {
    "Asked": "person",
    "Then": "person",
    "Also said": "person",
    "Decided": "person",
    "Claude decided": "claude",
    "Outcome": "claude",
    "Edited": "facts",
    "Changed": "tool",
    "Commits": "facts",
    "Ran": "facts",
    "Also ran": "facts",
    "Error": "tool",
    "Open": "claude",
    "Links": "claude",
    "Defined": "facts",
    "Read": "facts",
    "Names": "tool",
}
_FILES = frozenset({"Edited", "Changed", "Read"})
# Heads of which nothing is told that stands in another line.
_NAMES = frozenset({"Also ran", "Links", "Defined", "Names"})
# Heads of single words, which give way to a line that tells them.
_BARE = frozenset({"Also said", "Also ran"})
# Heads whose items stand on one line, and what parts them.
_JOINTS = {"Also said": " ", "Commits": "; ", "Ran": "; ", "Links": " "} | dict.fromkeys(
    ("Edited", "Changed", "Also ran", "Defined", "Read", "Names"), ", "
)
# For each head: the worth of its first item, what each next one is worth less (a smaller number goes first), and the
# share of the budget that all of them may take.
_WORTH: dict[str, tuple[float, float, float]] = {
    "Asked": (0.0, 0.0, 0.2),
    "Edited": (0.1, 0.001, 0.45),
    "Then": (0.2, 0.01, 0.1),
    "Outcome": (0.25, 0.0, 0.2),
    "Commits": (0.3, 0.01, 0.2),
    "Defined": (0.35, 0.01, 0.2),
    "Also ran": (0.45, 0.01, 0.15),
    "Open": (0.5, 0.05, 0.1),
    "Also said": (0.5, 0.0, 0.3),
    "Decided": (0.62, 0.05, 0.1),
    "Links": (0.72, 0.05, 0.12),
    "Error": (0.75, 0.1, 0.2),
    "Ran": (0.8, 0.1, 0.15),
    "Changed": (0.9, 0.02, 0.25),
    "Names": (0.95, 0.01, 0.2),
    "Claude decided": (2.0, 0.8, 0.1),
    "Read": (2.4, 0.04, 0.15),
}
_WORDS = "Also said"
_TOLD, _OVER_SHARE, _OVER_BUDGET = "told", "over share", "over budget"
_NEWEST_FIRST = frozenset({"Then", "Decided", "Claude decided", "Commits", "Ran", "Error"})
# What is left free for the estimator's error: of 19 digests in 20 it is less than this.
_SPENT = 0.95
_PERSONS_SHARE = 0.25
_WHOLE_PATHS_SHARE = 0.25
_PROMPT_LENGTHS = (1_500, 900, 600, 400, 280, 180, 120)
_WHOLE_PARTS = 4
_TOLD_COMMITS = 4
_CHUNK = re.compile(r"\w+(?:[./\\:@'-]\w+)*")
_WORD = re.compile(r"[^\W_]{3,}")
_LONGEST_CHUNK = 60
# Marks of layout, which say nothing on one line.
_MARKUP = re.compile(r"\*\*|^[ \t]*(?:#{1,6}|[-*>])(?=\s)|^[ \t|:-]+$|\s\|\s|^\||\|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of one head's candidates.

    `told` are those that another line tells; `over_share` those that the head's share of the budget
    had no room for, `over_budget` those for which nothing was left, both in the order of worth.
    """

    head: str
    taken: int
    tokens: int
    told: int
    over_share: tuple[str, ...] = ()
    over_budget: tuple[str, ...] = ()

    @property
    def candidates(self) -> int:
        """How many there were."""
        return self.taken + self.told + len(self.over_share) + len(self.over_budget)


def choose(facts: Facts, budget: int) -> tuple[str, list[Tally]]:
    """The text of a digest in at most `budget` tokens by `domain.tokens`, and what became of the candidates."""
    wanted: list[tuple[float, str, int, str]] = []
    grouped: set[str] = set()
    for head, texts in _candidates(facts, budget):
        if head in _FILES and estimate(", ".join(texts)) > budget * _WHOLE_PATHS_SHARE:
            grouped.add(head)
        first, step, _ = _WORTH[head]
        wanted.extend((first + step * place, head, place, text) for place, text in enumerate(texts))
    wanted.append((_WORTH[_WORDS][0], _WORDS, 0, ""))
    wanted.sort()
    page = _Page(budget, frozenset(grouped))
    for _ in range(2):
        for _, head, place, text in wanted:
            if head == _WORDS:
                for word in _missing_words(facts.prompts, page.text()):
                    page.take(head, page.next_place(head), word)
            else:
                page.take(head, place, text)
        # What was taken as a bare word and is told by a later line makes room for more.
        page.drop_told()
    return page.text(), page.tallies()


class _Page:
    """Lines as they are taken, and what they cost."""

    def __init__(self, budget: int, grouped: frozenset[str]) -> None:
        self._budget = budget
        self._left = budget * _SPENT
        self._grouped = grouped
        self._told = ""
        self._taken: dict[str, list[tuple[int, str]]] = {}
        self._outcomes: dict[str, dict[str, str]] = {}
        self._places: set[tuple[str, int]] = set()
        self._folders: set[tuple[str, str]] = set()
        self._spent: Counter[str] = Counter()

    def take(self, head: str, place: int, text: str) -> None:
        """Takes an item if it fits, its head has not taken its share, and it is not told already."""
        if (head, place) in self._places:
            return
        outcomes = self._outcomes.setdefault(head, {})
        if head in _NAMES and text in self._told:
            outcomes[text] = _TOLD
            return
        cost = self._cost(head, text)
        if cost > self._left:
            outcomes[text] = _OVER_BUDGET
            return
        if self._spent[head] + cost > _WORTH[head][2] * self._budget:
            outcomes[text] = _OVER_SHARE
            return
        outcomes.pop(text, None)
        self._left -= cost
        self._spent[head] += cost
        self._places.add((head, place))
        self._folders.add((head, text.rpartition("/")[0]))
        self._taken.setdefault(head, []).append((place, text))
        self._told += f"\n{text}"

    def next_place(self, head: str) -> int:
        """The place after all that were taken under a head."""
        return max((place for place, _ in self._taken.get(head, [])), default=-1) + 1

    def _cost(self, head: str, text: str) -> int:
        if head not in self._taken or head not in _JOINTS:
            return estimate(f"\n{head}: {text}")
        folder, _, name = text.rpartition("/") if head in self._grouped else ("", "", text)
        if folder and (head, folder) in self._folders:
            return estimate(f", {name}")
        return estimate(f"{_JOINTS[head]}{text}{'{}' if folder else ''}")

    def drop_told(self) -> None:
        """Drops the person's words and the programs that another line tells."""
        others = "\n".join(text for head, items in self._taken.items() if head not in _BARE for _, text in items)
        words = set(_WORD.findall(others.lower()))
        for head in sorted(_BARE & self._taken.keys()):
            items = self._taken[head]
            kept = [
                (place, text)
                for place, text in items
                if (not words.issuperset(_WORD.findall(text.lower())) if head == _WORDS else text not in others)
            ]
            freed = sum(estimate(f"{_JOINTS[head]}{text}") for place, text in items if (place, text) not in kept)
            self._left += freed
            self._spent[head] -= freed
            self._outcomes[head].update((text, _TOLD) for place, text in items if (place, text) not in kept)
            self._taken[head] = kept
            if not kept:
                del self._taken[head]

    def text(self) -> str:
        """The lines in the order of reading."""
        return "\n".join(line for head in PROVENANCE if head in self._taken for line in self._lines(head))

    def tallies(self) -> list[Tally]:
        """What became of the candidates, in the order of reading."""
        found = []
        for head in PROVENANCE:
            outcomes = self._outcomes.get(head, {})
            taken = len(self._taken.get(head, []))
            if taken or outcomes:
                found.append(
                    Tally(
                        head,
                        taken,
                        self._spent[head],
                        sum(outcome == _TOLD for outcome in outcomes.values()),
                        tuple(text for text, outcome in outcomes.items() if outcome == _OVER_SHARE),
                        tuple(text for text, outcome in outcomes.items() if outcome == _OVER_BUDGET),
                    )
                )
        return found

    def _lines(self, head: str) -> Iterator[str]:
        # Told in the order in which things happened: the newest was only taken first.
        texts = [text for _, text in sorted(self._taken[head], reverse=head in _NEWEST_FIRST)]
        if head in self._grouped:
            yield f"{head}: {', '.join(by_folder(texts))}"
        elif head in _JOINTS:
            yield f"{head}: {_JOINTS[head].join(texts)}"
        else:
            yield from (f"{head}: {text}" for text in texts)


def by_folder(paths: Iterable[str]) -> Iterator[str]:
    """Paths with those of one folder together: `src/{a.py, b.py}`, in the order of each folder's first."""
    folders: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, []).append(name)
    for folder, names in folders.items():
        if not folder:
            yield from names
        else:
            yield f"{folder}/{{{', '.join(names)}}}" if len(names) > 1 else f"{folder}/{names[0]}"


def _candidates(facts: Facts, budget: int) -> Iterator[tuple[str, list[str]]]:
    """The candidates of each head, the most wanted first."""
    longest = _longest_prompt(facts.prompts, budget)
    asked = [one_line(prompt, max(longest, 320)) for prompt in facts.prompts[:1]]
    later = [one_line(prompt, longest) for prompt in facts.prompts[1:]]
    yield "Asked", asked
    yield "Then", unlike(list(reversed(later)), asked)
    decided = [one_line(decision, 220) for decision in dict.fromkeys(reversed(facts.decisions))]
    yield "Decided", unlike(decided, [*asked, *later])
    yield "Claude decided", unlike([one_line(decision, 220) for decision in reversed(facts.claude_decisions)], [])
    yield (
        "Outcome",
        [one_line(_MARKUP.sub(" ", facts.outcome), max(120, min(420, budget * 8 // 25)))] if facts.outcome else [],
    )
    yield "Edited", [near(path) for path, _ in facts.edited.most_common()]
    yield "Changed", [near(path) for path, _ in facts.changed.most_common() if not _is_told(path, facts.edited)]
    yield "Commits", list(_commits(facts.commits))
    yield "Ran", list(_ran(facts))
    yield "Also ran", [kind for kind, _ in facts.kinds.most_common()]
    failures = [one_line(failure, 120) for failure, _ in facts.failures.most_common() if failure]
    yield "Error", [*_troubles(facts.troubles), *failures]
    yield "Open", facts.todos
    yield "Links", [link for link, _ in facts.links.most_common()]
    yield "Defined", [name for name, _ in facts.defined.most_common()]
    yield "Read", [near(path) for path, _ in facts.read.most_common() if not _is_told(path, facts.edited)]
    yield "Names", facts.names


def _longest_prompt(prompts: list[str], budget: int) -> int:
    """How long each prompt may be told, in characters, so that all of them take no more than their share."""
    for longest in _PROMPT_LENGTHS:
        if sum(estimate(one_line(prompt, longest)) + 5 for prompt in prompts) <= budget * _PERSONS_SHARE:
            return longest
    return _PROMPT_LENGTHS[-1]


def _missing_words(prompts: list[str], told: str) -> list[str]:
    """What the person said and a text does not tell, word by word, those of short prompts first."""
    lower = told.lower()
    known = set(_WORD.findall(lower))
    found: dict[str, None] = {}
    for prompt in sorted(prompts, key=len):
        for chunk in _CHUNK.findall(prompt):
            words = {word for word in _WORD.findall(chunk.lower()) if word not in STOPWORDS} - known
            if not words:
                continue
            known |= words
            # An identifier as it was written, where most of it is news.
            if len(chunk) <= min(_LONGEST_CHUNK, 2 * sum(map(len, words))):
                found[chunk] = None
            else:
                found.update(dict.fromkeys(sorted(words)))
    return list(found)


def _is_told(path: str, edited: Iterable[str]) -> bool:
    """Whether a path is one of those that were edited, or ends one: Git told it from a folder below."""
    return any(one == path or one.endswith(f"/{path}") for one in edited)


def near(path: str) -> str:
    """A path; of one outside the session's folder its end, which is what it is known by."""
    parts = path.split("/")
    outside = path.startswith(("/", "~")) or path[1:3] == ":/"
    return f"…/{'/'.join(parts[-3:])}" if outside and len(parts) > _WHOLE_PARTS else path


def unlike(lines: list[str], told: list[str]) -> list[str]:
    """Lines that are not already told as a part of another."""
    kept: list[str] = []
    for line in lines:
        bare = line.rstrip("…. ")
        if not any(bare in other for other in (*told, *kept)):
            kept.append(line)
    return kept


def _commits(commits: list[tuple[str, str]]) -> Iterator[str]:
    newest = list(reversed(commits))
    yield from (f"{commit} {one_line(subject, 72)}" for commit, subject in newest[:_TOLD_COMMITS])
    yield from (commit for commit, _ in newest[_TOLD_COMMITS:])


def _ran(facts: Facts) -> Iterator[str]:
    mattered = [command for command in facts.commands.values() if command.matters]
    others = [command for command in facts.commands.values() if not command.matters]
    failing = [command for command in mattered if command.has_failed]
    passing = [command for command in mattered if not command.has_failed]
    tried = [command for command in others if command.has_failed]
    for command in [*reversed(failing), *reversed(passing), *reversed(tried)]:
        yield f"`{one_line(command.line, 110)}` {command.outcome}"


def _troubles(troubles: list[Trouble]) -> Iterator[str]:
    # A file that was not there is told last; a failed build first.
    newest_first = list(reversed(troubles))
    newest_first.sort(key=lambda trouble: not trouble.matters)
    for trouble in newest_first:
        end = ""
        if trouble.solved:
            files = ", ".join(path.rpartition("/")[2] for path in trouble.fixed_by[-3:])
            end = f" → solved by changing {files}" if files else " → solved"
        yield f"{one_line(trouble.signature, 180)}{end}"
