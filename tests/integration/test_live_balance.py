"""While a market runs and things go wrong, whoever looks at the store finds every message accounted for."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.plant import loaded_to, log_end, query, simulator, stop, store_tally, tickerplant, wait_for
from tickerplant.fingerprint import Tally
from tickerplant.jobs.status import Status, status
from tickerplant.logs import open_log
from tickerplant.stores import open_store

pytestmark = pytest.mark.campaign

_MARKET = ("--seed", "5", "--symbols", "50", "--minutes", "5", "--speed", "50", "--linger", "60")
_TROUBLE = (
    *("garbled@0.5s", "unknown@1s", "duplicate@1.5s", "disconnect@2s:1s"),
    *("garbled@4s", "unknown@4.5s", "duplicate@5s"),
)
_LOOKS = 20


@contextmanager
def _plant(url: str, log: Path, store: Path) -> Iterator[Callable[[], None]]:
    """A capture and a follower; yields what ends them when everything captured is loaded."""
    channels = ("--symbols", "*", "--channels", "quotes,trades,bars")
    capture = tickerplant("capture", "--url", url, *channels, "--log", log, "--for", "1h")
    loader = tickerplant("load", "--log", log, "--store", store, "--follow", "--batch-seconds", "0.1")

    def end() -> None:
        assert stop(capture) == 0
        wait_for(lambda: loaded_to(store) == log_end(log), 30, "everything captured in the store")
        assert stop(loader) == 0

    try:
        yield end
    finally:
        for process in (capture, loader):
            stop(process, signal.SIGKILL)


def _look(log: Path, store: Path) -> Status:
    reading = open_store(str(store), read_only=True)
    try:
        return status(open_log(str(log)), reading)
    finally:
        reading.close()


def _check(found: Status) -> None:
    assert found.received == found.stored + found.quarantined + found.control
    assert found.balanced
    assert found.missing_rows == 0
    assert all(p.is_balanced for p in found.partitions)


def _watched(oracle: Path, log: Path, store: Path) -> list[Status]:
    """Look at the store until the market is over, and often enough."""
    looks: list[Status] = []

    def is_over() -> bool:
        looks.append(_look(log, store))
        _check(looks[-1])
        return len(looks) >= _LOOKS and _read(oracle)["complete"]

    wait_for(is_over, 90, "the end of the market", pause=0.2)
    return looks


def _read(oracle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(oracle.read_text())
    return found


def test_every_look_at_a_running_plant_balances_and_the_end_is_what_was_sent(tmp_path: Path) -> None:
    log, store, oracle = tmp_path / "log", tmp_path / "lake", tmp_path / "oracle.json"
    faults = [word for fault in _TROUBLE for word in ("--fault", fault)]
    with simulator(*_MARKET, *faults, "--oracle", oracle) as (url, _), _plant(url, log, store) as end:
        looks = _watched(oracle, log, store)
        end()

    said, last = _read(oracle), _look(log, store)
    _check(last)
    received = [look.received for look in [*looks, last]]
    assert received == sorted(received)
    assert len(set(received)) >= _LOOKS // 4
    assert store_tally(store).tables == Tally.from_json(said["tables"]).tables
    assert last.stored == said["sent"]["messages"]
    assert last.quarantined == said["garbled"] + said["unknown"] == 4
    assert said["duplicates"] > 0
    assert len(said["connections"]) == 2
    holes = query(store, "select channel, reason, state from gaps where reason = 'disconnected' order by 1")
    assert holes == [{"channel": c, "reason": "disconnected", "state": "closed"} for c in ("bars", "quotes", "trades")]
