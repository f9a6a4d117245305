"""The vendor's own client against our server gets the same data as our decoder."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from massive import RESTClient
from massive.exceptions import BadResponse
from massive.rest.models import Agg

from tests.support.history_polygon import (
    KEY,
    NOW,
    Memory,
    Row,
    ask,
    bar,
    daily,
    days,
    fetch,
    midnight,
    ny,
    quote,
    ticker,
    trade,
)
from tests.support.http_vendor import served
from tickerplant.credentials import Secret
from tickerplant.rest import Account, Ask, HttpRequest
from tickerplant.vendors.polygon.rest_server import SERVER

FIRST, LAST = date(2026, 3, 2), date(2026, 3, 14)
OPEN = ny("2026-03-02 09:30")
SYMBOLS = ("AAPL", "BRK.B", "KIM.PRL", "NA")


def _action(number: int, day: date) -> Row:
    own = {"symbol": "KIM.PRL", "ex_date": day, "amount": 0.25, "currency": "USD", "type": "CD", "frequency": 4}
    later = {"declared_on": day, "record_date": day, "pay_date": day + timedelta(14), "vendor_id": f"D{number}"}
    return own | later


HISTORY = Memory(
    {
        "tickers": [ticker(s, name=f"{s}, Inc.", exchange="XNYS", type="CS", listed_on=FIRST) for s in SYMBOLS]
        + [ticker("FB", is_active=False, delisted_on=FIRST)],
        "daily_bars": [daily(s, d, 10.0 + i) for s in SYMBOLS for i, d in enumerate(days(FIRST, 5))],
        "bars": [bar("AAPL", OPEN + timedelta(minutes=i), 10 + i / 8) for i in range(30)],
        "trades": [trade("AAPL", OPEN + timedelta(seconds=i), i, trade_id=str(i), price=10 + i / 8) for i in range(30)]
        + [trade("AAPL", OPEN + timedelta(seconds=40), size=0.0406)],
        "quotes": [quote("AAPL", OPEN + timedelta(seconds=i), i, bid_price=9 + i / 8) for i in range(30)],
        "splits": [
            {"symbol": "AAPL", "ex_date": d, "split_from": 1.0, "split_to": 4.0, "vendor_id": f"S{d}"}
            for d in days(date(2020, 1, 1), 12)
        ],
        "dividends": [_action(i, d) for i, d in enumerate(days(FIRST, 12))],
        "market_days": [{"exchange": "NYSE", "session": date(2026, 4, 3), "status": "closed", "name": "Good Friday"}],
    }
)
ACCOUNT = Account(secret=Secret(KEY), page_rows=7)


def answer(request: HttpRequest) -> Any:
    return SERVER.answer(request, HISTORY, ACCOUNT)


@pytest.fixture(scope="module")
def client() -> Iterator[RESTClient]:
    with served(answer, lambda: NOW) as url:
        found = RESTClient(KEY, base=url, retries=0)
        yield found
        found.client.clear()


def ours(endpoint: str, asked: Ask) -> list[Row]:
    """The same by our calls and our decoder."""
    return fetch(asked, HISTORY, endpoint, ACCOUNT).rows(asked.table)


def values(bar: Agg) -> tuple[Any, ...]:
    return (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.transactions)


def content(row: Row) -> tuple[Any, ...]:
    return tuple(row[n] for n in ("open", "high", "low", "close", "volume", "vwap", "trade_count"))


def millis(at: datetime) -> int:
    return int(at.timestamp()) * 1000


def test_days_of_a_ticker_over_pages(client: RESTClient) -> None:
    theirs = list(client.list_aggs("KIMpL", 1, "day", "2026-03-02", "2026-03-13", adjusted=False, limit=2))
    mine = ours("daily_bars", ask("daily_bars", "KIM.PRL", start=FIRST, end=LAST))
    assert [values(b) for b in theirs] == [content(r) for r in mine]
    assert [b.timestamp for b in theirs] == [millis(midnight(r["session"])) for r in mine]
    assert len(mine) == 5


def test_minutes_over_pages_quirk_16(client: RESTClient) -> None:
    start, end = OPEN, OPEN + timedelta(minutes=25)
    theirs = list(client.list_aggs("AAPL", 1, "minute", start, end - timedelta(milliseconds=1), adjusted=False))
    mine = ours("bars", Ask("bars", ("AAPL",), start, end, "1m"))
    assert [(b.timestamp, values(b)) for b in theirs] == [(millis(r["ts"]), content(r)) for r in mine]
    assert len(mine) == 25


def test_a_market_day(client: RESTClient) -> None:
    theirs: Any = client.get_grouped_daily_aggs(str(FIRST), adjusted=False)
    mine = ours("grouped_daily", ask("daily_bars", start=FIRST, end=FIRST + timedelta(1)))
    assert [(b.ticker, b.close, b.volume) for b in theirs] == [
        ({"KIM.PRL": "KIMpL"}.get(r["symbol"], r["symbol"]), r["close"], r["volume"]) for r in mine
    ]
    assert client.get_grouped_daily_aggs("2026-03-08", adjusted=False) == []


def test_trades_and_quotes_over_pages(client: RESTClient) -> None:
    start, end = OPEN, OPEN + timedelta(minutes=2)
    bounds: Any = {"timestamp_gte": start, "timestamp_lt": end, "order": "asc", "limit": 1000}
    trades = list(client.list_trades("AAPL", **bounds))
    mine = ours("trades", Ask("trades", ("AAPL",), start, end))
    assert [(t.id, t.price, float(t.decimal_size or t.size)) for t in trades] == [
        (r["trade_id"], r["price"], r["size"]) for r in mine
    ]
    assert [t.sip_timestamp for t in trades] == [millis(r["ts"]) * 1_000_000 + r["ns"] for r in mine]
    assert len(mine) == 31
    quotes = list(client.list_quotes("AAPL", **bounds))
    mine = ours("quotes", Ask("quotes", ("AAPL",), start, end))
    assert [(q.bid_price, q.ask_size, q.sip_timestamp) for q in quotes] == [
        (r["bid_price"], r["ask_size"], millis(r["ts"]) * 1_000_000 + r["ns"]) for r in mine
    ]
    assert len(mine) == 30


def test_tickers(client: RESTClient) -> None:
    asked = ask("tickers", start=FIRST, end=LAST)
    for active, endpoint in ((True, "tickers"), (False, "tickers_delisted")):
        theirs = list(client.list_tickers(market="stocks", active=active, limit=2))
        mine = ours(endpoint, asked)
        assert [(t.ticker, t.name, t.active) for t in theirs] == [
            (r["vendor_symbol"], r["name"], r["is_active"]) for r in mine
        ]
    details: Any = client.get_ticker_details("KIMpL")
    assert (details.name, details.list_date) == ("KIM.PRL, Inc.", "2026-03-02")
    with pytest.raises(BadResponse, match="NOT_FOUND"):
        client.get_ticker_details("KIMPL")


def test_splits_and_dividends_over_pages(client: RESTClient) -> None:
    splits = list(client.list_splits(execution_date_gte="2020-01-03", execution_date_lt="2020-01-09", order="asc"))
    mine = ours("splits", ask("splits", start=date(2020, 1, 3), end=date(2020, 1, 9)))
    assert [(s.execution_date, s.split_to, s.id) for s in splits] == [
        (str(r["ex_date"]), r["split_to"], r["vendor_id"]) for r in mine
    ]
    assert len(mine) == 6
    newer = list(client.list_stocks_splits(sort="execution_date.asc", limit=5))
    assert [s.adjustment_type for s in newer] == ["forward_split"] * 12
    dividends = list(client.list_dividends(ticker="KIMpL", order="asc"))
    mine = ours("dividends", ask("dividends", start=FIRST, end=LAST))
    assert [(d.ex_dividend_date, d.cash_amount, d.pay_date) for d in dividends] == [
        (str(r["ex_date"]), r["amount"], str(r["pay_date"])) for r in mine
    ]
    assert len(mine) == 12


def test_holidays_and_snapshots(client: RESTClient) -> None:
    found: Any = client.get_market_holidays()
    assert [(h.date, h.status, h.name) for h in found] == [("2026-04-03", "closed", "Good Friday")]
    late = Memory({"daily_bars": [daily("AAPL", date(2026, 3, 19), 10.0), daily("AAPL", date(2026, 3, 20), 12.5)]})
    with served(lambda request: SERVER.answer(request, late, Account()), lambda: NOW) as url:
        other = RESTClient(KEY, base=url, retries=0)
        snapshot: Any = other.get_snapshot_ticker("stocks", "AAPL")
        everything: Any = other.get_snapshot_all("stocks")
        other.client.clear()
    assert (snapshot.ticker, snapshot.todays_change, snapshot.prev_day.close) == ("AAPL", 2.5, 10.0)
    assert [s.ticker for s in everything] == ["AAPL"]


def test_a_wrong_key_is_refused(client: RESTClient) -> None:
    other = RESTClient("other", base=client.BASE, retries=0)
    with pytest.raises(BadResponse, match="Unknown API Key"):
        list(other.list_tickers())
    other.client.clear()


def test_the_client_meets_our_limit() -> None:
    with served(lambda request: SERVER.refusal("rate", request), lambda: datetime.now(UTC)) as url:
        hurried = RESTClient(KEY, base=url, retries=0)
        with pytest.raises(Exception, match="429"):
            list(hurried.list_tickers())
        hurried.client.clear()
