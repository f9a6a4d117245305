"""Which sequence number belongs to a position: a help for finding a place in a shard fast, never the truth.

Positions are receipt times, so without bookmarks a reader looks by time, and drops what it had.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from tickerplant.logs.kinesis.cursor import replace_file

_KEPT = 128
_EVERY_S = 1.0


class Bookmark(NamedTuple):
    """Everything before `position` stands in `shard` at or before `sequence`, or in its parents."""

    position: int
    shard: str
    sequence: str


class Bookmarks:
    """The bookmarks of one lane, oldest first, in a file that is written at most once a second."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.json"
        self._found = _read(self._path)
        self._written_at = float("-inf")

    @property
    def last(self) -> int:
        """The last position known; 0 without any."""
        return self._found[-1].position if self._found else 0

    def before(self, position: int) -> Bookmark | None:
        """The last bookmark that lies at or before a position."""
        return next((mark for mark in reversed(self._found) if mark.position <= position), None)

    def add(self, mark: Bookmark) -> None:
        """Keep a bookmark, at most one a second."""
        now = time.monotonic()
        if now - self._written_at < _EVERY_S:
            return
        self._written_at = now
        self._found = [*(m for m in self._found if m.position < mark.position), mark][-_KEPT:]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, msgspec.json.encode(self._found))


def _read(path: Path) -> list[Bookmark]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Bookmark])
    except (FileNotFoundError, msgspec.MsgspecError):
        return []
