"""What must hold after rounds of faults, when all is well again and the spools are drained."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from domain.context import ContextRecord
from domain.postings import BLOCK, holds, key_of
from hooks.shelf import SEEN, SHELF
from hooks.spool import ASIDE, SPOOL
from mcp_server.bootstrap import build
from tests.faults.computers import Computer, Session
from tests.faults.tally import Tally
from tests.kit.stores import MariaDBStore, SQLiteStore, Store

INDEX_LINE = re.compile(r"^- \d{4}-\d\d-\d\d \d\d:\d\d .*?(cx_[0-9a-z]+)", re.MULTILINE)


def look(there: list[Computer], sessions: list[Session], forgotten: dict[str, str], store: Store, tally: Tally) -> None:
    """Notes what is lost, double, counted wrongly or left lying.  `forgotten` are words by record id."""
    app = build(there[0].settings)
    try:
        with app.work.reading(None) as unit:
            kept = [record for _, record in unit.context.below(None, 1_000_000)]
        tally.wrong += [f"the audit log: {finding}" for finding in app.audit.verify().findings]
    finally:
        app.close()
    tally.records, tally.sessions = len(kept), len(sessions)
    tally.wrong += _doubles(kept)
    tally.wrong += _lost(kept, sessions)
    tally.wrong += _counted(kept, store, tally)
    tally.wrong += _indexed(store)
    for computer in there:
        tally.wrong += _left(computer, forgotten)


def ids_told(block: str) -> list[str]:
    """The ids of the records that a block has a line of."""
    return INDEX_LINE.findall(block)


def _doubles(kept: list[ContextRecord]) -> Iterator[str]:
    for key, times in Counter((record.machine_name, record.session_id) for record in kept).items():
        if times > 1:
            yield f"recorded twice: {key}"


def _lost(kept: list[ContextRecord], sessions: list[Session]) -> Iterator[str]:
    found = {(record.machine_name, record.session_id): record for record in kept}
    for session in sessions:
        record = found.pop((session.computer.name, session.session_id), None)
        if session.is_forgotten:
            if record is not None:
                yield f"forgotten, and back: {session.session_id}"
        elif record is None:
            yield f"never recorded: {session.session_id} of {session.computer.name}"
        else:
            missing = [word for word in session.words if word not in record.body_person]
            if missing:
                yield f"{len(missing)} of {len(session.words)} words missing: {session.session_id}"
            if record.transcript_size != session.transcript.stat().st_size:
                yield f"not read to its end: {session.session_id}"
    for key in found:
        yield f"nobody's record: {key}"


def _counted(kept: list[ContextRecord], store: Store, tally: Tally) -> Iterator[str]:
    """The frequencies, counted again from nothing."""
    counted: Counter[str] = Counter()
    for record in kept:
        counted.update({entry.partition(":")[0] for entry in record.terms.split()})
        counted.update({"#records": 1, "#person": record.person_length, "#rest": record.rest_length})
    tally.terms = len(counted)
    said = {str(term): int(number) for term, number in store.sql("SELECT term, documents FROM context_frequencies")}
    for term in sorted(set(counted) | set(said)):
        if said.get(term, 0) != counted[term]:
            yield f"{term} stands in {counted[term]} records, and the statistics say {said.get(term, 0)}"


def _indexed(store: Store) -> Iterator[str]:
    """The index leads from every word to the records in which it stands, and to no other; so does that of release 0.1.0."""
    active = {int(number): str(terms) for number, terms in store.sql(
        "SELECT number, terms FROM context_records WHERE state = 'active'"
    )}  # fmt: skip
    if isinstance(store, MariaDBStore):
        rows = Counter(int(number) for (number,) in store.sql("SELECT number FROM context_terms"))
        once = Counter(list(active))
        if rows != once:
            yield f"indexed {sorted((rows - once).elements())} too many, {sorted(set(active) - set(rows))} not at all"
    by_word: dict[str, set[int]] = {}
    for number, terms in active.items():
        for entry in terms.split():
            by_word.setdefault(entry.partition(":")[0], set()).add(number)
    found: dict[int, set[int]] = {}
    for term, block, postings in store.sql("SELECT term, block, postings FROM context_postings"):
        found.setdefault(int(term), set()).update(int(block) * BLOCK + place for place, _ in holds(bytes(postings)))
    for word, numbers in by_word.items():
        if found.get(key_of(word)) != numbers:
            yield f"the index leads from {word} to {sorted(found.get(key_of(word), ()))}, and it stands in {sorted(numbers)}"
    if nobody := {number for numbers in found.values() for number in numbers} - set(active):
        yield f"the index leads to {sorted(nobody)}, and there are no such records"
    if waiting := store.sql("SELECT number FROM context_stale"):
        yield f"taken for changed by another release: {sorted(number for (number,) in waiting)}"


def _left(computer: Computer, forgotten: dict[str, str]) -> Iterator[str]:
    """Nothing waits, nothing was set aside, no half-written file lies about, and what was forgotten is nowhere."""
    spool = computer.home / SPOOL
    if computer.is_behind():
        yield f"notes of {computer.name} still wait"
    if aside := [file.name for file in (spool / ASIDE).glob("*")]:
        yield f"set aside on {computer.name}: {aside}"
    if taken := [file.name for file in spool.glob(".taken.*")]:
        yield f"left in a hand on {computer.name}: {taken}"
    for file in computer.home.rglob("*"):
        if file.name.endswith(".part"):
            yield f"half-written on {computer.name}: {file.relative_to(computer.home)}"
    for file in _texts(computer):
        text = file.read_text(errors="replace")
        for record_id, word in forgotten.items():
            if word in text or (file.parent.name == SHELF and record_id in text):
                yield f"forgotten, and still on {computer.name}: {file.relative_to(computer.home)}"


def _texts(computer: Computer) -> Iterator[Path]:
    for name in (SHELF, SPOOL, SEEN, "log"):
        yield from (file for file in (computer.home / name).glob("*") if file.is_file())


def told_well(out: bytes) -> str:
    """The block in what a SessionStart hook printed; raises ValueError where it is no answer that the client takes."""
    if not out:
        return ""
    said = json.loads(out)
    if not isinstance(said, dict) or set(said) - {"hookSpecificOutput", "systemMessage"}:
        raise ValueError("no answer of a hook")
    return str(said.get("hookSpecificOutput", {}).get("additionalContext", ""))


def store_of(computer: Computer, server: object, database: str) -> Store:
    """The database, past everything of ours."""
    if server is None:
        return SQLiteStore(computer.home / "claudetools.db")
    return MariaDBStore(server, database)  # type: ignore[arg-type]  # a MariaDB of the kit
