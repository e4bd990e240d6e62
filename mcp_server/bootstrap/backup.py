"""Makes backups and reads them: one snapshot of every table, compressed, sealed in pieces, streamed.

What a backup holds and how it is sealed stands in domain.backup and domain.sealing.  Reading trusts nothing: every piece
is authenticated, every table held against its digest, every chain and guarded row against its signature and MAC.
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from domain.actors import Actor, Subject
from domain.audit import Link, Opening
from domain.backup import ContentReader, ContentWriter, Event, Header, HeaderSlot, header_length, header_of, preamble_of
from domain.errors import Broken, Conflict, Denied, Invalid
from domain.framing import Scalar
from domain.identity import INVITED
from domain.verify import ChainCheck, Finding, check_opening
from mcp_server import __version__
from mcp_server.bootstrap import App
from mcp_server.bootstrap.opening import fits, open_slot
from mcp_server.config import Settings
from mcp_server.keyring import STREAM_HEAD_BYTES, Keyring, parse_recovery_key, signed_by
from storage.engine import as_bytes
from storage.inspect import GUARDED
from storage.keys import Slot, read_slots
from storage.migrations import current_revision, known
from storage.rows import count, read, shapes_in, snapshot
from storage.schema import SCHEMA_VERSION

SLOTS = frozenset({"file", "recovery"})
"""The kinds of key slots that a backup carries: random keys, which nobody can guess."""
FIRST = "0001"
"""The revision of schema 1; all later ones are of this program's."""
NEWER = "git pull && ./setup.sh"
_START = 9
_READ = 262_144

Progress = Callable[[str, int, int], None]
"""Told a table's name, how many rows are done in all, and how many there are in all."""


@dataclass(frozen=True, slots=True)
class Made:
    """What was written: bytes, tables, rows, and how many of them are audit entries."""

    size: int
    tables: int
    rows: int
    entries: int
    created_us: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What a backup holds, and what was already wrong in the vault when it was made."""

    header: Header
    rows: int
    entries: int
    chains: int
    tables: Mapping[str, int]
    findings: tuple[Finding, ...]


def create(app: App, actor: Actor, write: Callable[[bytes], object], tell: Progress) -> Made:
    """Writes a backup of the whole vault, as it is at one moment, while others go on working.

    Also of a database that an older program made and that waits for its upgrade.  The audit entry comes first, and is in the backup.  Raises Denied for an actor without the right.
    """
    vault_id = app.keyring.vault_id
    with app.work.audited(actor, "backup.create", Subject("vault", vault_id, "vault")):
        pass
    created_us = app.work.clock()
    with snapshot(app.engine) as connection:
        # What is sealed under one root key and carries the slots of the next would open for nobody.
        if not fits(connection, app.keyring):
            raise Conflict("the root key was replaced meanwhile", hint="try again")
        revision = current_revision(connection)
        header = Header(
            vault_id=vault_id,
            created_us=created_us,
            schema=1 if revision == FIRST else SCHEMA_VERSION,
            revision=revision,
            program=__version__,
            slots=tuple(
                HeaderSlot(slot.slot_id, slot.kind, slot.wrapped)
                for slot in read_slots(connection)
                if slot.kind in SLOTS
            ),
        )
        preamble = preamble_of(header)
        sealer, content, size = app.keyring.seal_stream(preamble), ContentWriter(), 0

        def out(raw: bytes) -> None:
            nonlocal size
            if raw:
                size += len(raw)
                write(raw)

        out(preamble + sealer.head)
        wanted = [(shape, count(connection, shape)) for shape in shapes_in(connection)]
        total, done = sum(number for _, number in wanted), 0
        for shape, _ in wanted:
            out(sealer.update(content.begin(shape.name, shape.columns)))
            for values in read(connection, shape):
                out(sealer.update(content.row(values)))
                done += 1
                if done % 256 == 0:
                    tell(shape.name, done, total)
            out(sealer.update(content.end()))
            tell(shape.name, done, total)
        out(sealer.update(content.finish()))
        out(sealer.finish())
    return Made(size, len(content.tables), done, content.tables["audit_entries"], created_us)


def create_file(app: App, actor: Actor, file: Path, tell: Progress) -> Made:
    """Writes a backup into a new file (0600), whole or not at all, and durably.

    Raises Conflict where the file exists, Invalid where it cannot be written.
    """
    if os.path.lexists(file):
        raise Conflict("a file of that name exists and is not overwritten", hint="name another file")
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unwritable(error) from None
    try:
        with os.fdopen(descriptor, "wb", buffering=1024 * 1024) as out:
            try:
                made = create(app, actor, out.write, tell)
                out.flush()
                os.fsync(out.fileno())
            except OSError as error:
                raise _unwritable(error) from None
        part.rename(file)
        _sync_directory(file.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return made


def _unwritable(error: OSError) -> Invalid:
    return Invalid(f"the backup cannot be written: {error.strerror}", hint="name another place")


def _sync_directory(folder: Path) -> None:
    """Makes a new name durable; not every file system (a stick, a share) can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def default_name() -> str:
    """What a backup of now is called."""
    return f"claudetools-{time.strftime('%Y%m%d-%H%M%S')}.backup"


