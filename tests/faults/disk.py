"""A small disk of its own for a data directory, which a test can fill to the last page."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

_SIZE_MB = 64
_PIECE = 1 << 20


class Disk:
    """A folder.  As root it is a disk of its own, so that it can really be full; for others `is_own` is False."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True)
        self.is_own = os.geteuid() == 0 and (
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={_SIZE_MB}m,mode=700", "none", str(place)],
                capture_output=True,
                check=False,
            ).returncode
            == 0
        )

    @property
    def is_full(self) -> bool:
        """Whether it is filled just now."""
        return self._filler.exists()

    @property
    def _filler(self) -> Path:
        return self.place / "filler"

    def fill(self, dice: random.Random) -> None:
        """Fills it, but for a few pages at most."""
        with self._filler.open("wb", buffering=0) as out:
            piece = b"\0" * _PIECE
            while piece:
                try:
                    written = out.write(piece)
                except OSError:
                    written = 0
                if not written:
                    piece = piece[: len(piece) // 2]
        left = dice.choice((0, 0, 1, 2, 4, 16)) * 4096
        os.truncate(self._filler, max(0, self._filler.stat().st_size - left))

    def make_room(self) -> None:
        """Gives back what was filled."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Takes the disk away, with what is on it."""
        if self.is_own:
            subprocess.run(["umount", "--lazy", str(self.place)], capture_output=True, check=False)
