"""`claudetools credential`: add, list, show, reveal, update, rotate, rm; and what `daily`, `generating` and `credential_files` do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer._click.exceptions import NoArgsIsHelpError

from domain.credentials import EXPOSURES, TYPES, Exposure
from domain.drafts import Draft, Generate, type_of
from domain.errors import Invalid
from domain.plain import Plain
from mcp_server.answers import micros
from mcp_server.cli import acting, ask, credential_files, daily, described, generating, picker, presence, show
from mcp_server.cli.generating import Length, Letters, Words
from mcp_server.cli.looking import looked

ADD_HINT = "claudetools credential add --help"

app = typer.Typer(
    help="Credentials: what they are, and their values.  At a terminal and without a command, pick one from a list.",
    invoke_without_command=True,
    add_completion=False,
)
app.command("import")(credential_files.import_)
app.command("export")(credential_files.export)

Reference = Annotated[str, typer.Argument(help="client/service/name, as `list` shows it.")]
Purpose = Annotated[str, typer.Option("--purpose", help="Why; goes into the audit log.")]
ValueFiles = Annotated[
    list[str] | None,
    typer.Option("--value-file", metavar="[FIELD=]FILE", help="A value from a file, - for standard input."),
]
AskFor = Annotated[
    list[str] | None, typer.Option("--ask", metavar="FIELD", help="One more secret field to ask for, such as notes.")
]
Generated = Annotated[bool, typer.Option("--generate", help="Have the value made here.")]


@app.callback()
def room(context: typer.Context) -> None:
    """Lets a person at a terminal pick, where no command is named; elsewhere tells the commands."""
    if context.invoked_subcommand is not None:
        return
    if not picker.is_possible():
        raise NoArgsIsHelpError(context)
    picker.pick()


@app.command()
def add(
    service_name: Annotated[
        str, typer.Argument(help="What it is for, for example 'Gitea Admin'; without it, the fields are asked for.")
    ] = "",
    *,
    type: Annotated[str, typer.Option("--type", help="One of: " + ", ".join(TYPES) + ".")] = "password",
    client: Annotated[str, typer.Option("--client", help="Whose; without it, the team's own.")] = "",
    service: Annotated[str, typer.Option("--service", help="The client's service it belongs to.")] = "",
    infrastructure: Annotated[
        str, typer.Option("--infrastructure", help="The client's infrastructure it belongs to.")
    ] = "",
    name: Annotated[str, typer.Option("--name", help="The last part of the reference; else the username.")] = "",
    username: Annotated[str, typer.Option("--username", help="Who logs in with it.")] = "",
    url: Annotated[str, typer.Option("--url", help="Where it is used.")] = "",
    port: Annotated[list[int] | None, typer.Option("--port", help="A port; may be repeated.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.")] = None,
    open: Annotated[
        list[str] | None, typer.Option("--open", metavar="FIELD=TEXT", help="An open field of its type.")
    ] = None,
    vpn: Annotated[bool, typer.Option("--vpn", help="It needs the VPN.")] = False,
    two_factor: Annotated[bool, typer.Option("--2fa", help="It needs a second factor.")] = False,
    expires: Annotated[str, typer.Option("--expires", help="When it expires: 2027-01-31.")] = "",
    rotate_every: Annotated[int, typer.Option("--rotate-every", help="Days between rotations; 0 for none.")] = 0,
    exposure: Annotated[
        str, typer.Option("--exposure", help="One of: " + ", ".join(EXPOSURES) + "; else the default.")
    ] = "",
    value_file: ValueFiles = None,
    ask_for: AskFor = None,
    generate: Generated = False,
    length: Length = 24,
    alphabet: Letters = "all",
    words: Words = 0,
    purpose: Purpose = "",
    json: show.Json = False,
) -> None:
    """Add a credential.  Its value is asked for without echo, read from a file, or generated."""
    kind = type_of(type)
    if not service_name.strip():
        if not ask.has_terminal():
            raise Invalid("say what the credential is for", fields={"service_name": "needed"}, hint=ADD_HINT)
        service_name = str(typer.prompt("What is it for, for example Gitea Admin", err=True))
        kind = type_of(str(typer.prompt("Type", default=type, err=True)))
        client = str(typer.prompt("Client, empty for our own", default=client, show_default=bool(client), err=True))
        username = str(typer.prompt("Username, if any", default=username, show_default=bool(username), err=True))
    with acting.logged_in() as (vault, actor):
        values = _values(kind.main, value_file or [], ask_for or [], asks=not generate and not words)
        if words:
            values.setdefault(kind.main, generating.passphrase(words))
        draft = Draft(
            type=kind.name,
            service_name=service_name,
            client=client,
            service=service,
            name=name,
            infrastructure=infrastructure,
            username=username,
            external_url=url,
            ports=tuple(port or ()),
            tags=tuple(tag or ()),
            open=_open_fields(open or []),
            requires_vpn=vpn,
            requires_2fa=two_factor,
            expires_us=micros(expires, "--expires"),
            rotate_every_days=rotate_every or None,
            exposure=_exposure(exposure) if exposure else "",
            values=values,
            generate=Generate(length, alphabet) if generate else None,
        )
        changed = vault.credentials.create(actor, draft, purpose=purpose)
        vault.reminders.refresh()
        found = None if generate or words else looked(vault)
    described.change("added", changed, as_json=json, looked=found)


@app.command("list")
def list_(
    query: Annotated[str, typer.Argument(help="Words that the open fields must hold.")] = "",
    *,
    client: Annotated[str, typer.Option("--client", help="Only this client's.")] = "",
    type: Annotated[str, typer.Option("--type", help="Only of this type.")] = "",
    tag: Annotated[str, typer.Option("--tag", help="Only with this tag.")] = "",
    state: Annotated[str, typer.Option("--state", help="active, retired, deleted, or any.")] = "active",
    limit: show.Limit = 50,
    cursor: show.Cursor = "",
    json: show.Json = False,
) -> None:
    """List credentials, without their values."""
    wanted = "" if state == "any" else state
    with acting.logged_in() as (vault, actor):
        page = vault.credentials.search(
            actor, query, client=client, type=type, tag=tag, state=wanted, limit=limit, cursor=cursor
        )
    if json:
        items = [described.facts(one) for one in page.items]
        show.as_json({"items": items, "next_cursor": page.next_cursor, "total": page.total})
        return
    show.table(
        ("reference", "type", "for", "username", "exposure", "expires", "state"),
        (
            (
                one.reference,
                one.head.type,
                one.head.service_name,
                one.head.username,
                "; ".join((one.head.exposure, *one.head.rules.told())),
                show.day(one.head.expires_us),
                described.state(one),
            )
            for one in page.items
        ),
        empty="no credentials",
    )
    show.next_page(page.next_cursor)


@app.command("show")
def show_(
    reference: Reference,
    *,
    values: Annotated[bool, typer.Option("--values", help="The secret fields too; asks for your password.")] = False,
    purpose: Purpose = "",
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Show one credential's open fields; with --values, print its secret fields alone."""
    if values:
        _show_values(reference, purpose, password_file, as_json=json)
        return
    with acting.logged_in() as (vault, actor):
        one = vault.credentials.describe(actor, reference)
    if json:
        show.as_json(described.facts(one))
        return
    described.whole(one)


