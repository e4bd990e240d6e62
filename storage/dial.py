"""Dials MariaDB: one connection by PyMySQL, with a limit on every wait, TLS that proves the server, and few round trips.

Standard library and PyMySQL only: hooks come through here.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from storage.address import Address

# PyMySQL imports cryptography for one way of logging in that MariaDB does not have; it costs a cold process 40 ms.
_kept_out = "cryptography" not in sys.modules
if _kept_out:
    sys.modules["cryptography"] = None  # type: ignore[assignment]  # how an import is made to fail
try:
    import pymysql
    from pymysql.connections import Connection
    from pymysql.constants import CR
    from pymysql.err import OperationalError
finally:
    if _kept_out:
        del sys.modules["cryptography"]

WAIT_S = 1.8
"""How long one answer of the server may take.  A caller of ours waits no longer than 2.5 s in all."""
DIAL_S = 1.4
"""How long each step of making a connection may take.  Who has just started has waited for that already."""
UNIT_S = 2.0
"""How long the answers of one unit of work may take together before a silent server is given up."""
LEAST_S = 0.8
"""What an answer gets at least, however much of that was used by those before it: a slow line is not a dead one."""
LONG_S = 2.5
"""A unit that got this far is one of many statements, and each of its answers may take WAIT_S again."""
PROVEN_S = 5.0
"""How long after an answer a connection is taken to be alive."""
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
_FIRST = (b"SELECT", b"START TRANSACTION", b"SET ")
_KILLED = 1927
_LOGINS = frozenset({b"", b"mysql_native_password", b"client_ed25519"})
"""Ways of logging in that show the server no password, only that we have it."""
_GONE = frozenset({CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, _KILLED})


class Line(Connection):
    """One connection.  It begins transactions by itself, and only where something is written.

    - Reading statements run one by one, each with what is committed at that moment (what READ
      COMMITTED gives inside a transaction as well), so that a read costs one round trip.
    - After `expect_writes` the first statement that writes or locks begins a transaction; `commit`
      and `rollback` without one send nothing.  Inside `last_write` a statement outside a
      transaction commits at once.
    - A connection that died while nobody used it is dialled anew, unseen, at its next use.
    """

    address: Address
    wait_s: float = WAIT_S
    setup: tuple[str, ...] = ()
    opened = False
    writes = False
    last = False
    heard = 0.0
    fresh = True
    began = 0.0
    new = True

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        """Does nothing: the handshake has said utf8mb4, and asking again is a round trip."""

    def connect(self, sock: socket.socket | None = None) -> None:
        """Connects and logs in.  Raises OperationalError, also for a server that does not keep to the protocol."""
        try:
            super().connect(sock)
        except (pymysql.err.MySQLError, OSError):
            raise
        except Exception:  # noqa: BLE001  # whatever the driver stumbles over in what it was sent
            raise self._nonsense() from None

    def _get_auth_plugin_handler(self, plugin_name: bytes | str) -> object:
        """Asked for the way of logging in that the server names, and for each that it switches to.

        The driver does whatever it is asked for: over an open line it would hand the password itself to whoever answers.
        """
        name = plugin_name.encode() if isinstance(plugin_name, str) else plugin_name
        if name not in _LOGINS and not isinstance(self._sock, ssl.SSLSocket):
            raise OperationalError(
                CR.CR_AUTH_PLUGIN_ERR, "the server asks for the password over a line without encryption"
            )
        return super()._get_auth_plugin_handler(plugin_name)

    def _read_query_result(self, unbuffered: bool = False) -> int:
        """Reads an answer; one that no server gives, such as a request for a file of this machine, ends the connection."""
        try:
            done: int = super()._read_query_result(unbuffered)
        except (pymysql.err.MySQLError, OSError):
            raise
        except Exception:  # noqa: BLE001
            raise self._nonsense() from None
        return done

    def _nonsense(self) -> OperationalError:
        self._force_close()
        return OperationalError(CR.CR_MALFORMED_PACKET, "the server does not keep to the protocol")

    def begin_unit(self, *, writes: bool, wait_s: float) -> None:
        """A new unit of work takes the connection.  What it took to dial belongs to the unit that had to."""
        self.wait_s = wait_s
        self.writes, self.opened, self.last, self.fresh = writes, False, False, True
        if not self.new:
            self.began = time.monotonic()
        self.new = False

    def left_s(self) -> float:
        """How long the next answer may take."""
        used = time.monotonic() - self.began
        if self.wait_s > WAIT_S or used > LONG_S:
            return self.wait_s
        return min(self.wait_s, max(LEAST_S, UNIT_S - used))

    def patient(self, wait_s: float) -> None:
        """Sets how long one answer may take for the rest of this unit."""
        self.wait_s = wait_s

    def query(self, sql: str | bytes, unbuffered: bool = False) -> int:
        """Runs a statement; begins the transaction before the first that writes."""
        text = sql.encode(self.encoding) if isinstance(sql, str) else sql
        if self.writes and not self.opened and not self.last and not _only_reads(text):
            self._send(b"START TRANSACTION", unbuffered=False)
            self.opened = True
        return self._send(text, unbuffered)

    def _send(self, text: bytes, unbuffered: bool) -> int:
        fresh, self.fresh = self.fresh, False
        self._read_timeout = self._write_timeout = self.left_s()
        if fresh and self._is_over():
            self._again()
        idle = time.monotonic() - self.heard > PROVEN_S
        if fresh and idle and not text.startswith(_FIRST):
            self._prove()  # what writes must not be sent twice
        try:
            done: int = super().query(text, unbuffered)
        except OperationalError as error:
            # At once, on a connection that lay idle: the server was restarted or has hung up, and has not seen this.
            if not (fresh and text.startswith(_FIRST) and _hung_up(error)):
                raise
            self._again()
            done = super().query(text, unbuffered)
        self.heard = time.monotonic()
        return done

    def _is_over(self) -> bool:
        """Whether the last unit lost the connection, or the server ended it since.  Asks this machine alone."""
        if self._sock is None:
            return True
        ready = select.poll()
        ready.register(self._sock, select.POLLIN)
        if not ready.poll(0):
            return False
        self._force_close()  # nothing was asked: what is there to read is a goodbye
        return True

    def _prove(self) -> None:
        try:
            self.ping()
        except OperationalError as error:
            if not _hung_up(error):
                raise
            self._again()

    def _again(self) -> None:
        self._read_timeout = self._write_timeout = wait_s = min(DIAL_S, self.left_s())
        self.connect(reach(self.address, wait_s))
        for statement in self.setup:
            super().query(statement)
        self._read_timeout = self._write_timeout = self.left_s()

    def commit(self) -> None:
        """Commits what was begun; nothing where nothing was."""
        if self.opened:
            self.opened = False
            self._read_timeout = self.left_s()
            super().commit()

    def rollback(self) -> None:
        """Rolls back what was begun; nothing where nothing was."""
        self.writes = False
        if self.opened:
            self.opened = False
            super().rollback()


def _only_reads(text: bytes) -> bool:
    return text.startswith((b"SELECT", b"SHOW", b"SET ", b"EXPLAIN")) and not text.rstrip().endswith(b"FOR UPDATE")


def _hung_up(error: OperationalError) -> bool:
    """Whether the connection was closed, as opposed to silent until our patience ended."""
    if not error.args or error.args[0] not in _GONE:
        return False
    return "timed out" not in str(error) and "timeout" not in str(error).lower()


def dial(address: Address, *, wait_s: float = WAIT_S, setup: tuple[str, ...] = ()) -> Line:
    """A new connection; `setup` are statements that each new session begins with.

    Raises what the driver raises, and OSError where a password file cannot be read.
    """
    line = Line(
        user=address.user,
        password=_password(address),
        host=address.host,
        port=address.port,
        database=address.name,
        unix_socket=address.unix_socket or None,
        charset="utf8mb4",
        autocommit=None,
        read_timeout=wait_s,
        write_timeout=wait_s,
        connect_timeout=max(1, int(wait_s)),
        ssl=_context(address) if address.tls else None,
        ssl_disabled=not address.tls,
        local_infile=False,
        defer_connect=True,
    )
    line.address, line.wait_s, line.setup = address, wait_s, setup
    line.began = time.monotonic()
    line.connect(reach(address, wait_s))
    line.autocommit_mode = True
    for statement in setup:
        line.query(statement)
    line.heard = time.monotonic()
    return line


def reach(address: Address, wait_s: float) -> socket.socket:
    """A socket to the server, or OperationalError within `wait_s`: names are looked up with a limit too."""
    until = time.monotonic() + wait_s
    try:
        if address.unix_socket:
            line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            line.settimeout(wait_s)
            try:
                line.connect(address.unix_socket)
            except OSError:
                line.close()
                raise
            return line
        return _connected(_looked_up(address.host, address.port, until), until)
    except OSError as error:
        raise OperationalError(CR.CR_CONN_HOST_ERROR, f"cannot reach the server ({error})") from None


def _looked_up(host: str, port: int, until: float) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass
    found: list[Any] = []
    trouble: list[OSError] = []

    def look() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            trouble.append(error)

    # A dead name server answers after many seconds, and the call cannot be interrupted.
    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(max(0.0, until - time.monotonic()))
    if trouble:
        raise trouble[0]
    if not found:
        raise TimeoutError("the name was not found in time")
    return found


def _connected(places: list[Any], until: float) -> socket.socket:
    trouble: OSError = TimeoutError("timed out")
    for left, (family, kind, protocol, _, where) in zip(range(len(places), 0, -1), places, strict=True):
        line = socket.socket(family, kind, protocol)
        try:
            line.settimeout(max(0.05, (until - time.monotonic()) / left))
            line.connect(where)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE:
                if hasattr(socket, name):
                    line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        except OSError as error:
            line.close()
            trouble = error
        else:
            return line
    raise trouble


class Pinned(ssl.SSLContext):
    """A context that takes one certificate alone, whoever signed it.

    Compared after the handshake and before the account or its password is sent.
    """

    expected: str = ""
    found: str = ""

    def wrap_socket(  # type: ignore[override]  # the two arguments that PyMySQL gives
        self, sock: socket.socket, server_hostname: str | None = None
    ) -> ssl.SSLSocket:
        """Wraps, and refuses another certificate than the expected one."""
        wrapped = super().wrap_socket(sock, server_hostname=server_hostname)
        self.found = fingerprint_of(wrapped.getpeercert(binary_form=True) or b"")
        if self.found != self.expected:
            wrapped.close()
            raise ssl.SSLCertVerificationError("certificate verify failed: another certificate than the pinned one")
        return wrapped


def fingerprint_of(certificate: bytes) -> str:
    """SHA-256 of a certificate in DER, as hex."""
    import hashlib

    return hashlib.sha256(certificate).hexdigest()


class _Seen(ssl.SSLContext):
    """A context that takes what an authority vouches for, and keeps what that was."""

    found: str = ""

    def wrap_socket(  # type: ignore[override]  # the two arguments that PyMySQL gives
        self, sock: socket.socket, server_hostname: str | None = None
    ) -> ssl.SSLSocket:
        wrapped = super().wrap_socket(sock, server_hostname=server_hostname)
        self.found = fingerprint_of(wrapped.getpeercert(binary_form=True) or b"")
        return wrapped


def proved_certificate(address: Address, *, wait_s: float = WAIT_S) -> str:
    """The fingerprint of the certificate by which the server has just proved itself, as `dial` asks for it; "" where it did not.

    No account and no password is sent.
    """
    if address.fingerprint:
        shown = server_certificate(address, wait_s=wait_s)
        return shown if shown == address.fingerprint else ""
    context = _Seen(ssl.PROTOCOL_TLS_CLIENT)  # asks for a certificate, and for the host's name in it
    if address.ca:
        context.load_verify_locations(cafile=address.ca)
    else:
        context.load_default_certs()
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return _shown(address, context, wait_s)


def _context(address: Address) -> ssl.SSLContext:
    if address.fingerprint:
        return _pinned(address.fingerprint)
    context = ssl.create_default_context(cafile=address.ca or None)
    # MariaDB's own tools make authorities without the extensions that the strict mode asks for.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return context


def _pinned(expected: str) -> Pinned:
    context = Pinned(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the comparison in wrap_socket is the check
    context.expected = expected
    return context


def server_certificate(address: Address, *, wait_s: float = WAIT_S) -> str:
    """The fingerprint that the server shows, for a person to compare; "" where it shows none.

    No account and no password is sent.
    """
    return _shown(address, _pinned(""), wait_s)


def _shown(address: Address, context: Pinned | _Seen, wait_s: float) -> str:
    line = Line(
        user="", host=address.host, port=address.port, ssl=context, defer_connect=True, read_timeout=wait_s,
        write_timeout=wait_s,
    )  # fmt: skip
    try:
        line.connect(reach(address, wait_s))
    except (pymysql.err.MySQLError, OSError):
        return context.found
    line.close()
    return context.found


def _password(address: Address) -> str:
    if address.password or not address.password_file:
        return address.password
    descriptor = os.open(address.password_file, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return os.read(descriptor, 4096).decode("utf-8").rstrip("\r\n")
    finally:
        os.close(descriptor)
