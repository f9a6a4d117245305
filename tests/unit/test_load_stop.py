"""A follower that is told to stop ends, whatever still comes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from tests.support.memory import MemoryLog, MemoryReader, MemoryStore
from tests.support.plant import wait_for
from tickerplant.jobs.load import LoadOptions, load
from tickerplant.model import Entry, Kind, Position, Record, position
from tickerplant.vendors import vendor

QUOTE = b'[{"T":"q","S":"A","bp":1.0,"t":"2025-11-20T15:00:00Z"}]'


class _Busy(MemoryReader):
    """A line at every look, received just now."""

    looks = 0

    def read(self, max_bytes: int) -> list[Entry]:
        self.looks += 1
        record = Record("alpaca", "sip", Kind.DATA, time.time_ns(), QUOTE)
        return [Entry(position(1, self.looks - 1), position(1, self.looks), record)]


class _BusyLog(MemoryLog):
    def reader(self, partition: str, start: Position = Position(0)) -> _Busy:  # noqa: B008
        return _Busy([], start, 1)


def test_a_follower_ends_at_what_was_received_when_it_was_told_to() -> None:
    log, store, stop = _BusyLog([]), MemoryStore(), Event()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(load, log, store, vendor, LoadOptions(batch_age_s=0.02, follow=True), stop=stop)
        try:
            wait_for(lambda: store.rows.get("quotes"), 10, "rows")
        finally:
            told_at = time.time_ns()
            stop.set()
        summary = ended.result(20)
    received = [row["received_at"].timestamp() * 1e9 for row in store.rows["quotes"]]
    assert summary.counters.stored == len(received) > 1
    assert max(received) >= told_at - 10_000_000
