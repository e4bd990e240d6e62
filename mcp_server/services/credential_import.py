"""Credentials from the files of other programs, each made as one by hand is: one transaction, one audit entry.

The whole file is read and every entry checked before the first is made, so that a broken file imports nothing.  A run that
was ended goes on when the same file is imported again: what is there already is known by its id, which follows (under the
vault's index key) from what it is and its value, and by the blind index of its value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from domain.actors import Actor
from domain.credentials import TYPES, Head, live_reference, slug
from domain.drafts import Draft
from domain.errors import Conflict, Invalid
from domain.framing import frame
from domain.ids import fixed_id
from domain.importing import Found
from domain.masking import Matcher
from domain.plain import Plain
from domain.redaction import Redactor
from domain.registry import OWN_CLIENT
from mcp_server.keyring import Keyring
from mcp_server.services.credentials import Credentials
from mcp_server.services.redaction import Redaction
from mcp_server.services.registry import Registry
from mcp_server.work import Unit, Work

Outcome = Literal["new", "made", "there", "skipped", "refused"]
"""What became of an entry; `new` is what would be made."""
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of the file and what became of it.  `fields` are those that it was refused for, each with the reason."""

    place: str
    name: str
    outcome: Outcome
    reference: str = ""
    why: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    entry: str = ""


@dataclass(slots=True)
class Plan:
    """What an import would do, entry by entry."""

    source: str
    rows: list[Row]
    drafts: dict[int, tuple[Draft, str, bool]] = field(default_factory=dict, repr=False)
    strike: Callable[[str], str] = field(default=str, repr=False)

    def counts(self) -> Counter[str]:
        """How many entries each outcome has."""
        return Counter(row.outcome for row in self.rows)


class CredentialImport:
    """Imports into one vault."""

    def __init__(
        self, work: Work, keyring: Keyring, redaction: Redaction, registry: Registry, credentials: Credentials
    ) -> None:
        self._work = work
        self._keyring = keyring
        self._redaction = redaction
        self._registry = registry
        self._credentials = credentials

    def plan(self, actor: Actor, found: Sequence[Found], source: str) -> Plan:
        """What is new of these entries.  Changes nothing.  Raises Denied for an actor who may not make credentials."""
        strike = self._strike(found)
        plan = Plan(source, [], strike=strike)
        first: dict[str, str] = {}
        ids = {number: self._id(one.draft) for number, one in enumerate(found) if one.draft is not None}
        blinds = {number: self._blind(found[number].draft) for number in ids}
        with self._work.permitted(actor, "credential.create") as unit:
            by_id, holding = unit.credentials.known(ids.values(), blinds.values())
            held: dict[tuple[str, bytes], list[Head]] = {}
            for name, blind, head in holding:
                held.setdefault((name, blind), []).append(head)
            clients = _Clients(unit)
            for number, one in enumerate(found):
                row = Row(one.place, strike(one.name), "skipped", why=one.skipped, remarks=one.remarks)
                if one.refused:
                    row = replace(row, outcome="refused", why="cannot be used as it is", fields=dict(one.refused))
                elif one.draft is not None:
                    credential_id = ids[number]
                    there = by_id.get(credential_id)
                    if there is None:
                        client_id = clients.id_of(one.draft.client or OWN_CLIENT)
                        main = TYPES[one.draft.type].main
                        same = partial(_is_same, one.draft, client_id, strike)
                        there = next(filter(same, held.get((main, blinds[number]), ())), None)
                    if there is not None:
                        row = replace(row, outcome="there", reference=there.reference, why=_how(there))
                    elif credential_id in first:
                        row = replace(row, outcome="there", why=f"is the same as {first[credential_id]}")
                    else:
                        row = replace(row, outcome="new")
                        first[credential_id] = one.place
                        plan.drafts[number] = (one.draft, credential_id, one.exposed)
                plan.rows.append(row)
        return plan

    def run(self, actor: Actor, plan: Plan, tell: Tell) -> Plan:
        """Makes what is new.  Raises Unavailable and Denied: what was made until then is whole, the rest is for a later run."""
        total = len(plan.drafts)
        self._places(actor, plan)
        for done, (number, (draft, credential_id, exposed)) in enumerate(sorted(plan.drafts.items())):
            tell("", done, total)
            row = plan.rows[number]
            try:
                made = self._credentials.take_in(
                    actor, draft, credential_id, plan.strike, exposed=exposed, source=plan.source
                )
            except Conflict:
                plan.rows[number] = replace(row, outcome="there", why="was imported meanwhile")
            except Invalid as error:
                plan.rows[number] = replace(row, outcome="refused", why=error.message, fields=error.fields)
            else:
                plan.rows[number] = replace(row, outcome="made", reference=made.description.reference, entry=made.entry)
        tell("", total, total)
        return plan

    def _places(self, actor: Actor, plan: Plan) -> None:
        """Clients, services and infrastructure first: each that is new has the vault's values read once more."""
        wanted = dict.fromkeys(
            (plan.strike(draft.client) or OWN_CLIENT, plan.strike(draft.service), plan.strike(draft.infrastructure))
            for draft, _, _ in plan.drafts.values()
        )
        for client, service, infrastructure in wanted:
            try:
                owner, _ = self._registry.ensure_client(actor, client)
                if service:
                    self._registry.ensure(actor, "service", service, owner)
                if infrastructure:
                    self._registry.ensure(actor, "infrastructure", infrastructure, owner)
            except (Invalid, Conflict):
                continue  # those entries are refused when their turn comes, with the reason

    def _strike(self, found: Sequence[Found]) -> Callable[[str], str]:
        """Strikes from open fields what the vault holds and what this file brings."""
        vault = self._redaction.current()
        own = [(live_reference("this", name), value.expose_bytes()) for name, value in _values(found)]
        if not own:
            return lambda text: vault.strike_values(text).text
        file = Redactor(Matcher(own))
        return lambda text: file.strike_values(vault.strike_values(text).text).text if text else text

    def _id(self, draft: Draft) -> str:
        """The id that follows from what a credential is and its value; nobody without the index key can tell it."""
        what = frame(
            _client(draft),
            draft.type,
            draft.service,
            draft.service_name.strip(),
            draft.username,
            draft.name,
            draft.values[TYPES[draft.type].main].expose_bytes(),
        )
        return fixed_id("cr", "import", self._keyring.blind(Plain(what)).hex())

    def _blind(self, draft: Draft | None) -> bytes:
        return self._keyring.blind(draft.values[TYPES[draft.type].main]) if draft is not None else b""


class _Clients:
    """The ids of clients, each asked for once; "" for one that is not there."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._known: dict[str, str] = {}

    def id_of(self, text: str) -> str:
        if text not in self._known:
            found = self._unit.registry.client(text)
            self._known[text] = found.id if found is not None else ""
        return self._known[text]


def _values(found: Sequence[Found]) -> Iterator[tuple[str, Plain]]:
    for one in found:
        if one.draft is not None:
            yield from one.draft.values.items()


def _client(draft: Draft) -> str:
    return slug(draft.client or OWN_CLIENT)


def _is_same(draft: Draft, client_id: str, strike: Callable[[str], str], head: Head) -> bool:
    return (head.client_id, head.type, head.service_name, head.username) == (
        client_id,
        draft.type,
        strike(draft.service_name).strip(),
        strike(draft.username),
    )


def _how(head: Head) -> str:
    if head.state == "deleted":
        return "was imported and then deleted here"
    return "has been changed here since" if head.current_version > 1 else ""
