"""Asking for a database that is named on the command line, and for its account's password."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Invalid
from domain.plain import Plain
from mcp_server.cli import ask
from mcp_server.config import Settings, data_directory

if TYPE_CHECKING:
    from storage.address import Address

DatabasePasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--database-password-file",
        metavar="FILE",
        help="Where the database account's password stands, instead of asking.",
    ),
]


def database_password(file: Path | None) -> Plain | None:
    """The password that was given by a file or the environment; None where it is to be asked for."""
    from mcp_server.bootstrap.reaching import PASSWORD_VARIABLE

    if file is not None:
        return Plain(ask.private_text(file, "the database password file").strip("\r\n"))
    said = os.environ.pop(PASSWORD_VARIABLE, "")
    return Plain(said) if said else None


def reached(text: str, file: Path | None) -> Address:
    """The database that `text` (a URL or a file) names, with the password that lets us in.

    Raises Invalid or Unavailable, telling what to type.
    """
    from mcp_server.bootstrap.arriving import place_of
    from mcp_server.bootstrap.reaching import reach

    address = place_of(text, data_directory())
    if not address.is_mariadb:
        return address
    return reach(
        address,
        database_password(file),
        lambda who: ask.hidden(f"Database password of {who}: ", "--database-password-file FILE"),
    )


def account(settings: Settings, name: str, file: Path | None) -> Address:
    """This installation's database by another account, with its password.  Raises Invalid, Unavailable."""
    from mcp_server.bootstrap.opening import address_of
    from mcp_server.bootstrap.reaching import reach

    address = address_of(settings)
    if not address.is_mariadb:
        raise Invalid("an embedded database has no accounts", fields={"--owner": "for MariaDB alone"})
    given = Plain(ask.private_text(file, "the owner's password file").strip("\r\n")) if file is not None else None
    return reach(
        address.changed(user=name, password_file=""),
        given,
        lambda who: ask.hidden(f"Database password of {who}: ", "--owner-password-file FILE"),
    )
