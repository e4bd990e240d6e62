"""Claude Code's transcript (JSON lines) to turns, tolerant of everything it does not know.

What becomes a turn: what the person typed, what Claude answered, each tool call with its result,
and the summary of a compaction.  What does not: rows that hooks and the client injected (our own
text among them: the memory must not feed on itself), attachments and tool listings, bookkeeping,
meta rows, the output of local commands, prompts that machines wrote, thinking.

Calls of our own tools are reduced to the tool's name and the reference of a credential: neither
their other arguments nor their answers are kept, since those may hold a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from domain.tokens import estimate

TurnKind = Literal["prompt", "answer", "tool", "summary", "task"]

LONGEST_LINE = 16 * 1024 * 1024
OWN_TOOLS = ("mcp__plugin_claudetools_claudetools__", "mcp__claudetools__")
_PRIVATE = re.compile(r"<private>.*?(?:</private>|\Z)", re.DOTALL | re.IGNORECASE)
_INJECTED = re.compile(
    r"<(system-reminder|ide_opened_file|ide_selection|ide_diagnostics|claudetools-memory|new-diagnostics)\b[^>]*>"
    r".*?(?:</\1>|\Z)",
    re.DOTALL,
)
_LOCAL = re.compile(
    r"\s*<(?:local-command-[a-z]+|bash-(?:input|stdout|stderr)|command-(?:stdout|contents)|task-notification|"
    r"user-memory-input|tools-used-before-summary)\b",
)
_COMMAND = re.compile(r"<command-name>\s*(/?[\w:.-]{1,80})\s*</command-name>")
_ARGUMENTS = re.compile(r"<command-args>(.*?)</command-args>", re.DOTALL)
_INTERRUPTED = re.compile(r"\[Request (?:interrupted|cancelled) by user[^\]]*\]")
_HOOK_FEEDBACK = re.compile(r"\s*(?:Operation stopped by hook:|Stop hook feedback:|UserPromptSubmit operation blocked)")
_ANSWERED_CALL = re.compile(r"the user said:\s*(.+?)(?:\n\nNote: |\Z)", re.DOTALL)
REFUSED = "The user doesn't want to proceed with this tool use"
_CONTINUED = "This session is being continued from a previous conversation"
_SUMMARY, _AFTER_SUMMARY = "\nSummary:\n", "\n\nIf you need specific details from before compaction"
_DO_NOT_REMEMBER = re.compile(
    r"(?:^|[.!?:;,(\[\n])\s*(?:please\s+)?(?:don['’]?t|do not) remember (?:this|that|it)\b", re.IGNORECASE
)
_REFERENCE = re.compile(r"[\w.@ +-]{1,80}(?:/[\w.@ +-]{1,80}){0,3}\Z")
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]|[\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that was said or done.

    `text` is the prompt, the answer, the summary, or a tool's result.  `tool` and `arguments` are
    set for tool calls.  `aside` marks what a subagent did.  `tokens` is set where the turn was shortened
    for its length: what all of it cost (`cost` of the whole turn); 0 where nothing was cut.
    """

    kind: TurnKind
    text: str = ""
    at_us: int = 0
    tool: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)
    failed: bool = False
    aside: bool = False
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Transcript:
    """A session as it was read: its turns in order and what the rows say about it."""

    turns: tuple[Turn, ...] = ()
    title: str = ""
    folder: str = ""
    branches: tuple[str, ...] = ()
    first_us: int = 0
    last_us: int = 0
    rows: int = 0
    unreadable: int = 0


