"""This process's audit chain: its head is kept in memory and advances only with a known commit."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.audit import Entry, Link, Opening, Receipt, Signer, link, open_chain
from domain.errors import Unavailable
from domain.ids import new_id

DIGEST_BYTES = 32


class Chain:
    """One chain, opened with its first entry.

    Take a `turn` from `next` until the transaction is committed and `advance` was called.
    """

    def __init__(self, signer: Signer, notes: HeadNotes, machine_id: str) -> None:
        self._lock = threading.Lock()
        self._signer = signer
        self._notes = notes
        self._machine_id = machine_id
        self._chain_id = ""
        self._seq = 0
        self._head = b""

    @contextmanager
    def turn(self, patience_s: float) -> Iterator[None]:
        """The right to append, of one thread at a time.  Raises Unavailable."""
        if not self._lock.acquire(timeout=patience_s):
            raise Unavailable("other entries of this process wait for the database", hint="try again")
        try:
            yield
        finally:
            self._lock.release()

    def next(self, entry: Entry) -> tuple[Opening | None, Link]:
        """The entry in its place after the head, and the opening of the chain where this is its first."""
        if self._chain_id:
            return None, link(entry, self._chain_id, self._seq + 1, self._head, self._signer)
        chain_id = new_id("ch")
        opening = open_chain(chain_id, self._machine_id, entry.actor.id, process_name(), entry.at_us, self._signer)
        return opening, link(entry, chain_id, 1, opening.hash, self._signer)

    def advance(self, made: Link, entry_id: str) -> Receipt:
        """Moves the head to an entry whose commit is known, and notes it on this machine."""
        self._chain_id, self._seq, self._head = made.chain_id, made.seq, made.hash
        self._notes.note(made.chain_id, made.seq, made.hash)
        return Receipt(entry_id, made.chain_id, made.seq, made.hash)

    def abandon(self) -> None:
        """Leaves a chain whose last commit's outcome is unknown; the next entry opens another."""
        self._chain_id, self._seq, self._head = "", 0, b""


class HeadNotes:
    """How far this machine's chains have come, outside the database.

    A tail that is cut from the audit log is told by these notes.  One line an entry, appended:
    chain, sequence number, hash.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "heads.log"
        self._lock = threading.Lock()
        self._torn = True  # until the end of the file was looked at

    def note(self, chain_id: str, seq: int, digest: bytes) -> None:
        """Appends one line.  One small O_APPEND write does not mix with another process's.

        Raises Unavailable where it cannot be kept: no value leaves without its note.
        """
        line = f"{chain_id} {seq} {digest.hex()}\n".encode()
        with self._lock:
            try:
                self._append(line)
            except OSError as error:
                self._torn = True
                raise Unavailable(
                    f"this machine's note of the audit log cannot be written: {self._file}: {error.strerror}",
                    hint="claudetools doctor",
                ) from None

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")  # a pipe would take the note and keep nothing
            if self._torn and self._ends_in_a_line(descriptor):
                self._torn = False
            # A line that was cut off, by a full disk or a kill, must not swallow this one.
            text = b"\n" + line if self._torn else line
            if os.write(descriptor, text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._torn = False
        finally:
            os.close(descriptor)

    @staticmethod
    def _ends_in_a_line(descriptor: int) -> bool:
        size = os.fstat(descriptor).st_size
        return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"

    def read(self) -> dict[str, tuple[int, bytes]]:
        """The furthest noted place of every chain; a torn last line is left out."""
        heads: dict[str, tuple[int, bytes]] = {}
        try:
            if not stat.S_ISREG(self._file.stat().st_mode):
                raise Unavailable(
                    f"this machine's note of the audit log is no file: {self._file}", hint="claudetools doctor"
                )
            text = self._file.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return heads
        for line in text.splitlines():
            try:
                chain_id, seq, digest = line.split()
                noted = (int(seq), bytes.fromhex(digest))
            except ValueError:
                continue
            if len(noted[1]) != DIGEST_BYTES:
                continue
            if noted[0] > heads.get(chain_id, (0, b""))[0]:
                heads[chain_id] = noted
        return heads


def process_name() -> str:
    """This process, for the people who read the audit log."""
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    return f"{program}:{os.getpid()}"[:200]
