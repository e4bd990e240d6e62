"""What a setup is asked for, and how it tells its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from domain.invitations import Letter
from domain.plain import Plain

DEFAULT_AGENT = "claude-code"

Deliver = Callable[[Plain], None]
"""Gives the recovery key to the person and returns once it is kept.  Raises to stop the setup."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation's text and the code that was told with it."""

    letter: Letter
    code: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecoveryKey:
    """A recovery key as it was typed."""

    text: Plain


Entry = Invitation | RecoveryKey
"""What lets a machine into a vault that exists already."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an installation is to be called, where its database is, and how its one-time secrets are handled.

    `person` is a name that was asked for; with None, `user` is taken.  `password` is asked for, and `deliver` called,
    only where a person or vault is made; `login` gives the password of a person who is there already, and `entry` what
    opens a vault that is there already.  `database` is a URL (or "", the embedded one); `database_password` was given,
    `ask_database_password` asks for it, naming account and server.
    """

    home: Path | None = None
    person: str | None = None
    user: str = "owner"
    machine: str = ""
    agent: str = DEFAULT_AGENT
    password: Callable[[], Plain] | None = None
    deliver: Deliver | None = None
    login: Callable[[str], Plain] | None = None
    entry: Callable[[], Entry] | None = None
    invited: bool = False
    """Whether `entry` gives an invitation that is at hand already, which names the database besides."""
    database: str = ""
    database_password: Plain | None = None
    ask_database_password: Callable[[str], Plain] | None = None
    database_accounts: bool = True
    """Whether accounts with fewer rights are made for the program and its hooks, where that may be done."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it is about, and whether it changed (or would change) anything; `note` is for the person."""

    text: str
    changed: bool
    note: str = ""


Report = Callable[[Step], None]
