"""A market of many sessions that plays a portion whenever it is told to, and the truth of what it played."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tickerplant.calendar import Session, sessions
from tickerplant.model import Batch
from tickerplant.simulator.market import batch
from tickerplant.tables import BARS, DAILY_BARS, QUOTES, TRADES

SYMBOLS = ("BRK.B", "NA", "SPY", "TRUE")
PORTIONS = 3
QUOTES_EACH, TRADES_EACH, MINUTES_EACH = 90, 40, 3
_LENGTH_US = 4 * 60_000_000
"""A portion is the first minutes of its third of the session."""

_SPAN, _TOLD, _STOP = "span", "told", "stop"


def prepare(folder: Path, start: date, end: date) -> None:
    """Write what the market is to be, and the vendor's daily bars of it."""
    folder.mkdir(parents=True)
    (folder / _SPAN).write_text(f"{start} {end}")
    (folder / "history").mkdir()
    pq.write_table(pa.Table.from_batches([b.rows for b in daily(folder)]), folder / "history" / "daily_bars.parquet")


def tell(folder: Path, portions: int) -> None:
    """Let so many portions be played in all."""
    aside = folder / "told.new"
    aside.write_text(str(portions))
    aside.replace(folder / _TOLD)


def end(folder: Path) -> None:
    """No portion comes any more."""
    (folder / _STOP).touch()


def days(folder: Path) -> Sequence[Session]:
    """The sessions of the market."""
    start, stop = (folder / _SPAN).read_text().split()
    return sessions(date.fromisoformat(start), date.fromisoformat(stop))


def read(folder: Path) -> Iterator[list[Batch]]:
    """One stretch a portion, each when it is told to (for `simulate --source`)."""
    for number, stretch in enumerate(truth(folder)):
        while not (folder / _TOLD).exists() or int((folder / _TOLD).read_text()) <= number:
            if (folder / _STOP).exists():
                return
            time.sleep(0.02)
        yield stretch


def truth(folder: Path) -> Iterator[list[Batch]]:
    """Every portion of every session."""
    for session in days(folder):
        span = (session.post_close - session.pre_open) / PORTIONS
        for k in range(PORTIONS):
            chance = np.random.default_rng([session.day.toordinal(), k])
            began = int((session.pre_open + span * k).timestamp()) * 1_000_000
            yield _portion(chance, began, _LENGTH_US)


def daily(folder: Path) -> list[Batch]:
    """The daily bars of all sessions."""
    found = days(folder)
    count = len(found) * len(SYMBOLS)
    chance = np.random.default_rng(found[0].day.toordinal())
    low = chance.integers(1_000, 2_000, count) / 100
    columns: dict[str, Any] = {
        "symbol": pa.array([s for _ in found for s in SYMBOLS]),
        "session": pa.array([d.day for d in found for _ in SYMBOLS]),
        "open": low + 0.5, "high": low + 2, "low": low, "close": low + 1,
        "volume": chance.integers(1_000, 9_000, count).astype(float),
        "trade_count": chance.integers(10, 90, count), "vwap": low + 1.25,
    }  # fmt: skip
    return [batch(DAILY_BARS, columns, count)]


def _portion(chance: np.random.Generator, began: int, length: int) -> list[Batch]:
    return [
        _ticks(chance, QUOTES, QUOTES_EACH, began, length),
        _ticks(chance, TRADES, TRADES_EACH, began, length),
        _bars(chance, began),
    ]


def _ticks(chance: np.random.Generator, table: Any, count: int, began: int, length: int) -> Batch:
    columns: dict[str, Any] = {
        "symbol": pa.array(np.array(SYMBOLS)[chance.integers(0, len(SYMBOLS), count)]),
        "ns": chance.integers(0, 1000, count).astype(np.int16),
        "ts": np.sort(began + chance.choice(length, count, replace=False)),
        "tape": pa.repeat("A", count),
        "conditions": pa.repeat("@", count),
    }
    if table is TRADES:
        columns |= {"trade_id": pa.array(np.arange(count) + began % 10**9).cast(pa.string())}
        columns |= {"exchange": pa.repeat("N", count)}
        columns |= {name: chance.integers(100, 99_999, count) / 100 for name in ("price", "size")}
        return batch(table, columns, count)
    for side in ("bid", "ask"):
        columns |= {f"{side}_{n}": chance.integers(100, 99_999, count) / 100 for n in ("price", "size")}
        columns[f"{side}_exchange"] = pa.repeat("Q", count)
    return batch(table, columns, count)


def _bars(chance: np.random.Generator, began: int) -> Batch:
    count = len(SYMBOLS) * MINUTES_EACH
    low = chance.integers(1_000, 2_000, count) / 100
    columns: dict[str, Any] = {
        "symbol": pa.array([s for _ in range(MINUTES_EACH) for s in SYMBOLS]),
        "ns": np.zeros(count, np.int16),
        "ts": began - began % 60_000_000 + np.repeat(np.arange(1, MINUTES_EACH + 1), len(SYMBOLS)) * 60_000_000,
        "revision": np.zeros(count, np.int32),
        "open": low + 0.5, "high": low + 2, "low": low, "close": low + 1,
        "volume": chance.integers(1_000, 9_000, count).astype(float),
        "trade_count": chance.integers(10, 90, count), "vwap": low + 1.25,
    }  # fmt: skip
    return batch(BARS, columns, count)
