"""Bars, trades and quotes -> rows.

Sources: https://massive.com/docs/rest/stocks (aggregates, trades-quotes) as of 2026-01-28; fractional sizes
(`decimal_size`, size 0) massive-com/client-python pull 1000. The correction codes are taken for those of the tape as
NYSE Daily TAQ has them: 1 corrected later (the row holds the right data), 7 later an error, 8 later cancelled;
10, 11 and 12 are the records of cancelling, error and correction (with the wrong data) themselves, which are no trades.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import date
from itertools import compress
from typing import Any, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct, field

from tickerplant.errors import BadData
from tickerplant.rest import ALL, Asked, Call
from tickerplant.tables import BARS, DAILY_BARS, INDEX_BARS, QUOTES, TRADE_CORRECTIONS, TRADES
from tickerplant.vendors.answers import Bad, Found
from tickerplant.vendors.polygon import times
from tickerplant.vendors.polygon.endpoints import INTERVALS
from tickerplant.vendors.polygon.envelope import csv_items, is_csv, items, opened, results
from tickerplant.vendors.polygon.symbols import from_vendor, index_of

HISTORY = 2
"""`bars.revision` of a bar out of history."""

Number: TypeAlias = float | None
Codes: TypeAlias = list[int | str] | str | int | None
Name: TypeAlias = str | int | None
Readout: TypeAlias = tuple[list[Found], list[Bad]]

_RANGE = re.compile(r"/range/(\d+)/(\w+)/")
_GROUPED = re.compile(r"/market/\w+/(\d{4}-\d\d-\d\d)")
_SPANS = {theirs: ours for ours, theirs in INTERVALS.items()}
_TAPES = {"1": "A", "2": "B", "3": "C"}
_CORRECTED = {"1": "correction", "7": "error", "8": "cancel", "10": "cancel", "11": "error", "12": "correction"}
_NO_TRADES = ("10", "11", "12")


class BarRow(Struct, gc=False):
    """A bar; without trades it has no `vw` and no `n`, an index has no `v` either."""

    time: int = field(name="t")
    ticker: str | None = field(name="T", default=None)
    open: Number = field(name="o", default=None)
    high: Number = field(name="h", default=None)
    low: Number = field(name="l", default=None)
    close: Number = field(name="c", default=None)
    volume: Number = field(name="v", default=None)
    vwap: Number = field(name="vw", default=None)
    trade_count: Number = field(name="n", default=None)


class TradeRow(Struct, gc=False):
    """A trade of /v3/trades and of the flat files."""

    sip_timestamp: int | None = None
    participant_timestamp: int | None = None
    id: Name = None
    price: Number = None
    size: Number = None
    decimal_size: str | float | None = None
    exchange: Name = None
    conditions: Codes = None
    correction: Name = None
    tape: Name = None


class QuoteRow(Struct, gc=False):
    """A quote of /v3/quotes and of the flat files."""

    sip_timestamp: int | None = None
    participant_timestamp: int | None = None
    bid_price: Number = None
    bid_size: Number = None
    bid_exchange: Name = None
    ask_price: Number = None
    ask_size: Number = None
    ask_exchange: Name = None
    conditions: Codes = None
    tape: Name = None


def bars(asked: Asked, body: bytes) -> Readout:
    """Bars of one ticker or index: `/v2/aggs/ticker/...`."""
    what, call = asked.call.endpoint, asked.call
    _check_span(call)
    bad: list[Bad] = []
    if is_csv(body):
        rows = csv_items(body, BarRow, what, ("t", "o", "c"), bad)
    else:
        _check_ticker(call, body)
        rows = items(results(body, what), BarRow, what, bad)
    good = _checked(rows, _bar_problem, what, bad)
    if call.table == "bars":
        return _intraday(call, good), bad
    return _daily(call, good, [times.session_of(r.time * times.MILLION) for r in good]), bad


def grouped(asked: Asked, body: bytes) -> Readout:
    """Bars of all tickers of one day, stamped with its end; the session is the day asked for."""
    what, call = asked.call.endpoint, asked.call
    found = _GROUPED.search(call.path)
    if found is None:
        raise BadData(f"polygon {what}: expected a day in the path, was {call.path[:80]!r}")
    bad: list[Bad] = []
    try:
        day = date.fromisoformat(found[1])
    except ValueError as error:
        raise BadData(f"polygon {what}: expected a day in the path: {error}") from None
    if is_csv(body):
        rows = csv_items(body, BarRow, what, ("T", "t", "o", "c"), bad)
    else:
        rows = items(results(body, what), BarRow, what, bad)
    good = _checked(rows, lambda r: _bar_problem(r) or _other_day(r, day), what, bad)
    return _daily(call, good, [day] * len(good)), bad


def trades(asked: Asked, body: bytes) -> Readout:
    """Trades, with what became of them."""
    rows, bad = _ticks(asked, body, TradeRow, ("sip_timestamp", "price"), _trade_problem)
    return trade_tables(asked.call, [_symbol(asked.call)] * len(rows), rows), bad


def quotes(asked: Asked, body: bytes) -> Readout:
    """Quotes."""
    rows, bad = _ticks(asked, body, QuoteRow, ("sip_timestamp", "bid_price"), _quote_problem)
    return quote_tables(asked.call, [_symbol(asked.call)] * len(rows), rows), bad


def _ticks(
    asked: Asked, body: bytes, kind: type, needed: Sequence[str], problem: Callable[[Any], str | None]
) -> tuple[list[Any], list[Bad]]:
    what = asked.call.endpoint
    bad: list[Bad] = []
    rows: list[Any]
    rows = csv_items(body, kind, what, needed, bad) if is_csv(body) else items(results(body, what), kind, what, bad)
    return _checked(rows, problem, what, bad), bad


def _checked(rows: list[Any], problem: Callable[[Any], str | None], what: str, bad: list[Bad]) -> list[Any]:
    """The rows without a problem; the others are set aside, if they are not already (None)."""
    good: list[Any] = []
    for place, row in enumerate(rows):
        if row is None:
            continue
        found = problem(row)
        if found is None:
            good.append(row)
        else:
            bad.append(Bad(place, f"polygon {what}: {found}", msgspec.json.encode(row)))
    return good


def _check_span(call: Call) -> None:
    found = _RANGE.search(call.path)
    if found is None:
        return
    length = (int(found[1]), found[2])
    wanted = INTERVALS.get(call.interval or "1m") if call.table == "bars" else (1, "day")
    if length != wanted:
        raise BadData(f"polygon {call.endpoint}: expected {wanted}, was {length}, which has no table")


def _check_ticker(call: Call, body: bytes) -> None:
    """An answer about another ticker than the one asked for is no answer."""
    raw = opened(body, call.endpoint).ticker
    if isinstance(raw, msgspec.UnsetType) or call.symbols == ALL:
        return
    try:
        named = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        named = None
    if isinstance(named, str) and _ours(call, named) not in call.symbols:
        raise BadData(f"polygon {call.endpoint}: expected {call.symbols[0]!r}, was {named[:40]!r}")


def _ours(call: Call, ticker: str) -> str:
    return index_of(ticker) if call.table == "index_bars" else from_vendor(ticker)


def _symbol(call: Call) -> str:
    return call.symbols[0]


def _number(value: float | None) -> bool:
    return value is None or math.isfinite(value)


def _bar_problem(row: BarRow) -> str | None:
    prices = (row.open, row.high, row.low, row.close)
    if any(p is None for p in prices):
        return "expected four prices, was one missing"
    if not all(map(_number, (*prices, row.volume, row.vwap, row.trade_count))):
        return "expected finite numbers, was one that is not"
    if row.trade_count is not None and abs(row.trade_count) >= 2**63:
        return f"expected a count of trades, was {row.trade_count}"
    return times.wrong_time(row.time * times.MILLION)


def _other_day(row: BarRow, day: date) -> str | None:
    if not row.ticker:
        return "expected a ticker, was none"
    found = times.session_of(row.time * times.MILLION)
    return None if found == day else f"expected the day {day}, was {found}"


def moment(row: TradeRow | QuoteRow) -> int | None:
    """Time of a tick, ns: when the tape sent it, else when the venue did."""
    return row.participant_timestamp if row.sip_timestamp is None else row.sip_timestamp


def _trade_problem(row: TradeRow) -> str | None:
    try:
        if row.price is None or not (_number(row.price) and _number(row.size) and _number(size_of(row))):
            return "expected a price and a size, was none"
    except ValueError as error:
        return f"expected a size: {error}"
    return times.wrong_time(moment(row))


def _quote_problem(row: QuoteRow) -> str | None:
    if not all(map(_number, (row.bid_price, row.bid_size, row.ask_price, row.ask_size))):
        return "expected finite numbers, was one that is not"
    return times.wrong_time(moment(row))


def size_of(row: TradeRow) -> float | None:
    """The size, with fractions where the vendor says them. Raises ValueError."""
    return row.size if row.decimal_size in (None, "") else float(str(row.decimal_size))


def codes(found: Codes) -> str | None:
    """Conditions joined by commas."""
    return ",".join(map(str, found)) if isinstance(found, list) else None if found is None else str(found)


def text(found: Name) -> str | None:
    """A number or text as text."""
    return None if found is None else str(found)


def tape(found: Name) -> str | None:
    """The letter of a tape's number."""
    return None if found is None else _TAPES.get(str(found), str(found))


