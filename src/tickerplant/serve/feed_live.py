"""The live tape: what is appended to the log, as it is appended, in memory only for as long as somebody needs it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from tickerplant.logs.kinesis.log import KinesisLog
from tickerplant.logs.layout import vendor_and_feed
from tickerplant.model import Entry, Kind, Log, LogReader, Position, Record, position
from tickerplant.serve.feed_stretch import Stretch, stretches
from tickerplant.vendors.dialect import Dialect

log = structlog.get_logger()

READ_BYTES = 1 << 17
_LOOK_FOR_PARTITIONS_S = 0.25


@dataclass
class Link:
    """A piece of the tape and, once it is there, the one after it. `total` counts the bytes of what came up to its end.

    Nobody but the clients that have not come past it holds a piece, so that what all have taken is forgotten.
    """

    stretches: Sequence[Stretch] = ()
    total: int = 0
    _next: asyncio.Future[Link] | None = None

    async def after(self) -> Link | None:
        """The next piece, when it is there."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._next)

    def append(self, link: Link) -> None:
        """Put a piece behind this one."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        self._next.set_result(link)


@dataclass
class Live:
    """One feed's tape. `head` is its end; `on_grown` is called when there is more."""

    on_grown: Callable[[], None]
    head: Link = field(default_factory=Link)

    def start(self) -> Link:
        """Where a client begins: at the end."""
        return self.head

    def add(self, found: Sequence[Stretch], size: int) -> None:
        """Lengthen the tape by messages that took `size` bytes of the log."""
        link = Link(found, self.head.total + size)
        self.head.append(link)
        self.head = link
        self.on_grown()


@dataclass
class Follower:
    """Reads the growing partitions of a vendor onto the tapes of their feeds; a new partition is found soon.

    A log on this machine is read between two waits of the loop: a thread would cost more than the reading.
    """

    source: Log
    dialect: Dialect
    tape_of: Callable[[str], Live]
    poll_s: float
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self) -> None:
        """Follow until cancelled; begins with what comes from now on. Raises what reading raises."""
        try:
            while True:
                await self.look()
                for task in self._tasks.values():
                    if task.done():
                        task.result()
                await asyncio.sleep(_LOOK_FOR_PARTITIONS_S)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def look(self, is_first: bool = False) -> None:
        """Begin to follow partitions that are new: at their present end the first time, else from their beginning."""
        for name in await asyncio.to_thread(self.source.partitions):
            vendor, feed = vendor_and_feed(name)
            if name not in self._tasks and vendor == self.dialect.vendor and feed in self.dialect.feeds:
                start = await asyncio.to_thread(end_of, self.source, name) if is_first else Position(0)
                self._tasks[name] = asyncio.create_task(self._follow(name, self.tape_of(feed), start))

    async def _follow(self, partition: str, tape: Live, start: Position) -> None:
        reader = self.source.reader(partition, start)
        log.info("following", partition=partition, position=start)
        is_here = "://" not in self.source.url
        with contextlib.closing(reader):
            while True:
                size, found = self._read(reader) if is_here else await asyncio.to_thread(self._read, reader)
                if found:
                    tape.add(found, size)
                await asyncio.sleep(self.poll_s if size < READ_BYTES // 2 else 0)

    def _read(self, reader: LogReader) -> tuple[int, list[Stretch]]:
        entries = reader.read(READ_BYTES)
        if not entries:
            return 0, []
        _say(entries)
        return sum(len(e.item.payload) for e in entries), stretches(entries, self.dialect)


def end_of(source: Log, partition: str) -> Position:
    """The present end of a partition. In the middle of a line that is being written, that line is passed over."""
    if isinstance(source, KinesisLog):
        return source.present_end()
    segments = source.segments(partition)
    return position(segments[-1].number, segments[-1].size_bytes) if segments else Position(0)


def _say(entries: Sequence[Entry]) -> None:
    """Log when the capture's own connection changes: clients are not told by the protocol."""
    for entry in entries:
        if isinstance(entry.item, Record) and entry.item.kind in (Kind.CONNECTED, Kind.DISCONNECTED):
            log.info("capture_" + entry.item.kind.value, vendor=entry.item.vendor, feed=entry.item.feed)
