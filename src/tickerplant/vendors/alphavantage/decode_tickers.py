"""OVERVIEW and LISTING_STATUS -> tickers."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec

from tickerplant.errors import BadData, excerpt
from tickerplant.rest import ALL, Call
from tickerplant.tables import TICKERS
from tickerplant.vendors.alphavantage import times
from tickerplant.vendors.alphavantage.endpoints import DETAILS_FEED
from tickerplant.vendors.alphavantage.judge import UNREADABLE
from tickerplant.vendors.alphavantage.rows import Row, columns_of, each, one_symbol, same_symbol
from tickerplant.vendors.alphavantage.series import Item, csv_rows, number
from tickerplant.vendors.alphavantage.series import text as said
from tickerplant.vendors.alphavantage.symbols import from_vendor
from tickerplant.vendors.answers import Bad, Found, Page

LISTING = ("symbol", "name", "exchange", "assettype", "ipodate", "delistingdate", "status")

_OVERVIEW = {
    "name": "Name",
    "exchange": "Exchange",
    "type": "AssetType",
    "currency": "Currency",
    "cik": "CIK",
    "sector": "Sector",
    "industry": "Industry",
}
_OVERVIEW_NUMBERS = {"market_cap": "MarketCapitalization", "shares_outstanding": "SharesOutstanding"}


def overview(call: Call, body: bytes) -> Page:
    """One ticker; what has no column is kept in `details`. Raises BadData."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except UNREADABLE as error:
        raise BadData(f"alphavantage: expected an overview, was {excerpt(body)!r}: {error}") from None
    found = said(fields.get("Symbol"))
    if found is None:
        raise BadData(f"alphavantage: expected an overview with a Symbol, was {excerpt(body)!r}")
    same_symbol(call, found)
    kept = {"Symbol", *_OVERVIEW.values(), *_OVERVIEW_NUMBERS.values()}
    rest = {k: v for k, v in fields.items() if k not in kept and said(v) is not None}

    def row(item: Item) -> Row:
        return {
            "vendor_symbol": found,
            "is_active": True,
            **{name: said(item.fields.get(key)) for name, key in _OVERVIEW.items()},
            **{name: number(item.fields.get(key)) for name, key in _OVERVIEW_NUMBERS.items()},
            "details": msgspec.json.encode(rest).decode(),
        }

    rows, bad = each([Item(0, found, fields, body)], row)
    return Page((Found(TICKERS, columns_of(rows, symbol=one_symbol(call)), DETAILS_FEED),), tuple(bad))


def listing(call: Call, body: bytes) -> Page:
    """Everything is text until its column says what it is: NA, NAN, TRUE, ON and INF are tickers."""
    wanted = None if call.symbols == ALL else frozenset(call.symbols)
    rows: list[Row] = []
    bad: list[Bad] = []
    for place, line, cells in csv_rows(body):
        if place == -1:
            if tuple(c.strip().lower() for c in cells) != LISTING:
                raise BadData(f"alphavantage: expected the header of a listing, was {excerpt(line)!r}")
            continue
        try:
            row = _listed(cells)
        except ValueError as error:
            bad.append(Bad(place, str(error), line))
            continue
        if wanted is None or row["symbol"] in wanted:
            rows.append(row)
    return Page((Found(TICKERS, columns_of(rows)),), tuple(bad))


def _listed(cells: list[str]) -> Row:
    """A row of the list. Names are not quoted, so one with commas is parted over several cells."""
    if len(cells) < len(LISTING) or not cells[0].strip():
        raise ValueError(f"expected a ticker and {len(LISTING)} columns, was {len(cells)}")
    exchange, kind, listed, delisted, status = (c.strip() for c in cells[-5:])
    if status not in ("Active", "Delisted"):
        raise ValueError(f"expected Active or Delisted, was {status[:40]!r}")
    return {
        "symbol": from_vendor(cells[0]),
        "vendor_symbol": cells[0],
        "name": ",".join(cells[1:-5]).strip() or None,
        "exchange": exchange or None,
        "type": kind or None,
        "is_active": status == "Active",
        "listed_on": _date(listed),
        "delisted_on": _date(delisted),
    }


def _date(value: str) -> date | None:
    return None if said(value) is None else times.day(value)
