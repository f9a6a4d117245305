"""Memory of capture and of a following load over time: peak, and whether it grows."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from tests.support.plant import simulator, stop, tickerplant

SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
RATE = int(os.environ.get("BENCH_RATE", "20000"))
_MB = 1e6


def _grown(samples: list[float]) -> float:
    """MB by which the mean of the last quarter is above that of the second quarter."""
    quarter = max(1, len(samples) // 4)
    return float(np.mean(samples[-quarter:]) - np.mean(samples[quarter : 2 * quarter]))


def run() -> dict[str, float]:
    """Peak resident memory in MB and growth between the second and the last quarter of the run."""
    market = ("--seed", "5", "--symbols", "3000", "--minutes", "390", "--speed", "1", "--rate", str(RATE))
    samples: dict[str, list[float]] = {"capture": [], "load": []}
    with tempfile.TemporaryDirectory() as name, simulator(*market) as (url, _):
        folder = Path(name)
        capture = tickerplant(
            "capture", "--url", url, "--symbols", "*", "--log", folder / "log", stderr=subprocess.DEVNULL
        )
        loader = tickerplant("load", "--log", folder / "log", "--store", folder / "lake", "--follow")
        watched = {"capture": psutil.Process(capture.pid), "load": psutil.Process(loader.pid)}
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(1)
            for who, process in watched.items():
                samples[who].append(process.memory_info().rss / _MB)
        stop(capture)
        stop(loader)
    figures: dict[str, float] = {}
    for who, found in samples.items():
        figures |= {f"{who} peak MB": max(found), f"{who} growth MB": _grown(found)}
        print(f"{who:8} peak {max(found):6.0f} MB, grew {_grown(found):+6.1f} MB in {SECONDS:.0f} s at {RATE:,}/s")
    return figures


if __name__ == "__main__":
    run()
