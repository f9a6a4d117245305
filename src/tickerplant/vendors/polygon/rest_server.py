"""The vendor's side: requests answered from a History in the vendor's shapes, and its refusals.

Splits adjust bars unless `adjusted=false`, dividends never. `Account.tables` is the plan, `is_delayed` gives status
DELAYED and holds back 15 minutes. Not played: OTC, indicators, news, options, currencies. Bodies as recorded 2021-06-12
and 2025-11-28; that of a wrong key is not recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from tickerplant.rest import Account, Answer, History, HttpRequest, Refusal, RestServer
from tickerplant.vendors.polygon import server_answers as out
from tickerplant.vendors.polygon import server_flat, server_history, server_reference
from tickerplant.vendors.polygon.server_answers import Asked, Refused
from tickerplant.vendors.polygon.symbols import INDEX

_Make = Callable[[Asked, Mapping[str, str]], Answer]
_SNAPSHOT = "/v2/snapshot/locale/us/markets/stocks/tickers"

_ROUTES: tuple[tuple[str, str, _Make], ...] = (
    (
        r"/v2/aggs/ticker/(?P<ticker>[^/]+)/range/(?P<multiplier>\d{1,4})/(?P<timespan>\w+)/(?P<start>[^/]+)/(?P<end>[^/]+)",
        "bars",
        server_history.aggregates,
    ),
    (r"/v2/aggs/grouped/locale/\w+/market/\w+/(?P<date>[^/]+)", "daily_bars", server_history.grouped),
    (r"/v2/aggs/ticker/(?P<ticker>[^/]+)/prev", "daily_bars", server_history.previous),
    (r"/v3/(?P<kind>trades|quotes)/(?P<ticker>[^/]+)", "", server_history.ticks),
    (r"/v3/reference/tickers", "tickers", server_reference.tickers),
    (r"/v3/reference/tickers/(?P<ticker>[^/]+)", "tickers", server_reference.details),
    (r"/v3/reference/splits|/stocks/v1/splits", "splits", server_reference.splits),
    (r"/v3/reference/dividends|/stocks/v1/dividends", "dividends", server_reference.dividends),
    (r"/vX/reference/tickers/(?P<ticker>[^/]+)/events", "corporate_actions", server_reference.events),
    (r"/v1/marketstatus/upcoming", "market_days", server_reference.upcoming),
    (_SNAPSHOT, "snapshots", server_reference.snapshots),
    (_SNAPSHOT + r"/(?P<ticker>[^/]+)", "snapshots", server_reference.snapshot),
    (r"/v3/snapshot", "snapshots", server_reference.universal),
)
_FLAT = re.compile(r"/flatfiles/us_stocks_sip/(?P<kind>\w+)_v1/\d{4}/\d\d/(?P<date>[\d-]{10})\.csv\.gz")
_PLAIN = {"content-type": "text/plain"}
_FLAT_TABLES = {"day_aggs": "daily_bars", "minute_aggs": "bars", "trades": "trades", "quotes": "quotes"}


def answer(request: HttpRequest, history: History, account: Account) -> Answer:
    """The vendor's answer to a request."""
    path = unquote(request.path)
    asked = Asked(request, history, account)
    if path.startswith(server_flat.BUCKET):
        return _file(asked, path)
    for pattern, table, make in _ROUTES:
        found = re.fullmatch(pattern, path)
        if found:
            return _answered(asked, found.groupdict(), table, make)
    return Answer(404, b"404 page not found\n", _PLAIN)


def _answered(asked: Asked, found: Mapping[str, str], table: str, make: _Make) -> Answer:
    try:
        out.let_in(asked.request, asked.account)
        wanted = _table(found, table)
        if asked.account.tables is not None and wanted not in asked.account.tables:
            raise Refused(403, "NOT_AUTHORIZED", out.ENTITLED)
        return make(asked, found)
    except Refused as refused:
        return out.error(refused, asked.request)


def _table(found: Mapping[str, str], table: str) -> str:
    """What a path asks for, as plans have it."""
    if table == "bars":
        is_index = found["ticker"].startswith(INDEX)
        return "index_bars" if is_index else "daily_bars" if found["timespan"] == "day" else "bars"
    return table or found["kind"]


def _file(asked: Asked, path: str) -> Answer:
    problem = server_flat.signature_error(asked.request, asked.account)
    if problem:
        return server_flat.refused(403, problem)
    if path.rstrip("/") == server_flat.BUCKET:
        return server_flat.listing(asked)
    found = _FLAT.fullmatch(path)
    if found is None or found["kind"] not in _FLAT_TABLES:
        return server_flat.refused(404, "NoSuchKey")
    if asked.account.tables is not None and _FLAT_TABLES[found["kind"]] not in asked.account.tables:
        return server_flat.refused(403, "AccessDenied")
    try:
        return server_flat.part(asked, server_flat.file(asked, found.groupdict()))
    except Refused:
        return server_flat.refused(404, "NoSuchKey")


def refusal(kind: Refusal, request: HttpRequest) -> Answer:
    """Too many requests, without a Retry-After as recorded, or a fault. There is no allowance of a day."""
    if kind in ("rate", "day"):
        return out.error(Refused(429, "ERROR", out.TOO_FAST), request)
    if kind == "html":
        return Answer(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", {"content-type": "text/html"})
    return Answer(500, b"Internal Server Error\n", _PLAIN)


SERVER = RestServer(answer, refusal)
