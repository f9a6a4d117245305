"""The server side of Alpaca's REST APIs, without I/O: a request in, an answer out of a history.

Sources as in `rest_calls`. Pages are cut as the vendor cuts them: by symbol, then time, over all symbols together; a
token is opaque.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.calendar import NEW_YORK
from tickerplant.rest import Account, Answer, History, HttpRequest, Refusal, RestServer
from tickerplant.vendors.alpaca.rest_calls import PAGE_ROWS, TIMEFRAMES
from tickerplant.vendors.alpaca.server_trades import with_updates
from tickerplant.vendors.alpaca.times import nanoseconds

_JSON = {"content-type": "application/json"}
_PATH = re.compile(r"/v2/stocks(?:/(?P<symbol>[^/]+))?/(?P<kind>bars|quotes|trades)")
_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,31}")
_INTERVALS = {v: k for k, v in TIMEFRAMES.items()}
_FIELDS = {
    "quotes": {"ax": "ask_exchange", "ap": "ask_price", "as": "ask_size", "bx": "bid_exchange", "bp": "bid_price"}
    | {"bs": "bid_size", "c": "conditions", "z": "tape"},
    "trades": {"x": "exchange", "p": "price", "s": "size", "c": "conditions", "i": "trade_id", "z": "tape"},
    "bars": {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "n": "trade_count", "vw": "vwap"},
}
_EXCHANGES = {"XNYS": "NYSE", "XNAS": "NASDAQ", "ARCX": "ARCA", "XASE": "AMEX", "BATS": "BATS"}
"""Market identifier codes in the vendor's names."""
_FAR = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def answer(request: HttpRequest, history: History, account: Account) -> Answer:
    """What the vendor would answer."""
    try:
        _authenticate(request, account)
        found = _PATH.fullmatch(request.path)
        if found:
            return _rows(request, history, account, found["kind"], found["symbol"])
        maker = _OTHERS.get(request.path)
        if maker is None:
            raise _Refused(404, "endpoint not found.")
        return _json(maker(request, history, account))
    except _Refused as refused:
        return _json({"message": str(refused)}, refused.status)


def refusal(kind: Refusal, request: HttpRequest) -> Answer:
    """Too many requests, or a fault."""
    if kind in ("rate", "day"):
        reset = {"x-ratelimit-limit": "200", "x-ratelimit-remaining": "0"}
        at = int(request.at.timestamp()) + 1
        return Answer(429, b'{"message": "too many requests."}', {**_JSON, **reset, "x-ratelimit-reset": str(at)})
    if kind == "html":
        return Answer(502, b"<html><h1>502 Bad Gateway</h1></html>", {"content-type": "text/html"})
    return Answer(500, b"Internal Server Error", {"content-type": "text/plain"})


SERVER = RestServer(answer, refusal)


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(value), {**_JSON, "x-ratelimit-limit": "200"})


def _authenticate(request: HttpRequest, account: Account) -> None:
    key, secret = (request.headers.get(n, "") for n in ("apca-api-key-id", "apca-api-secret-key"))
    wanted = account.secret.reveal() if account.secret else None
    if not key or not secret or account.key not in (None, key) or wanted not in (None, secret):
        raise _Refused(401, "unauthorized.")


def _symbols(request: HttpRequest, one: str | None) -> list[str]:
    names = [one] if one else [s for s in (request.param("symbols") or "").split(",") if s]
    if not names:
        raise _Refused(400, "symbols is required")
    for name in names:
        if not _SYMBOL.fullmatch(name):
            raise _Refused(400, f"invalid symbol: {name}")
    return sorted(dict.fromkeys(names))


def _nanos(text: str | None, otherwise: datetime) -> int:
    """A parameter's time: RFC 3339 or a day, which begins at midnight UTC."""
    if not text:
        return int(otherwise.timestamp()) * 1_000_000_000
    stamps, bad = nanoseconds([text if "T" in text else f"{text}T00:00:00Z"])
    if bad:
        raise _Refused(400, f"Invalid format for parameter start: {text}")
    return int(stamps[0])


