"""Load: the log's records into the store, each exactly once, as a batch or following the live tail.

What cannot be decoded goes to `quarantine`, connection records and damage to `gaps`. Answers of repairs wait until
everything live that they are compared with is in the store. Those who follow a log into one store share its partitions.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import inf
from threading import Event
from typing import TypeAlias

import structlog

from tickerplant.clock import now_ns
from tickerplant.errors import Busy, Retryable
from tickerplant.jobs.load_decode import decode_entries, feed_of, quarantine_batch, split_at_cuts
from tickerplant.jobs.load_partition import LoadOptions, PartitionLoader, PartitionState
from tickerplant.jobs.load_repair import RepairLoader, is_repair
from tickerplant.jobs.load_share import Share
from tickerplant.jobs.patience import Patience
from tickerplant.model import Counters, Log, Store, Vendor

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
Loader: TypeAlias = PartitionLoader | RepairLoader

_WAITING_S, _ASK_AGAIN_S = 0.1, 5.0


@dataclass(frozen=True)
class LoadSummary:
    """What one run of `load` did: counters of this run, cumulative ones are in `partitions`."""

    counters: Counters = Counters()
    commits: int = 0
    seconds: float = 0.0
    partitions: tuple[PartitionState, ...] = ()


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
    loaders: dict[str, Loader] = field(default_factory=dict)
    done: dict[str, Loader] = field(default_factory=dict)
    held: dict[str, ExitStack] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    share: Share | None = None
    names: list[str] = field(default_factory=list)
    ask_again_at: float = -inf
    given: Counters = Counters()
    given_commits: int = 0

    def adopt(self, wanted: Sequence[str] | None) -> None:
        """Take over partitions that are new and have no other loader, up to our share; those of others stay in
        `waiting`. What is more than our share, because a loader came, is given up."""
        names = self._partitions()
        limit = self.share.limit(len(names)) if self.share else len(names)
        for partition in list(self.loaders)[limit:]:
            self.give(partition)
        if self.share and self.share.loaders > 1 and self.stop.is_set():
            return
        for partition in names:
            if len(self.loaders) >= limit:
                return
            is_known = partition in self.loaders or partition in self.done
            if not is_known and (wanted is None or partition in wanted) and self._owns(partition):
                self.loaders[partition] = self._loader(partition)
                said = log_lines.debug if self.options.leave_busy else log_lines.info
                said("loading", partition=partition, position=self.loaders[partition].state.position)

    def _partitions(self) -> list[str]:
        """The log's partitions; while following, those known before when it does not answer, for some seconds."""
        if time.monotonic() < self.ask_again_at:
            return self.names
        try:
            self.names = self.log.partitions()
        except Retryable as problem:
            if not self.options.follow:
                raise
            self.ask_again_at = time.monotonic() + _ASK_AGAIN_S
            log_lines.warning("log away", problem=str(problem))
        return self.names

    def give(self, partition: str) -> None:
        """Give a partition up, with everything read of it committed."""
        try:
            self.loaders[partition].finish()
        except Busy as problem:
            return self.lose(partition, problem)
        self._left(partition)
        log_lines.info("partition given up", partition=partition)

    def lose(self, partition: str, problem: Busy) -> None:
        """Another loader has a partition of ours, as after its server was away: what we read of it is its to load.

        Without others to share with the error is raised."""
        if self.share is None:
            raise problem
        self.loaders[partition].abandon()
        self._left(partition)
        self.waiting.add(partition)
        log_lines.warning("partition lost to another loader", partition=partition, problem=str(problem))

    def _left(self, partition: str) -> None:
        loader = self.loaders.pop(partition)
        self.given, self.given_commits = self.given + loader.gained, self.given_commits + loader.state.commits
        self.held.pop(partition).close()

    def _loader(self, partition: str) -> Loader:
        vendor, patience = self.vendor_of(feed_of(partition)[0]), self.patience_with(partition)
        if is_repair(partition):
            return RepairLoader(partition, self.log, self.store, vendor, self.options, patience)
        return PartitionLoader(partition, self.log, self.store, vendor, self.options, self.committer, patience)

    def settle(self) -> bool:
        """Commit everything live, so that repairs that wait for it can go on; whether one did."""
        repairs = [loader for loader in self.loaders.values() if isinstance(loader, RepairLoader)]
        for loader in self.loaders.values() if repairs else ():
            loader.commit(wait=True)
        return max((loader.step(look=True) for loader in repairs), default=False)

    def pause_s(self) -> float:
        """How long a batch run waits for a repair that is too fresh to be compared."""
        if self.options.follow:
            return 0.0
        return max((x.wait_s for x in self.loaders.values() if isinstance(x, RepairLoader)), default=0.0)

    def patience_with(self, partition: str) -> Patience:
        """Patience of one partition, which counts its own catching up."""
        return Patience(self.stop, self.options.follow, partition)

    def _owns(self, partition: str) -> bool:
        try:
            held = self.leases.enter_context(ExitStack())
            self.patience_with(partition).call(lambda: held.enter_context(self.store.loading(partition, wait_s=0)))
            self.held[partition] = held
        except Busy as busy:
            if partition not in self.waiting and not self.options.leave_busy:
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

    def everything(self) -> list[Loader]:
        return [*self.done.values(), *self.loaders.values()]

    def states(self) -> tuple[PartitionState, ...]:
        return tuple(loader.state for loader in self.everything())


