"""Read one partition of a log on files, forward from a position, and look around a position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tickerplant.logs.place import Where, place_of
from tickerplant.logs.salvage import DAMAGE_BYTES, Joiner, Splitter
from tickerplant.logs.sources import Chunk, Source
from tickerplant.model import Damage, Entry, Kind, Position, Record, position, split_position

READ_BYTES = 2**20
START = Position(0)

More = Literal["here", "next", "later"]
"""Where a reader goes on: in this segment, in the next one, or here when more has been written."""


class FilesReader:
    """Reads one partition forward (see LogReader). Follows the live end, rotation and sealing.

    Damage is held back until the whole line after it, or a later segment, is there: `position` then stands before it.
    `finish` gives it when nobody writes any more, `release` whenever.
    """

    position: Position

    def __init__(self, where: Where, start: Position = START) -> None:
        self._place = place_of(where)
        self.position = start
        self._segment, self._offset = split_position(start)
        self._settled = -1
        self._source: Source | None = None
        self._splitter = Splitter()
        self._joiner = Joiner(self._before, self._after)

    def read(self, max_bytes: int = READ_BYTES) -> list[Entry]:
        """The next lines, about `max_bytes` at most, one at least; empty at the present end."""
        while self._source is not None or self._open():
            entries, more = self._read_block(max_bytes)
            if entries:
                self.position = entries[-1].end
                return entries
            if more == "later" or (more == "next" and not self._next_segment()):
                return []
        return []

    def finish(self) -> list[Entry]:
        """What `read` gives when the segments there are now will not grow; empty while the partition has an owner.

        A new owner only adds segments, so what nobody owned at one moment after the segments were listed stays as it
        is, whoever comes then.
        """
        newest, before = max(self._place.files().numbers, default=-1), self.position
        if self._place.is_owned():
            return []
        self._settled = newest
        entries = self.read()
        self._settled = -1
        if entries and _is_timeless(entries[0].item):
            self.position = before
            self.close()
            return []
        return entries

    def release(self) -> list[Entry]:
        """Damage held back at the present end, without a line that is not whole yet. Read on with a new reader."""
        entries = self._joiner.finish()
        if entries:
            self.position = entries[-1].end
        return entries

    def close(self) -> None:
        """Release files; idempotent. The next `read` goes on at `position`."""
        if self._source:
            self._source.close()
            self._source = None
        self._segment, self._offset = split_position(self.position)
        self._joiner = Joiner(self._before, self._after)

    def _open(self) -> bool:
        """Open the segment to read, or the next one there is when it is gone; False when there is none."""
        numbers = [n for n in self._place.files().numbers if n >= self._segment]
        if not numbers:
            return False
        if numbers[0] != self._segment:
            self._segment, self._offset = numbers[0], 0
        self._source = self._place.open(self._segment)
        return self._source is not None

    def _next_segment(self) -> bool:
        """Go on to the next segment; False while there is none."""
        numbers = [n for n in self._place.files().numbers if n > self._segment]
        if not numbers:
            return False
        if self._source:
            self._source.close()
        self._source, self._segment, self._offset = None, numbers[0], 0
        return True

    def _is_finished(self) -> bool:
        """Whether nothing will be added to the segment being read."""
        if self._segment <= self._settled:
            return True
        files = self._place.files()
        return self._segment in files.sealed or max(files.numbers, default=-1) > self._segment

    def _read_block(self, size: int) -> tuple[list[Entry], More]:
        """Entries of the next bytes (none when all of them are held back), and where more are to be had."""
        size = max(size, 1)
        while True:
            chunk = self._chunk(size)
            if chunk.lost:
                used, found, damaged = chunk.end - self._offset, self._lost(chunk), True
            else:
                found, used = self._splitter.split(chunk.data, position(self._segment, self._offset), chunk.final)
                damaged = self._splitter.damaged
            if used:
                self._offset += used
                return self._joiner.add(found, damaged), "here"
            if chunk.final:
                return self._joiner.finish(), "next"
            if len(chunk.data) < size:
                return [], "later"
            size *= 2

    def _chunk(self, size: int) -> Chunk:
        source = self._source
        if source is None:
            return Chunk(b"", self._offset, self._offset)
        chunk = source.read(self._offset, size, is_finished=False)
        if not chunk.lost and not chunk.final and len(chunk.data) < size and self._is_finished():
            chunk = source.read(self._offset, size, is_finished=True)
        return chunk

    def _lost(self, chunk: Chunk) -> list[Entry]:
        """Damage for bytes that cannot be had, in parts small enough, from the present offset on."""
        span = chunk.end - chunk.start
        parts = min(span, -(-max(len(chunk.data), 1) // DAMAGE_BYTES))
        cuts = [chunk.start + span * i // parts for i in range(parts + 1)]
        step = -(-len(chunk.data) // parts)
        return [
            Entry(
                position(self._segment, max(cuts[i], self._offset)),
                position(self._segment, cuts[i + 1]),
                Damage(chunk.data[i * step : (i + 1) * step], chunk.lost, None, None),
            )
            for i in range(parts)
            if cuts[i + 1] > self._offset
        ]

    def _before(self, at: Position) -> int | None:
        found = next(records_back(self._place, at), None)
        return found.received_at if found else None

    def _after(self, at: Position) -> int | None:
        return first_received_at(self._place, at)


def _is_timeless(item: Record | Damage) -> bool:
    return isinstance(item, Damage) and item.before is None and item.after is None


def first_received_at(where: Where, at: Position) -> int | None:
    """Receipt (ns) of the first whole line at or after a position, None when there is none yet."""
    first, offset = split_position(at)
    place = place_of(where)
    for number in place.files().numbers:
        source = place.open(number) if number >= first else None
        if source is None:
            continue
        try:
            found = _first_in(source, offset if number == first else 0)
        finally:
            source.close()
        if found is not None:
            return found
    return None


def _first_in(source: Source, offset: int) -> int | None:
    splitter, size = Splitter(), READ_BYTES
    while True:
        chunk = source.read(offset, size, is_finished=True)
        if chunk.lost:
            offset = chunk.end
            continue
        entries, used = splitter.split(chunk.data, 0, chunk.final)
        for entry in entries:
            if isinstance(entry.item, Record):
                return entry.item.received_at
        if not used and chunk.final:
            return None
        offset, size = offset + used, size if used else size * 2


def chunks_back(where: Where, before: Position | None = None, segments: int | None = None) -> Iterator[bytes]:
    """Bytes before a position (None: the end), last first, each from a line's start.

    At most so many `segments` that hold any bytes are looked at.
    """
    last, offset = split_position(before) if before is not None else (None, 0)
    left = segments
    place = place_of(where)
    for number in reversed(place.files().numbers):
        source = place.open(number) if left != 0 and (last is None or number <= last) else None
        if source is None:
            continue
        has_bytes = False
        try:
            for chunk in source.back(offset if number == last else None):
                has_bytes = True
                yield chunk.data
        finally:
            source.close()
        if left is not None and has_bytes:
            left -= 1


def records_back(where: Where, before: Position | None = None) -> Iterator[Record]:
    """Whole records before a position (None: the end), last first."""
    splitter = Splitter()
    for data in chunks_back(where, before):
        for entry in reversed(splitter.split(data, 0, final=True)[0]):
            if isinstance(entry.item, Record):
                yield entry.item


def last_connection(where: Where) -> Record | None:
    """The last CONNECTED or DISCONNECTED record of the last two segments that hold bytes."""
    splitter = Splitter()
    for data in chunks_back(where, segments=2):
        if b'connected",' not in data:
            continue
        for entry in reversed(splitter.split(data, 0, final=True)[0]):
            if isinstance(entry.item, Record) and entry.item.kind in (Kind.CONNECTED, Kind.DISCONNECTED):
                return entry.item
    return None
