"""The vendor's side: `function=...` answered from a History in the vendor's shapes, and its notices.

As the vendor does, nearly everything comes with HTTP 200, series are newest first, numbers are text and time is New
York's without a zone. Adjusted intraday prices, weekly and monthly series are not played. `Account.tables` names what
the plan includes; `TIME_SERIES_DAILY_FULL` among them allows `outputsize=full`. There are no pages, so `page_rows` says
nothing. Source: https://www.alphavantage.co/documentation/ read 2026-04-30, and the recordings that README.md lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec

from tickerplant.calendar import NEW_YORK
from tickerplant.rest import Account, Answer, History, HttpRequest, Refusal, RestServer
from tickerplant.vendors.alphavantage import notices, times
from tickerplant.vendors.alphavantage.endpoints import FULL, INTERVALS, PATH
from tickerplant.vendors.alphavantage.pages import COMPACT, DAILY_KEY
from tickerplant.vendors.alphavantage.symbols import from_vendor, to_vendor

Row = dict[str, Any]

_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
_EVER = datetime(2200, 1, 1, tzinfo=UTC)
_DELAY = timedelta(minutes=15)
_OURS = {theirs: ours for ours, theirs in reversed(INTERVALS.items())}
_PRICES = ("open", "high", "low", "close")
_OHLCV = (*_PRICES, "volume")
_ADJUSTED = (*_PRICES, "adjusted close", "volume", "dividend amount", "split coefficient")
_TABLES = {
    "GLOBAL_QUOTE": "snapshots",
    "TIME_SERIES_INTRADAY": "bars",
    "TIME_SERIES_DAILY": "daily_bars",
    "TIME_SERIES_DAILY_ADJUSTED": "dividends",
    "INDEX_DATA": "index_bars",
    "LISTING_STATUS": "tickers",
    "OVERVIEW": "tickers",
}


@dataclass(frozen=True)
class _Asked:
    """A request that is let in: what is known until `until`."""

    request: HttpRequest
    history: History
    until: datetime

    def param(self, name: str, default: str = "") -> str:
        return self.request.param(name, default) or default

    @property
    def function(self) -> str:
        return self.param("function").upper()

    @property
    def symbol(self) -> str:
        """Our symbol."""
        return from_vendor(self.param("symbol"))

    def rows(self, table: str, interval: str | None = None, start: datetime = _EPOCH) -> list[Row]:
        """What is known of the symbol asked for."""
        found = self.history.rows(table, [self.symbol], start, self.until, interval)
        return [r for r in found.to_pylist() if r["symbol"] == self.symbol]

    @property
    def is_known(self) -> bool:
        """Whether the vendor has the symbol at all."""
        asked = self.history.rows("tickers", [self.symbol], _EPOCH, _EVER)
        return any(r["symbol"] == self.symbol for r in asked.to_pylist())


def answer(request: HttpRequest, history: History, account: Account) -> Answer:
    """The vendor's answer to a request."""
    refused = _refused(request, account)
    if refused is not None:
        return refused
    until = request.at - _DELAY if account.is_delayed else request.at
    asked = _Asked(request, history, until)
    if account.tables is not None and not _is_included(asked, account.tables):
        return notices.information(notices.PREMIUM)
    return _ANSWERS[asked.function](asked)


def refusal(kind: Refusal, request: HttpRequest) -> Answer:
    """The vendor's refusal. The notice about the day prints the caller's key, as the vendor does."""
    if kind == "rate":
        return notices.information(notices.BURST)
    if kind == "day":
        return notices.information(notices.DAY.format(key=request.param("apikey", "")))
    if kind == "html":
        return notices.OUTAGE
    return Answer(500, b"Internal Server Error", {"content-type": "text/plain"})


SERVER = RestServer(answer, refusal)


def _refused(request: HttpRequest, account: Account) -> Answer | None:
    key = request.param("apikey", "")
    function = (request.param("function") or "").upper()
    if request.path != PATH:
        return Answer(404, b"<html><body>Not Found</body></html>", {"content-type": "text/html"})
    if request.headers.get("accept", "").strip().lower() == "text/csv":
        return notices.NOT_ACCEPTABLE
    if not key or (account.secret is not None and key != account.secret.reveal()):
        return notices.error(notices.KEY)
    if key == "demo":
        return notices.information(notices.DEMO)
    if function not in _ANSWERS:
        return notices.error(f"This API function ({function}) does not exist.")
    return None


def _is_included(asked: _Asked, tables: frozenset[str]) -> bool:
    if asked.function == "TIME_SERIES_DAILY" and asked.param("outputsize") == "full" and FULL not in tables:
        return False
    return _TABLES[asked.function] in tables