# Reading.


@dataclass(frozen=True, slots=True)
class Source:
    """A backup that was begun to be read: its header (not proven yet) and the clear bytes it stands in."""

    header: Header
    preamble: bytes
    stream: BinaryIO
    head: bytes


def begin(stream: BinaryIO) -> Source:
    """Reads the header.  Raises Invalid for another kind of file, Conflict for a backup of a newer program, Broken."""
    start = _exactly(stream, _START)
    rest = _exactly(stream, header_length(start))
    header = header_of(rest)
    if header.schema > SCHEMA_VERSION or not known(header.revision) or not header.revision:
        raise Conflict(
            f"that backup holds schema {header.schema}, made by a newer program; this one knows {SCHEMA_VERSION}",
            hint=NEWER,
        )
    return Source(header, start + rest, stream, _exactly(stream, STREAM_HEAD_BYTES))


def keyring_for(source: Source, settings: Settings | None, live: Keyring | None, ask: Callable[[], str]) -> Keyring:
    """The keys of a backup: this computer's own where they fit, else through the recovery key that `ask` gives.

    A backup opens with the recovery key that the vault had when it was made.  Raises Denied where it is another one.
    """
    header = source.header
    slots = [Slot(slot.slot_id, slot.kind, slot.kind, slot.wrapped, 0) for slot in header.slots]
    if settings is not None and settings.vault_id == header.vault_id:
        with suppress(OSError):
            keyring = open_slot(header.vault_id, slots, settings.root_key_file.read_bytes(), "file")
            if keyring is not None:
                return keyring
    if live is not None and live.vault_id == header.vault_id and live.seals_stream(source.preamble, source.head):
        return live
    keyring = open_slot(header.vault_id, slots, parse_recovery_key(ask()), "recovery")
    if keyring is None:
        raise Denied(
            "that recovery key does not open this backup: it is another vault's, or not the one of when it was made, "
            "or the backup's header was altered",
            hint="look for the key that was kept when the vault was made, or when its keys were last replaced before",
        )
    return keyring


def events(source: Source, keyring: Keyring) -> Iterator[Event]:
    """The backup's tables and rows.  Only when it has ended is the whole known to be good.  Raises Broken."""
    opener = keyring.open_stream(source.preamble, source.head)
    reader = ContentReader()
    while raw := source.stream.read(_READ):
        yield from reader.feed(opener.update(raw))
    yield from reader.feed(opener.finish())
    reader.finish()


