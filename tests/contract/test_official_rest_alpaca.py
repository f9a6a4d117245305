"""alpaca-py against the simulator's REST side: the vendor's own client gets what the market knows, and what we get."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest, StockBarsRequest, StockQuotesRequest, StockTradesRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient

from tests.support.rows import rows
from tickerplant.rest import Account
from tickerplant.simulator.history import MarketHistory
from tickerplant.simulator.reference import Past, past
from tickerplant.simulator.rest import RestOptions, serving

NOON = datetime(2025, 11, 20, 17, tzinfo=UTC)
COUNT = 250


def _history() -> MarketHistory:
    found = MarketHistory(past(Past(7, 20, datetime(2025, 10, 1).date(), datetime(2025, 11, 20).date())))  # noqa: DTZ001
    moments = [NOON + timedelta(milliseconds=i) for i in range(COUNT)]
    both = [{"symbol": s, "ts": at, "conditions": "R"} for s in ("BRK.B", "SPY") for at in moments]
    found.add(rows("quotes", *({**b, "bid_exchange": "V", "ask_exchange": "V", "tape": "A"} for b in both)))
    found.add(rows("trades", *({**b, "trade_id": str(i), "exchange": "D"} for i, b in enumerate(both))))
    return found


HISTORY = _history()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(HISTORY, RestOptions(("alpaca",), account=Account(page_rows=70))) as servers:
        yield servers.urls["alpaca"]


def test_quotes_and_trades_over_many_pages(url: str) -> None:
    client = StockHistoricalDataClient("key", "secret", url_override=url)
    span: dict[str, Any] = {"symbol_or_symbols": ["SPY", "BRK.B"], "start": NOON, "end": NOON + timedelta(seconds=1)}
    quotes = client.get_stock_quotes(StockQuotesRequest(**span)).data  # type: ignore[union-attr]
    trades = client.get_stock_trades(StockTradesRequest(**span)).data  # type: ignore[union-attr]
    for name in ("SPY", "BRK.B"):
        assert [q.timestamp for q in quotes[name]] == [NOON + timedelta(milliseconds=i) for i in range(COUNT)]
        assert len({t.id for t in trades[name]}) == COUNT


def test_daily_bars_equal_the_history(url: str) -> None:
    client = StockHistoricalDataClient("key", "secret", url_override=url)
    start, end = datetime(2025, 10, 1, 4, tzinfo=UTC), datetime(2025, 11, 20, 4, tzinfo=UTC)
    wanted = StockBarsRequest(symbol_or_symbols=["SPY", "NA"], timeframe=TimeFrame.Day, start=start, end=end)
    found = client.get_stock_bars(wanted).data  # type: ignore[union-attr]
    for name in ("SPY", "NA"):
        truth = HISTORY.rows("daily_bars", [name], start, end + timedelta(days=1)).to_pylist()
        assert [(b.open, b.close, b.volume) for b in found[name]] == [
            (r["open"], r["close"], r["volume"]) for r in truth
        ]
        assert [b.timestamp.date() for b in found[name]] == [r["session"] for r in truth]


def test_assets_calendar_and_corporate_actions(url: str) -> None:
    trading = TradingClient("key", "secret", paper=True, url_override=url)
    far = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    assets = trading.get_all_assets()
    assert len(assets) == HISTORY.rows("tickers", None, *far).num_rows
    days = trading.get_calendar()
    assert len(days) == HISTORY.rows("market_days", None, *far).num_rows
    actions = CorporateActionsClient("key", "secret", url_override=url)
    asked = CorporateActionsRequest(start=datetime(2025, 10, 1).date(), end=datetime(2025, 11, 20).date())  # noqa: DTZ001
    found = actions.get_corporate_actions(asked).data  # type: ignore[union-attr]
    assert len(found.get("cash_dividends", [])) == HISTORY.rows("dividends", None, *far).num_rows
