"""What is due at a client: how many credentials should be rotated, and how many expire soon.

The server leaves the times of what is due by client in one small file, nothing else of a
credential; a session's start counts them.  Hooks reach no table of the strongroom.
"""

from __future__ import annotations

import os

from hooks.files import read_object, write_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FILE = "due.json"
OWN = "own"
"""The client that a folder without one belongs to (`domain.registry`, which hooks do not import)."""
SOON_US = 14 * 86_400_000_000
_DAY_US = 86_400_000_000
_LONGEST = 1_000_000
_MOST = 500  # times of a client; who has more due needs no exact number

Times = tuple[list[int], list[int]]
"""When credentials expire, and when their rotation is due."""


def write(home: str, clients: Mapping[str, tuple[Iterable[int], Iterable[int]]]) -> None:
    """Leave the times for the next sessions.  Raises OSError."""
    said: dict[str, object] = {name: [sorted(times)[:_MOST] for times in both] for name, both in clients.items()}
    path = os.path.join(home, FILE)
    if read_object(path, _LONGEST) != said:
        write_object(path, said)


def line(home: str, client: str, at_us: int) -> str:
    """`acme: 2 credentials due for rotation, 1 expires in 5 days: claudetools report ...`; "" where nothing is."""
    name = client or OWN
    expires, rotates = _times(read_object(os.path.join(home, FILE), _LONGEST).get(name))
    due = sum(time_us <= at_us for time_us in rotates)
    gone = sum(time_us <= at_us for time_us in expires)
    soon = [time_us for time_us in expires if at_us < time_us <= at_us + SOON_US]
    parts = []
    if due:
        parts.append(f"{_counted(due)} due for rotation")
    if gone:
        parts.append(f"{gone if parts else _counted(gone)} expired")
    if soon:
        counted = str(len(soon)) if parts else _counted(len(soon))
        parts.append(f"{counted} {'expires' if len(soon) == 1 else 'expire, the first'} {_ahead(min(soon), at_us)}")
    if not parts:
        return ""
    return f"{name}: {', '.join(parts)}: claudetools report expiring --client {name}"


def _times(said: object) -> Times:
    both = said if isinstance(said, list) else []
    expires, rotates = [*both, [], []][:2]
    return _numbers(expires), _numbers(rotates)


def _numbers(said: object) -> list[int]:
    return [one for one in said if isinstance(one, int)] if isinstance(said, list) else []


def _counted(number: int) -> str:
    return f"{number} credential{'s' if number > 1 else ''}"


def _ahead(then_us: int, at_us: int) -> str:
    days = then_us // _DAY_US - at_us // _DAY_US
    return "today" if days == 0 else f"in {days} day{'s' if days > 1 else ''}"
