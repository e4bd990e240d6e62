"""Recall on request: a question with its filters, answered with records, and with how it was read."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain import text as analyser
from domain.actors import Actor, Subject
from domain.context import Filters, Hit, Wanted
from domain.credentials import slug
from domain.errors import Invalid
from domain.moments import Span, in_question, span
from domain.recall import Place, Ranked, newest, rank
from domain.recall import index_line as line_of
from hooks import shelf, trust
from hooks.files import log_trouble
from hooks.project import Project, client_of, identify
from mcp_server.config import Settings
from mcp_server.work import Work

LONGEST_QUESTION = 4_000
MOST_HITS = 20
NO_FILTERS = Filters()
COMMON = frozenset(analyser.index_token(analyser.stem(word)) for word in analyser.COMMON_WORDS)
_PROJECT_ID = re.compile(r"pj_[0-9a-f]{32}\Z")
_LEFT_OUT = "without other persons' records: this folder is new here (a person may: claudetools project trust)"
_HERE = "."
_ME = "me"


@dataclass(frozen=True, slots=True)
class Recalled:
    """The records that answer, best first, and in words: of what they were chosen, and how the question was read."""

    hits: tuple[Hit, ...]
    scope: str


class Recall:
    """Answers questions about earlier work."""

    def __init__(self, settings: Settings, work: Work) -> None:
        self._settings = settings
        self._home = str(settings.home)
        self._work = work

    def ask(
        self, actor: Actor, query: str, filters: Filters = NO_FILTERS, *, cwd: str = "", limit: int = 5
    ) -> Recalled:
        """Records that answer a question, best first; the newest that match for one without words.

        `cwd` is the folder of whoever asks: what belongs there counts for more.  Without words and
        filters, the newest of its project and client.  A time that the question itself names
        ("... last week?") is a filter too, unless `filters` name one; where nothing is of that
        time, records of any time answer, and the scope says so.  Raises Invalid.
        """
        filters.check()
        if not 1 <= limit <= MOST_HITS:
            raise Invalid("that is no number of records", fields={"limit": f"1 to {MOST_HITS}"})
        here = identify(cwd, self._settings.machine_id) if cwd else Project("", "", "")
        place = Place(
            project=here.project_id,
            client=client_of(self._home, cwd, actor.session_id) if cwd else "",
            branch=here.branch,
            owner_id=owner_of(actor),
        )
        question = query[:LONGEST_QUESTION]
        wanted, scope = self.wanted(actor, filters, here)
        sight = trust.sight(self._home, here, cwd, place.client) if cwd else trust.Sight()
        timed = None
        if not (filters.when or filters.since or filters.until):
            timed = in_question(question, self._work.clock(), own_zone())
        tokens = analyser.index_tokens(timed[0] if timed else question)
        if not tokens and wanted == Wanted() and not timed:
            wanted, scope = Wanted(project=place.project, client=place.client), ["this project"]
        if not wanted.project or wanted.project != place.project:
            sight = trust.Sight()  # what the folder says of itself decides nothing here
        elif not sight.is_whole:
            if self._leaves_out(actor, wanted, place, sight):
                scope.append(_LEFT_OUT)
            wanted = replace(wanted, owner_id=sight.owner_id(place))
        if timed:
            _, words, found = timed
            shown = f"“{words}” read as {found.shown(own_zone())}"
            ranked = self._found(actor, tokens, _within(wanted, found), place, sight, limit)
            if not ranked and analyser.index_tokens(question):
                ranked = self._found(actor, analyser.index_tokens(question), wanted, place, sight, limit)
                shown = f"nothing of {found.shown(own_zone())} (“{words}”), so of any time"
            scope.append(shown)
        else:
            ranked = self._found(actor, tokens, wanted, place, sight, limit)
        with self._work.audited(actor, "context.recall", Subject("context"), hits=len(ranked)):
            pass
        return Recalled(self._hits(actor, ranked, place), "; ".join(scope))

    def _leaves_out(self, actor: Actor, wanted: Wanted, place: Place, sight: trust.Sight) -> bool:
        """Whether other persons left something there that this folder is not told."""
        with self._work.reading(actor) as unit:
            there = unit.context.newest_heads(wanted, limit=trust.MORE_TO_READ)
        return len(sight.shown(there, place)) < len(there)

    def _found(
        self, actor: Actor, tokens: list[str], wanted: Wanted, place: Place, sight: trust.Sight, limit: int
    ) -> list[Ranked]:
        with self._work.reading(actor) as unit:
            if not tokens:
                # Where a person's own alone are asked for, none of them is left out below.
                enough = sight.is_whole or bool(wanted.owner_id)
                listed = unit.context.newest(wanted, limit=limit + 1 if enough else trust.MORE_TO_READ)
                ranked = newest(sight.shown(listed, place), place, self._work.clock())
                ranked.sort(key=lambda entry: (_is_own(entry, actor), -entry.record.updated_us))
                return ranked[:limit]
            records, statistics = unit.context.search(tokens, COMMON, wanted)
        now_us = self._work.clock()
        ranked = rank(tokens, sight.shown(records, place), statistics, place, now_us, gated=False)
        # The question itself stands in the record of the session that asks; whoever asks knows that one.
        ranked.sort(key=lambda entry: _is_own(entry, actor))
        return ranked[:limit]

    def wanted(self, actor: Actor, filters: Filters, here: Project) -> tuple[Wanted, list[str]]:
        """The filters as the database knows them, and in words."""
        project = filters.project.strip()
        if project == _HERE and not here.project_id:
            raise Invalid("there is no project here", fields={"project": "a name or an id; no folder is known"})
        is_id = _PROJECT_ID.match(project) is not None
        person = filters.person.strip()
        branch = here.branch if filters.branch.strip() == _HERE else filters.branch.strip()
        if filters.branch.strip() == _HERE and not branch:
            raise Invalid(
                "there is no branch here", fields={"branch": "a name; records of the default branch have none"}
            )
        wanted = Wanted(
            project=here.project_id if project == _HERE else project if is_id else "",
            project_name=project if project and project != _HERE and not is_id else "",
            client=slug(filters.client) if filters.client.strip() else "",
            kind=filters.kind,
            machine=self._settings.machine_id if filters.machine.strip() == _HERE else filters.machine.strip(),
            person=owner_of(actor) if person.lower() == _ME else person,
            branch=branch,
            file=filters.file.strip().removeprefix("./"),
            tag=filters.tag.strip().lower(),
            session=filters.session.strip(),
        )
        said = [
            f"{name} {value}"
            for name, value in (
                ("project", "" if project == _HERE else project),
                ("client", wanted.client),
                ("kind", filters.kind),
                ("machine", "this one" if filters.machine.strip() == _HERE else wanted.machine),
                ("person", person),
                ("branch", branch),
                ("file", wanted.file),
                ("tag", wanted.tag),
                ("session", wanted.session),
            )
            if value
        ]
        times = self._times(filters)
        if times != Span():
            wanted = _within(wanted, times)
            said.append(times.shown(own_zone()))
        where = "this project" if project == _HERE else "" if project else "all projects"
        return wanted, [part for part in (where, *said) if part]

    def _times(self, filters: Filters) -> Span:
        now_us, zone = self._work.clock(), own_zone()
        if filters.when:
            return span(filters.when, now_us, zone)
        since = span(filters.since, now_us, zone, name="since").since_us if filters.since else 0
        until = span(filters.until, now_us, zone, name="until").until_us if filters.until else 0
        if until and since > until:
            raise Invalid("since lies behind until", fields={"since": "the earlier of the two"})
        return Span(since, until)

    def _hits(self, actor: Actor, ranked: list[Ranked], place: Place) -> tuple[Hit, ...]:
        """What was found, marked where this session has it already; what it is given now, its prompts are not told again."""
        seen = shelf.read_seen(self._home, actor.session_id)
        hits = tuple(_hit(entry, place, seen, actor.session_id) for entry in ranked)
        if seen is not None and actor.kind == "agent":
            seen.add((), (entry.record for entry in ranked))
            try:
                shelf.write_seen(self._home, actor.session_id, seen)
            except OSError as error:
                log_trouble(self._home, "recall", error)
        return hits


def owner_of(actor: Actor) -> str:
    """The person for whom an actor acts."""
    return actor.id if actor.kind == "person" else actor.owner_id


def own_zone() -> tzinfo:
    """The time zone of whoever works at this machine, with its summers and winters where its name is known."""
    name = os.environ.get("TZ", "").lstrip(":") or os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return datetime.now(UTC).astimezone().tzinfo or UTC


def _within(wanted: Wanted, times: Span) -> Wanted:
    return replace(wanted, since_us=times.since_us, until_us=times.until_us)


def _is_own(entry: Ranked, actor: Actor) -> bool:
    return bool(actor.session_id) and entry.record.session_id == actor.session_id


def _hit(entry: Ranked, place: Place, seen: shelf.Seen | None, session_id: str) -> Hit:
    record = entry.record
    told = seen is not None and (record.record_id in seen.told or record.record_id in seen.figures.counted)
    own = bool(session_id) and record.session_id == session_id
    mark = " [this session]" if own else " [told already]" if told else ""
    return Hit(
        record_id=record.record_id,
        kind=record.kind,
        title=record.title,
        outcome=record.outcome,
        updated_us=record.updated_us,
        machine_name=record.machine_name,
        owner_name=record.owner_name,
        project=record.project,
        project_name=record.project_name,
        client=record.client,
        branch=record.branch,
        score=round(entry.score, 3),
        line=line_of(record, place, asked=True) + mark,
        told=told or own,
    )
