"""A long session of small commits: whether commit, open and query times and the number of files stay flat.

BENCH_COMMITS commits (6,000) of 1,000 quotes each, one a second in life, here as fast as they go.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.bench_query import _batches
from tickerplant.model import Batch, Counters, Position
from tickerplant.stores.lake import LakeStore
from tickerplant.tables import QUOTES

COMMITS = int(os.environ.get("BENCH_COMMITS", "6000"))
_ROWS = 1_000


def _look(folder: Path) -> tuple[float, float, int]:
    """Milliseconds to open the lake and count, to count again, and the number of data files."""
    began = time.perf_counter()
    store = LakeStore(folder, read_only=True)
    store.query("select count(*) from quotes")
    opened = time.perf_counter()
    store.query("select count(*) from quotes")
    counted = time.perf_counter()
    files = len(store.table_log("quotes").files())
    store.close()
    return (opened - began) * 1000, (counted - opened) * 1000, files


def run() -> dict[str, float]:
    """Commit p50 and p99 of each sixth of the session, and what a reader meets at its end."""
    rows = next(_batches(np.random.default_rng(1)))
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        store, spent = LakeStore(Path(name)), []
        for i in range(COMMITS):
            batch = Batch(QUOTES, rows.slice(i * _ROWS % (rows.num_rows - _ROWS), _ROWS))
            began = time.perf_counter()
            store.write("alpaca.sip", Position(i), Position(i + 1), [batch], Counters(i, i))
            spent.append((time.perf_counter() - began) * 1000)
            if (i + 1) % (COMMITS // 6) == 0:
                p50, p99 = np.percentile(spent[-COMMITS // 6 :], [50, 99])
                opened, counted, files = _look(Path(name))
                print(
                    f"{i + 1:7,} commits: commit p50 {p50:5.1f} ms, p99 {p99:6.1f} ms; "
                    f"open and count {opened:5.1f} ms, count {counted:5.1f} ms, {files} files",
                    flush=True,
                )
                figures |= {f"p50 ms at {i + 1}": float(p50), f"p99 ms at {i + 1}": float(p99)}
        store.close()
    return figures


if __name__ == "__main__":
    run()
