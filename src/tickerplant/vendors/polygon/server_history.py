"""The vendor's side of bars, trades and quotes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from tickerplant.calendar import NEW_YORK
from tickerplant.rest import Answer
from tickerplant.vendors.polygon import server_answers as out
from tickerplant.vendors.polygon.endpoints import AGGREGATES, INTERVALS, TICKS
from tickerplant.vendors.polygon.exchanges import CONDITIONS, EXCHANGES, TAPES, number
from tickerplant.vendors.polygon.server_answers import Asked, Refused, Row
from tickerplant.vendors.polygon.symbols import INDEX, from_vendor, index_of, to_vendor

_CHICAGO = ZoneInfo("America/Chicago")
_OURS = {theirs: ours for ours, theirs in INTERVALS.items()}
_MILLISECOND, _MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)
_FIELDS = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vw": "vwap", "n": "trade_count"}
_DIVIDED = ("open", "high", "low", "close", "vwap")
_NUMBER = re.compile(r"-?\d{1,15}")
_VOID = {"correction": 1, "error": 7, "cancel": 8}


def aggregates(asked: Asked, found: Mapping[str, str]) -> Answer:
    """`/v2/aggs/ticker/...`: one page; the next one has a later start in its path."""
    span = (int(found["multiplier"]), found["timespan"])
    first, last = _bound(found["start"], False), _bound(found["end"], True)
    if span != (1, "day") and span not in _OURS:
        raise Refused(400, "ERROR", f"timespan: expected one that is known, was {span[0]} {found['timespan'][:20]}")
    asked = out.pinned(asked)
    ascends = asked.param("sort", "asc") == "asc"
    items = _bars(asked, found["ticker"], _OURS.get(span), first, last)
    items = items if ascends else items[::-1]
    base = {"minute": 1, "hour": 60}.get(span[1], 1) * span[0]
    size = max(out.limit(asked, 5000, AGGREGATES) // base, 1)
    size = min(size, asked.account.page_rows or size)
    part = items[:size]
    following = None
    if len(items) > size:
        edges = (items[size]["t"], found["end"]) if ascends else (found["start"], items[size]["t"])
        path = f"/v2/aggs/ticker/{quote(found['ticker'], safe=':')}/range/{span[0]}/{span[1]}/{edges[0]}/{edges[1]}"
        following = f"{asked.request.base}{path}?cursor={out.cursor_of(asked.request.params)}"
    return _aggregated(asked, found["ticker"], part, following, base)


def _aggregated(asked: Asked, ticker: str, part: list[Row], following: str | None, base: int = 1) -> Answer:
    """Without rows there is no `results`; an index has no `adjusted` and no `resultsCount`."""
    told: Row = {"ticker": ticker, "queryCount": len(part) * base}
    if not ticker.startswith(INDEX):
        told |= {"resultsCount": len(part), "adjusted": asked.param("adjusted", "true") != "false"}
    told |= {"results": part} if part else {}
    return out.enveloped(asked, told | {"count": len(part)}, following)


def _bound(text: str, is_end: bool) -> int:
    """A date (the whole day in New York) or milliseconds, as inclusive milliseconds."""
    if _NUMBER.fullmatch(text):
        return int(text)
    begins = out.midnight(out.day(text, "to" if is_end else "from") + timedelta(days=is_end))
    return _millis(begins) - is_end


def _millis(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // _MILLISECOND


def _moment(millis: int) -> datetime:
    """The moment, within the years that are known."""
    return datetime.fromtimestamp(min(max(millis / 1000, out.EPOCH.timestamp()), out.EVER.timestamp()), UTC)


def _bars(asked: Asked, ticker: str, interval: str | None, first: int, last: int) -> list[Row]:
    if interval is None:
        return [i for i in _days(asked, ticker) if first <= i["t"] <= last]
    length = {"m": 1, "h": 60}[interval[-1]] * int(interval[:-1]) * 60_000
    start = first - first % length
    end = min(_moment(last + 1), asked.until)
    rows = asked.rows("bars", from_vendor(ticker), _moment(start), end, interval).to_pylist()
    newest = {r["ts"]: r for r in rows}
    return [_bar(r, _millis(at)) for at, r in newest.items()]


def _days(asked: Asked, ticker: str) -> list[Row]:
    """Daily bars, the newest version of each, stamped with midnight: in Chicago for an index."""
    is_index = ticker.startswith(INDEX)
    symbol = index_of(ticker) if is_index else from_vendor(ticker)
    rows = asked.rows("index_bars" if is_index else "daily_bars", symbol).to_pylist()
    newest = {r["session"]: r for r in rows if r.get("proxy") is None}
    zone = _CHICAGO if is_index else NEW_YORK
    made = [_bar(r, _millis(datetime.combine(d, time(), zone).astimezone(UTC))) for d, r in newest.items()]
    if is_index:
        return [{k: v for k, v in item.items() if k in ("t", "o", "h", "l", "c")} for item in made]
    return [_adjusted(asked, item, day, symbol) for item, day in zip(made, newest, strict=True)]


def _bar(row: Row, millis: int) -> Row:
    return out.filled({**{short: row.get(name) for short, name in _FIELDS.items()}, "t": millis})


def _adjusted(asked: Asked, item: Row, day: date, symbol: str) -> Row:
    """For the splits after the day, when that is not declined."""
    if asked.param("adjusted", "true") == "false":
        return item
    after = [r for r in asked.rows("splits", symbol).to_pylist() if day < r["ex_date"] <= asked.until.date()]
    for split in after:
        ratio = split["split_from"] / split["split_to"]
        prices = {k: item[k] * ratio for k, name in _FIELDS.items() if name in _DIVIDED and k in item}
        item = item | prices | {"v": item["v"] / ratio}
    return item


def grouped(asked: Asked, found: Mapping[str, str]) -> Answer:
    """All tickers of a day, stamped with 16:00 in New York."""
    day = out.day(found["date"], "date")
    start = out.midnight(day)
    rows = asked.rows("daily_bars", None, start, start + timedelta(hours=20)).to_pylist()
    newest = {r["symbol"]: r for r in rows if r["session"] == day}
    stamp = _millis(datetime.combine(day, time(16), NEW_YORK).astimezone(UTC))
    part = [{"T": to_vendor(s), **_adjusted(asked, _bar(r, stamp), day, s)} for s, r in newest.items()]
    told: Row = {"queryCount": len(part), "resultsCount": len(part)}
    told |= {"adjusted": asked.param("adjusted", "true") != "false"} | ({"results": part} if part else {})
    return out.enveloped(asked, told | {"count": len(part)})


def previous(asked: Asked, found: Mapping[str, str]) -> Answer:
    """The last day before today, stamped with 16:00 in New York."""
    today = _millis(out.midnight(asked.until.astimezone(NEW_YORK).date()))
    days = [i for i in _days(asked, found["ticker"]) if i["t"] < today][-1:]
    part = [{"T": found["ticker"], **i, "t": i["t"] + 16 * 3_600_000} for i in days]
    return _aggregated(asked, found["ticker"], part, None)


def _nanos(text: str) -> int:
    if _NUMBER.fullmatch(text[:15]) and text.isdigit():
        return int(text)
    return _millis(out.midnight(out.day(text, "timestamp"))) * 1_000_000


def ticks(asked: Asked, found: Mapping[str, str]) -> Answer:
    """Trades or quotes of one ticker; the newest first unless `order=asc`."""
    asked = out.pinned(asked)
    symbol, kind = from_vendor(found["ticker"]), found["kind"]
    limits = {suffix: _nanos(text) for suffix, text in out.bounds(asked, "timestamp").items()}
    ascends = out.ordered(asked, "desc")
    rows = asked.rows(kind, symbol, out.EPOCH, asked.until).to_pylist()
    stamped = [((r["ts"] - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND * 1000 + r["ns"], r) for r in rows]
    chosen = [(i, at, r) for i, (at, r) in enumerate(stamped, 1) if out.fits(at, limits)]
    void = _void(asked, symbol) if kind == "trades" else {}
    items = [_tick(kind, i, at, r, void) for i, at, r in (chosen if ascends else chosen[::-1])]
    return out.listed(asked, items, 1000, TICKS)


def _void(asked: Asked, symbol: str) -> dict[tuple[str, str], int]:
    rows = asked.rows("trade_corrections", symbol).to_pylist()
    return {(r["exchange"], r["original_id"]): _VOID.get(r["kind"], 0) for r in rows}


def _tick(kind: str, place: int, at: int, row: Row, void: Mapping[tuple[str, str], int]) -> Row:
    own = _trade(row, void) if kind == "trades" else _quote(row)
    stamps = {"participant_timestamp": at, "sip_timestamp": at, "sequence_number": place}
    return out.filled({**own, **stamps, "conditions": _codes(row), "tape": TAPES.get(row["tape"] or "")})


def _codes(row: Row) -> Sequence[int] | None:
    said = row["conditions"]
    if said is None:
        return None
    return [found for c in said.split(",") if c and (found := number(c.strip(), CONDITIONS)) is not None]


def _trade(row: Row, void: Mapping[tuple[str, str], int]) -> Row:
    """A fraction of a share stands in `decimal_size`; `size` has the whole shares."""
    size = row["size"]
    parts: dict[str, Any] = {"size": out.whole(size)}
    if size is not None and size != int(size):
        parts = {"size": int(size), "decimal_size": repr(size)}
    code = void.get((row["exchange"], row["trade_id"]))
    return {
        "id": row["trade_id"],
        "price": row["price"],
        "exchange": number(row["exchange"], EXCHANGES),
        "correction": code,
        **parts,
    }


def _quote(row: Row) -> Row:
    prices = {f"{side}_{what}": row[f"{side}_{what}"] for side in ("ask", "bid") for what in ("price", "size")}
    return prices | {f"{side}_exchange": number(row[f"{side}_exchange"], EXCHANGES) for side in ("ask", "bid")}
