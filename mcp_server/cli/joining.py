"""Asking for what lets a machine into a vault that exists: an invitation with its code, or the recovery key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import Invalid
from domain.invitations import PREFIX, parse_code, read_letter
from domain.plain import Plain
from mcp_server.cli import ask

if TYPE_CHECKING:
    from mcp_server.bootstrap.wanted import Entry

_TRIES = 3


def entry(
    invitation_file: Path | None, code_file: Path | None, recovery_key_file: Path | None, *, non_interactive: bool
) -> Callable[[], Entry] | None:
    """How it comes: from files, or from the terminal.  None where nothing was given and nobody can be asked.

    Raises Invalid where both ways were given, or a code without its invitation.
    """
    if invitation_file is not None and recovery_key_file is not None:
        raise Invalid(
            "an invitation and the recovery key do the same", fields={"--recovery-key-file": "leave out one of the two"}
        )
    if code_file is not None and invitation_file is None:
        raise Invalid("a code opens its invitation alone", hint="--invitation-file FILE")

    def given() -> Entry:
        from mcp_server.bootstrap.wanted import RecoveryKey

        if invitation_file is not None:
            return _invitation(ask.private_text(invitation_file, "the invitation file"), code_file)
        if recovery_key_file is not None:
            return RecoveryKey(Plain(ask.private_text(recovery_key_file, "the recovery key file").strip()))
        typed = ask.hidden(
            "This database holds a vault.  Paste an invitation (CTI1-...), or type the recovery key (CTR1-...): ",
            "--invitation-file FILE, or --recovery-key-file FILE",
        )
        if typed.expose().strip().startswith(PREFIX):
            return _invitation(typed.expose(), None)
        return RecoveryKey(typed)

    if invitation_file is None and recovery_key_file is None and non_interactive:
        return None
    return given


def _invitation(text: str, code_file: Path | None) -> Entry:
    from mcp_server.bootstrap.wanted import Invitation

    letter = read_letter(text)
    if code_file is not None:
        return Invitation(letter, parse_code(ask.private_text(code_file, "the code file")))
    for left in reversed(range(_TRIES)):
        typed = ask.hidden("The code that was told with the invitation: ", "--invitation-code-file FILE")
        try:
            return Invitation(letter, parse_code(typed.expose()))
        except Invalid as mistyped:
            if not left:
                raise
            ask.say(mistyped.message)
    raise AssertionError  # pragma: no cover  # the last try returns or raises