def check(source: Source, keyring: Keyring, tell: Callable[[str, int], None]) -> Checked:
    """Reads a backup to its end.  Raises Broken where a piece is missing, altered or moved.

    Findings are what was already wrong in the vault: its audit log and guarded rows are verified as they come by.
    """
    inspection = Inspection(keyring)
    tables: dict[str, int] = {}
    rows = 0
    for event in events(source, keyring):
        if event.kind == "row":
            rows += 1
            inspection.take(event.table, dict(zip(event.columns, event.values, strict=True)))
            if rows % 1024 == 0:
                tell(event.table, rows)
        elif event.kind == "end":
            tables[event.table] = event.rows
    findings = tuple(inspection.findings())
    tell("", rows)
    entries, chains = tables.get("audit_entries", 0), tables.get("audit_chains", 0)
    return Checked(source.header, rows, entries, chains, tables, findings)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    raw = b""
    while len(raw) < size:
        more = stream.read(size - len(raw))
        if not more:
            if len(raw) < _START and size == _START:
                return raw
            raise Broken("the backup is cut short")
        raw += more
    return raw


class Inspection:
    """Verifies what streams by: the audit log's chains and signatures, and the MAC and revision of every guarded row."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._found: list[Finding] = []
        self._machines: dict[str, bytes] = {}
        self._guests: set[str] = set()
        self._chains: dict[str, ChainCheck] = {}
        self._guarded = {table.name: (word, key) for table, word, key in GUARDED}
        self._words = frozenset(word for word, _ in self._guarded.values())
        self._revisions: dict[tuple[str, str], object] = {}
        self._logged: dict[tuple[str, str], int] = {}

    def take(self, table: str, row: Mapping[str, Scalar]) -> None:
        """The next row."""
        if table in self._guarded:
            self._guarded_row(table, row)
        elif table == "audit_chains":
            opening = Opening(
                str(row["chain_id"]),
                str(row["machine_id"]),
                str(row["actor_id"]),
                str(row["process"]),
                _number(row["opened_us"]),
                as_bytes(row["body"]),
                as_bytes(row["hash"]),
                as_bytes(row["signature"]),
            )
            self._found += check_opening(opening, self._signed)
            self._chains[opening.chain_id] = ChainCheck(opening, self._signed, guest=opening.machine_id in self._guests)
        elif table == "audit_entries":
            self._entry(row)

    def findings(self) -> Iterator[Finding]:
        """Everything that is wrong."""
        yield from self._found
        for at, last in self._logged.items():
            there = self._revisions.pop(at, None)
            where = " ".join(at)
            if there is None:
                yield Finding("missing", where, "the row is gone")
            elif there != last:
                yield Finding("rolled back", where, f"its revision is not the {last} that the audit log knows")
        for at in self._revisions:
            yield Finding("missing", " ".join(at), "the audit log does not know this row")

    def _guarded_row(self, table: str, row: Mapping[str, Scalar]) -> None:
        word, key = self._guarded[table]
        at = (word, str(row[key]))
        try:
            right = self._keyring.mac(table, {name: value for name, value in row.items() if name != "mac"})
        except (TypeError, AttributeError):
            right = b""
        if not hmac.compare_digest(as_bytes(row["mac"]), right):
            self._found.append(Finding("modified", " ".join(at), "the row is not as it was written"))
        elif table == "machines":
            self._machines[str(row["machine_id"])] = as_bytes(row["public_key"])
            if row["state"] == INVITED:
                self._guests.add(str(row["machine_id"]))
        self._revisions[at] = row["revision"]

    def _entry(self, row: Mapping[str, Scalar]) -> None:
        link = Link(
            str(row["chain_id"]),
            _number(row["seq"]),
            as_bytes(row["prev_hash"]),
            as_bytes(row["body"]),
            as_bytes(row["hash"]),
            as_bytes(row["signature"]),
        )
        chain = self._chains.get(link.chain_id)
        if chain is None:
            self._found.append(Finding("missing", f"entry {link.seq} of chain {link.chain_id}", "its opening is gone"))
        else:
            self._found += chain.follow(link, row)
        revision = row["subject_revision"]
        if isinstance(revision, int) and row["subject_type"] in self._words:
            at = (str(row["subject_type"]), str(row["subject_id"]))
            self._logged[at] = max(revision, self._logged.get(at, 0))

    def _signed(self, machine_id: str, message: bytes, signature: bytes) -> bool | None:
        raw = self._machines.get(machine_id)
        return None if raw is None else signed_by(raw, message, signature)


def _number(value: Scalar) -> int:
    return value if isinstance(value, int) else -1
