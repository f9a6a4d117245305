"""Requests of Alpaca's historical and trading APIs, without I/O.

Sources: https://docs.alpaca.markets/reference/stockbars and its siblings, /reference/corporateactions-1,
/reference/get-v2-assets-1, /reference/getcalendar-1, captured 2026-01-26. `start` and `end` are inclusive there, so the
end of a half-open span is asked for as its last nanosecond. `limit` counts rows of all symbols together and a page may
be shorter: only a null `next_page_token` is the end.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from tickerplant.calendar import NEW_YORK
from tickerplant.credentials import Credentials
from tickerplant.errors import BadData
from tickerplant.rest import ALL, Answer, Ask, Call, Endpoint, RateLimit, Rest, RestServer, Sign

HOSTS = {"data": "https://data.alpaca.markets", "trading": "https://paper-api.alpaca.markets"}
PAGE_ROWS, ACTIONS_PAGE, SYMBOLS = 10_000, 1_000, 100
TIMEFRAMES = {"1m": "1Min", "5m": "5Min", "15m": "15Min", "30m": "30Min", "1h": "1Hour"}
SPLIT_TYPES = ("forward_split", "reverse_split", "unit_split")
OTHER_TYPES = (
    *("stock_dividend", "spin_off", "cash_merger", "stock_merger", "stock_and_cash_merger", "redemption"),
    *("name_change", "worthless_removal", "rights_distribution"),
)

LIMITS = {
    "basic": (RateLimit(200, 60.0),),
    "plus": (RateLimit(10_000, 60.0),),
    "broker": (RateLimit(1_000, 60.0),),
    "broker3000": (RateLimit(3_000, 60.0),),
    "broker5000": (RateLimit(5_000, 60.0),),
    "broker10000": (RateLimit(10_000, 60.0),),
}
"""Requests a minute by plan (docs.alpaca.markets/docs/about-market-data-api, captured 2026-01-26)."""

HISTORY_FEEDS = {f: f for f in ("sip", "iex", "otc", "boats", "overnight")} | {"delayed_sip": "sip"}
"""Feeds of the historical endpoints (/reference/stockquotes); the delayed feed is the consolidated one, later."""

Params = tuple[tuple[str, str], ...]


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").replace(".000000Z", "Z")


def _last(end: datetime) -> str:
    """The nanosecond before `end`."""
    before = end.astimezone(UTC) - timedelta(microseconds=1)
    return before.strftime("%Y-%m-%dT%H:%M:%S.%f") + "999Z"


def _call(ask: Ask, endpoint: str, path: str, params: Params, *, host: str = "data") -> Call:
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
        feed=ask.feed or "sip",
    )


def _history(ask: Ask, kind: str, extra: Params = ()) -> Call:
    params = (
        ("symbols", ",".join(ask.symbols)),
        ("start", _instant(ask.start)),
        ("end", _last(ask.end)),
        ("limit", str(PAGE_ROWS)),
        ("feed", ask.feed or "sip"),
        ("sort", "asc"),
        *extra,
    )
    # `asof=-`: rows under the symbol as it was on the tape, without today's renames.
    return _call(ask, kind, f"/v2/stocks/{kind}", (*params, ("asof", "-")))


def _bars(ask: Ask) -> Call:
    return _history(ask, "bars", (("timeframe", TIMEFRAMES[ask.interval or "1m"]), ("adjustment", "raw")))


def _daily(ask: Ask) -> Call:
    return _named(_history(ask, "bars", (("timeframe", "1Day"), ("adjustment", "raw"))), "daily_bars")


def _named(call: Call, name: str) -> Call:
    return msgspec.structs.replace(call, endpoint=name)


def _dates(ask: Ask) -> Params:
    """First and last day, inclusive, in New York."""
    last = (ask.end.astimezone(NEW_YORK) - timedelta(microseconds=1)).date()
    return (("start", ask.start.astimezone(NEW_YORK).date().isoformat()), ("end", last.isoformat()))


def _actions(*types: str) -> Callable[[Ask], Call]:
    def call(ask: Ask) -> Call:
        symbols: Params = () if ask.symbols == ALL else (("symbols", ",".join(ask.symbols)),)
        params = (("types", ",".join(types)), *_dates(ask), ("limit", str(ACTIONS_PAGE)), ("sort", "asc"), *symbols)
        return _call(ask, "corporate_actions", "/v1/corporate-actions", params)

    return call


def _assets(status: str, name: str) -> Callable[[Ask], Call]:
    def call(ask: Ask) -> Call:
        return _call(ask, name, "/v2/assets", (("status", status), ("asset_class", "us_equity")), host="trading")

    return call


def _calendar(ask: Ask) -> Call:
    return _call(ask, "calendar", "/v2/calendar", _dates(ask), host="trading")


def _snapshots(ask: Ask) -> Call:
    params = (("symbols", ",".join(ask.symbols)), ("feed", ask.feed or "iex"))
    return _call(ask, "snapshots", "/v2/stocks/snapshots", params)


ENDPOINTS = (
    Endpoint("bars", ("bars",), "symbols", _bars, PAGE_ROWS, SYMBOLS, None, tuple(TIMEFRAMES)),
    Endpoint("daily_bars", ("daily_bars",), "symbols", _daily, PAGE_ROWS, SYMBOLS),
    Endpoint("quotes", ("quotes",), "symbols", lambda ask: _history(ask, "quotes"), PAGE_ROWS, SYMBOLS),
    Endpoint("trades", ("trades",), "symbols", lambda ask: _history(ask, "trades"), PAGE_ROWS, SYMBOLS),
    Endpoint("snapshots", ("snapshots",), "symbols", _snapshots, 1_000, 1_000),
    Endpoint("splits", ("splits",), "market", _actions(*SPLIT_TYPES), ACTIONS_PAGE),
    Endpoint("dividends", ("dividends",), "market", _actions("cash_dividend"), ACTIONS_PAGE),
    Endpoint("corporate_actions", ("corporate_actions",), "market", _actions(*OTHER_TYPES), ACTIONS_PAGE),
    Endpoint("assets", ("tickers",), "market", _assets("active", "assets"), 20_000),
    Endpoint("assets_inactive", ("tickers",), "market", _assets("inactive", "assets_inactive"), 50_000),
    Endpoint("calendar", ("market_days",), "market", _calendar, 10_000),
)


def sign(call: Call, credentials: Credentials) -> Sign:
    """The two headers of every request."""
    return Sign(
        headers=(("APCA-API-KEY-ID", credentials.key), ("APCA-API-SECRET-KEY", credentials.secret.reveal())),
    )


class _Paged(msgspec.Struct):
    next_page_token: str | None = None


_PAGED = msgspec.json.Decoder(_Paged)


def token(body: bytes) -> str | None:
    """The token of the next page; None at the end and for answers without pages. Raises BadData."""
    if body.lstrip()[:1] == b"[":
        return None
    try:
        return _PAGED.decode(body).next_page_token or None
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadData(f"alpaca: expected an answer with a page token: {error}") from None


def follow(call: Call, answer: Answer) -> Call | None:
    """The call for the next page, None at the end."""
    return next_call(call, answer.body)


def next_call(call: Call, body: bytes) -> Call | None:
    """The call for the page after this body."""
    found = token(body)
    if found is None:
        return None
    params = tuple((k, v) for k, v in call.params if k != "page_token")
    return msgspec.structs.replace(call, params=(*params, ("page_token", found)), page=call.page + 1)


def _server() -> RestServer:
    from tickerplant.vendors.alpaca.rest_server import SERVER

    return SERVER


def rest() -> Rest:
    """The REST side of Alpaca."""
    from tickerplant.vendors.alpaca.rest_judge import judge

    return Rest(HOSTS, ENDPOINTS, LIMITS, sign, judge, follow, _server, history_feeds=HISTORY_FEEDS)
