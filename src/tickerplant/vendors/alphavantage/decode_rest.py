"""Landed answers -> rows, one reader a function. See README.md for which becomes what."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date
from fractions import Fraction

import msgspec
from msgspec import Raw

from tickerplant.errors import BadData, excerpt
from tickerplant.rest import Asked, Call, Outcome
from tickerplant.tables import BARS, DAILY_BARS, DIVIDENDS, INDEX_BARS, SNAPSHOTS, SPLITS
from tickerplant.vendors.alphavantage import times
from tickerplant.vendors.alphavantage.decode_tickers import listing, overview
from tickerplant.vendors.alphavantage.endpoints import FULL, PROXY_FEED
from tickerplant.vendors.alphavantage.judge import UNREADABLE, classify
from tickerplant.vendors.alphavantage.pages import COMPACT, DAILY_KEY, following, param
from tickerplant.vendors.alphavantage.rows import Row, columns_of, each, one_symbol, same_symbol
from tickerplant.vendors.alphavantage.series import (
    EASTERN,
    Fields,
    Item,
    Series,
    bare,
    number,
    series,
    top_of,
)
from tickerplant.vendors.alphavantage.series import text as said
from tickerplant.vendors.alphavantage.symbols import from_vendor
from tickerplant.vendors.answers import Bad, Found, Page

HISTORY = 2
"""Revision of bars from history."""

_PRICES = ("open", "high", "low", "close")
_OHLCV = (*_PRICES, "volume")


class _Index(msgspec.Struct):
    """INDEX_DATA; numbers are text, `.` is missing."""

    symbol: str
    data: list[Raw] | None = None
    interval: str | None = None


class _Point(msgspec.Struct):
    date: str
    open: str | float | None = None
    high: str | float | None = None
    low: str | float | None = None
    close: str | float | None = None


def read(asked: Asked, body: bytes) -> Page:
    """The rows of one body. Raises BadData when it is a notice, of a function that is not stored, or unreadable."""
    function = param(asked.call, "function")
    reader = _READERS.get(function)
    if reader is None:
        raise BadData(
            f"alphavantage: expected an answer of {', '.join(_READERS)}, was {function or 'none'!r}, which has no table"
        )
    verdict = classify(body)
    if verdict.outcome is Outcome.NO_DATA:
        return Page()
    if verdict.outcome is not Outcome.ROWS:
        raise BadData(f"alphavantage {function}: expected data, was {verdict.outcome}: {verdict.reason}")
    page = reader(asked.call, body)
    return Page(page.found, page.bad, following(asked.call, body))


def _series(call: Call, body: bytes, key: str) -> Series:
    """A series of the symbol and the zone that were asked for."""
    found = series(body, key)
    same_symbol(call, found.meta.get("symbol"))
    zone = found.meta.get("time zone", EASTERN[0])
    if zone not in EASTERN:
        raise BadData(f"alphavantage: expected the time zone {EASTERN[0]}, was {zone[:40]!r}")
    return found


def _ohlcv(fields: Fields) -> Row:
    row = {name: number(fields.get(name)) for name in _OHLCV}
    if all(row[name] is None for name in _PRICES):
        raise ValueError("expected prices, was none")
    return row


def _intraday(call: Call, body: bytes) -> Page:
    interval = param(call, "interval")
    length = times.window(interval)
    found = _series(call, body, f"Time Series ({interval})")
    if found.meta.get("interval", interval) != interval:
        raise BadData(f"alphavantage: expected bars of {interval}, was {found.meta['interval'][:20]!r}")
    is_end = times.are_ends([i.stamp for i in found.items], bool(param(call, "month")))

    def row(item: Item) -> Row | None:
        at = times.utc(item.stamp)
        at = at - length if is_end else at
        return {"ts": at} | _ohlcv(item.fields) if times.is_within(call, at) else None

    rows, bad = each(found.items, row)
    columns = columns_of(rows, symbol=one_symbol(call), ns=0, interval=call.interval, revision=HISTORY)
    return Page((Found(BARS, columns),), (*found.bad, *bad))


def _days(call: Call, body: bytes) -> tuple[Series, Sequence[Item]]:
    """The series and those of its items that an earlier page of the chain has not given."""
    found = _series(call, body, DAILY_KEY)
    if call.endpoint != FULL:
        return found, found.items
    return found, sorted(found.items, key=lambda i: i.stamp, reverse=True)[COMPACT:]


def _daily(call: Call, body: bytes) -> Page:
    found, items = _days(call, body)

    def row(item: Item) -> Row | None:
        session = times.day(item.stamp)
        return {"session": session} | _ohlcv(item.fields) if times.has_day(call, session) else None

    rows, bad = each(items, row)
    symbol = one_symbol(call)
    if call.table == INDEX_BARS.name:
        columns = columns_of(rows, symbol=symbol, proxy=from_vendor(param(call, "symbol")))
        return Page((Found(INDEX_BARS, columns, PROXY_FEED),), (*found.bad, *bad))
    return Page((Found(DAILY_BARS, columns_of(rows, symbol=symbol)),), (*found.bad, *bad))


def _adjusted(call: Call, body: bytes) -> Page:
    """Raw prices; the dividend and the split of a day in their own tables. The adjusted close is not kept."""
    found = _series(call, body, DAILY_KEY)
    symbol = one_symbol(call)
    dividends: list[Row] = []
    splits: list[Row] = []

    def row(item: Item) -> Row | None:
        session = times.day(item.stamp)
        if not times.has_day(call, session):
            return None
        made = {"session": session} | _ohlcv(item.fields)
        amount = number(item.fields.get("dividend amount"))
        split = _split(session, item.fields.get("split coefficient"))
        dividends.extend([{"ex_date": session, "amount": amount}] if amount else [])
        splits.extend([split] if split else [])
        return made

    rows, bad = each(found.items, row)
    tables = ((DAILY_BARS, rows), (DIVIDENDS, dividends), (SPLITS, splits))
    return Page(tuple(Found(t, columns_of(r, symbol=symbol)) for t, r in tables), (*found.bad, *bad))


def _split(session: date, value: str | float | None) -> Row | None:
    """One old share becomes `split coefficient` new ones: 4.0 is 4 for 1, 0.6667 is 2 for 3."""
    ratio = number(value)
    if ratio is None or ratio == 1:
        return None
    if not 1e-9 < ratio < 1e9:
        raise ValueError(f"expected a split coefficient above 0, was {ratio}")
    near = Fraction(ratio).limit_denominator(100) if ratio > 1 else 1 / Fraction(1 / ratio).limit_denominator(100)
    is_near = math.isclose(near, ratio, rel_tol=1e-4)
    new, old = (float(near.numerator), float(near.denominator)) if is_near else (ratio, 1.0)
    details = msgspec.json.encode({"split_coefficient": str(value)}).decode()
    return {"ex_date": session, "split_from": old, "split_to": new, "details": details}


def _quote(call: Call, body: bytes) -> Page:
    top = top_of(body)
    raw = next((v for k, v in top.items() if k.startswith("Global Quote")), None)
    if raw is None:
        raise BadData(f"alphavantage: expected 'Global Quote', was {', '.join(map(repr, list(top)[:3]))}")
    try:
        fields = {bare(k): v for k, v in msgspec.json.decode(raw, type=dict[str, str | float | None]).items()}
    except UNREADABLE as error:
        raise BadData(f"alphavantage: expected a quote of values: {error}") from None
    same_symbol(call, said(fields.get("symbol")))
    rows, bad = each([Item(0, "quote", fields, body)], _snapshot)
    return Page((Found(SNAPSHOTS, columns_of(rows, symbol=one_symbol(call))),), tuple(bad))


def _snapshot(item: Item) -> Row:
    f = item.fields
    percent = f.get("change percent")
    return {
        "session": times.day(str(f.get("latest trading day"))),
        "change_percent": number(percent.removesuffix("%") if isinstance(percent, str) else percent),
        "previous_close": number(f.get("previous close")),
        **{name: number(f.get(name)) for name in ("price", "open", "high", "low", "volume", "change")},
    }


def _index(call: Call, body: bytes) -> Page:
    try:
        answer = msgspec.json.decode(body, type=_Index)
    except UNREADABLE as error:
        raise BadData(f"alphavantage: expected an index, was {excerpt(body)!r}: {error}") from None
    same_symbol(call, answer.symbol)
    if answer.interval is not None and answer.interval != "daily":
        raise BadData(f"alphavantage: expected daily values, was {answer.interval[:20]!r}")
    rows: list[Row] = []
    bad: list[Bad] = []
    for place, raw in enumerate(answer.data or ()):
        try:
            point = msgspec.json.decode(raw, type=_Point)
            session = times.day(point.date)
            row = {"session": session} | {name: number(getattr(point, name)) for name in _PRICES}
        except UNREADABLE as error:
            bad.append(Bad(place, f"expected a day's values: {error}", bytes(raw)))
            continue
        if times.has_day(call, session) and any(row[name] is not None for name in _PRICES):
            rows.append(row)
    return Page((Found(INDEX_BARS, columns_of(rows, symbol=one_symbol(call))),), tuple(bad))


_READERS: dict[str, Callable[[Call, bytes], Page]] = {
    "GLOBAL_QUOTE": _quote,
    "TIME_SERIES_INTRADAY": _intraday,
    "TIME_SERIES_INTRADAY_EXTENDED": _intraday,
    "TIME_SERIES_DAILY": _daily,
    "TIME_SERIES_DAILY_ADJUSTED": _adjusted,
    "INDEX_DATA": _index,
    "LISTING_STATUS": listing,
    "OVERVIEW": overview,
}
