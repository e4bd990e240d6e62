"""`claudetools keys rotate`: new keys on each level, with everything open meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import Invalid
from domain.plain import Plain
from mcp_server.cli import acting, ask, init, show
from mcp_server.cli.progress import progress

if TYPE_CHECKING:
    from domain.actors import Actor
    from mcp_server.bootstrap import App
    from mcp_server.bootstrap.turning import Turned, Wanted
    from mcp_server.services.keys import Rotated

app = typer.Typer(
    help="Replace keys: the root key, a client's, or those of single values.",
    no_args_is_help=True,
    add_completion=False,
)

All = Annotated[bool, typer.Option("--all", help="The whole vault.")]
RecoveryFile = Annotated[
    Path | None,
    typer.Option("--recovery-file", metavar="FILE", help="Write the new recovery key there instead of showing it."),
]
RecoveryKeyFile = Annotated[
    Path | None,
    typer.Option("--recovery-key-file", metavar="FILE", help="Where the present recovery key stands: it goes on."),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="The passphrase of the passphrase slots: they go on."),
]
LeaveBehind = Annotated[
    bool,
    typer.Option("--leave-behind", help="Although machines run an older release: they are out until upgraded."),
]


@app.command()
def client(
    name: Annotated[str, typer.Argument(metavar="[CLIENT]", help="The client's name; or --all.")] = "",
    *,
    everybody: All = False,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Give a client a new key, and wrap all its data keys under it.  No value is opened, nothing waits."""
    _one_of(name, everybody, "CLIENT")
    with acting.at_the_terminal("rotating keys", password_file) as (vault, actor), progress("rotate", "keys") as tell:
        scope = _client(vault, actor, name)
        done = vault.keys.rotate_clients(actor, scope, tell)
    _say(done, as_json=json)


@app.command()
def data(
    name: Annotated[
        str, typer.Argument(metavar="[CLIENT|REF]", help="A client's name or a credential's reference; or --all.")
    ] = "",
    *,
    everybody: All = False,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Seal values again under fresh data keys, their history too.  Nothing waits."""
    _one_of(name, everybody, "CLIENT or REF")
    with acting.at_the_terminal("rotating keys", password_file) as (vault, actor), progress("rotate", "values") as tell:
        scope = vault.keys.scope_of(actor, name, credentials=True)[0] if name else ""
        done = vault.keys.rotate_data(actor, scope, tell)
    _say(done, as_json=json)


@app.command()
def root(
    *,
    recovery_file: RecoveryFile = None,
    recovery_key_file: RecoveryKeyFile = None,
    passphrase_file: PassphraseFile = None,
    leave_behind: LeaveBehind = False,
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Replace the root key, and with it every slot, the recovery key and this machine's key file.

    Other machines pick the new one up by themselves, at their next start or while they run.
    """
    from mcp_server.bootstrap.turning import turn_root

    wanted = wanted_of(recovery_file, recovery_key_file, passphrase_file, leave_behind=leave_behind)
    with acting.at_the_terminal("rotating keys", password_file) as (vault, actor), progress("rotate") as tell:
        done = turn_root(vault, actor, wanted, tell)
    if json:
        show.as_json(turned_facts(done))
        return
    say_turned(done)
    show.note("you are logged out: claudetools login")
    show.note(
        "after a leak, go on with: claudetools keys rotate client --all, then: claudetools keys rotate data --all"
    )


def wanted_of(
    recovery_file: Path | None, recovery_key_file: Path | None, passphrase_file: Path | None, *, leave_behind: bool
) -> Wanted:
    """How the root key is to be turned, as the command line says it."""
    from mcp_server.bootstrap.turning import Wanted

    if recovery_file is not None and recovery_key_file is not None:
        raise Invalid(
            "a new recovery key, or the present one: not both",
            fields={"--recovery-file": "not with --recovery-key-file"},
        )
    return Wanted(
        deliver=init.deliver(recovery_file, "claudetools keys rotate root"),
        recovery=_present(recovery_key_file),
        passphrase=_passphrase(passphrase_file),
        leave_behind=leave_behind,
    )


def _present(file: Path | None) -> Callable[[], Plain] | None:
    if file is None:
        return None
    return lambda: Plain(ask.private_text(file, "the recovery key file").strip())


def _passphrase(file: Path | None) -> Callable[[str], Plain | None]:
    """The passphrase of a slot: from the file, or asked for; an empty one lets the slot go."""

    def given(label: str) -> Plain | None:
        if file is not None:
            return Plain(ask.private_text(file, "the passphrase file").strip("\r\n"))
        if not ask.has_terminal():
            return None
        typed = ask.hidden(f"The passphrase of the slot {show.clean(label)} (empty: the slot goes): ", "")
        return typed if typed.expose() else None

    return given


def _one_of(name: str, everybody: bool, what: str) -> None:
    if bool(name) == everybody:
        raise Invalid(f"say {what}, or --all", fields={what: "needed, or --all"}, hint="claudetools keys rotate --help")


def _client(vault: App, actor: Actor, name: str) -> str:
    return vault.keys.scope_of(actor, name)[0] if name else ""


def _say(done: Rotated, *, as_json: bool) -> None:
    if as_json:
        show.as_json(
            {
                "level": done.level,
                "clients": done.clients,
                "versions": done.versions,
                "left": done.left,
                "resumed": done.resumed,
            }
        )
        return
    began = "gone on where it stopped; " if done.resumed else ""
    if done.level == "client":
        print(
            f"{began}{show.many(done.clients, 'client key')} replaced, {show.many(done.versions, 'data key')} wrapped anew"
        )
    else:
        print(f"{began}{show.many(done.versions, 'version')} sealed again under fresh data keys")
    if done.left:
        show.note(f"{done.left} versions do not open and stay as they are: claudetools audit verify")


def turned_facts(done: Turned) -> dict[str, object]:
    """What a turn of the root key did, for programs."""
    return {
        "rows": done.rows,
        "client_keys": done.client_keys,
        "values": done.values,
        "machines": list(done.machines),
        "dropped": list(done.dropped),
        "invitations": done.invitations,
        "new_recovery_key": done.new_recovery_key,
    }


def say_turned(done: Turned) -> None:
    """The same, for people."""
    what = f"{show.many(done.client_keys, 'client key')}, {show.many(done.rows, 'row')} and {show.many(done.values, 'value')}"
    print(f"the root key was replaced: {what}")
    if done.new_recovery_key:
        show.note("the new recovery key counts from now on; the one before opens only backups that were made before")
    if done.machines:
        show.note(f"these machines pick it up by themselves: {', '.join(done.machines)}")
    if done.dropped:
        show.note(f"these slots went: {', '.join(done.dropped)}")
    if done.invitations:
        show.note(f"{done.invitations} open invitations were ended: they held the root key before")
