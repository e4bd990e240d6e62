"""`claudetools redact`: a filter that strikes secrets from text, for pipes."""

from __future__ import annotations

import codecs
import json as jsons
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated

import typer

from domain.errors import ClaudeToolsError, Invalid
from domain.filtering import Filter
from domain.redaction import Redactor
from mcp_server.cli import acting, show

PIECE = 1 << 16
_LOOKED_AT = 8192  # bytes that tell text from what is none

app = typer.Typer(add_completion=False)


@app.command()
def redact(
    *,
    values: Annotated[
        bool | None,
        typer.Option(
            "--values/--no-values",
            help="Whether the vault's own values become live references; without either, where the vault opens.",
        ),
    ] = None,
    counts: Annotated[bool, typer.Option("--counts", help="Tell on stderr how often each rule struck.")] = False,
    json: show.Json = False,
) -> None:
    """Copy standard input to standard output without the secrets in it.  With --json, the counts are JSON on stderr.

    Text in UTF-8, of any length; each line comes out when its surroundings are known, so at the latest at the end.
    """
    if sys.stdin.isatty():
        raise Invalid("there is nothing on standard input", hint="some-command 2>&1 | claudetools redact")
    first = sys.stdin.buffer.read(_LOOKED_AT)
    if b"\0" in first:
        raise Invalid(
            "standard input is no text in UTF-8: it holds NUL bytes, and nothing of it was passed on",
            hint="iconv -f UTF-16 -t UTF-8 FILE | claudetools redact, if it is text in UTF-16",
        )
    with ExitStack() as opened:
        striking = Filter(_redactor(opened, values).strike)
        for piece in _texts(first):
            _write(striking.feed(piece))
        _write(striking.finish())
    sys.stdout.buffer.flush()
    told = dict(sorted(striking.counts.items()))
    if json:
        print(jsons.dumps({"struck": told}), file=sys.stderr)
    elif counts:
        for rule, number in told.items():
            print(f"{number:6} {rule}", file=sys.stderr)


def _redactor(opened: ExitStack, values: bool | None) -> Redactor:
    if values is False:
        return Redactor()
    try:
        return opened.enter_context(acting.vault()).redaction.current()
    except ClaudeToolsError as error:
        if values:
            raise
        show.note(f"the vault's own values are not struck: {error.message}")
        return Redactor()


def _texts(first: bytes) -> Iterator[str]:
    """What comes in as text; bytes that are none go through as they are."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    piece = first
    while piece:
        yield decoder.decode(piece)
        piece = sys.stdin.buffer.read(PIECE)
    yield decoder.decode(b"", final=True)


def _write(text: str) -> None:
    if text:
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
