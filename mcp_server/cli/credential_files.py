"""`claudetools credential import` and `export`: credentials from the files of other programs, and into encrypted ones."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from domain.errors import ClaudeToolsError, Conflict, Invalid
from domain.plain import Plain
from mcp_server.answers import iso
from mcp_server.cli import acting, ask, show
from mcp_server.cli.looking import looked
from mcp_server.cli.progress import progress

if TYPE_CHECKING:
    from domain.importing import Format, Found
    from mcp_server.services.credential_export import Taken
    from mcp_server.services.credential_import import Plan, Row

AUTO = "auto"
MAX_LOCKED_FILE = 512 * 1024 * 1024
"""Bytes of an archive or an encrypted database, whose attached files are not read."""
MAX_KEY_FILE = 1024 * 1024
_START = 64

Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="Where the file's own password stands, instead of asking."),
]


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What the other program exported.")],
    *,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help=(
                "auto, bitwarden-json, bitwarden-csv, 1password-1pux, 1password-csv, keepass, itglue-csv, hudu-csv, "
                "rest-json or claudetools."
            ),
        ),
    ] = AUTO,
    client: Annotated[
        str, typer.Option("--client", help="Whose all of it is; without it, the file's folders name the clients.")
    ] = "",
    preview: Annotated[bool, typer.Option("--preview", help="Only tell what would become of each entry.")] = False,
    passphrase_file: Passphrase = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="FILE", help="The key file of a KeePass database.")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="FILE", help="The age identity that opens an exported file.")
    ] = None,
    json: show.Json = False,
) -> None:
    """Make credentials from a file of another program, and tell what became of each entry.

    A broken file imports nothing.  Importing a file again makes only what is not there; so does one that was cut off.
    What lay in a file that is not encrypted is marked exposed until it is rotated.  Exit code 1 where an entry was refused.
    """
    from domain import importing

    wanted = _format(format)
    raw = _read(file)
    source = wanted or importing.detect(raw)
    found = _opened(raw, source, client, passphrase_file, key_file, identity)
    held = None
    with acting.logged_in() as (vault, actor):
        plan = vault.credential_import.plan(actor, found, source)
        if not preview and plan.drafts:
            try:
                with progress("import", "credentials") as tell:
                    vault.credential_import.run(actor, plan, tell)
            except (KeyboardInterrupt, ClaudeToolsError):
                show.note("what was made so far is whole and kept; the same command goes on with the rest")
                raise
            vault.reminders.refresh()
            held = looked(vault)
    _tell(plan, source, preview=preview, json=json)
    if held is not None and held.records and not json:
        show.note(
            f"values of these stood in {len(held.records)} records of the memory: struck; claudetools incident list"
        )
    if any(row.outcome == "refused" for row in plan.rows):
        raise typer.Exit(1)


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; it must not exist.")],
    *,
    age_recipient: Annotated[
        list[str] | None,
        typer.Option("--age-recipient", metavar="AGE1...", help="Who may open it; may be repeated."),
    ] = None,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Lock it with a passphrase, which is asked for.")
    ] = False,
    passphrase_file: Passphrase = None,
    client: Annotated[str, typer.Option("--client", help="Only this client's.")] = "",
    purpose: Annotated[str, typer.Option("--purpose", help="Why; goes into the audit log.")] = "",
    password_file: ask.PasswordFile = None,
    json: show.Json = False,
) -> None:
    """Write the active credentials with their values into a file that is encrypted with age.

    Asks for your password, and refuses under Claude Code.  Each value that is opened has its audit entry.
    Exit code 1 where a credential could not be taken.
    """
    from domain import age
    from domain.importing import own

    recipients = age_recipient or []
    has_passphrase = passphrase or passphrase_file is not None
    if has_passphrase == bool(recipients):
        raise Invalid(
            "say who may open the file: recipients, or a passphrase; one of the two",
            fields={"--age-recipient": "needed, unless --passphrase is given"},
            hint="claudetools credential export FILE --passphrase",
        )
    if os.path.lexists(file):
        raise Conflict("a file of that name exists and is not overwritten", hint="name another file")
    with acting.at_the_terminal("exporting credentials", password_file) as (vault, actor):
        why = acting.purpose_of(purpose)
        lock = _passphrase(passphrase_file, "Passphrase for the file: ", twice=True) if has_passphrase else None
        age.encrypted(b"", recipients, lock)  # before anything is opened: a recipient may be none
        with progress("export", "credentials") as tell:
            taken = vault.credential_export.take(actor, client=client, purpose=why, tell=tell)
        sealed = age.encrypted(own.written(taken.exported, iso(time.time_ns() // 1000)), recipients, lock)
    _write(file, sealed)
    _tell_taken(taken, file, json=json)
    if taken.left_out:
        raise typer.Exit(1)


def _format(text: str) -> Format | None:
    from domain.importing import FORMATS

    if text == AUTO:
        return None
    for one in FORMATS:
        if one == text:
            return one
    raise Invalid("no such format", fields={"--format": "one of: " + ", ".join((AUTO, *FORMATS))})


def _read(file: Path) -> bytes:
    """The file's bytes, or those of a pipe, which leaves no plaintext on a disk."""
    from domain.importing import is_packed, texts

    try:
        with file.open("rb") as source:
            start = source.read(_START)
            most = MAX_LOCKED_FILE if is_packed(start) else texts.MAX_TEXT_FILE
            length = os.fstat(source.fileno()).st_size
            raw = start + source.read(most + 1 - len(start)) if length <= most else b""
    except OSError as error:
        raise Invalid(f"the file cannot be read: {error.strerror}", fields={"FILE": "unreadable"}) from None
    if max(length, len(raw)) > most:
        raise Invalid(
            f"the file has {texts.size(max(length, len(raw)))}; at most {texts.size(most)} are read",
            fields={"FILE": "too large"},
            hint="divide it and import the parts",
        )
    return raw


