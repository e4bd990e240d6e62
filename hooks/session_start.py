"""SessionStart: tell the session what earlier ones of its project left.

Reads the newest records from the database in a thread; at the deadline, or where the database
cannot be read, the shelf's last good block is told instead, dated.  The same answer tells what was
forgotten on other machines, which leaves the shelf, and whether this machine was revoked.  Where a session of this project
ended a moment ago and is being captured, that is waited for, within the same deadline.  Never an
error, never a longer wait: what comes late is told with the first prompt, by the server.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from domain.recall import FENCE, Place, date, is_before_it, newest, pack
from domain.tokens import estimate
from hooks import project, reminders, shelf, spool, telling, trust
from hooks.event import Event, Settings
from hooks.files import log_trouble, now_us, take_trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.recall import Record
    from storage import direct

_SHUT_OUT = (
    "ClaudeTools: this machine was revoked: it is told nothing, and what its sessions leave is kept here and not sent; "
    "have an invitation made on another machine: claudetools machine invite"
)
_LINES = {"startup": 12, "clear": 12, "compact": 8, "resume": 4, "fork": 4}
_FRESH = ("startup", "clear")
_FOR_READING_S = 0.2
"""What is kept of the deadline for reading, after waiting for a capture."""
_SHORTEST_WAIT_S = 0.05
_DIGESTS = {"startup": 3, "clear": 3, "compact": 2, "resume": 0, "fork": 0}


class _Reading:
    """What the reading thread found, or the error that kept it from reading."""

    __slots__ = ("error", "found")

    def __init__(self) -> None:
        self.found: direct.Found | None = None
        self.error: BaseException | None = None


def run(event: Event, settings: Settings) -> None:
    """Print the block for a session that starts, resumes, was cleared or compacted.  Raises OSError."""
    if event.agent_id:
        return
    until = time.monotonic() + settings.deadline_ms / 1000
    place = project.identify(event.folder, settings.machine_id)
    client = project.client_of(settings.home, event.folder, event.session_id)
    sight = trust.sight(settings.home, place, event.folder, client)
    here = Place(project=place.project_id, client=client, branch=place.branch, owner_id=settings.owner_id)
    reading = _Reading()
    asked = (reading, event, settings, here, sight, until)
    reader = threading.Thread(target=_read, args=asked, daemon=True)
    reader.start()
    seen = _seen(event, settings, place.project_id, client)
    reader.join(max(0.0, until - time.monotonic()))
    found, wrong, lines = reading.found, "", []
    shelved = shelf.name_on_shelf(place.project_id, client, sight)
    seen.trouble = shelf.AWAY if found is None else shelf.SHUT_OUT if found.shut_out else ""
    if found is None:
        block, wrong = _old(event, settings, shelved, seen, reading.error)
    elif found.shut_out:
        block, wrong = "", _SHUT_OUT
        shelf.clear_shelves(settings.home)
    else:
        if found.now_us:
            try:
                shelf.heard_of_forgotten(settings.home, found.forgotten, found.now_us)
            except OSError as error:  # a full disk: what was found is told all the same
                log_trouble(settings.home, event.name, error)
        records = sight.shown(found.records, here)
        block = _new(event, settings, place, here, shelved, seen, records, found.now_us)
        if event.source in _FRESH:
            told = seen.figures.line() if settings.start_line else ""
            lines = [f"ClaudeTools: {told}" if told else "", _left_out(len(found.records) - len(records))]
    if event.source in _FRESH and settings.start_line and seen.trouble != shelf.SHUT_OUT:
        due = reminders.line(settings.home, client, now_us())
        lines.append(f"ClaudeTools: {due}" if due else "")
    trouble = take_trouble(settings.home)
    if trouble and not wrong:
        wrong = f"ClaudeTools: a hook had trouble ({trouble}); {settings.below('log', 'hooks.log')}"
    message = "\n".join(line for line in (wrong, *lines) if line)
    if block or message:
        _print(block, message)
    shelf.write_seen(settings.home, event.session_id, seen)


def _left_out(records: int) -> str:
    """One line for the person, where other persons' records were left out."""
    if not records:
        return ""
    told = f"{records} record{'s' if records > 1 else ''} of other persons {'are' if records > 1 else 'is'} not shown"
    return f"ClaudeTools: {told}: this folder is new on this machine; if you know it, type: claudetools project trust"


