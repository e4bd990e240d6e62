"""Settings: where things lie and who this machine is.  Frozen, read once from file and environment."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from domain.actors import Tier
from domain.errors import Invalid
from domain.plain import Plain

HOME_VARIABLE = "CLAUDETOOLS_HOME"
PASSPHRASE_VARIABLE = "CLAUDETOOLS_PASSPHRASE_FILE"  # noqa: S105  # a name
SETTINGS_VERSION = 1
SETUP_HINT = "./setup.sh"
PRIVATE_DIRECTORY = 0o700


@dataclass
class Asking:
    """How this process comes to a passphrase besides the file that the environment names; None where it cannot ask."""

    passphrase: Callable[[], Plain] | None = None


ASKING = Asking()


@dataclass(frozen=True, slots=True)
class Settings:
    """One installation.  `home` is the data directory (0700); everything of it lies below.

    `database` is a file name below it, or the URL of a MariaDB without a password; `hooks_account`
    the database account that hooks read with ("" where they use the same); `start_line` is "on" or
    "off"; `paste_guard` "block", "warn" or "off".
    """

    home: Path
    vault_id: str = ""
    machine_id: str = ""
    machine_name: str = ""
    agent_id: str = ""
    agent_name: str = ""
    person_name: str = ""
    tier: Tier = "embedded"
    database: str = "claudetools.db"
    hooks_account: str = ""
    start_line: str = "on"
    paste_guard: str = "block"

    @property
    def is_embedded(self) -> bool:
        """Whether the database is a file of this machine."""
        return "://" not in self.database

    @property
    def settings_file(self) -> Path:
        """This file."""
        return self.home / "settings.json"

    @property
    def hooks_settings_file(self) -> Path:
        """The flat file that hooks read."""
        return self.home / "hooks.json"

    @property
    def database_file(self) -> Path:
        """The embedded database, where there is one."""
        return self.home / (self.database if self.is_embedded else "claudetools.db")

    @property
    def database_password_file(self) -> Path:
        """The password of this installation's account on a database server."""
        return self.home / "keys" / "database.password"

    @property
    def hooks_password_file(self) -> Path:
        """The password of the account that hooks read with."""
        return self.home / "keys" / "hooks.password"

    @property
    def root_key_file(self) -> Path:
        """What opens the file slot of the root key."""
        return self.home / "keys" / "root.key"

    @property
    def next_root_key_file(self) -> Path:
        """The key file that is to take its place: written before its slot is, and renamed after."""
        return self.home / "keys" / "root.key.next"

    @property
    def turn_lock_file(self) -> Path:
        """Held by the one process of this machine that replaces its key file."""
        return self.home / "keys" / "turn.lock"

    @property
    def machine_key_file(self) -> Path:
        """The machine's Ed25519 audit key."""
        return self.home / "keys" / "machine.key"

    @property
    def agent_secret_file(self) -> Path:
        """The secret with which this machine's agent proves itself."""
        return self.home / "agents" / f"{self.agent_name or 'agent'}.secret"

    @property
    def login_file(self) -> Path:
        """The short-lived login of the person at the command line."""
        return self.home / "login"

    @property
    def spool_dir(self) -> Path:
        """Notes that wait to be captured."""
        return self.home / "spool"

    @property
    def shelf_dir(self) -> Path:
        """The last good injection of each project."""
        return self.home / "shelf"

    @property
    def seen_dir(self) -> Path:
        """Which records each live session was given."""
        return self.home / "seen"

    @property
    def heads_dir(self) -> Path:
        """Where this machine notes how far its audit chains have come."""
        return self.home / "heads"

    @property
    def log_dir(self) -> Path:
        """Log files."""
        return self.home / "log"

    @property
    def plugin_dir(self) -> Path:
        """The installed plugin."""
        return self.home / "plugin"

    @property
    def bindings_file(self) -> Path:
        """Which folder belongs to which client."""
        return self.home / "bindings.json"

    def directories(self) -> tuple[Path, ...]:
        """Every directory that an installation has."""
        return (
            self.home,
            self.root_key_file.parent,
            self.agent_secret_file.parent,
            self.spool_dir,
            self.shelf_dir,
            self.seen_dir,
            self.heads_dir,
            self.log_dir,
        )


def data_directory(home: Path | None = None) -> Path:
    """The data directory: the given one, else $CLAUDETOOLS_HOME, else the platform's own place."""
    if home is not None:
        return home.expanduser().absolute()
    named = os.environ.get(HOME_VARIABLE, "")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_data_path  # 10 ms; not needed where the directory is named

    return Path(user_data_path("claudetools")).absolute()


def load_settings(home: Path | None = None) -> Settings:
    """Reads the installation's settings.  Raises Invalid, naming the file and what to type."""
    place = data_directory(home)
    file = place / "settings.json"
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Invalid(f"ClaudeTools is not set up in {place}", hint=SETUP_HINT) from None
    except OSError as error:
        raise Invalid(f"cannot read {file}: {error.strerror}", hint=SETUP_HINT) from None
    except (ValueError, RecursionError):
        raise Invalid(f"{file} is not JSON", hint=SETUP_HINT) from None
    if not isinstance(said, dict) or said.get("version") != SETTINGS_VERSION:
        raise Invalid(f"{file} was written by another version", hint="git pull && ./setup.sh")
    known = {name: said[name] for name in Settings.__dataclass_fields__ if name in said}
    if not all(isinstance(value, str) for value in known.values()):
        raise Invalid(f"{file} holds a setting that is no text", hint=SETUP_HINT)
    return Settings(**{**known, "home": place})


def save_settings(settings: Settings) -> None:
    """Writes the settings file (0600), whole or not at all."""
    said = {**asdict(settings), "version": SETTINGS_VERSION}
    del said["home"]
    write_private(settings.settings_file, json.dumps(said, indent=2, sort_keys=True) + "\n")


def write_private(file: Path, content: str | bytes) -> None:
    """Writes a file that only its owner may read (0600), whole or not at all, and durably."""
    raw = content.encode("utf-8") if isinstance(content, str) else content
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(raw)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def make_private_directory(place: Path) -> None:
    """Makes a directory that only its owner may enter (0700)."""
    place.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    if stat.S_IMODE(place.stat().st_mode) != PRIVATE_DIRECTORY:
        place.chmod(PRIVATE_DIRECTORY)


def read_private(file: Path, what: str, hint: str) -> bytes:
    """Reads a file that must be private.

    Raises Invalid where it is missing, unreadable, or open to others; `what` and `hint` go into
    the message.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise Invalid(f"{what} is missing: {file}", hint=hint) from None
    except OSError as error:
        raise Invalid(f"{what} cannot be read: {file}: {error.strerror}", hint=hint) from None
    with os.fdopen(descriptor, "rb") as source:
        mode = stat.S_IMODE(os.fstat(source.fileno()).st_mode)
        if mode & 0o077:
            raise Invalid(
                f"{what} can be read by others (mode {mode:04o}): {file}",
                hint=f"chmod 600 {file}",
            )
        return source.read()
