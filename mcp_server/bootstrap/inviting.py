"""What an invitation carries of this machine's own way to the database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from domain.errors import Invalid
from domain.plain import Plain
from mcp_server.bootstrap.opening import address_of
from mcp_server.bootstrap.reaching import certificate_of, for_others
from mcp_server.config import Settings, read_private
from mcp_server.services.machines import Reach
from storage.address import needs_tls


@dataclass(frozen=True, slots=True)
class Way:
    """How another machine reaches the database, and whether that address is one that only this machine has."""

    reach: Reach
    place: str
    only_here: bool


def way_for_others(settings: Settings, host: str) -> Way:
    """Reads accounts and certificate; `host` is HOST or HOST:PORT, "" for the address that is used here.

    Raises Invalid for a vault in a file, and for an address that other machines cannot have.
    """
    if settings.is_embedded:
        raise Invalid(
            "this vault is a file on this machine, which no other machine reaches",
            hint="claudetools move --to mariadb+pymysql://USER@HOST/DATABASE",
        )
    own = address_of(settings)
    address = for_others(own, host)
    shown = certificate_of(address, own)
    if address.ca:  # a file of this machine; the certificate itself says the same there
        address = address.changed(ca="", fingerprint=shown)
    reach = Reach(
        address=address.url,
        fingerprint=shown,
        password=_read(file, "database") if (file := settings.database_password_file).exists() else Plain(""),
        hooks_account=settings.hooks_account,
        hooks_password=_read(settings.hooks_password_file, "hooks") if settings.hooks_account else Plain(""),
    )
    return Way(reach, address.place, only_here=not needs_tls(address.host, address.unix_socket))


def _read(file: Path, whose: str) -> Plain:
    return Plain(read_private(file, f"the {whose} account's password", "./setup.sh").decode().strip("\r\n"))
