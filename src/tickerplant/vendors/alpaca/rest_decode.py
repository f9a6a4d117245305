"""Bars, quotes and trades of Alpaca's history -> rows.

Source: https://docs.alpaca.markets/reference/stockbars (quotes and trades beside it), captured 2026-01-26. A list of
one symbol, of several, and the latest value of several have the same rows; null is an empty list. A trade's `u` says
what became of it: `canceled` and `incorrect` trades no longer count, a `corrected` one stands in an incorrect one's
place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Raw, Struct, field

from tickerplant.calendar import session_dates
from tickerplant.errors import BadData, excerpt
from tickerplant.rest import Asked
from tickerplant.schema import TIMESTAMP
from tickerplant.tables import BARS, DAILY_BARS, TABLES, TRADE_CORRECTIONS, TRADES
from tickerplant.vendors.alpaca.columns import CONTENT
from tickerplant.vendors.alpaca.messages import Codes, Count, TradeId
from tickerplant.vendors.alpaca.times import nanoseconds
from tickerplant.vendors.answers import Bad, Found

T = TypeVar("T")

_HOUR = 3_600_000_000
HISTORY = 2
"""`bars.revision` of a bar out of history."""


class QuoteRow(Struct, gc=False):
    """A quote of history."""

    time: str = field(name="t")
    bid_exchange: str | None = field(name="bx", default=None)
    bid_price: float | None = field(name="bp", default=None)
    bid_size: float | None = field(name="bs", default=None)
    ask_exchange: str | None = field(name="ax", default=None)
    ask_price: float | None = field(name="ap", default=None)
    ask_size: float | None = field(name="as", default=None)
    conditions: Codes = field(name="c", default=None)
    tape: str | None = field(name="z", default=None)


class TradeRow(Struct, gc=False):
    """A trade of history; `update` is canceled, corrected or incorrect."""

    time: str = field(name="t")
    trade_id: TradeId = field(name="i", default=None)
    exchange: str | None = field(name="x", default=None)
    price: float | None = field(name="p", default=None)
    size: float | None = field(name="s", default=None)
    conditions: Codes = field(name="c", default=None)
    tape: str | None = field(name="z", default=None)
    update: str | None = field(name="u", default=None)


class BarRow(Struct, gc=False):
    """A bar of history; recordings of 2021 lack `n` and `vw`."""

    time: str = field(name="t")
    open: float | None = field(name="o", default=None)
    high: float | None = field(name="h", default=None)
    low: float | None = field(name="l", default=None)
    close: float | None = field(name="c", default=None)
    volume: float | None = field(name="v", default=None)
    trade_count: Count = field(name="n", default=None)
    vwap: float | None = field(name="vw", default=None)


_ROWS: dict[str, type] = {"quotes": QuoteRow, "trades": TradeRow, "bars": BarRow, "daily_bars": BarRow}


Readout = tuple[list[Found], list[Bad]]


def parsed(body: bytes | Raw, kind: type[T]) -> T:
    """JSON as a type. Raises BadData."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadData(f"alpaca: expected an answer: {error}; it begins {excerpt(bytes(body))!r}") from None


def history(asked: Asked, body: bytes) -> Readout:
    """Rows by symbol: `{"bars": {symbol: [...]}}`, `{"bars": [...], "symbol": ...}`, `{"bars": {symbol: {...}}}`."""
    table = asked.call.table
    top = parsed(body, dict[str, Raw])
    name = "bars" if table == "daily_bars" else table
    if name not in top and name.rstrip("s") not in top:
        raise BadData(f"alpaca {table}: expected {name!r}, was {', '.join(sorted(top))[:60]!r}")
    data = top.get(name, top.get(name.rstrip("s"), Raw(b"null")))
    symbols: list[str] = []
    rows: list[Any] = []
    bad: list[Bad] = []
    for symbol, raw in _by_symbol(data, top):
        good: list[Any] = _rows(raw, _ROWS[table], table, bad)
        symbols += [symbol] * len(good)
        rows += good
    return (_found(asked, symbols, rows, bad) if rows else []), bad


def _by_symbol(data: Raw, top: dict[str, Raw]) -> Iterator[tuple[str, Raw]]:
    first = bytes(data).lstrip()[:1]
    if first == b"[" or "symbol" in top:
        yield parsed(top.get("symbol", Raw(b'""')), str), data
    elif first == b"{":
        yield from parsed(data, dict[str, Raw]).items()


