"""`run` with two captures and two loaders: each is watched and started again, and the tables are the log's."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.support.plant import log_end, log_tally, query, simulator, stop, store_tally, tickerplant, wait_for
from tickerplant.clock import VARIABLE, set_clock
from tickerplant.simulator.tickers import tickers

MARKET = ("--seed", "7", "--symbols", "20", "--minutes", "60", "--rate", "60", "--clients", "2", "--linger", "60")
PARTITIONS = ("alpaca.sip.1of2", "alpaca.sip.2of2")


@contextmanager
def running(folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    clock = folder / "clock"
    set_clock(clock, datetime(2025, 11, 20, 14, 30, tzinfo=UTC))
    settings = {
        VARIABLE: str(clock),
        "STOCK_SYMBOLS": ",".join(tickers(20, 7)),
        "STOCK_CHANNELS": "quotes,trades,bars",
        "TICKERPLANT_DATA": str(folder),
        "TICKERPLANT_RUN_FETCH": "none",
        "TICKERPLANT_RUN_CAPTURES": "2",
        "TICKERPLANT_RUN_LOADERS": "2",
    }
    words = ("run", "--calendar", "--url", url, "--no-repair", "--batch-seconds", "0.1")
    with (folder / "err").open("wb") as err:
        plant = tickerplant(*words, env={**os.environ, **settings}, cwd=folder, stderr=err)
    try:
        yield plant
    finally:
        assert stop(plant, timeout=60) == 0, (folder / "err").read_text()


def child(plant: subprocess.Popen[str], *words: str) -> psutil.Process | None:
    """The child of a plant whose arguments hold all of these."""
    found = (p for p in psutil.Process(plant.pid).children() if p.is_running())
    return next((p for p in found if set(words) <= set(p.cmdline())), None)


def ends(folder: Path) -> list[int]:
    return [log_end(folder / "log", name) for name in PARTITIONS]


def loaders(folder: Path) -> list[str]:
    held = query(folder / "lake", "select partition from positions where received > 0 order by partition")
    return [row["partition"] for row in held]


def test_each_capture_and_each_loader_is_kept_running(tmp_path: Path) -> None:
    with simulator(*MARKET, stderr=subprocess.DEVNULL) as (url, _):
        with running(tmp_path, url) as plant:
            wait_for(lambda: all(ends(tmp_path)), 60, "both captures to land")
            wait_for(lambda: loaders(tmp_path) == list(PARTITIONS), 60, "both partitions to be loaded")
            first = wait_for(lambda: child(plant, "capture", "2/2"), 10, "the second capture")
            assert first is not None
            first.send_signal(signal.SIGKILL)
            before = ends(tmp_path)
            wait_for(lambda: all(a > b for a, b in zip(ends(tmp_path), before, strict=True)), 60, "both to go on")
            again = child(plant, "capture", "2/2")
            assert again is not None
            assert again.pid != first.pid
            assert len([p for p in psutil.Process(plant.pid).children() if "load" in p.cmdline()]) == 2
        expected, found = log_tally(tmp_path / "log")[0], store_tally(tmp_path / "lake")
    assert found.tables == expected.tables
    assert len(found.tables["quotes"]) > 5
    killed = query(tmp_path / "lake", "select distinct reason from gaps where reason = 'killed'")
    assert killed == [{"reason": "killed"}]
