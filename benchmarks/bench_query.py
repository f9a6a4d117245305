"""A synthetic day of quotes in the lake: commits, maintenance, bytes, and what a quant asks, warm.

TICKERPLANT_BENCH_DAY is its number of quotes (20 million), all with nanoseconds and prices of their own.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from tickerplant.jobs.maintain import maintain
from tickerplant.model import Batch, Counters, Position
from tickerplant.query import Plant
from tickerplant.stores.lake import LakeStore
from tickerplant.tables import QUOTES

COUNT = int(os.environ.get("TICKERPLANT_BENCH_DAY", "20000000"))
SYMBOLS, BATCH, DAY = 3_000, 50_000, date(2025, 11, 20)
_OPEN_US, _HOURS_US = 1_763_648_999_000_000, 23_400_000_000


def _batches(random: np.random.Generator) -> Iterator[pa.RecordBatch]:
    """The day in order of time: symbols by Zipf's law, prices that walk by cents, frames of 20."""
    weights = 1 / np.arange(1, SYMBOLS + 1)
    names = pa.array([f"S{i:04d}" for i in range(SYMBOLS)])
    price = np.round(random.uniform(5, 500, SYMBOLS), 2)
    for start in range(0, COUNT, BATCH):
        n = min(BATCH, COUNT - start)
        codes = random.choice(SYMBOLS, n, p=weights / weights.sum())
        price += np.round(random.normal(0, 0.02, SYMBOLS), 2)
        bid = np.round(np.abs(price[codes] + random.integers(-3, 4, n) / 100) + 0.01, 2)
        low = (_OPEN_US + start * _HOURS_US // COUNT) * 1000
        nanos = low + np.sort(random.integers(0, BATCH * _HOURS_US // COUNT * 1000, n))
        received = np.repeat(nanos[::20] // 1000 + 2_000, 20)[:n]
        yield _batch(random, names.take(pa.array(codes)), nanos, received, bid)


def _batch(
    random: np.random.Generator, symbols: pa.Array, nanos: np.ndarray, received: np.ndarray, bid: np.ndarray
) -> pa.RecordBatch:
    n = len(nanos)
    sizes = (random.geometric(0.45, (2, n)) * 100).astype(float)
    venues, shares = pa.array(list("NQPZKYJ")), (0.35, 0.25, 0.18, 0.1, 0.06, 0.04, 0.02)
    micros = pa.timestamp("us", "UTC")
    columns = {
        "symbol": symbols,
        "ts": pa.array(nanos // 1000).cast(micros),
        "ns": pa.array((nanos % 1000).astype(np.int16)),
        "bid_price": bid,
        "bid_size": sizes[0],
        "bid_exchange": venues.take(pa.array(random.choice(7, n, p=shares))),
        "ask_price": np.round(bid + random.integers(1, 4, n) / 100, 2),
        "ask_size": sizes[1],
        "ask_exchange": venues.take(pa.array(random.choice(7, n, p=shares))),
        "received_at": pa.array(received).cast(micros),
        "seq": pa.array((np.arange(n) % 20).astype(np.int32)),
    }
    constant = {"conditions": "R", "tape": "C", "vendor": "alpaca", "feed": "sip"}
    arrays = [
        pa.array([constant[c.name]]).take(pa.array(np.zeros(n, np.int8)))
        if c.name in constant
        else pa.array(columns[c.name])
        for c in QUOTES.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=QUOTES.schema)


def _load(store: LakeStore, random: np.random.Generator) -> list[float]:
    """Milliseconds of each commit."""
    found, done = [], 0
    for number, rows in enumerate(_batches(random)):
        done += rows.num_rows
        began = time.perf_counter()
        ends = (Position(number), Position(number + 1))
        store.write("alpaca.sip", *ends, [Batch(QUOTES, rows)], Counters(done, done))
        found.append((time.perf_counter() - began) * 1000)
    return found


def _timed(work: Callable[[int], int], times: int) -> tuple[float, float]:
    """p50 and p95 in milliseconds, after a tenth of the calls to get warm."""
    spent = []
    for i in range(times + times // 10 + 1):
        began = time.perf_counter()
        assert work(i) > 0
        spent.append((time.perf_counter() - began) * 1000)
    warm = np.array(spent[times // 10 + 1 :])
    return float(np.median(warm)), float(np.quantile(warm, 0.95))


def _questions(plant: Plant, random: np.random.Generator) -> dict[str, float]:
    picked = [f"S{i:04d}" for i in random.integers(0, SYMBOLS, 200)]
    one, p95 = _timed(lambda i: len(plant.quotes(picked[i % 200], DAY, DAY + timedelta(days=1))), 60)
    busy, busy_p95 = _timed(lambda i: len(plant.quotes("S0000", DAY, DAY + timedelta(days=1))), 5)
    last, last_p95 = _timed(lambda i: len(plant.last_quotes()), 5)
    return {
        "symbol session p50, ms": one,
        "symbol session p95, ms": p95,
        "busiest symbol p50, ms": busy,
        "busiest symbol p95, ms": busy_p95,
        "last quotes p50, ms": last,
        "last quotes p95, ms": last_p95,
    }


def run() -> dict[str, float]:
    """Build the day, ask before and after `maintain`, print and return the figures."""
    random = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as name, closing(LakeStore(Path(name))) as store:
        commits = np.array(_load(store, random))
        log = store.table_log("quotes")
        files = log.files()
        figures = {
            "quotes": float(COUNT),
            "commit p50, ms": float(np.median(commits)),
            "commit p95, ms": float(np.quantile(commits, 0.95)),
            "files before": float(len(files)),
            "bytes/quote before": sum(f.size for f in files) / COUNT,
        }
        began = time.perf_counter()
        assert [d.rows for d in maintain(store, timedelta(days=7))] == [COUNT]
        figures["maintain, quotes/s"] = COUNT / (time.perf_counter() - began)
        figures["bytes/quote"] = sum(f.size for f in log.files()) / COUNT
        figures |= _questions(Plant(store), random)
    for label, value in figures.items():
        print(f"{label:26} {value:14,.1f}")
    return figures


if __name__ == "__main__":
    run()
