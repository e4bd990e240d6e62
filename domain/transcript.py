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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from domain.tokens import estimate

TurnKind = Literal["prompt", "answer", "tool", "summary", "task"]

MOST_OPEN = 64
"""Calls that wait for their results; the client runs ten at once."""
_LONGEST_TITLE = 1_000
_MOST_BRANCHES = 50
_COUNTED_AT_ONCE = 65_536
_WHITE = b" \t\r\n\0"  # a file that was not closed in time may begin a row with NUL
OWN_TOOLS = ("mcp__plugin_claudetools_claudetools__", "mcp__claudetools__")
_PRIVATE = re.compile(r"<private>.*?(?:</private>|\Z)", re.DOTALL | re.IGNORECASE)
_INJECTED = re.compile(
    r"<(system-reminder|ide_opened_file|ide_selection|ide_diagnostics|claudetools-memory|new-diagnostics)\b[^<>]*>"
    r".*?(?:</\1>|\Z)",
    re.DOTALL,
)
_LOCAL = re.compile(
    r"\s*<(?:local-command-[a-z]+|bash-(?:input|stdout|stderr)|command-(?:stdout|contents)|task-notification|"
    r"user-memory-input|tools-used-before-summary)\b",
)
_COMMAND = re.compile(r"<command-name>\s*(/?[\w:.-]{1,80})\s*</command-name>")
_INTERRUPTED = re.compile(r"\[Request (?:interrupted|cancelled) by user[^\]]*\]")
_HOOK_FEEDBACK = re.compile(r"\s*(?:Operation stopped by hook:|Stop hook feedback:|UserPromptSubmit operation blocked)")
_ANSWERED_CALL = re.compile(r"the user said:\s*(.+?)(?:\n\nNote: |\Z)", re.DOTALL)
REFUSED = "The user doesn't want to proceed with this tool use"
_CONTINUED = "This session is being continued from a previous conversation"
_SUMMARY, _AFTER_SUMMARY = "\nSummary:\n", "\n\nIf you need specific details from before compaction"
_DO_NOT_REMEMBER = re.compile(
    r"(?:^|[.!?:;,(\[\n])[^\S\n]*(?:please\s+)?(?:don['’]?t|do not) remember (?:this|that|it)\b", re.IGNORECASE
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


def read(lines: Iterable[bytes], *, aside: bool = False) -> Transcript:
    """Read the lines of one transcript file into memory: for a short one, and for measuring.

    Never raises for what the file holds: a line that is torn, not UTF-8, not JSON or of an unknown
    kind is counted and passed over.  `aside` says that this is a subagent's file.
    """
    reader, silence = Reader(aside=aside), Silence()
    turns: list[Turn] = []
    for line in lines:
        told = reader.take(line)
        if reader.begins_anew:
            turns.clear()
        turns.extend(turn for turn in told if silence.lets(turn))
    turns.extend(turn for turn in reader.unfinished() if silence.lets(turn))
    about = reader.about
    return Transcript(
        turns=tuple(turns),
        title=about.title,
        folder=about.folder,
        branches=tuple(about.branches),
        first_us=about.first_us,
        last_us=about.last_us,
        rows=about.rows,
        unreadable=about.unreadable,
    )


def cost(turn: Turn) -> int:
    """The tokens that a turn took of what the model saw: its text, and all that a tool was given."""
    return turn.tokens or sum(
        estimate(piece) for text in (turn.text, *_texts(turn.arguments)) for piece in _pieces(text)
    )


def clean(text: str) -> str:
    """Text without terminal sequences, NUL and other control characters, and without halves of surrogate pairs."""
    return _CONTROL.sub("", text)


@dataclass(slots=True)
class About:
    """What the rows of a file say of their session, beside its turns.  The newest branch stands last."""

    title: str = ""
    folder: str = ""
    branches: dict[str, None] = field(default_factory=dict)
    first_us: int = 0
    last_us: int = 0
    rows: int = 0
    unreadable: int = 0


class Reader:
    """Reads the lines of one file as they come.  A tool's call is told when its result is there.

    What it holds is bounded: the calls that wait for their results, and no more than `MOST_OPEN` of
    them.  `has_own_file` tells of another session's id whether that session is told by itself; what
    a fork copied from such a one is not told again.
    """

    def __init__(self, *, aside: bool = False, has_own_file: Callable[[str], bool] = lambda _: True) -> None:
        self._aside = aside
        self._has_own_file = has_own_file
        self._open: dict[str, Turn] = {}
        self._told: list[Turn] = []
        self.about = About()
        self.begins_anew = False
        """Whether the last line showed that all before it was copied from another session."""

    def take(self, line: bytes) -> list[Turn]:
        """The turns that a line completes.  Never raises for what it holds."""
        self.begins_anew = False
        stripped = line.strip(_WHITE)
        if not stripped:
            return []
        self.about.rows += 1
        try:
            row = json.loads(stripped.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            self.about.unreadable += 1
            return []
        kind = row.get("type")
        if kind in ("user", "assistant", "attachment"):
            self._chain_row(kind, row)
        elif kind in ("ai-title", "custom-title", "summary"):
            given = row.get("customTitle") or row.get("aiTitle") or row.get("summary")
            # Longer than it is shown: what is cut off is cut off when it was struck.
            self.about.title = clean(_text(given))[:_LONGEST_TITLE] or self.about.title
        told, self._told = self._told, []
        return told

    def unfinished(self) -> list[Turn]:
        """The calls whose results have not come."""
        return list(self._open.values())

    def _chain_row(self, kind: str, row: Mapping[str, object]) -> None:
        if self._is_copied(row):
            return
        at_us = microseconds(row.get("timestamp")) or self.about.last_us
        if kind == "attachment":
            self._attachment(row, at_us)
            return
        message = row.get("message")
        if not isinstance(message, dict):
            return
        about = self.about
        about.first_us = about.first_us or at_us
        about.last_us = max(about.last_us, at_us)
        about.folder = about.folder or _text(row.get("cwd"))
        branch = _text(row.get("gitBranch"))[:_LONGEST_TITLE]
        if branch and branch != "HEAD":
            about.branches.pop(branch, None)
            about.branches[branch] = None
            if len(about.branches) > _MOST_BRANCHES:
                about.branches.pop(next(iter(about.branches)))
        aside = self._aside or row.get("isSidechain") is True
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(blocks, list):
            return
        if row.get("isCompactSummary") is True:
            self._told.append(Turn("summary", _PRIVATE.sub("", clean(_unframed(_joined(blocks)))), at_us, aside=aside))
        elif kind == "assistant":
            # What the client says in Claude's place: that a limit is reached, that nothing was asked for.
            if row.get("isApiErrorMessage") is not True and message.get("model") != "<synthetic>":
                self._assistant(blocks, at_us, aside=aside)
        else:
            hidden = row.get("isMeta") is True or not _is_a_persons(row.get("origin"))
            self._user(blocks, at_us, hidden=hidden, aside=aside)

    def _is_copied(self, row: Mapping[str, object]) -> bool:
        """Whether a row belongs to the session that this one was forked from."""
        origin = row.get("forkedFrom")
        if isinstance(origin, dict):  # `/branch` marks every row
            return self._has_own_file(_text(origin.get("sessionId")))
        asked = _text(row.get("requestSessionId"))  # `--fork-session` leaves who asked the model
        if not asked or asked == row.get("sessionId") or not self._has_own_file(asked):
            return False
        self._open.clear()
        self._told.clear()
        self.about = About(title=self.about.title, rows=self.about.rows, unreadable=self.about.unreadable)
        self.begins_anew = True
        return True

    def _attachment(self, row: Mapping[str, object], at_us: int) -> None:
        """What the person typed while Claude worked; everything else that is attached was typed by nobody."""
        attached = row.get("attachment")
        if not isinstance(attached, dict) or attached.get("type") != "queued_command":
            return
        if attached.get("commandMode", "prompt") != "prompt" or attached.get("isMeta") is True:
            return
        if not _is_a_persons(attached.get("origin")) or self._aside or row.get("isSidechain") is True:
            return
        given = attached.get("prompt")
        self._user([{"type": "text", "text": given}] if isinstance(given, str) else given, at_us)

    def _assistant(self, blocks: list[object], at_us: int, *, aside: bool) -> None:
        for block in blocks:
            if not isinstance(block, dict):
                continue
            if block.get("type") == "text":
                text = _PRIVATE.sub("", clean(_text(block.get("text")))).strip()
                if text:
                    self._told.append(Turn("answer", text, at_us, aside=aside))
            elif block.get("type") == "tool_use":
                name = _text(block.get("name"))[:200]
                given = block.get("input")
                arguments = reduced(name, given if isinstance(given, dict) else {})
                self._open[_text(block.get("id"))[:200]] = Turn("tool", "", at_us, name, arguments, aside=aside)
                if len(self._open) > MOST_OPEN:
                    self._told.append(self._open.pop(next(iter(self._open))))

    def _user(self, blocks: object, at_us: int, *, hidden: bool = False, aside: bool = False) -> None:
        typed: list[str] = []
        for block in blocks if isinstance(blocks, list) else []:
            if not isinstance(block, dict):
                continue
            if block.get("type") == "tool_result":
                self._result(block, at_us)
            elif block.get("type") == "text" and not hidden:
                typed.append(_text(block.get("text")))
        text = typed_text("\n".join(typed))
        if text.startswith(_CONTINUED):
            self._told.append(Turn("summary", _unframed(text), at_us, aside=aside))
        elif text:
            self._told.append(Turn("task" if aside else "prompt", text, at_us, aside=aside))

    def _result(self, block: Mapping[str, object], at_us: int) -> None:
        call = self._open.pop(_text(block.get("tool_use_id"))[:200], None)
        if call is None:
            return
        content = block.get("content")
        text = content if isinstance(content, str) else _joined(content if isinstance(content, list) else [])
        kept = "" if is_own(call.tool) else _PRIVATE.sub("", clean(text))
        self._told.append(replace(call, text=kept, failed=block.get("is_error") is True, at_us=at_us))
        said = _ANSWERED_CALL.search(kept) if kept.startswith(REFUSED) else None
        if said and not call.aside:
            # A call that the person stopped with a word of direction: that word is theirs.
            self._told.append(Turn("prompt", said.group(1).strip(), at_us))


class Silence:
    """Leaves out what a person asked not to remember: that prompt, and all up to the next one."""

    def __init__(self) -> None:
        self._silent = False

    def lets(self, turn: Turn) -> bool:
        """Whether this turn, the next in order, may be remembered."""
        if turn.kind == "prompt":
            self._silent = _DO_NOT_REMEMBER.search(turn.text) is not None
        return not self._silent


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
        given, closed, _ = text.partition("<command-args>")[2].partition("</command-args>")
        words = given.strip() if closed else ""
        return f"/{command.group(1).lstrip('/')} {words}" if words else ""
    return _INTERRUPTED.sub("", text).strip()


def _is_a_persons(origin: object) -> bool:
    """Whether a prompt came from a person; older clients say nothing of it."""
    return not isinstance(origin, dict) or origin.get("kind") in ("human", None)


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


def _pieces(text: str) -> Iterator[str]:
    """A text in pieces: counting takes twenty times the memory of what is counted at once."""
    if len(text) <= _COUNTED_AT_ONCE:
        yield text
        return
    for at in range(0, len(text), _COUNTED_AT_ONCE):
        yield text[at : at + _COUNTED_AT_ONCE]


def _joined(blocks: Iterable[object]) -> str:
    return "\n".join(
        _text(block.get("text")) for block in blocks if isinstance(block, dict) and block.get("type") == "text"
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def microseconds(value: object) -> int:
    """A row's time in microseconds since 1970; 0 where it is none, or before that."""
    try:
        return max(0, int(datetime.fromisoformat(_text(value)).timestamp() * 1_000_000))
    except (ValueError, OverflowError, OSError):
        return 0
