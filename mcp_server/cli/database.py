"""`claudetools database`: the accounts and the certificate of the server that holds the vault."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domain.errors import Conflict
from mcp_server.cli import ask, place, presence, show
from mcp_server.config import Settings, load_settings

app = typer.Typer(
    help="The database server: its certificate, and the accounts we use there.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command()
def accounts(*, json: show.Json = False) -> None:
    """Print the SQL that gives the program and its hooks accounts of few rights, for the server's administrator."""
    from mcp_server.bootstrap.accounts import names_for, script
    from mcp_server.bootstrap.opening import address_of

    address = address_of(_on_a_server())
    named = names_for(address.name)
    if json:
        show.as_json({"application": named.application, "hooks": named.hooks, "sql": script(address.name)})
        return
    print(script(address.name))
    show.note(f"\nThen on each machine: claudetools database account {named.application} --hooks {named.hooks}")


@app.command()
def account(
    name: Annotated[str, typer.Argument(help="The account that the program uses from now on.")],
    *,
    hooks: Annotated[
        str, typer.Option("--hooks", metavar="ACCOUNT", help="The account that its hooks read with.")
    ] = "",
    database_password_file: place.DatabasePasswordFile = None,
    hooks_password_file: Annotated[
        Path | None,
        typer.Option("--hooks-password-file", metavar="FILE", help="Where the hooks account's password stands."),
    ] = None,
    json: show.Json = False,
) -> None:
    """Use other accounts on this machine, or the same with new passwords.  Both are tried before anything is kept."""
    from mcp_server.bootstrap.switching import switch

    presence.refuse_under_claude("changing the database's accounts")

    def asked(who: str) -> str:
        return f"Database password of {who}: "

    settings = _on_a_server()
    password = place.database_password(database_password_file)
    if password is None:
        password = ask.hidden(asked(name), "--database-password-file FILE")
    hooks_password = None
    if hooks:
        hooks_password = ask.password(hooks_password_file, asked(hooks))
    changed = switch(settings, name, password, hooks, hooks_password)
    if json:
        show.as_json({"account": name, "hooks_account": changed.hooks_account})
        return
    print(f"this machine uses {show.clean(name)}" + (f", its hooks {show.clean(hooks)}" if hooks else ""))


@app.command()
def pin(
    fingerprint: Annotated[
        str, typer.Argument(metavar="SHA256", help="The certificate's fingerprint, 64 hexadecimal digits.")
    ],
    *,
    json: show.Json = False,
) -> None:
    """Take exactly the server certificate with this fingerprint from now on, for example after it was renewed."""
    from mcp_server.bootstrap.opening import address_of
    from mcp_server.bootstrap.pinning import pin as hold

    # The message about another certificate names that certificate: whoever reads it may not be the one to trust it.
    presence.refuse_under_claude("trusting another certificate")
    changed = hold(_on_a_server(), fingerprint)
    if json:
        show.as_json({"fingerprint": address_of(changed).fingerprint})
        return
    print(f"pinned: {address_of(changed).fingerprint}")


def _on_a_server() -> Settings:
    settings = load_settings()
    if settings.is_embedded:
        raise Conflict("this vault is a file on this machine; there is no database server", hint="claudetools doctor")
    return settings
