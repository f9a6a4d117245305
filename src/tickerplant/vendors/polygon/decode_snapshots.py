"""Snapshots and single days -> rows.

Sources: https://massive.com/docs/rest/stocks/snapshots and /aggregates/daily-ticker-summary as of 2026-01-28. They are
cleared at about 03:30 in New York: `updated` is 0 and the day's values are 0 until something trades, so such a ticker
has no row. Errors of single tickers stand inside the list of the universal snapshot.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
from msgspec import Struct, field

from tickerplant.errors import BadData
from tickerplant.rest import Asked
from tickerplant.tables import DAILY_BARS, INDEX_BARS, SNAPSHOTS
from tickerplant.vendors.answers import Bad
from tickerplant.vendors.polygon import times
from tickerplant.vendors.polygon.decode_history import Number, Readout
from tickerplant.vendors.polygon.decode_reference import Row, columns_of
from tickerplant.vendors.polygon.envelope import items, opened, results
from tickerplant.vendors.polygon.judge import UNREADABLE
from tickerplant.vendors.polygon.symbols import INDEX, from_vendor, index_of


class _Bar(Struct):
    open: Number = field(name="o", default=None)
    high: Number = field(name="h", default=None)
    low: Number = field(name="l", default=None)
    close: Number = field(name="c", default=None)
    volume: Number = field(name="v", default=None)


class _Trade(Struct):
    price: Number = field(name="p", default=None)
    time: int | None = field(name="t", default=None)


class _Snapshot(Struct):
    ticker: str
    day: _Bar | None = None
    previous: _Bar | None = field(name="prevDay", default=None)
    last_trade: _Trade | None = field(name="lastTrade", default=None)
    change: Number = field(name="todaysChange", default=None)
    change_percent: Number = field(name="todaysChangePerc", default=None)
    updated: int | None = None


class _Session(Struct):
    open: Number = None
    high: Number = None
    low: Number = None
    close: Number = None
    volume: Number = None
    previous_close: Number = None
    change: Number = None
    change_percent: Number = None


class _LastTrade(Struct):
    price: Number = None
    last_updated: int | None = None
    sip_timestamp: int | None = None


class _Universal(Struct):
    ticker: str
    type: str | None = None
    error: str | None = None
    message: str | None = None
    value: Number = None
    session: _Session | None = None
    last_trade: _LastTrade | None = None
    last_updated: int | None = None


class _OpenClose(Struct):
    symbol: str
    day: str = field(name="from")
    open: Number = None
    high: Number = None
    low: Number = None
    close: Number = None
    volume: Number = None


def snapshots(asked: Asked, body: bytes) -> Readout:
    """All tickers, some, or one."""
    what = asked.call.endpoint
    found = opened(body, what)
    raw = found.ticker if isinstance(found.tickers, msgspec.UnsetType) else found.tickers
    if isinstance(raw, msgspec.UnsetType):
        raise BadData(f"polygon {what}: expected tickers, was {body[:60]!r}")
    bad: list[Bad] = []
    rows: list[Row] = []
    for place, item in enumerate(items(raw, _Snapshot, what, bad)):
        _keep(rows, bad, place, what, item, _snapshot)
    return columns_of(SNAPSHOTS, rows), bad


def _keep(rows: list[Row], bad: list[Bad], place: int, what: str, item: Any, make: Any) -> None:
    try:
        made = make(item) if item is not None else None
    except ValueError as error:
        bad.append(Bad(place, f"polygon {what}: {error}", msgspec.json.encode(item)))
    else:
        rows += [made] if made is not None else []


def _snapshot(item: _Snapshot) -> Row | None:
    at = item.updated or (item.last_trade.time if item.last_trade else None)
    if not at:
        return None
    bar, before = item.day or _Bar(), item.previous or _Bar()
    last = item.last_trade.price if item.last_trade else None
    return {
        "symbol": from_vendor(item.ticker),
        "session": _session(at),
        "price": last or bar.close or None,
        "open": bar.open or None,
        "high": bar.high or None,
        "low": bar.low or None,
        "volume": bar.volume,
        "previous_close": before.close or None,
        "change": item.change,
        "change_percent": item.change_percent,
    }


def _session(nanos: int) -> Any:
    problem = times.wrong_time(nanos)
    if problem:
        raise ValueError(problem)
    return times.session_of(nanos)


def universal(asked: Asked, body: bytes) -> Readout:
    """Stocks of `/v3/snapshot`, indices of `/v3/snapshot/indices`; a ticker that is not found has no row."""
    what = asked.call.endpoint
    bad: list[Bad] = []
    rows: dict[str, list[Row]] = {"stocks": [], "indices": []}
    for place, item in enumerate(items(results(body, what), _Universal, what, bad)):
        if item is None or item.error == "NOT_FOUND":
            continue
        kind = item.type or ("indices" if item.ticker.startswith(INDEX) else "stocks")
        try:
            if item.error is not None:
                raise ValueError(f"expected a snapshot of {item.ticker!r}, was {item.error}: {item.message}")
            if kind not in rows:
                raise ValueError(f"expected stocks or indices, was {kind!r}, which has no table")
            rows[kind].append(_universal(item, kind))
        except ValueError as error:
            bad.append(Bad(place, f"polygon {what}: {error}", msgspec.json.encode(item)))
    return [*columns_of(SNAPSHOTS, rows["stocks"]), *columns_of(INDEX_BARS, rows["indices"])], bad


def _universal(item: _Universal, kind: str) -> Row:
    last, values = item.last_trade or _LastTrade(), item.session or _Session()
    day = _session(item.last_updated or last.last_updated or last.sip_timestamp or 0)
    row: Row = {f: getattr(values, f) for f in _Session.__struct_fields__}
    if kind == "indices":
        return {**row, "symbol": index_of(item.ticker), "session": day, "volume": None}
    return {**row, "symbol": from_vendor(item.ticker), "session": day, "price": last.price or values.close}


def open_close(asked: Asked, body: bytes) -> Readout:
    """`/v1/open-close/...`: one day of one ticker or index, without an envelope."""
    what = asked.call.endpoint
    opened(body, what)
    try:
        item = msgspec.json.decode(body, type=_OpenClose)
        day = date.fromisoformat(item.day[:10])
    except UNREADABLE as error:
        raise BadData(f"polygon {what}: expected a day's prices: {error}") from None
    row: Row = {f: getattr(item, f) for f in ("open", "high", "low", "close", "volume")} | {"session": day}
    if item.symbol.startswith(INDEX):
        return columns_of(INDEX_BARS, [{**row, "symbol": index_of(item.symbol), "volume": None}]), []
    return columns_of(DAILY_BARS, [{**row, "symbol": from_vendor(item.symbol)}]), []
