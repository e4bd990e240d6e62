"""The audit log: search it, and verify all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature

from domain.actors import ACTIONS, Actor
from domain.errors import Broken, Invalid
from domain.identity import INVITED
from domain.verify import ChainCheck, Finding, check_opening
from mcp_server.keyring import public_key
from mcp_server.services.pages import Page, check_questions, check_times, limit_of, make_cursor, read_cursor
from mcp_server.services.redaction import Redaction
from mcp_server.work import AuditedUnit, Unit, Work

OUTCOMES = ("ok", "denied", "failed")


@dataclass(frozen=True, slots=True)
class EntryView:
    """One audit entry as it is shown.  `asserted` names the parts that nobody proved."""

    entry: str
    at_us: int
    action: str
    outcome: str
    actor: str
    actor_kind: str
    owner: str
    machine: str
    session: str
    verified: tuple[str, ...]
    asserted: tuple[str, ...]
    tier: str
    subject_type: str
    subject: str
    subject_id: str
    client_id: str
    purpose: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verify found."""

    ok: bool
    entries: int
    chains: int
    findings: tuple[Finding, ...]


class AuditLog:
    """The use cases around the audit log.  Nothing here changes an entry."""

    def __init__(self, work: Work, redaction: Redaction) -> None:
        self._work = work
        self._redaction = redaction

    def search(
        self,
        actor: Actor,
        *,
        action: str = "",
        subject: str = "",
        actor_name: str = "",
        session: str = "",
        outcome: str = "",
        since_us: int | None = None,
        until_us: int | None = None,
        limit: int = 20,
        cursor: str = "",
    ) -> Page[EntryView]:
        """Entries newest first.  `action` may be a whole word or its beginning (`credential.`)."""
        limit_of(limit)
        if outcome and outcome not in OUTCOMES:
            raise Invalid("no such outcome", fields={"outcome": "one of: " + ", ".join(OUTCOMES)})
        if action and not any(word.startswith(action) for word in ACTIONS):
            raise Invalid("no such action", fields={"action": "one of: " + ", ".join(sorted(ACTIONS))})
        check_questions(subject=subject, actor_name=actor_name, session=session)
        check_times(since_us=since_us, until_us=until_us)
        place = read_cursor(cursor, int, str)
        before = (int(str(place[0])), str(place[1])) if place else None

        def find(unit: AuditedUnit) -> list[Mapping[str, Any]]:
            rows = unit.audit.search(
                action=action,
                subject=subject,
                actor=actor_name,
                session=session,
                outcome=outcome,
                since_us=since_us,
                until_us=until_us,
                before=before,
                limit=limit + 1,
            )
            unit.note(found=len(rows[:limit]))
            return [dict(row) for row in rows]

        rows, _ = self._work.done(actor, "audit.search", find, purpose=self._redaction.words(subject, 200))
        items = tuple(_view(row) for row in rows[:limit])
        more = make_cursor(items[-1].at_us, items[-1].entry) if len(rows) > limit else ""
        return Page(items, more)

    def verify(self, notes: Mapping[str, tuple[int, bytes]] | None = None) -> Verdict:
        """Checks every chain, signature, column and guarded row.  Needs no actor: it reads, and shows no value.

        All of it as it is at one moment, while others go on writing: an entry is not looked for in a chain that was opened
        after the chains were read.

        `notes` is how far the chains are known to have come; this machine's own notes where it is not given.
        """
        noted = dict(self._work.notes.read() if notes is None else notes)
        with self._work.steady() as unit:
            return self._verify(unit, noted)

    def _verify(self, unit: Unit, noted: dict[str, tuple[int, bytes]]) -> Verdict:
        findings: list[Finding] = []
        keys: dict[str, bytes | None] = {}

        def signed(machine_id: str, message: bytes, signature: bytes) -> bool | None:
            if machine_id not in keys:
                keys[machine_id] = _machine_key(unit, machine_id)
            raw = keys[machine_id]
            if raw is None:
                return None
            try:
                public_key(raw).verify(signature, message)
            except (InvalidSignature, ValueError):
                return False
            return True

        checks: dict[str, ChainCheck] = {}
        for opening in unit.audit.chains():
            findings += check_opening(opening, signed)
            checks[opening.chain_id] = ChainCheck(opening, signed, guest=_is_guest(unit, opening.machine_id))
        entries, orphans = 0, dict[str, int]()
        for stored in unit.audit.every_link():
            entries += 1
            check = checks.get(stored.link.chain_id)
            if check is None:
                orphans[stored.link.chain_id] = orphans.get(stored.link.chain_id, 0) + 1
            else:
                findings += check.follow(stored.link, stored.columns)
        for chain_id, number in orphans.items():
            findings.append(Finding("missing", f"chain {chain_id}", f"its opening is gone; {number} entries"))
        for chain_id, check in checks.items():
            findings += check.end(noted.pop(chain_id, None))
        for chain_id, (seq, _) in noted.items():
            if chain_id not in orphans:
                findings.append(Finding("missing", f"chain {chain_id}", f"all its {seq} entries are gone"))
        findings += unit.inspect()
        return Verdict(not findings, entries, len(checks), tuple(findings))


def _machine_key(unit: Unit, machine_id: str) -> bytes | None:
    try:
        machine = unit.identity.machine(machine_id)
    except Broken:
        return None  # the row itself is told by the inspection of guarded rows
    return machine.public_key if machine else None


def _is_guest(unit: Unit, machine_id: str) -> bool:
    """Whether that is the key of an invitation and of no machine."""
    try:
        machine = unit.identity.machine(machine_id)
    except Broken:
        return False  # the row itself is told
    return machine is not None and machine.state == INVITED


def _facts(body: object) -> Mapping[str, Any]:
    try:
        facts = json.loads(str(body))["facts"]
    except (ValueError, KeyError, TypeError, RecursionError):
        facts = None
    return facts if isinstance(facts, dict) else {"damaged": "claudetools audit verify"}


_PARTS = ("agent", "person", "owner", "machine", "session")


def _view(row: Mapping[str, Any]) -> EntryView:
    verified = tuple(str(row["verified"]).split())
    present = {
        "agent": row["actor_kind"] == "agent",
        "person": row["actor_kind"] == "person",
        "owner": row["actor_kind"] == "agent",
        "machine": bool(row["machine_id"]),
        "session": bool(row["session_id"]),
    }
    return EntryView(
        entry=row["entry_id"],
        at_us=row["at_us"],
        action=row["action"],
        outcome=row["outcome"],
        actor=row["actor_name"],
        actor_kind=row["actor_kind"],
        owner=row["owner_name"],
        machine=row["machine_name"],
        session=row["session_id"],
        verified=verified,
        asserted=tuple(p for p in _PARTS if present[p] and p not in verified),
        tier=row["tier"],
        subject_type=row["subject_type"],
        subject=row["subject_name"],
        subject_id=row["subject_id"],
        client_id=row["client_id"],
        purpose=row["purpose"],
        facts=_facts(row["body"]),
    )
