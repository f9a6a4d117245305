"""See to it that what was landed is loaded, by this process or by the one that loads already."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Event

import structlog

from tickerplant.jobs.load import LoadOptions, VendorOf, load
from tickerplant.model import Log, Store, split_position

log_lines = structlog.get_logger()

_PATIENCE_S = 60.0
_LOOK_S = 0.2


def load_landed(
    log: Log,
    store: Store,
    vendor_of: VendorOf,
    partitions: Sequence[str],
    stop: Event | None = None,
    settling_s: float = 5.0,
) -> int:
    """Load partitions to their present end and return the rows; a partition with another loader is left to it.

    Returns as well when nothing moved for a minute: the loader will come to it, or the line is torn.
    """
    stop = stop or Event()
    before = _stored(store, partitions)
    moved_at, seen = time.monotonic(), -1
    left = _behind(log, store, partitions)
    while left:
        load(log, store, vendor_of, LoadOptions(leave_busy=True, settling_s=settling_s), partitions=left, stop=stop)
        if not (left := _behind(log, store, left)):
            break
        reached = sum(store.progress(p).position for p in left)
        if reached != seen:
            moved_at, seen = time.monotonic(), reached
        if stop.is_set() or time.monotonic() - moved_at > _PATIENCE_S:
            log_lines.info("left to be loaded", partitions=left)
            break
        stop.wait(_LOOK_S)
    return _stored(store, partitions) - before


def _behind(log: Log, store: Store, partitions: Sequence[str]) -> list[str]:
    return [p for p in partitions if has_more(log, store, p)]


def has_more(log: Log, store: Store, partition: str) -> bool:
    """Whether a partition holds something that is not loaded."""
    number, offset = split_position(store.progress(partition).position)
    return any(s.number > number or (s.number == number and s.size_bytes > offset) for s in log.segments(partition))


def _stored(store: Store, partitions: Sequence[str]) -> int:
    return sum(store.progress(p).counters.stored for p in partitions)