def _rows(raw: Raw, kind: type[T], table: str, bad: list[Bad]) -> list[T]:
    """The readable rows of one symbol; one latest row stands for a list of one, null for none."""
    text = bytes(raw).lstrip()
    if text[:1] == b"{":
        raw = Raw(b"[" + text + b"]")
    try:
        return msgspec.json.decode(raw, type=list[kind] | None) or []  # type: ignore[valid-type]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return list(_salvaged(raw, kind, table, bad))


def _salvaged(raw: Raw, kind: type[T], table: str, bad: list[Bad]) -> Iterator[T]:
    for item, part in enumerate(parsed(raw, list[Raw])):
        try:
            yield msgspec.json.decode(part, type=kind, strict=False)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            bad.append(Bad(len(bad) + item, f"alpaca {table}: {error}", bytes(part)))


def _found(asked: Asked, symbols: list[str], rows: list[Any], bad: list[Bad]) -> list[Found]:
    table = TABLES[asked.call.table]
    stamps, wrong = nanoseconds([r.time for r in rows])
    for place in wrong:
        reason = f"alpaca {table.name}: expected a time, was {rows[place].time[:40]!r}"
        bad.append(Bad(place, reason, msgspec.json.encode(rows[place])))
    keep = np.ones(len(rows), bool)
    keep[wrong] = False
    if table is not DAILY_BARS:
        keep &= _inside(asked, stamps)
    places = np.flatnonzero(keep).tolist()
    chosen, names = [rows[i] for i in places], [symbols[i] for i in places]
    return _tables(asked, names, chosen, stamps[keep]) if chosen else []


def _inside(asked: Asked, stamps: Any) -> Any:
    call, inside = asked.call, np.ones(len(stamps), bool)
    if call.start is not None:
        inside &= stamps >= int(call.start.timestamp()) * 1_000_000_000 + call.start.microsecond * 1000
    if call.end is not None:
        inside &= stamps < int(call.end.timestamp()) * 1_000_000_000 + call.end.microsecond * 1000
    return inside


def _tables(asked: Asked, names: list[str], rows: list[Any], stamps: Any) -> list[Found]:
    table = TABLES[asked.call.table]
    micros = stamps // 1000
    time: dict[str, Any] = {"ts": pa.array(micros).view(TIMESTAMP), "ns": pa.array((stamps % 1000).astype(np.int16))}
    columns = {"symbol": names, **(time if table is not DAILY_BARS else {"session": sessions_of(micros)})}
    own = [c for c in table.content if c not in ("symbol", "ts", "ns", "session", "interval", "revision")]
    columns |= dict(zip(own, CONTENT[table.name](rows), strict=True))
    if table is BARS:
        columns |= {"interval": [asked.call.interval or "1m"] * len(rows), "revision": [HISTORY] * len(rows)}
    found = [Found(table, columns)]
    return [*found, *_updates(names, rows, time)] if table is TRADES else found


def sessions_of(micros: Any) -> pa.Array:
    """Daily bars are stamped 04:00Z in summer and 05:00Z in winter, sometimes 04:00Z all year."""
    return session_dates(pa.array(micros + _HOUR).view(TIMESTAMP))


_VOID = {"canceled": "cancel", "incorrect": "error"}


def _updates(names: list[str], rows: Sequence[TradeRow], time: dict[str, Any]) -> list[Found]:
    """What history says of trades that no longer count; the moment of it is unknown, so it is the trade's own."""
    places = [i for i, r in enumerate(rows) if r.update in _VOID]
    if not places:
        return []
    chosen = [rows[i] for i in places]
    return [
        Found(
            TRADE_CORRECTIONS,
            {
                "symbol": [names[i] for i in places],
                "ts": time["ts"].take(pa.array(places)),
                "ns": time["ns"].take(pa.array(places)),
                "kind": [_VOID[str(r.update)] for r in chosen],
                "exchange": [r.exchange for r in chosen],
                "original_id": [None if r.trade_id is None else str(r.trade_id) for r in chosen],
                "original_price": [r.price for r in chosen],
                "original_size": [r.size for r in chosen],
                "original_conditions": [None if r.conditions is None else ",".join(r.conditions) for r in chosen],
                "tape": [r.tape for r in chosen],
            },
        )
    ]
