"""Who calls: the agent's secret becomes a token, and the token an actor, for every single call.

The door also waits for what the tools stand on.  The app (database, keys) is built by a thread, so that a client gets its
first answer before SQLAlchemy is loaded; a call waits for it, and a call that finds it failed tries again.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from domain.errors import Unauthenticated, Unavailable
from domain.identity import AGENT_TOKEN_SECONDS
from mcp_server import bootstrap
from mcp_server.config import SETUP_HINT, Settings, load_settings, read_private

if TYPE_CHECKING:
    from domain.actors import Actor
    from mcp_server.bootstrap import App

RETRY_S = 1.0
"""A build that failed is not tried again sooner: calls come in bursts."""
RENEW_S = 60.0
"""A token is renewed this long before it ends."""
REFUSED_S = 60.0
"""How long a secret that was found wrong is not offered again."""

_SESSION = re.compile(r"[A-Za-z0-9._-]{1,128}")


Place = tuple[tuple[int, int] | None, ...]


def place_of(settings: Settings) -> Place:
    """Which installation and which database this is: both files are written anew when either moves."""
    files = [settings.settings_file] + ([settings.database_file] if settings.is_embedded else [])
    return tuple(_file_id(file) for file in files)


def _file_id(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Caller(NamedTuple):
    """The app, and the actor of one call."""

    app: App
    actor: Actor


@dataclass(frozen=True, slots=True)
class Refused:
    """A secret that was found wrong, and when."""

    secret: str = field(repr=False)
    at: float
    error: Unauthenticated


class Door:
    """Where every call comes in.

    `home` is the data directory (None: the environment's, or the platform's default).  `session_id` and `cwd` are what the
    client's environment said at start; the prompt hook brings the live ones (`tell`), because the environment's id goes
    stale after /clear.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        session_id: str = "",
        cwd: str = "",
        build: Callable[[Settings], App] | None = None,
    ) -> None:
        self.home = home
        self.session_id = session_id if _SESSION.fullmatch(session_id) else ""
        self.cwd = cwd
        self._build = build or bootstrap.build
        self._lock = threading.Lock()
        self._app: App | None = None
        self._place: Place = ()
        self._failure: Exception | None = None
        self._tried = 0.0
        self._token = ""
        self._token_ends = 0.0
        self._refused: Refused | None = None
        self._closed = False
        self._started = threading.Event()

    def start(self) -> None:
        """Builds the app and proves the agent in a thread of its own; does so once."""
        if self._started.is_set():
            return
        self._started.set()
        threading.Thread(target=self._warm, name="claudetools-door", daemon=True).start()

    def tell(self, session_id: str, cwd: str) -> None:
        """Takes over the live session and folder from the prompt hook; anything malformed is ignored."""
        if _SESSION.fullmatch(session_id):
            self.session_id = session_id
        if cwd.startswith("/"):
            self.cwd = cwd

    def enter(self) -> Caller:
        """The app and the proven actor.  Every service asks again whether he is still let in, so that revoking works at once.

        Raises what building the app or proving the agent raises: Invalid or Unavailable where something is missing or
        down, Unauthenticated or Denied where the agent is not, or no longer, one of ours.
        """
        app = self.app()
        try:
            actor = app.identity.actor(self._valid_token(app), session_id=self.session_id)
        except Unauthenticated:
            # The clock was set, or the vault got new keys: once more with a fresh token.
            self._token_ends = 0.0
            actor = app.identity.actor(self._valid_token(app), session_id=self.session_id)
        return Caller(app, actor)

    def admitted(self) -> Caller:
        """The same, after the vault itself was asked whether this actor is still let in.

        For what reaches no service that would ask.  Raises Denied for a revoked agent, Unavailable without a database.
        """
        caller = self.enter()
        with caller.app.work.reading(caller.actor):
            return caller

    def app(self, *, patience_s: float = 30.0) -> App:
        """The app, built now where it is not yet.  Raises Unavailable when another thread needs longer than the patience."""
        app = self._app
        if app is not None and place_of(app.settings) == self._place:
            return app
        if not self._lock.acquire(timeout=patience_s):
            raise Unavailable("ClaudeTools is still starting", hint="claudetools doctor")
        try:
            if self._app is not None and place_of(self._app.settings) != self._place:
                # Moved away or put back from elsewhere: what is written to the old file now would be lost.
                self._app.close()
                self._app, self._token_ends = None, 0.0
            if self._app is None:
                self._app = self._try_build()
            return self._app
        finally:
            self._lock.release()

    def ready(self) -> App | None:
        """The app if it is built already; never waits."""
        return self._app

    def settings(self) -> Settings:
        """The settings, read anew.  Raises Invalid where nothing is set up."""
        return load_settings(self.home)

    def close(self) -> None:
        """Lets go of the database.  Calls that come later fail."""
        self._closed = True
        app, self._app = self._app, None
        if app is not None:
            app.close()

    def _try_build(self) -> App:
        now = time.monotonic()
        if self._closed:
            raise Unavailable("the server is stopping")
        if self._failure is not None and now - self._tried < RETRY_S:
            raise self._failure.with_traceback(None)
        try:
            settings = self.settings()
            self._place = place_of(settings)
            built = self._build(settings)
            self._failure = None
            return built
        except Exception as error:
            self._failure, self._tried = error, time.monotonic()
            raise

    def _valid_token(self, app: App) -> str:
        with self._lock:
            if time.time() >= self._token_ends - RENEW_S:
                self._token = self._prove(app)
                self._token_ends = time.time() + AGENT_TOKEN_SECONDS
            return self._token

    def _prove(self, app: App) -> str:
        """Proves the agent's secret.  A secret that was wrong is not offered again at once: five failures lock the agent."""
        file = app.settings.agent_secret_file
        secret = read_private(file, "the agent's secret", SETUP_HINT).decode("utf-8", "replace").strip()
        refused = self._refused
        if refused is not None and refused.secret == secret and time.monotonic() - refused.at < REFUSED_S:
            raise refused.error.with_traceback(None)
        if isinstance(self._failure, Unavailable) and time.monotonic() - self._tried < RETRY_S:
            raise self._failure.with_traceback(None)  # those who waited for this one are not made to wait as long again
        try:
            return app.identity.prove(secret, session_id=self.session_id)
        except Unauthenticated as error:
            self._refused = Refused(secret, time.monotonic(), error)
            raise
        except Unavailable as error:
            self._failure, self._tried = error, time.monotonic()
            raise

    def _warm(self) -> None:
        try:
            app = self.enter().app
            app.machines.report_in()
            app.machines.sweep()
            app.guard.warm()
            app.reminders.refresh()
        except Exception:  # noqa: BLE001 - the next call meets the same failure and tells it
            return
