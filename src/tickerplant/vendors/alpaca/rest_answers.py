"""Answers of Alpaca's REST APIs -> rows, by endpoint; reference data here, history in `rest_decode`.

Sources: https://docs.alpaca.markets/reference/stocksnapshots-1, /reference/corporateactions-1,
/reference/get-v2-assets-1, /reference/getcalendar-1, captured 2026-01-26.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from tickerplant.calendar import NEW_YORK, UTC
from tickerplant.errors import BadData
from tickerplant.rest import Asked
from tickerplant.schema import Table
from tickerplant.tables import CORPORATE_ACTIONS, DIVIDENDS, MARKET_DAYS, SNAPSHOTS, SPLITS, TICKERS
from tickerplant.vendors.alpaca.rest_calls import next_call
from tickerplant.vendors.alpaca.rest_decode import BarRow, Readout, TradeRow, history, parsed, sessions_of
from tickerplant.vendors.alpaca.times import nanoseconds
from tickerplant.vendors.answers import Bad, Found, Page


class _Snapshot(Struct):
    latest_trade: TradeRow | None = field(name="latestTrade", default=None)
    daily_bar: BarRow | None = field(name="dailyBar", default=None)
    previous: BarRow | None = field(name="prevDailyBar", default=None)


class _Asset(Struct):
    symbol: str
    status: str = "active"
    id: str | None = None
    name: str | None = None
    exchange: str | None = None
    kind: str | None = field(name="class", default=None)


class _Day(Struct):
    date: date
    open: str
    close: str


def read(asked: Asked, body: bytes) -> Page:
    """The rows of an answer by its endpoint. Raises BadData when it cannot be read at all."""
    reader = _READERS.get(asked.call.endpoint)
    if reader is None:
        raise BadData(f"alpaca: expected one of {', '.join(_READERS)}, was the endpoint {asked.call.endpoint!r}")
    found, bad = reader(asked, body)
    return Page(tuple(found), tuple(bad), next_call(asked.call, body))


def _snapshots(asked: Asked, body: bytes) -> Readout:
    top = parsed(body, dict[str, Raw])
    if "symbol" in top and "snapshots" not in top:
        top = {parsed(top["symbol"], str): Raw(body)}
    elif "snapshots" in top:
        top = parsed(top["snapshots"], dict[str, Raw])
    rows: list[dict[str, Any]] = []
    bad: list[Bad] = []
    for item, (symbol, raw) in enumerate(top.items()):
        try:
            found = msgspec.json.decode(raw, type=_Snapshot | None)
            rows += [_snapshot(symbol, found)] if found and found.daily_bar else []
        except (msgspec.MsgspecError, ValueError) as error:
            bad.append(Bad(item, f"alpaca snapshots: {error}", bytes(raw)))
    return _columns(SNAPSHOTS, rows), bad


def _snapshot(symbol: str, s: _Snapshot) -> dict[str, Any]:
    bar, before = s.daily_bar, s.previous.close if s.previous else None
    assert bar is not None
    stamps, wrong = nanoseconds([bar.time])
    if wrong:
        raise ValueError(f"expected a time, was {bar.time[:40]!r}")
    price = s.latest_trade.price if s.latest_trade else bar.close
    change = None if before is None or price is None else price - before
    return {
        "symbol": symbol,
        "session": sessions_of(stamps // 1000)[0].as_py(),
        "price": price,
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "volume": bar.volume,
        "previous_close": before,
        "change": change,
        "change_percent": None if change is None or not before else 100 * change / before,
    }


def _columns(table: Table, rows: Sequence[dict[str, Any]]) -> list[Found]:
    return [Found(table, {c: [r.get(c) for r in rows] for c in table.content})] if rows else []


def _parts(body: bytes) -> list[Raw]:
    """The items of an array; one object counts as an array of one."""
    return parsed(body, list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]


def _assets(asked: Asked, body: bytes) -> Readout:
    rows: list[dict[str, Any]] = []
    bad: list[Bad] = []
    for item, part in enumerate(_parts(body)):
        try:
            rows.append(_ticker(msgspec.json.decode(part, type=_Asset), bytes(part)))
        except (msgspec.MsgspecError, ValueError) as error:
            bad.append(Bad(item, f"alpaca assets: {error}", bytes(part)))
    return _columns(TICKERS, rows), bad


def _ticker(asset: _Asset, raw: bytes) -> dict[str, Any]:
    return {
        "symbol": asset.symbol,
        "vendor_symbol": asset.symbol,
        "name": asset.name,
        "exchange": asset.exchange,
        "type": asset.kind,
        "is_active": asset.status == "active",
        "vendor_id": asset.id,
        "currency": "USD",
        "details": msgspec.json.encode(msgspec.json.decode(raw)).decode(),
    }


def _calendar(asked: Asked, body: bytes) -> Readout:
    rows: list[dict[str, Any]] = []
    bad: list[Bad] = []
    for item, part in enumerate(_parts(body)):
        try:
            rows.append(_market_day(msgspec.json.decode(part, type=_Day)))
        except (msgspec.MsgspecError, ValueError) as error:
            bad.append(Bad(item, f"alpaca calendar: {error}", bytes(part)))
    return _columns(MARKET_DAYS, rows), bad


def _market_day(day: _Day) -> dict[str, Any]:
    """Times are New York's wall clock without a zone; an early close shows in `close`."""
    opens, closes = (
        datetime.combine(day.date, datetime.strptime(t, "%H:%M").time(), NEW_YORK).astimezone(UTC)  # noqa: DTZ007
        for t in (day.open, day.close)
    )
    status = "open" if day.close == "16:00" else "early-close"
    return {"exchange": "US", "session": day.date, "status": status, "opens_at": opens, "closes_at": closes}


