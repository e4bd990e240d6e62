"""Why a digest is as it is: what was kept of a session and what was dropped, read again from its transcript.

The counts are not kept with the record: what a digest drops is not stored anywhere but in the
transcript, and that is Claude Code's.  So only the machine that has the transcript can explain.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from domain.context import SESSION, ContextRecord
from domain.digest import BUDGET, Tally
from domain.errors import Invalid, NotFound
from domain.redaction import Redactor
from hooks import shelf
from hooks.event import is_session_id
from mcp_server.config import Settings
from mcp_server.services.redaction import Redaction
from mcp_server.services.transcripts import Followed

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Head:
    """What became of one head's candidates; of those without room, the first few in `dropped`, struck."""

    head: str
    candidates: int
    kept: int
    tokens: int
    told_elsewhere: int
    over_share: int
    over_budget: int
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A digest explained: its budget and size and the session's (tokens), head by head.

    `changed` says that the record holds another digest: the session went on, or an earlier release made it.
    """

    budget: int
    tokens: int
    raw_tokens: int
    heads: tuple[Head, ...]
    changed: bool


class Explaining:
    """Explains the digests of this machine's sessions."""

    def __init__(self, settings: Settings, redaction: Redaction) -> None:
        self._settings = settings
        self._redaction = redaction

    def explain(self, record: ContextRecord, projects: Path) -> Explanation:
        """What became of the candidates of a record's digest; of what fell out, the first few, struck.

        `projects` is where Claude Code keeps its transcripts.  Raises Invalid for a record that is
        not a session's, NotFound where the transcript is not on this machine.
        """
        if record.kind != SESSION or not record.session_id:
            raise Invalid(
                "only a session's record has a digest that was made; this one holds what was written",
                fields={"record": f"is a {record.kind}"},
                hint="claudetools context show without --explain",
            )
        path = self._transcript(record, projects)
        redactor = self._redaction.current()
        followed = Followed(path, redactor)
        try:
            followed.catch_up()
        except OSError as error:
            raise _gone(record) from error
        account = followed.account()
        told = account.digest()
        heads = tuple(_head(tally, redactor) for tally in account.explain())
        return Explanation(
            BUDGET, told.tokens, told.raw_tokens, heads, redactor.strike(told.text).text != record.digest
        )

    def _transcript(self, record: ContextRecord, projects: Path) -> Path:
        if record.machine_id != self._settings.machine_id or not is_session_id(record.session_id):
            raise _gone(record)
        seen = shelf.read_seen(str(self._settings.home), record.session_id)
        said = [Path(seen.transcript_path)] if seen and seen.transcript_path else []
        name = f"{record.session_id}.jsonl"
        for path in (*said, projects / name, *sorted(projects.glob(f"*/{name}"))):
            if path.is_file():
                return path
        raise _gone(record)


def _head(tally: Tally, redactor: Redactor) -> Head:
    dropped = (*tally.over_share, *tally.over_budget)[:_SHOWN]
    return Head(
        tally.head,
        tally.candidates,
        tally.taken,
        tally.tokens,
        tally.told,
        len(tally.over_share),
        len(tally.over_budget),
        tuple(redactor.strike(text).text for text in dropped),
    )


def _gone(record: ContextRecord) -> NotFound:
    where = f"; the session ran on {record.machine_name}" if record.machine_name else ""
    return NotFound(
        f"its transcript is no longer on this machine{where}: what was dropped is in the transcript alone",
        hint="claudetools context show without --explain tells what was kept",
    )
