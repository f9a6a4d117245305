"""A lake with sessions of quotes and trades as feeds send them: late, corrected, cancelled, twice, of two vendors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tickerplant.calendar import NEW_YORK, sessions
from tickerplant.model import Batch, Counters, Position
from tickerplant.schema import TIMESTAMP, Table
from tickerplant.stores import AnyStore
from tickerplant.tables import BARS, DAILY_BARS, DIVIDENDS, QUOTES, SPLITS, TRADE_CORRECTIONS, TRADES

Ints = npt.NDArray[np.int64]

LAST = date(2025, 12, 5)
"""The days before it hold Thanksgiving and the early close after it."""
_CONDITIONS = np.array(["@", "@,F", "@,T", "@,I", "@,Z", " ,4", "@,?", "B"])
_VENUES = np.array(list("QNPZ"))


def days(count: int) -> list[date]:
    """So many sessions, the last of them LAST."""
    return [s.day for s in sessions(date(2005, 1, 3), LAST)][-count:]


def fill(store: AnyStore, days: Sequence[date], symbols: int, rows: int, parts: int = 3, seed: int = 1) -> None:
    """Load sessions of `rows` quotes and a third as many trades each, in `parts` commits a session."""
    chance, at = np.random.default_rng(seed), store.progress("p").position
    for day in days:
        batches = list(_session(chance, day, symbols, rows, seed))
        for part in range(parts):
            own = [Batch(t, _part(b, part, parts)) for t, b in batches]
            store.write("p", at, Position(at + 1), [b for b in own if b.rows.num_rows], Counters())
            at = Position(at + 1)


def fill_daily(store: AnyStore, days: Sequence[date], symbols: int, seed: int = 3) -> None:
    """Load daily bars that walk, with a split and dividends on the way, of symbols that have nothing else."""
    chance, at = np.random.default_rng(seed), store.progress("p").position
    names = [f"D{n}" for n in range(symbols)]
    for n, name in enumerate(names):
        count = len(days) - n * 7
        close = np.round(50 * np.exp(chance.normal(0, 0.02, count).cumsum()), 2)
        prices = {"open": close * 1.001, "high": close * 1.01, "low": close * 0.99, "close": close, "vwap": close}
        volume = {"volume": chance.integers(1_000, 99_999, count) * 1.0, "trade_count": np.arange(count)}
        bars = _batch(DAILY_BARS, count, None, {"symbol": [name] * count, "session": days[-count:], **prices, **volume})
        split = _batch(
            SPLITS, 1, None, {"symbol": [name], "ex_date": [days[300]], "split_from": [1.0], "split_to": [3.0]}
        )
        paid = days[60::63]
        cash = {"amount": [0.1] * len(paid), "currency": ["USD"] * len(paid), "type": ["CD"] * len(paid)}
        dividends = _batch(DIVIDENDS, len(paid), None, {"symbol": [name] * len(paid), "ex_date": paid, **cash})
        store.write("p", at, Position(at + 1), [bars, split, dividends], Counters())
        at = Position(at + 1)


def _part(rows: pa.RecordBatch, part: int, parts: int) -> pa.RecordBatch:
    low, high = (rows.num_rows * n // parts for n in (part, part + 1))
    return rows.slice(low, high - low)


def _session(chance: np.random.Generator, day: date, symbols: int, rows: int, seed: int) -> Iterator[Batch]:
    names = np.array([f"S{n:03d}" for n in range(symbols)])
    nanos = _times(chance, day, rows)
    codes = np.minimum(chance.geometric(0.1, rows) - 1, symbols - 1)
    mid = 20 + codes + np.round(np.sin(nanos / 9e11) * 3 + chance.normal(0, 0.05, rows), 2)
    yield _quotes(chance, names[codes], nanos, mid)
    picked = np.sort(chance.choice(rows, rows // 3, replace=False))
    trades = _trades(chance, names[codes[picked]], nanos[picked], mid[picked])
    yield trades
    yield _corrections(chance, trades)
    yield _bars(chance, day, names, seed)
    told = {"symbol": names, "session": [day] * symbols, "seq": np.arange(symbols) + seed * symbols}
    yield _batch(DAILY_BARS, symbols, day, {**told, **_ohlc(chance, symbols)})
    if day.day == 1:
        yield _batch(SPLITS, 1, day, {"symbol": names[:1], "ex_date": [day], "split_from": [1.0], "split_to": [2.0]})
        cash = {"amount": [0.25], "currency": ["USD"], "type": ["CD"], "vendor_id": ["d"]}
        yield _batch(DIVIDENDS, 1, day, {"symbol": names[1:2], "ex_date": [day], **cash})


def _times(chance: np.random.Generator, day: date, rows: int) -> Ints:
    """Moments of 09:00 to 17:00 in New York in nanoseconds, nearly in order."""
    first = int(datetime(day.year, day.month, day.day, 9, tzinfo=NEW_YORK).timestamp()) * 1_000_000_000
    found = np.sort(first + chance.integers(0, 8 * 3_600_000_000_000, rows))
    return found + chance.integers(0, 2_000_000, rows)


def _quotes(chance: np.random.Generator, names: Any, nanos: Ints, mid: Any) -> Batch:
    rows = len(nanos)
    width = chance.integers(-1, 6, (2, rows)) / 100
    gone = chance.random(rows) < 0.01
    columns = {"bid_price": np.where(gone, 0.0, np.round(mid - width[0], 2)), "ask_price": np.round(mid + width[1], 2)}
    columns |= {f"{side}_size": chance.integers(1, 50, rows) * 100.0 for side in ("bid", "ask")}
    columns |= {f"{side}_exchange": _VENUES[chance.integers(0, 4, rows)] for side in ("bid", "ask")}
    return _ticks(chance, QUOTES, names, nanos, columns)


def _trades(chance: np.random.Generator, names: Any, nanos: Ints, mid: Any) -> Batch:
    rows = len(nanos)
    columns = {
        "trade_id": np.arange(rows).astype(str),
        "price": np.round(mid, 2),
        "size": chance.integers(1, 500, rows) * 1.0,
        "exchange": _VENUES[chance.integers(0, 4, rows)],
        "conditions": _CONDITIONS[chance.integers(0, len(_CONDITIONS), rows)],
    }
    return _ticks(chance, TRADES, names, nanos, columns)


def _ticks(chance: np.random.Generator, table: Table, names: Any, nanos: Ints, columns: dict[str, Any]) -> Batch:
    """The rows, a hundredth of them a second time, a fiftieth by another feed."""
    rows = len(nanos)
    received = nanos // 1000 + 1_500
    columns |= {"symbol": names, "ts": nanos // 1000, "ns": (nanos % 1000).astype(np.int16), "received_at": received}
    columns |= {"tape": np.array(["A", "B", "C"])[chance.integers(0, 3, rows)], "seq": np.arange(rows)}
    columns |= {"vendor": np.repeat("alpaca", rows), "feed": np.where(chance.random(rows) < 0.02, "iex", "sip")}
    again = np.sort(np.concatenate([np.arange(rows), chance.choice(rows, rows // 100)]))
    taken = {name: np.asarray(values)[again] for name, values in columns.items()}
    return _batch(table, len(again), None, taken)


def _corrections(chance: np.random.Generator, trades: Batch) -> Batch:
    """Of every hundredth trade: a third cancelled, a third corrected, a third corrected and then cancelled."""
    picked = trades.rows.take(pa.array(np.arange(0, trades.rows.num_rows, 100))).to_pylist()
    made = []
    for n, trade in enumerate(picked):
        told = {k: trade[k] for k in ("symbol", "exchange", "vendor", "feed", "tape")} | {"ns": 0, "seq": n}
        later = {"ts": trade["ts"] + timedelta(seconds=5), "received_at": trade["received_at"] + timedelta(seconds=5)}
        told |= later | {"original_id": trade["trade_id"], "kind": "cancel" if n % 3 == 0 else "correction"}
        right = {"corrected_id": f"c{n}", "corrected_price": trade["price"] + 0.5, "corrected_size": 7.0}
        made.append(told | (right if n % 3 else {}))
        if n % 3 == 2:
            last = {"original_id": f"c{n}", "kind": "cancel", "ts": later["ts"] + timedelta(seconds=5)}
            made.append(told | last)
    full = [{c.name: row.get(c.name) for c in TRADE_CORRECTIONS.columns} for row in made]
    return Batch(TRADE_CORRECTIONS, pa.RecordBatch.from_pylist(full, TRADE_CORRECTIONS.schema))


def _bars(chance: np.random.Generator, day: date, names: Any, seed: int) -> Batch:
    """Minutes of the first half hour, each with a revision; those of a higher seed were received later."""
    opened = int(datetime(day.year, day.month, day.day, 9, 30, tzinfo=NEW_YORK).timestamp()) * 1_000_000
    symbols, minutes = np.repeat(names, 60), np.tile(opened + np.arange(60) // 2 * 60_000_000, len(names))
    count = len(symbols)
    columns = {"symbol": symbols, "ts": minutes, "ns": np.zeros(count, np.int16), "interval": ["1m"] * count}
    columns |= {"revision": np.tile(np.arange(60) % 2, len(names)).astype(np.int32), "seq": np.arange(count)}
    columns |= {"received_at": minutes + (3_600 + seed) * 1_000_000}
    return _batch(BARS, count, day, columns | _ohlc(chance, count))


def _ohlc(chance: np.random.Generator, count: int) -> dict[str, Any]:
    close = np.round(chance.uniform(10, 99, count), 2)
    prices = {"open": close + 0.1, "high": close + 1, "low": close - 1, "close": close, "vwap": close}
    return prices | {"volume": chance.integers(1, 9_999, count) * 1.0, "trade_count": chance.integers(1, 99, count)}


def _batch(table: Table, count: int, day: date | None, columns: dict[str, Any]) -> Batch:
    moment = datetime(day.year, day.month, day.day, 23, tzinfo=UTC) if day else datetime(2025, 12, 6, tzinfo=UTC)
    own = {"vendor": ["alpaca"] * count, "feed": ["sip"] * count, "received_at": [moment] * count, "seq": range(count)}
    found = own | columns
    made = [_column(found.get(f.name), f, count) for f in table.schema]
    return Batch(table, pa.RecordBatch.from_arrays(made, schema=table.schema))


def _column(values: Any, field: pa.Field, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, field.type)
    if field.type == TIMESTAMP and not isinstance(values[0], datetime):
        return pa.array(np.asarray(values, np.int64)).cast(field.type)
    kind = field.type if field.type in (TIMESTAMP, pa.date32()) or isinstance(values, list | range) else None
    return pa.array(values if kind is None or isinstance(values, list) else list(values), kind).cast(field.type)
