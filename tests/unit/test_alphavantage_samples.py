"""Every sample of Alpha Vantage becomes right rows or an error with a name. The samples stay outside of the project."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pytest

from tests.support.alphavantage import REST, SAMPLES, Row, call, decoded, ny, rows
from tickerplant.rest import Answer, Call, Outcome

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="vendor samples are not there")


@dataclass(frozen=True)
class Expected:
    """The call a sample answers, what it is judged as, and its rows by table."""

    call: Call
    tables: dict[str, int] = field(default_factory=dict)
    outcome: Outcome = Outcome.ROWS
    status: int = 200


def minutes(interval: str, function: str = "TIME_SERIES_INTRADAY", symbol: str = "IBM") -> Call:
    return call(function, "bars", symbol=symbol, interval=interval)


DAILY = call("TIME_SERIES_DAILY", "daily_bars")
ADJUSTED = call("TIME_SERIES_DAILY_ADJUSTED", "daily_bars")
LISTING = call("LISTING_STATUS", "tickers", symbol=None)
QUOTE = call("GLOBAL_QUOTE", "snapshots")

EXPECTED = {
    "global_quote_msft_2018.json": Expected(call("GLOBAL_QUOTE", "snapshots", symbol="MSFT"), {"snapshots": 1}),
    "global_quote_ibm_2025-11-06.json": Expected(QUOTE, {"snapshots": 1}),
    "time_series_intraday_1min_msft_2017.json": Expected(minutes("1min", symbol="MSFT"), {"bars": 100}),
    "time_series_intraday_extended_1min_2020-12_head.csv": Expected(
        minutes("1min", "TIME_SERIES_INTRADAY_EXTENDED"), {"bars": 699}
    ),
    "time_series_intraday_1min_aapl_2020-04-20.csv": Expected(minutes("1min", symbol="AAPL"), {"bars": 3}),
    "time_series_intraday_5min_ibm_2020-07-27.csv": Expected(minutes("5min"), {"bars": 100}),
    "time_series_intraday_5min_ibm_2024-09-23.csv": Expected(minutes("5min"), {"bars": 100}),
    "time_series_intraday_5min_ibm_2025-11-06.json": Expected(minutes("5min"), {"bars": 51}),
    "time_series_daily_ibm_2020-07-29.csv": Expected(DAILY, {"daily_bars": 100}),
    "time_series_daily_ibm_2024-07-05.csv": Expected(DAILY, {"daily_bars": 100}),
    "time_series_daily_ibm_2025-11-06.json": Expected(DAILY, {"daily_bars": 16}),
    "time_series_daily_adjusted_ibm_2021-07-09.csv": Expected(ADJUSTED, {"daily_bars": 100, "dividends": 1}),
    "time_series_daily_adjusted_ibm_2023-06-02.csv": Expected(ADJUSTED, {"daily_bars": 100, "dividends": 2}),
    "time_series_daily_adjusted_ibm_2024-08-21.csv": Expected(ADJUSTED, {"daily_bars": 100, "dividends": 2}),
    "listing_status_active_2025-03-31.csv": Expected(LISTING, {"tickers": 11831}),
    "listing_status_active_2022-02_odd.csv": Expected(LISTING, {"tickers": 220}),
    "listing_status_active_2024-01_odd.csv": Expected(LISTING, {"tickers": 220}),
    "overview_ibm.json": Expected(call("OVERVIEW", "tickers"), {"tickers": 1}),
    "errors/index_data_shape.json": Expected(call("INDEX_DATA", "index_bars", symbol="SPX"), {"index_bars": 1}),
    "symbol_search_ba.json": Expected(call("SYMBOL_SEARCH", "tickers")),
    "market_status_2025-11.json": Expected(call("MARKET_STATUS", "market_days")),
    "currency_exchange_rate_btc_cny_2017.json": Expected(call("CURRENCY_EXCHANGE_RATE", "snapshots")),
    "crypto_intraday_5min_eth_usd_2024-09-24.csv": Expected(minutes("5min", "CRYPTO_INTRADAY")),
    "sector_2017.json": Expected(call("SECTOR", "snapshots")),
    "sma_msft_2017.json": Expected(call("SMA", "bars")),
    "time_series_weekly_adjusted_ibm_2025-11-06.json": Expected(call("TIME_SERIES_WEEKLY_ADJUSTED", "daily_bars")),
    "time_series_monthly_ibm_2025-11-06.json": Expected(call("TIME_SERIES_MONTHLY", "daily_bars")),
    "time_series_monthly_adjusted_ibm_2020-07.csv": Expected(call("TIME_SERIES_MONTHLY_ADJUSTED", "daily_bars")),
    "errors/csv_quota_notice.csv": Expected(LISTING, outcome=Outcome.QUOTA),
    "errors/empty_object.json": Expected(call("OVERVIEW", "tickers"), outcome=Outcome.NO_DATA),
    "errors/global_quote_empty.json": Expected(QUOTE, outcome=Outcome.NO_DATA),
    "errors/error_message_apikey.json": Expected(DAILY, outcome=Outcome.FATAL),
    "errors/error_message_invalid_call.json": Expected(DAILY, outcome=Outcome.BAD_REQUEST),
    "errors/http_406.json": Expected(LISTING, outcome=Outcome.FATAL, status=406),
    "errors/http_503_html.txt": Expected(DAILY, outcome=Outcome.RETRY, status=503),
    "errors/information_25_per_day.json": Expected(DAILY, outcome=Outcome.QUOTA),
    "errors/information_burst_1_per_second.json": Expected(DAILY, outcome=Outcome.WAIT),
    "errors/information_burst_paid.json": Expected(DAILY, outcome=Outcome.WAIT),
    "errors/information_demo_key.json": Expected(DAILY, outcome=Outcome.FATAL),
    "errors/information_premium_endpoint.json": Expected(ADJUSTED, outcome=Outcome.NOT_ENTITLED),
    "errors/note_5_per_minute_old.json": Expected(DAILY, outcome=Outcome.WAIT),
}


def body(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def sample(name: str, table: str) -> list[Row]:
    return rows(decoded(EXPECTED[name].call, body(name)), table)


def manifest() -> list[str]:
    lines = (SAMPLES.parent / "manifest.jsonl").read_text().splitlines() if SAMPLES.is_dir() else []
    files: list[str] = [json.loads(line)["file"] for line in lines]
    return [f.removeprefix("alphavantage/") for f in files if f.startswith("alphavantage/")]


def test_every_sample_has_an_expectation() -> None:
    assert sorted(EXPECTED) == sorted(manifest())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_sample_becomes_what_is_expected(name: str) -> None:
    expected = EXPECTED[name]
    verdict = REST.judge(expected.call, Answer(expected.status, body(name), {}))
    assert verdict.outcome is expected.outcome
    found = decoded(expected.call, body(name))
    counts = {b.table.name: b.rows.num_rows for b in found.batches if b.table.name != "coverage"}
    assert counts == expected.tables
    if expected.tables:
        assert not found.rejects
    elif expected.outcome is Outcome.NO_DATA:
        assert [r["rows"] for r in rows(found, "coverage")] == [0]
    else:
        assert [r.item for r in found.rejects] == [-1]
        assert found.rejects[0].reason.startswith("alphavantage")
        assert ("has no table" in found.rejects[0].reason) == (expected.outcome is Outcome.ROWS)


def prices(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("open", "high", "low", "close", "volume"))


def test_daily_bars_of_three_recordings() -> None:
    first = sample("time_series_daily_ibm_2025-11-06.json", "daily_bars")
    assert (first[0]["session"], *prices(first[0])) == (date(2025, 11, 6), 306.75, 315.44, 301.09, 312.42, 5687955.0)
    assert (first[-1]["session"], first[-1]["close"]) == (date(2025, 10, 16), 275.97)
    older = sample("time_series_daily_ibm_2020-07-29.csv", "daily_bars")
    assert (older[-1]["session"], *prices(older[-1])) == (date(2020, 3, 9), 120.16, 122.41, 117.28, 117.81, 10750357.0)
    saved = sample("time_series_daily_ibm_2024-07-05.csv", "daily_bars")
    assert (saved[1]["session"], *prices(saved[1])) == (date(2024, 7, 3), 177.88, 177.98, 175.17, 175.73, 1649049.0)


def test_quirk_23_adjusted_recordings_keep_the_raw_close() -> None:
    found = sample("time_series_daily_adjusted_ibm_2023-06-02.csv", "daily_bars")
    assert (found[-1]["session"], found[-1]["close"]) == (date(2023, 1, 10), 144.8)
    dividends = sample("time_series_daily_adjusted_ibm_2023-06-02.csv", "dividends")
    assert [(r["symbol"], r["ex_date"], r["amount"]) for r in dividends] == [
        ("IBM", date(2023, 5, 9), 1.66),
        ("IBM", date(2023, 2, 9), 1.65),
    ]


def test_quirk_22_recordings_of_2020_and_of_2024_both_become_starts() -> None:
    older = sample("time_series_intraday_5min_ibm_2020-07-27.csv", "bars")
    stamps = {r["ts"]: prices(r) for r in older}
    assert stamps[ny("2020-07-27 15:55")] == (126.2, 126.26, 126.03, 126.2, 237139.0)
    assert stamps[ny("2020-07-24 19:55")] == (125.45, 125.45, 125.45, 125.45, 778.0)
    newer = sample("time_series_intraday_5min_ibm_2024-09-23.csv", "bars")
    assert (newer[0]["ts"], *prices(newer[0])) == (ny("2024-09-23 19:55"), 220.4, 220.49, 220.4, 220.47, 278.0)
    slices = sample("time_series_intraday_extended_1min_2020-12_head.csv", "bars")
    assert slices[0]["ts"] == ny("2020-12-18 19:59")
    assert sample("time_series_intraday_1min_msft_2017.json", "bars")[0]["ts"] == ny("2017-12-18 14:55")


def test_quirk_30_the_outliers_of_a_recording_are_kept() -> None:
    found = {r["ts"]: r for r in sample("time_series_intraday_5min_ibm_2025-11-06.json", "bars")}
    assert found[ny("2025-11-06 16:55")]["volume"] == 1117113.0
    assert found[ny("2025-11-06 16:00")]["low"] == 306.77
    assert datetime(2025, 11, 7, 0, 55, tzinfo=UTC) in found


def test_snapshots_of_recordings() -> None:
    found = sample("global_quote_msft_2018.json", "snapshots")[0]
    assert found == {
        "symbol": "MSFT",
        "session": date(2018, 10, 5),
        "price": 112.13,
        "open": 112.63,
        "high": 113.17,
        "low": 110.64,
        "volume": 29062853.0,
        "previous_close": 112.79,
        "change": -0.66,
        "change_percent": -0.5852,
    }


def test_quirk_20_a_whole_listing_keeps_every_ticker() -> None:
    found = {r["symbol"]: r for r in sample("listing_status_active_2025-03-31.csv", "tickers")}
    assert len(found) == 11831
    for name in ("NA", "NAN", "ON", "TRUE", "ZVZZT", "BRK.B", "BC/PA", "NXT(EXP20091224)", "BAC.PRM", "NE.WS.A"):
        assert found[name]["is_active"]
    assert found["BRK.B"]["vendor_symbol"] == "BRK-B"
    assert found["BRK.B"]["listed_on"] == date(1996, 5, 9)
    assert found["ZZK"]["name"] is None
    assert found["AAA"]["name"] == "ALTERNATIVE ACCESS FIRST PRIORITY CLO BOND ETF"
    assert {r["type"] for r in found.values()} == {"Stock", "ETF"}
    assert {r["exchange"] for r in found.values()} == {"NASDAQ", "NYSE", "NYSE ARCA", "NYSE MKT", "BATS"}


def test_an_overview_of_a_recording() -> None:
    found = sample("overview_ibm.json", "tickers")[0]
    assert found["name"] == "International Business Machines Corporation"
    assert (found["exchange"], found["type"], found["currency"]) == ("NYSE", "Common Stock", "USD")
    assert (found["sector"], found["industry"]) == ("Technology", "Information Technology Services")
    assert (found["market_cap"], found["shares_outstanding"]) == (114234572800.0, 890579008.0)
    details = json.loads(found["details"])
    assert (details["PERatio"], details["LastSplitFactor"], details["Country"]) == ("14.1327", "2:1", "USA")
    assert "Name" not in details


def test_the_shape_of_an_index() -> None:
    assert sample("errors/index_data_shape.json", "index_bars") == [
        {
            "symbol": "SPX",
            "session": date(2026, 1, 2),
            "open": 0.0,
            "high": 0.0,
            "low": 0.0,
            "close": None,
            "volume": None,
            "proxy": None,
        }
    ]
