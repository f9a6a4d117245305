"""Patience with a store: what it waits for, what it raises, what it says."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Timer
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.memory import MemoryLog, MemoryReader, MemoryStore
from tests.support.plant import wait_for
from tickerplant.errors import Busy, Fatal, Retryable
from tickerplant.jobs.load import LoadOptions, load
from tickerplant.jobs.patience import Patience
from tickerplant.model import Damage, Entry, Kind, Position, Record
from tickerplant.vendors import vendor

_AT = 1_763_649_000_000_000_000


def _failing(*failures: Exception) -> Callable[[], str]:
    coming = iter(failures)

    def action() -> str:
        for failure in coming:
            raise failure
        return "done"

    return action


def test_what_passes_is_tried_again_and_each_reason_is_said_once() -> None:
    with capture_logs() as said:
        answer = Patience(Event(), True, "p").call(
            _failing(Retryable("gone"), Retryable("gone"), Retryable("starting"))
        )

    assert answer == "done"
    assert [(e["event"], e.get("reason"), e["partition"]) for e in said] == [
        ("store away", "gone", "p"),
        ("store away", "starting", "p"),
        ("store back", None, "p"),
    ]
    assert said[-1]["tries"] == 3


@pytest.mark.parametrize("error", [Fatal("wrong password"), Busy("another loader")])
def test_what_does_not_pass_is_raised_at_once(error: Exception) -> None:
    with capture_logs() as said, pytest.raises(type(error), match=str(error)):
        Patience(Event(), True).call(_failing(error))

    assert said == []


def test_without_patience_the_first_failure_is_raised() -> None:
    with pytest.raises(Retryable, match="gone"):
        Patience(Event(), False).call(_failing(Retryable("gone")))


def test_a_stop_ends_the_wait_at_once() -> None:
    stop = Event()
    Timer(0.05, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Retryable, match="second"):
        Patience(stop, True).call(_failing(Retryable("first", 60), Retryable("second")))

    assert time.monotonic() - began < 30


def test_a_wait_is_as_long_as_the_store_asks_for() -> None:
    began = time.monotonic()
    Patience(Event(), True).call(_failing(Retryable("full", 0.3)))

    assert time.monotonic() - began >= 0.3


def test_nothing_is_caught_up_that_was_never_behind() -> None:
    patience = Patience(Event(), True)
    patience.call(lambda: "done", received=5)
    with capture_logs() as said:
        patience.caught_up(10)

    assert not patience.is_behind
    assert said == []


def test_the_rate_counts_from_the_moment_the_store_was_back() -> None:
    patience = Patience(Event(), True, "p")
    with capture_logs() as said:
        patience.call(_failing(Retryable("gone")), received=100)
        assert patience.is_behind
        patience.caught_up(350)
        patience.caught_up(400)

    told = [e for e in said if e["event"] == "caught up"]
    assert [(e["messages"], e["partition"]) for e in told] == [(250, "p")]
    assert told[0]["rate"] > 0
    assert not patience.is_behind


class _SlowOnceAway(MemoryStore):
    """The first write fails, each other takes longer than lines need to come."""

    is_away = True

    def write(self, *words: Any) -> None:
        if self.is_away:
            self.is_away = False
            raise Retryable("gone")
        Event().wait(0.05)
        super().write(*words)


class _Trickle(MemoryReader):
    """A live tail: there is a new line at every second look."""

    looks = 0

    def read(self, max_bytes: int) -> list[Entry]:
        self.looks += 1
        return super().read(max_bytes) if self.looks % 2 else []


class _LiveLog(MemoryLog):
    def reader(self, partition: str, start: Position = Position(0)) -> _Trickle:  # noqa: B008
        found = super().reader(partition, start)
        return _Trickle(found.entries, found.position, 1)


def _quotes(count: int) -> list[Record | Damage]:
    start = b'[{"T":"q","S":"A","bx":"N","bp":1.5,"bs":1,"ax":"Q","ap":1.6,"as":2,"c":["R"],"z":"C",'
    payloads = [start + b'"t":"2025-11-20T14:30:00.%06dZ"}]' % n for n in range(count)]
    return [Record("alpaca", "sip", Kind.DATA, _AT + n, payload) for n, payload in enumerate(payloads)]


def test_a_live_tail_that_never_rests_is_caught_up_all_the_same() -> None:
    log, store, stop = _LiveLog(_quotes(5_000)), _SlowOnceAway(), Event()
    with capture_logs() as said, ThreadPoolExecutor(1) as pool:
        pace = LoadOptions(batch_age_s=0.05, follow=True, idle_s=0.001)
        ended = pool.submit(load, log, store, vendor, pace, stop=stop)
        try:
            wait_for(lambda: any(e["event"] == "caught up" for e in said), 10, "the line about it")
        finally:
            stop.set()
        summary = ended.result()

    told = [e for e in said if e["event"] in ("store away", "store back", "caught up")]
    assert [e["event"] for e in told] == ["store away", "store back", "caught up"]
    assert told[-1]["partition"] == "alpaca.sip"
    assert 0 < told[-1]["messages"] < summary.counters.received < 5_000
    assert len(store.rows["quotes"]) == summary.counters.stored


class _GrowingReader(MemoryReader):
    """Reads what there is so far."""

    log: _GrowingLog

    def read(self, max_bytes: int) -> list[Entry]:
        self.log.looks += 1
        whole, self.entries = self.entries, self.entries[: self.log.there]
        try:
            return super().read(max_bytes)
        finally:
            self.entries = whole


class _GrowingLog(MemoryLog):
    there, looks = 1, 0

    def reader(self, partition: str, start: Position = Position(0)) -> _GrowingReader:  # noqa: B008
        found = super().reader(partition, start)
        made = _GrowingReader(found.entries, found.position, 10)
        made.log = self
        return made


class _AwayUntil(MemoryStore):
    back: Event
    tries = 0

    def write(self, *words: Any) -> None:
        self.tries += 1
        if not self.back.is_set():
            raise Retryable("gone")
        super().write(*words)


def _is_blocked(log: _GrowingLog) -> bool:
    before = log.looks
    return not Event().wait(0.3) and log.looks == before


def test_all_that_piled_up_while_the_loader_stood_still_counts_as_catching_up() -> None:
    """It stood still just after a look at the log's end, which is far away when the store is back."""
    log, store, stop = _GrowingLog(_quotes(1_000)), _AwayUntil(), Event()
    store.back = Event()
    with capture_logs() as said, ThreadPoolExecutor(1) as pool:
        ended = pool.submit(load, log, store, vendor, LoadOptions(batch_age_s=0.05, follow=True), stop=stop)
        try:
            wait_for(lambda: store.tries, 10, "the first write")
            log.there = 2
            wait_for(lambda: _is_blocked(log), 10, "a loader that stands still")
            log.there = 1_000
            store.back.set()
            wait_for(lambda: any(e["event"] == "caught up" for e in said), 10, "the line about it")
        finally:
            store.back.set()
            stop.set()
        ended.result()

    assert [e["messages"] for e in said if e["event"] == "caught up"] == [1_000]
    assert len(store.rows["quotes"]) == 1_000
