"""`INTERPRETER -I -m hooks EVENT SETTINGS_FILE`: the one door.  Never breaks a session, always exits 0."""

from __future__ import annotations

import os
import sys

_NOTES = frozenset({"Stop", "PreCompact", "PostCompact", "SessionEnd"})
_STATUS = "StatusLine"


def main(arguments: list[str]) -> None:
    """Run one hook.  Raises nothing; trouble goes to the log file of the data directory."""
    name = arguments[0] if arguments else ""
    home = ""
    try:
        from hooks.event import read_event, read_settings

        settings = read_settings(arguments[1])
        home = settings.home
        event = read_event(name, sys.stdin.buffer)
        if name == "SessionStart":
            from hooks import session_start

            session_start.run(event, settings)
        elif name in _NOTES:
            from hooks import capture_note

            capture_note.run(event, settings)
        elif name == _STATUS:
            from hooks import status_line

            status_line.run(event, settings)
    except BaseException as error:
        _log(home, name, error)


def _log(home: str, name: str, error: BaseException) -> None:
    try:
        from hooks.files import log_trouble

        if home and name != _STATUS:  # nothing is lost with a line, and it would be told many times a minute
            known = name if name in _NOTES or name == "SessionStart" else "hook"
            log_trouble(home, known, error)
    except BaseException:
        return


def leave() -> None:
    """End at once: no thread is waited for, and a pipe that nobody reads any more is no error."""
    try:
        sys.stdout.flush()
    except BaseException:
        os._exit(0)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
    leave()
