"""A follower ends when it is told to, whatever still comes, and not because its log does not answer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from tests.support.memory import MemoryLog, MemoryReader, MemoryStore
from tests.support.plant import wait_for
from tickerplant.errors import Retryable
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


class _AwayLog(_BusyLog):
    """Does not tell its partitions every other time."""

    asked = 0

    def partitions(self) -> list[str]:
        self.asked += 1
        if self.asked % 2 == 0:
            raise Retryable("no answer")
        return super().partitions()


def test_a_follower_goes_on_while_the_log_does_not_tell_its_partitions() -> None:
    log, store, stop = _AwayLog([]), MemoryStore(), Event()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(load, log, store, vendor, LoadOptions(batch_age_s=0.02, follow=True), stop=stop)
        try:
            wait_for(lambda: log.asked >= 2 and len(store.rows.get("quotes", [])) > 10, 10, "rows")
        finally:
            stop.set()
        assert ended.result(20).counters.stored == len(store.rows["quotes"])
