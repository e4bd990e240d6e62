"""What is asked of a memory, and what would answer it: the two sets of questions, in the order of time.

Conversations (LoCoMo): every session of every conversation in one pool.  A question's gold are the sessions of its
evidence; adversarial questions (category 5) have none and are left out.  Speaker A is the person and speaker B is
Claude; each turn begins with its speaker's name, as the questions name them, and a photo is told by its caption.

Coding sessions: a question is the first prompt of a session that says something.  Candidates are the sessions of the
same repository that had ended when it began; gold are those that touched a file which this session touched too, where
that is a file of few sessions.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from benchmarks.memory.dataset import Options, Session, sessions
from mcp_server.services.transcripts import read_session

ADVERSARIAL = 5
SUBSTANTIAL = 40
"""Characters of a prompt that says something."""
FEWEST_CANDIDATES = 8
_TURN_S = 30
_EVIDENCE = re.compile(r"D:?(\d+):\d+")
_EVERYWHERE = re.compile(
    r"(?:^|/)(?:[^/]*(?:\.lock|-lock\.(?:json|ya?ml)|\.lock\.ya?ml|lockfile)|go\.sum|change(?:log|s)[^/]*|readme[^/]*|claude\.md)\Z",
    re.IGNORECASE,
)
_FROM = "%I:%M %p on %d %B, %Y"


@dataclass(frozen=True, slots=True)
class Told:
    """A session that a memory is to keep: its transcript, and where and when it was."""

    name: str
    path: Path
    repo: str
    at_us: int
    branch: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the names of the sessions that answer it, and where and when it is asked (0: now).

    `category` is the data's own: 1 needs several sessions, 2 asks when, 3 needs knowledge of the world, 4 needs one session.
    """

    text: str
    gold: frozenset[str]
    repo: str = ""
    branch: str = ""
    at_us: int = 0
    category: int = 0


@dataclass(frozen=True, slots=True)
class Course:
    """Sessions and questions in the order in which they are told and asked, and prompts that any repository may be asked."""

    name: str
    events: list[Told | Question] = field(default_factory=list)

    @property
    def told(self) -> list[Told]:
        """The sessions."""
        return [event for event in self.events if isinstance(event, Told)]

    @property
    def questions(self) -> list[Question]:
        """The questions."""
        return [event for event in self.events if isinstance(event, Question)]


def conversations(file: Path, folder: Path) -> Course:
    """LoCoMo: its sessions as transcripts in `folder`, then its questions.  Raises FileNotFoundError."""
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there; give it with --data or --locomo")
    told: list[Told | Question] = []
    questions: list[Told | Question] = []
    for number, sample in enumerate(json.loads(file.read_text(encoding="utf-8"))):
        names = dict(_spoken(sample["conversation"], number, folder))
        told.extend(names.values())
        for asked in sample["qa"]:
            said = _EVIDENCE.findall(" ".join(asked.get("evidence") or ()))
            gold = frozenset(names[int(session)].name for session in said if int(session) in names)
            if asked["category"] != ADVERSARIAL and gold:
                questions.append(Question(str(asked["question"]), gold, category=int(asked["category"])))
    return Course("conversations", [*told, *questions])


def _spoken(said: Mapping[str, object], number: int, folder: Path) -> Iterator[tuple[int, Told]]:
    for key, turns in said.items():
        found = re.fullmatch(r"session_(\d+)", key)
        if not found or not isinstance(turns, list) or not turns:
            continue
        begun = datetime.strptime(str(said[f"{key}_date_time"]), _FROM).replace(tzinfo=UTC)
        name = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{number} {key}"))
        path = folder / f"{name}.jsonl"
        with path.open("w", encoding="utf-8") as out:
            before: object = None
            for place, turn in enumerate(turns):
                at = begun + timedelta(seconds=_TURN_S * place)
                row = _row(name, turn, at, person=turn["speaker"] == said["speaker_a"]) | {"parentUuid": before}
                before = row["uuid"]
                out.write(json.dumps(row) + "\n")
        ended = begun + timedelta(seconds=_TURN_S * len(turns))
        yield int(found.group(1)), Told(name, path, "", int(ended.timestamp() * 1_000_000))


def _row(name: str, turn: Mapping[str, str], at: datetime, *, person: bool) -> dict[str, object]:
    shown = f" [shows a photo: {turn['blip_caption']}]" if turn.get("blip_caption") else ""
    text = f"{turn['speaker']}: {turn['text']}{shown}"
    return {
        "type": "user" if person else "assistant",
        "message": {
            "role": "user" if person else "assistant",
            "content": text if person else [{"type": "text", "text": text}],
        },
        "sessionId": name,
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {at}")),
        "timestamp": at.isoformat().replace("+00:00", ".000Z"),
        "cwd": "/home/person",
    }


def coding(options: Options) -> Course:
    """The coding sessions, each told when it ended, and the questions at the moment when each began."""
    known = [session for session in sessions(options) if session.first and session.last]
    events: list[tuple[int, int, Told | Question]] = []
    for session in known:
        begins, ends = _us(session.first), _us(session.last)
        prompt, first, last = _opening(session)
        events.append((ends, 1, Told(session.path.stem, session.path, session.repo, ends, last)))
        ended = [other for other in known if other.repo == session.repo and _us(other.last) < begins]
        specific = _specific(session, known)
        gold = frozenset(other.path.stem for other in ended if specific.intersection(other.files))
        if prompt and gold and len(ended) >= FEWEST_CANDIDATES:
            events.append((begins, 0, Question(prompt, gold, session.repo, first, begins)))
    events.sort(key=lambda event: event[:2])
    return Course("coding sessions", [event for _, _, event in events])


def _specific(session: Session, known: list[Session]) -> set[str]:
    """The files of a session that few sessions of its repository touched."""
    alike = [other for other in known if other.repo == session.repo]
    touched = Counter(file for other in alike for file in set(other.files))
    most = max(3, 0.08 * len(alike))
    return {file for file in session.files if touched[file] <= most and not _EVERYWHERE.search(file)}


def _opening(session: Session) -> tuple[str, str, str]:
    """The first substantial prompt, and the branches at a session's beginning and end."""
    transcript, _ = read_session(session.path)
    prompts = (turn.text for turn in transcript.turns if turn.kind == "prompt" and not turn.aside)
    prompt = next((said for said in prompts if len(said) >= SUBSTANTIAL and not said.startswith(("/", "<"))), "")
    branches = _branches(session.path)
    return prompt, branches[0] if branches else "", branches[-1] if branches else ""


def _branches(path: Path) -> list[str]:
    """The branches that a transcript's rows name, in their order."""
    found: list[str] = []
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            at = line.find('"gitBranch":"')
            if at >= 0:
                found.append(line[at + 13 : line.find('"', at + 13)])
    named = [branch for branch in found if branch and branch != "HEAD"]
    return [*named[:1], *(after for before, after in pairwise(named) if before != after)]


def _us(said: str) -> int:
    return int(datetime.fromisoformat(said).timestamp() * 1_000_000)
