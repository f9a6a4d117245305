"""A market of many short sessions, so that a store makes partitions all the time; until a file `stop` is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tickerplant.model import Batch
from tickerplant.simulator.market import batch
from tickerplant.tables import BARS, QUOTES, TRADES

MARKET, STOP = "market", "stop"
_DAYS_A_SECOND = 2.5
_SYMBOLS = np.array([f"S{n:02d}" for n in range(40)])
_FIRST = datetime(2015, 1, 5, 14, 30, tzinfo=UTC)


def read(path: Path) -> Iterator[list[Batch]]:
    """One stretch a session, at a steady pace; `path/market` holds the seed and the rows of a session."""
    seed, rows_a_day = map(int, (path / MARKET).read_text().split())
    chance = np.random.default_rng(seed)
    began, day = time.monotonic(), 0
    while not (path / STOP).exists():
        opened = int((_FIRST + timedelta(days=day)).timestamp()) * 1_000_000
        yield [_rows(chance, table, count, opened) for table, count in _counts(rows_a_day).items()]
        day += 1
        time.sleep(max(0.0, began + day / _DAYS_A_SECOND - time.monotonic()))


def _counts(rows: int) -> dict[Any, int]:
    return {QUOTES: rows * 8 // 10, TRADES: rows * 19 // 100, BARS: rows // 100}


def _rows(chance: np.random.Generator, table: Any, count: int, opened: int) -> Batch:
    columns: dict[str, Any] = {
        "symbol": pa.array(_SYMBOLS[chance.integers(0, len(_SYMBOLS), count)]),
        "ns": np.zeros(count, np.int16),
        "ts": np.sort(opened + chance.integers(0, 20_000_000_000, count)),
    }
    if table is BARS:
        return batch(table, columns | _bar(chance, count, opened), count)
    columns["tape"] = pa.repeat("A", count)
    columns["conditions"] = pa.repeat("@", count)
    if table is TRADES:
        columns["trade_id"] = pa.array(np.arange(count)).cast(pa.string())
        columns["exchange"] = pa.repeat("N", count)
        columns |= {name: chance.integers(100, 99_999, count) / 100 for name in ("price", "size")}
        return batch(table, columns, count)
    for side in ("bid", "ask"):
        columns |= {f"{side}_{n}": chance.integers(100, 99_999, count) / 100 for n in ("price", "size")}
        columns[f"{side}_exchange"] = pa.repeat("Q", count)
    return batch(table, columns, count)


def _bar(chance: np.random.Generator, count: int, opened: int) -> dict[str, Any]:
    prices = {name: chance.integers(100, 99_999, count) / 100 for name in ("open", "high", "low", "close", "vwap")}
    ones = np.ones(count, np.int64)
    minutes = opened + np.arange(count) * 60_000_000
    return {**prices, "ts": minutes, "volume": ones * 1.0, "trade_count": ones, "revision": np.zeros(count, np.int32)}