def _opened(
    raw: bytes, source: Format, client: str, passphrase_file: Path | None, key_file: Path | None, identity: Path | None
) -> list[Found]:
    from domain import age, importing

    locks = None
    if source == "keepass":
        locks = importing.Locks(
            _passphrase(passphrase_file, "Password of the KeePass database: ", empty=key_file is not None),
            _key_bytes(key_file) if key_file is not None else None,
        )
    elif source == "claudetools":
        if identity is not None:
            raw = age.opened(raw, ask.private_text(identity, "the identity file"))
        else:
            raw = age.opened(raw, passphrase=_passphrase(passphrase_file, "Passphrase of the file: "))
    return importing.read(raw, source, client=client, locks=locks)


def _passphrase(file: Path | None, prompt: str, *, twice: bool = False, empty: bool = False) -> Plain | None:
    """The password of a file; None where there may be none and none was given."""
    if file is not None:
        text = ask.private_text(file, "the passphrase file").strip("\r\n")
        if not text:
            raise Invalid("the passphrase file is empty", fields={"--passphrase-file": "is empty"})
        return Plain(text)
    if empty and not ask.has_terminal():
        return None
    typed = ask.hidden(prompt, "--passphrase-file FILE")
    if twice and ask.hidden("Again: ", "--passphrase-file FILE").expose() != typed.expose():
        raise Invalid("the two are not the same", hint="type it again")
    return typed if typed or not empty else None


def _key_bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            raw = source.read(MAX_KEY_FILE + 1)
    except OSError as error:
        raise Invalid(f"the key file cannot be read: {error.strerror}", fields={"--key-file": "unreadable"}) from None
    if len(raw) > MAX_KEY_FILE:
        raise Invalid("the key file is too large", fields={"--key-file": "at most 1 MB"})
    return raw


def _write(file: Path, sealed: bytes) -> None:
    """A new file (0600), whole or not at all."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(sealed)
                out.flush()
                os.fsync(out.fileno())
            part.rename(file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise Invalid(f"the file cannot be written: {error.strerror}", hint="name another place") from None


def _tell(plan: Plan, source: str, *, preview: bool, json: bool) -> None:
    from mcp_server.services.credential_import import Outcome

    counts = plan.counts()
    if json:
        show.as_json(
            {
                "format": source,
                "preview": preview,
                "counts": {name: counts[name] for name in get_args(Outcome)},
                "rows": [
                    {
                        "place": row.place,
                        "name": row.name,
                        "outcome": row.outcome,
                        "reference": row.reference,
                        "why": row.why,
                        "fields": row.fields,
                        "remarks": list(row.remarks),
                        "entry": row.entry,
                    }
                    for row in plan.rows
                ],
            }
        )
        return
    show.table(
        ("entry", "name", "outcome", "reference", "why"),
        ((row.place, row.name, _outcome(row), row.reference, _why(row)) for row in plan.rows),
        empty="the file holds no entries",
    )
    told = ", ".join(f"{counts[name]} {word}" for name, word in _WORDS.items() if counts[name])
    print(f"{source}: {told}" if told else source)
    if preview and counts["new"]:
        print("nothing was changed; without --preview they are made")
    elif counts["made"] and sys.stderr.isatty():
        show.note("the file still holds the values: destroy it, and rotate what lay open (claudetools report at-risk)")


_WORDS = {"new": "to be made", "made": "made", "there": "already there", "skipped": "skipped", "refused": "refused"}


def _outcome(row: Row) -> str:
    return _WORDS[row.outcome]


def _why(row: Row) -> str:
    fields = "; ".join(f"{name}: {why}" for name, why in row.fields.items())
    return "; ".join(part for part in (fields or row.why, *row.remarks) if part)


def _tell_taken(taken: Taken, file: Path, *, json: bool) -> None:
    where = str(file.absolute())
    if json:
        show.as_json(
            {
                "file": where,
                "credentials": len(taken.exported),
                "values": taken.values,
                "without_value": taken.without_value,
                "left_out": [{"reference": name, "why": why} for name, why in taken.left_out.items()],
            }
        )
        return
    show.step("export", where)
    show.step("", f"{len(taken.exported)} credentials, {taken.values} values, each with its audit entry")
    for reference, why in taken.left_out.items():
        show.step("left out", f"{reference}: {why}")
    for reference in taken.without_value:
        show.step("left out", f"{reference}: it waits for its value")
    show.step("to read it", f"claudetools credential import {file} --preview")
