"""Reaches a MariaDB for the first time: the password, the certificate, and what to type where it does not answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from domain.errors import ClaudeToolsError, Invalid, Unavailable
from domain.plain import Plain
from storage.address import Address, needs_tls

if TYPE_CHECKING:
    from storage.dial import Line

PATIENCE_S = 5.0
PASSWORD_VARIABLE = "CLAUDETOOLS_DATABASE_PASSWORD"  # noqa: S105  # the name of a variable
_REFUSED = (1045, 1698)
_NO_RIGHT, _NO_DATABASE, _NO_TLS, _NOT_THERE, _TLS_WANTED = 1044, 1049, 2026, 2003, 3159


def reach(address: Address, given: Plain | None, ask: Callable[[str], Plain] | None) -> Address:
    """The address with the password with which the server let us in.

    Tries the given password, else none at all (an account may be known by its user at the socket), else what is asked
    for.  Raises Invalid or Unavailable, telling what to type.
    """
    tried = address.changed(password=given.expose()) if given is not None else address
    try:
        knock(tried)
    except Invalid as refused:
        if given is not None or ask is None or "password" not in refused.fields:
            raise
        tried = address.changed(password=ask(f"{address.user} at {_server(address)}").expose())
        knock(tried)
    return tried


def knock(address: Address) -> None:
    """Connects once.  Raises Invalid or Unavailable, telling what is wrong and what to type."""
    with closing(connect(address)):
        return


def connect(address: Address) -> Line:
    """A connection of its own.  Raises Invalid or Unavailable, telling what is wrong and what to type."""
    import pymysql.err

    from storage.dial import dial

    try:
        return dial(address, wait_s=PATIENCE_S)
    except pymysql.err.MySQLError as error:
        raise told(address, error.args[0] if error.args else 0, str(error).lower()) from None
    except OSError as error:
        raise told(address, 0, str(error).lower()) from None


def told(address: Address, code: object, said: str) -> ClaudeToolsError:
    """What a failed connection means, from the driver's number and text (neither holds a password)."""
    server, database, user = _server(address), address.name, address.user
    if "certificate" in said:
        return _certificate(address)
    if code in _REFUSED:
        return Invalid(
            f"{server} refuses the account {user} or its password",
            fields={"password": "none was given, or it is another one"},
            hint=f"--database-password-file FILE, or {PASSWORD_VARIABLE} in the environment",
        )
    refusals = {
        _NO_RIGHT: (
            f"the account {user} has no right to the database {database}, or there is none of that name",
            (
                f"as the server's administrator: CREATE DATABASE IF NOT EXISTS `{database}`; "
                f"GRANT ALL ON `{database}`.* TO `{user}`@'%'"
            ),
        ),
        _NO_DATABASE: (
            f"{server} has no database {database}",
            f"as the server's administrator: CREATE DATABASE `{database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
        ),
        _TLS_WANTED: (f"{server} wants an encrypted connection", "?tls=on at the end of the URL"),
    }
    if isinstance(code, int) and code in refusals:
        message, hint = refusals[code]
        return Invalid(message, hint=hint)
    if code == _NO_TLS or "ssl is required" in said or "doesn't support ssl" in said:
        return Unavailable(
            f"{server} offers no encrypted connection",
            hint="give the server a certificate (ssl_cert, ssl_key); only where the way to it is encrypted already, as in a "
            "VPN: ?tls=off at the end of the URL",
        )
    reached = isinstance(code, int) and code not in (0, _NOT_THERE)
    text = f"refuses the connection (error {code})" if reached else "cannot be reached"
    return Unavailable(f"{server} {text}", hint="is it running, and is the VPN up? then the same again")


def _certificate(address: Address) -> ClaudeToolsError:
    shown = ""
    with suppress(Exception):
        from storage.dial import server_certificate

        shown = server_certificate(address, wait_s=PATIENCE_S)
    server = _server(address)
    if address.fingerprint:
        return Unavailable(
            f"{server} shows another certificate than the one that was pinned ({address.fingerprint}); "
            f"it shows {shown or 'none'}",
            fields={"certificate": "another one: renewed by its owner, or somebody stands in between"},
            hint=f"only if the server's owner confirms it: claudetools database pin {shown or 'SHA256'} "
            f"(at setup: --server-fingerprint)",
        )
    compare = 'openssl x509 -noout -fingerprint -sha256 -in FILE, where FILE is: mariadb -e "SELECT @@ssl_cert"'
    return Unavailable(
        f"the certificate of {server} is not signed for that name by an authority that this machine knows; its "
        f"fingerprint is {shown or 'not to be had'}",
        fields={"certificate": f"compare it on the server: {compare}"},
        hint=f"when it is the same: --server-fingerprint {shown or 'SHA256'}",
    )


def certificate_of(address: Address, own: Address) -> str:
    """The fingerprint of the certificate by which the server at `address` proves that it is ours; "" without TLS.

    Another machine is going to take exactly this certificate, and must not be handed that of somebody in between.  So the
    server proves itself as it does to this machine; where this machine reaches it on an unencrypted way of its `own` (it is
    the same machine), both ways must show the same certificate.  Raises Unavailable.
    """
    if not address.tls:
        return ""
    from storage.dial import proved_certificate, server_certificate

    shown = proved_certificate(address, wait_s=PATIENCE_S)
    if not shown and not own.tls and not address.fingerprint:
        there = server_certificate(address, wait_s=PATIENCE_S)
        here = server_certificate(own.changed(tls=True), wait_s=PATIENCE_S)
        shown = there if there == here else ""
    if not shown:
        raise _certificate(address)
    return shown


def for_others(address: Address, host: str) -> Address:
    """The same database as another machine dials it; `host` is HOST or HOST:PORT, "" for the one that is used here.

    Raises Invalid for an address that only this machine has.
    """
    if host:
        name, _, port = host.rpartition(":") if host.count(":") == 1 else (host, "", "")
        if port and not port.isdigit():
            raise Invalid("that is no address of a server", fields={"address": "write it as HOST or HOST:PORT"})
        name = (name or host).strip("[]")
        changed = address.changed(host=name, port=int(port) if port else address.port, unix_socket="")
        return changed.changed(tls=address.tls or needs_tls(name, ""))
    if address.unix_socket:
        raise Invalid(
            "this machine reaches the database by a socket of its own, which no other machine has",
            fields={"address": "how the other machine reaches it"},
            hint="--address HOST[:PORT]",
        )
    return address


def _server(address: Address) -> str:
    return f"the database server at {address.unix_socket or f'{address.host}:{address.port}'}"