def split_lines(chunks: Iterable[bytes], longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """Whole lines out of byte chunks, cut anywhere.  A line above `longest` bytes comes out empty, never in memory."""
    kept: list[bytes] = []
    size = 0
    for chunk in chunks:
        pieces = chunk.split(b"\n")
        for number, piece in enumerate(pieces):
            if number:
                yield b"".join(kept) if size <= longest else b""
                kept, size = [], 0
            size += len(piece)
            if size <= longest:
                kept.append(piece)
            else:
                kept = []
    if size:
        yield b"".join(kept) if size <= longest else b""


def read(lines: Iterable[bytes], *, aside: bool = False) -> Transcript:
    """Read the lines of one transcript file.

    Never raises for what the file holds: a line that is torn, not UTF-8, not JSON or of an unknown
    kind is counted and passed over.  `aside` says that this is a subagent's file.
    """
    reader = _Reader(aside=aside)
    for line in lines:
        reader.take(line)
    return reader.finish()


def join(main: Transcript, asides: Iterable[Transcript]) -> Transcript:
    """A session with what its subagents did, in order of time."""
    turns = list(main.turns)
    for aside in asides:
        turns.extend(aside.turns)
    turns.sort(key=lambda turn: turn.at_us)
    return replace(main, turns=tuple(turns))


def cost(turn: Turn) -> int:
    """The tokens that a turn took of what the model saw: its text, and all that a tool was given."""
    return turn.tokens or estimate(turn.text) + sum(estimate(value) for value in _texts(turn.arguments))


def clean(text: str) -> str:
    """Text without terminal sequences, NUL and other control characters, and without halves of surrogate pairs."""
    return _CONTROL.sub("", text)


class _Reader:
    """Collects turns; a tool call waits in place for its result."""

    def __init__(self, *, aside: bool) -> None:
        self._aside = aside
        self._turns: list[Turn] = []
        self._calls: dict[str, int] = {}
        self._branches: dict[str, None] = {}
        self._title = ""
        self._folder = ""
        self._first = 0
        self._last = 0
        self._rows = 0
        self._unreadable = 0

    def take(self, line: bytes) -> None:
        stripped = line.strip()
        if not stripped:
            return
        self._rows += 1
        try:
            row = json.loads(stripped.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            self._unreadable += 1
            return
        if not isinstance(row, dict):
            self._unreadable += 1
            return
        kind = row.get("type")
        if kind in ("user", "assistant"):
            self._chain_row(kind, row)
        elif kind in ("ai-title", "custom-title", "summary"):
            self._title = (
                clean(_text(row.get("customTitle") or row.get("aiTitle") or row.get("summary")))[:200] or self._title
            )

    def finish(self) -> Transcript:
        return Transcript(
            turns=tuple(_remembered(self._turns)),
            title=self._title,
            folder=self._folder,
            branches=tuple(self._branches),
            first_us=self._first,
            last_us=self._last,
            rows=self._rows,
            unreadable=self._unreadable,
        )

    def _chain_row(self, kind: str, row: Mapping[str, object]) -> None:
        message = row.get("message")
        if not isinstance(message, dict):
            return
        at_us = _microseconds(row.get("timestamp")) or self._last
        self._first = self._first or at_us
        self._last = max(self._last, at_us)
        self._folder = self._folder or _text(row.get("cwd"))
        branch = _text(row.get("gitBranch"))
        if branch and branch != "HEAD":
            # The newest branch stands last.
            self._branches.pop(branch, None)
            self._branches[branch] = None
        aside = self._aside or row.get("isSidechain") is True
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(blocks, list):
            return
        if row.get("isCompactSummary") is True:
            self._turns.append(Turn("summary", _PRIVATE.sub("", clean(_unframed(_joined(blocks)))), at_us, aside=aside))
        elif kind == "assistant":
            self._assistant(blocks, at_us, aside=aside)
        else:
            self._user(blocks, at_us, meta=row.get("isMeta") is True, aside=aside)

    def _assistant(self, blocks: list[object], at_us: int, *, aside: bool) -> None:
        for block in blocks:
            if not isinstance(block, dict):
                continue
            if block.get("type") == "text":
                text = _PRIVATE.sub("", clean(_text(block.get("text")))).strip()
                if text:
                    self._turns.append(Turn("answer", text, at_us, aside=aside))
            elif block.get("type") == "tool_use":
                name = _text(block.get("name"))[:200]
                given = block.get("input")
                arguments = reduced(name, given if isinstance(given, dict) else {})
                self._calls[_text(block.get("id"))] = len(self._turns)
                self._turns.append(Turn("tool", "", at_us, name, arguments, aside=aside))

    def _user(self, blocks: list[object], at_us: int, *, meta: bool, aside: bool) -> None:
        typed: list[str] = []
        for block in blocks:
            if not isinstance(block, dict):
                continue
            if block.get("type") == "tool_result":
                self._result(block)
            elif block.get("type") == "text" and not meta:
                typed.append(_text(block.get("text")))
        text = typed_text("\n".join(typed))
        if text.startswith(_CONTINUED):
            self._turns.append(Turn("summary", _unframed(text), at_us, aside=aside))
        elif text:
            self._turns.append(Turn("task" if aside else "prompt", text, at_us, aside=aside))

    def _result(self, block: Mapping[str, object]) -> None:
        place = self._calls.pop(_text(block.get("tool_use_id")), None)
        if place is None:
            return
        call = self._turns[place]
        content = block.get("content")
        text = content if isinstance(content, str) else _joined(content if isinstance(content, list) else [])
        kept = "" if is_own(call.tool) else _PRIVATE.sub("", clean(text))
        self._turns[place] = replace(call, text=kept, failed=block.get("is_error") is True)
        said = _ANSWERED_CALL.search(kept) if kept.startswith(REFUSED) else None
        if said and not call.aside:
            # A call that the person stopped with a word of direction: that word is theirs.
            self._turns.append(Turn("prompt", said.group(1).strip(), self._last))


def is_own(tool: str) -> bool:
    """Whether a tool is one of ours, under the plugin's or a plain server's name."""
    return tool.startswith(OWN_TOOLS)


def reduced(tool: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
    """The arguments that may be kept of a call: all of a foreign tool's, of ours the credential's reference alone."""
    if not is_own(tool):
        return arguments
    reference = arguments.get("reference")
    if "__credential_" in tool and isinstance(reference, str) and _REFERENCE.match(reference):
        return {"reference": reference}
    return {}


def typed_text(text: str) -> str:
    """What the person typed of a prompt: without injected blocks, local commands and private parts; may be empty."""
    if _LOCAL.match(text) or _HOOK_FEEDBACK.match(text):
        return ""
    text = _PRIVATE.sub("", _INJECTED.sub("", clean(text)))
    command = _COMMAND.search(text)
    if command:
        given = _ARGUMENTS.search(text)
        words = given.group(1).strip() if given else ""
        return f"/{command.group(1).lstrip('/')} {words}" if words else ""
    return _INTERRUPTED.sub("", text).strip()


def _remembered(turns: Iterable[Turn]) -> Iterator[Turn]:
    """The turns without those that the person asked not to remember, up to the next prompt."""
    silent = False
    for turn in turns:
        if turn.kind == "prompt":
            silent = _DO_NOT_REMEMBER.search(turn.text) is not None
        if not silent:
            yield turn


def _unframed(text: str) -> str:
    """A compaction's summary without what the client says around it."""
    return text.rpartition(_SUMMARY)[2].partition(_AFTER_SUMMARY)[0].strip()


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _joined(blocks: Iterable[object]) -> str:
    return "\n".join(
        _text(block.get("text")) for block in blocks if isinstance(block, dict) and block.get("type") == "text"
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _microseconds(value: object) -> int:
    try:
        return int(datetime.fromisoformat(_text(value)).timestamp() * 1_000_000)
    except (ValueError, OverflowError, OSError):
        return 0
