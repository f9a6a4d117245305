"""A log on Kinesis: partitions named in the stream's tags, lines in its records, a spool on the writer's disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tickerplant.errors import UsageError
from tickerplant.logs.files import FilesLog
from tickerplant.logs.kinesis.bookmarks import Bookmarks
from tickerplant.logs.kinesis.cursor import read_cursor
from tickerplant.logs.kinesis.lanes import WHOLE, lane_name, split_name
from tickerplant.logs.kinesis.options import KinesisOptions, options_of
from tickerplant.logs.kinesis.reader import LaneReader, Shared
from tickerplant.logs.kinesis.service import Service
from tickerplant.logs.kinesis.shards import Feed, ShardList
from tickerplant.logs.kinesis.shipper import lanes_of_tag, tag_of
from tickerplant.logs.kinesis.writer import KinesisWriter
from tickerplant.logs.layout import make_folder, vendor_and_feed
from tickerplant.logs.reader import START
from tickerplant.logs.s3_spool import Waiting, read_trouble
from tickerplant.logs.writer import DEFAULTS, Options
from tickerplant.model import Lag, Position, Segment, split_position
from tickerplant.settings import Settings, read_settings

_LOOK_S = 2.0
_TAG = tag_of("")


class KinesisLog:
    """Lines in the records of one stream (see Log). Nothing is asked of the service before it is needed.

    A partition that a capture writes is read as several: what has no symbol under its own name, the symbols in lanes
    (`alpaca.sip.lane3of8`). Threads may share it and its readers; one reads at a time.
    """

    url: str
    folder: Path
    """Where this machine keeps what it writes of the log: lines that are not sent yet, and what outlives a process."""
    is_here = False
    """The stream holds the log; see FilesLog."""

    def __init__(self, options: KinesisOptions) -> None:
        self.url = f"kinesis://{options.stream}"
        self.folder = options.spool
        self._options = options
        self._files = FilesLog(options.spool, options.files)
        self._service: Service | None = None
        self._shards: ShardList | None = None
        self._feeds: dict[str, Feed] = {}
        self._lock = threading.RLock()
        self._waiting: set[LaneReader] = set()
        self._names: list[str] = []
        self._looked_at = float("-inf")

    def _connected(self) -> Service:
        with self._lock:
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
        """All before the last minute or so, and that; it ends where the partition is known to end on this machine: as
        it was sent or read here.

        Numbers and sizes are those of positions; they are times, not bytes.
        """
        end = self._end(partition)
        number, size = split_position(Position(end))
        if not end:
            return []
        name = f"{self.url}/{partition}"
        return [Segment(partition, 0, 0, 0, True, name), Segment(partition, number, size, 0, False, name)]

    def present_end(self) -> Position:
        """A position behind everything that was received until now."""
        return Position(time.time_ns())

    def lags(self, positions: Mapping[str, Position], now_ns: int) -> dict[str, Lag]:
        """How far readers at these positions of partitions are behind the stream's end; two or three calls a shard."""
        from tickerplant.logs.kinesis.tip import look

        known = {name: end - 1 for name in positions if (end := self._end(name))}
        return look(self._connected(), positions, known, now_ns)

    def _end(self, partition: str) -> int:
        """Where a partition is known to end on this machine; 0 when nothing is known."""
        state = read_cursor(self._options.spool / split_name(partition)[0]).lanes.get(partition)
        return max(state.acked + 1 if state else 0, self._bookmarks(partition).last)

    def reader(self, partition: str, start: Position = START) -> LaneReader:
        """A reader from `start`, which must be a line's end; 0 is the oldest line that the stream holds."""
        with self._lock:
            if self._shards is None:
                self._shards = ShardList(self._connected(), _LOOK_S)
            shared = Shared(self._feed, self._shards, self._waiting, self._lock)
        return LaneReader(partition, start, shared, self._bookmarks(partition))

    def writer(self, partition: str, on_chunk: Callable[[bytes], object] | None = None) -> KinesisWriter:
        """Own the partition's spool, send what an earlier writer left there, and append.

        Raises Busy while another process of this machine owns it. Of several machines one may write a partition.
        Raises UsageError for the name of a lane.
        """
        vendor_and_feed(partition)
        if split_name(partition)[0] != partition:
            raise UsageError(f"log partition: expected a name that is no lane's, was {partition!r}")
        service = self._connected()
        make_folder(self._options.spool)
        return KinesisWriter(partition, self._files, service, self._options, on_chunk)

    def waiting(self, limit_bytes: int) -> list[Waiting]:
        """What of each partition waits on this machine to be sent; asks nobody."""
        return [self._wait_of(name, limit_bytes) for name in self._files.partitions()]

    def _wait_of(self, partition: str, limit_bytes: int) -> Waiting:
        folder = self.folder / partition
        number, offset = split_position(Position(read_cursor(folder).at))
        left = [s for s in self._files.segments(partition) if s.number >= number]
        sizes = [s.size_bytes - (offset if s.number == number else 0) for s in left]
        return Waiting(partition, sum(sizes), sum(map(bool, sizes)), limit_bytes, read_trouble(folder))

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


def open_kinesis(url: str, options: Options = DEFAULTS, settings: Settings | None = None) -> KinesisLog:
    """The log at a kinesis:// URL, reached as the settings say (without any: those of the environment and `.env`)."""
    return KinesisLog(options_of(url, settings or read_settings(), options))
