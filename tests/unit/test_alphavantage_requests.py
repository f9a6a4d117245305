"""Calls of Alpha Vantage: spans, pages, the key, limits."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import msgspec
import pytest

from tests.support.alphavantage import (
    CREDENTIALS,
    ENDPOINTS,
    KEY,
    Memory,
    ask,
    call,
    daily,
    days,
    fetch,
    midnight,
    ny,
)
from tickerplant.credentials import Credentials, Secret
from tickerplant.errors import BadData, UsageError
from tickerplant.rest import Account, Answer, Ask, Call, Outcome, RateLimit
from tickerplant.vendors.alphavantage import VENDOR

assert VENDOR.rest is not None
REST = VENDOR.rest


def months(asked: Ask) -> list[str]:
    """The months asked for, one call after the other."""
    following: Call | None = ENDPOINTS["TIME_SERIES_INTRADAY"].call(asked)
    found = []
    while following is not None:
        found.append(dict(following.params)["month"])
        assert (following.start, following.end, following.page) == (asked.start, asked.end, len(found) - 1)
        following = REST.follow(following, Answer(200, b"{}", {}))
    return found


def test_bars_are_asked_for_month_by_month_from_the_last_one_back() -> None:
    assert months(ask("bars", "IBM", start=date(2025, 11, 15), end=date(2026, 2, 3), interval="5m")) == [
        "2026-02",
        "2026-01",
        "2025-12",
        "2025-11",
    ]


def test_the_end_of_a_span_is_exclusive_and_months_are_new_yorks() -> None:
    assert months(ask("bars", "IBM", start=date(2026, 1, 1), end=date(2026, 2, 1), interval="1m")) == ["2026-01"]
    last_evening = Ask("bars", ("IBM",), ny("2026-01-31 19:00"), ny("2026-01-31 20:00"), "1m")
    assert last_evening.end.month == 2
    assert months(last_evening) == ["2026-01"]


def test_no_month_before_the_vendors_first_is_asked_for() -> None:
    assert months(ask("bars", "IBM", start=date(1999, 1, 1), end=date(2000, 3, 1), interval="1m")) == [
        "2000-02",
        "2000-01",
    ]


def test_bars_are_raw_and_of_extended_hours() -> None:
    made = ENDPOINTS["TIME_SERIES_INTRADAY"].call(
        ask("bars", "BRK.B", start=date(2026, 1, 2), end=date(2026, 1, 3), interval="1h")
    )
    assert dict(made.params) == {
        "function": "TIME_SERIES_INTRADAY",
        "symbol": "BRK-B",
        "interval": "60min",
        "month": "2026-01",
        "outputsize": "full",
        "adjusted": "false",
        "extended_hours": "true",
        "datatype": "json",
    }
    assert (made.symbols, made.interval, made.feed, made.path) == (("BRK.B",), "1h", "rest", "/query")


def test_an_index_is_asked_as_its_etf_and_one_without_as_itself() -> None:
    found = {}
    for index in ("SPX", "NDX", "DJI", "RUT", "VIX"):
        made = ENDPOINTS["TIME_SERIES_DAILY"].call(
            ask("index_bars", index, start=date(2026, 1, 2), end=date(2026, 2, 3))
        )
        assert made.symbols == (index,)
        found[index] = dict(made.params)["function"], dict(made.params)["symbol"]
    assert found == {
        "SPX": ("TIME_SERIES_DAILY", "SPY"),
        "NDX": ("TIME_SERIES_DAILY", "QQQ"),
        "DJI": ("TIME_SERIES_DAILY", "DIA"),
        "RUT": ("TIME_SERIES_DAILY", "IWM"),
        "VIX": ("INDEX_DATA", "VIX"),
    }


def test_the_listing_is_that_of_the_last_day_and_the_delisted_follow() -> None:
    made = ENDPOINTS["LISTING_STATUS"].call(ask("tickers", "*", start=date(2026, 1, 2), end=date(2026, 1, 10)))
    assert dict(made.params) == {"function": "LISTING_STATUS", "date": "2026-01-09", "state": "active"}
    second = REST.follow(made, Answer(200, b"symbol,...", {}))
    assert second is not None
    assert (dict(second.params)["state"], second.page) == ("delisted", 1)
    assert REST.follow(second, Answer(200, b"symbol,...", {})) is None


@pytest.mark.parametrize(
    ("endpoint", "asked"),
    [
        ("TIME_SERIES_DAILY", ask("daily_bars", "A", "B", start=date(2026, 1, 2), end=date(2026, 1, 10))),
        ("OVERVIEW", ask("tickers", "*", start=date(2026, 1, 2), end=date(2026, 1, 10))),
        ("TIME_SERIES_INTRADAY", ask("bars", "A", start=date(2026, 1, 2), end=date(2026, 1, 10), interval="2m")),
        ("LISTING_STATUS", ask("tickers", "*", start=date(2009, 1, 2), end=date(2009, 1, 10))),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(endpoint: str, asked: Ask) -> None:
    with pytest.raises(UsageError):
        ENDPOINTS[endpoint].call(asked)


def test_quirk_32_the_feed_that_was_asked_for_is_kept_and_sent() -> None:
    made = ENDPOINTS["GLOBAL_QUOTE"].call(
        ask("snapshots", "IBM", start=date(2026, 1, 2), end=date(2026, 1, 3), feed="delayed")
    )
    assert made.feed == "delayed"
    assert dict(made.params)["entitlement"] == "delayed"


def test_the_key_is_added_by_sign_alone() -> None:
    for endpoint in REST.endpoints:
        symbol = "*" if endpoint.shape == "market" else "IBM"
        made = endpoint.call(
            ask(endpoint.tables[0], symbol, start=date(2026, 1, 2), end=date(2026, 1, 3), interval="1m")
        )
        assert KEY not in msgspec.json.encode(made).decode()
        assert REST.sign(made, CREDENTIALS).params == (("apikey", KEY),)
        assert endpoint.name == made.endpoint
    assert REST.sign(call("OVERVIEW", "tickers"), Credentials("k1", Secret(""))).params == (("apikey", "k1"),)


def test_limits_by_plan_with_the_free_one_first() -> None:
    assert list(REST.limits) == ["free", "75", "150", "300", "600", "1200"]
    assert REST.limits["free"] == (RateLimit(25, 86_400.0), RateLimit(1, 1.5))
    assert REST.limits["75"] == (RateLimit(75, 60.0), RateLimit(2, 1.0))
    assert REST.limits["1200"] == (RateLimit(1200, 60.0), RateLimit(20, 1.0))


def _history(count: int) -> Memory:
    return Memory({"daily_bars": [daily("IBM", d, 10.0 + i) for i, d in enumerate(days(date(2025, 6, 2), count))]})


def test_a_span_within_the_last_100_days_takes_one_call() -> None:
    fetched = fetch(ask("daily_bars", "IBM", start=date(2025, 8, 1), end=date(2025, 9, 1)), _history(120))
    assert [dict(c.params)["outputsize"] for c in fetched.calls] == ["compact"]
    assert [r["session"] for r in fetched.rows("daily_bars")] == days(date(2025, 8, 1), 31)[::-1]


def test_a_longer_span_takes_the_full_series_and_no_day_comes_twice() -> None:
    fetched = fetch(ask("daily_bars", "IBM", start=date(2025, 6, 2), end=date(2025, 9, 20)), _history(130))
    assert [(c.endpoint, c.page) for c in fetched.calls] == [("TIME_SERIES_DAILY", 0), ("TIME_SERIES_DAILY_FULL", 1)]
    found = [r["session"] for r in fetched.rows("daily_bars")]
    assert sorted(found) == days(date(2025, 6, 2), 110)
    last = fetched.rows("coverage")[-1]
    assert (last["is_last"], last["page"], last["start"]) == (True, 1, midnight(date(2025, 6, 2)))


def test_a_ticker_with_less_than_100_days_has_no_more() -> None:
    fetched = fetch(ask("daily_bars", "IBM", start=date(2020, 6, 2), end=date(2025, 9, 20)), _history(99))
    assert len(fetched.calls) == 1
    assert len(fetched.rows("daily_bars")) == 99


def test_days_without_a_session_are_not_asked_for() -> None:
    """100 days from Monday 2025-06-16: the weekend before is no reason for another call, the Friday is."""
    history = Memory({"daily_bars": [daily("IBM", d) for d in days(date(2025, 6, 16), 100)]})
    for first, calls in ((date(2025, 6, 14), 1), (date(2025, 6, 13), 2)):
        assert len(fetch(ask("daily_bars", "IBM", start=first, end=date(2025, 7, 1)), history).calls) == calls


def test_quirk_29_the_last_100_days_stay_when_the_full_series_is_refused() -> None:
    account = Account(tables=frozenset({"daily_bars"}))
    fetched = fetch(ask("daily_bars", "IBM", start=date(2025, 6, 2), end=date(2025, 11, 1)), _history(130), account)
    assert [v.outcome for v in fetched.verdicts] == [Outcome.ROWS, Outcome.NOT_ENTITLED]
    assert sorted(r["session"] for r in fetched.rows("daily_bars")) == days(date(2025, 7, 2), 100)
    assert [(r["rows"], r["outcome"], r["is_last"]) for r in fetched.rows("coverage")] == [
        (100, "rows", False),
        (0, "not_entitled", True),
    ]


def test_a_page_that_cannot_be_read_has_no_next() -> None:
    asked = ENDPOINTS["TIME_SERIES_DAILY"].call(ask("daily_bars", "IBM", start=date(2025, 1, 2), end=date(2025, 9, 1)))
    for body in (b"", b"{", b'{"a":1}', b"\xff"):
        with pytest.raises(BadData):
            REST.follow(asked, Answer(200, body, {}))


def test_spans_of_bars_hold_exactly_what_was_asked_for() -> None:
    start = ny("2026-01-05 09:30")
    bars = [{"symbol": "IBM", "ts": start + timedelta(minutes=5 * i)} for i in range(4)]
    full = [{**daily("IBM", date(2026, 1, 5)), **b, "ns": 0, "interval": "5m", "revision": 2} for b in bars]
    asked = Ask("bars", ("IBM",), start + timedelta(minutes=5), start + timedelta(minutes=15), "5m")
    found: list[datetime] = [r["ts"] for r in fetch(asked, Memory({"bars": full})).rows("bars")]
    assert sorted(found) == [start + timedelta(minutes=5), start + timedelta(minutes=10)]
