"""What a session was given of the memory, in figures, and one line of words about them.

The line at a session's start and the status line say the same: how many records, how many tokens
their sessions were and the session did not have to read, and where and how long ago the newest of
them was made.
"""

from __future__ import annotations

from hooks.files import now_us, number_of, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.recall import Record

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_THOUSAND, _MILLION = 1_000, 1_000_000
_NAME_LENGTH = 30
_MOST_COUNTED = 400


class Figures:
    """Counted over everything that a session was told and still has before it.

    `records` were told in `tokens` tokens; their sessions were `raw_tokens` long.  `newest_us` is
    by this machine's clock.  A record that is told once more counts once (`counted` are their ids).
    """

    __slots__ = ("counted", "machine", "newest_us", "raw_tokens", "records", "tokens")

    def __init__(self, said: dict[str, object]) -> None:
        counted = said.get("counted")
        self.counted = [str(one) for one in counted] if isinstance(counted, list) else []
        self.records = max(0, number_of(said, "records"))
        self.raw_tokens = max(0, number_of(said, "raw_tokens"))
        self.tokens = max(0, number_of(said, "tokens"))
        self.machine = text_of(said, "machine")
        self.newest_us = number_of(said, "newest_us")

    def flat(self) -> dict[str, object]:
        """As JSON keeps it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def add(self, told: Iterable[Record], tokens: int, *, ahead_us: int = 0) -> None:
        """Count records that were told in so many tokens; the clock of their times is ahead of this machine's by so much."""
        self.tokens += tokens
        for record in told:
            if record.record_id in self.counted:
                continue
            self.counted.append(record.record_id)
            self.records += 1
            self.raw_tokens += max(0, record.raw_tokens)
            at_us = record.updated_us - ahead_us
            if at_us > self.newest_us:
                self.newest_us, self.machine = at_us, record.machine_name
        del self.counted[:-_MOST_COUNTED]

    @property
    def saved(self) -> int:
        """Tokens that the sessions of these records were longer than what was told of them."""
        return max(0, self.raw_tokens - self.tokens)

    def line(self, at_us: int = 0) -> str:
        """`7 records · 58k tokens saved · newest laptopB 3 h ago`; "" where nothing was told."""
        if not self.records:
            return ""
        parts = [f"{self.records} record{'s' if self.records > 1 else ''}"]
        if self.saved:
            parts.append(f"{short(self.saved)} tokens saved")
        if self.newest_us > 0:
            machine = _plain(self.machine)
            parts.append(f"newest {machine + ' ' if machine else ''}{age((at_us or now_us()) - self.newest_us)}")
        return " · ".join(parts)


def short(number: int) -> str:
    """A number in at most four characters and a unit: `940`, `58k`, `1.2M`."""
    if number < _THOUSAND:
        return str(number)
    if number < _MILLION - _THOUSAND // 2:
        thousands = number / _THOUSAND
        return f"{thousands:.1f}k" if thousands < 9.95 else f"{thousands:.0f}k"  # noqa: PLR2004 - two digits either way
    return f"{number / _MILLION:.1f}M"


def age(us: int) -> str:
    """How long ago, in one unit; what lies ahead (a clock was set back) is just now."""
    seconds = us // _MILLION
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name} ago"
    return "just now"


def _plain(name: str) -> str:
    """A machine's name for a terminal: nothing in it that a terminal obeys."""
    return "".join(letter for letter in name if letter.isprintable())[:_NAME_LENGTH].strip()