def _pump(loading: _Loading, wanted: Sequence[str] | None, stop: Event, report: Callable[..., None]) -> None:
    """Step through all partitions until there is nothing more, or, when following, until told to stop and all that was
    received by then is loaded.

    Damage at the very end is loaded when nothing else is left; a follower waits for the line after it.
    """
    until: float = inf
    while True:
        stopping = stop.is_set()
        if stopping:
            until = min(until, now_ns())
        loading.adopt(wanted)
        busy = _step_all(loading, until, report)
        if not busy and not stopping and not loading.options.follow:
            busy = any(loader.step_at_end() for loader in loading.loaders.values()) or loading.settle()
        if busy and not (stopping and not loading.options.follow):
            continue
        if not stopping and (pause := loading.pause_s()):
            stop.wait(pause)
            continue
        is_waiting = bool(loading.waiting) and not loading.options.leave_busy
        if stopping or not (loading.options.follow or is_waiting):
            return
        if loading.waiting and not loading.options.follow:
            loading.release()
        stop.wait(_WAITING_S if loading.waiting else loading.options.idle_s)


def _step_all(loading: _Loading, until: float, report: Callable[..., None]) -> bool:
    """Step once in each partition; whether any may hold more that was received until then (ns)."""
    busy = False
    for partition, loader in list(loading.loaders.items()):
        try:
            has_read = loader.step()
        except Busy as problem:
            loading.lose(partition, problem)
            continue
        busy |= has_read and not loader.is_past(until)
        report(loading.states())
    return busy


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
    waited for (a batch run raises Retryable). Followers of all partitions share them, each about as many.

    A batch run ends at the log's present end, a torn last line included when the partition has no owner. As nothing
    follows that line, its gap ends where it starts; a load from scratch that finds a line after it gives the same gap
    its real end.

    Raises Busy when another loader took a partition over that is not shared, and what the store raises.
    """
    options, stop = options or LoadOptions(), stop or Event()
    began = time.monotonic()
    with _rare_collections(), ThreadPoolExecutor(1, "commit") as committer, ExitStack() as leases:
        loading = _Loading(log, store, vendor_of, options, leases, committer, stop)
        if options.follow and partitions is None and not options.leave_busy:
            loading.share = Share(store)
            leases.callback(loading.share.close)
        try:
            _pump(loading, partitions, stop, report)
        finally:
            for loader in loading.loaders.values():
                loader.finish()
        report(loading.states())
    gained = sum((loader.gained for loader in loading.everything()), loading.given)
    states = loading.states()
    commits = loading.given_commits + sum(s.commits for s in states)
    return LoadSummary(gained, commits, time.monotonic() - began, states)
