"""Bodies of Alpha Vantage -> rows: shapes, times, what is missing, what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.alphavantage import Row, call, decoded, midnight, ny, rows
from tickerplant.calendar import session_at
from tickerplant.model import Decoded
from tickerplant.rest import Call, Outcome

DAILY = call("TIME_SERIES_DAILY", "daily_bars", outputsize="compact")
ADJUSTED = call("TIME_SERIES_DAILY_ADJUSTED", "dividends")
MINUTES = call("TIME_SERIES_INTRADAY", "bars", interval="5min", month="2026-03")
OLD_MINUTES = call("TIME_SERIES_INTRADAY", "bars", interval="5min")
LISTING = call("LISTING_STATUS", "tickers", symbol=None)
QUOTE = call("GLOBAL_QUOTE", "snapshots")
INDEX = call("INDEX_DATA", "index_bars", symbol="SPX")
OVERVIEW = call("OVERVIEW", "tickers")
ALL_CALLS = (DAILY, ADJUSTED, MINUTES, OLD_MINUTES, LISTING, QUOTE, INDEX, OVERVIEW)

HEADER = "symbol,name,exchange,assetType,ipoDate,delistingDate,status"
VALUES = {"1. open": "1.5", "2. high": "2.5", "3. low": "1.25", "4. close": "2.0", "5. volume": "100"}


def series(stamps: dict[str, Any] | list[str], key: str = "Time Series (5min)", **meta: str) -> bytes:
    given = stamps if isinstance(stamps, dict) else dict.fromkeys(stamps, VALUES)
    told = {"1. Information": "x", "2. Symbol": "IBM", "6. Time Zone": "US/Eastern"} | meta
    return json.dumps({"Meta Data": told, key: given}).encode()


def daily(stamps: dict[str, Any] | list[str], **meta: str) -> bytes:
    return series(stamps, "Time Series (Daily)", **meta)


def starts(asked: Call, stamps: list[str]) -> list[datetime]:
    found = decoded(asked, series(stamps))
    assert not found.rejects
    return [r["ts"] for r in rows(found, "bars")]


def reasons(found: Decoded) -> list[tuple[int, str]]:
    return [(r.item, r.reason) for r in found.rejects]


def whole(asked: Call, body: bytes) -> str:
    """The reason why a whole answer was set aside."""
    found = decoded(asked, body)
    assert [(r.item, r.payload) for r in found.rejects] == [(-1, body)]
    assert not found.batches
    return found.rejects[0].reason


def test_bars_of_an_answer_are_rows_of_revision_2() -> None:
    found = decoded(MINUTES, series(["2026-03-19 19:55:00", "2026-03-19 09:30:00"]))
    values = {"open": 1.5, "high": 2.5, "low": 1.25, "close": 2.0, "volume": 100.0, "trade_count": None, "vwap": None}
    own = {"symbol": "IBM", "ns": 0, "interval": "5m", "revision": 2}
    assert rows(found, "bars") == [
        {"ts": datetime(2026, 3, 19, 23, 55, tzinfo=UTC), **own, **values},
        {"ts": datetime(2026, 3, 19, 13, 30, tzinfo=UTC), **own, **values},
    ]
    assert [(r["symbol"], r["rows"], r["is_last"]) for r in rows(found, "coverage")] == [("IBM", 2, False)]
    since = msgspec.structs.replace(MINUTES, start=ny("2026-03-01 00:00"))
    assert rows(decoded(since, series(["2026-03-19 19:55:00"])), "coverage")[0]["is_last"] is True


def test_keys_are_matched_by_their_name_whatever_their_number() -> None:
    for keys in (("1. open", "4. close"), ("1: open", "9: close"), ("open", "close"), ("01. Open", "05. CLOSE")):
        found = decoded(DAILY, daily({"2026-03-19": {keys[0]: "1.5", keys[1]: "2.5"}}))
        assert [(r["open"], r["close"], r["high"]) for r in rows(found, "daily_bars")] == [(1.5, 2.5, None)]


def test_quirk_9_a_minute_without_a_bar_stays_absent() -> None:
    at = ["2026-03-19 09:30:00", "2026-03-19 09:45:00"]
    assert starts(MINUTES, at) == [ny("2026-03-19 09:30"), ny("2026-03-19 09:45")]


@pytest.mark.parametrize("empty", ["{}", "null"])
def test_quirk_10_an_empty_series_is_asked_and_empty(empty: str) -> None:
    found = decoded(MINUTES, b'{"Meta Data": {"2. Symbol": "IBM"}, "Time Series (5min)": %s}' % empty.encode())
    assert not found.rejects
    assert not rows(found, "bars")
    assert [(r["symbol"], r["rows"], r["outcome"]) for r in rows(found, "coverage")] == [("IBM", 0, "rows")]


@pytest.mark.parametrize("missing", ["None", "-", ".", "", "null", None])
def test_quirk_13_missing_values_are_null_and_unknown_keys_are_passed_over(missing: str | None) -> None:
    body = daily({"2026-03-19": {"4. close": "2.0", "5. volume": missing, "6. brand new": "x"}})
    found = decoded(DAILY, body)
    assert not found.rejects
    row = rows(found, "daily_bars")[0]
    assert (row["close"], row["volume"], row["open"]) == (2.0, None, None)


def test_a_bad_row_is_set_aside_and_the_rest_goes_on() -> None:
    body = daily(
        {
            "2026-03-19": VALUES,
            "2026-03-18": VALUES | {"1. open": "abc"},
            "2026-03-17": [],
            "2026-13-17": VALUES,
            "yesterday": VALUES,
            "2026-03-13": {"5. volume": "1"},
            "2026-03-12": VALUES | {"4. close": "nan"},
            "2026-03-11": VALUES | {"4. close": "1_0"},
            "2026-03-10": VALUES,
        }
    )
    found = decoded(DAILY, body)
    assert [r["session"].day for r in rows(found, "daily_bars")] == [19, 10]
    assert sorted(item for item, _ in reasons(found)) == [1, 2, 3, 4, 5, 6, 7]
    assert all(r.channel == "daily_bars" and r.payload for r in found.rejects)


def test_quirk_20_tickers_that_look_like_nothing_are_tickers() -> None:
    names = ["NA", "NAN", "INF", "TRUE", "ON", "NULL", "None"]
    body = "\r\n".join([HEADER, *(f"{n},Name of {n},NYSE,Stock,2020-01-02,null,Active" for n in names)])
    found = decoded(LISTING, body.encode())
    assert [r["symbol"] for r in rows(found, "tickers")] == names
    assert {r["is_active"] for r in rows(found, "tickers")} == {True}


def test_a_listing_keeps_names_with_commas_and_rows_without_a_name() -> None:
    lines = [
        HEADER,
        "BRK-B,Berkshire Hathaway Inc, Class B,NYSE,Stock,1996-05-09,null,Active",
        "ZZK,,NYSE ARCA,Stock,2020-07-22,null,Active",
        "OLD, Gone Inc ,NYSE MKT,Stock,null,2015-06-30,Delisted",
        "XXX,New,NYSE,Stock,2020-01-02,null,Suspended",
        "YYY,New,NYSE",
        "WWW,New,NYSE,Stock,2020-02-30,null,Active",
        "",
    ]
    found = decoded(LISTING, "\n".join(lines).encode())
    kept = ("symbol", "vendor_symbol", "name", "exchange", "is_active", "listed_on", "delisted_on")
    assert [tuple(r[k] for k in kept) for r in rows(found, "tickers")] == [
        ("BRK.B", "BRK-B", "Berkshire Hathaway Inc, Class B", "NYSE", True, date(1996, 5, 9), None),
        ("ZZK", "ZZK", None, "NYSE ARCA", True, date(2020, 7, 22), None),
        ("OLD", "OLD", "Gone Inc", "NYSE MKT", False, None, date(2015, 6, 30)),
    ]
    assert [item for item, _ in reasons(found)] == [3, 4, 5]
    assert rows(found, "coverage")[0]["rows"] == 3


def test_a_listing_asked_for_some_tickers_gives_those() -> None:
    asked = msgspec.structs.replace(LISTING, symbols=("BRK.B", "NOPE"))
    lines = [HEADER, "BRK-B,B,NYSE,Stock,1996-05-09,null,Active", "A,A,NYSE,Stock,1996-05-09,null,Active"]
    found = decoded(asked, "\r\n".join(lines).encode())
    assert [r["symbol"] for r in rows(found, "tickers")] == ["BRK.B"]
    assert [(r["symbol"], r["rows"]) for r in rows(found, "coverage")] == [("BRK.B", 1), ("NOPE", 0)]


def test_a_line_that_is_no_text_is_set_aside() -> None:
    body = f"{HEADER}\nA,A,NYSE,Stock,1996-05-09,null,Active\n".encode() + b"B,\xff\xfe,NYSE,Stock,null,null,Active\n"
    found = decoded(LISTING, body)
    assert [r["symbol"] for r in rows(found, "tickers")] == ["A"]
    assert [r.payload for r in found.rejects] == [b"B,\xff\xfe,NYSE,Stock,null,null,Active"]


def test_quirk_21_new_york_wall_time_on_both_sides_of_both_clock_changes() -> None:
    """Clocks change on the Sundays 2026-03-08 and 2025-11-02."""
    assert starts(MINUTES, ["2026-03-06 09:30:00", "2026-03-09 09:30:00"]) == [
        datetime(2026, 3, 6, 14, 30, tzinfo=UTC),
        datetime(2026, 3, 9, 13, 30, tzinfo=UTC),
    ]
    assert starts(MINUTES, ["2025-10-31 19:55:00", "2025-11-03 04:00:00"]) == [
        datetime(2025, 10, 31, 23, 55, tzinfo=UTC),
        datetime(2025, 11, 3, 9, 0, tzinfo=UTC),
    ]


@pytest.mark.parametrize("stamp", ["2026-03-08 02:30:00", "2025-11-02 01:30:00"])
def test_quirk_21_a_wall_time_that_clocks_skip_or_repeat_is_set_aside(stamp: str) -> None:
    found = decoded(MINUTES, series([stamp, "2026-03-09 09:30:00"]))
    assert len(rows(found, "bars")) == 1
    assert [(i, "once in New York" in reason) for i, reason in reasons(found)] == [(0, True)]


@pytest.mark.parametrize("session", [date(2026, 3, 6), date(2026, 3, 9), date(2025, 10, 31), date(2025, 11, 3)])
def test_quirk_21_a_daily_bar_belongs_to_its_day_in_new_york(session: date) -> None:
    around = [(session + timedelta(days=i)).isoformat() for i in (-1, 0, 1)]
    spanned = msgspec.structs.replace(DAILY, start=midnight(session), end=midnight(session + timedelta(days=1)))
    assert [r["session"] for r in rows(decoded(spanned, daily(around)), "daily_bars")] == [session]


def test_quirk_22_stamps_were_ends_before_2023_and_are_starts_since() -> None:
    assert starts(OLD_MINUTES, ["2020-07-24 16:00:00", "2020-07-24 09:35:00"]) == [
        ny("2020-07-24 15:55"),
        ny("2020-07-24 09:30"),
    ]
    assert starts(OLD_MINUTES, ["2023-01-03 15:55:00"]) == [ny("2023-01-03 15:55")]


def test_quirk_22_a_month_that_was_asked_for_has_starts_whatever_its_date() -> None:
    assert starts(MINUTES, ["2009-01-30 19:55:00"]) == [ny("2009-01-30 19:55")]


@pytest.mark.parametrize(
    ("asked", "stamps"),
    [
        (OLD_MINUTES, ["2023-01-03 09:30:00", "2022-12-30 16:00:00"]),
        (OLD_MINUTES, ["2020-07-27 04:00:00", "2020-07-24 20:00:00"]),
        (OLD_MINUTES, ["2020-07-27 04:00:00"]),
        (OLD_MINUTES, ["2025-07-24 20:00:00"]),
        (MINUTES, ["2009-01-30 20:00:00", "2009-01-30 04:00:00"]),
    ],
)
def test_quirk_22_frames_of_both_meanings_are_set_aside_whole(asked: Call, stamps: list[str]) -> None:
    assert "expected bars of one meaning" in whole(asked, series(stamps)) or "expected stamps at" in whole(
        asked, series(stamps)
    )


def test_quirk_22_the_length_of_the_window_is_that_of_the_interval() -> None:
    asked = call("TIME_SERIES_INTRADAY", "bars", interval="60min")
    found = decoded(asked, series(["2020-07-24 20:00:00"], "Time Series (60min)"))
    assert [(r["ts"], r["interval"]) for r in rows(found, "bars")] == [(ny("2020-07-24 19:00"), "60m")]


def test_quirk_23_dividends_and_splits_come_raw_into_their_own_tables() -> None:
    def day(dividend: str, split: str) -> Row:
        return {**VALUES, "5. adjusted close": "0.5", "6. volume": "9", "7. dividend amount": dividend} | {
            "8. split coefficient": split
        }

    stamps = {
        "2026-03-19": day("0.0000", "1.0"),
        "2026-03-18": day("1.6300", "1.0"),
        "2026-03-17": day("0.0000", "4.0"),
        "2026-03-16": day("0.0000", "0.1"),
        "2026-03-13": day("0.5", "1.5"),
        "2026-03-12": day("0.0000", "0.6667"),
        "2026-03-11": day("0.0000", "-2"),
        "2026-03-10": day("0.0000", "0.0123456"),
    }
    found = decoded(ADJUSTED, daily(stamps))
    assert [(r["close"], r["volume"]) for r in rows(found, "daily_bars")] == [(2.0, 9.0)] * 7
    assert [(r["ex_date"].day, r["amount"], r["currency"]) for r in rows(found, "dividends")] == [
        (18, 1.63, None),
        (13, 0.5, None),
    ]
    assert [(r["ex_date"].day, r["split_from"], r["split_to"]) for r in rows(found, "splits")] == [
        (17, 1.0, 4.0),
        (16, 10.0, 1.0),
        (13, 2.0, 3.0),
        (12, 3.0, 2.0),
        (10, 81.0, 1.0),
    ]
    assert json.loads(rows(found, "splits")[3]["details"]) == {"split_coefficient": "0.6667"}
    assert [item for item, _ in reasons(found)] == [6]
    assert [(r["table_name"], r["rows"]) for r in rows(found, "coverage")] == [("dividends", 2)]


@pytest.mark.parametrize("header", ["adjusted_close,volume,dividend_amount", "adjusted close,volume,dividend amount"])
def test_headers_with_underscores_and_with_spaces_are_the_same(header: str) -> None:
    body = f"timestamp,open,high,low,close,{header},split_coefficient\r\n2026-03-18,1,2,3,4,3.9,5,1.6300,1.0\r\n"
    found = decoded(ADJUSTED, body.encode())
    assert [(r["close"], r["volume"]) for r in rows(found, "daily_bars")] == [(4.0, 5.0)]
    assert [r["amount"] for r in rows(found, "dividends")] == [1.63]


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        (LISTING, f"{HEADER}\r\nI,n,f,o,r,m,a\r\n".encode()),
        (LISTING, b'{"Information": "25 requests per day"}'),
        (DAILY, b'{"Note": "5 calls per minute"}'),
        (DAILY, b'{"Error Message": "Invalid API call."}'),
        (DAILY, b"<html></html>"),
        (DAILY, b""),
        (DAILY, b"\xff\xfe"),
        (DAILY, b'{"Meta Data": {}}'),
        (DAILY, b'{"Time Series (5min)": {}}'),
        (DAILY, b'{"Meta Data": [], "Time Series (Daily)": {}}'),
        (DAILY, daily(["2026-03-19"], **{"2. Symbol": "MSFT"})),
        (DAILY, daily(["2026-03-19"], **{"6. Time Zone": "Europe/London"})),
        (MINUTES, series(["2026-03-19 09:30:00"], **{"4. Interval": "1min"})),
        (QUOTE, b'{"Global Quote": {"01. symbol": "MSFT", "07. latest trading day": "2026-03-19"}}'),
        (QUOTE, b'{"Global Quote": []}'),
        (QUOTE, b'{"quote": {"a": 1}}'),
        (INDEX, b'{"symbol": "SPX", "interval": "weekly", "data": []}'),
        (INDEX, b'{"name": "SPX"}'),
        (OVERVIEW, b'{"Name": "x"}'),
        (OVERVIEW, b'{"Symbol": "MSFT"}'),
        (LISTING, b"timestamp,open\r\n"),
        (call("OVERVIEW", "tickers", symbol=None), b'{"Symbol": ""}'),
    ],
)
def test_quirk_25_what_is_no_data_is_set_aside_whole_by_name(asked: Call, body: bytes) -> None:
    assert whole(asked, body).startswith("alphavantage")


@pytest.mark.parametrize(
    "function",
    [
        "TIME_SERIES_WEEKLY",
        "TIME_SERIES_WEEKLY_ADJUSTED",
        "TIME_SERIES_MONTHLY",
        "MARKET_STATUS",
        "SYMBOL_SEARCH",
        "CRYPTO_INTRADAY",
        "",
    ],
)
def test_functions_without_a_table_are_named(function: str) -> None:
    reason = whole(call(function, "daily_bars"), b'{"Weekly Time Series": {}}')
    assert reason.endswith(f"was {function or 'none'!r}, which has no table")


@pytest.mark.parametrize("outcome", [Outcome.NO_DATA, Outcome.NOT_ENTITLED, Outcome.BAD_REQUEST])
def test_answers_that_are_no_rows_leave_coverage_only(outcome: Outcome) -> None:
    found = decoded(DAILY, b'{"Information": "x"}', outcome)
    assert not found.rejects
    assert [(r["symbol"], r["rows"], r["outcome"]) for r in rows(found, "coverage")] == [("IBM", 0, outcome.value)]


def feeds(found: Decoded, table: str) -> set[str]:
    return {f for b in found.batches if b.table.name == table for f in b.rows.column("feed").to_pylist()}


def test_quirk_28_an_etf_stands_in_for_an_index_and_is_named() -> None:
    asked = msgspec.structs.replace(call("TIME_SERIES_DAILY", "index_bars", symbol="SPY"), symbols=("SPX",))
    found = decoded(asked, daily(["2026-03-19"], **{"2. Symbol": "SPY"}))
    assert [(r["symbol"], r["proxy"], r["close"], r["volume"]) for r in rows(found, "index_bars")] == [
        ("SPX", "SPY", 2.0, 100.0)
    ]
    assert [(r["symbol"], r["rows"]) for r in rows(found, "coverage")] == [("SPX", 1)]
    assert feeds(found, "index_bars") == {"proxy"}
    assert feeds(found, "coverage") == {"rest"}


def test_values_of_an_index_have_no_proxy_and_a_dot_is_missing() -> None:
    data = [
        {"date": "2026-03-19", "open": "1.0", "high": "2.0", "low": "0.5", "close": "."},
        {"date": "2026-03-18", "open": ".", "high": ".", "low": ".", "close": "."},
        {"date": "2026-03-17", "close": "x"},
    ]
    body = json.dumps({"symbol": "SPX", "name": "S&P 500", "interval": "daily", "data": data}).encode()
    found = decoded(INDEX, body)
    assert [(r["symbol"], r["open"], r["close"], r["proxy"]) for r in rows(found, "index_bars")] == [
        ("SPX", 1.0, None, None)
    ]
    assert [item for item, _ in reasons(found)] == [2]
    assert not decoded(INDEX, b'{"symbol": "SPX", "data": null}').rejects


def test_quirk_30_bars_of_extended_hours_are_told_by_the_calendar_and_outliers_are_kept_as_sent() -> None:
    late = VALUES | {"3. low": "0.0100", "5. volume": "1117113"}
    found = decoded(MINUTES, series({"2026-03-19 16:55:00": late, "2026-03-19 15:55:00": VALUES}))
    after, regular = rows(found, "bars")
    assert (after["low"], after["volume"]) == (0.01, 1117113.0)
    phases = []
    for row in (after, regular):
        session = session_at(row["ts"])
        assert session is not None
        phases.append(session.is_regular(row["ts"]))
    assert phases == [False, True]


def test_quirk_24_fractional_volumes_are_kept() -> None:
    found = decoded(DAILY, daily({"2026-03-19": VALUES | {"5. volume": "100.25"}}))
    assert rows(found, "daily_bars")[0]["volume"] == 100.25


def test_a_snapshot_has_its_percent_as_a_number_and_any_title_that_starts_so() -> None:
    quote = {
        "01. symbol": "IBM",
        "05. price": "9.5",
        "07. latest trading day": "2026-03-19",
        "08. previous close": "10",
    }
    quote |= {"08. previous close": "10", "09. change": "-0.5", "10. change percent": "-5.0000%"}
    for title in ("Global Quote", "Global Quote - DATA DELAYED BY 15 MINUTES"):
        found = rows(decoded(QUOTE, json.dumps({title: quote}).encode()), "snapshots")
        kept = ("symbol", "session", "price", "previous_close", "change", "change_percent", "open")
        assert [tuple(r[k] for k in kept) for r in found] == [("IBM", date(2026, 3, 19), 9.5, 10.0, -0.5, -5.0, None)]


def test_a_snapshot_without_a_day_is_set_aside() -> None:
    found = decoded(QUOTE, b'{"Global Quote": {"01. symbol": "IBM"}}')
    assert [item for item, _ in reasons(found)] == [0]


def test_an_overview_keeps_what_has_no_column_as_details() -> None:
    body = {
        "Symbol": "IBM",
        "Name": "IBM Corp",
        "CIK": "51143",
        "MarketCapitalization": "None",
        "Beta": "1.2",
        "EPS": "-",
    }
    found = rows(decoded(OVERVIEW, json.dumps(body).encode()), "tickers")
    assert len(found) == 1
    kept = ("symbol", "vendor_symbol", "name", "cik", "market_cap", "sector", "is_active")
    assert tuple(found[0][k] for k in kept) == ("IBM", "IBM", "IBM Corp", "51143", None, None, True)
    assert json.loads(found[0]["details"]) == {"Beta": "1.2"}


BODIES = [
    series(["2026-03-19 19:55:00", "2026-03-08 02:30:00"]),
    daily(["2026-03-19", "2026-03-18"]),
    b"timestamp,open,high,low,close,volume\r\n2026-03-19 15:55:00,1,2,3,4,5\r\n",
    f"{HEADER}\r\nA,Agilent,NYSE,Stock,1999-11-18,null,Active\r\n".encode(),
    json.dumps({"Global Quote": {"01. symbol": "IBM", "07. latest trading day": "2026-03-19"}}).encode(),
    json.dumps({"symbol": "SPX", "data": [{"date": "2026-03-19", "open": "1"}]}).encode(),
    json.dumps({"Symbol": "IBM", "Name": "x", "SharesOutstanding": "12"}).encode(),
]


@given(st.sampled_from(ALL_CALLS), st.binary(max_size=200))
def test_random_bytes_never_raise(asked: Call, body: bytes) -> None:
    decoded(asked, body)


@given(st.sampled_from(ALL_CALLS), st.sampled_from(BODIES), st.data())
def test_mutated_bodies_never_raise(asked: Call, body: bytes, data: st.DataObject) -> None:
    mutated = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated)))
        mutated[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.one_of(
                st.binary(max_size=3), st.sampled_from([b'"', b"{", b"}", b"null", b"9999", b"-", b"0001", b"\x00"])
            )
        )
    decoded(asked, bytes(mutated))


@given(
    st.sampled_from(ALL_CALLS),
    st.recursive(
        st.none() | st.text(max_size=5) | st.floats(allow_nan=False) | st.booleans(),
        lambda c: (
            st.lists(c, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "Meta Data",
                        "2. Symbol",
                        "Time Series (Daily)",
                        "Time Series (5min)",
                        "2026-03-19",
                        "0001-01-01 00:00",
                        "9999-12-31 23:59:59",
                        "1. open",
                        "Global Quote",
                        "07. latest trading day",
                        "symbol",
                        "data",
                        "date",
                        "Symbol",
                        "interval",
                    ]
                ),
                c,
                max_size=4,
            )
        ),
    ),
)
def test_any_json_never_raises(asked: Call, body: Any) -> None:
    decoded(asked, json.dumps(body).encode())


def test_deep_json_is_set_aside() -> None:
    for asked in ALL_CALLS:
        assert len(decoded(asked, b'{"a":' * 100_000).rejects) == 1
        assert len(decoded(asked, b"[" * 100_000).rejects) == 1
