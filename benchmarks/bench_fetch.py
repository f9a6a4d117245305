"""One market day of 11,000 tickers over REST, at 50 ms a call: by the whole-market call, and ticker by ticker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tickerplant.simulator.process import running

TICKERS = int(os.environ.get("BENCH_TICKERS", "11000"))
LATENCY_S = 0.05
DAY = ("--start", "2025-11-19", "--end", "2025-11-20")


def _fetch(folder: Path, url: str, *words: str) -> tuple[float, dict[str, Any]]:
    environment = {
        **os.environ,
        "POLYGON_URL": url,
        "POLYGON_API_KEY": "simulated",
        "POLYGON_PLAN": "advanced",
        "TICKERPLANT_DATA": str(folder),
        "TICKERPLANT_STORE": "",
        "LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "tickerplant", "fetch", "--all", "--vendor", "polygon", *DAY, *words, "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, json.loads(done.stdout.splitlines()[-1])["done"]


def run() -> dict[str, float]:
    """Print seconds, calls and rows of both ways: fetched, landed and loaded."""
    figures: dict[str, float] = {}
    arguments = ["--rest-only", "--symbols", str(TICKERS), "--days", "3", "--latency", str(LATENCY_S)]
    with running(arguments) as simulator, tempfile.TemporaryDirectory() as folder:
        url = simulator.rest["polygon"]
        _fetch(Path(folder) / "warm", url)
        for endpoint in ("grouped_daily", "daily_bars"):
            plant = Path(folder) / endpoint
            seconds, done = _fetch(plant, url, "--endpoint", endpoint)
            print(
                f"{endpoint:<14} {seconds:7.1f} s   {done['calls']:>7,} calls   {done['rows']:>7,} rows   "
                f"{done['calls'] / seconds:6.0f} calls/s"
            )
            figures[endpoint] = seconds
    return figures


if __name__ == "__main__":
    run()