def _rows(request: HttpRequest, history: History, account: Account, kind: str, one: str | None) -> Answer:
    names = _symbols(request, one)
    frame = request.param("timeframe", "1Min") if kind == "bars" else None
    if frame is not None and frame != "1Day" and frame not in _INTERVALS:
        raise _Refused(400, f"invalid timeframe: {frame}")
    table = "daily_bars" if frame == "1Day" else kind
    if account.tables is not None and table not in account.tables:
        raise _Refused(403, "subscription does not permit querying recent SIP data")
    rows, stamps = _span(history, table, names, request, _INTERVALS.get(frame or ""))
    updates: list[str | None] = [None] * rows.num_rows
    if kind == "trades":
        rows, updates = with_updates(rows, history.rows("trade_corrections", names, *_FAR))
        stamps = _stamps(rows)
    first = _offset(request)
    size = min(int(request.param("limit") or 1000), PAGE_ROWS, account.page_rows or PAGE_ROWS)
    is_last = first + size >= rows.num_rows
    page = _objects(kind, rows.slice(first, size), stamps.slice(first, size))
    for (_, item), update in zip(page, updates[first : first + size], strict=True):
        item |= {"u": update} if update else {}
    token = None if is_last else base64.urlsafe_b64encode(f"{page[-1][0]}|{first + size}".encode()).decode()
    if one:
        return _json({kind: [item for _, item in page] or None, "symbol": one, "next_page_token": token})
    data: dict[str, list[Any]] = {}
    for symbol, item in page:
        data.setdefault(symbol, []).append(item)
    return _json({kind: data, "next_page_token": token})


def _offset(request: HttpRequest) -> int:
    token = request.param("page_token")
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().rpartition("|")[2])
    except (ValueError, binascii.Error):
        raise _Refused(400, "invalid page token") from None


def _span(
    history: History, table: str, names: Sequence[str], request: HttpRequest, interval: str | None
) -> tuple[pa.Table, pa.ChunkedArray]:
    """Rows in order with their nanoseconds, of the inclusive span that the request names."""
    start, end = (_nanos(request.param(n), o) for n, o in zip(("start", "end"), (_FAR[0], request.at), strict=True))
    low, high = _moment(start), _moment(end) + timedelta(microseconds=1)
    if low >= high:
        raise _Refused(400, "end should not be before start")
    if table == "daily_bars":
        rows = history.rows(table, names, low, high + timedelta(hours=24))
        stamps = _midnights(rows)
    else:
        rows = history.rows(table, names, low, high, interval)
        stamps = _stamps(rows)
    keep = pc.and_(pc.greater_equal(stamps, start), pc.less_equal(stamps, end))
    if table in ("bars", "daily_bars"):
        keep = pc.and_(keep, _is_newest(rows, stamps))
    return rows.filter(keep), stamps.filter(keep)


def _stamps(rows: pa.Table) -> pa.ChunkedArray:
    return pc.add(pc.multiply(rows.column("ts").cast(pa.int64()), 1000), rows.column("ns").cast(pa.int64()))


def _is_newest(rows: pa.Table, stamps: pa.ChunkedArray) -> pa.Array:
    """Of the versions of a bar the last one counts; rows are sorted, versions in their order."""
    symbols = rows.column("symbol").to_pylist()
    keys = list(zip(symbols, stamps.to_pylist(), strict=True))
    return pa.array([i + 1 == len(keys) or keys[i + 1] != key for i, key in enumerate(keys)], pa.bool_())


def _moment(nanos: int) -> datetime:
    return datetime.fromtimestamp(nanos // 1_000_000_000, UTC) + timedelta(microseconds=nanos % 1_000_000_000 // 1000)


def _midnights(rows: pa.Table) -> pa.ChunkedArray:
    """Midnight in New York of each session, nanoseconds UTC."""
    local = pc.assume_timezone(rows.column("session").cast(pa.timestamp("ns")), "America/New_York")
    return local.cast(pa.int64())


def _objects(kind: str, rows: pa.Table, stamps: pa.ChunkedArray) -> list[tuple[str, dict[str, Any]]]:
    columns = {key: rows.column(name).to_pylist() for key, name in _FIELDS[kind].items()}
    times = [_text(n) for n in stamps.to_pylist()]
    symbols = rows.column("symbol").to_pylist()
    made: list[tuple[str, dict[str, Any]]] = []
    for i, symbol in enumerate(symbols):
        item = {"t": times[i]} | {k: v for k, values in columns.items() if (v := values[i]) is not None}
        if kind != "bars" and "c" in item:
            item["c"] = item["c"].split(",") if item["c"] else []
        if "i" in item and item["i"].isdigit():
            item["i"] = int(item["i"])
        made.append((symbol, item))
    return made


def _text(nanos: int) -> str:
    seconds, rest = divmod(nanos, 1_000_000_000)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") + "Z"


def _snapshots(request: HttpRequest, history: History, account: Account) -> Any:
    names = _symbols(request, None)
    made: dict[str, Any] = {}
    daily = history.rows("daily_bars", names, _FAR[0], request.at + timedelta(days=1))
    for name in names:
        bars = daily.filter(pc.equal(daily.column("symbol"), name))
        items = [item for _, item in _objects("bars", bars, _midnights(bars))]
        if items:
            made[name] = {"dailyBar": items[-1], "latestTrade": {"t": items[-1]["t"], "p": items[-1]["c"]}}
            made[name] |= {"prevDailyBar": items[-2]} if len(items) > 1 else {}
    return made


def _uuid(name: str | None) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name or ""))


