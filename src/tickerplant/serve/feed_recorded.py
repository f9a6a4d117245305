"""A recorded span of the log as a tape: each client goes over it at its own pace; neighbours share what was read."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import chain

from tickerplant.logs.layout import vendor_and_feed
from tickerplant.model import Entry, Log, LogReader, Position, Record, position
from tickerplant.serve.feed_stretch import Stretch, stretches
from tickerplant.vendors.dialect import Dialect

_READ_BYTES = 1 << 20
_KEPT_PAGES = 8
_NEVER = 2**63

Places = tuple[Position, ...]
"""A place in each partition of a feed."""


@dataclass(frozen=True)
class Page:
    """A piece of the tape."""

    tape: Recorded
    stretches: Sequence[Stretch]
    end: Places

    async def after(self) -> Page | None:
        """The next piece; None when the span is over."""
        return await self.tape.page(self.end)


@dataclass
class Recorded:
    """What one feed received in `[start_ns, end_ns)` (None: open), every partition of it, in order of receipt.

    Without an end the tape goes on with what is appended, looked for each `poll_s`. `width_ns` as in `stretches`.
    """

    source: Log
    feed: str
    dialect: Dialect
    start_ns: int | None
    end_ns: int | None
    width_ns: int = 0
    poll_s: float = 0.02
    _partitions: tuple[str, ...] = ()
    _start: asyncio.Task[Places] | None = None
    _pages: OrderedDict[Places, asyncio.Task[Page]] = field(default_factory=OrderedDict)
    _readers: dict[str, LogReader] = field(default_factory=dict)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def start(self) -> Page:
        """Where a client begins; the first page follows it."""
        return Page(self, (), ())

    async def page(self, at: Places) -> Page | None:
        """The page that begins at a place, `()` the start of the span; None when the span is over."""
        while not at:
            self._start = self._start or asyncio.create_task(asyncio.to_thread(self._first_places))
            at = await asyncio.shield(self._start)
            if not at:
                self._start = None
                if self.end_ns is not None:
                    return None
                await asyncio.sleep(self.poll_s)
        while True:
            task = self._pages.get(at)
            if task is None:
                task = self._pages[at] = asyncio.create_task(self._read(at))
            self._pages.move_to_end(at)
            while len(self._pages) > _KEPT_PAGES:
                self._pages.popitem(last=False)
            found = await asyncio.shield(task)
            if found.end != at:
                return found
            self._pages.pop(at, None)
            if self.end_ns is not None:
                return None
            await asyncio.sleep(self.poll_s)

    async def _read(self, at: Places) -> Page:
        async with self._reading:
            found, end = await asyncio.to_thread(self._stretches, at)
        return Page(self, found, end)

    def _first_places(self) -> Places:
        names = self.source.partitions()
        self._partitions = tuple(n for n in names if vendor_and_feed(n) == (self.dialect.vendor, self.feed))
        return tuple(seek(self.source, name, self.start_ns or 0) for name in self._partitions)

    def _stretches(self, at: Places) -> tuple[list[Stretch], Places]:
        found = [self._entries(name, place) for name, place in zip(self._partitions, at, strict=True)]
        limit = min((_received(entries[-1]) for entries in found if entries), default=_NEVER)
        taken = [[e for e in entries if _received(e) <= limit] for entries in found] if len(found) > 1 else found
        end = tuple(e[-1].end if e else place for e, place in zip(taken, at, strict=True))
        ordered = merge(*taken, key=_received) if len(taken) > 1 else chain(*taken)
        return stretches(ordered, self.dialect, self.width_ns), end

    def _entries(self, partition: str, at: Position) -> list[Entry]:
        """The next lines of a partition within the span. Damage takes the time of the line before it."""
        reader = self._readers.get(partition)
        if reader is None or reader.position != at:
            if reader is not None:
                reader.close()
            reader = self._readers[partition] = self.source.reader(partition, at)
        entries = reader.read(_READ_BYTES)
        if self.end_ns is None or not entries or _received(entries[-1]) < self.end_ns:
            return entries
        return list(_before(entries, self.end_ns))


def _before(entries: Sequence[Entry], end_ns: int) -> Iterator[Entry]:
    for entry in entries:
        if isinstance(entry.item, Record) and entry.item.received_at >= end_ns:
            return
        yield entry


def _received(entry: Entry) -> int:
    """Receipt of a line; of damage, that of the whole line before it."""
    item = entry.item
    return item.received_at if isinstance(item, Record) else item.before or 0


def seek(source: Log, partition: str, at_ns: int) -> Position:
    """The first line of a partition that was received at or after `at_ns`; its present end when there is none."""
    segments = source.segments(partition)
    number = bisect_right(segments, at_ns, key=lambda s: _first_received(source, partition, s.number))
    start = position(segments[max(number - 1, 0)].number, 0) if segments else Position(0)
    reader = source.reader(partition, start)
    try:
        while entries := reader.read(_READ_BYTES):
            if _received(entries[-1]) >= at_ns:
                return next(e.start for e in entries if _received(e) >= at_ns)
        return reader.position
    finally:
        reader.close()


def _first_received(source: Log, partition: str, segment: int) -> int:
    reader = source.reader(partition, position(segment, 0))
    try:
        entries = reader.read(1)
        return _received(entries[0]) if entries else _NEVER
    finally:
        reader.close()
