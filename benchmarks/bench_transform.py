"""`tickerplant transform` of made-up daily bars, 3,000 symbols x five years: everything, one new session, a split.

`BENCH_SYMBOLS`, `BENCH_SESSIONS`; `BENCH_STORES=lake,postgres,s3` (`s3` is a lake there; `make servers` first). Whole
processes, start of the interpreter included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.support import s3
from tickerplant.calendar import sessions
from tickerplant.model import Batch, Counters, Position
from tickerplant.stores import AnyStore, open_store
from tickerplant.tables import DAILY_BARS, DIVIDENDS, SPLITS

SYMBOLS, SESSIONS = int(os.environ.get("BENCH_SYMBOLS", "3000")), int(os.environ.get("BENCH_SESSIONS", "1260"))
STORES = os.environ.get("BENCH_STORES", "lake,postgres").split(",")
_AT = datetime(2025, 11, 20, tzinfo=UTC)
_GROUP = 100


def _rows(table: Any, columns: dict[str, Any], count: int) -> Batch:
    own = {"vendor": ["alpaca"] * count, "feed": ["sip"] * count, "received_at": [_AT] * count, "seq": range(count)}
    made = [pa.array((own | columns).get(f.name, [None] * count)).cast(f.type) for f in table.schema]
    return Batch(table, pa.RecordBatch.from_arrays(made, schema=table.schema))


def _bars(symbols: Sequence[str], days: Sequence[date], seed: int) -> Batch:
    chance, count = np.random.default_rng(seed), len(symbols) * len(days)
    close = np.round(50 * np.exp(chance.normal(0, 0.02, (len(symbols), len(days))).cumsum(1)), 2).ravel()
    prices = {"open": close * 1.001, "high": close * 1.01, "low": close * 0.99, "close": close, "vwap": close}
    volume = {"volume": chance.integers(1_000, 1_000_000, count).astype(float)}
    volume["trade_count"] = chance.integers(10, 1_000, count)
    keys = {"symbol": np.repeat(np.array(symbols, object), len(days)), "session": list(days) * len(symbols)}
    return _rows(DAILY_BARS, {**keys, **prices, **volume}, count)


def _actions(symbols: Sequence[str], days: Sequence[date]) -> list[Batch]:
    """A split of every tenth symbol in the middle, a dividend of each a quarter."""
    split, paid = list(symbols[::10]), [(s, d) for s in symbols for d in days[30::63]]
    sides = {"split_from": [1.0] * len(split), "split_to": [2.0] * len(split)}
    cash = {"amount": [0.1] * len(paid), "currency": ["USD"] * len(paid), "type": ["CD"] * len(paid)}
    return [
        _rows(SPLITS, {"symbol": split, "ex_date": [days[len(days) // 2]] * len(split), **sides}, len(split)),
        _rows(DIVIDENDS, {"symbol": [s for s, _ in paid], "ex_date": [d for _, d in paid], **cash}, len(paid)),
    ]


def _fill(symbols: Sequence[str], days: Sequence[date]) -> Iterator[list[Batch]]:
    for at in range(0, len(symbols), _GROUP):
        yield [_bars(symbols[at : at + _GROUP], days, at)]
    yield _actions(symbols, days)


def _write(store: AnyStore, batches: Sequence[Batch]) -> None:
    at = store.progress("bench").position
    store.write("bench", at, Position(at + 1), batches, Counters())


def _transform(url: str) -> float:
    command = [sys.executable, "-m", "tickerplant", "transform", "--store", url, "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    slowest = sorted(json.loads(done.stdout)["results"], key=lambda r: -r["seconds"])[:4]
    print("    " + ", ".join(f"{r['name']} {r['mode'] or r['kind']} {r['seconds']:.1f} s" for r in slowest))
    return took


def _measure(url: str) -> dict[str, float]:
    symbols = [f"S{i:04d}" for i in range(SYMBOLS)]
    days = [s.day for s in sessions(date(2000, 1, 3), date(2025, 11, 20))][-SESSIONS - 1 :]
    found: dict[str, float] = {}
    with closing(open_store(url)) as store:
        for batches in _fill(symbols, days[:-1]):
            _write(store, batches)
        found["everything"] = _transform(url)
        found["nothing new"] = _transform(url)
        _write(store, [_bars(symbols, days[-1:], 1)])
        found["one new session"] = _transform(url)
        _write(
            store,
            [_rows(SPLITS, {"symbol": ["S0001"], "ex_date": [days[-2]], "split_from": [1.0], "split_to": [3.0]}, 1)],
        )
        found["a split"] = _transform(url)
    return found


def _place(store: str, folder: str) -> str:
    if store == "s3":
        os.environ.update(s3.variables())
        return s3.new_url("lake")
    return f"{folder}/lake" if store == "lake" else f"postgresql+embedded://{folder}/server"


def run() -> dict[str, float]:
    """Print the seconds of each run, by store."""
    figures: dict[str, float] = {}
    for store in STORES:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            for what, seconds in _measure(_place(store, folder)).items():
                print(f"{store:<9} {what:<16} {seconds:6.1f} s", flush=True)
                figures[f"{store} {what}"] = seconds
    return figures


if __name__ == "__main__":
    run()
