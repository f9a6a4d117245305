"""What can be asked of Alpha Vantage, and how: endpoints, limits of the plans, the key.

Source: https://www.alphavantage.co/documentation/ read 2026-04-30; limits: https://www.alphavantage.co/premium/ and the
notices themselves (25 a day, one a second; 1.5 s are kept, since users of 1 s were still refused).
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from tickerplant.calendar import NEW_YORK
from tickerplant.credentials import Credentials
from tickerplant.errors import UsageError
from tickerplant.rest import ALL, Ask, Call, Endpoint, RateLimit, Sign
from tickerplant.vendors.alphavantage.symbols import to_vendor

PATH = "/query"
HOSTS = {"data": "https://www.alphavantage.co"}
FEED = "rest"
FULL = "TIME_SERIES_DAILY_FULL"
"""Name of the call for the days before the last 100, which not every plan includes."""

INTERVALS = {"1m": "1min", "5m": "5min", "15m": "15min", "30m": "30min", "1h": "60min", "60m": "60min"}
"""Our intervals in the vendor's spelling."""

PROXIES = {"SPX": "SPY", "NDX": "QQQ", "DJI": "DIA", "RUT": "IWM"}
"""The ETF that stands in for an index."""

PROXY_FEED, DETAILS_FEED = "proxy", "details"
"""Feeds of rows that stand beside those of the index itself, and of the list of all tickers."""

LIMITS = {"free": (RateLimit(25, 86_400.0), RateLimit(1, 1.5))} | {
    str(n): (RateLimit(n, 60.0), RateLimit(math.ceil(n / 60), 1.0)) for n in (75, 150, 300, 600, 1200)
}
"""By plan. The paid ones spread their minute evenly: bursts are refused too, at a rate that is not published."""

_FIRST_MONTH, _FIRST_LISTING = "2000-01", "2010-01-01"
_ENTITLEMENTS = ("realtime", "delayed")
_MONTH_OF_MINUTES = 21 * 960


def sign(call: Call, credentials: Credentials) -> Sign:
    """The key: the account's secret (its key when it has no secret)."""
    return Sign(params=(("apikey", credentials.secret.reveal() or credentials.key),))


def month_of(at: datetime) -> str:
    """The month in New York, YYYY-MM."""
    return at.astimezone(NEW_YORK).strftime("%Y-%m")


def first_month(call: Call) -> str:
    """The earliest month that a call's span touches and the vendor has."""
    return max(_FIRST_MONTH, month_of(call.start)) if call.start else _FIRST_MONTH


def _call(ask: Ask, function: str, *params: tuple[str, str], symbols: tuple[str, ...] | None = None) -> Call:
    return Call(
        endpoint=function,
        table=ask.table,
        path=PATH,
        params=(("function", function), *params),
        symbols=ask.symbols if symbols is None else symbols,
        start=ask.start,
        end=ask.end,
        interval=ask.interval,
        feed=ask.feed or FEED,
    )


def _symbol(ask: Ask) -> tuple[str, str]:
    if len(ask.symbols) != 1 or ask.symbols == ALL:
        raise UsageError(f"alphavantage {ask.table}: expected one symbol a call, was {ask.symbols[:3]}")
    return "symbol", to_vendor(ask.symbols[0])


def _entitlement(ask: Ask) -> tuple[tuple[str, str], ...]:
    return (("entitlement", ask.feed),) if ask.feed in _ENTITLEMENTS else ()


def _quote(ask: Ask) -> Call:
    return _call(ask, "GLOBAL_QUOTE", _symbol(ask), ("datatype", "json"), *_entitlement(ask))


def _intraday(ask: Ask) -> Call:
    """The last month of the span; `follow` goes back from there, since what a month lacks, earlier ones lack too."""
    if ask.interval not in INTERVALS:
        raise UsageError(f"alphavantage bars: expected an interval of {', '.join(INTERVALS)}, was {ask.interval!r}")
    month = max(_FIRST_MONTH, month_of(ask.end - timedelta(microseconds=1)))
    return _call(
        ask,
        "TIME_SERIES_INTRADAY",
        _symbol(ask),
        ("interval", INTERVALS[ask.interval]),
        ("month", month),
        ("outputsize", "full"),
        ("adjusted", "false"),
        ("extended_hours", "true"),
        ("datatype", "json"),
        *_entitlement(ask),
    )


def _daily(ask: Ask) -> Call:
    """The last 100 days; `follow` asks for all of them when the span begins before. An index is asked as its ETF."""
    symbol = _symbol(ask)
    if ask.table == "index_bars":
        if ask.symbols[0] not in PROXIES:
            return _index(ask)
        symbol = "symbol", to_vendor(PROXIES[ask.symbols[0]])
    return _call(ask, "TIME_SERIES_DAILY", symbol, ("outputsize", "compact"), ("datatype", "json"))


def _adjusted(ask: Ask) -> Call:
    return _call(
        ask,
        "TIME_SERIES_DAILY_ADJUSTED",
        _symbol(ask),
        ("outputsize", "full"),
        ("datatype", "json"),
        *_entitlement(ask),
    )


def _index(ask: Ask) -> Call:
    return _call(ask, "INDEX_DATA", _symbol(ask), ("interval", "daily"), ("datatype", "json"))


def _overview(ask: Ask) -> Call:
    return _call(ask, "OVERVIEW", _symbol(ask))


def _listing(ask: Ask) -> Call:
    """Who is listed on the last day of the span; `follow` asks for those delisted by then."""
    day = (ask.end - timedelta(microseconds=1)).astimezone(NEW_YORK).date().isoformat()
    if day < _FIRST_LISTING:
        raise UsageError(f"alphavantage LISTING_STATUS: expected a day from {_FIRST_LISTING} on, was {day}")
    return _call(ask, "LISTING_STATUS", ("date", day), ("state", "active"))


ENDPOINTS = (
    Endpoint("GLOBAL_QUOTE", ("snapshots",), "symbol", _quote, 1),
    Endpoint("TIME_SERIES_INTRADAY", ("bars",), "symbol", _intraday, _MONTH_OF_MINUTES, intervals=tuple(INTERVALS)),
    Endpoint("TIME_SERIES_DAILY", ("daily_bars", "index_bars"), "symbol", _daily, 10_000),
    Endpoint("TIME_SERIES_DAILY_ADJUSTED", ("dividends", "splits", "daily_bars"), "symbol", _adjusted, 10_000),
    Endpoint("INDEX_DATA", ("index_bars",), "symbol", _index, 20_000),
    Endpoint("LISTING_STATUS", ("tickers",), "market", _listing, 20_000),
    Endpoint("OVERVIEW", ("tickers",), "symbol", _overview, 1),
)
"""Of two with the same table the one that every plan includes comes first."""
