"""Tickers, splits, dividends, renames, market days -> rows.

Sources: https://massive.com/docs/rest/stocks (tickers, corporate-actions, market-operations) as of 2026-01-28;
OpenAPI of 2026-07-09. What has no column is kept in `details` as JSON, where the table has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from tickerplant.errors import BadData
from tickerplant.rest import Asked, Call
from tickerplant.schema import Table
from tickerplant.tables import CORPORATE_ACTIONS, DIVIDENDS, MARKET_DAYS, SPLITS, TICKERS
from tickerplant.vendors.answers import Bad, Found
from tickerplant.vendors.polygon import times
from tickerplant.vendors.polygon.decode_history import Number, Readout
from tickerplant.vendors.polygon.envelope import csv_items, is_csv, items, results
from tickerplant.vendors.polygon.judge import UNREADABLE
from tickerplant.vendors.polygon.symbols import from_vendor

DETAILS = "details"
"""Feed of what is said of one ticker, beside the rows of the lists."""

Row: TypeAlias = dict[str, Any]
T = TypeVar("T")


class _Ticker(Struct):
    ticker: str
    name: str | None = None
    primary_exchange: str | None = None
    type: str | None = None
    active: bool | None = None
    list_date: str | None = None
    delisted_utc: str | None = None
    composite_figi: str | None = None
    currency_name: str | None = None
    cik: str | None = None
    sic_description: str | None = None
    market_cap: Number = None
    share_class_shares_outstanding: Number = None


class _Split(Struct):
    ticker: str
    execution_date: str
    split_from: float
    split_to: float
    id: str | None = None


class _Dividend(Struct):
    ticker: str
    ex_dividend_date: str
    cash_amount: float
    currency: str | None = None
    dividend_type: str | None = None
    distribution_type: str | None = None
    frequency: int | None = None
    declaration_date: str | None = None
    record_date: str | None = None
    pay_date: str | None = None
    id: str | None = None


class _Change(Struct):
    ticker: str


class _Event(Struct):
    day: str = field(name="date")
    type: str = "ticker_change"
    ticker_change: _Change | None = None


class _Events(Struct):
    name: str | None = None
    composite_figi: str | None = None
    cik: str | None = None
    events: list[_Event] | None = None


class _Day(Struct):
    day: str = field(name="date")
    exchange: str
    status: str
    name: str | None = None
    open: str | None = None
    close: str | None = None


def tickers(asked: Asked, body: bytes) -> Readout:
    """A page of the list, or the details of one ticker."""
    what = asked.call.endpoint
    bad: list[Bad] = []
    parts = _parts(body, _Ticker, what, ("ticker", "market"), bad)
    is_active = ("active", "false") not in asked.call.params
    rows = _made(parts, lambda p: _ticker(p[0], p[1], is_active), what, bad)
    feed = DETAILS if what == "ticker_details" else None
    return [Found(f.table, f.columns, feed) for f in columns_of(TICKERS, rows)], bad


def _ticker(item: _Ticker, others: Row, is_active: bool) -> Row:
    for value in (item.market_cap, item.share_class_shares_outstanding):
        _finite(value)
    return {
        "symbol": from_vendor(_named(item.ticker)),
        "vendor_symbol": item.ticker,
        "name": item.name,
        "exchange": item.primary_exchange,
        "type": item.type,
        "is_active": is_active if item.active is None else item.active,
        "listed_on": times.day(item.list_date),
        "delisted_on": times.day(item.delisted_utc),
        "vendor_id": item.composite_figi,
        "currency": item.currency_name,
        "cik": item.cik,
        "figi": item.composite_figi,
        "industry": item.sic_description,
        "market_cap": item.market_cap,
        "shares_outstanding": item.share_class_shares_outstanding,
        "details": _json(others),
    }


def splits(asked: Asked, body: bytes) -> Readout:
    """Splits of either endpoint; the newer one says the kind and the factor, which are details."""
    return _actions(asked, body, _Split, SPLITS, _split, ("ticker", "execution_date"))


def _split(item: _Split, others: Row) -> Row:
    if not (item.split_from > 0 and item.split_to > 0):
        raise ValueError(f"expected a ratio, was {item.split_to} for {item.split_from}")
    _finite(item.split_from)
    _finite(item.split_to)
    return {
        "symbol": from_vendor(_named(item.ticker)),
        "ex_date": times.day(item.execution_date),
        "split_from": item.split_from,
        "split_to": item.split_to,
        "vendor_id": item.id,
        "details": _json(others),
    }


def dividends(asked: Asked, body: bytes) -> Readout:
    """Cash dividends of either endpoint; the newer one names the type by words."""
    return _actions(asked, body, _Dividend, DIVIDENDS, _dividend, ("ticker", "ex_dividend_date"))


def _dividend(item: _Dividend, others: Row) -> Row:
    _finite(item.cash_amount)
    if item.frequency is not None and abs(item.frequency) >= 2**31:
        raise ValueError(f"expected a frequency, was {item.frequency}")
    return {
        "symbol": from_vendor(_named(item.ticker)),
        "ex_date": times.day(item.ex_dividend_date),
        "amount": item.cash_amount,
        "currency": item.currency,
        "type": item.dividend_type or item.distribution_type,
        "frequency": item.frequency,
        "declared_on": times.day(item.declaration_date),
        "record_date": times.day(item.record_date),
        "pay_date": times.day(item.pay_date),
        "vendor_id": item.id,
    }


def _actions(
    asked: Asked, body: bytes, kind: type[T], table: Table, make: Callable[[Any, Row], Row], needed: Sequence[str]
) -> Readout:
    what = asked.call.endpoint
    bad: list[Bad] = []
    parts = _parts(body, kind, what, needed, bad)
    rows = _made(parts, lambda p: _dated(make(*p)), what, bad)
    return columns_of(table, _asked_for(asked.call, rows)), bad


def _dated(row: Row) -> Row:
    if row["ex_date"] is None:
        raise ValueError("expected an ex date, was none")
    return row


def _asked_for(call: Call, rows: list[Row]) -> list[Row]:
    keep = times.days_inside(call, [r["ex_date"] for r in rows])
    return [r for r, is_in in zip(rows, keep, strict=True) if is_in]


def events(asked: Asked, body: bytes) -> Readout:
    """Names that a company had: each change is a row of the old symbol, the first name one without another after it."""
    what = asked.call.endpoint
    bad: list[Bad] = []
    rows: list[Row] = []
    for place, found in enumerate(items(results(body, what), _Events, what, bad)):
        try:
            rows += _changes(found, asked.call) if found is not None else []
        except ValueError as error:
            bad.append(Bad(place, f"polygon {what}: {error}", msgspec.json.encode(found)))
    return columns_of(CORPORATE_ACTIONS, rows), bad


def _changes(found: _Events, call: Call) -> list[Row]:
    known = [e for e in found.events or () if e.ticker_change is not None]
    known.sort(key=lambda e: e.day)
    made: list[Row] = []
    before: str | None = None
    for event in known:
        assert event.ticker_change is not None
        name = from_vendor(_named(event.ticker_change.ticker))
        made.append(
            {
                "symbol": before or name,
                "kind": event.type,
                "effective_on": times.day(event.day),
                "new_symbol": name if before else None,
                "vendor_id": f"{found.composite_figi or call.symbols[0]}:{event.day}",
                "details": _json({"event": event, "name": found.name, "cik": found.cik}),
            }
        )
        before = name
    return made


def market_days(asked: Asked, body: bytes) -> Readout:
    """Holidays and early closes ahead, a row for each exchange; whatever the span, all that is told is kept."""
    what = asked.call.endpoint
    if body[:64].lstrip()[:1] != b"[":
        raise BadData(f"polygon {what}: expected a list of days, was {body[:40]!r}")
    bad: list[Bad] = []
    rows = _made(items(body, _Day, what, bad), _market_day, what, bad)
    return columns_of(MARKET_DAYS, rows), bad


def _market_day(item: _Day) -> Row:
    return {
        "exchange": item.exchange,
        "session": date.fromisoformat(item.day),
        "status": item.status,
        "opens_at": times.instant(item.open),
        "closes_at": times.instant(item.close),
        "name": item.name,
    }


def columns_of(table: Table, rows: Sequence[Row]) -> list[Found]:
    """Rows as columns; nothing when there are none."""
    return [Found(table, {c: [r.get(c) for r in rows] for c in table.content})] if rows else []


def _made(parts: Sequence[T | None], make: Callable[[T], Row], what: str, bad: list[Bad]) -> list[Row]:
    """Rows of the parts; one that is None has been set aside already."""
    rows: list[Row] = []
    for place, part in enumerate(parts):
        try:
            rows += [make(part)] if part is not None else []
        except (ValueError, OverflowError) as error:
            bad.append(Bad(place, f"polygon {what}: {error}", msgspec.json.encode(part)))
    return rows


def _parts(body: bytes, kind: type[T], what: str, needed: Sequence[str], bad: list[Bad]) -> list[tuple[T, Row] | None]:
    """Items, each with what it holds beside the columns; CSV rows without. None where one cannot be read."""
    if is_csv(body):
        return [None if item is None else (item, {}) for item in csv_items(body, kind, what, needed, bad)]
    known = {f.encode_name for f in msgspec.structs.fields(kind)}  # type: ignore[arg-type]
    made: list[tuple[T, Row] | None] = []
    for place, whole in enumerate(items(results(body, what), Raw, what, bad)):
        assert whole is not None, "any JSON is raw"
        try:
            others = msgspec.json.decode(whole, type=dict[str, Any])
            item = msgspec.json.decode(whole, type=kind)
        except UNREADABLE as error:
            made.append(None)
            bad.append(Bad(place, f"polygon {what}: {error}", bytes(whole)))
        else:
            made.append((item, {k: v for k, v in others.items() if k not in known and v is not None}))
    return made


def _json(others: Any) -> str | None:
    return msgspec.json.encode(others, order="sorted").decode() if others else None


def _named(ticker: str) -> str:
    if not ticker:
        raise ValueError("expected a ticker, was none")
    return ticker


def _finite(value: float | None) -> None:
    if value is not None and not math.isfinite(value):
        raise ValueError(f"expected a finite number, was {value}")
