"""Receipt to visible in a query, while a market of 5,000 messages a second is captured and loaded."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.support.plant import simulator, stop, tickerplant
from tickerplant.stores import open_store

SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
RATE = int(os.environ.get("BENCH_RATE", "5000"))


def _micros(column: pa.ChunkedArray) -> np.ndarray:
    """Times as microseconds; null (no rows yet) as 0."""
    return column.cast(pa.int64()).fill_null(0).to_numpy()


def _polls(store_url: str, seconds: float) -> list[tuple[int, int]]:
    """`(time of the answer, newest receipt it shows)` in microseconds, a question each 50 ms."""
    store, polls, end = open_store(store_url, read_only=True), [], time.monotonic() + seconds
    while time.monotonic() < end:
        newest = store.query("select max(received_at) as at from quotes").column("at")
        polls.append((time.time_ns() // 1000, int(_micros(newest)[0])))
        time.sleep(0.05)
    store.close()
    return polls


def _receipts(store_url: str) -> np.ndarray:
    store = open_store(store_url, read_only=True)
    found = store.query("select received_at from quotes").column("received_at")
    store.close()
    return _micros(found)


def run() -> dict[str, float]:
    """Percentiles in seconds over every quote received, with a lake."""
    with tempfile.TemporaryDirectory() as folder:
        return receipt_to_visible(f"{folder}/lake")


def receipt_to_visible(store_url: str) -> dict[str, float]:
    """Percentiles in seconds over every quote received, on any store, which must have its tables."""
    market = ("--seed", "5", "--symbols", "2000", "--minutes", "390", "--speed", "1", "--rate", str(RATE))
    with tempfile.TemporaryDirectory() as name, simulator(*market) as (url, _):
        folder = Path(name)
        capture = tickerplant(
            "capture", "--url", url, "--symbols", "*", "--log", folder / "log", stderr=subprocess.DEVNULL
        )
        loader = tickerplant("load", "--log", folder / "log", "--store", store_url, "--follow")
        polls = _polls(store_url, SECONDS)
        stop(capture)
        stop(loader)
    received = np.sort(_receipts(store_url))
    answered, newest = (np.array(column) for column in zip(*polls, strict=True))
    first = np.searchsorted(np.maximum.accumulate(newest), received)
    seen = first < len(answered)
    latency = (answered[first[seen]] - received[seen]) / 1e6
    p50, p99, worst = np.percentile(latency, [50, 99, 100])
    rate = seen.sum() / SECONDS
    print(f"receipt to visible at {rate:,.0f} quotes/s: p50 {p50:.2f} s, p99 {p99:.2f} s, longest {worst:.2f} s")
    return {"p50 s": float(p50), "p99 s": float(p99), "longest s": float(worst), "quotes/s": float(rate)}


if __name__ == "__main__":
    run()
