"""The memory in use: what a prompt is told, and recall, get, save, forget."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain import text as analyser
from domain.actors import Actor, Subject
from domain.context import ContextRecord, Filters, Wanted, check_note
from domain.credentials import slug
from domain.errors import NotFound, Unavailable
from domain.ids import is_id, new_id
from domain.indexing import indexed
from domain.recall import (
    BLOCK_CHARACTERS,
    Place,
    Record,
    Statistics,
    is_before_it,
    newest,
    pack,
    rank,
    titles,
)
from domain.redaction import Redactor
from domain.tokens import estimate
from hooks import shelf, trust
from hooks.event import is_session_id
from hooks.files import log_trouble, now_us
from hooks.project import Project, client_of, identify
from mcp_server.config import Settings
from mcp_server.services.forgetting import Forgetting, Forgotten
from mcp_server.services.recall import COMMON, LONGEST_QUESTION, NO_FILTERS, Recall, Recalled, owner_of
from mcp_server.services.redaction import Redaction, struck
from mcp_server.work import Work

DrainFor = Callable[..., bool]

LATE_WAIT_S = 1.2
"""How long a first prompt waits for what the session before it left; its hook gives it 2 s."""
RECALL_S = 0.25
TRIES = 3
PROMPT_CHARACTERS = 600
SHORTEST_PROMPT = 20


@dataclass(frozen=True, slots=True)
class Saved:
    """A note that was kept, and the audit entry that says so."""

    record: ContextRecord
    entry: str


class Context:
    """The memory of one installation.

    `drain_for(project, within, but=session)` waits until nothing of a project waits in the spool.
    """

    def __init__(
        self, settings: Settings, work: Work, redaction: Redaction, machine: Actor, *, drain: DrainFor
    ) -> None:
        self._settings = settings
        self._home = str(settings.home)
        self._work = work
        self._redaction = redaction
        self._drain = drain
        self._recall = Recall(settings, work)
        self.forgetting = Forgetting(settings, work, redaction, machine, self._recall)
        self._looking: threading.Thread | None = None

    def prompt(
        self, session_id: str, prompt: str, cwd: str = "", *, owner_id: str | None = None, begun: float | None = None
    ) -> str:
        """What a prompt is told, for the prompt hook; "" for nothing.

        The first prompt of a session is told what came in since the session started (what the
        session before it left, above all); every prompt is told of records that answer it, where
        that is known within RECALL_S of `begun` (`time.monotonic`; now, where it is not said).
        `owner_id` is the person for whom the session works; looked up where it is not said.
        """
        until = (time.monotonic() if begun is None else begun) + RECALL_S
        if prompt.lstrip().startswith("<task-notification>"):
            return ""
        known = shelf.read_seen(self._home, session_id)
        seen = known or shelf.Seen({})
        folder = seen.folder or os.environ.get("CLAUDE_PROJECT_DIR", "") or cwd
        project = identify(folder, self._settings.machine_id)
        seen.folder, seen.project = folder, project.project_id
        seen.client = client_of(self._home, folder, session_id)
        place = Place(
            project=project.project_id,
            client=seen.client,
            branch=project.branch,
            owner_id=self._owner_id() if owner_id is None else owner_id,
        )
        sight = trust.sight(self._home, project, folder, seen.client)
        parts: list[str] = []
        if not seen.prompted:
            before = time.monotonic()
            parts.append(self._late(session_id, seen, project, place, sight))
            seen.prompted, seen.trouble = True, ""
            until += time.monotonic() - before  # what the session before it left is worth waiting for
        if is_worth_a_recall(prompt):
            parts.append(self._recalled(session_id, seen, prompt, place, sight, until))
        if is_session_id(session_id):
            try:
                shelf.write_seen(self._home, session_id, seen)
            except OSError as error:
                log_trouble(self._home, "prompt", error)
        return "\n\n".join(part for part in parts if part)

    def recall(
        self, actor: Actor, query: str, filters: Filters = NO_FILTERS, *, cwd: str = "", limit: int = 5
    ) -> Recalled:
        """Records that answer a question, as `Recall.ask` finds them.  Raises Invalid."""
        return self._recall.ask(actor, query, filters, cwd=cwd, limit=limit)

    def get(self, actor: Actor, record_id: str) -> ContextRecord:
        """One record whole.  Raises NotFound."""
        strike = self._redaction.current().strike_values
        with self._work.audited(
            actor, "context.get", Subject("context", record_id if is_id(record_id, "cx") else "")
        ) as unit:
            record = unit.context.get(record_id) if is_id(record_id, "cx") else None
            if record is None:
                raise NotFound(
                    "there is no such context record",
                    hint="context_recall (claudetools context recall) finds records and their ids",
                )
            # An entry stays for good, and a value may have come into the vault after this title was kept.
            unit.about(Subject("context", record.record_id, strike(record.title).text))
        return record

    def save(
        self,
        actor: Actor,
        *,
        kind: str,
        title: str,
        text: str,
        tags: Sequence[str] = (),
        cwd: str = "",
        client: str = "",
    ) -> Saved:
        """Keep a decision, fact, todo or warning.  Secrets in it are struck.  Raises Invalid."""
        check_note(kind, title, text, tuple(tags))
        here = identify(cwd, self._settings.machine_id) if cwd else Project("", "", "")
        bound = slug(client) if client.strip() else client_of(self._home, cwd, actor.session_id) if cwd else ""
        for _ in range(TRIES):
            redactor = self._redaction.current()
            held = self._redaction.held()
            if held.redactor is not redactor:  # another thread has just loaded a newer one
                continue
            record = self._note(actor, redactor, kind, title.strip(), text.strip(), tags, here, bound)
            subject = Subject("context", record.record_id, record.title)
            try:
                with self._work.audited(actor, "context.save", subject, kind=kind) as unit:
                    unit.context.keep(record)
                    if unit.context.sealed_mark() != held.mark:
                        raise _Behind
            except _Behind:
                continue
            return Saved(record, unit.receipt.entry_id)
        raise Unavailable("the vault's values keep changing", hint="try again")

    def _note(
        self,
        actor: Actor,
        redactor: Redactor,
        kind: str,
        title: str,
        text: str,
        tags: Sequence[str],
        here: Project,
        client: str,
    ) -> ContextRecord:
        title, text = struck(redactor, title).text, struck(redactor, text).text
        kept_tags = tuple(dict.fromkeys(struck(redactor, tag.strip().lower()).text for tag in tags))
        # An agent's words stand under a head that is left out for other persons' sessions.
        head = "Note" if actor.kind == "agent" else "Said"
        told = "\n".join(f"{head}: {line}" for line in text.splitlines() if line.strip())
        at_us = self._work.clock()
        record = ContextRecord(
            record_id=new_id("cx"),
            kind=kind,
            title=title,
            digest=told,
            created_us=at_us,
            updated_us=at_us,
            project=here.project_id,
            project_name=struck(redactor, here.name).text[:200],
            client=struck(redactor, client).text[:200],
            branch=struck(redactor, here.branch).text[:200],
            machine_id=actor.machine_id,
            machine_name=actor.machine_name,
            agent_id=actor.id if actor.kind == "agent" else "",
            session_id=actor.session_id[:128],
            owner_id=owner_of(actor),
            owner_name=actor.owner_name or actor.name,
            raw_tokens=estimate(text),
            digest_tokens=estimate(told),
            body_person=text,
            tags=kept_tags,
            provenance={head: "claude" if head == "Note" else "person"},
        )
        return indexed(record)

    def forget(self, actor: Actor, record_id: str, purpose: str) -> Forgotten:
        """Remove a record for good, as `Forgetting.one` does.  Raises NotFound, Invalid."""
        return self.forgetting.one(actor, record_id, purpose)

    def counts(self, actor: Actor) -> dict[str, int]:
        """How many records there are of each kind."""
        with self._work.reading(actor) as unit:
            return unit.context.counts()

    def _late(self, session_id: str, seen: shelf.Seen, project: Project, place: Place, sight: trust.Sight) -> str:
        """What came in since the session started, once the spool holds nothing of this project any more."""
        try:
            self._drain(project.project_id, LATE_WAIT_S, but="" if seen.compacted else session_id)
        except Exception as error:  # noqa: BLE001 - what is kept already is told all the same
            log_trouble(self._home, "prompt", error)
        with self._work.reading(None) as unit:
            records = unit.context.newest(_of(place, sight))
        fresh = [
            record
            for record in sight.shown(records, place)
            if not seen.has(record.record_id, record.updated_us)
            and (seen.compacted or record.session_id != session_id)
            and not is_before_it(record, self._settings.machine_name)
        ]
        seen.compacted = False
        block, told = pack(newest(fresh, place, self._work.clock()), place, BLOCK_CHARACTERS, name=project.name)
        seen.add(fresh, told)
        seen.figures.add(told, estimate(block), ahead_us=self._work.clock() - now_us())
        return block

    def _recalled(
        self, session_id: str, seen: shelf.Seen, prompt: str, place: Place, sight: trust.Sight, until: float
    ) -> str:
        """The titles of records that answer this prompt and were not told yet; "" where that takes too long."""
        looking = self._looking
        if looking is not None and looking.is_alive():
            return ""  # the line is slow, and one question at a time waits on it
        tokens = analyser.index_tokens(prompt[:LONGEST_QUESTION])
        found: list[tuple[list[Record], Statistics]] = []
        trouble: list[Exception] = []

        def look() -> None:
            try:
                with self._work.reading(None) as unit:
                    found.append(unit.context.search(tokens, COMMON, _of(place, sight)))
            except Exception as error:  # noqa: BLE001 - raised below, where somebody still waits
                trouble.append(error)

        self._looking = threading.Thread(target=look, name="claudetools-recall", daemon=True)
        self._looking.start()
        self._looking.join(max(0.0, until - time.monotonic()))
        if trouble:
            raise trouble[0]
        if not found:
            return ""
        records, statistics = found[0]
        fresh = [
            record
            for record in sight.shown(records, place)
            if record.session_id != session_id
            and record.record_id not in seen.told
            and not is_before_it(record, self._settings.machine_name)
        ]
        ranked = rank(tokens, fresh, statistics, place, self._work.clock())
        block, told = titles(ranked, place, PROMPT_CHARACTERS)
        seen.add((), told)
        seen.figures.add(told, estimate(block), ahead_us=self._work.clock() - now_us())
        return block

    def _owner_id(self) -> str:
        with self._work.reading(None) as unit:
            agent = unit.identity.agent(self._settings.agent_id) if self._settings.agent_id else None
        return agent.owner_id if agent is not None else ""


def _of(place: Place, sight: trust.Sight) -> Wanted:
    """The records of a place, as far as it may be told of them."""
    return Wanted(project=place.project, client=place.client, owner_id=sight.owner_id(place))


class _Behind(Exception):
    """The vault has values that a note was not struck of; nothing was written."""


def is_worth_a_recall(prompt: str) -> bool:
    """Whether a prompt is one that a person typed, and says enough to look for."""
    said = prompt.strip()
    return len(said) >= SHORTEST_PROMPT and not said.startswith(("/", "<"))