def _venue(found: Name) -> str | None:
    """The venue of one side of a quote; exchange 0 is a side that is empty."""
    return " " if str(found) == "0" else text(found)


def _bar_columns(rows: Sequence[BarRow], symbols: Sequence[str]) -> dict[str, Any]:
    return {
        "symbol": symbols,
        "open": [r.open for r in rows],
        "high": [r.high for r in rows],
        "low": [r.low for r in rows],
        "close": [r.close for r in rows],
        "volume": [r.volume for r in rows],
        "trade_count": [None if r.trade_count is None else int(r.trade_count) for r in rows],
        "vwap": [r.vwap for r in rows],
    }


def _names(call: Call, rows: Sequence[BarRow]) -> list[str]:
    return [_ours(call, r.ticker) if r.ticker else _symbol(call) for r in rows]


def _intraday(call: Call, rows: list[BarRow]) -> list[Found]:
    nanos = np.fromiter((r.time * times.MILLION for r in rows), np.int64, len(rows))
    keep = times.inside(call, nanos)
    chosen = list(compress(rows, keep))
    extra = {"interval": [call.interval or "1m"] * len(chosen), "revision": [HISTORY] * len(chosen)}
    columns = _bar_columns(chosen, _names(call, chosen)) | times.time_columns(nanos[keep]) | extra
    return [Found(BARS, columns)] if chosen else []


