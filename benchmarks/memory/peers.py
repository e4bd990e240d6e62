"""Other memories for Claude Code beside ours: a session's start as a cold process, and the right session among the first five.

Each peer is installed from the package index into a virtual environment of its own (build/peers), fed the same
conversations as transcripts under a home of its own, and asked the same questions by its own search.  While it runs it
has no network at all where the kernel lets us take it away, and nothing of it outlives the run.  ccrecall is asked by
keywords: its model would have to be fetched.  agent-memory-git keeps no transcripts but what Claude wrote down: it is given
every conversation as one file of Claude Code's own memory, and asked for the words that are no stopwords, since it
wants all of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory.dataset import Options
from benchmarks.memory.measures import Score, table
from benchmarks.memory.memory import Memory, memory
from benchmarks.memory.questions import Course, Question, conversations
from benchmarks.memory.rankers import plain_words
from benchmarks.timing import Figure, processes, show
from domain.text import STOPWORDS
from mcp_server.services.transcripts import read_session
from tests.kit.mariadb import MariaDB

ASKED = 150
"""Questions of the sample: every tenth or so, in their order."""
RUNS = 15
TARGETS = {"claudetools on SQLite": "<= 80 ms", "claudetools on MariaDB": "<= 110 ms"}
"""Their folder is trusted by nobody, as one is in which somebody just begins: so more records are read."""
PATIENCE_S = 900
_BUILD = Path("build/peers")
_PROJECT = "-home-person"

# What runs in a peer's own environment: it is fed, asked, and its hook is timed.  `given` comes on stdin; JSON goes out last.
_DRIVER = """
import io, json, os, re, subprocess, sys, time
from contextlib import redirect_stdout
given = json.load(sys.stdin)
beside = os.path.dirname(sys.executable)
def run(*command):
    subprocess.run([os.path.join(beside, command[0]), *command[1:]], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
{feed}
found = []
for question in given["questions"]:
    begun = time.perf_counter()
    with redirect_stdout(io.StringIO()) as said:
        names = ask(question)
    found.append([list(dict.fromkeys(names or re.findall(given["name"], said.getvalue())))[:20], (time.perf_counter() - begun) * 1000])
taken = []
for at in range(given["runs"] + 2):
    event = {{"session_id": "00000000-0000-4000-8000-%012d" % at, "cwd": "/home/person", "source": "startup",
             "hook_event_name": "SessionStart", "transcript_path": ""}}
    begun = time.perf_counter()
    done = subprocess.run([os.path.join(beside, hook[0]), *hook[1:]], input=json.dumps(event).encode(), capture_output=True, cwd=given["folder"])
    taken.append((time.perf_counter() - begun) * 1000)
    if done.returncode:
        sys.exit("the hook ended with %d: %s" % (done.returncode, done.stderr.decode()[-300:]))
print(json.dumps({{"found": found, "taken": taken[2:], "said": len(done.stdout)}}))
"""
_CCRECALL = """
run("ccrecall", "import")
run("ccrecall", "backfill", "summaries")
from ccrecall.db import get_connection, resolve_db_settings
from ccrecall.config import DEFAULT_DB_PATH
from ccrecall.schema import detect_fts_support
from ccrecall.search_conversations import search_sessions
held = get_connection(resolve_db_settings(DEFAULT_DB_PATH))
line = held.__enter__()
level = detect_fts_support(line)
def ask(question):
    return [card["session_uuid"] for card in search_sessions(line, question, level, 20, keyword_only=True)[0]]
hook = ["ccrecall-context"]
"""
_CC_ANYWHERE = """
run("cc-anywhere", "--capture")
from cc_anywhere.semantic import semantic_search
def ask(question):
    return [chunk["session_id"] for chunk in semantic_search(question, limit=60)]
hook = ["cc-anywhere", "--read", "--json-context"]
"""
_AGENT_MEMORY = """
run("mem", "init", given["home"] + "/kept")
run("mem", "import", "claude")
from agent_memory import cli
def ask(question):
    wanted = [word for word in question.split() if word not in given["stopwords"]]
    cli.main(["search", "--all", "--limit", "20", *wanted])
hook = ["python", "-I", "-m", "agent_memory", "hook", "session-start", "--tool", "claude-code"]
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another product, at the version that is measured."""

    name: str
    version: str
    drive: str

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return (_BUILD / f"{self.name}-{self.version}" / "bin" / "python").absolute()


PEERS = (
    Peer("ccrecall", "0.26.0", _CCRECALL),
    Peer("cc-anywhere", "1.3.1", _CC_ANYWHERE),
    Peer("agent-memory-git", "0.1.15", _AGENT_MEMORY),
)


def main(options: Options) -> None:
    """Prints both tables.  Raises FileNotFoundError where there are no conversations."""
    with tempfile.TemporaryDirectory(prefix="claudetools-bench-") as place, MariaDB() as server:
        course = conversations(options.locomo, _folder(Path(place), "told"))
        sample = course.questions[:: max(1, len(course.questions) // ASKED)][:ASKED]
        floor = processes("the bare interpreter", [sys.executable, "-I", "-c", "pass"], runs=RUNS)
        starts: list[Figure] = []
        scores: list[Score] = []
        for name, kept in zip(TARGETS, (None, server), strict=True):
            with memory(kept) as ours:
                ours.keep(*course.told)
                scores.append(_asked(name, ours, sample))
                starts.append(_start(name, ours))
        for peer in PEERS:
            try:
                _install(peer)
                start, score = _measured(peer, course, sample, _folder(Path(place), peer.name))
            except (subprocess.SubprocessError, OSError, ValueError) as error:
                print(f"{peer.name} {peer.version}: left out, {_why(error)}", flush=True)
                continue
            starts.append(start)
            scores.append(score)
        show(f"a session's start, {len(course.told)} conversations kept", floor, starts, TARGETS)
        table(f"conversations, {len(course.told)} sessions, a sample of the questions", scores)


def _asked(name: str, ours: Memory, sample: list[Question]) -> Score:
    score = Score(name)
    for question in sample:
        order, taken = ours.ask(question)
        score.add(order, question.gold, taken)
    return score


def _start(name: str, ours: Memory) -> Figure:
    folder = ours.folder("")
    settings = ours.app.settings.hooks_settings_file

    def event(run: int) -> bytes:
        said = {
            "session_id": f"00000000-0000-4000-8000-{run:012d}",
            "transcript_path": str(folder / "none.jsonl"),
            "cwd": str(folder),
            "hook_event_name": "SessionStart",
            "source": "startup",
        }
        return json.dumps(said).encode() + b"\n"

    command = [sys.executable, "-I", "-m", "hooks", "SessionStart", str(settings)]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "CLAUDE_PROJECT_DIR": str(folder)}
    return processes(name, command, runs=RUNS, stdin=event, cwd=folder, env=env)


def _install(peer: Peer) -> None:
    """Installs a peer where it is not yet.  Raises subprocess.SubprocessError."""
    place = peer.python.parent.parent
    if (place / ".done").exists():
        return
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, capture_output=True, timeout=PATIENCE_S)
    subprocess.run(
        [str(peer.python), "-I", "-m", "pip", "install", "--quiet", f"{peer.name}=={peer.version}"],
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    (place / ".done").touch()


def _measured(peer: Peer, course: Course, sample: list[Question], home: Path) -> tuple[Figure, Score]:
    """A peer's session start and its answers.  Raises subprocess.SubprocessError, ValueError."""
    projects = _folder(home, f".claude/projects/{_PROJECT}")
    notes, folder = _folder(projects, "memory"), _folder(home, "work")
    for told in course.told:
        shutil.copy(told.path, projects)
        transcript, _ = read_session(told.path)
        words = "\n".join(turn.text for turn in transcript.turns)
        (notes / f"{told.name}.md").write_text(
            f"---\nname: {told.name}\ndescription: {told.name}\ntype: user\n---\n{words}\n", encoding="utf-8"
        )
    given = {
        "questions": [" ".join(plain_words(question.text)) for question in sample],
        "home": str(home),
        "folder": str(folder),
        "runs": RUNS,
        "stopwords": sorted(STOPWORDS),
        "name": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    }
    env = {
        "PATH": f"{peer.python.parent}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(home),
        **{f"XDG_{name}_HOME": str(home / f".{name.lower()}") for name in ("CONFIG", "DATA", "CACHE", "STATE")},
        "HF_HUB_OFFLINE": "1",
    }
    command = [*_without_network(), str(peer.python), "-I", "-c", _DRIVER.format(feed=peer.drive)]
    with _alone(command, env, folder) as child:
        out, err = child.communicate(json.dumps(given), timeout=PATIENCE_S)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, peer.name, out, err)
    answer = json.loads(out.splitlines()[-1])
    score = Score(f"{peer.name} {peer.version}")
    for question, (order, taken) in zip(sample, answer["found"], strict=True):
        score.add(order, question.gold, taken)
    return Figure(score.name, tuple(answer["taken"]), f"printed {answer['said']:,} bytes"), score


@contextlib.contextmanager
def _alone(command: list[str], env: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A child with a session of its own; whatever of that session still runs afterwards is ended."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=folder,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, 9)
        child.wait()


def _without_network() -> list[str]:
    """What a command is started with so that it has no network; nothing where that cannot be had.

    With a space of processes of its own as well: all of them end with the first.
    """
    command = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"]
    if (
        shutil.which(command[0]) is None
        or subprocess.run([*command, "true"], check=False, capture_output=True).returncode
    ):
        return []
    return command


def _folder(above: Path, name: str) -> Path:
    made = above / name
    made.mkdir(parents=True, exist_ok=True)
    return made


def _why(error: Exception) -> str:
    said = getattr(error, "stderr", None) or b""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return (text.strip().splitlines() or [str(error)])[-1][:300]
