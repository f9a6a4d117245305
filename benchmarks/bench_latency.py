"""Receipt to visible in a query, while a market of 5,000 messages a second is captured and loaded."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.support.plant import query, simulator, stop, tickerplant
from tickerplant.stores import open_store

SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
RATE = int(os.environ.get("BENCH_RATE", "5000"))
_NEWEST = "select epoch_us(max(received_at)) as us from quotes"


def _polls(store_url: Path, seconds: float) -> list[tuple[int, int]]:
    """`(time of the answer, newest receipt it shows)` in microseconds, a question each 50 ms."""
    store, polls, end = open_store(str(store_url), read_only=True), [], time.monotonic() + seconds
    while time.monotonic() < end:
        newest = store.query(_NEWEST).to_pylist()[0]["us"]
        polls.append((time.time_ns() // 1000, newest or 0))
        time.sleep(0.05)
    store.close()
    return polls


def run() -> dict[str, float]:
    """Percentiles in seconds over every quote received."""
    market = ("--seed", "5", "--symbols", "2000", "--minutes", "390", "--speed", "1", "--rate", str(RATE))
    with tempfile.TemporaryDirectory() as name, simulator(*market) as (url, _):
        folder = Path(name)
        capture = tickerplant(
            "capture", "--url", url, "--symbols", "*", "--log", folder / "log", stderr=subprocess.DEVNULL
        )
        loader = tickerplant("load", "--log", folder / "log", "--store", folder / "lake", "--follow")
        polls = _polls(folder / "lake", SECONDS)
        stop(capture)
        stop(loader)
        rows = query(folder / "lake", "select epoch_us(received_at) as us from quotes")
    received = np.sort(np.array([r["us"] for r in rows]))
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
