"""What can be asked of Polygon: paths, parameters, plans.

Sources: OpenAPI of massive-com/client-python@481e5c27 (2026-07-09), https://massive.com/docs as of 2026-01-28. Bars are
asked for unadjusted. Bounds in paths are inclusive; timestamps and dates of the v3 lists have `.gte` and `.lt`. `limit`
of aggregates counts base aggregates (minutes for intraday bars), so 5m bars come 10,000 a page.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import quote

from tickerplant.calendar import NEW_YORK
from tickerplant.credentials import Credentials
from tickerplant.rest import ALL, Ask, Call, Endpoint, RateLimit, Sign
from tickerplant.vendors.polygon.symbols import INDEX, to_vendor

HOSTS = {"data": "https://api.massive.com", "files": "https://files.massive.com"}
"""Of the present name; api.polygon.io and files.polygon.io answer as well."""

FEED = "sip"
AGGREGATES, TICKS, LIST, NEW_LIST = 50_000, 50_000, 1_000, 5_000
SYMBOLS = 100
"""Tickers in one question for snapshots; a limit of ours, for the length of the address."""

INTERVALS = {"1m": (1, "minute"), "5m": (5, "minute"), "15m": (15, "minute"), "30m": (30, "minute"), "1h": (1, "hour")}

LIMITS = {
    "basic": (RateLimit(5, 60.0),),
    "starter": (RateLimit(100, 1.0),),
    "developer": (RateLimit(100, 1.0),),
    "advanced": (RateLimit(100, 1.0),),
}
"""By plan. The paid ones are unlimited; the vendor asks to stay below 100 a second."""

Params = tuple[tuple[str, str], ...]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def sign(call: Call, credentials: Credentials) -> Sign:
    """The key as a header. Flat files have keys and a signature of their own (`flat_sign`), so none is sent there."""
    if call.host != "data":
        return Sign()
    return Sign(headers=(("Authorization", f"Bearer {credentials.secret.reveal()}"),))


def _call(ask: Ask, endpoint: str, path: str, params: Params = (), *, host: str = "data") -> Call:
    return Call(
        endpoint=endpoint,
        table=ask.table,
        path=path,
        params=params,
        host=host,
        symbols=ask.symbols,
        start=ask.start,
        end=ask.end,
        interval=ask.interval,
        feed=ask.feed or FEED,
    )


def ticker(symbol: str) -> str:
    """A symbol of ours as it stands in a path."""
    return quote(to_vendor(symbol), safe=":")


def first_day(at: datetime) -> date:
    """The first day in New York that begins at `at` or later."""
    local = at.astimezone(NEW_YORK)
    return local.date() if local.time() == time() else local.date() + timedelta(days=1)


def _last_day(end: datetime) -> date:
    """The last day in New York that begins before `end`."""
    return first_day(end) - timedelta(days=1)


def _bars(ask: Ask) -> Call:
    """Whole milliseconds around the span; decoding leaves out what is outside."""
    interval = ask.interval or "1m"
    multiplier, timespan = INTERVALS[interval]
    first, last = (ask.start - _EPOCH) // _MILLISECOND, -((_EPOCH - ask.end) // _MILLISECOND) - 1
    path = f"/v2/aggs/ticker/{ticker(ask.symbols[0])}/range/{multiplier}/{timespan}/{first}/{last}"
    return _call(ask, "bars", path, _AGGREGATES)


_AGGREGATES = (("adjusted", "false"), ("sort", "asc"), ("limit", str(AGGREGATES)))


def _days(name: str, prefix: str = "") -> Callable[[Ask], Call]:
    def call(ask: Ask) -> Call:
        first, last = first_day(ask.start), _last_day(ask.end)
        path = f"/v2/aggs/ticker/{prefix}{ticker(ask.symbols[0])}/range/1/day/{first}/{max(first, last)}"
        return _call(ask, name, path, _AGGREGATES)

    return call


def _grouped(ask: Ask) -> Call:
    path = f"/v2/aggs/grouped/locale/us/market/stocks/{first_day(ask.start)}"
    return _call(ask, "grouped_daily", path, (("adjusted", "false"), ("include_otc", "false")))


def _ticks(kind: str) -> Callable[[Ask], Call]:
    def call(ask: Ask) -> Call:
        first, end = (str((at - _EPOCH) // timedelta(microseconds=1) * 1000) for at in (ask.start, ask.end))
        params = (("timestamp.gte", first), ("timestamp.lt", end), ("order", "asc"), ("sort", "timestamp"))
        return _call(ask, kind, f"/v3/{kind}/{ticker(ask.symbols[0])}", (*params, ("limit", str(TICKS))))

    return call


def _tickers(name: str, active: str) -> Callable[[Ask], Call]:
    def call(ask: Ask) -> Call:
        params = (("market", "stocks"), ("active", active), ("order", "asc"), ("sort", "ticker"), ("limit", str(LIST)))
        return _call(ask, name, "/v3/reference/tickers", params)

    return call


def _details(ask: Ask) -> Call:
    return _call(ask, "ticker_details", f"/v3/reference/tickers/{ticker(ask.symbols[0])}")


def _events(ask: Ask) -> Call:
    path = f"/vX/reference/tickers/{ticker(ask.symbols[0])}/events"
    return _call(ask, "ticker_events", path, (("types", "ticker_change"),))


def _actions(name: str, path: str, column: str, *, is_new: bool = False) -> Callable[[Ask], Call]:
    """Splits or dividends whose ex date is in the span, of one symbol or all."""
    order: Params = (("sort", f"{column}.asc"),) if is_new else (("order", "asc"), ("sort", column))

    def call(ask: Ask) -> Call:
        one: Params = (("ticker", to_vendor(ask.symbols[0])),) if len(ask.symbols) == 1 and ask.symbols != ALL else ()
        dates = ((f"{column}.gte", str(first_day(ask.start))), (f"{column}.lt", str(first_day(ask.end))))
        return _call(ask, name, path, (*one, *dates, *order, ("limit", str(NEW_LIST if is_new else LIST))))

    return call


def _upcoming(ask: Ask) -> Call:
    return _call(ask, "market_days", "/v1/marketstatus/upcoming")


def _snapshots(ask: Ask) -> Call:
    some: Params = () if ask.symbols == ALL else (("tickers", ",".join(map(to_vendor, ask.symbols))),)
    name = "snapshots" if ask.symbols == ALL else "snapshots_of"
    return _call(ask, name, "/v2/snapshot/locale/us/markets/stocks/tickers", (*some, ("include_otc", "false")))


def _universal(ask: Ask) -> Call:
    names = ",".join(map(to_vendor, ask.symbols))
    return _call(ask, "snapshots_v3", "/v3/snapshot", (("ticker.any_of", names), ("limit", "250")))


_SPLITS, _DIVIDENDS = ("execution_date", "ex_dividend_date")

ENDPOINTS = (
    Endpoint("grouped_daily", ("daily_bars",), "day", _grouped, 15_000),
    Endpoint("daily_bars", ("daily_bars",), "symbol", _days("daily_bars"), AGGREGATES),
    Endpoint("bars", ("bars",), "symbol", _bars, AGGREGATES, intervals=tuple(INTERVALS)),
    Endpoint("trades", ("trades",), "symbol", _ticks("trades"), TICKS),
    Endpoint("quotes", ("quotes",), "symbol", _ticks("quotes"), TICKS),
    Endpoint("index_bars", ("index_bars",), "symbol", _days("index_bars", INDEX), AGGREGATES),
    Endpoint("tickers", ("tickers",), "market", _tickers("tickers", "true"), LIST),
    Endpoint("tickers_delisted", ("tickers",), "market", _tickers("tickers_delisted", "false"), LIST),
    Endpoint("ticker_details", ("tickers",), "symbol", _details, 1),
    Endpoint("splits", ("splits",), "market", _actions("splits", "/v3/reference/splits", _SPLITS), LIST),
    Endpoint("dividends", ("dividends",), "market", _actions("dividends", "/v3/reference/dividends", _DIVIDENDS), LIST),
    Endpoint("ticker_events", ("corporate_actions",), "symbol", _events, 100),
    Endpoint("market_days", ("market_days",), "market", _upcoming, 100),
    Endpoint("snapshots", ("snapshots",), "market", _snapshots, 15_000),
    Endpoint("snapshots_of", ("snapshots",), "symbols", _snapshots, SYMBOLS, SYMBOLS),
)

_FLAT_ROOT = "/flatfiles/us_stocks_sip"
FLAT_FILES = {"day_aggs": "daily_bars", "minute_aggs": "bars", "trades": "trades", "quotes": "quotes"}
"""Kinds of flat files and their tables."""


def _flat(kind: str) -> Callable[[Ask], Call]:
    def call(ask: Ask) -> Call:
        day = ask.start.astimezone(NEW_YORK).date()
        path = f"{_FLAT_ROOT}/{kind}_v1/{day:%Y/%m}/{day}.csv.gz"
        return _call(ask, f"flat_{kind}", path, host="files")

    return call


FLAT = tuple(
    Endpoint(f"flat_{kind}", (table,), "day", _flat(kind), 1_000_000_000, intervals=("1m",) if table == "bars" else ())
    for kind, table in FLAT_FILES.items()
)
"""A whole market day as one compressed file, on a host and with keys of its own (`flat_sign`), so not among the others.
Docs: https://massive.com/docs/flat-files, 2026-01-28. There is no file of a closed day."""

FILE_MINUTES = {"flat_day_aggs": 0.02, "flat_minute_aggs": 0.2, "flat_trades": 4.0, "flat_quotes": 30.0}
"""What a file of today's size (0.3 MB, 25 MB, 700 MB, 5 GB) takes at 20 MB/s and while loading, a rough guess."""

_PUBLISHED = time(11)
"""The hour in New York of the day after (https://massive.com/docs/flat-files, 2026-01-28)."""


def published(day: date) -> datetime:
    """When the file of a day is there."""
    return datetime.combine(day + timedelta(days=1), _PUBLISHED, NEW_YORK).astimezone(UTC)


OTHERS = (
    Endpoint(
        "splits_v1", ("splits",), "market", _actions("splits_v1", "/stocks/v1/splits", _SPLITS, is_new=True), NEW_LIST
    ),
    Endpoint(
        "dividends_v1",
        ("dividends",),
        "market",
        _actions("dividends_v1", "/stocks/v1/dividends", _DIVIDENDS, is_new=True),
        NEW_LIST,
    ),
    Endpoint("snapshots_v3", ("snapshots",), "symbols", _universal, 250, 250),
)
"""Other ways to the same tables, read as well and left out of plans, which would ask twice."""