class _Actions(Struct):
    corporate_actions: dict[str, list[dict[str, Any]] | None] = {}


def _actions(asked: Asked, body: bytes) -> Readout:
    rows: dict[str, list[dict[str, Any]]] = {"splits": [], "dividends": [], "corporate_actions": []}
    bad: list[Bad] = []
    item = 0
    for kind, items in parsed(body, _Actions).corporate_actions.items():
        for action in items or ():
            table, make = _ACTIONS.get(kind, ("corporate_actions", _other))
            try:
                rows[table].append(make(kind, action))
            except (KeyError, ValueError, TypeError) as error:
                reason = f"alpaca {kind}: expected an action of that kind, was without {error}"
                bad.append(Bad(item, reason, msgspec.json.encode(action)))
            item += 1
    tables = (SPLITS, DIVIDENDS, CORPORATE_ACTIONS)
    return [found for t in tables for found in _columns(t, rows[t.name])], bad


def _day(action: dict[str, Any], *names: str) -> date | None:
    text = next((action[n] for n in names if action.get(n)), None)
    return date.fromisoformat(text) if text else None


def _details(action: dict[str, Any]) -> str:
    return msgspec.json.encode(action).decode()


def _split(kind: str, action: dict[str, Any]) -> dict[str, Any]:
    return {
        "symbol": action.get("symbol") or action["old_symbol"],
        "ex_date": date.fromisoformat(action.get("ex_date") or action["effective_date"]),
        "split_from": float(action["old_rate"]),
        "split_to": float(action["new_rate"]),
        "vendor_id": action.get("id"),
        "details": _details({"kind": kind, **action}),
    }


def _dividend(kind: str, action: dict[str, Any]) -> dict[str, Any]:
    words = [w for w in ("special", "foreign") if action.get(w)]
    return {
        "symbol": action["symbol"],
        "ex_date": date.fromisoformat(action["ex_date"]),
        "amount": float(action["rate"]),
        "type": ",".join(words) or "cash",
        "record_date": _day(action, "record_date"),
        "pay_date": _day(action, "payable_date"),
        "vendor_id": action.get("id"),
    }


_OLD = ("symbol", "old_symbol", "source_symbol", "acquiree_symbol")
_NEW = ("new_symbol", "acquirer_symbol", "alternate_symbol")


def _other(kind: str, action: dict[str, Any]) -> dict[str, Any]:
    return {
        "symbol": next(action[n] for n in (*_OLD, "id") if action.get(n)),
        "kind": kind,
        "effective_on": _day(action, "ex_date", "effective_date", "process_date"),
        "new_symbol": next((action[n] for n in _NEW if action.get(n)), None),
        "vendor_id": action.get("id"),
        "details": _details(action),
    }


_ACTIONS: dict[str, tuple[str, Callable[[str, dict[str, Any]], dict[str, Any]]]] = {
    **dict.fromkeys(("forward_splits", "reverse_splits", "unit_splits"), ("splits", _split)),
    "cash_dividends": ("dividends", _dividend),
}
_READERS: dict[str, Callable[[Asked, bytes], Readout]] = {
    **dict.fromkeys(("bars", "daily_bars", "quotes", "trades"), history),
    "snapshots": _snapshots,
    **dict.fromkeys(("assets", "assets_inactive"), _assets),
    "calendar": _calendar,
    "corporate_actions": _actions,
}
