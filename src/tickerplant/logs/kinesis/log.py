"""A log on Kinesis: partitions named in the stream's tags, lines in its records, a spool on the writer's disk."""

from __future__ import annotations

import time
from collections.abc import Callable

from tickerplant.logs.files import FilesLog
from tickerplant.logs.kinesis.bookmarks import Bookmarks
from tickerplant.logs.kinesis.cursor import read_cursor
from tickerplant.logs.kinesis.lanes import WHOLE, lane_name, split_name
from tickerplant.logs.kinesis.options import KinesisOptions
from tickerplant.logs.kinesis.reader import LaneReader
from tickerplant.logs.kinesis.service import Service
from tickerplant.logs.kinesis.shards import Feed, ShardList
from tickerplant.logs.kinesis.shipper import lanes_of_tag, tag_of
from tickerplant.logs.kinesis.writer import KinesisWriter
from tickerplant.logs.layout import make_folder, vendor_and_feed
from tickerplant.logs.reader import START
from tickerplant.model import Position, Segment, split_position

_LOOK_S = 2.0
_TAG = tag_of("")


class KinesisLog:
    """Lines in the records of one stream (see Log). Nothing is asked of the service before it is needed.

    A partition that a capture writes is read as several: what has no symbol under its own name, the symbols in lanes
    (`alpaca.sip.3of8`). Share readers of one KinesisLog within a thread only.
    """

    url: str

    def __init__(self, options: KinesisOptions) -> None:
        self.url = f"kinesis://{options.stream}"
        self.spool = options.spool
        """Folder of the lines that are not sent yet, and of what outlives a process."""
        self._options = options
        self._files = FilesLog(options.spool, options.files)
        self._service: Service | None = None
        self._shards: ShardList | None = None
        self._feeds: dict[str, Feed] = {}
        self._waiting: set[LaneReader] = set()
        self._names: list[str] = []
        self._looked_at = float("-inf")

    def _connected(self) -> Service:
        if self._service is None:
            self._service = Service(self._options)
        return self._service

    def partitions(self) -> list[str]:
        """Names of the partitions, sorted. Asks the service at most every two seconds."""
        if time.monotonic() - self._looked_at >= _LOOK_S:
            names: set[str] = set()
            for key, value in self._connected().tags().items():
                if key.startswith(_TAG):
                    names |= _names(key.removeprefix(_TAG), lanes_of_tag(value))
            self._names, self._looked_at = sorted(names), time.monotonic()
        return list(self._names)

    def segments(self, partition: str) -> list[Segment]:
        """One that ends where the partition is known to end on this machine: as it was sent or read here.

        Its number and size are those of that position; they are times, not bytes.
        """
        whole, _, _ = split_name(partition)
        state = read_cursor(self._options.spool / whole).lanes.get(partition)
        end = max(state.acked + 1 if state else 0, self._bookmarks(partition).last)
        number, size = split_position(Position(end))
        return [Segment(partition, number, size, 0, False, f"{self.url}/{partition}")] if end else []

    def reader(self, partition: str, start: Position = START) -> LaneReader:
        """A reader from `start`, which must be a line's end; 0 is the oldest line that the stream holds."""
        if self._shards is None:
            self._shards = ShardList(self._connected(), _LOOK_S)
        return LaneReader(partition, start, self._feed, self._shards, self._bookmarks(partition), self._waiting)

    def writer(self, partition: str, on_chunk: Callable[[bytes], object] | None = None) -> KinesisWriter:
        """Own the partition's spool, send what an earlier writer left there, and append.

        Raises Busy while another process of this machine owns it. Of several machines one may write a partition.
        """
        vendor_and_feed(partition)
        service = self._connected()
        make_folder(self._options.spool)
        return KinesisWriter(partition, self._files, service, self._options, on_chunk)

    def unsent(self) -> list[str]:
        """Partitions whose spool holds lines that are not sent."""
        return [name for name in self._files.partitions() if self._has_unsent(name)]

    def _has_unsent(self, partition: str) -> bool:
        at = Position(read_cursor(self._options.spool / partition).at)
        reader = self._files.reader(partition, at)
        try:
            return bool(reader.read(1))
        finally:
            reader.close()

    def _feed(self, shard: str) -> Feed:
        if shard not in self._feeds:
            self._feeds[shard] = Feed(self._connected(), shard, self._options.poll_s)
        return self._feeds[shard]

    def _bookmarks(self, partition: str) -> Bookmarks:
        return Bookmarks(self._options.spool / "bookmarks", partition)

    def close(self) -> None:
        """Release connections; idempotent."""
        if self._service is not None:
            self._service.close()
        self._service, self._shards = None, None
        self._feeds.clear()


def _names(partition: str, lanes: set[int]) -> set[str]:
    """A partition as readers see it."""
    return {lane_name(partition, WHOLE, 0)} | {lane_name(partition, i, n) for n in lanes for i in range(n)}