def _invalid(asked: _Asked) -> Answer:
    return notices.error(notices.INVALID.format(function=asked.function))


def _quote(asked: _Asked) -> Answer:
    row = _snapshot(asked)
    if row is None:
        return notices.json({"Global Quote": {}})
    keys = ("open", "high", "low", "price", "volume")
    fields = {f"{i:02}. {k}": _field(row, k) for i, k in enumerate(keys, 2)}
    quote = {
        "01. symbol": asked.param("symbol"),
        **fields,
        "07. latest trading day": row["session"].isoformat(),
        "08. previous close": _number(row["previous_close"]),
        "09. change": _number(row["change"]),
        "10. change percent": f"{_number(row['change_percent'])}%",
    }
    return notices.json({"Global Quote": quote})


def _snapshot(asked: _Asked) -> Row | None:
    """The newest one known, or the newest day with the close before it."""
    if found := asked.rows("snapshots"):
        return found[-1]
    days = asked.rows("daily_bars")
    if not days:
        return None
    last = days[-1]
    before = days[-2]["close"] if len(days) > 1 else last["open"]
    change = round(last["close"] - before, 4)
    percent = round(100 * change / before, 4) if before else 0.0
    return {**last, "price": last["close"], "previous_close": before, "change": change, "change_percent": percent}


def _intraday(asked: _Asked) -> Answer:
    interval, month = asked.param("interval"), asked.param("month")
    if interval not in _OURS:
        return _invalid(asked)
    try:
        first, last = _month(month) if month else (asked.until - timedelta(days=30), asked.until)
    except ValueError:
        return _invalid(asked)
    rows = [r for r in asked.rows("bars", _OURS[interval], first) if r["ts"] < last]
    if not rows and not asked.is_known:
        return _invalid(asked)
    if asked.param("extended_hours", "true") != "true":
        rows = [r for r in rows if time(9, 30) <= r["ts"].astimezone(NEW_YORK).time() < time(16)]
    if asked.param("outputsize", "compact") != "full":
        rows = rows[-COMPACT:]
    stamped = [(r["ts"].astimezone(NEW_YORK).strftime("%Y-%m-%d %H:%M:%S"), r) for r in rows]
    what = f"Intraday ({interval}) open, high, low, close prices and volume"
    size = "Full size" if asked.param("outputsize") == "full" else "Compact"
    return _series(asked, f"Time Series ({interval})", stamped, _OHLCV, [what, interval, size])


def _month(month: str) -> tuple[datetime, datetime]:
    first = date.fromisoformat(f"{month}-01")
    if first < date(2000, 1, 1):
        raise ValueError(month)
    after = (first + timedelta(days=31)).replace(day=1)
    start, end = (datetime.combine(d, time(), NEW_YORK).astimezone(UTC) for d in (first, after))
    return start, end


def _days(asked: _Asked) -> list[Row]:
    days = asked.rows("daily_bars")
    return days if asked.param("outputsize", "compact") == "full" else days[-COMPACT:]


def _daily(asked: _Asked) -> Answer:
    days = _days(asked)
    if not days and not asked.is_known:
        return _invalid(asked)
    stamped = [(r["session"].isoformat(), r) for r in days]
    what = "Daily Prices (open, high, low, close) and Volumes"
    return _series(asked, DAILY_KEY, stamped, _OHLCV, [what, _size(asked)])


def _adjusted(asked: _Asked) -> Answer:
    days = _days(asked)
    if not days and not asked.is_known:
        return _invalid(asked)
    dividends = {r["ex_date"]: r["amount"] for r in asked.rows("dividends")}
    splits = {r["ex_date"]: r["split_to"] / r["split_from"] for r in asked.rows("splits")}
    factor, stamped = 1.0, []
    for i in range(len(days) - 1, -1, -1):
        day, amount, ratio = days[i], dividends.get(days[i]["session"], 0.0), splits.get(days[i]["session"], 1.0)
        adjusted = None if day["close"] is None else day["close"] * factor
        extra = {"adjusted close": adjusted, "dividend amount": amount, "split coefficient": ratio}
        stamped.append((day["session"].isoformat(), day | extra))
        before = days[i - 1]["close"] if i else None
        factor *= (1 - amount / before if before else 1.0) / ratio
    what = "Daily Time Series with Splits and Dividend Events"
    return _series(asked, DAILY_KEY, stamped[::-1], _ADJUSTED, [what, _size(asked)])


def _size(asked: _Asked) -> str:
    return "Full size" if asked.param("outputsize") == "full" else "Compact"