def _read(reading: _Reading, event: Event, settings: Settings, here: Place, sight: trust.Sight, until: float) -> None:
    try:
        if event.source in _FRESH:
            spool.await_drain(settings.home, here.project, until - time.monotonic() - _FOR_READING_S)
        from storage import direct

        reading.found = direct.look(
            settings.database,
            project=here.project,
            client=here.client,
            limit=direct.NEWEST if sight.is_whole else trust.MORE_TO_READ,
            machine_id=settings.machine_id,
            forgotten_since_us=shelf.forgotten_since(settings.home),
            wait_s=max(_SHORTEST_WAIT_S, until - time.monotonic()),
        )
    except BaseException as error:
        reading.error = error


def _seen(event: Event, settings: Settings, project_id: str, client: str) -> shelf.Seen:
    """What this session was told and still has before it: nothing, but for a session that goes on."""
    known = shelf.read_seen(settings.home, event.session_id) if event.source in ("resume", "compact") else None
    seen = known or shelf.Seen({})
    if event.source == "compact":
        # What was told before is gone from the conversation, or shortened.
        seen.stamps.clear()
        seen.told.clear()
        seen.figures = telling.Figures({})
    seen.project, seen.folder, seen.client = project_id, event.folder, client
    seen.transcript_path = event.transcript_path
    # Its next prompt is told what comes in after this moment.
    seen.prompted = False
    seen.compacted = event.source == "compact"
    return seen


def _new(
    event: Event,
    settings: Settings,
    place: project.Project,
    here: Place,
    shelved: str,
    seen: shelf.Seen,
    records: Sequence[Record],
    now_there_us: int,
) -> str:
    told = [
        record
        for record in records
        if (seen.compacted or record.session_id != event.session_id)
        and not seen.has(record.record_id, record.updated_us)
        and not is_before_it(record, settings.machine_name)
    ]
    source = event.source if event.source in _LINES else "startup"
    at_us = now_us()
    block, packed = pack(
        newest(told, here, now_there_us or at_us),
        here,
        settings.block_characters,
        name=place.name,
        lines=_LINES[source],
        digests=_DIGESTS[source],
    )
    # Told at the start is one of a dozen; a prompt about it is worth a line of its own, once.
    seen.add(records, ())
    seen.figures.add(packed, estimate(block), ahead_us=now_there_us - at_us if now_there_us else 0)
    if block and source in ("startup", "clear"):
        try:
            shelf.put_on_shelf(settings.home, shelved, block, packed, seen.figures)
        except OSError as error:
            log_trouble(settings.home, event.name, error)
    return block


def _old(event: Event, settings: Settings, name: str, seen: shelf.Seen, error: BaseException | None) -> tuple[str, str]:
    """The shelf's block with its date, where the database did not answer; and a line for the person.

    A session that goes on has such a block before it already.
    """
    reason = "did not answer in time"
    if error is not None:
        log_trouble(settings.home, event.name, error)
        reason = str(getattr(error, "reason", "could not be read"))
    shelved = shelf.from_shelf(settings.home, name) if not seen.stamps else shelf.Shelved({})
    block, message = shelved.text, ""
    if error is not None or not block:
        take_trouble(settings.home)
        message = f"ClaudeTools: the memory's database {reason} ({settings.below('log', 'hooks.log')})"
    if not block:
        return "", message
    notice = f"The memory's database {reason}; this is what was known on {date(shelved.at_us)} UTC."
    head, line, rest = block.partition("\n")
    whole = f"{head}{line}{notice}\n{rest}" if head.startswith(f"<{FENCE}") else f"{notice}\n{block}"
    if len(whole) > settings.block_characters + len(notice) + 1:
        return "", message
    seen.stamps.update(shelved.stamps)
    seen.figures = shelved.figures
    return whole, message


def _print(block: str, message: str) -> None:
    answer: dict[str, object] = {}
    if block:
        answer["hookSpecificOutput"] = {"hookEventName": "SessionStart", "additionalContext": block}
    if message:
        answer["systemMessage"] = message
    data = json.dumps(answer).encode() + b"\n"
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]
