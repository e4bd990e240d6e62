"""Small private files, written whole or not at all, and the log of what went wrong."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import time

LONGEST = 1_000_000
_LONGEST_LOG = 200_000
_LAST_LINES = 2_000
LOG_FILE = "hooks.log"
TROUBLE_FILE = "hooks.trouble"
_PART = ".part"
_STALE_PART_US = 60_000_000
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""The errors of a disk that takes nothing any more."""


def read_small(path: str, longest: int = LONGEST) -> str:
    """The text of a regular file; "" where there is none, it is no regular file, or it cannot be read.

    Never blocks on a pipe that somebody put in the place of a file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        pieces: list[bytes] = []
        left = longest
        while left > 0:
            piece = os.read(descriptor, min(left, 65_536))
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        # No path and no name holds NUL; what does would only break the calls that it is given to.
        return b"".join(pieces).decode("utf-8", "replace").replace("\0", "")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def read_object(path: str, longest: int = LONGEST) -> dict[str, object]:
    """The JSON object in a file; {} where there is none or it is damaged."""
    try:
        found = json.loads(read_small(path, longest) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_private(path: str, text: str) -> None:
    """Write a file (0600), whole or not at all; its directory (0700) is made.  Raises OSError."""
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{name}.{os.getpid()}.{time.monotonic_ns()}{_PART}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(part, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = os.open(part, flags, 0o600)
    try:
        try:
            data = text.encode("utf-8", "surrogatepass")
            while data:
                data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)
        os.replace(part, path)
    except OSError:
        remove(part)
        raise


def write_object(path: str, value: dict[str, object]) -> None:
    """Write a JSON object as `write_private` does."""
    write_private(path, json.dumps(value, sort_keys=True))


def remove(path: str) -> None:
    """Remove a file where it is there."""
    try:
        os.unlink(path)
    except OSError:
        return


def remove_parts(folder: str) -> None:
    """Remove the files of a folder that were half written when their process was killed, more than a minute ago."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        if not (name.startswith(".") and name.endswith(_PART)):
            continue
        path = os.path.join(folder, name)
        if age_us(path) > _STALE_PART_US:
            remove(path)


def age_us(path: str) -> int:
    """How long ago a file was written, in microseconds; 0 where it is gone."""
    try:
        return now_us() - os.stat(path).st_mtime_ns // 1000
    except OSError:
        return 0


def text_of(value: dict[str, object], name: str) -> str:
    """A text field of a JSON object; "" where it is missing or something else."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def number_of(value: dict[str, object], name: str) -> int:
    """A whole number of a JSON object; 0 where it is missing or something else."""
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def now_us() -> int:
    """The time in microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def log_trouble(home: str, where: str, error: BaseException) -> None:
    """Note an error by its kind and place, never by its text, which may hold anything.  Never raises."""
    try:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        place = f"{os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame is not None else "?"
        number = f" errno {error.errno}" if isinstance(error, OSError) and error.errno else ""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        folder = os.path.join(home, "log")
        file = os.path.join(folder, LOG_FILE)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        try:
            if os.stat(file).st_size > _LONGEST_LOG:
                os.replace(file, f"{file}.1")
        except FileNotFoundError:
            pass
        line = f"{stamp} {where}: {type(error).__name__}{number} at {place} (python {sys.version_info[0]}.{sys.version_info[1]})\n"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
        write_private(os.path.join(folder, TROUBLE_FILE), line)
    except Exception:
        # Nowhere left to say it; the session goes on.
        return


def tell_trouble(home: str, line: str) -> None:
    """Leave a line of ours for the person at the next session's start.  Never raises."""
    try:
        write_private(os.path.join(home, "log", TROUBLE_FILE), line)
    except OSError:
        return


def last_trouble(home: str) -> str:
    """The last line of the hooks' log file; "" where there is none."""
    try:
        with open(os.path.join(home, "log", LOG_FILE), "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _LAST_LINES))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""


def take_trouble(home: str) -> str:
    """What was last noted and not told yet, as one line; telling it once removes it."""
    path = os.path.join(home, "log", TROUBLE_FILE)
    line = read_small(path, 500).strip()
    if line:
        remove(path)
    return line
