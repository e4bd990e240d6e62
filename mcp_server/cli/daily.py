"""What a technician does with a credential all day: fill it, copy its value, open its page, log in with its key."""

from __future__ import annotations

from typing import Annotated

import typer

from domain.credentials import TYPES
from domain.drafts import type_of
from domain.errors import Conflict, Invalid
from mcp_server.cli import acting, ask, described, generating, show
from mcp_server.cli.looking import looked

LONGEST_S = 600
_SCHEMES = ("http", "https")

Reference = Annotated[str, typer.Argument(help="client/service/name, as `list` shows it.")]
Purpose = Annotated[str, typer.Option("--purpose", help="Why; goes into the audit log.")]


def fill(
    reference: Reference,
    *,
    field: Annotated[str, typer.Option("--field", help="Which secret field; else the main one.")] = "",
    value_file: Annotated[
        str, typer.Option("--value-file", metavar="FILE", help="The value from a file, - for standard input.")
    ] = "",
    page: Annotated[
        bool, typer.Option("--page", help="Enter it on a page of this machine, once, in a browser.")
    ] = False,
    generate: Annotated[bool, typer.Option("--generate", help="Have the value made here.")] = False,
    length: generating.Length = 24,
    alphabet: generating.Letters = "all",
    words: generating.Words = 0,
    purpose: Purpose = "",
    json: show.Json = False,
) -> None:
    """Enter the value of a credential that has none yet: without an echo, on a page, from a file, or generated."""
    with acting.logged_in() as (vault, actor):
        one = vault.credentials.describe(actor, reference)
        name = field or TYPES[one.head.type].main
        if name in one.head.fields:
            raise Conflict(
                f"{one.reference} has a {name} already", hint=f"claudetools credential rotate {one.reference}"
            )
        if name not in type_of(one.head.type).secrets():
            fields = ", ".join(type_of(one.head.type).secrets())
            raise Invalid(f"a credential of type {one.head.type} has no such secret field", fields={"--field": fields})
        made = generate or bool(words)
        if value_file:
            value = ask.value(value_file)
        elif page:
            from mcp_server.cli.page import asked

            value = asked(f"The {name} of {one.reference}")
        elif made:
            value = generating.value(length, alphabet, words, "-")
        else:
            value = ask.hidden(f"The {name} of {one.reference}: ", "--value-file FILE, or --generate")
        changed = vault.credentials.update(actor, one.reference, {name: value}, purpose=purpose)
        vault.reminders.refresh()
        found = None if made else looked(vault)
    described.change("filled", changed, as_json=json, looked=found)


def copy(
    reference: Reference,
    *,
    field: Annotated[str, typer.Option("--field", help="Which secret field; else the main one.")] = "",
    clear_after: Annotated[int, typer.Option("--clear-after", help="Seconds until it is cleared, 1 to 600.")] = 30,
    purpose: Purpose = "",
    password_file: ask.PasswordFile = None,
) -> None:
    """Put a value on the clipboard, and clear it after 30 seconds.  Asks for your password, and refuses under Claude Code."""
    from mcp_server.cli import clipboard

    if not 1 <= clear_after <= LONGEST_S:
        raise Invalid("that is no time to clear it after", fields={"--clear-after": f"1 to {LONGEST_S}"})
    with acting.at_the_terminal("a value", password_file) as (vault, actor):
        board = clipboard.find()
        opened = vault.credentials.reveal(actor, reference, field=field, purpose=acting.purpose_of(purpose))
    clipboard.copy(board, opened.value, clear_after_s=clear_after)
    ask.say(f"the {opened.field} of {opened.reference} is on the clipboard for {clear_after} seconds")


def open_(
    reference: Reference,
    *,
    only_print: Annotated[bool, typer.Option("--print", help="Print the address, open nothing.")] = False,
    json: show.Json = False,
) -> None:
    """Open the page where a credential is used, and print its user name.  No value is opened."""
    with acting.logged_in() as (vault, actor):
        one = vault.credentials.describe(actor, reference)
    url = address(one.head.external_url)
    if not url:
        raise Invalid(
            f"{one.reference} has no address of a page", hint=f"claudetools credential update {one.reference} --url URL"
        )
    if not only_print:
        import webbrowser

        if not webbrowser.open(url):
            show.note("no browser took it; open it yourself")
    if json:
        show.as_json({"reference": one.reference, "url": url, "username": one.head.username})
        return
    print(show.clean(url))
    if one.head.username:
        print(f"username: {show.clean(one.head.username)}")


def ssh(
    reference: Reference,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="What to run there; without it, a shell.")
    ] = None,
    *,
    host: Annotated[str, typer.Option("--host", help="Where to; else the host of its address.")] = "",
    port: Annotated[int, typer.Option("--port", help="The port; else the first of its own.")] = 0,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="One more option of ssh (its -o).")
    ] = None,
    purpose: Purpose = "",
    password_file: ask.PasswordFile = None,
) -> None:
    """Log in over SSH with its private key, which goes into an agent of its own and onto no disk.

    Asks for your password, and refuses under Claude Code.
    """
    import shutil
    import subprocess

    program = shutil.which("ssh")
    if program is None:
        raise Invalid("ssh is not on PATH", hint="install the OpenSSH client")
    with acting.at_the_terminal("a private key", password_file) as (vault, actor):
        one = vault.credentials.describe(actor, reference)
        there = host or host_of(one.head.external_url)
        if not there or there.startswith("-") or any(map(str.isspace, there)):
            raise Invalid(
                f"{one.reference} has no host to log in to", fields={"--host": "needed"}, hint="--host NAME or ADDRESS"
            )
        number = port or next(iter(one.head.ports), 0)
        words = ["-l", one.head.username] if one.head.username else []
        words += ["-p", str(number)] if number else []
        why = acting.purpose_of(purpose)
        at = f"{f'[{there}]' if ':' in there else there}:{number or 22}"
        with vault.use.with_agent(actor, one.reference, why, program, at) as lent:
            # Nothing but the agent of this very login is asked, and the host does not get at it.
            alone = ("-o", f"IdentityAgent={lent.socket}", "-o", "IdentityFile=none", "-o", "ForwardAgent=no")
            more = [word for text in option or () for word in ("-o", text)]
            done = subprocess.run([program, *alone, *words, *more, "--", there, *(arguments or [])], check=False)
            lent.code = done.returncode
    raise typer.Exit(done.returncode)


def host_of(text: str) -> str:
    """The host of an address, with a scheme or without one; "" for none."""
    from urllib.parse import urlsplit

    text = text.strip()
    try:
        return urlsplit(text if "://" in text else f"ssh://{text}").hostname or ""
    except ValueError:
        return ""


def address(text: str) -> str:
    """The address of a web page, with https where none is said; "" for anything else."""
    from urllib.parse import urlsplit

    text = text.strip()
    if not text or show.clean(text) != text or any(map(str.isspace, text)):
        return ""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        _ = parts.port  # raises ValueError where it is no number
    except ValueError:
        return ""
    host = parts.hostname or ""
    is_page = parts.scheme in _SCHEMES and host and not host.startswith("-")
    return parts.geturl() if is_page else ""
