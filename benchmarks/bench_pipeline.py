"""Log to lake on one core, beside `pyarrow.parquet.write_table` of the same rows already decoded."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.frames import write_log
from tickerplant.jobs.load import load
from tickerplant.logs import open_log
from tickerplant.model import Selection
from tickerplant.stores import open_store
from tickerplant.tables import QUOTES
from tickerplant.vendors import vendor

COUNT = int(os.environ.get("BENCH_QUOTES", "2000000"))


def _load(log: Path, store: Path) -> float:
    target = open_store(str(store))
    began = time.perf_counter()
    summary = load(open_log(str(log)), target, vendor)
    seconds = time.perf_counter() - began
    target.close()
    assert summary.counters.stored == COUNT
    return COUNT / seconds


def _rows(store: Path) -> pa.Table:
    source = open_store(str(store), read_only=True)
    rows = pa.Table.from_batches(list(source.scan(QUOTES, Selection(("quotes",)))), QUOTES.schema)
    source.close()
    assert rows.num_rows == COUNT
    return rows


def _write_table(rows: pa.Table, to: Path) -> float:
    began = time.perf_counter()
    pq.write_table(
        rows, to, compression="zstd", use_dictionary=["symbol", "bid_exchange", "ask_exchange", "conditions"]
    )
    return COUNT / (time.perf_counter() - began)


def run() -> dict[str, float]:
    """Rates in quotes/s on one core, median of three, and their ratio."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log(folder / "log", COUNT)
        ours = sorted(_load(folder / "log", folder / f"lake{i}") for i in range(3))[1]
        rows = _rows(folder / "lake0")
        parquet = sorted(_write_table(rows, folder / f"plain{i}.parquet") for i in range(3))[1]
    figures = {"log to lake, quotes/s/core": ours, "write_table, rows/s/core": parquet, "ratio": ours / parquet}
    print(f"log to lake        {ours:12,.0f} quotes/s on one core (20 a frame, {COUNT:,} quotes)")
    print(f"pyarrow write_table{parquet:12,.0f} rows/s on one core, the same rows already decoded")
    print(f"ratio              {ours / parquet:12.2f}")
    return figures


if __name__ == "__main__":
    run()
