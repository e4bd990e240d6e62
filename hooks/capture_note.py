"""Stop, PreCompact, PostCompact, SessionEnd: leave a note in the spool, and print nothing.

Whatever is printed would go on with the turn (Stop), into the compaction's prompt (PreCompact), or
nowhere.  At the end of a session a detached process captures what the spool holds: the client
gives all hooks of that moment 1.5 seconds together, so the hook itself only starts it.
"""

from __future__ import annotations

import os
import sys

from hooks import project, spool
from hooks.event import Event, Settings

_KEPT_VARIABLES = ("HOME", "PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "XDG_DATA_HOME", "CLAUDETOOLS_HOME")


def run(event: Event, settings: Settings) -> None:
    """Leave the note of a session; start the drain where the session ends.  Raises OSError."""
    if event.agent_id:
        # A subagent's turn, the compaction's own among them; its file belongs to the session's note.
        return
    place = project.identify(event.folder, settings.machine_id)
    client = project.client_of(settings.home, event.folder, event.session_id)
    left = spool.put(
        settings.home,
        place,
        session_id=event.session_id,
        transcript_path=event.transcript_path,
        folder=event.folder,
        client=client,
        event=event.name,
    )
    if left and event.name == "SessionEnd":
        start_drain(settings.home)


def start_drain(home: str) -> None:
    """Start a drain that outlives this process, the client and its process group, unless one is just starting.

    Raises OSError.
    """
    claim = spool.claim_start(home)
    if claim is None:
        return
    command = [sys.executable, "-I", "-m", "mcp_server", "sync", "--quiet", "--home", home]
    # The environment of a hook holds the client's keys and tokens; the drain needs none of them.
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    environment[spool.STARTING_VARIABLE] = str(claim)
    nothing = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    # Held by the drain until it ends, so that a session which starts now knows that there is something to wait for.
    mark = spool.mark_draining(home)
    here = os.getcwd()
    try:
        # Not in the user's folder: it may be removed, or be one that holds modules of our names.
        os.chdir(home)
        os.posix_spawn(sys.executable, command, environment, file_actions=nothing, setsid=True)
    finally:
        os.chdir(here)
        os.close(mark)
        os.close(claim)
