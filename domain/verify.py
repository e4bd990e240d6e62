"""What `audit verify` says: reads the whole log with public keys alone, and names what is wrong.

Verdicts: modified, missing, reordered, forked, truncated, rolled back, unknown key, bad signature.
A missing piece is a finding, never a fresh start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from domain.audit import Link, Opening, columns_of, link_hash, opening_columns_of, opening_hash
from domain.errors import Broken

VerdictWord = Literal[
    "modified",
    "missing",
    "reordered",
    "forked",
    "truncated",
    "rolled back",
    "unknown key",
    "bad signature",
]

SignatureCheck = Callable[[str, bytes, bytes], bool | None]
"""(machine id, message, signature) -> right, wrong, or None where the machine's key is unknown."""


_GUEST_MAY = frozenset({("machine.enroll", "invitation"), ("machine.enroll", "person")})
"""What the key of an invitation may sign: attempts to join, good ones and refused ones."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the verdict, where, and what exactly."""

    verdict: VerdictWord
    where: str
    what: str


def check_opening(opening: Opening, signed: SignatureCheck) -> Iterator[Finding]:
    """A chain's opening: its columns are its body's, its hash and signature are right."""
    where = f"chain {opening.chain_id}"
    try:
        said = opening_columns_of(opening.body)
    except Broken:
        yield Finding("modified", where, "the body of its opening is not in the stored form")
        said = {}
    for name, value in said.items():
        if getattr(opening, name) != value:
            yield Finding("modified", where, f"the column {name} differs from the signed body")
    if opening_hash(opening.chain_id, opening.body) != opening.hash:
        yield Finding("modified", where, "the chain's hash does not fit its body")
    yield from _signature(where, signed(opening.machine_id, opening.hash, opening.signature))


def check_link(link: Link, columns: Mapping[str, Any], machine_id: str, signed: SignatureCheck) -> Iterator[Finding]:
    """One entry by itself: hash, signature, and every column against the body."""
    where = f"entry {link.seq} of chain {link.chain_id}"
    if link_hash(link.chain_id, link.seq, link.prev_hash, link.body) != link.hash:
        yield Finding("modified", where, "the hash does not fit the entry")
    yield from _signature(where, signed(machine_id, link.hash, link.signature))
    try:
        said = columns_of(link.body)
    except Broken:
        yield Finding("modified", where, "the body is not in the stored form")
        return
    for name, value in said.items():
        if columns.get(name) != value:
            yield Finding("modified", where, f"the column {name} differs from the signed body")
    if said["machine_id"] not in ("", machine_id):
        yield Finding("modified", where, "the entry names another machine than its chain")


class ChainCheck:
    """Follows one chain from its opening, link by link in the order of their numbers.

    `guest`: an invitation's key signs it.  Whoever had text and code keeps that key for ever.
    """

    def __init__(self, opening: Opening, signed: SignatureCheck, *, guest: bool = False) -> None:
        self._guest = guest
        self._opening = opening
        self._signed = signed
        self._head = opening.hash
        self.seq = 0

    def follow(self, link: Link, columns: Mapping[str, Any]) -> Iterator[Finding]:
        """Checks the next link and moves to it."""
        where = f"entry {link.seq} of chain {link.chain_id}"
        if not isinstance(columns.get("seq"), int):  # SQLite keeps any type in any column
            yield Finding("modified", where, "its number is none")
            return
        if link.seq <= self.seq:
            yield Finding("reordered", where, f"it stands after entry {self.seq}")
        elif link.seq != self.seq + 1:
            first, last = self.seq + 1, link.seq - 1
            span = f"entry {first} is" if first == last else f"entries {first} to {last} are"
            yield Finding("missing", where, f"{span} missing before it")
        elif link.prev_hash != self._head:
            yield Finding("reordered", where, "it does not continue the entry before it")
        yield from check_link(link, columns, self._opening.machine_id, self._signed)
        if self._guest and (columns.get("action"), columns.get("subject_type")) not in _GUEST_MAY:
            yield Finding("bad signature", where, "an invitation's key signed what is no attempt to join")
        self.seq, self._head = link.seq, link.hash

    def end(self, noted: tuple[int, bytes] | None) -> Iterator[Finding]:
        """Compares the end with what the machine noted outside the database."""
        if noted is not None and noted[0] > self.seq:
            yield Finding(
                "truncated",
                f"chain {self._opening.chain_id}",
                f"it ends at entry {self.seq}; this machine wrote {noted[0]}",
            )
        elif noted is not None and noted[0] == self.seq and noted[1] != self._head:
            yield Finding(
                "forked",
                f"entry {self.seq} of chain {self._opening.chain_id}",
                "it is another one than this machine wrote there",
            )


def _signature(where: str, right: bool | None) -> Iterator[Finding]:
    if right is None:
        yield Finding("unknown key", where, "the machine that signed it is not known")
    elif not right:
        yield Finding("bad signature", where, "the signature does not fit")
