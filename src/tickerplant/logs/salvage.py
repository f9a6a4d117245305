"""Find every whole line in bytes that may be damaged. Pure functions and one pure class, no I/O.

A line is whole when its bytes from MARKER to the closing brace match its CRC. What is not part of a whole line is
damage. Newlines separate lines, but a damaged one hides nothing: MARKER occurs only at the start of a line, so the
bytes between two newlines are cut at each MARKER and each piece is tried on its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

from tickerplant.errors import BadData
from tickerplant.logs.line import BODY, CRC_END, CRC_START, MARKER, MAX_LINE_BYTES, Parser
from tickerplant.model import Damage, Entry, Position, Record

DAMAGE_BYTES = 2**20
"""A stretch of damage longer than this becomes several entries."""

_crc32 = zlib.crc32
_new_entry = tuple.__new__


class Splitter:
    """Splits blocks of one partition into entries. `damaged` says whether the last block held damage."""

    def __init__(self) -> None:
        self._parser = Parser()
        self.damaged = False

    def split(self, data: bytes, base: int, final: bool) -> tuple[list[Entry], int]:
        """Entries of `data`, whose first byte is at position `base`, and how many bytes they cover.

        Without `final` the bytes after the last newline are left for later; with it they are a line or damage. Damage
        is given line by line, without `before` and `after`: `Joiner` completes it.
        """
        entries: list[Entry] = []
        self.damaged = False
        start, parse, add, new = 0, self._parser.parse, entries.append, _new_entry
        find = data.find
        while (end := find(b"\n", start)) >= 0:
            body = data[start + BODY : end]
            if data.startswith(b'{"crc":"%08x"' % _crc32(body), start):
                try:
                    add(new(Entry, (base + start, base + end + 1, parse(body))))
                except BadData as error:
                    self._damage(entries, data, base, start, end + 1, str(error))
            else:
                entries += self._salvage(data, base, start, end + 1)
            start = end + 1
        rest = self._rest(data, start, final)
        if rest > start:
            entries += self._salvage(data, base, start, rest)
        return entries, rest

    @staticmethod
    def _rest(data: bytes, start: int, final: bool) -> int:
        """Where the part that can be judged now ends, given that no newline follows `start`."""
        if final:
            return len(data)
        is_line = data.startswith(MARKER, start) or MARKER.startswith(data[start : start + len(MARKER)])
        if is_line and len(data) - start <= MAX_LINE_BYTES:
            zero = data.find(b"\0", start)
            return zero if zero >= 0 else start
        last = data.rfind(MARKER, start + 1)
        return last if last > start else max(start, len(data) - len(MARKER) + 1)

    def _damage(self, entries: list[Entry], data: bytes, base: int, start: int, end: int, reason: str) -> None:
        self.damaged = True
        for at in range(start, end, DAMAGE_BYTES):
            stop = min(at + DAMAGE_BYTES, end)
            damage = Damage(data[at:stop], reason, None, None)
            entries.append(Entry(Position(base + at), Position(base + stop), damage))

    def _salvage(self, data: bytes, base: int, start: int, end: int) -> list[Entry]:
        """Entries of `[start, end)`, which is not simply a whole line and its newline."""
        entries: list[Entry] = []
        done, at = start, data.find(MARKER, start, end)
        while at >= 0:
            following = data.find(MARKER, at + 1, end)
            stop = following if following >= 0 else end
            found = self._whole(data, at, stop)
            if found:
                record, close = found
                close += data[close:stop] == b"\n"
                if at > done:
                    self._damage(entries, data, base, done, at, _reason(data, done))
                entries.append(Entry(Position(base + at), Position(base + close), record))
                done = close
            at = following
        if end > done:
            self._damage(entries, data, base, done, end, _reason(data, done))
        return entries

    def _whole(self, data: bytes, at: int, stop: int) -> tuple[Record, int] | None:
        """The record that begins at `at` and where its closing brace ends, when its CRC holds for some end."""
        try:
            wanted = int(data[at + CRC_START : at + CRC_END], 16)
        except ValueError:
            return None
        if data[at : at + BODY] != b'{"crc":"%08x"' % wanted:
            return None
        crc, done = 0, at + BODY
        for brace in _braces(data, done, stop):
            crc, done = _crc32(data[done:brace], crc), brace
            if crc == wanted:
                try:
                    return self._parser.parse(data[at + BODY : done]), done
                except BadData:
                    continue
        return None


def _braces(data: bytes, start: int, stop: int) -> Iterator[int]:
    """Where each closing brace of `[start, stop)` ends."""
    at = data.find(b"}", start, stop)
    while at >= 0:
        yield at + 1
        at = data.find(b"}", at + 1, stop)


def _reason(data: bytes, start: int) -> str:
    if data.startswith(MARKER, start):
        return "line: expected bytes that match its crc, was damaged or cut"
    return 'line: expected {"crc", was other bytes'


class Joiner:
    """Joins neighbouring damage into one entry and gives it the receipt times of the whole lines around it.

    `look_back(at)` and `look_ahead(at)` find the receipt of the last whole line before, the first one after a position
    that this object has not seen.
    """

    def __init__(
        self, look_back: Callable[[Position], int | None], look_ahead: Callable[[Position], int | None]
    ) -> None:
        self._look_back, self._look_ahead = look_back, look_ahead
        self._before: int | None = None
        self._after: int | None = None
        self._is_after_known = False
        self._held: Entry | None = None

    def add(self, entries: list[Entry], damaged: bool) -> list[Entry]:
        """Take the next entries; return those that are complete. `damaged` says whether any is damage."""
        if not damaged and self._held is None:
            if entries:
                self._saw(entries[-1].item)
            return entries
        out: list[Entry] = []
        for entry in entries:
            if isinstance(entry.item, Damage):
                out += self._hold(entry)
            else:
                out += self.release(entry.item.received_at)
                self._saw(entry.item)
                out.append(entry)
        return out

    def release(self, after: int | None) -> list[Entry]:
        """What is held back, now that the whole line after it was received at `after`."""
        if self._held is None:
            return []
        held, self._held = self._held, None
        return [self._completed(held, after)]

    def finish(self) -> list[Entry]:
        """What is held back, with `after` looked up: no more bytes follow in this segment."""
        if self._held is None:
            return []
        return self.release(self._ahead(self._held.end))

    def _saw(self, item: Record | Damage) -> None:
        if isinstance(item, Record):
            self._before, self._is_after_known = item.received_at, False

    def _hold(self, entry: Entry) -> list[Entry]:
        held = self._held
        if held is None:
            self._held = entry
            return []
        if len(held.item.payload) + len(entry.item.payload) <= DAMAGE_BYTES and held.end == entry.start:
            payload = held.item.payload + entry.item.payload
            self._held = Entry(held.start, entry.end, Damage(payload, _reason_of(held), None, None))
            return []
        self._held = entry
        return [self._completed(held, self._ahead(entry.end))]

    def _ahead(self, at: Position) -> int | None:
        if not self._is_after_known:
            self._after = self._look_ahead(at)
            self._is_after_known = self._after is not None
        return self._after

    def _completed(self, entry: Entry, after: int | None) -> Entry:
        if self._before is None:
            self._before = self._look_back(entry.start)
        return Entry(entry.start, entry.end, Damage(entry.item.payload, _reason_of(entry), self._before, after))


def _reason_of(entry: Entry) -> str:
    return entry.item.reason if isinstance(entry.item, Damage) else ""