def _assets(request: HttpRequest, history: History, account: Account) -> Any:
    wanted = request.param("status")
    rows = history.rows("tickers", None, *_FAR).to_pylist()
    items = [
        {
            "id": _uuid(r["vendor_id"] or r["symbol"]),
            "class": "us_equity",
            "exchange": _EXCHANGES.get(r["exchange"], r["exchange"] or ""),
            "symbol": r["symbol"],
            "name": r["name"] or "",
            "status": "active" if r["is_active"] else "inactive",
            "tradable": r["is_active"],
            "marginable": True,
            "shortable": True,
            "easy_to_borrow": True,
            "fractionable": True,
            "attributes": [],
        }
        for r in rows
    ]
    return [i for i in items if wanted in (None, i["status"])]


def _calendar(request: HttpRequest, history: History, account: Account) -> Any:
    first, last = request.param("start") or "1970-01-01", request.param("end") or "2100-01-01"
    rows = history.rows("market_days", None, *_FAR).to_pylist()
    return [
        {
            "date": r["session"].isoformat(),
            "open": r["opens_at"].astimezone(NEW_YORK).strftime("%H:%M"),
            "close": r["closes_at"].astimezone(NEW_YORK).strftime("%H:%M"),
            "session_open": "0400",
            "session_close": "2000",
        }
        for r in rows
        if r["status"] != "closed" and first <= r["session"].isoformat() <= last
    ]


def _actions(request: HttpRequest, history: History, account: Account) -> Any:
    types = set((request.param("types") or "").split(",")) - {""}
    items = [i for i in (*_splits(history), *_dividends(history)) if not types or i[0].removesuffix("s") in types]
    names = set((request.param("symbols") or "").split(",")) - {""}
    first, last = request.param("start") or "", request.param("end") or "9999"
    chosen = [i for i in items if first <= i[1]["process_date"] <= last and (not names or i[1]["symbol"] in names)]
    chosen.sort(key=lambda i: (i[1]["process_date"], i[1]["id"]))
    size = min(int(request.param("limit") or 100), account.page_rows or 1000)
    at = _offset(request)
    data: dict[str, list[Any]] = {}
    for kind, item in chosen[at : at + size]:
        data.setdefault(kind, []).append(item)
    is_last = at + size >= len(chosen)
    token = None if is_last else base64.urlsafe_b64encode(f"actions|{at + size}".encode()).decode()
    return {"corporate_actions": data, "next_page_token": token}


def _splits(history: History) -> list[tuple[str, dict[str, Any]]]:
    made = []
    for r in history.rows("splits", None, *_FAR).to_pylist():
        day = r["ex_date"].isoformat()
        item = {"id": _uuid(r["vendor_id"]), "symbol": r["symbol"], "ex_date": day, "process_date": day, "cusip": ""}
        rates = {"new_rate": r["split_to"], "old_rate": r["split_from"]}
        made.append(("forward_splits" if r["split_to"] > r["split_from"] else "reverse_splits", item | rates))
    return made


def _dividends(history: History) -> list[tuple[str, dict[str, Any]]]:
    made = []
    for r in history.rows("dividends", None, *_FAR).to_pylist():
        day = r["ex_date"].isoformat()
        item = {"id": _uuid(r["vendor_id"]), "symbol": r["symbol"], "ex_date": day, "process_date": day, "cusip": ""}
        item |= {"rate": r["amount"]}
        dates = {"record_date": r["record_date"], "payable_date": r["pay_date"]}
        item |= {"special": False, "foreign": False} | {k: v.isoformat() for k, v in dates.items() if v}
        made.append(("cash_dividends", item))
    return made


_OTHERS: dict[str, Callable[[HttpRequest, History, Account], Any]] = {
    "/v2/stocks/snapshots": _snapshots,
    "/v2/assets": _assets,
    "/v2/calendar": _calendar,
    "/v1/corporate-actions": _actions,
}
