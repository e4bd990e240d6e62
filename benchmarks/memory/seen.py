"""What the model saw of a session, read off its rows by themselves: nothing of the product's own reading is used here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_NOT_TYPED = re.compile(
    r"<(?:local-command|command-name|command-message|bash-|task-notification|user-memory)|\[Request interrupted|Caveat: "
)
_REMINDER = re.compile(r"<(system-reminder|ide_\w+)>.*?</\1>", re.DOTALL)


@dataclass(slots=True)
class Call:
    """A tool call with its result."""

    tool: str
    given: Mapping[str, object]
    result: str = ""
    failed: bool = False

    def said(self, name: str) -> str:
        """What it was given under a name, where that is text."""
        value = self.given.get(name)
        return value if isinstance(value, str) else ""

    @property
    def file(self) -> str:
        """The file that it works on; empty for none."""
        return self.said("file_path") or self.said("notebook_path")


@dataclass(slots=True)
class Seen:
    """Prompts, answers and calls in their order; `texts` is all of it, a piece for each block."""

    prompts: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    folder: str = ""


def read_seen(path: Path) -> Seen:
    """A session as its main transcript tells it.  Raises OSError."""
    seen = Seen()
    waiting: dict[str, Call] = {}
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            message = row.get("message") if isinstance(row, dict) else None
            if isinstance(message, dict) and row.get("type") in ("user", "assistant"):
                seen.folder = seen.folder or str(row.get("cwd") or "")
                _row(seen, waiting, row, message)
    return seen


def _row(seen: Seen, waiting: dict[str, Call], row: Mapping[str, object], message: Mapping[str, object]) -> None:
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for block in blocks if isinstance(blocks, list) else []:
        if not isinstance(block, dict):
            continue
        text = str(block.get("text") or "")
        if block.get("type") == "tool_use":
            given = block.get("input")
            call = Call(str(block.get("name")), given if isinstance(given, dict) else {})
            seen.calls.append(call)
            seen.texts.append("\n".join(leaves(call.given)))
            waiting[str(block.get("id"))] = call
        elif block.get("type") == "tool_result":
            answered = waiting.get(str(block.get("tool_use_id")))
            told = block.get("content")
            result = told if isinstance(told, str) else "\n".join(_texts(told))
            seen.texts.append(result)
            if answered:
                answered.result, answered.failed = result, block.get("is_error") is True
        elif text and row["type"] == "assistant":
            seen.models.append(str(message.get("model") or ""))
            seen.answers.append(text)
            seen.texts.append(text)
        elif text:
            seen.texts.append(text)
            bare = _REMINDER.sub("", text).strip()
            is_prompt = not (row.get("isMeta") or row.get("isSidechain") or row.get("isCompactSummary"))
            if is_prompt and bare and not _NOT_TYPED.match(bare):
                seen.prompts.append(bare)


def leaves(value: object) -> Iterator[str]:
    """Every text in what a tool was given."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, Iterable):
        for inner in value:
            yield from leaves(inner)


def _texts(blocks: object) -> Iterator[str]:
    for block in blocks if isinstance(blocks, list) else []:
        if isinstance(block, dict) and block.get("type") == "text":
            yield str(block.get("text") or "")
