"""Context records: what is kept of a session, or of what somebody wanted to be remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.errors import Invalid

SESSION = "session"
MEMORY = "memory"
"""A file of Claude Code's own auto memory, which it keeps on one machine."""
NOTE_KINDS = ("decision", "fact", "todo", "warning")
KINDS = (SESSION, MEMORY, *NOTE_KINDS)
LONGEST_TITLE = 200
LONGEST_TEXT = 20_000
LONGEST_TAG = 40
LONGEST_FILTER = 300
MOST_TAGS = 20


@dataclass(frozen=True, slots=True)
class ContextRecord:
    """A record whole, as it is written and read.

    `session_key` is "" for a note.  `digest` is what may be injected, `body_person` and `body_rest`
    the long form that is searched.  `terms` is in the form of `domain.recall.term_counts`.
    `struck` counts by rule what was taken out; `provenance` says of each head of the digest whose
    words stand there: person, claude, tool, facts.
    """

    record_id: str
    kind: str
    title: str
    digest: str
    created_us: int
    updated_us: int
    session_key: str = ""
    project: str = ""
    project_name: str = ""
    client: str = ""
    branch: str = ""
    machine_id: str = ""
    machine_name: str = ""
    agent_id: str = ""
    session_id: str = ""
    owner_id: str = ""
    owner_name: str = ""
    outcome: str = ""
    pinned: bool = False
    superseded_by: str = ""
    transcript_size: int = 0
    raw_tokens: int = 0
    digest_tokens: int = 0
    person_length: int = 0
    rest_length: int = 0
    terms: str = field(default="", repr=False)
    body_person: str = field(default="", repr=False)
    body_rest: str = field(default="", repr=False)
    tags: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    struck: Mapping[str, int] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are asked for.  Empty fields and zeros leave a thing open; all that are set must hold.

    `project` (an id) and `client` together mean records of either, as a place has them;
    `project_name` is what the project's folder or remote is called.  `machine` and `person` are
    names or ids, `file` a path or the end of one, `tag` one tag, `since_us` and `until_us` bound the
    time of the last change.  `owner_id` leaves other persons' records out.
    """

    project: str = ""
    project_name: str = ""
    client: str = ""
    kind: str = ""
    machine: str = ""
    person: str = ""
    branch: str = ""
    file: str = ""
    tag: str = ""
    session: str = ""
    since_us: int = 0
    until_us: int = 0
    owner_id: str = ""


EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True)
class Filters:
    """What a question is narrowed to, in the words of whoever asks; empty leaves a thing open.

    `project` is a name or an id, `person` a name; "." and "me" are those of whoever asks, as "." is
    for `machine` and `branch`.  `session` is for forgetting.  `when`, `since` and `until` are times as `domain.moments` reads them.
    """

    project: str = ""
    client: str = ""
    kind: str = ""
    machine: str = ""
    person: str = ""
    branch: str = ""
    file: str = ""
    tag: str = ""
    session: str = ""
    when: str = ""
    since: str = ""
    until: str = ""

    def check(self) -> None:
        """Raises Invalid, naming every filter that cannot be one."""
        wrong = {
            name: f"at most {LONGEST_FILTER} characters of text"
            for name in self.__dataclass_fields__
            if len(getattr(self, name)) > LONGEST_FILTER or "\0" in getattr(self, name)
        }
        if self.kind and self.kind not in KINDS:
            wrong["kind"] = f"one of {', '.join(KINDS)}"
        if self.when and (self.since or self.until):
            wrong["when"] = "alone, without since and until"
        if wrong:
            raise Invalid("the memory cannot be asked like this", fields=wrong)


@dataclass(frozen=True, slots=True)
class Doomed:
    """What would be forgotten together: how many records, from when to when, of which projects, and some titles."""

    records: int
    oldest_us: int = 0
    newest_us: int = 0
    projects: tuple[tuple[str, int], ...] = ()
    titles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that answers a question: what a list shows of it.  `line` is the whole of it in one line.

    `told` says that this session was given it already.
    """

    record_id: str
    kind: str
    title: str
    outcome: str
    updated_us: int
    machine_name: str
    owner_name: str
    project: str
    project_name: str
    client: str
    branch: str
    score: float
    line: str
    told: bool = False


def check_note(kind: str, title: str, text: str, tags: tuple[str, ...]) -> None:
    """Raises Invalid, naming the field, where a note cannot be kept as it is."""
    wrong: dict[str, str] = {}
    if kind not in NOTE_KINDS:
        wrong["kind"] = f"one of {', '.join(NOTE_KINDS)}"
    if not title.strip():
        wrong["title"] = "is empty"
    elif len(title) > LONGEST_TITLE:
        wrong["title"] = f"at most {LONGEST_TITLE} characters"
    if not text.strip():
        wrong["text"] = "is empty"
    elif len(text) > LONGEST_TEXT:
        wrong["text"] = f"at most {LONGEST_TEXT} characters"
    if len(tags) > MOST_TAGS or any(not tag.strip() or len(tag) > LONGEST_TAG for tag in tags):
        wrong["tags"] = f"at most {MOST_TAGS}, each of 1 to {LONGEST_TAG} characters"
    if any("\0" in part for part in (title, text, *tags)):
        wrong.setdefault("text", "holds a NUL character")
    if wrong:
        raise Invalid("the note cannot be kept like this", fields=wrong)