@app.command()
def reveal(
    reference: Reference,
    *,
    field: Annotated[str, typer.Option("--field", help="Which secret field; else the main one.")] = "",
    purpose: Purpose = "",
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Print one value alone.  Asks for your password, and refuses under Claude Code."""
    with acting.at_the_terminal("a value", password_file) as (vault, actor):
        opened = vault.credentials.reveal(actor, reference, field=field, purpose=acting.purpose_of(purpose))
    if json:
        facts = {"reference": opened.reference, "field": opened.field, "version": opened.version, "entry": opened.entry}
        show.as_json({**facts, "value": opened.value.expose()})
        return
    # Into a pipe goes the value and nothing else, not even a line break.
    sys.stdout.write(opened.value.expose() + ("\n" if sys.stdout.isatty() else ""))


@app.command()
def update(
    reference: Reference,
    *,
    service_name: Annotated[str, typer.Option("--for", help="What it is for.")] = "",
    username: Annotated[str, typer.Option("--username", help="Who logs in with it.")] = "",
    url: Annotated[str, typer.Option("--url", help="Where it is used.")] = "",
    port: Annotated[list[int] | None, typer.Option("--port", help="The ports, all of them.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="The tags, all of them.")] = None,
    open: Annotated[
        list[str] | None, typer.Option("--open", metavar="FIELD=TEXT", help="An open field of its type.")
    ] = None,
    vpn: Annotated[bool | None, typer.Option("--vpn/--no-vpn", help="Whether it needs the VPN.")] = None,
    two_factor: Annotated[bool | None, typer.Option("--2fa/--no-2fa", help="Whether it needs a second factor.")] = None,
    expires: Annotated[str, typer.Option("--expires", help="When it expires: 2027-01-31, or never.")] = "",
    rotate_every: Annotated[
        int | None, typer.Option("--rotate-every", help="Days between rotations; 0 for none.")
    ] = None,
    exposure: Annotated[
        str, typer.Option("--exposure", help="How far its value may go: " + ", ".join(EXPOSURES) + ".")
    ] = "",
    state: Annotated[str, typer.Option("--state", help="active or retired.")] = "",
    value_file: ValueFiles = None,
    ask_for: AskFor = None,
    revision: Annotated[int, typer.Option("--revision", help="Only if it still is at this revision.")] = 0,
    purpose: Purpose = "",
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Change what is given, and nothing else.  Secret fields come from a file or are asked for, as a new version.

    Changing the exposure asks for your password, and refuses under Claude Code.
    """
    changes: dict[str, object] = {
        "service_name": service_name,
        "username": username,
        "external_url": url,
        "state": state,
    }
    changes = {name: text for name, text in changes.items() if text}
    if exposure:
        changes["exposure"] = _exposure(exposure)
    given = {"ports": port, "tags": tag, "requires_vpn": vpn, "requires_2fa": two_factor}
    changes |= {name: tuple(v) if isinstance(v, list) else v for name, v in given.items() if v not in (None, [])}
    if expires:
        changes["expires_us"] = None if expires == "never" else micros(expires, "--expires")
    if rotate_every is not None:
        changes["rotate_every_days"] = rotate_every or None
    changes |= _open_fields(open or [])
    # A login that lies in a file must not be enough to let values out to agents.
    entering = acting.at_the_terminal("changing an exposure", password_file) if exposure else acting.logged_in()
    with entering as (vault, actor):
        if value_file or ask_for:
            main = TYPES[vault.credentials.describe(actor, reference).head.type].main
            changes |= _values(main, value_file or [], ask_for or [], asks=False)
        changed = vault.credentials.update(
            actor, reference, changes, purpose=purpose, expected_revision=revision or None
        )
        vault.reminders.refresh()
        found = looked(vault) if value_file or ask_for else None
    described.change("changed", changed, as_json=json, looked=found)


@app.command()
def rotate(
    reference: Reference,
    *,
    field: Annotated[str, typer.Option("--field", help="Which secret field; else the main one.")] = "",
    value_file: Annotated[
        str, typer.Option("--value-file", metavar="FILE", help="The new value from a file, - for standard input.")
    ] = "",
    generate: Generated = False,
    length: Length = 24,
    alphabet: Letters = "all",
    words: Words = 0,
    purpose: Purpose = "",
    json: show.Json = False,
) -> None:
    """Give a secret field a new value as a new version.  The old version stays in the history."""
    with acting.logged_in() as (vault, actor):
        value = None
        if value_file:
            value = ask.value(value_file)
        elif words:
            value = generating.passphrase(words)
        elif not generate:
            value = ask.hidden("The new value: ", "--value-file FILE, or --generate")
        changed = vault.credentials.rotate(
            actor,
            reference,
            field=field,
            value=value,
            generate=Generate(length, alphabet) if generate else None,
            purpose=purpose,
        )
        vault.reminders.refresh()
        found = None if generate or words else looked(vault)
    described.change("rotated", changed, as_json=json, looked=found)


@app.command()
def rm(
    reference: Reference,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    purpose: Purpose = "",
    json: show.Json = False,
) -> None:
    """Take a credential out of use.  Its history and its audit entries stay.  Refuses under Claude Code."""
    presence.refuse_under_claude("taking a credential out of use")
    with acting.logged_in() as (vault, actor):
        one = vault.credentials.describe(actor, reference)
        ask.confirm(f"Take {one.reference} out of use?", yes=yes)
        changed = vault.credentials.delete(actor, reference, purpose=purpose)
        vault.reminders.refresh()
    described.change("deleted", changed, as_json=json)


app.command()(daily.fill)
app.command()(daily.copy)
app.command("open")(daily.open_)
app.command()(daily.ssh)
app.command("generate")(generating.command)
app.command()(picker.pick)


def _show_values(reference: str, purpose: str, password_file: Path | None, *, as_json: bool) -> None:
    with acting.at_the_terminal("a value", password_file) as (vault, actor):
        why = acting.purpose_of(purpose)
        names = sorted(vault.credentials.describe(actor, reference).head.fields)
        opened = [vault.credentials.reveal(actor, reference, field=name, purpose=why) for name in names]
    if as_json:
        show.as_json(
            {"reference": opened[0].reference if opened else "", "values": {o.field: o.value.expose() for o in opened}}
        )
        return
    for one in opened:
        print(f"{one.field}: {one.value.expose()}")


def _values(main: str, files: Sequence[str], ask_for: Sequence[str], *, asks: bool) -> dict[str, Plain]:
    values: dict[str, Plain] = {}
    for given in files:
        field, mark, file = given.partition("=")
        values[field if mark else main] = ask.value(file if mark else given)
    for field in ask_for:
        values[field] = ask.hidden(f"{show.clean(field)}: ", f"--value-file {show.clean(field)}=FILE")
    if asks and main not in values:
        values[main] = ask.hidden(f"The {main}: ", "--value-file FILE, or --generate")
    return values


def _open_fields(given: Sequence[str]) -> dict[str, str]:
    fields = {}
    for one in given:
        name, mark, text = one.partition("=")
        if not mark:
            raise Invalid("--open takes FIELD=TEXT", fields={"--open": "FIELD=TEXT"})
        fields[name] = text
    return fields


def _exposure(text: str) -> Exposure:
    for exposure in EXPOSURES:
        if exposure == text:
            return exposure
    raise Invalid("no such exposure", fields={"--exposure": "one of: " + ", ".join(EXPOSURES)})
