"""Asking people: passwords and values without echo, from a terminal or from a file."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Annotated

import typer

from domain.drafts import MAX_VALUE
from domain.errors import Invalid
from domain.plain import Plain
from mcp_server.config import read_private

PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="Where your password stands, instead of asking for it."),
]
CodeFile = Annotated[
    Path | None,
    typer.Option("--code-file", metavar="FILE", help="Where your one-time code stands, instead of asking for it."),
]
STDIN = "-"


def password(file: Path | None, prompt: str, *, twice: bool = False) -> Plain:
    """A password from a private file, or typed without echo.  Raises Invalid where neither is possible."""
    if file is not None:
        text = private_text(file, "the password file").strip("\r\n")
        if not text:
            raise Invalid("the password file is empty", fields={"--password-file": "is empty"})
        return Plain(text)
    typed = hidden(prompt, "--password-file FILE")
    if twice and hidden("Again: ", "--password-file FILE").expose() != typed.expose():
        raise Invalid("the two are not the same", hint="type it again")
    return typed


def code(file: Path | None) -> str:
    """A one-time code from a private file, or typed at the terminal.  Raises Invalid where neither is possible."""
    if file is not None:
        return private_text(file, "the code file").strip()
    if not has_terminal():
        raise Invalid("there is no terminal to ask for a one-time code at", hint="--code-file FILE")
    return str(typer.prompt("One-time code", err=True)).strip()


def hidden(prompt: str, otherwise: str) -> Plain:
    """What a person types at the terminal, not shown.  Raises Invalid without a terminal."""
    import getpass

    if not has_terminal():
        raise Invalid("there is no terminal to ask at", hint=otherwise)
    return Plain(getpass.getpass(prompt))


def say(text: str) -> None:
    """Tells whoever is being asked."""
    print(text, file=sys.stderr)


def has_terminal() -> bool:
    """Whether this process can ask somebody."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def confirm(question: str, *, yes: bool) -> None:
    """Goes on after a yes.  Raises Invalid without a terminal, Abort after anything else."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Invalid("this needs a yes, and there is no terminal to ask at", hint="add --yes")
    typer.confirm(question, abort=True, err=True)


def private_text(file: Path, what: str) -> str:
    """The text of a file that only its owner may read, or of a pipe.  Raises Invalid."""
    if str(file) == STDIN:
        return _text(sys.stdin.buffer.read(MAX_VALUE + 2), what)
    real = Path(os.path.realpath(file))
    try:
        is_file = stat.S_ISREG(real.stat().st_mode)
    except FileNotFoundError:
        # A process substitution's name does not resolve to a path, but can be opened.
        is_file = not file.exists()
    except OSError as error:
        raise Invalid(f"{what} cannot be read: {error.strerror}") from None
    if is_file:
        return _text(read_private(real, what, "name a file that exists"), what)
    try:
        with file.open("rb") as source:
            return _text(source.read(MAX_VALUE + 2), what)
    except OSError as error:
        raise Invalid(f"{what} cannot be read: {error.strerror}") from None


def value(file: str) -> Plain:
    """A value from a file (or `-`, standard input).  One line loses its line break, several keep theirs."""
    if file == STDIN:
        raw = sys.stdin.buffer.read(MAX_VALUE + 2)
    else:
        try:
            with Path(file).open("rb") as source:
                raw = source.read(MAX_VALUE + 2)
        except OSError as error:
            raise Invalid(
                f"the value file cannot be read: {error.strerror}", fields={"--value-file": "unreadable"}
            ) from None
    text = _text(raw, "the value")
    return Plain(text.rstrip("\r\n") if text.rstrip("\r\n").count("\n") == 0 else text)


def long_text(text: str, file: str, name: str) -> str:
    """Text that was given on the line, or stands in a file (`-`: standard input)."""
    if text and file:
        raise Invalid(f"give {name} or its file, not both", fields={name: "given twice"})
    if not file:
        return text
    try:
        raw = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as error:
        raise Invalid(f"{name} cannot be read from that file: {error.strerror}", fields={name: "unreadable"}) from None
    return _text(raw, name)


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid(f"{what} is not UTF-8 text") from None
