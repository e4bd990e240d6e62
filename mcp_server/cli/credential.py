"""`claudetools credential`: add, list, show, reveal, rotate, rm."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.credentials import EXPOSURES, TYPES, Exposure
from domain.drafts import ALPHABETS, Draft, Generate, type_of
from domain.errors import Invalid
from domain.plain import Plain
from mcp_server.answers import iso, micros
from mcp_server.cli import ask, person, show

if TYPE_CHECKING:
    from domain.credentials import Description
    from mcp_server.services.credentials import Changed

app = typer.Typer(help="Credentials: what they are, and their values.", no_args_is_help=True, add_completion=False)

Reference = Annotated[str, typer.Argument(help="client/service/name, as `list` shows it.")]
Purpose = Annotated[str, typer.Option("--purpose", help="Why; goes into the audit log.")]
Generated = Annotated[bool, typer.Option("--generate", help="Have the value made here.")]
Length = Annotated[int, typer.Option("--length", help="Characters of a generated value, 12 to 256.")]
Letters = Annotated[str, typer.Option("--alphabet", help="Of a generated value: " + ", ".join(ALPHABETS) + ".")]


@app.command()
def add(
    service_name: Annotated[str, typer.Argument(help="What it is for, for example 'Gitea Admin'.")],
    *,
    type: Annotated[str, typer.Option("--type", help="One of: " + ", ".join(TYPES) + ".")] = "password",
    client: Annotated[str, typer.Option("--client", help="Whose; without it, the team's own.")] = "",
    service: Annotated[str, typer.Option("--service", help="The client's service it belongs to.")] = "",
    infrastructure: Annotated[str, typer.Option("--infrastructure", help="The client's infrastructure it belongs to.")] = "",
    name: Annotated[str, typer.Option("--name", help="The last part of the reference; else the username.")] = "",
    username: Annotated[str, typer.Option("--username", help="Who logs in with it.")] = "",
    url: Annotated[str, typer.Option("--url", help="Where it is used.")] = "",
    port: Annotated[list[int] | None, typer.Option("--port", help="A port; may be repeated.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.")] = None,
    open: Annotated[list[str] | None, typer.Option("--open", metavar="FIELD=TEXT", help="An open field of its type.")] = None,
    vpn: Annotated[bool, typer.Option("--vpn", help="It needs the VPN.")] = False,
    two_factor: Annotated[bool, typer.Option("--2fa", help="It needs a second factor.")] = False,
    expires: Annotated[str, typer.Option("--expires", help="When it expires: 2027-01-31.")] = "",
    rotate_every: Annotated[int, typer.Option("--rotate-every", help="Days between rotations; 0 for none.")] = 0,
    exposure: Annotated[str, typer.Option("--exposure", help="One of: " + ", ".join(EXPOSURES) + ".")] = "reveal",
    value_file: Annotated[
        list[str] | None,
        typer.Option("--value-file", metavar="[FIELD=]FILE", help="A value from a file, - for standard input."),
    ] = None,
    ask_for: Annotated[
        list[str] | None, typer.Option("--ask", metavar="FIELD", help="One more secret field to ask for, such as notes.")
    ] = None,
    generate: Generated = False,
    length: Length = 24,
    alphabet: Letters = "all",
    purpose: Purpose = "",
    json: show.Json = False,
) -> None:
    """Add a credential.  Its value is asked for without echo, read from a file, or generated."""
    kind = type_of(type)
    with person.logged_in() as (vault, actor):
        values = _values(kind.main, value_file or [], ask_for or [], asks=not generate)
        draft = Draft(
            type=type,
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
            exposure=_exposure(exposure),
            values=values,
            generate=Generate(length, alphabet) if generate else None,
        )
        _tell_change("added", vault.credentials.create(actor, draft, purpose=purpose), as_json=json)


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
    with person.logged_in() as (vault, actor):
        page = vault.credentials.search(
            actor, query, client=client, type=type, tag=tag, state=wanted, limit=limit, cursor=cursor
        )
    if json:
        items = [_as_json(one) for one in page.items]
        show.as_json({"items": items, "next_cursor": page.next_cursor, "total": page.total})
        return
    now = time.time_ns() // 1000
    show.table(
        ("reference", "type", "for", "username", "expires", "state"),
        (
            (one.reference, one.head.type, one.head.service_name, one.head.username, show.day(one.head.expires_us), _state(one, now))
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
    with person.logged_in() as (vault, actor):
        one = vault.credentials.describe(actor, reference)
    if json:
        show.as_json(_as_json(one))
        return
    head, now = one.head, time.time_ns() // 1000
    show.pairs(
        (
            ("reference", one.reference),
            ("type", head.type),
            ("for", head.service_name),
            ("client", one.client),
            ("service", one.service),
            ("infrastructure", one.infrastructure),
            ("username", head.username),
            ("url", head.external_url),
            ("ports", ", ".join(str(port) for port in head.ports)),
            ("tags", ", ".join(head.tags)),
            *head.open.items(),
            ("secret fields", ", ".join(sorted(head.fields))),
            ("needs", ", ".join(w for w, yes in (("VPN", head.requires_vpn), ("2FA", head.requires_2fa)) if yes)),
            ("expires", show.day(head.expires_us)),
            ("rotation", f"every {head.rotate_every_days} days" if head.rotate_every_days else ""),
            ("last rotated", show.moment(head.last_rotated_us)),
            ("exposure", head.exposure),
            ("state", _state(one, now)),
            ("version", head.current_version),
            ("changed", show.moment(head.updated_us)),
        )
    )


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
    with person.at_the_terminal("a value", password_file) as (vault, actor):
        opened = vault.credentials.reveal(actor, reference, field=field, purpose=person.purpose_of(purpose))
    if json:
        facts = {"reference": opened.reference, "field": opened.field, "version": opened.version, "entry": opened.entry}
        show.as_json({**facts, "value": opened.value.expose()})
        return
    # Into a pipe goes the value and nothing else, not even a line break.
    sys.stdout.write(opened.value.expose() + ("\n" if sys.stdout.isatty() else ""))


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
    purpose: Purpose = "",
    json: show.Json = False,
) -> None:
    """Give a secret field a new value as a new version.  The old version stays in the history."""
    with person.logged_in() as (vault, actor):
        value = None
        if value_file:
            value = ask.value(value_file)
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
    _tell_change("rotated", changed, as_json=json)


@app.command()
def rm(
    reference: Reference,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    purpose: Purpose = "",
    json: show.Json = False,
) -> None:
    """Take a credential out of use.  Its history and its audit entries stay."""
    with person.logged_in() as (vault, actor):
        one = vault.credentials.describe(actor, reference)
        ask.confirm(f"Take {one.reference} out of use?", yes=yes)
        changed = vault.credentials.delete(actor, reference, purpose=purpose)
    _tell_change("deleted", changed, as_json=json)


def _show_values(reference: str, purpose: str, password_file: Path | None, *, as_json: bool) -> None:
    with person.at_the_terminal("a value", password_file) as (vault, actor):
        why = person.purpose_of(purpose)
        names = sorted(vault.credentials.describe(actor, reference).head.fields)
        opened = [vault.credentials.reveal(actor, reference, field=name, purpose=why) for name in names]
    if as_json:
        show.as_json({"reference": opened[0].reference if opened else "", "values": {o.field: o.value.expose() for o in opened}})
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


def _state(one: Description, now_us: int) -> str:
    marks: list[str] = [one.head.state]
    if one.expired(now_us):
        marks.append("expired")
    if one.rotation_due(now_us):
        marks.append("rotation due")
    if one.exposed:
        marks.append("exposed")
    return ", ".join(marks)


def _tell_change(what: str, changed: Changed, *, as_json: bool) -> None:
    one = changed.description
    if as_json:
        show.as_json(
            {
                "reference": one.reference,
                "version": changed.version,
                "entry": changed.entry,
                "generated": changed.generated,
                "credential": _as_json(one),
            }
        )
        return
    made = ", value generated" if changed.generated else ""
    print(f"{what} {one.reference} (version {changed.version}{made}, audit entry {changed.entry})")


def _as_json(one: Description) -> dict[str, object]:
    head, now = one.head, time.time_ns() // 1000
    return {
        "reference": one.reference,
        "type": head.type,
        "client": one.client,
        "service": one.service,
        "infrastructure": one.infrastructure,
        "service_name": head.service_name,
        "username": head.username,
        "external_url": head.external_url,
        "ports": list(head.ports),
        "tags": list(head.tags),
        "fields": dict(head.open),
        "secret_fields": sorted(head.fields),
        "requires_vpn": head.requires_vpn,
        "requires_2fa": head.requires_2fa,
        "expires_at": iso(head.expires_us),
        "expired": one.expired(now),
        "rotate_every_days": head.rotate_every_days or 0,
        "rotation_due": one.rotation_due(now),
        "last_rotated_at": iso(head.last_rotated_us),
        "exposure": head.exposure,
        "exposed": one.exposed,
        "state": head.state,
        "version": head.current_version,
        "revision": head.revision,
        "updated_at": iso(head.updated_us),
    }
