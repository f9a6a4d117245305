"""Load: the log's records into the store, each exactly once, as a batch or following the live tail.

One pass over a partition: read lines, decode, collect a micro-batch, commit rows and position together. What cannot be
decoded goes to `quarantine`, connection records and damage to `gaps`. The commit of one batch runs while the next is
decoded; there is never more than one in flight.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event

import structlog

from tickerplant.errors import Busy
from tickerplant.jobs.gaps import Gap, gaps_batch
from tickerplant.jobs.load_decode import decode_entries, feed_of, quarantine_batch, split_at_cuts
from tickerplant.jobs.patience import Patience
from tickerplant.model import (
    Batch,
    Counters,
    Entry,
    Log,
    LogReader,
    Position,
    Progress,
    Record,
    Reject,
    Store,
    Vendor,
)

__all__ = [
    "LoadOptions",
    "LoadSummary",
    "PartitionState",
    "VendorOf",
    "decode_entries",
    "load",
    "quarantine_batch",
    "split_at_cuts",
]

log_lines = structlog.get_logger()

VendorOf = Callable[[str], Vendor]

_WAITING_S = 0.1


@dataclass(frozen=True)
class LoadOptions:
    """`batch_messages` (None: what suits the store) and `batch_age_s` bound a micro-batch; `follow` keeps tailing until
    told to stop."""

    batch_messages: int | None = None
    batch_age_s: float = 1.0
    read_bytes: int = 1 << 20
    idle_s: float = 0.02
    follow: bool = False


@dataclass(frozen=True)
class PartitionState:
    """Where loading a partition stands. `received_at` (ns) is the receipt of the last record committed."""

    partition: str
    position: Position
    counters: Counters
    commits: int = 0
    received_at: int | None = None


@dataclass(frozen=True)
class LoadSummary:
    """What one run of `load` did: counters of this run, cumulative ones are in `partitions`."""

    counters: Counters = Counters()
    commits: int = 0
    seconds: float = 0.0
    partitions: tuple[PartitionState, ...] = ()


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


class _PartitionLoader:
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
        self._taken = progress.position
        self._tail: Position | None = None

    @property
    def gained(self) -> Counters:
        """What this run committed."""
        now, before = self.state.counters, self._before
        return Counters(
            now.received - before.received,
            now.stored - before.stored,
            now.quarantined - before.quarantined,
            now.control - before.control,
        )

    def step(self) -> bool:
        """Read and decode once, commit what is due; False when there was nothing to read."""
        was_behind = self._patience.is_behind
        entries = self._reader.read(self._options.read_bytes)
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
        batch.received_at = last.received_at if isinstance(last, Record) else batch.received_at
        self._batch = batch

    def _is_due(self) -> bool:
        batch, options = self._batch, self._options
        if batch is None:
            return False
        full = batch.counters.received >= (options.batch_messages or self._store.batch_messages)
        return full or (options.follow and time.monotonic() - batch.began >= options.batch_age_s)

    def commit(self) -> None:
        """Hand the collected batch to the committer, after the batch before it."""
        self._collect(wait=True)
        batch, self._batch = self._batch, None
        if batch is not None:
            self._counters += batch.counters
            self._in_flight = self._committer.submit(self._write, batch, self._counters)

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

    def finish(self) -> None:
        """Commit what is left and release the reader."""
        try:
            self.commit()
            self._collect(wait=True)
        finally:
            self._reader.close()


@dataclass
class _Loading:
    """All partitions being loaded, with the leases that make this process their only loader."""

    log: Log
    store: Store
    vendor_of: VendorOf
    options: LoadOptions
    leases: ExitStack
    committer: ThreadPoolExecutor
    stop: Event
    loaders: dict[str, _PartitionLoader] = field(default_factory=dict)
    done: dict[str, _PartitionLoader] = field(default_factory=dict)
    held: dict[str, ExitStack] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)

    def adopt(self, wanted: Sequence[str] | None) -> None:
        """Take over partitions that are new and have no other loader; the others stay in `waiting`."""
        for partition in self.log.partitions():
            is_known = partition in self.loaders or partition in self.done
            if not is_known and (wanted is None or partition in wanted) and self._owns(partition):
                vendor = self.vendor_of(feed_of(partition)[0])
                self.loaders[partition] = _PartitionLoader(
                    partition, self.log, self.store, vendor, self.options, self.committer, self.patience_with(partition)
                )
                log_lines.info("loading", partition=partition, position=self.loaders[partition].state.position)

    def patience_with(self, partition: str) -> Patience:
        """Patience of one partition, which counts its own catching up."""
        return Patience(self.stop, self.options.follow, partition)

    def _owns(self, partition: str) -> bool:
        try:
            held = self.leases.enter_context(ExitStack())
            self.patience_with(partition).call(lambda: held.enter_context(self.store.loading(partition, wait_s=0)))
            self.held[partition] = held
        except Busy as busy:
            if partition not in self.waiting:
                log_lines.info("waiting for the present loader to end", partition=partition, problem=str(busy))
            self.waiting.add(partition)
            return False
        self.waiting.discard(partition)
        return True

    def release(self) -> None:
        """Give up the partitions that are loaded: whoever holds what we wait for may be waiting for them."""
        for partition, loader in self.loaders.items():
            loader.finish()
            self.held.pop(partition).close()
        self.done |= self.loaders
        self.loaders.clear()

    def everything(self) -> list[_PartitionLoader]:
        return [*self.done.values(), *self.loaders.values()]

    def states(self) -> tuple[PartitionState, ...]:
        return tuple(loader.state for loader in self.everything())


def _pump(loading: _Loading, wanted: Sequence[str] | None, stop: Event, report: Callable[..., None]) -> None:
    """Step through all partitions until there is nothing more, or, when following, until told to stop.

    Damage at the very end is loaded when nothing else is left; a follower waits for the line after it.
    """
    while True:
        stopping = stop.is_set()
        loading.adopt(wanted)
        busy = False
        for loader in loading.loaders.values():
            busy |= loader.step()
            report(loading.states())
        if not busy and not stopping and not loading.options.follow:
            busy = any(loader.step_at_end() for loader in loading.loaders.values())
        if busy and not (stopping and not loading.options.follow):
            continue
        if stopping or not (loading.options.follow or loading.waiting):
            return
        if loading.waiting and not loading.options.follow:
            loading.release()
        stop.wait(_WAITING_S if loading.waiting else loading.options.idle_s)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the cycle collector run seldom: lines and rows hold no cycles (a quarter of the time, measured)."""
    before = gc.get_threshold()
    gc.set_threshold(1_000_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def load(
    log: Log,
    store: Store,
    vendor_of: VendorOf,
    options: LoadOptions | None = None,
    *,
    partitions: Sequence[str] | None = None,
    stop: Event | None = None,
    report: Callable[[tuple[PartitionState, ...]], None] = lambda states: None,
) -> LoadSummary:
    """Load what the log holds and the store does not.

    Idempotent: run it twice, kill it anywhere, run two at once (the second waits for the first), the tables are the
    same. With `follow` it goes on until `stop`, and then ends at the log's end of that moment; a store that is away is
    waited for (a batch run raises Retryable). A batch run ends at the log's present end, a torn last line included when
    the partition has no owner. As nothing follows that line, its gap ends where it starts; a load from scratch that
    finds a line after it gives the same gap its real end.

    Raises Busy when another loader took the partition over, and what the store raises.
    """
    options, stop = options or LoadOptions(), stop or Event()
    began = time.monotonic()
    with _rare_collections(), ThreadPoolExecutor(1, "commit") as committer, ExitStack() as leases:
        loading = _Loading(log, store, vendor_of, options, leases, committer, stop)
        try:
            _pump(loading, partitions, stop, report)
        finally:
            for loader in loading.loaders.values():
                loader.finish()
        report(loading.states())
    gained = sum((loader.gained for loader in loading.everything()), Counters())
    states = loading.states()
    return LoadSummary(gained, sum(s.commits for s in states), time.monotonic() - began, states)
