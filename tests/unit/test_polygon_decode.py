"""Polygon's bodies -> rows: stamps, spans, what is missing, what is wrong, bytes of any kind."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.history_polygon import (
    BY_NAME,
    VENDOR,
    Row,
    ask,
    checked,
    decoded,
    envelope,
    landed,
    midnight,
    ny,
    rows,
)
from tickerplant.model import Kind
from tickerplant.rest import Ask, Call, Outcome
from tickerplant.vendors.polygon.decode_rest import READERS


def millis(at: datetime) -> int:
    return int(at.timestamp()) * 1000


def nanos(at: datetime, more: int = 0) -> int:
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1000 + more


def item(at: datetime, **more: Any) -> Row:
    return {"t": millis(at), "o": 1, "h": 2.5, "l": 0.5, "c": 2, "v": 1.5e3, "vw": 1.75, "n": 7, **more}


def call(table: str, endpoint: str, *symbols: str, start: date, end: date, interval: str | None = None) -> Call:
    return BY_NAME[endpoint].call(ask(table, *symbols, start=start, end=end, interval=interval))


def days_of(*symbols: str, start: date = date(2025, 1, 1), end: date = date(2026, 1, 1)) -> Call:
    return call("daily_bars", "daily_bars", *(symbols or ("AAPL",)), start=start, end=end)


def minutes_of(start: datetime, end: datetime, interval: str = "1m") -> Call:
    return BY_NAME["bars"].call(Ask("bars", ("AAPL",), start, end, interval))


def ticks_of(kind: str, start: datetime, end: datetime) -> Call:
    return BY_NAME[kind].call(Ask(kind, ("AAPL",), start, end))


WIDE = (ny("2018-01-01 00:00"), ny("2030-01-01 00:00"))
DAY = date(2025, 11, 19)

DST_DAYS = [date(2025, 3, 7), date(2025, 3, 10), date(2025, 10, 31), date(2025, 11, 3), date(2025, 11, 28)]


@pytest.mark.parametrize("day", DST_DAYS)
def test_days_carry_the_start_of_their_window_quirk_22(day: date) -> None:
    body = envelope(ticker="AAPL", results=[item(midnight(day))])
    assert [r["session"] for r in rows(decoded(days_of(), body), "daily_bars")] == [day]


@pytest.mark.parametrize("day", DST_DAYS)
def test_grouped_days_carry_the_end_of_their_window_quirk_22(day: date) -> None:
    asked = call("daily_bars", "grouped_daily", start=day, end=day + timedelta(1))
    closes = ny(f"{day} 16:00")
    found = decoded(asked, envelope(results=[item(closes, T="AAPL"), item(closes, T="NA")]))
    assert [(r["symbol"], r["session"]) for r in rows(found, "daily_bars")] == [("AAPL", day), ("NA", day)]


@pytest.mark.parametrize("day", DST_DAYS)
def test_days_of_an_index_begin_in_chicago_quirk_22(day: date) -> None:
    asked = call("index_bars", "index_bars", "NDX", start=date(2025, 1, 1), end=date(2026, 1, 1))
    body = envelope(ticker="I:NDX", results=[{k: v for k, v in item(ny(f"{day} 01:00")).items() if k in "tohlc"}])
    found = rows(decoded(asked, body), "index_bars")
    assert [(r["symbol"], r["session"], r["volume"], r["proxy"]) for r in found] == [("NDX", day, None, None)]


def test_a_day_of_another_date_is_set_aside_quirk_22() -> None:
    asked = call("daily_bars", "grouped_daily", start=DAY, end=DAY + timedelta(1))
    body = envelope(results=[item(ny("2025-11-18 16:00"), T="A"), item(ny("2025-11-19 16:00"), T="B")])
    found = decoded(asked, body)
    assert [r["symbol"] for r in rows(found, "daily_bars")] == ["B"]
    assert "expected the day 2025-11-19, was 2025-11-18" in found.rejects[0].reason


def test_minutes_across_both_clock_changes_quirk_21() -> None:
    for day in (date(2025, 3, 9), date(2025, 11, 2)):
        start, end = midnight(day), midnight(day + timedelta(1))
        stamps = [start + timedelta(minutes=30 * i) for i in range(int((end - start) / timedelta(minutes=30)))]
        body = envelope(ticker="AAPL", results=[item(at) for at in stamps])
        found = rows(decoded(minutes_of(start, end, "30m"), body), "bars")
        assert [r["ts"] for r in found] == stamps
        assert len(stamps) == (46 if day.month == 3 else 50)


def test_only_what_was_asked_for_comes_back() -> None:
    start, end = ny("2025-11-19 09:30"), ny("2025-11-19 16:00")
    stamps = [start - timedelta(minutes=1), start, end - timedelta(minutes=1), end]
    body = envelope(ticker="AAPL", results=[item(at) for at in stamps])
    found = rows(decoded(minutes_of(start, end), body), "bars")
    assert [r["ts"] for r in found] == stamps[1:3]
    assert {(r["interval"], r["revision"]) for r in found} == {("1m", 2)}
    whole = [midnight(DAY + timedelta(i)) for i in range(3)]
    days = rows(
        decoded(
            days_of(start=DAY + timedelta(1), end=DAY + timedelta(2)),
            envelope(ticker="AAPL", results=[item(at) for at in whole]),
        ),
        "daily_bars",
    )
    assert [r["session"] for r in days] == [DAY + timedelta(1)]
    sip = [nanos(start, -1), nanos(start), nanos(end, -1), nanos(end)]
    trades = envelope(results=[{"sip_timestamp": at, "price": 1, "size": 1} for at in sip])
    found = rows(decoded(ticks_of("trades", start, end), trades), "trades")
    assert [(r["ts"], r["ns"]) for r in found] == [(start, 0), (end - timedelta(microseconds=1), 999)]


@pytest.mark.parametrize(
    "body",
    [
        b'{"ticker":"AAPL","queryCount":0,"resultsCount":0,"adjusted":true,"status":"OK"}',
        b'{"status":"DELAYED","results":null}',
        b'{"status":"OK","results":[]}',
        b'{"results":[]}',
    ],
)
def test_nothing_is_an_empty_answer_quirk_13(body: bytes) -> None:
    found = decoded(days_of(), body)
    assert (found.rejects, rows(found, "daily_bars")) == ((), [])
    covered = rows(found, "coverage")
    assert [(r["symbol"], r["rows"], r["is_last"], r["outcome"]) for r in covered] == [("AAPL", 0, True, "rows")]


@pytest.mark.parametrize(
    "body",
    [
        b'{"ticker":"AAPL","resultsCount":3,"status":"OK"}',
        b'{"status":"ERROR","error":"oops"}',
        b"{}",
        b"<html>",
        b"",
        b'{"status":"OK","results":3}',
        b'{"status":"OK","results":"x"}',
        b"\xff\xfe",
        b'{"ticker":"MSFT","status":"OK","results":[]}',
    ],
)
def test_a_page_that_is_lost_is_not_the_end_quirk_16(body: bytes) -> None:
    found = decoded(days_of(), body)
    assert [r.item for r in found.rejects] == [-1]
    assert found.batches == ()


def test_missing_fields_are_missing_quirk_13() -> None:
    bare = {k: v for k, v in item(midnight(DAY)).items() if k in "tohlc"}
    found = rows(decoded(days_of(), envelope(ticker="AAPL", results=[bare])), "daily_bars")
    assert (found[0]["volume"], found[0]["trade_count"], found[0]["vwap"]) == (None, None, None)


def test_a_bad_item_is_set_aside_and_the_rest_goes_on_quirk_13() -> None:
    good, at = item(midnight(DAY)), midnight(DAY + timedelta(1))
    wrong: list[Any] = [
        item(at, o="x"),
        item(at, t=None),
        item(at, c=None),
        item(at, t=-1),
        item(at, t=10**30),
        item(at, n=10**30),
        7,
        None,
        [],
    ]
    found = decoded(days_of(), envelope(ticker="AAPL", results=[wrong[0], good, *wrong[1:]]))
    assert [r["session"] for r in rows(found, "daily_bars")] == [DAY]
    assert len(found.rejects) == len(wrong)
    assert all(r.reason.startswith("polygon daily_bars: ") and r.payload for r in found.rejects)
    assert json.loads(found.rejects[0].payload)["o"] == "x"
    assert sorted(r.item for r in found.rejects) == [0, *range(2, 10)], "their places in the answer"


def test_unknown_keys_and_codes_are_open_quirk_15() -> None:
    at = nanos(ny("2025-11-19 10:00"))
    trade: Row = {
        "sip_timestamp": at,
        "price": 1.5,
        "size": 3,
        "exchange": 999,
        "conditions": [9999],
        "tape": 7,
        "new": [1],
    }
    found = rows(decoded(ticks_of("trades", *WIDE), envelope(results=[trade], more={})), "trades")[0]
    assert (found["exchange"], found["conditions"], found["tape"]) == ("999", "9999", "7")
    named = {**trade, "exchange": "XNAS", "conditions": ["@"], "tape": "C", "id": 12}
    found = rows(decoded(ticks_of("trades", *WIDE), envelope(results=[named])), "trades")[0]
    assert (found["exchange"], found["conditions"], found["tape"], found["trade_id"]) == ("XNAS", "@", "C", "12")


@pytest.mark.parametrize(
    ("size", "decimal_size", "wanted"),
    [(100, None, 100.0), (0, "0.0406", 0.0406), (0, 0.0406, 0.0406), (2, "2.5", 2.5), (0, "", 0.0), (0, None, 0.0)],
)
def test_fractions_of_a_share_quirk_24(size: int, decimal_size: Any, wanted: float) -> None:
    trade = {"sip_timestamp": nanos(ny("2026-05-04 10:00")), "price": 1, "size": size, "decimal_size": decimal_size}
    found = rows(decoded(ticks_of("trades", *WIDE), envelope(results=[trade])), "trades")
    assert [r["size"] for r in found] == [wanted]


def test_corrections_of_trades_quirk_12() -> None:
    at = nanos(ny("2025-11-19 10:00"))
    codes = [None, 0, 1, 7, 8, 10, 11, 12]
    trades = [{"sip_timestamp": at + i, "price": 10 + i, "size": 5, "id": str(i)} for i in range(len(codes))]
    marked = [t if c is None else {**t, "correction": c} for t, c in zip(trades, codes, strict=True)]
    found = decoded(ticks_of("trades", *WIDE), envelope(results=marked))
    assert [r["trade_id"] for r in rows(found, "trades")] == ["0", "1", "2", "3", "4"]
    made = {r["original_id"]: r for r in rows(found, "trade_corrections")}
    kinds = {"2": "correction", "3": "error", "4": "cancel", "5": "cancel", "6": "error", "7": "correction"}
    assert {i: r["kind"] for i, r in made.items()} == kinds
    assert (made["2"]["corrected_price"], made["2"]["original_price"]) == (12.0, None)
    assert (made["7"]["corrected_price"], made["7"]["original_price"]) == (None, 17.0)
    assert [r["rows"] for r in rows(found, "coverage")] == [5]


def test_ticks_keep_every_nanosecond_and_their_order_quirk_31() -> None:
    at = nanos(ny("2025-11-19 10:00"), 123_456_789)
    quotes: list[Row] = [{"sip_timestamp": at, "bid_price": 1, "sequence_number": 2 - i} for i in range(2)]
    quotes.append({"participant_timestamp": at + 1, "ask_price": 2.5, "conditions": [1, 2]})
    found = rows(decoded(ticks_of("quotes", *WIDE), envelope(results=quotes)), "quotes")
    assert [(r["ts"].microsecond, r["ns"]) for r in found] == [(123_456, 789), (123_456, 789), (123_456, 790)]
    assert [r["conditions"] for r in found] == [None, None, "1,2"]


def test_identical_ticks_stay_quirk_18() -> None:
    trade = {"sip_timestamp": nanos(ny("2025-11-19 10:00")), "price": 1, "size": 1, "id": "7", "exchange": 4}
    found = decoded(ticks_of("trades", *WIDE), envelope(results=[trade, trade]))
    batch = next(b for b in found.batches if b.table.name == "trades")
    assert batch.rows.column("seq").to_pylist() == [0, 1]


def test_minutes_without_a_bar_are_not_made_up_quirk_9() -> None:
    start = ny("2025-11-19 09:30")
    stamps = [start, start + timedelta(minutes=3)]
    found = decoded(minutes_of(*WIDE), envelope(ticker="AAPL", results=[item(at) for at in stamps]))
    assert [r["ts"] for r in rows(found, "bars")] == stamps


def test_a_bar_that_changed_is_another_row_quirk_11() -> None:
    bodies = [envelope(ticker="AAPL", results=[item(midnight(DAY), c=close)]) for close in (2, 2.25)]
    found = VENDOR.decode([landed(days_of(), body, at=i) for i, body in enumerate(bodies)])
    made = [r for b in found.batches if b.table.name == "daily_bars" for r in b.rows.to_pylist()]
    assert [(r["session"], r["close"]) for r in made] == [(DAY, 2.0), (DAY, 2.25)]
    assert made[0]["received_at"] < made[1]["received_at"]


def test_sizes_of_quotes_stay_as_sent_quirk_24() -> None:
    days = (ny("2025-10-31 10:00"), ny("2025-11-03 10:00"))
    quotes = [{"sip_timestamp": nanos(at), "bid_price": 1, "bid_size": 3, "ask_size": 0.5} for at in days]
    found = rows(decoded(ticks_of("quotes", *WIDE), envelope(results=quotes)), "quotes")
    assert [(r["bid_size"], r["ask_size"]) for r in found] == [(3.0, 0.5)] * 2


def test_odd_tickers_are_text_in_both_notations_quirk_20() -> None:
    names = ["NA", "NAN", "INF", "TRUE", "ON", "NULL", "AAp", "AAP", "BRK.B"]
    stamp = millis(ny(f"{DAY} 16:00"))
    lines = ["T,c,h,l,n,o,t,v,vw", *(f"{n},2,2.5,0.5,7,1,{stamp},1.5e+03,1.75" for n in names)]
    asked = call("daily_bars", "grouped_daily", start=DAY, end=DAY + timedelta(1))
    found = rows(decoded(asked, "\n".join(lines).encode()), "daily_bars")
    assert [r["symbol"] for r in found] == ["NA", "NAN", "INF", "TRUE", "ON", "NULL", "AA.PR", "AAP", "BRK.B"]
    body = envelope(results=[item(ny(f"{DAY} 16:00"), T=n) for n in names])
    assert rows(decoded(asked, body), "daily_bars") == found


def test_names_of_companies_are_text_quirk_20() -> None:
    asked = call("tickers", "tickers", start=DAY, end=DAY + timedelta(1))
    lines = ["ticker,name,market,active", 'NA,"Nano, Inc.",stocks,true', "TRUE,NULL,stocks,false", "X,,stocks,", ""]
    found = rows(decoded(asked, "\r\n".join(lines).encode()), "tickers")
    assert [(r["symbol"], r["name"], r["is_active"]) for r in found] == [
        ("NA", "Nano, Inc.", True),
        ("TRUE", "NULL", False),
        ("X", None, True),
    ]


def test_lines_of_another_length_are_set_aside() -> None:
    lines = ["c,h,l,o,t,v", f"1,2,0.5,1,{millis(midnight(DAY))},5", "1,2,3", "a,2,0.5,1,1700000000000,5"]
    found = decoded(days_of(), "\n".join(lines).encode())
    assert [r["session"] for r in rows(found, "daily_bars")] == [DAY]
    assert [r.payload for r in found.rejects] == [b"1,2,3", b"a,2,0.5,1,1700000000000,5"]


def test_delayed_answers_are_the_same_rows_quirk_32() -> None:
    results = [item(midnight(DAY))]
    made = [msgspec.json.encode({"status": s, "ticker": "AAPL", "results": results}) for s in ("OK", "DELAYED")]
    assert rows(decoded(days_of(), made[0]), "daily_bars") == rows(decoded(days_of(), made[1]), "daily_bars")


def test_details_of_a_ticker_stand_beside_the_list() -> None:
    details = call("tickers", "ticker_details", "AAPL", start=DAY, end=DAY + timedelta(1))
    listed = call("tickers", "tickers", start=DAY, end=DAY + timedelta(1))
    body = {"ticker": "AAPL", "market": "stocks", "active": True}
    for asked, feed in ((details, "details"), (listed, "sip")):
        answer: Any = body if asked is details else [body]
        found = decoded(asked, envelope(results=answer))
        (batch,) = (b for b in found.batches if b.table.name == "tickers")
        assert batch.rows.column("feed").to_pylist() == [feed]


def test_inactive_tickers_have_an_end() -> None:
    asked = call("tickers", "tickers_delisted", start=DAY, end=DAY + timedelta(1))
    made = [
        {"ticker": "FB", "delisted_utc": "2022-06-09T04:00:00Z"},
        {"ticker": "GONE", "delisted_utc": "2021-05-21T00:00:00Z", "active": False, "name": None},
        {"ticker": "KIMpL", "cik": None},
        {"ticker": ""},
        {"name": "nobody"},
        {"ticker": "X", "delisted_utc": "yesterday"},
    ]
    found = decoded(asked, envelope(results=made))
    assert [(r["symbol"], r["vendor_symbol"], r["is_active"], r["delisted_on"]) for r in rows(found, "tickers")] == [
        ("FB", "FB", False, date(2022, 6, 9)),
        ("GONE", "GONE", False, date(2021, 5, 21)),
        ("KIM.PRL", "KIMpL", False, None),
    ]
    assert len(found.rejects) == 3


@pytest.mark.parametrize(("ratio", "is_good"), [((1, 4), True), ((1.5, 1), True), ((0, 1), False), ((1, -2), False)])
def test_splits_have_a_ratio_quirk_23(ratio: tuple[float, float], is_good: bool) -> None:
    asked = call("splits", "splits", start=DAY, end=DAY + timedelta(1))
    split = {"ticker": "A", "execution_date": str(DAY), "split_from": ratio[0], "split_to": ratio[1]}
    found = decoded(asked, envelope(results=[split, split | {"execution_date": "2025-11-20"}]))
    assert [(r["split_from"], r["split_to"]) for r in rows(found, "splits")] == ([ratio] if is_good else [])
    assert len(found.rejects) == (0 if is_good else 2)


def test_a_ticker_cleared_overnight_has_no_snapshot() -> None:
    asked = call("snapshots", "snapshots", start=DAY, end=DAY + timedelta(1))
    zero = dict.fromkeys(("o", "h", "l", "c", "v"), 0)
    made = [
        {"ticker": "A", "day": zero, "prevDay": {"c": 5}, "updated": 0},
        {
            "ticker": "B",
            "day": zero,
            "prevDay": {"c": 5},
            "updated": nanos(ny("2025-11-19 08:00")),
            "lastTrade": {"p": 6},
        },
        {"ticker": "C", "updated": 17},
        {"ticker": "D", "lastTrade": {"c": None, "p": 3, "t": nanos(ny("2025-11-19 20:30"))}},
    ]
    found = decoded(asked, msgspec.json.encode({"status": "OK", "tickers": made}))
    assert [
        (r["symbol"], r["session"], r["price"], r["open"], r["previous_close"]) for r in rows(found, "snapshots")
    ] == [
        ("B", DAY, 6.0, None, 5.0),
        ("D", DAY, 3.0, None, None),
    ]
    assert [r.item for r in found.rejects] == [2]


def test_errors_inside_of_a_list_quirk_14() -> None:
    asked = BY_NAME["snapshots_v3"].call(ask("snapshots", "AAPL", "NO", "SECRET", start=DAY, end=DAY + timedelta(1)))
    made = [
        {"ticker": "NO", "error": "NOT_FOUND", "message": "Ticker not found."},
        {"ticker": "SECRET", "error": "NOT_ENTITLED", "message": "Not entitled to this ticker."},
        {"ticker": "AAPL", "type": "stocks", "session": {"close": 3}, "last_updated": nanos(ny("2025-11-19 10:00"))},
    ]
    found = decoded(asked, envelope(results=made))
    assert [(r["symbol"], r["price"]) for r in rows(found, "snapshots")] == [("AAPL", 3.0)]
    assert [r.item for r in found.rejects] == [1]
    assert "'SECRET', was NOT_ENTITLED" in found.rejects[0].reason
    covered = {r["symbol"]: r["rows"] for r in rows(found, "coverage")}
    assert covered == {"AAPL": 1, "NO": 0, "SECRET": 0}


def test_a_company_that_took_an_old_name_again() -> None:
    asked = call("corporate_actions", "ticker_events", "B", start=DAY, end=DAY + timedelta(1))
    names = [("A", "2010-01-04"), ("B", "2015-02-03"), ("A", "2020-03-02"), ("B", "2024-04-01")]
    events = [{"type": "ticker_change", "date": d, "ticker_change": {"ticker": t}} for t, d in reversed(names)]
    found = decoded(asked, envelope(results={"composite_figi": "BBG1", "name": "N", "events": events}))
    made = rows(found, "corporate_actions")
    assert [(r["symbol"], r["new_symbol"]) for r in made] == [("A", None), ("A", "B"), ("B", "A"), ("A", "B")]
    assert len({(r["symbol"], r["vendor_id"]) for r in made}) == 4
    assert rows(decoded(asked, envelope(results={"events": None})), "corporate_actions") == []


def test_other_endpoints_and_answers_that_are_no_rows() -> None:
    other = Call(endpoint="news", table="tickers", path="/v2/reference/news")
    assert "which has no table" in decoded(other, envelope(results=[])).rejects[0].reason
    for outcome in (Outcome.NO_DATA, Outcome.NOT_ENTITLED, Outcome.BAD_REQUEST):
        found = decoded(days_of(), b'{"status":"NOT_FOUND"}', outcome)
        assert found.rejects == ()
        assert [(r["outcome"], r["rows"]) for r in rows(found, "coverage")] == [(outcome.value, 0)]


def test_pages_say_which_one_is_next() -> None:
    body = envelope(ticker="AAPL", results=[item(midnight(DAY))], next_url="https://h/v2/aggs/x?cursor=c")
    found = rows(decoded(days_of(), body), "coverage")
    assert [(r["is_last"], r["rows"]) for r in found] == [(False, 1)]
    following = msgspec.json.decode(found[0]["next_call"], type=Call)
    assert (following.path, following.params, following.page) == ("/v2/aggs/x", (("cursor", "c"),), 1)


CALLS = [
    e.call(Ask(t, ("*",) if e.shape in ("day", "market") else ("AAPL",), *WIDE, "1m" if t == "bars" else None))
    for e in BY_NAME.values()
    for t in e.tables
]
CALLS += [Call(endpoint=name, table="daily_bars", path="/market/stocks/2025-99-99") for name in sorted(READERS)]
FIELDS = tuple(
    word
    for line in (
        "t T o h l c v vw n sip_timestamp price size decimal_size id exchange conditions correction tape",
        "ticker name active list_date delisted_utc execution_date split_from split_to ex_dividend_date",
        "cash_amount frequency events date ticker_change type status open close day prevDay lastTrade",
        "updated session error last_updated results tickers next_url count resultsCount message from",
        "symbol bid_price window_start volume transactions",
    )
    for word in line.split()
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([nanos(midnight(DAY)), millis(midnight(DAY)), 10**400])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "AAPL", "2025-11-19", "2025-11-19T16:00:00Z", "nan", "1e5", "\U0001f600", "https://h/p?x=1"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=12,
)
BODIES = (
    st.binary(max_size=60)
    | VALUES.map(lambda v: json.dumps(v).encode())
    | st.lists(VALUES, max_size=4).map(lambda v: json.dumps({"status": "OK", "results": v}).encode())
    | st.lists(VALUES, max_size=4).map(lambda v: json.dumps({"status": "OK", "tickers": v}).encode())
    | st.lists(st.lists(st.sampled_from(["1", "x", '"', "NA", "1e9", "", "\x00"]), max_size=9), max_size=4).map(
        lambda v: ("T,c,h,l,n,o,t,v,vw\n" + "\n".join(",".join(cells) for cells in v)).encode()
    )
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(CALLS), BODIES)
def test_bytes_never_raise(asked: Call, body: bytes) -> None:
    found = decoded(asked, body)
    assert all(r.payload or not body for r in found.rejects)
    assert found.rejects or rows(found, "coverage")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_answers_with_damage_never_raise(data: st.DataObject) -> None:
    trade = {"sip_timestamp": nanos(midnight(DAY)), "price": 1.5, "size": 3, "conditions": [12, 37], "id": "x"}
    bodies = {
        "trades": envelope(results=[trade] * 3),
        "daily_bars": envelope(ticker="AAPL", results=[item(midnight(DAY))] * 3),
        "tickers": envelope(results=[{"ticker": "A", "active": True, "list_date": "2020-01-01"}] * 2),
        "dividends": envelope(results=[{"ticker": "A", "ex_dividend_date": "2020-01-01", "cash_amount": 1}] * 2),
        "market_days": msgspec.json.encode([{"date": "2025-11-19", "exchange": "NYSE", "status": "closed"}]),
    }
    name = data.draw(st.sampled_from(sorted(bodies)))
    body = bytearray(bodies[name])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    asked = next(c for c in CALLS if c.endpoint == name)
    checked(VENDOR.decode([landed(asked, bytes(body)), landed(asked, bodies[name], at=1)]))


def test_a_record_of_another_kind_is_not_read_as_rows() -> None:
    entry = landed(days_of(), envelope(ticker="AAPL", results=[item(midnight(DAY))]))
    assert entry.item.kind is Kind.RESPONSE  # type: ignore[union-attr]
    assert len(rows(VENDOR.decode([entry, entry]), "daily_bars")) == 2


def test_places_of_what_is_set_aside_count_every_item_of_a_list() -> None:
    split = {"ticker": "A", "execution_date": "2025-11-19", "split_from": 1, "split_to": 2, "id": "s"}
    body = envelope(results=[7, split, {**split, "split_to": 0}, {"ticker": 1}, split])
    found = decoded(call("splits", "splits", start=date(2025, 1, 1), end=date(2026, 1, 1)), body)
    assert sorted(r.item for r in found.rejects) == [0, 2, 3]
    assert len(rows(found, "splits")) == 2


def test_a_correction_is_the_right_values_or_the_wrong_ones_and_the_trade_shows_the_right_ones_quirk_12() -> None:
    """1 marks the trade itself, with what is right; 12 is the record of it, with what was printed wrongly."""
    at = nanos(ny("2025-11-19 10:00"))
    right = {"sip_timestamp": at, "price": 10.5, "size": 5, "id": "7", "correction": 1}
    wrong = {"sip_timestamp": at + 10**9, "price": 99.0, "size": 5, "id": "7", "correction": 12}
    found = decoded(ticks_of("trades", *WIDE), envelope(results=[right, wrong]))
    assert [(r["trade_id"], r["price"]) for r in rows(found, "trades")] == [("7", 10.5)]
    made = [(r["original_price"], r["corrected_price"]) for r in rows(found, "trade_corrections")]
    assert made == [(None, 10.5), (99.0, None)]