def _daily(call: Call, rows: list[BarRow], days: list[date]) -> list[Found]:
    """Daily bars, or the days of an index: a table of its own, without trades."""
    keep = times.days_inside(call, days)
    chosen, sessions = list(compress(rows, keep)), list(compress(days, keep))
    if not chosen:
        return []
    columns = _bar_columns(chosen, _names(call, chosen)) | {"session": sessions}
    if call.table != "index_bars":
        return [Found(DAILY_BARS, columns)]
    values = ("symbol", "session", "open", "high", "low", "close")
    return [Found(INDEX_BARS, {name: columns[name] for name in values})]


def _times(call: Call, rows: Sequence[Any]) -> tuple[times.Nanos, Any]:
    nanos = np.fromiter((moment(r) for r in rows), np.int64, len(rows))
    return nanos, times.inside(call, nanos)


def trade_tables(call: Call, symbols: Sequence[str], rows: list[TradeRow]) -> list[Found]:
    """Trades and corrections of the span."""
    nanos, keep = _times(call, rows)
    is_trade = np.fromiter((str(r.correction) not in _NO_TRADES for r in rows), bool, len(rows)) & keep
    chosen = list(compress(rows, is_trade))
    columns = {
        "symbol": list(compress(symbols, is_trade)),
        **times.time_columns(nanos[is_trade]),
        "trade_id": [text(r.id) for r in chosen],
        "price": [r.price for r in chosen],
        "size": [size_of(r) for r in chosen],
        "exchange": [text(r.exchange) for r in chosen],
        "conditions": [codes(r.conditions) for r in chosen],
        "tape": [tape(r.tape) for r in chosen],
    }
    found = [Found(TRADES, columns)] if chosen else []
    is_corrected = np.fromiter((str(r.correction) in _CORRECTED for r in rows), bool, len(rows)) & keep
    if not is_corrected.any():
        return found
    marked = list(compress(rows, is_corrected))
    return [*found, _corrections(list(compress(symbols, is_corrected)), nanos[is_corrected], marked)]


def _corrections(symbols: list[str], nanos: times.Nanos, rows: list[TradeRow]) -> Found:
    """What a trade's code says became of it. The moment is the record's own; the other half is not known."""
    said = [(text(r.id), r.price, size_of(r), codes(r.conditions)) for r in rows]
    right = [s if str(r.correction) == "1" else (None,) * 4 for s, r in zip(said, rows, strict=True)]
    first = [(s[0], None, None, None) if str(r.correction) == "1" else s for s, r in zip(said, rows, strict=True)]
    names = ("id", "price", "size", "conditions")
    columns: dict[str, Any] = {
        "symbol": symbols,
        **times.time_columns(nanos),
        "kind": [_CORRECTED[str(r.correction)] for r in rows],
        "exchange": [text(r.exchange) for r in rows],
        "tape": [tape(r.tape) for r in rows],
    }
    columns |= {f"original_{n}": [f[i] for f in first] for i, n in enumerate(names)}
    columns |= {f"corrected_{n}": [c[i] for c in right] for i, n in enumerate(names)}
    return Found(TRADE_CORRECTIONS, columns)


def quote_tables(call: Call, symbols: Sequence[str], rows: list[QuoteRow]) -> list[Found]:
    """Quotes of the span."""
    nanos, keep = _times(call, rows)
    chosen = list(compress(rows, keep))
    columns = {
        "symbol": list(compress(symbols, keep)),
        **times.time_columns(nanos[keep]),
        "bid_price": [r.bid_price for r in chosen],
        "bid_size": [r.bid_size for r in chosen],
        "bid_exchange": [_venue(r.bid_exchange) for r in chosen],
        "ask_price": [r.ask_price for r in chosen],
        "ask_size": [r.ask_size for r in chosen],
        "ask_exchange": [_venue(r.ask_exchange) for r in chosen],
        "conditions": [codes(r.conditions) for r in chosen],
        "tape": [tape(r.tape) for r in chosen],
    }
    return [Found(QUOTES, columns)] if chosen else []
