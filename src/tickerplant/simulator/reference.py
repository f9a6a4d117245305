"""The made-up market's past: tickers, daily bars, splits, dividends, indices and market days, the same for a seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tickerplant.calendar import Session, sessions
from tickerplant.model import Batch
from tickerplant.schema import Table
from tickerplant.simulator.tickers import tickers
from tickerplant.tables import DAILY_BARS, DIVIDENDS, INDEX_BARS, MARKET_DAYS, SPLITS, TICKERS

_INDICES = {"SPX": 6000.0, "NDX": 21000.0, "DJI": 44000.0, "RUT": 2300.0, "VIX": 17.0}
_SILENT, _DELISTED, _LATE_LISTED, _SPLIT, _DIVIDEND = 0.004, 0.02, 0.02, 0.03, 0.4
_EXCHANGES = ("XNYS", "XNAS", "ARCX")


@dataclass(frozen=True)
class Past:
    """What to make: sessions of `[start, end)` for so many symbols. Some symbols begin late, end early, or are silent
    on a day."""

    seed: int
    symbols: int
    start: date
    end: date


def past(of: Past) -> list[Batch]:
    """Every table of a past."""
    maker = _Maker(of)
    return [
        *(maker.tickers(), maker.daily_bars(), maker.splits(), maker.dividends(), maker.index_bars()),
        _batch(MARKET_DAYS, list(_market_days(maker.days))),
    ]


def _batch(table: Table, rows: Sequence[dict[str, Any]]) -> Batch:
    envelope = {"vendor": "simulated", "feed": "sip", "received_at": 0, "seq": 0}
    full = [{c.name: (row | envelope).get(c.name) for c in table.columns} for row in rows]
    return Batch(table, pa.RecordBatch.from_pylist(full, table.schema))


class _Maker:
    """Prices and dates of one past."""

    def __init__(self, of: Past) -> None:
        self.names, self.days = tickers(of.symbols, of.seed), tuple(sessions(of.start, of.end))
        self._chance = np.random.default_rng([of.seed, 2])
        count, length = len(self.names), len(self.days)
        self._first = np.where(self._share(count, _LATE_LISTED), self._chance.integers(0, length + 1, count), 0)
        self._last = np.where(self._share(count, _DELISTED), self._chance.integers(0, length + 1, count), length)
        self._split_at = np.where(self._share(count, _SPLIT), self._chance.integers(1, length + 1, count), length)
        self._split_to = self._chance.choice([2, 3, 4, 10], count)
        self._closes = self._walk(count, length)

    def _share(self, count: int, share: float) -> npt.NDArray[np.bool_]:
        return self._chance.random(count) < share

    def _walk(self, count: int, length: int) -> npt.NDArray[np.float64]:
        """Raw closes: a random walk, divided on the day of a split."""
        begin = np.exp(self._chance.normal(np.log(60.0), 1.0, (count, 1)))
        path = begin * np.exp(np.cumsum(self._chance.normal(0.0003, 0.018, (count, length)), axis=1))
        after = np.arange(length) >= self._split_at[:, None]
        return np.maximum(np.round(path / np.where(after, self._split_to[:, None], 1), 2), 0.01)

    def tickers(self) -> Batch:
        rows = []
        for i, name in enumerate(self.names):
            first, last = int(self._first[i]), int(self._last[i])
            is_active = last >= len(self.days)
            listed = self.days[first].day if 0 < first < len(self.days) else self.days[0].day - timedelta(days=900 + i)
            delisted = None if is_active else self.days[max(last - 1, 0)].day
            rows.append(_ticker(i, name, is_active, listed, delisted))
        return _batch(TICKERS, rows)

    def daily_bars(self) -> Batch:
        """Raw bars of every session in which a symbol was listed and traded."""
        length = len(self.days)
        place = np.arange(length)
        there = (place >= self._first[:, None]) & (place < self._last[:, None])
        there &= self._chance.random(there.shape) >= _SILENT
        who, when = np.nonzero(there)
        close = self._closes[who, when]
        columns = self._prices(close)
        count = len(who)
        columns |= {
            "symbol": pa.array(self.names).take(pa.array(who)),
            "session": pa.array([s.day for s in self.days], pa.date32()).take(pa.array(when)),
            "vendor": pa.repeat(pa.scalar("simulated"), count),
            "feed": pa.repeat(pa.scalar("sip"), count),
            "received_at": np.zeros(count, np.int64),
            "seq": np.zeros(count, np.int32),
        }
        arrays = [pa.array(columns[f.name]).cast(f.type) for f in DAILY_BARS.schema]
        return Batch(DAILY_BARS, pa.RecordBatch.from_arrays(arrays, schema=DAILY_BARS.schema))

    def _prices(self, close: npt.NDArray[np.float64]) -> dict[str, Any]:
        count = len(close)
        opened = np.maximum(np.round(close * (1 + self._chance.normal(0, 0.008, count)), 2), 0.01)
        spread = 1 + np.abs(self._chance.normal(0, 0.006, count))
        high = np.round(np.maximum(opened, close) * spread, 2)
        low = np.maximum(np.round(np.minimum(opened, close) / spread, 2), 0.01)
        trades = np.exp(self._chance.normal(8, 1.3, count)).astype(np.int64) + 1
        return {
            "open": opened,
            "high": np.maximum(high, np.maximum(opened, close)),
            "low": np.minimum(low, np.minimum(opened, close)),
            "close": close,
            "volume": (trades * 97).astype(np.float64),
            "trade_count": trades,
            "vwap": np.round((opened + close + high + low) / 4, 4),
        }

    def splits(self) -> Batch:
        rows = [
            {"symbol": self.names[i], "ex_date": self.days[at].day, "split_from": 1.0, "split_to": float(to)}
            | {"vendor_id": f"split-{i}", "details": "{}"}
            for i, (at, to) in enumerate(zip(self._split_at.tolist(), self._split_to.tolist(), strict=True))
            if at < len(self.days)
        ]
        return _batch(SPLITS, rows)

    def dividends(self) -> Batch:
        rows = []
        for i in np.flatnonzero(self._share(len(self.names), _DIVIDEND)).tolist():
            for at in range(20 + i % 40, len(self.days), 63):
                day = self.days[at].day
                rows.append(
                    {
                        "symbol": self.names[i],
                        "ex_date": day,
                        "amount": round(0.05 + (i % 37) / 20, 2),
                        "currency": "USD",
                    }
                    | {"type": "CD", "frequency": 4, "declared_on": day - timedelta(days=20)}
                    | {"record_date": day, "pay_date": day + timedelta(days=14), "vendor_id": f"dividend-{i}-{at}"}
                )
        return _batch(DIVIDENDS, rows)

    def index_bars(self) -> Batch:
        rows = []
        for name, begin in _INDICES.items():
            closes = np.round(begin * np.exp(np.cumsum(self._chance.normal(0.0002, 0.01, len(self.days)))), 2)
            for day, close in zip(self.days, closes.tolist(), strict=True):
                values = {
                    "open": close,
                    "high": round(close * 1.004, 2),
                    "low": round(close * 0.996, 2),
                    "close": close,
                }
                rows.append({"symbol": name, "session": day.day, **values})
        return _batch(INDEX_BARS, rows)


def _ticker(i: int, name: str, is_active: bool, listed: date, delisted: date | None) -> dict[str, Any]:
    return {
        "symbol": name,
        "vendor_symbol": name,
        "name": f"Made-up Company {i}, Inc.",
        "exchange": _EXCHANGES[i % 3],
        "type": "ETF" if i % 11 == 0 else "CS",
        "is_active": is_active,
        "listed_on": listed,
        "delisted_on": delisted,
        "vendor_id": f"BBG{i:09d}",
        "currency": "usd",
        "cik": f"{1_000_000 + i:010d}",
        "figi": f"BBG{i:09d}",
        "details": json.dumps({"locale": "us"}),
    }


def _market_days(days: Sequence[Session]) -> Iterator[dict[str, Any]]:
    for s in days:
        status = "early-close" if s.is_early_close else "open"
        yield {"exchange": "NYSE", "session": s.day, "status": status, "opens_at": s.open, "closes_at": s.close}
