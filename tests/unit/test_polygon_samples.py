"""Every sample of Polygon becomes right rows or an error with a name. The samples stay outside of the project."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.history_polygon import REST, SAMPLES, Row, decoded, ny, rows
from tickerplant.rest import Answer, Call, Outcome

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="vendor samples are not there")


@dataclass(frozen=True)
class Expected:
    """What a sample is an answer to, what it is judged as, its rows by table, and its items set aside.

    `said` is in the reason of each of those; -1 is the whole answer.
    """

    endpoint: str
    table: str
    tables: dict[str, int] = field(default_factory=dict)
    symbol: str = "AAPL"
    bad: tuple[int, ...] = ()
    said: str = ""
    outcome: Outcome = Outcome.ROWS
    path: str = "/"


def _day(count: int, endpoint: str = "daily_bars", symbol: str = "AAPL", **more: Any) -> Expected:
    return Expected(endpoint, "daily_bars", {"daily_bars": count} if count else {}, symbol, **more)


def _period(name: str) -> Expected:
    return _day(0, symbol="AMZN", bad=(-1,), said=f"'{name}'), which has no table")


def _none(endpoint: str, **more: Any) -> Expected:
    return Expected(endpoint, "tickers", bad=(-1,), said="which has no table", **more)


def _list(table: str, count: int, endpoint: str | None = None, **more: Any) -> Expected:
    return Expected(endpoint or table, table, {table: count}, "*", **more)


def _former(table: str, count: int, said: str) -> Expected:
    """Answers of endpoints that are gone, in shapes of their own: each item is set aside."""
    return Expected(table, table, {}, "AAPL", tuple(range(count)), said)


def _whole(endpoint: str, table: str, said: str, outcome: Outcome = Outcome.ROWS) -> Expected:
    return Expected(endpoint, table, {}, "*", (-1,), said, outcome)


INDEX_DAYS = Expected("index_bars", "index_bars", {"index_bars": 54}, "NDX")
SNAPSHOT = _list("snapshots", 1)
FORMER_DIVIDEND, FORMER_SPLIT = "`ex_dividend_date`", "`execution_date`"

EXPECTED: dict[str, Expected] = {
    "rest/client_v1_marketstatus_upcoming.json": _list("market_days", 14),
    "rest/client_v1_open_close_AAPL_2005_04_01_adjusted_true.json": _day(1, "open_close"),
    "rest/client_v2_aggs_grouped_locale_us_market_stocks_2005_04_04_adjusted_true.json": Expected(
        "grouped_daily", "daily_bars", {}, "*", (0,), "expected the day 2005-04-04, was 2020-10-14"
    ),
    "rest/client_v2_aggs_ticker_AAPL_prev.json": _day(1, "previous"),
    "rest/client_v2_aggs_ticker_AAPL_range_1_day_2005_04_01_2005_04_04.json": _day(2),
    "rest/client_v2_aggs_ticker_AAPL_range_1_day_2005_04_02_2005_04_04.json": _day(2),
    "rest/client_v2_snapshot_locale_us_markets_stocks_gainers.json": _list("snapshots", 2),
    "rest/client_v2_snapshot_locale_us_markets_stocks_tickers_AAPL.json": SNAPSHOT,
    "rest/client_v2_snapshot_locale_us_markets_stocks_tickers_index.json": SNAPSHOT,
    "rest/client_v3_quotes_AAPL.json": Expected("quotes", "quotes", {"quotes": 10}),
    "rest/client_v3_quotes_AAPL_cursor_page2.json": Expected("quotes", "quotes", {"quotes": 10}),
    "rest/client_v3_reference_dividends.json": _list("dividends", 10),
    "rest/client_v3_reference_splits.json": _list("splits", 10),
    "rest/client_v3_reference_tickers.json": _list("tickers", 2),
    "rest/client_v3_reference_tickers_cursor_page2.json": _list("tickers", 2),
    "rest/client_v3_reference_tickers_AAPL.json": _list("tickers", 1, "ticker_details"),
    "rest/client_v3_reference_tickers_AAPL_date_2020_10_01.json": _list("tickers", 1, "ticker_details"),
    "rest/client_v3_snapshot.json": _list("snapshots", 1, "snapshots_v3", bad=(0,), said="was 'options', which has no"),
    "rest/client_v3_snapshot_indices_ticker.any_of_SPX_2CAPx_2CAPy.json": Expected(
        "index_snapshots", "index_bars", {}, "*", (0, 2), "expected a"
    ),
    "rest/client_v3_trades_AAPL_limit_2.json": Expected("trades", "trades", {"trades": 2, "trade_corrections": 2}),
    "rest/client_vX_reference_tickers_META_events_types_ticker_change.json": Expected(
        "ticker_events", "corporate_actions", {"corporate_actions": 2}, "META"
    ),
    "rest/nautilus_http_tickers.json": _list("tickers", 2),
    "rest/nautilus_http_trades.json": Expected("trades", "trades", {"trades": 2}),
    "rest/old_market_holidays.json": _list("market_days", 42),
    "rest/old_reference_stocks_dividends.json": _former("dividends", 60, FORMER_DIVIDEND),
    "rest/old_reference_stocks_splits.json": _former("splits", 3, FORMER_SPLIT),
    "rest/old_stocks_aggregates.json": _day(21),
    "rest/old_stocks_daily_open_close.json": _day(1, "open_close"),
    "rest/old_stocks_historic_quotes.json": _former("quotes", 500, "expected a time, was none"),
    "rest/old_stocks_historic_trades.json": _former("trades", 500, "expected a price and a size, was none"),
    "rest/old_stocks_previous_close.json": _day(1, "previous"),
    "rest/old_stocks_snapshot.json": SNAPSHOT,
    "rest/old_stocks_snapshot_gainers_losers.json": _list("snapshots", 21),
    "rest/old_ticker_details.json": _whole("ticker_details", "tickers", "expected results, was"),
    "rest/old_tickers.json": _whole("tickers", "tickers", "expected results, was"),
    "rest/old_tickers_2.json": _whole("tickers", "tickers", "expected results, was"),
    "rest/r_aggs_bars_complete_eb_1year_1.json": _period("year"),
    "rest/r_aggs_bars_get_eb_url_1month_1.json": _period("month"),
    "rest/r_aggs_bars_get_eb_url_1quarter_1.json": _period("quarter"),
    "rest/r_aggs_bars_get_eb_url_1week_1.json": _period("week"),
    "rest/r_aggs_bars_get_eb_url_1year_1.json": _period("year"),
    "rest/r_aggs_bars_get_lb_url_1month_1.json": _period("month"),
    "rest/r_aggs_bars_get_lb_url_1quarter_1.json": _period("quarter"),
    "rest/r_aggs_bars_get_lb_url_1week_1.json": _period("week"),
    "rest/r_aggs_bars_get_lb_url_1year_1.json": _period("year"),
    "rest/r_aggs_bars_get_sb_url_1month_2.json": _period("month"),
    "rest/r_aggs_bars_get_sb_url_1quarter_1.json": _period("quarter"),
    "rest/r_aggs_bars_get_sb_url_1week_1.json": _period("week"),
    "rest/r_aggs_bars_get_sb_url_1year_1.json": _period("year"),
    "rest/r_daily_open_close.json": _day(1, "open_close", "BYND"),
    "rest/r_market_holidays.json": _list("market_days", 10),
    "rest/r_previous_close.json": _day(1, "previous", "BYND"),
    "rest/r_stock_dividends.json": _former("dividends", 69, FORMER_DIVIDEND),
    "rest/r_stock_splits.json": _former("splits", 1, FORMER_SPLIT),
    "rest/rec_aggs_AAPL_2023-01.json": _day(6),
    "rest/rec_indices_aggs_I_NDX_2023.json": INDEX_DAYS,
    "rest/rec_market_holidays.json": _list("market_days", 24),
    "rest/rec_reference_stocks_dividends.json": _former("dividends", 83, FORMER_DIVIDEND),
    "rest/rec_reference_stocks_splits.json": _former("splits", 4, FORMER_SPLIT),
    "rest/rec_stocks_aggregates.json": _day(22),
    "rest/rec_stocks_daily_open_close.json": _day(1, "open_close"),
    "rest/rec_stocks_grouped_daily.json": _day(450, "grouped_daily", "*"),
    "rest/rec_stocks_historic_quotes.json": _whole("quotes", "quotes", "NOT_AUTHORIZED", Outcome.NOT_ENTITLED),
    "rest/rec_stocks_historic_trades.json": _whole("trades", "trades", "deprecated", Outcome.BAD_REQUEST),
    "rest/rec_stocks_last_quote.json": _none("last_quote", outcome=Outcome.NOT_ENTITLED),
    "rest/rec_stocks_previous_close.json": _day(1, "previous"),
    "rest/rec_stocks_snapshot.json": SNAPSHOT,
    "rest/rec_stocks_snapshot_gainers_losers.json": _list("snapshots", 21),
    "rest/rec_ticker_details.json": _whole("ticker_details", "tickers", "expected results, was"),
    "rest/rec_tickers.json": _list("tickers", 100),
    "docs/page_dividends.json": _list("dividends", 1, "dividends_v1"),
    "docs/page_full_market_snapshot.json": SNAPSHOT,
    "docs/page_market_holidays.json": _list("market_days", 5),
    "docs/page_splits.json": _list("splits", 1, "splits_v1"),
    "docs/page_ticker_events.json": _list("corporate_actions", 2, "ticker_events"),
    "docs/v1_marketstatus_upcoming_200.json": _list("market_days", 5),
    "docs/v1_open_close_indicesTicker_date_200.json": Expected("open_close", "index_bars", {"index_bars": 1}, "NDX"),
    "docs/v1_open_close_indicesTicker_date_200.csv": _whole("open_close", "index_bars", "expected an answer"),
    "docs/v1_open_close_stocksTicker_date_200.json": _day(1, "open_close"),
    "docs/v1_open_close_stocksTicker_date_200.csv": _whole("open_close", "daily_bars", "expected an answer"),
    "docs/v2_aggs_grouped_locale_us_market_stocks_date_200.json": _day(
        3, "grouped_daily", "*", path="/market/stocks/2020-10-14"
    ),
    "docs/v2_aggs_grouped_locale_us_market_stocks_date_200.csv": _day(
        3, "grouped_daily", "*", path="/market/stocks/2020-10-14"
    ),
    "docs/v2_aggs_ticker_indicesTicker_prev_200.json": Expected("previous", "index_bars", {"index_bars": 1}, "NDX"),
    "docs/v2_aggs_ticker_indicesTicker_prev_200.csv": Expected(
        "previous", "index_bars", {}, "NDX", (0,), "expected 8 cells, was 6"
    ),
    "docs/v2_aggs_ticker_indicesTicker_range_multiplier_timespan_from_to_200.json": Expected(
        "index_bars", "index_bars", {"index_bars": 2}, "NDX"
    ),
    "docs/v2_aggs_ticker_indicesTicker_range_multiplier_timespan_from_to_200.csv": Expected(
        "index_bars", "index_bars", {}, "NDX", (0, 1), "expected 6 cells, was 5"
    ),
    "docs/v2_aggs_ticker_stocksTicker_prev_200.json": _day(1, "previous"),
    "docs/v2_aggs_ticker_stocksTicker_prev_200.csv": _day(1, "previous"),
    "docs/v2_aggs_ticker_stocksTicker_range_multiplier_timespan_from_to_200.json": _day(2),
    "docs/v2_aggs_ticker_stocksTicker_range_multiplier_timespan_from_to_200.csv": _day(2),
    "docs/v2_snapshot_locale_us_markets_stocks_direction_200.json": SNAPSHOT,
    "docs/v2_snapshot_locale_us_markets_stocks_direction_200.csv": _whole("snapshots", "snapshots", "an answer"),
    "docs/v2_snapshot_locale_us_markets_stocks_tickers_200.json": SNAPSHOT,
    "docs/v2_snapshot_locale_us_markets_stocks_tickers_200.csv": _whole("snapshots", "snapshots", "an answer"),
    "docs/v2_snapshot_locale_us_markets_stocks_tickers_stocksTicker_200.json": SNAPSHOT,
    "docs/v2_snapshot_locale_us_markets_stocks_tickers_stocksTicker_200.csv": _whole(
        "snapshots", "snapshots", "an answer"
    ),
    "docs/v3_quotes_stockTicker_200.json": Expected("quotes", "quotes", {"quotes": 2}),
    "docs/v3_quotes_stockTicker_200.csv": Expected("quotes", "quotes", {"quotes": 2}),
    "docs/v3_reference_dividends_200.json": _list("dividends", 2),
    "docs/v3_reference_dividends_200.csv": _list("dividends", 2),
    "docs/v3_reference_splits_200.json": _list("splits", 2),
    "docs/v3_reference_splits_200.csv": _list("splits", 2),
    "docs/v3_reference_tickers_200.json": _list("tickers", 1),
    "docs/v3_reference_tickers_200.csv": _list("tickers", 1),
    "docs/v3_reference_tickers_ticker_200.json": _list("tickers", 1, "ticker_details"),
    "docs/v3_reference_tickers_ticker_200.csv": _list("tickers", 1, "ticker_details"),
    "docs/v3_snapshot_200.json": _list("snapshots", 1, "snapshots_v3", bad=(0,), said="was 'options', which has no"),
    "docs/v3_snapshot_indices_200.json": Expected(
        "index_snapshots", "index_bars", {"index_bars": 1}, "*", (2,), "'APy', was NOT_ENTITLED"
    ),
    "docs/v3_trades_stockTicker_200.json": Expected("trades", "trades", {"trades": 2}),
    "docs/v3_trades_stockTicker_200.csv": Expected("trades", "trades", {"trades": 2}),
    "errors/404_plain.txt": _whole("tickers", "tickers", "expected CSV", Outcome.BAD_REQUEST),
    "errors/429_rate_limit.json": Expected(
        "daily_bars", "daily_bars", bad=(-1,), said="maximum requests per minute", outcome=Outcome.WAIT, path="/v2/"
    ),
    "flatfiles/us_stocks_sip_day_aggs_v1_2024-03-07_head.csv": _day(3, "flat_day_aggs", "*"),
    "flatfiles/us_stocks_sip_trades_v1_2026-09-18_rows.csv": Expected(
        "flat_trades", "trades", {"trades": 2, "trade_corrections": 1}, "*"
    ),
}

OTHERS = {
    "rest/client_v1_indicators_": "indicators",
    "rest/client_v1_marketstatus_now": "marketstatus_now",
    "rest/client_v1_summaries": "summaries",
    "rest/client_v2_last_": "last",
    "rest/client_v3_reference_conditions": "conditions",
    "rest/client_v3_reference_exchanges": "exchanges",
    "rest/client_v3_reference_tickers_types": "ticker_types",
    "docs/page_ipos": "ipos",
    "docs/page_related_tickers": "related_tickers",
    "docs/v1_marketstatus_now": "marketstatus_now",
    "docs/v1_summaries": "summaries",
    "docs/v2_last_": "last",
    "docs/v3_reference_conditions": "conditions",
    "docs/v3_reference_exchanges": "exchanges",
    "docs/v3_reference_tickers_types": "ticker_types",
    **{
        f"rest/{when}_{name}": name
        for when in ("rec", "old", "r")
        for name in (
            *("exchanges", "locales", "markets", "market_status", "ticker_types", "stocks_condition_mappings"),
            *("stocks_list_exchanges", "stocks_last_trade", "stocks_last_quote"),
        )
    },
}
"""Beginnings of the names of samples whose endpoints have no table here."""


def manifest() -> dict[str, dict[str, Any]]:
    lines = (SAMPLES.parent / "manifest.jsonl").read_text().splitlines() if SAMPLES.is_dir() else []
    found = [json.loads(line) for line in lines]
    named = {f["file"].removeprefix("polygon/"): f for f in found if f["file"].startswith("polygon/")}
    return {name: entry for name, entry in named.items() if not name.startswith("ws/")}


MANIFEST = manifest()


def expected_of(name: str) -> Expected:
    known = EXPECTED.get(name)
    return known or _none(next(endpoint for start, endpoint in OTHERS.items() if name.startswith(start)))


def call_of(name: str) -> Call:
    """The call that a sample answers, by the manifest."""
    expected, asked = expected_of(name), MANIFEST[name].get("request") or ""
    path = urlsplit(asked.split()[-1]).path if asked and expected.path == "/" else expected.path
    symbols = (expected.symbol,)
    return Call(endpoint=expected.endpoint, table=expected.table, path=path, symbols=symbols, feed="sip")


def body(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def sample(name: str, table: str) -> list[Row]:
    return rows(decoded(call_of(name), body(name)), table)


def test_every_sample_has_an_expectation() -> None:
    assert set(EXPECTED) <= set(MANIFEST)
    for name in MANIFEST:
        assert name in EXPECTED or any(name.startswith(start) for start in OTHERS), name


@pytest.mark.parametrize("name", sorted(MANIFEST))
def test_each_sample_becomes_what_is_expected(name: str) -> None:
    expected, call = expected_of(name), call_of(name)
    verdict = REST.judge(call, Answer(MANIFEST[name].get("status") or 200, body(name), {}))
    wanted = Outcome.ROWS if name.startswith("flatfiles") or name.endswith(".csv") else expected.outcome
    assert verdict.outcome is wanted
    found = decoded(call, body(name))
    counts = {b.table.name: b.rows.num_rows for b in found.batches if b.table.name != "coverage"}
    assert counts == expected.tables
    assert tuple(sorted(r.item for r in found.rejects)) == expected.bad
    assert all(r.reason.startswith("polygon") and expected.said in r.reason and r.payload for r in found.rejects)


def prices(row: Row) -> tuple[Any, ...]:
    return tuple(row[n] for n in ("open", "high", "low", "close", "volume", "trade_count", "vwap"))


def test_recorded_days_of_a_ticker_with_volumes_in_scientific_notation() -> None:
    found = sample("rest/rec_stocks_aggregates.json", "daily_bars")
    assert (found[0]["symbol"], found[0]["session"]) == ("AAPL", date(2019, 1, 2))
    assert prices(found[0]) == (38.7225, 39.7125, 38.5575, 39.48, 148_158_948.0, 249_129, 38.8871)
    assert found[-1]["session"] == date(2019, 2, 1)


def test_recorded_grouped_day_has_lower_case_tickers_and_rows_without_trades() -> None:
    found = {r["symbol"]: r for r in sample("rest/rec_stocks_grouped_daily.json", "daily_bars")}
    assert {r["session"] for r in found.values()} == {date(2019, 2, 1)}
    assert prices(found["TCBIP"]) == (25.42, 25.42, 25.2511, 25.2736, 1608.0, 16, 25.3224)
    assert prices(found["RWDC"]) == (51.2651, 51.2651, 51.2651, 51.2651, 0.0, None, None)
    assert {"KIM.PRJ", "C.PRL.CL", "LGF.B"} <= set(found)
    assert not [s for s in found if "p" in s]


def test_printed_grouped_day_is_the_same_in_both_notations() -> None:
    name = "docs/v2_aggs_grouped_locale_us_market_stocks_date_200"
    found = sample(f"{name}.json", "daily_bars")
    assert found == sample(f"{name}.csv", "daily_bars")
    assert found[0]["symbol"] == "KIM.PRL"
    assert prices(found[1]) == (24.5, 24.763, 22.65, 23.4, 25_933.6, 1096, 23.493)


def test_recorded_index_days_have_no_volume_and_no_proxy() -> None:
    found = sample("rest/rec_indices_aggs_I_NDX_2023.json", "index_bars")
    first = {"symbol": "NDX", "session": date(2023, 2, 22), "volume": None, "proxy": None}
    first |= {"open": 12085.67432708806, "high": 12156.21386217595, "low": 12006.0375472456, "close": 12066.27182303612}
    assert found[0] == first
    assert found[-1]["session"] == date(2023, 5, 10)


def test_recorded_tickers() -> None:
    found = {r["symbol"]: r for r in sample("rest/rec_tickers.json", "tickers")}
    first = found["A"]
    assert (first["name"], first["exchange"], first["type"]) == ("Agilent Technologies Inc.", "XNYS", "CS")
    assert (first["is_active"], first["figi"], first["cik"]) == (True, "BBG000C2V3D6", "0001090872")
    assert json.loads(first["details"])["last_updated_utc"] == "2025-11-28T07:05:30.307531061Z"
    assert {"AAM.U", "AAM.WS"} <= set(found)


def test_details_of_a_ticker() -> None:
    found = sample("docs/v3_reference_tickers_ticker_200.json", "tickers")[0]
    assert (found["listed_on"], found["industry"]) == (date(1980, 12, 12), "ELECTRONIC COMPUTERS")
    assert found["market_cap"] == 2_771_126_040_150.0
    assert json.loads(found["details"])["address"]["city"] == "Cupertino"


def test_printed_trades_have_nanoseconds_and_joined_conditions() -> None:
    found = sample("docs/v3_trades_stockTicker_200.csv", "trades")
    assert found[0]["ts"] == datetime(2018, 2, 2, 9, 0, 0, 16036, tzinfo=UTC)
    assert found[0]["ns"] == 581
    wanted = {"symbol": "AAPL", "trade_id": "1", "price": 171.55, "size": 100.0, "exchange": "11"}
    assert wanted.items() <= found[0].items()
    assert (found[0]["conditions"], found[0]["tape"]) == ("12,41", "C")


def test_printed_quotes_with_an_empty_side() -> None:
    found = sample("docs/v3_quotes_stockTicker_200.json", "quotes")
    assert (found[0]["bid_price"], found[0]["bid_size"], found[0]["bid_exchange"]) == (102.7, 60.0, "11")
    assert (found[0]["ask_price"], found[0]["ask_exchange"], found[0]["conditions"]) == (0.0, " ", "1")


def test_splits_and_dividends_of_both_endpoints() -> None:
    old = sample("docs/v3_reference_splits_200.json", "splits")[0]
    assert (old["ex_date"], old["split_from"], old["split_to"], old["details"]) == (date(2020, 8, 31), 1.0, 4.0, None)
    new = sample("docs/page_splits.json", "splits")[0]
    assert (new["ex_date"], new["split_to"]) == (date(2005, 2, 28), 2.0)
    assert json.loads(new["details"])["adjustment_type"] == "forward_split"
    paid = sample("docs/v3_reference_dividends_200.json", "dividends")[0]
    days = (date(2021, 11, 5), date(2021, 10, 28), date(2021, 11, 8), date(2021, 11, 11))
    assert tuple(paid[n] for n in ("ex_date", "declared_on", "record_date", "pay_date")) == days
    assert (paid["amount"], paid["type"], paid["frequency"], paid["currency"]) == (0.22, "CD", 4, None)
    newer = sample("docs/page_dividends.json", "dividends")[0]
    assert (newer["amount"], newer["type"], newer["currency"]) == (0.26, "recurring", "USD")


def test_renames() -> None:
    name = "rest/client_vX_reference_tickers_META_events_types_ticker_change.json"
    first, second = sample(name, "corporate_actions")
    assert (first["symbol"], first["new_symbol"], first["effective_on"]) == ("FB", None, date(2012, 5, 18))
    assert (second["symbol"], second["new_symbol"], second["effective_on"]) == ("FB", "META", date(2022, 6, 11))
    assert first["vendor_id"] != second["vendor_id"]


def test_recorded_holidays_quirk_21() -> None:
    found = sample("rest/rec_market_holidays.json", "market_days")
    first = {"exchange": "NYSE", "session": date(2025, 11, 28), "status": "early-close", "name": "Thanksgiving"}
    assert found[0] == first | {"opens_at": ny("2025-11-28 09:30"), "closes_at": ny("2025-11-28 13:00")}
    closed = next(r for r in found if r["status"] == "closed")
    assert closed["opens_at"] is None


def test_recorded_snapshot_of_a_half_day() -> None:
    found = sample("rest/rec_stocks_snapshot.json", "snapshots")[0]
    assert (found["symbol"], found["session"], found["price"]) == ("AAPL", date(2025, 11, 28), 278.85)
    assert (found["previous_close"], found["change"]) == (277.55, 1.3000000000000114)
    assert (found["open"], found["volume"]) == (277.26, 18_978_504.0)


def test_flat_day_has_its_columns_in_an_order_of_its_own() -> None:
    found = sample("flatfiles/us_stocks_sip_day_aggs_v1_2024-03-07_head.csv", "daily_bars")
    assert [r["symbol"] for r in found] == ["A", "AA", "AAA"]
    assert found[0]["session"] == date(2024, 3, 7)
    assert prices(found[0]) == (147.09, 149.64, 147.09, 149.31, 1_942_872.0, 37_404, None)


def test_flat_trades_with_fractions_and_a_correction_quirk_24() -> None:
    name = "flatfiles/us_stocks_sip_trades_v1_2026-09-18_rows.csv"
    found = sample(name, "trades")
    assert [(r["size"], r["price"], r["conditions"]) for r in found] == [
        (10.0, 157.35, "12,37"),
        (0.0015, 156.34, None),
    ]
    assert found[1]["ts"] == datetime(2026, 9, 18, 8, 0, 6, 372522, tzinfo=UTC)
    assert (found[1]["ns"], found[1]["tape"], found[1]["exchange"]) == (227, "A", "4")
    corrected = sample(name, "trade_corrections")[0]
    assert (corrected["kind"], corrected["original_id"]) == ("correction", "71675225257543")
    assert (corrected["corrected_price"], corrected["original_price"]) == (156.34, None)