def _series(
    asked: _Asked, key: str, stamped: Sequence[tuple[str, Row]], fields: Sequence[str], said: Sequence[str]
) -> Answer:
    """Rows newest first as JSON or CSV."""
    newest = stamped[::-1]
    if asked.param("datatype") == "csv":
        header = ["timestamp", *(f.replace(" ", "_") for f in fields)]
        return notices.csv([header, *([stamp, *(_field(r, f) for f in fields)] for stamp, r in newest)])
    refreshed = newest[0][0] if newest else asked.until.astimezone(NEW_YORK).date().isoformat()
    what, *others = said
    names = ("Interval", "Output Size") if len(others) == 2 else ("Output Size",)
    meta = [("Information", what), ("Symbol", asked.param("symbol")), ("Last Refreshed", refreshed)]
    meta += [*zip(names, others, strict=True), ("Time Zone", "US/Eastern")]
    rows = {s: {f"{i}. {f}": _field(r, f) for i, f in enumerate(fields, 1)} for s, r in newest}
    return notices.json({"Meta Data": {f"{i}. {k}": v for i, (k, v) in enumerate(meta, 1)}, key: rows})


def _index(asked: _Asked) -> Answer:
    rows = [r for r in asked.rows("index_bars") if r["proxy"] is None]
    if not rows or asked.param("interval") != "daily":
        return _invalid(asked)
    data = [{"date": r["session"].isoformat(), **{f: _number(r[f], ".") for f in _PRICES}} for r in reversed(rows)]
    return notices.json({"symbol": asked.param("symbol"), "name": asked.symbol, "interval": "daily", "data": data})


def _overview(asked: _Asked) -> Answer:
    found = asked.history.rows("tickers", [asked.symbol], _EPOCH, _EVER).to_pylist()
    row = next((r for r in found if r["symbol"] == asked.symbol and r["is_active"]), None)
    if row is None:
        return notices.json({})
    told = {
        "Symbol": asked.param("symbol"),
        "AssetType": row["type"] or "None",
        "Name": row["name"] or "None",
        "CIK": row["cik"] or "None",
        "Exchange": row["exchange"] or "None",
        "Currency": row["currency"] or "None",
        "Sector": row["sector"] or "None",
        "Industry": row["industry"] or "None",
        "MarketCapitalization": _number(row["market_cap"], "None", 0),
        "SharesOutstanding": _number(row["shares_outstanding"], "-", 0),
    }
    return notices.json(told | msgspec.json.decode(row["details"] or "{}"))


def _listing(asked: _Asked) -> Answer:
    """Who is listed, or was delisted, on a day. A ticker without a first day always was."""
    day, state = asked.param("date"), asked.param("state", "active")
    try:
        on = times.day(day) if day else asked.until.astimezone(NEW_YORK).date()
    except ValueError:
        return _invalid(asked)
    if on < date(2010, 1, 1) or state not in ("active", "delisted"):
        return _invalid(asked)
    rows = asked.history.rows("tickers", None, _EPOCH, _EVER).to_pylist()
    header = ["symbol", "name", "exchange", "assetType", "ipoDate", "delistingDate", "status"]
    return notices.csv([header, *(_listed(r, state) for r in rows if _is_in(r, on, state))])


def _is_in(row: Row, on: date, state: str) -> bool:
    if row["listed_on"] is not None and row["listed_on"] > on:
        return False
    is_gone = row["delisted_on"] <= on if row["delisted_on"] else not row["is_active"]
    return is_gone == (state == "delisted")


def _listed(row: Row, state: str) -> list[str]:
    gone = row["delisted_on"] if state == "delisted" else None
    return [
        to_vendor(row["symbol"]),
        row["name"] or "",
        row["exchange"] or "",
        row["type"] or "",
        row["listed_on"].isoformat() if row["listed_on"] else "null",
        gone.isoformat() if gone else "null",
        "Active" if state == "active" else "Delisted",
    ]


def _field(row: Row, name: str) -> str:
    return _number(row[name], places=0 if name == "volume" else 4)


def _number(value: float | None, missing: str = "None", places: int = 4) -> str:
    """A number as text: whole ones of volume and capital bare, prices with four decimals or all they have."""
    if value is None:
        return missing
    if isinstance(value, int) or (places == 0 and value == int(value)):
        return str(int(value))
    return f"{value:.4f}" if round(value, 4) == value else repr(value)


_ANSWERS: Mapping[str, Callable[[_Asked], Answer]] = {
    "GLOBAL_QUOTE": _quote,
    "TIME_SERIES_INTRADAY": _intraday,
    "TIME_SERIES_DAILY": _daily,
    "TIME_SERIES_DAILY_ADJUSTED": _adjusted,
    "INDEX_DATA": _index,
    "LISTING_STATUS": _listing,
    "OVERVIEW": _overview,
}
