"""One partition of the log into the store: read, decode, collect a micro-batch, commit rows and position together.

The commit of one batch runs while the next is decoded; there is never more than one in flight.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from tickerplant.jobs.gaps import Gap, gaps_batch
from tickerplant.jobs.load_decode import decode_entries, quarantine_batch, split_at_cuts
from tickerplant.jobs.patience import Patience
from tickerplant.model import Batch, Counters, Entry, Log, LogReader, Position, Progress, Record, Reject, Store, Vendor


@dataclass(frozen=True)
class LoadOptions:
    """`batch_messages` (None: what suits the store) and `batch_age_s` bound a micro-batch; `follow` keeps tailing until
    told to stop; `leave_busy` leaves partitions that another process loads to it.

    `settling_s`: how long after an answer of a repair a live message that it already holds may still arrive.
    """

    batch_messages: int | None = None
    batch_age_s: float = 1.0
    read_bytes: int = 1 << 20
    idle_s: float = 0.02
    follow: bool = False
    leave_busy: bool = False
    settling_s: float = 5.0


@dataclass(frozen=True)
class PartitionState:
    """Where loading a partition stands. `received_at` (ns) is the receipt of the last record committed."""

    partition: str
    position: Position
    counters: Counters
    commits: int = 0
    received_at: int | None = None


@dataclass
class _MicroBatch:
    """Decoded rows of `[start, end)` of one partition, not yet committed."""

    start: Position
    end: Position
    began: float
    batches: list[Batch] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    counters: Counters = Counters()
    received_at: int | None = None


class PartitionLoader:
    """Loads one partition. Owns its reader; commits on `committer`, one batch at a time."""

    def __init__(
        self,
        partition: str,
        log: Log,
        store: Store,
        vendor: Vendor,
        options: LoadOptions,
        committer: ThreadPoolExecutor,
        patience: Patience,
    ) -> None:
        progress: Progress = patience.call(lambda: store.progress(partition))
        self._patience = patience
        self.state = PartitionState(partition, progress.position, progress.counters)
        self._before = progress.counters
        self._cuts = progress.cuts
        self._reader: LogReader = log.reader(partition, progress.position)
        self._store, self._vendor, self._options, self._committer = store, vendor, options, committer
        self._batch: _MicroBatch | None = None
        self._in_flight: Future[PartitionState] | None = None
        self._counters = progress.counters
        self._taken, self._taken_at = progress.position, 0
        self._tail: Position | None = None

    def is_past(self, until: float) -> bool:
        """Whether something that was received after `until` (ns) has been read."""
        return self._taken_at > until

    @property
    def gained(self) -> Counters:
        """What this run committed."""
        return self.state.counters - self._before

    def step(self) -> bool:
        """Read and decode once, commit what is due; False when there was nothing to read."""
        was_behind = self._patience.is_behind
        entries = self._patience.call(lambda: self._reader.read(self._options.read_bytes))
        if was_behind and not entries and self._tail is None:
            self._tail = self._taken
        return self._load(entries)

    def step_at_end(self) -> bool:
        """The same with what is damaged at the log's end for good, when nobody writes there any more."""
        return self._load(self._reader.finish())

    def _load(self, entries: list[Entry]) -> bool:
        for part in split_at_cuts(entries, self._cuts):
            self._take(part)
            if part[-1].end in self._cuts:
                self.commit()
        if self._is_due():
            self.commit()
        self._collect(wait=False)
        self._note_catch_up()
        return bool(entries)

    def _note_catch_up(self) -> None:
        """After the store was away: the delay is made up when all up to the log's end, once reached, is committed."""
        if self._tail is not None and self.state.position >= self._tail:
            self._patience.caught_up(self.state.counters.received)
            self._tail = None

    def _take(self, entries: list[Entry]) -> None:
        partition = self.state.partition
        batch = self._batch or _MicroBatch(self._taken, self._taken, time.monotonic())
        decoded, gaps, counters = decode_entries(partition, entries, self._vendor)
        batch.batches += decoded.batches
        batch.rejects += decoded.rejects
        batch.gaps += gaps
        batch.counters += counters
        self._taken = batch.end = entries[-1].end
        last = entries[-1].item
        if isinstance(last, Record):
            batch.received_at = self._taken_at = last.received_at
        self._batch = batch

    def _is_due(self) -> bool:
        batch, options = self._batch, self._options
        if batch is None:
            return False
        full = batch.counters.received >= (options.batch_messages or self._store.batch_messages)
        return full or (options.follow and time.monotonic() - batch.began >= options.batch_age_s)

    def commit(self, wait: bool = False) -> None:
        """Hand the collected batch to the committer, after the batch before it; `wait` until it is in the store."""
        self._collect(wait=True)
        batch, self._batch = self._batch, None
        if batch is not None:
            self._counters += batch.counters
            self._in_flight = self._committer.submit(self._write, batch, self._counters)
        if wait:
            self._collect(wait=True)

    def _write(self, batch: _MicroBatch, counters: Counters) -> PartitionState:
        partition = self.state.partition
        rows = list(batch.batches)
        if batch.gaps:
            rows.append(gaps_batch(batch.gaps))
        if batch.rejects:
            rows.append(quarantine_batch(partition, batch.rejects))
        before = counters.received - batch.counters.received
        self._patience.call(lambda: self._store.write(partition, batch.start, batch.end, rows, counters), before)
        received_at = batch.received_at or self.state.received_at
        return PartitionState(partition, batch.end, counters, self.state.commits + 1, received_at)

    def _collect(self, wait: bool) -> None:
        if self._in_flight is not None and (wait or self._in_flight.done()):
            self.state, self._in_flight = self._in_flight.result(), None

    def abandon(self) -> None:
        """Release the reader and leave what is not committed."""
        self._batch = self._in_flight = None
        self._reader.close()

    def finish(self) -> None:
        """Commit what is left and release the reader."""
        try:
            self.commit(wait=True)
        finally:
            self._reader.close()
